/* SPDX-License-Identifier: Apache-2.0 */
/* One look at documents: their rows, then their records. The source is read first, the store last: what a
 * worker does meanwhile then shows as a difference, and never hides one. */
#include <stdlib.h>
#include <string.h>

#include "agent/lane/task.h"
#include "agent/verify/audit_state.h"
#include "base/limits.h"
#include "cdc/key.h"

/* Keys of one question to the ledger. */
#define ROWS_PER_READ ((size_t)1000)
/* What is asked of the store at a time, and what it should answer. */
#define IDS_SIZE (8 * MIB)
#define ANSWER_SIZE (16 * MIB)

bool audit_read_rows(struct audit *audit, struct audit_batch *batch, struct err *err)
{
    struct arena *arena = audit->page.results;
    const char **keys = arena_alloc_array(arena, ROWS_PER_READ, sizeof *keys);
    struct ledger_row *rows = arena_alloc_array(arena, ROWS_PER_READ, sizeof *rows);
    for (size_t at = 0, part; at < batch->count; at += part) {
        part = batch->count - at < ROWS_PER_READ ? batch->count - at : ROWS_PER_READ;
        for (size_t i = 0; i < part; i++)
            keys[i] = batch->items[at + i].key;
        memset(rows, 0, part * sizeof *rows);
        if (!ledger_read(audit->ledger, keys, part, arena, rows, err))
            return false;
        for (size_t i = 0; i < part; i++) {
            batch->items[at + i].row = rows[i];
            batch->items[at + i].row.key = keys[i];
        }
    }
    return true;
}

static void judge(struct audit *audit, struct audit_item *item)
{
    struct arena *arena = audit->page.results;
    item->doc = (struct audit_doc){0};
    item->verdict = (struct audit_verdict){0};
    if (item->bson)
        audit_expect(&audit->rules, item->bson, &item->row, &audit->page, &item->doc);
    else if (key_is_stand_in(item->key, strlen(item->key)))
        item->doc = (struct audit_doc){.present = true, .reject = "it cannot be read by its key"};
    audit_judge_row(&item->doc, &item->row, arena, &item->verdict);
    item->unexpected =
        audit_unexpected_ids(&audit->rules, &item->doc, &item->row, arena, &item->unexpected_count);
}

/* --- names that pass from one document to another --------------------------------------------- */

/* Another document's row has this source id as well: the records are not this one's to miss. */
static bool is_anothers(const struct audit_item *item, const char *source_id,
                        const struct ledger_source *sources, size_t count)
{
    bool any = false;
    for (size_t i = 0; !any && i < count; i++)
        any =
            strcmp(sources[i].source_id, source_id) == 0 && strcmp(sources[i].key, item->key) != 0;
    return any;
}

static void keep_own(struct audit *audit, struct audit_item *item,
                     const struct ledger_source *sources, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < item->unexpected_count; i++) {
        const char *source_id;
        size_t index;
        if (audit_split_id(&audit->rules, item->unexpected[i], audit->page.results, &source_id,
                           &index) &&
            !is_anothers(item, source_id, sources, count))
            item->unexpected[kept++] = item->unexpected[i];
    }
    item->unexpected_count = kept;
}

static bool leave_others(struct audit *audit, struct audit_batch *batch, struct err *err)
{
    struct arena *arena = audit->page.results;
    const char **ids = arena_alloc_array(arena, 2 * batch->count + 1, sizeof *ids);
    struct ledger_source *sources;
    size_t count = 0, found = 0;
    for (size_t i = 0; i < batch->count; i++) {
        const struct audit_item *item = &batch->items[i];
        if (item->unexpected_count > 0 && item->row.source_id)
            ids[count++] = item->row.source_id;
        if (item->unexpected_count > 0 && item->row.has_intent && item->row.intent.source_id)
            ids[count++] = item->row.intent.source_id;
    }
    if (audit->rules.by_id || count == 0)
        return true;
    if (!ledger_find_sources(audit->ledger, ids, count, arena, &sources, &found, err))
        return false;
    for (size_t i = 0; i < batch->count; i++)
        keep_own(audit, &batch->items[i], sources, found);
    return true;
}

/* --- records ---------------------------------------------------------------------------------- */

struct want {
    struct audit_item *item;
    size_t index; /* of the chunk; SIZE_MAX: the store should not have it */
    const char *id;
};

/* Goes through all ids of a batch, as many at a time as make one question. */
struct part {
    size_t item;
    size_t at; /* within the item: its chunks, then what is unexpected */
    struct want *wants;
    const char **ids;
    size_t count;
};

static size_t answer_size(const struct audit *audit, const struct audit_doc *doc)
{
    size_t text =
        audit->rules.texts && doc->chunk_count > 0 ? 2 * doc->text_size / doc->chunk_count : 0;
    return text + doc->metadata_size + 1024;
}

static bool next_want(const struct audit *audit, const struct audit_batch *batch, struct part *part,
                      struct want *want)
{
    for (; part->item < batch->count; part->item++, part->at = 0) {
        struct audit_item *item = &batch->items[part->item];
        size_t expected = (size_t)item->verdict.expected;
        if (part->at < expected) {
            *want = (struct want){.item = item, .index = part->at};
            want->id = record_id(audit->page.scratch, audit->rules.content_ids, item->doc.source_id,
                                 part->at, &item->doc.chunks[part->at]);
        } else if (part->at < expected + item->unexpected_count) {
            *want = (struct want){
                .item = item, .index = SIZE_MAX, .id = item->unexpected[part->at - expected]};
        } else {
            continue;
        }
        part->at++;
        return true;
    }
    return false;
}

static void fill_part(const struct audit *audit, const struct audit_batch *batch, struct part *part)
{
    size_t most = audit->sink->limits.max_ids, asked = 0, answer = 0;
    struct arena *arena = audit->page.scratch;
    part->wants = arena_alloc_array(arena, most, sizeof *part->wants);
    part->ids = arena_alloc_array(arena, most, sizeof *part->ids);
    part->count = 0;
    while (part->count < most && asked < IDS_SIZE && answer < ANSWER_SIZE &&
           next_want(audit, batch, part, &part->wants[part->count])) {
        const struct want *want = &part->wants[part->count];
        part->ids[part->count++] = want->id;
        asked += strlen(want->id);
        answer += answer_size(audit, &want->item->doc);
    }
}

static int by_id(const void *a, const void *b)
{
    return strcmp(((const struct sink_record *)a)->id, ((const struct sink_record *)b)->id);
}

static void judge_record(struct audit *audit, const struct want *want,
                         const struct sink_record *record)
{
    struct audit_item *item = want->item;
    struct audit_finding finding = {.side = AUDIT_STORE, .name = want->id};
    item->verdict.records += record != NULL;
    if (want->index == SIZE_MAX) {
        finding.kind = AUDIT_LEFT_OVER;
        finding.why = record ? "its document has no such chunk" : NULL;
    } else if (!record) {
        finding.kind = AUDIT_MISSING;
        finding.why = "the store does not have it";
    } else {
        finding.kind = AUDIT_STALE;
        finding.why = audit_record_problem(&audit->rules, &item->doc, want->index, record,
                                           audit->page.scratch);
    }
    if (finding.why)
        audit_verdict_add(&item->verdict, audit->page.results, &finding);
}

static bool look_at_part(struct audit *audit, const struct part *part, struct err *err)
{
    struct sink_record *records;
    size_t found = 0;
    unsigned include = SINK_METADATA | (audit->rules.texts ? SINK_TEXT : SINK_IDS);
    if (!sink_fetch(audit->sink, audit->collection, part->ids, part->count, include,
                    audit->page.scratch, &records, &found, err))
        return false;
    if (found > 0)
        qsort(records, found, sizeof *records, by_id);
    for (size_t i = 0; i < part->count; i++) {
        const struct sink_record wanted = {.id = part->ids[i]};
        const struct sink_record *record =
            found > 0 ? bsearch(&wanted, records, found, sizeof wanted, by_id) : NULL;
        judge_record(audit, &part->wants[i], record);
    }
    return true;
}

bool audit_look(struct audit *audit, struct audit_batch *batch, struct err *err)
{
    struct part part = {0};
    if (!audit_read_rows(audit, batch, err))
        return false;
    for (size_t i = 0; i < batch->count; i++)
        judge(audit, &batch->items[i]);
    if (!leave_others(audit, batch, err))
        return false;
    while (true) {
        arena_reset(audit->page.scratch);
        fill_part(audit, batch, &part);
        if (part.count == 0)
            return true;
        if (!look_at_part(audit, &part, err) || !audit_tick(audit, err))
            return false;
    }
}
