/* SPDX-License-Identifier: Apache-2.0 */
/* A version whose group began in the middle of its generation reads only the documents whose last record
 * lies behind that: a compacted log holds each once. Once the lane has caught up, every document of the
 * source is looked for in its ledger, in the order of their ids; what is missing is marked for repair and
 * so read again, by this version's mark. The version counts as filled when none is left.
 *
 * The marks are in the ledger, and how far it has come stands in the registry: another leader goes on
 * from there. What was looked at since then is looked at again, which finds nothing. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/steward/upkeep.h"
#include "agent/verify/audit_doc.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "cdc/key.h"
#include "cdc/scan.h"

/* Documents of one question to the ledger: its rows may hold the fingerprints of many chunks. */
#define PAGE_DOCUMENTS ((size_t)100)
#define STEP_MS 300
/* So many marks wait at a time, at most: a lane that is slow is not run away from. */
#define MOST_WAITING ((size_t)2 * REPAIRS_MOST)
#define SAVE_MS 15000
#define REASON "merge"

struct merge {
    int64_t gen;
    bool has_target;
    int64_t target[WORKLOG_MAX_PARTITIONS]; /* the log's end when it was first looked at */
    bool knows_order;
    bool clustered; /* how the source is kept */
    char *to;       /* key of the last document that was looked at; NULL: none was yet */
    bool ended;     /* all is looked at: what is marked is waited for */
    double credit;  /* documents that may be marked now, where their rate is limited */
    int64_t credit_ms;
    int64_t documents; /* looked at since this process leads */
    int64_t missing;
    int64_t saved_ms; /* monotonic */
};

void merge_free(struct merge *merge)
{
    if (merge)
        free(merge->to);
    free(merge);
}

/* What was in the log when the merge began is applied: until then documents are missing that are only not
 * read yet. */
static bool has_caught_up(struct merge *merge, const struct feed_view *view)
{
    for (int p = 0; !merge->has_target && p < view->partitions; p++)
        merge->target[p] = view->positions[p].high;
    merge->has_target = true;
    for (int p = 0; p < view->partitions; p++) {
        if (view->positions[p].committed < merge->target[p])
            return false;
    }
    return true;
}

/* --- one page --------------------------------------------------------------------------------- */

struct page {
    struct arena *arena;
    const char *keys[PAGE_DOCUMENTS];
    size_t count;
    bool at_end; /* of the source */
};

static bool read_page(struct scan *scan, struct page *page, struct err *err)
{
    CLEANUP(buf_fini) struct buf key = BUF_INIT(LIMIT_KEY_SIZE);
    page->count = 0;
    while (page->count < PAGE_DOCUMENTS) {
        const bson_t *doc;
        bson_iter_t id;
        if (!scan_next(scan, &doc, err))
            return false;
        page->at_end = doc == NULL;
        if (!doc)
            return true;
        if (!bson_iter_init_find(&id, doc, "_id"))
            continue;
        audit_key(&id, &key);
        page->keys[page->count++] = arena_strdup(page->arena, buf_str(&key));
    }
    return true;
}

static bool mark_missing(struct upkeep *upkeep, struct page *page, size_t *marked, struct err *err)
{
    const char *missing[PAGE_DOCUMENTS];
    struct ledger_row *rows = arena_alloc_array(page->arena, page->count + 1, sizeof *rows);
    size_t count = 0;
    if (!ledger_read(upkeep->ledger, page->keys, page->count, page->arena, rows, err))
        return false;
    for (size_t i = 0; i < page->count; i++) {
        if (!rows[i].exists)
            missing[count++] = page->keys[i];
    }
    *marked += count;
    upkeep->merge->documents += (int64_t)page->count;
    upkeep->merge->missing += (int64_t)count;
    return ledger_mark(upkeep->ledger, missing, count, REASON, err);
}

/* What cannot be read back from its key is no place to go on from: its page comes again. */
static void note_place(struct merge *merge, const struct page *page)
{
    for (size_t i = page->count; i-- > 0;) {
        size_t size = strlen(page->keys[i]);
        if (key_is_stand_in(page->keys[i], size))
            continue;
        version_set_text(&merge->to, page->keys[i]);
        return;
    }
}

/* --- the walk --------------------------------------------------------------------------------- */

/* How many may be marked now: a lane has its hands full with some, and the file may limit their rate. */
static size_t room(struct steward *steward, struct upkeep *upkeep)
{
    struct merge *merge = upkeep->merge;
    int64_t limit = steward->family->config->snapshot.max_documents_per_second;
    size_t waiting = repairs_waiting(upkeep->repairs);
    size_t left = waiting < REPAIRS_MOST ? MOST_WAITING - waiting : 0;
    if (limit <= 0)
        return left;
    int64_t now_ms = clock_mono_ms();
    if (merge->credit_ms > 0)
        merge->credit += (double)limit * (double)(now_ms - merge->credit_ms) / 1000;
    merge->credit_ms = now_ms;
    if (merge->credit > (double)limit)
        merge->credit = (double)limit;
    return merge->credit < (double)left ? (size_t)(merge->credit > 0 ? merge->credit : 0) : left;
}

static bool walk(struct steward *steward, struct upkeep *upkeep, struct scan *scan, struct err *err)
{
    struct merge *merge = upkeep->merge;
    int64_t until_ms = clock_mono_ms() + STEP_MS;
    size_t most = room(steward, upkeep), marked = 0;
    CLEANUP(arena_freep) struct arena *arena = arena_new(LIMIT_ARENA_SIZE);
    bool ok = true;
    while (ok && !merge->ended && marked < most && clock_mono_ms() < until_ms &&
           !agent_stopping(steward->agent)) {
        struct page page = {.arena = arena};
        arena_reset(arena);
        ok = read_page(scan, &page, err) && mark_missing(upkeep, &page, &marked, err);
        if (ok && page.count > 0)
            note_place(merge, &page);
        merge->ended = ok && page.at_end;
    }
    merge->credit -= (double)marked;
    return ok;
}

static bool look_on(struct steward *steward, struct upkeep *upkeep, struct err *err)
{
    struct merge *merge = upkeep->merge;
    const struct config_family *family = steward->family->config;
    CLEANUP(scan_closep) struct scan *scan = NULL;
    CLEANUP(bson_destroyp) bson_t *projection = BCON_NEW("_id", BCON_INT32(1));
    CLEANUP(bson_destroyp)
    bson_t *after = merge->to ? key_decode(merge->to, strlen(merge->to)) : NULL;
    struct scan_options options = {.pool = steward->agent->pool,
                                   .database = family->source.database,
                                   .collection = family->source.collection,
                                   .projection = projection,
                                   .match = shape_filter(steward->family->shape),
                                   .after = after,
                                   .clustered = merge->clustered};
    bool exists;
    if (!scan_exists(&options, &exists, err))
        return false;
    if (!exists || room(steward, upkeep) == 0)
        return true;
    if (!merge->knows_order && !scan_is_clustered(&options, &merge->clustered, err))
        return false;
    merge->knows_order = true;
    options.clustered = merge->clustered;
    return scan_cluster_time(options.pool, options.database, &options.since, err) &&
           scan_open(&options, &scan, err) && walk(steward, upkeep, scan, err);
}

static bool save_place(struct steward *steward, struct version *version, struct merge *merge,
                       struct err *err)
{
    int64_t now_ms = clock_mono_ms();
    if (!merge->to || now_ms - merge->saved_ms < SAVE_MS)
        return true;
    merge->saved_ms = now_ms;
    version_set_text(&version->merged_to, merge->to);
    return steward_save(steward, err);
}

static bool finish(struct steward *steward, struct version *version, const struct merge *merge,
                   struct err *err)
{
    char what[] = "merged", reason[160];
    snprintf(reason, sizeof reason,
             "generation %" PRId64 ": of %" PRId64 " documents of the source %" PRId64
             " were missing, and were read again",
             merge->gen, merge->documents, merge->missing);
    struct registry_event event = {
        .what = what, .label = version->label, .by = steward->agent->holder, .reason = reason};
    log_info("version.merged", LOG_STR("family", steward->family->name),
             LOG_STR("version", version->label), LOG_INT("gen", merge->gen),
             LOG_INT("documents", merge->documents), LOG_INT("missing", merge->missing));
    registry_note(&steward->registry, &event);
    version->unmerged_gen = 0;
    version_set_text(&version->merged_to, NULL);
    return steward_save(steward, err);
}

bool merge_step(struct steward *steward, struct version *version, struct upkeep *upkeep,
                const struct feed_view *view, struct err *err)
{
    bool over = !view->unmerged;
    if (over || (upkeep->merge && upkeep->merge->gen != view->gen)) {
        merge_free(upkeep->merge);
        upkeep->merge = NULL;
    }
    if (over || !view->snapshot_done || steward->overtaken)
        return true;
    if (!upkeep->merge) {
        upkeep->merge = calloc(1, sizeof *upkeep->merge);
        upkeep->merge->gen = view->gen;
        upkeep->merge->saved_ms = clock_mono_ms();
        version_set_text(&upkeep->merge->to, version->merged_to);
    }
    struct merge *merge = upkeep->merge;
    if (!has_caught_up(merge, view))
        return true;
    if (!merge->ended)
        return look_on(steward, upkeep, err) && save_place(steward, version, merge, err);
    /* those that were marked last are seen with the next look */
    return repairs_waiting(upkeep->repairs) > 0 || finish(steward, version, merge, err);
}
