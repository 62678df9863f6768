/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/commands/quarantine_command.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/limits.h"
#include "cdc/key.h"

#define PAGE_ROWS 500
#define TIME_SIZE 32

/* One version at a time. *enough: no other is to be looked at. False: *err. */
typedef bool look_at(struct quarantine_command *quarantine, const struct version *version,
                     struct ledger *ledger, bool *enough, struct err *err);

/* --- keys as people write them ------------------------------------------------------------------ */

static void add_candidate(struct quarantine_command *quarantine, const bson_t *doc)
{
    CLEANUP(buf_fini) struct buf key = BUF_INIT(LIMIT_ITEM_SIZE);
    bson_iter_t iter;
    if (!doc || bson_count_keys(doc) != 1 || !bson_iter_init_find(&iter, doc, "_id"))
        return;
    key_encode(&iter, &key);
    quarantine->keys[quarantine->key_count++] = strdup(buf_str(&key));
}

/* `64b7f0c2a1d2e3f405162738` is an ObjectId or a string, `42` a number or a string: whichever there is
 * a row of. */
static void read_key(struct quarantine_command *quarantine, const char *text)
{
    bson_error_t error;
    char *json = bson_strdup_printf("{\"_id\": %s}", text);
    bson_t *as_json = bson_new_from_json((const uint8_t *)json, -1, &error);
    bson_t as_text = BSON_INITIALIZER;
    add_candidate(quarantine, as_json);
    if (bson_oid_is_valid(text, strlen(text))) {
        bson_oid_t oid;
        bson_t as_oid = BSON_INITIALIZER;
        bson_oid_init_from_string(&oid, text);
        BSON_APPEND_OID(&as_oid, "_id", &oid);
        add_candidate(quarantine, &as_oid);
        bson_destroy(&as_oid);
    }
    if (bson_utf8_validate(text, strlen(text), false)) {
        BSON_APPEND_UTF8(&as_text, "_id", text);
        add_candidate(quarantine, &as_text);
    }
    bson_destroy(&as_text);
    if (as_json)
        bson_destroy(as_json);
    bson_free(json);
}

char *quarantine_name(const char *key, struct arena *arena)
{
    CLEANUP(buf_fini) struct buf text = BUF_INIT(LIMIT_ITEM_SIZE);
    bson_iter_t iter;
    bson_t *doc = key_decode(key, strlen(key));
    if (doc && bson_iter_init_find(&iter, doc, "_id"))
        key_source_id(&iter, &text);
    else
        buf_puts(&text, key);
    if (doc)
        bson_destroy(doc);
    return arena_strdup(arena, buf_str(&text));
}

/* *found NULL: the ledger has none of the candidates. */
static bool find_row(struct quarantine_command *quarantine, struct ledger *ledger,
                     struct arena *arena, struct ledger_row **found, struct err *err)
{
    struct ledger_row *rows = arena_alloc_array(arena, QUARANTINE_CANDIDATES, sizeof *rows);
    *found = NULL;
    if (!ledger_read(ledger, (const char *const *)quarantine->keys, quarantine->key_count, arena,
                     rows, err))
        return false;
    for (size_t i = 0; i < quarantine->key_count && !*found; i++)
        *found = rows[i].exists ? &rows[i] : NULL;
    return true;
}

/* --- all rows that are set aside, page by page -------------------------------------------------- */

static struct ledger_aged_page first_page(const struct quarantine_command *quarantine,
                                          struct arena *arena)
{
    return (struct ledger_aged_page){.state = LEDGER_QUARANTINED,
                                     .limit =
                                         quarantine->page_rows ? quarantine->page_rows : PAGE_ROWS,
                                     .arena = arena,
                                     .after_key = ""};
}

/* Behind the rows of the page as it is; `after` keeps the last one's key. */
static bool next_page(struct ledger *ledger, struct ledger_aged_page *page, struct buf *after,
                      struct err *err)
{
    if (page->count > 0) {
        page->after_ms = page->rows[page->count - 1].at_ms;
        page->after_key = page->rows[page->count - 1].key;
    }
    buf_clear(after);
    buf_puts(after, page->after_key);
    arena_reset(page->arena);
    page->after_key = buf_str(after);
    return ledger_scan_aged(ledger, page, err);
}

/* --- list --------------------------------------------------------------------------------------- */

static bool list_all(struct quarantine_command *quarantine, const struct version *version,
                     struct ledger *ledger, bool *enough, struct err *err)
{
    CLEANUP(arena_freep) struct arena *arena = arena_new(LIMIT_ARENA_SIZE);
    CLEANUP(buf_fini) struct buf after = BUF_INIT(LIMIT_ITEM_SIZE);
    struct ledger_aged_page page = first_page(quarantine, arena);
    if (quarantine->after.build_id) {
        page.after_ms = quarantine->after.at_ms;
        page.after_key = quarantine->after.key;
        quarantine->after.build_id = NULL; /* the next version is read from its beginning */
    }
    while (next_page(ledger, &page, &after, err)) {
        if (page.count == 0)
            return true;
        *enough = !quarantine->page(quarantine, version, page.rows, page.count, arena);
        quarantine->rows += (int64_t)page.count;
        if (*enough)
            return true;
    }
    return false;
}

static bool list_version(struct quarantine_command *quarantine, const struct version *version,
                         struct ledger *ledger, bool *enough, struct err *err)
{
    CLEANUP(arena_freep) struct arena *arena = arena_new(LIMIT_ARENA_SIZE);
    struct ledger_row *row;
    const char *begin = quarantine->after.build_id;
    if (begin && strcmp(begin, version->build_id) != 0)
        return true;
    if (!quarantine->key)
        return list_all(quarantine, version, ledger, enough, err);
    if (!find_row(quarantine, ledger, arena, &row, err))
        return false;
    if (!row || row->state != LEDGER_QUARANTINED)
        return true;
    *enough = !quarantine->page(quarantine, version, row, 1, arena);
    quarantine->rows++;
    return true;
}

static const char *time_text(int64_t ms, char text[static TIME_SIZE])
{
    clock_format(ms, text);
    return text;
}

int64_t quarantine_since_ms(const struct ledger_row *row)
{
    return row->since_ms ? row->since_ms : row->at_ms;
}

cJSON *quarantine_row_json(const struct version *version, const struct ledger_row *row,
                           struct arena *arena)
{
    char text[TIME_SIZE];
    cJSON *entry = json_object();
    json_add_string(entry, "label", version->label);
    json_add_string(entry, "key", row->key);
    json_add_string(entry, "id", quarantine_name(row->key, arena));
    json_add_string(entry, "since", time_text(quarantine_since_ms(row), text));
    json_add_string(entry, "tried", time_text(row->at_ms, text));
    json_add_bool(entry, "skipped", row->skipped);
    json_add_bool(entry, "repair", row->repair);
    json_add_string(entry, "reason", row->reason);
    return entry;
}

/* --- show --------------------------------------------------------------------------------------- */

static cJSON *intent_entry(const struct ledger_intent *intent)
{
    cJSON *entry = json_object();
    json_add_string(entry, "owner", intent->owner);
    json_add_int(entry, "generation", intent->gen);
    json_add_string(entry, "ver", intent->ver);
    json_add_string(entry, "source_id", intent->source_id);
    json_add_int(entry, "chunks", (int64_t)intent->chunk_count);
    json_add_int(entry, "wait_ms", intent->wait_ms > 0 ? intent->wait_ms : 0);
    return entry;
}

static void add_time(cJSON *entry, const char *name, int64_t ms)
{
    char text[TIME_SIZE];
    json_add_string(entry, name, ms > 0 ? time_text(ms, text) : NULL);
}

static cJSON *row_entry(const struct version *version, const struct ledger_row *row,
                        struct arena *arena)
{
    cJSON *entry = json_object();
    cJSON *names = json_array();
    json_add_string(entry, "label", version->label);
    json_add_string(entry, "key", row->key);
    json_add_string(entry, "id", quarantine_name(row->key, arena));
    json_add_string(entry, "state", ledger_state_text(row->state));
    json_add_string(entry, "reason", row->reason);
    add_time(entry, "since", row->since_ms);
    add_time(entry, "finished", row->at_ms);
    json_add_bool(entry, "skipped", row->skipped);
    json_add_int(entry, "generation", row->gen);
    json_add_string(entry, "ver", row->ver);
    json_add_int(entry, "offset", row->offset);
    json_add_string(entry, "source_id", row->source_id);
    json_add_int(entry, "chunks", (int64_t)row->chunk_count);
    for (size_t i = 0; i < row->meta_key_count; i++)
        json_append(names, cJSON_CreateString(row->meta_keys[i]));
    json_add(entry, "metadata", names);
    add_time(entry, "repair", row->repair ? row->repair_ms : 0);
    json_add_string(entry, "repair_reason", row->repair_reason);
    if (row->has_intent)
        json_add(entry, "intent", intent_entry(&row->intent));
    else
        json_add_null(entry, "intent");
    return entry;
}

static bool show_version(struct quarantine_command *quarantine, const struct version *version,
                         struct ledger *ledger, bool *enough, struct err *err)
{
    (void)enough;
    CLEANUP(arena_freep) struct arena *arena = arena_new(LIMIT_ARENA_SIZE);
    struct ledger_row *row;
    if (!find_row(quarantine, ledger, arena, &row, err))
        return false;
    if (row) {
        json_append(quarantine->shown, row_entry(version, row, arena));
        quarantine->rows++;
    }
    return true;
}

/* --- retry and skip ----------------------------------------------------------------------------- */

static bool retry_page(struct quarantine_command *quarantine, struct ledger *ledger,
                       const struct ledger_aged_page *page, struct err *err)
{
    const char **keys = arena_alloc_array(page->arena, page->count + 1, sizeof *keys);
    size_t count = 0;
    for (size_t i = 0; i < page->count; i++) {
        if (!page->rows[i].skipped && !page->rows[i].repair)
            keys[count++] = page->rows[i].key;
    }
    quarantine->rows += (int64_t)count;
    return ledger_mark(ledger, keys, count, quarantine->command->by, err);
}

static bool retry_all(struct quarantine_command *quarantine, struct ledger *ledger, struct err *err)
{
    CLEANUP(arena_freep) struct arena *arena = arena_new(LIMIT_ARENA_SIZE);
    CLEANUP(buf_fini) struct buf after = BUF_INIT(LIMIT_ITEM_SIZE);
    struct ledger_aged_page page = first_page(quarantine, arena);
    while (next_page(ledger, &page, &after, err)) {
        if (page.count == 0)
            return true;
        if (!retry_page(quarantine, ledger, &page, err))
            return false;
    }
    return false;
}

static bool retry_version(struct quarantine_command *quarantine, const struct version *version,
                          struct ledger *ledger, bool *enough, struct err *err)
{
    (void)enough;
    (void)version;
    CLEANUP(arena_freep) struct arena *arena = arena_new(LIMIT_ARENA_SIZE);
    struct ledger_row *row;
    if (!quarantine->key)
        return retry_all(quarantine, ledger, err);
    if (!find_row(quarantine, ledger, arena, &row, err))
        return false;
    if (!row || row->state != LEDGER_QUARANTINED)
        return true;
    quarantine->rows++;
    return ledger_mark(ledger, &row->key, 1, quarantine->command->by, err);
}

static bool skip_version(struct quarantine_command *quarantine, const struct version *version,
                         struct ledger *ledger, bool *enough, struct err *err)
{
    (void)enough;
    (void)version;
    CLEANUP(arena_freep) struct arena *arena = arena_new(LIMIT_ARENA_SIZE);
    struct ledger_row *row;
    int64_t changed = 0;
    bool ok = find_row(quarantine, ledger, arena, &row, err) &&
              (!row || ledger_skip(ledger, &row->key, 1, &changed, err));
    quarantine->rows += changed;
    return ok;
}

/* --- the calls ---------------------------------------------------------------------------------- */

static bool each_version(struct quarantine_command *quarantine, look_at *look, struct err *err)
{
    struct registry registry;
    const char *label = quarantine->label;
    bool enough = false;
    if (!registry_load(quarantine->command->docs, quarantine->command->config->name,
                       quarantine->family->name, &registry, err))
        return false;
    bool ok = !label || command_live_version(&registry, label, err);
    for (size_t i = 0; ok && !enough && i < registry.version_count; i++) {
        const struct version *version = &registry.versions[i];
        CLEANUP(ledger_closep) struct ledger *ledger = NULL;
        if (!version_is_fed(version) || (label && strcmp(version->label, label) != 0))
            continue;
        quarantine->versions++;
        ok = command_open_ledger(quarantine->command, version, &ledger, err) &&
             look(quarantine, version, ledger, &enough, err);
    }
    registry_fini(&registry);
    return ok;
}

static bool run(struct quarantine_command *quarantine, look_at *look, struct err *err)
{
    if (quarantine->key)
        read_key(quarantine, quarantine->key);
    return each_version(quarantine, look, err);
}

bool quarantine_command_list(struct quarantine_command *quarantine, struct err *err)
{
    return run(quarantine, list_version, err);
}

bool quarantine_command_show(struct quarantine_command *quarantine, struct err *err)
{
    quarantine->shown = json_array();
    return run(quarantine, show_version, err);
}

bool quarantine_command_retry(struct quarantine_command *quarantine, struct err *err)
{
    return run(quarantine, retry_version, err);
}

bool quarantine_command_skip(struct quarantine_command *quarantine, struct err *err)
{
    return run(quarantine, skip_version, err);
}

cJSON *quarantine_command_json(const struct quarantine_command *quarantine, const char *done)
{
    cJSON *reply = json_object();
    json_add_string(reply, "family", quarantine->family->name);
    if (done)
        json_add_int(reply, done, quarantine->rows);
    else
        json_add(reply, "versions", cJSON_Duplicate(quarantine->shown, true));
    return reply;
}

void quarantine_command_fini(struct quarantine_command *quarantine)
{
    for (size_t i = 0; i < quarantine->key_count; i++)
        free(quarantine->keys[i]);
    cJSON_Delete(quarantine->shown);
}
