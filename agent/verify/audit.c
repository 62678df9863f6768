/* SPDX-License-Identifier: Apache-2.0 */
/* The course of an audit: what it needs is opened, the walks follow one another, and what is still in doubt
 * is settled. */
#include "agent/verify/audit.h"

#include <stdlib.h>
#include <string.h>

#include "agent/lane/lane.h"
#include "agent/verify/audit_state.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/limits.h"
#include "cdc/scan.h"

/* Rows of the ledger in one page. */
#define PAGE_ROWS 1000
#define TELL_MS 500
#define SAVE_MS 2000
#define PAUSE_STEP_MS 100

void audit_add_example(struct audit_report *report, const struct audit_example *example)
{
    if (report->example_count == AUDIT_EXAMPLES)
        return;
    for (size_t i = 0; i < report->example_count; i++) {
        const struct audit_example *known = &report->examples[i];
        if (known->side == example->side && known->kind == example->kind &&
            strcmp(known->name, example->name) == 0)
            return;
    }
    report->examples[report->example_count++] = *example;
}

/* --- progress --------------------------------------------------------------------------------- */

bool audit_tick(struct audit *audit, struct err *err)
{
    const struct audit_options *options = audit->options;
    int64_t now_ms = clock_mono_ms();
    if (!options->progress || now_ms - audit->told_ms < TELL_MS)
        return true;
    audit->told_ms = now_ms;
    struct audit_progress progress = {.doing = audit->doing,
                                      .done = audit->done,
                                      .total = audit->total,
                                      .differences = audit_sum(audit->report, AUDIT_MISSING) +
                                                     audit_sum(audit->report, AUDIT_STALE) +
                                                     audit_sum(audit->report, AUDIT_LEFT_OVER)};
    return options->progress(options->context, &progress) ||
           err_set(err, ERR_CANCEL, ERR_STATE, 0, "interrupted");
}

bool audit_pause(struct audit *audit, int64_t ms, struct err *err)
{
    int64_t until_ms = clock_mono_ms() + ms;
    for (int64_t left_ms = ms; left_ms > 0; left_ms = until_ms - clock_mono_ms()) {
        clock_sleep_ms(left_ms < PAUSE_STEP_MS ? left_ms : PAUSE_STEP_MS);
        if (!audit_tick(audit, err))
            return false;
    }
    return true;
}

/* Waits until what was walked is no more than was asked for. */
static bool hold_back(struct audit *audit, struct err *err)
{
    int64_t rate = audit->options->max_documents_per_second;
    if (rate <= 0)
        return true;
    int64_t due_ms = audit->walk_ms + audit->walked * 1000 / rate;
    return audit_pause(audit, due_ms - clock_mono_ms(), err);
}

/* --- the walks -------------------------------------------------------------------------------- */

/* At the end of a page: nothing of it is lost from here on. */
static bool end_page(struct audit *audit, int64_t count, struct err *err)
{
    audit->done += count;
    audit->walked += count;
    if (!audit_suspects_settle(audit, false, err) || !hold_back(audit, err))
        return false;
    if (clock_mono_ms() - audit->saved_ms >= SAVE_MS && !audit_place_save(audit, err))
        return false;
    return audit_tick(audit, err);
}

static void note_page(struct audit *audit, const struct audit_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        const struct audit_item *item = &batch->items[i];
        audit->report->documents++;
        audit->report->chunks += (int64_t)item->doc.chunk_count;
        audit->report->quarantined += item->verdict.aside;
        if (audit_verdict_is_clean(&item->verdict))
            audit->accounted += item->verdict.records;
        else
            audit_suspect_add(audit, item->key, false);
    }
}

static bool walk_source(struct audit *audit, struct err *err)
{
    for (bool end = false; !end;) {
        CLEANUP(audit_batch_fini) struct audit_batch batch = {0};
        arena_reset(audit->page.results);
        if (!audit_source_page(audit, &batch, &end, err) || !audit_look(audit, &batch, err))
            return false;
        note_page(audit, &batch);
        if (batch.last) {
            bson_destroy(audit->after);
            audit->after = TAKE(batch.last);
        }
        int64_t count = (int64_t)batch.count;
        audit_batch_fini(&batch);
        if (!end_page(audit, count, err))
            return false;
    }
    return true;
}

/* Rows whose document is gone; the others were compared with theirs. */
static bool look_at_rows(struct audit *audit, const struct ledger_behind_page *page,
                         struct err *err)
{
    bool *there = arena_alloc_array(audit->page.results, page->count + 1, sizeof *there);
    if (!audit_source_has(audit, page->keys, page->count, there, err))
        return false;
    for (size_t i = 0; i < page->count; i++) {
        if (!there[i])
            audit_suspect_add(audit, page->keys[i], false);
    }
    return true;
}

static bool walk_ledger(struct audit *audit, struct err *err)
{
    while (true) {
        arena_reset(audit->page.results);
        struct ledger_behind_page page = {.gen = INT64_MAX, /* of every generation */
                                          .after = audit->after_key ? audit->after_key : "",
                                          .limit = PAGE_ROWS,
                                          .arena = audit->page.results};
        if (!ledger_scan_behind(audit->ledger, &page, err))
            return false;
        if (!page.last)
            return true;
        if (!look_at_rows(audit, &page, err))
            return false;
        free(audit->after_key);
        audit->after_key = strdup(page.last);
        if (!end_page(audit, (int64_t)page.count, err))
            return false;
    }
}

static bool begin_walk(struct audit *audit, enum audit_phase phase, const char *doing,
                       struct err *err)
{
    if (audit->phase != phase)
        audit->done = 0;
    audit->phase = phase;
    audit->doing = doing;
    audit->walk_ms = clock_mono_ms();
    audit->walked = 0;
    return audit_place_save(audit, err);
}

static bool walk(struct audit *audit, struct err *err)
{
    const struct config_family *family = audit->options->family;
    struct scan_options source = {.pool = audit->options->pool,
                                  .database = family->source.database,
                                  .collection = family->source.collection};
    if (!scan_is_clustered(&source, &audit->is_clustered, err) ||
        !scan_estimate(&source, &audit->total, err))
        return false;
    if (audit->phase == AUDIT_AT_SOURCE &&
        (!begin_walk(audit, AUDIT_AT_SOURCE, "comparing the source", err) ||
         !walk_source(audit, err)))
        return false;
    if (audit->phase <= AUDIT_AT_LEDGER &&
        (!begin_walk(audit, AUDIT_AT_LEDGER, "comparing the ledger", err) ||
         !walk_ledger(audit, err)))
        return false;
    return begin_walk(audit, AUDIT_AT_STORE, "settling what differed", err) &&
           audit_store_walk(audit, err);
}

/* --- what it needs ---------------------------------------------------------------------------- */

static const char *text_field(const struct sink_collection *collection, const char *name)
{
    for (size_t i = 0; i < collection->metadata_count; i++) {
        const struct field *field = &collection->metadata[i];
        if (strcmp(field->name, name) == 0 && field->value.type == VALUE_STRING)
            return field->value.as.string;
    }
    return "";
}

static bool check_collection(struct audit *audit, struct err *err)
{
    const struct version *version = audit->options->version;
    struct sink_collection held;
    bool found;
    /* by its handle: it may have been given another name */
    if (!sink_find_id(audit->sink, version->collection_id, audit->arena, &found, &held, err))
        return false;
    if (!found)
        return err_set(err, ERR_FATAL, ERR_STATE, 0,
                       "the collection %s of version %s is not in store '%s' any more: build the "
                       "version anew under another label",
                       version->collection, version->label, version->store);
    if (strcmp(text_field(&held, "name"), audit->options->config->name) != 0 ||
        strcmp(text_field(&held, "build_id"), version->build_id) != 0)
        return err_set(err, ERR_FATAL, ERR_STATE, 0,
                       "the collection %s is not the one that was made for version %s: its "
                       "metadata has another name or build_id",
                       version->collection, version->label);
    snprintf(audit->collection, sizeof audit->collection, "%s", version->collection_id);
    return true;
}

static bool open_rules(struct audit *audit, struct err *err)
{
    const struct version *version = audit->options->version;
    audit->embed_object = json_parse(version->embed, strlen(version->embed), err);
    if (!audit->embed_object ||
        !embed_config_read(audit->embed_object, audit->arena, &audit->rules.embed, err) ||
        !family_check_makers(audit->embed_object, version->label, err))
        return false;
    audit->rules.family = audit->family->name;
    audit->rules.label = version->label;
    audit->rules.config_fp = version->config_fp;
    audit->rules.shape = audit->family->shape;
    audit->rules.content_ids = strcmp(audit->rules.embed.id_scheme, "content") == 0;
    audit->rules.by_id = strcmp(audit->options->family->source.id_field, "_id") == 0;
    audit->rules.texts = audit->store->documents;
    return true;
}

static bool check_version(const struct version *version, struct err *err)
{
    if (version->external)
        return err_set(err, ERR_REJECT, ERR_STATE, 0,
                       "version %s was adopted: it was not built from the source, and cannot be "
                       "audited",
                       version->label);
    if (!version_is_fed(version) || !version->collection_id)
        return err_set(err, ERR_REJECT, ERR_STATE, 0,
                       "version %s is %s: it is not kept in step, and cannot be audited",
                       version->label, version_state_name(version->state));
    return true;
}

static bool tell_opened(const struct audit *audit, struct sink *sink)
{
    if (audit->options->opened)
        audit->options->opened(audit->options->context, sink);
    return true;
}

static bool open_parts(struct audit *audit, struct err *err)
{
    const struct audit_options *options = audit->options;
    struct ledger_options ledger = {.pool = options->pool,
                                    .database = options->config->mongodb.state_database,
                                    .name = options->config->name,
                                    .build_id = options->version->build_id,
                                    .owner = "audit",
                                    .by_source =
                                        strcmp(options->family->source.id_field, "_id") != 0};
    audit->store = config_store_of(options->config, options->version->store);
    if (!audit->store)
        return err_set(err, ERR_FATAL, ERR_CONFIG, 0,
                       "version %s is kept in store '%s', which the configuration does not have",
                       options->version->label, options->version->store);
    return family_new(options->config, options->family, options->registry, &audit->family, err) &&
           open_rules(audit, err) && ledger_open(&ledger, &audit->ledger, err) &&
           lane_open_sink(audit->store, options->limiters, &audit->sink, err) &&
           tell_opened(audit, audit->sink) && sink_connect(audit->sink, err) &&
           check_collection(audit, err);
}

static void audit_fini(struct audit *audit)
{
    (void)tell_opened(audit, NULL);
    audit_suspects_fini(&audit->suspects);
    bson_destroy(audit->after);
    free(audit->after_key);
    sink_close(audit->sink);
    ledger_close(audit->ledger);
    family_free(audit->family);
    cJSON_Delete(audit->embed_object);
    arena_free(audit->page.results);
    arena_free(audit->page.scratch);
    arena_free(audit->arena);
}

/* What was found so far is kept when it is interrupted, or a server does not answer. */
static void keep_place(struct audit *audit, const struct err *why)
{
    struct err ignored;
    if (why->action != ERR_FATAL && !audit_place_save(audit, &ignored))
        audit->saved_ms = 0;
}

bool audit_run(const struct audit_options *options, struct audit_report *out, struct err *err)
{
    *out = (struct audit_report){0};
    if (!check_version(options->version, err))
        return false;
    CLEANUP(audit_fini)
    struct audit audit = {
        .options = options,
        .report = out,
        .arena = arena_new(64 * MIB),
        .page = {.results = arena_new(LIMIT_ARENA_SIZE), .scratch = arena_new(LIMIT_ARENA_SIZE)},
        .doing = "connecting",
        .total = -1,
        .began_ms = clock_mono_ms()};
    if (!open_parts(&audit, err) || !audit_place_open(&audit, err))
        return false;
    bool ok = walk(&audit, err);
    if (!ok)
        keep_place(&audit, err);
    out->took_ms = clock_mono_ms() - audit.began_ms;
    return ok && audit_place_remove(&audit, err);
}
