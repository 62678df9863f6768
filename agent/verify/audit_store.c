/* SPDX-License-Identifier: Apache-2.0 */
/* Records that nobody accounts for.
 *
 * A store's own list is read only where the store holds another number of records than were accounted for:
 * reading it is slow (Chroma walks over all that lies before an offset, so the whole of a list costs by the
 * square of its length). It is read from its end to its beginning: what is erased meanwhile moves the rest
 * towards the beginning, where it is met once more, and never past the reader. */
#include <stdlib.h>
#include <string.h>

#include "agent/verify/audit_state.h"
#include "base/limits.h"
#include "cdc/key.h"

/* Ids of one question to the ledger. */
#define IDS_PER_LOOK ((size_t)500)
/* Every page of a store's list has so many. */
#define LEAST_STEP ((size_t)1000)

/* --- who accounts for an id ------------------------------------------------------------------- */

struct split {
    const char *source_id; /* NULL: no record of the version has such an id */
    const char *id;
    bool *accounted;
};

static struct split *split_ids(struct audit *audit, const struct audit_ids *ids)
{
    struct arena *arena = audit->page.results;
    struct split *splits = arena_alloc_array(arena, ids->count + 1, sizeof *splits);
    for (size_t i = 0; i < ids->count; i++) {
        size_t index;
        ids->accounted[i] = false;
        splits[i] = (struct split){.id = ids->items[i], .accounted = &ids->accounted[i]};
        if (!audit_split_id(&audit->rules, ids->items[i], arena, &splits[i].source_id, &index))
            splits[i].source_id = NULL;
    }
    return splits;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The source ids, each once, sorted. */
static const char **unique_sources(struct audit *audit, const struct split *splits, size_t *count)
{
    const char **ids = arena_alloc_array(audit->page.results, *count + 1, sizeof *ids);
    size_t all = 0, kept = 0;
    for (size_t i = 0; i < *count; i++) {
        if (splits[i].source_id)
            ids[all++] = splits[i].source_id;
    }
    if (all > 0)
        qsort(ids, all, sizeof *ids, by_text);
    for (size_t i = 0; i < all; i++) {
        if (i == 0 || strcmp(ids[i], ids[kept - 1]) != 0)
            ids[kept++] = ids[i];
    }
    *count = kept;
    return ids;
}

static void keys_of_ids(struct audit *audit, const char **ids, size_t count,
                        struct audit_batch *batch)
{
    struct arena *arena = audit->page.results;
    CLEANUP(buf_fini) struct buf key = BUF_INIT(LIMIT_ITEM_SIZE);
    batch->items = arena_alloc_array(arena, count + 1, sizeof *batch->items);
    batch->count = count;
    for (size_t i = 0; i < count; i++) {
        buf_clear(&key);
        key_of_source_id(ids[i], &key);
        batch->items[i].key = arena_strdup(arena, buf_str(&key));
    }
}

/* The documents whose rows name the source ids. */
static bool keys_of_rows(struct audit *audit, const char **ids, size_t count,
                         struct audit_batch *batch, struct err *err)
{
    struct ledger_source *sources;
    size_t found = 0;
    if (!ledger_find_sources(audit->ledger, ids, count, audit->page.results, &sources, &found, err))
        return false;
    batch->items = arena_alloc_array(audit->page.results, found + 1, sizeof *batch->items);
    batch->count = found;
    for (size_t i = 0; i < found; i++)
        batch->items[i].key = sources[i].key;
    return true;
}

static bool is(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

static bool has_records_of(const struct audit_item *item, const char *source_id)
{
    return is(item->row.source_id, source_id) || is(item->doc.source_id, source_id) ||
           (item->row.has_intent && is(item->row.intent.source_id, source_id));
}

static void account_by(struct audit *audit, const struct audit_batch *batch, struct split *splits,
                       size_t count)
{
    for (size_t b = 0; b < batch->count; b++) {
        const struct audit_item *item = &batch->items[b];
        for (size_t i = 0; i < count; i++) {
            struct split *split = &splits[i];
            if (*split->accounted || !split->source_id || !has_records_of(item, split->source_id))
                continue;
            arena_reset(audit->page.scratch);
            *split->accounted =
                audit_row_has(&audit->rules, &item->row, split->id, audit->page.scratch) ||
                audit_doc_has(&audit->rules, &item->doc, split->id, audit->page.scratch);
        }
    }
}

static bool account_by_documents(struct audit *audit, struct audit_batch *batch,
                                 struct split *splits, size_t count, struct err *err)
{
    if (!audit_read_rows(audit, batch, err))
        return false;
    for (size_t i = 0; i < batch->count; i++) {
        struct audit_item *item = &batch->items[i];
        if (item->bson)
            audit_expect(&audit->rules, item->bson, &item->row, &audit->page, &item->doc);
    }
    account_by(audit, batch, splits, count);
    return true;
}

/* The documents that may have records of these source ids. */
static bool find_keys(struct audit *audit, const char **sources, size_t count,
                      struct audit_batch *batch, struct err *err)
{
    if (!audit->rules.by_id)
        return keys_of_rows(audit, sources, count, batch, err);
    keys_of_ids(audit, sources, count, batch);
    return true;
}

bool audit_owners(struct audit *audit, struct audit_ids *ids, struct audit_batch *batch,
                  struct err *err)
{
    size_t count = ids->count;
    const struct split *splits = split_ids(audit, ids);
    const char **sources = unique_sources(audit, splits, &count);
    return count == 0 ||
           (find_keys(audit, sources, count, batch, err) && audit_read_rows(audit, batch, err));
}

bool audit_account(struct audit *audit, struct audit_ids *ids, struct err *err)
{
    struct split *splits = split_ids(audit, ids);
    size_t count = ids->count;
    const char **sources = unique_sources(audit, splits, &count);
    CLEANUP(audit_batch_fini) struct audit_batch rows = {0};
    CLEANUP(audit_batch_fini) struct audit_batch found = {0};
    if (count == 0)
        return true;
    if (!find_keys(audit, sources, count, &rows, err))
        return false;
    if (ids->sources && audit->rules.by_id && !audit_source_ask(audit, &rows, err))
        return false;
    if (!account_by_documents(audit, &rows, splits, ids->count, err))
        return false;
    return !ids->sources || audit->rules.by_id ||
           (audit_source_find(audit, sources, count, &found, err) &&
            account_by_documents(audit, &found, splits, ids->count, err));
}

/* --- the walk --------------------------------------------------------------------------------- */

/* Nobody accounts for it yet: it is looked at again. */
static bool look_at_ids(struct audit *audit, const struct sink_record *records, size_t count,
                        struct err *err)
{
    for (size_t at = 0, part; at < count; at += part) {
        part = count - at < IDS_PER_LOOK ? count - at : IDS_PER_LOOK;
        arena_reset(audit->page.results);
        const char **items = arena_alloc_array(audit->page.results, part, sizeof *items);
        bool *accounted = arena_alloc_array(audit->page.results, part, sizeof *accounted);
        for (size_t i = 0; i < part; i++)
            items[i] = records[at + i].id;
        struct audit_ids ids = {.items = items, .count = part, .accounted = accounted};
        if (!audit_account(audit, &ids, err))
            return false;
        for (size_t i = 0; i < part; i++) {
            if (!accounted[i])
                audit_suspect_add(audit, items[i], true);
        }
        audit->done += (int64_t)part;
        if (!audit_suspects_settle(audit, false, err) || !audit_tick(audit, err))
            return false;
    }
    return true;
}

static bool scan(struct audit *audit, int64_t total, struct err *err)
{
    CLEANUP(arena_freep) struct arena *arena = arena_new(LIMIT_ARENA_SIZE);
    struct sink_record *records;
    size_t count = 0, step = 0;
    audit->report->scanned = true;
    if (!sink_scan(audit->sink, audit->collection, 0, SINK_IDS, arena, &records, &step, err))
        return false;
    for (size_t end = (size_t)total; step > 0 && end > 0;) {
        size_t offset = end > step ? end - step : 0;
        arena_reset(arena);
        if (!sink_scan(audit->sink, audit->collection, offset, SINK_IDS, arena, &records, &count,
                       err))
            return false;
        /* a shorter page than the others: what lies behind it is not passed over */
        if (count > 0 && count < end - offset && step > LEAST_STEP) {
            step = count > LEAST_STEP ? count : LEAST_STEP;
            continue;
        }
        if (!look_at_ids(audit, records, count, err))
            return false;
        end = offset;
    }
    return true;
}

/* The list is read from its end again when it is resumed: what was found before is found once more, unless
 * it was erased. */
static void forget_extras(struct audit *audit)
{
    if (audit->options->repair)
        return;
    audit->report->found[AUDIT_STORE][AUDIT_LEFT_OVER] -= audit->extras;
    audit->extras = 0;
}

bool audit_store_walk(struct audit *audit, struct err *err)
{
    int64_t total = 0;
    forget_extras(audit);
    if (!audit_suspects_settle(audit, true, err) ||
        !sink_count(audit->sink, audit->collection, &total, err))
        return false;
    audit->doing = "reading the store's list";
    audit->total = total;
    audit->done = 0;
    return total == audit->accounted ||
           (scan(audit, total, err) && audit_suspects_settle(audit, true, err));
}
