/* SPDX-License-Identifier: Apache-2.0 */
/* What differed is looked at again, with growing pauses: mostly it was only in flight. What still differs
 * when its lane has had the time to apply it is a difference. */
#include <stdlib.h>
#include <string.h>

#include "agent/verify/audit_state.h"
#include "base/clock.h"
#include "base/limits.h"
#include "cdc/key.h"

/* How many there may be: what is written down with the place has to fit into a document. */
#define MOST_SUSPECTS ((size_t)10000)
#define MOST_SIZE (2 * MIB)
/* Room that is kept for the next page. */
#define PAGE_SUSPECTS ((size_t)1000)
/* Of one look. */
#define LOOK_SUSPECTS ((size_t)500)

#define FIRST_PAUSE_MS 500
#define PAUSE_MAX_MS 4000
/* A document that has said the same for this long, at this many looks at least. */
#define SAME_MS 2000
#define LEAST_LOOKS 3
/* Beyond the lag that was noted: for what the note does not know of yet. */
#define MARGIN_MS 3000
/* A lag above this is not waited for: what differs may be under way, and nobody can tell. */
#define LAG_MAX_MS 30000
/* A document that was another one at this many looks is left out: each time it would have to be waited for
 * anew. */
#define MOST_CHANGES 5
/* How long nothing may be known of the lag of a version that is fed, and how long a suspect lasts. */
#define UNKNOWN_MS 15000
#define PATIENCE_MS 60000

void audit_suspects_fini(struct audit_suspects *suspects)
{
    for (size_t i = 0; i < suspects->count; i++)
        free(suspects->items[i].name);
    free(suspects->items);
    *suspects = (struct audit_suspects){0};
}

void audit_suspect_add(struct audit *audit, const char *name, bool is_record)
{
    struct audit_suspects *suspects = &audit->suspects;
    size_t size = strlen(name);
    uint64_t hash = key_hash(name, size);
    for (size_t i = 0; i < suspects->count; i++) {
        const struct audit_suspect *known = &suspects->items[i];
        if (known->hash == hash && known->is_record == is_record && strcmp(known->name, name) == 0)
            return;
    }
    suspects->items = reallocarray(suspects->items, suspects->count + 1, sizeof *suspects->items);
    int64_t now_ms = clock_mono_ms();
    suspects->items[suspects->count++] = (struct audit_suspect){.name = strdup(name),
                                                                .is_record = is_record,
                                                                .hash = hash,
                                                                .first_ms = now_ms,
                                                                .due_ms = now_ms + FIRST_PAUSE_MS};
    suspects->size += size;
    audit->report->looked_again++;
}

/* The note tells how old the oldest change is that is not applied; the document is older than that. */
enum audit_passed audit_suspect_passed(const struct audit_suspect *suspect,
                                       const struct audit_lane *lane, int64_t now_ms, bool *behind)
{
    *behind = false;
    if (suspect->looks < LEAST_LOOKS || now_ms - suspect->same_ms < SAME_MS)
        return AUDIT_PASSED_NOT_YET;
    if (suspect->is_record)
        return AUDIT_PASSED; /* a row or an intent is written before the record, and goes after it */
    if (lane->is_fed && lane->lag_ms >= 0 &&
        lane->at_ms - suspect->note_ms >= MARGIN_MS + lane->lag_ms)
        return AUDIT_PASSED;
    bool unknown = lane->lag_ms < 0 && now_ms - suspect->first_ms >= UNKNOWN_MS;
    *behind = !lane->is_fed || lane->lag_ms > LAG_MAX_MS || unknown ||
              now_ms - suspect->first_ms >= PATIENCE_MS;
    if (!*behind)
        return AUDIT_PASSED_NOT_YET;
    return lane->is_fed ? AUDIT_PASSED_UNKNOWN : AUDIT_PASSED;
}

static void remove_suspect(struct audit_suspects *suspects, size_t index)
{
    suspects->size -= strlen(suspects->items[index].name);
    free(suspects->items[index].name);
    suspects->items[index] = suspects->items[--suspects->count];
}

/* `settled`: indexes, rising. */
static void remove_settled(struct audit_suspects *suspects, const size_t *settled, size_t count)
{
    while (count > 0)
        remove_suspect(suspects, settled[--count]);
}

static void look_later(struct audit_suspect *suspect, int64_t now_ms)
{
    int64_t pause_ms = PAUSE_MAX_MS;
    if (suspect->looks < 3)
        pause_ms = (int64_t)FIRST_PAUSE_MS << suspect->looks;
    suspect->due_ms = now_ms + pause_ms;
}

static size_t at_once(const struct audit_suspects *suspects)
{
    return suspects->at_once > 0 ? suspects->at_once : LOOK_SUSPECTS;
}

/* The ones of a kind whose time has come. */
struct due {
    size_t *indexes; /* rising */
    size_t count;
};

static struct due find_due(struct audit *audit, bool records)
{
    struct arena *arena = audit->page.results;
    size_t most = records ? LOOK_SUSPECTS : at_once(&audit->suspects);
    struct due due = {.indexes = arena_alloc_array(arena, LOOK_SUSPECTS, sizeof(size_t))};
    int64_t now_ms = clock_mono_ms();
    for (size_t i = 0; i < audit->suspects.count && due.count < most; i++) {
        const struct audit_suspect *suspect = &audit->suspects.items[i];
        if (suspect->is_record == records && suspect->due_ms <= now_ms)
            due.indexes[due.count++] = i;
    }
    return due;
}

/* --- documents -------------------------------------------------------------------------------- */

static void note_state(struct audit *audit, struct audit_suspect *suspect,
                       const struct audit_doc *doc, int64_t now_ms)
{
    struct sha256 state = {{0}};
    if (doc->present)
        state = doc->doc_fp;
    bool is_new = suspect->looks == 0 || !sha256_equal(&state, &suspect->state);
    suspect->looks++;
    if (!is_new)
        return;
    suspect->changes++;
    suspect->state = state;
    suspect->same_ms = now_ms;
    suspect->note_ms = audit->lane.at_ms;
}

static void report_verdict(struct audit *audit, const struct audit_verdict *verdict)
{
    struct audit_report *report = audit->report;
    for (size_t side = 0; side < AUDIT_SIDES; side++) {
        for (size_t kind = 0; kind < AUDIT_KINDS; kind++) {
            report->found[side][kind] += verdict->found[side][kind];
            if (verdict->first[side][kind])
                audit_add_example(report, verdict->first[side][kind]);
        }
    }
}

enum outcome { OUTCOME_EQUAL, OUTCOME_DIFFERS, OUTCOME_UNSETTLED, OUTCOME_LATER };

static enum outcome judge_document(struct audit *audit, struct audit_suspect *suspect,
                                   const struct audit_item *item)
{
    int64_t now_ms = clock_mono_ms();
    bool behind;
    note_state(audit, suspect, &item->doc, now_ms);
    if (audit_verdict_is_clean(&item->verdict))
        return OUTCOME_EQUAL;
    enum audit_passed passed = audit_suspect_passed(suspect, &audit->lane, now_ms, &behind);
    audit->report->behind = audit->report->behind || behind;
    if (passed != AUDIT_PASSED_NOT_YET)
        return passed == AUDIT_PASSED ? OUTCOME_DIFFERS : OUTCOME_UNSETTLED;
    if (suspect->changes >= MOST_CHANGES || now_ms - suspect->first_ms >= PATIENCE_MS)
        return OUTCOME_UNSETTLED;
    look_later(suspect, now_ms);
    return OUTCOME_LATER;
}

static int by_key(const void *key, const void *item)
{
    return strcmp(key, ((const struct audit_item *)item)->key);
}

static void report_document(struct audit *audit, const struct audit_item *item,
                            enum outcome outcome)
{
    audit->accounted += item->verdict.records;
    audit->report->unsettled += outcome == OUTCOME_UNSETTLED;
    if (outcome == OUTCOME_DIFFERS)
        report_verdict(audit, &item->verdict);
}

/* Marked first, and only then reported and forgotten: an audit that is cut in between looks again. */
static bool judge_documents(struct audit *audit, const struct due *due,
                            const struct audit_batch *batch, struct err *err)
{
    struct arena *arena = audit->page.results;
    size_t *settled = arena_alloc_array(arena, due->count + 1, sizeof *settled);
    enum outcome *outcomes = arena_alloc_array(arena, due->count + 1, sizeof *outcomes);
    const struct audit_item **items = arena_alloc_array(arena, due->count + 1, sizeof(void *));
    const char **broken = arena_alloc_array(arena, due->count + 1, sizeof *broken);
    size_t count = 0, broken_count = 0;
    for (size_t i = 0; i < due->count; i++) {
        struct audit_suspect *suspect = &audit->suspects.items[due->indexes[i]];
        items[count] =
            bsearch(suspect->name, batch->items, batch->count, sizeof *batch->items, by_key);
        if (!items[count])
            continue; /* it had no room, and stays due */
        outcomes[count] = judge_document(audit, suspect, items[count]);
        if (outcomes[count] == OUTCOME_DIFFERS)
            broken[broken_count++] = items[count]->key;
        if (outcomes[count] != OUTCOME_LATER)
            settled[count++] = due->indexes[i];
    }
    if (!audit_repair_keys(audit, broken, broken_count, err))
        return false;
    for (size_t i = 0; i < count; i++)
        report_document(audit, items[i], outcomes[i]);
    remove_settled(&audit->suspects, settled, count);
    return true;
}

/* Those that had no room are looked at by the next look, which asks for as many as had it; the ones after
 * that ask for more again. */
static void leave_out(struct audit *audit, struct audit_batch *batch)
{
    size_t kept = 0, asked = batch->count, more = 2 * at_once(&audit->suspects);
    for (size_t i = 0; i < asked; i++) {
        if (!batch->items[i].left_out)
            batch->items[kept++] = batch->items[i];
    }
    batch->count = kept;
    audit->suspects.at_once = kept < asked ? kept : more < LOOK_SUSPECTS ? more : 0;
}

static bool look_at_documents(struct audit *audit, const struct due *due, struct err *err)
{
    struct arena *arena = audit->page.results;
    CLEANUP(audit_batch_fini)
    struct audit_batch batch = {
        .items = arena_alloc_array(arena, due->count + 1, sizeof(struct audit_item)),
        .count = due->count,
        .room = AUDIT_DOCUMENTS_SIZE};
    for (size_t i = 0; i < due->count; i++)
        batch.items[i].key = arena_strdup(arena, audit->suspects.items[due->indexes[i]].name);
    if (due->count == 0)
        return true;
    if (!audit_lane_look(audit, err) || !audit_source_ask(audit, &batch, err))
        return false;
    leave_out(audit, &batch);
    return audit_look(audit, &batch, err) && judge_documents(audit, due, &batch, err);
}

/* --- records ---------------------------------------------------------------------------------- */

static void report_record(struct audit *audit, const char *id)
{
    struct audit_verdict verdict = {0};
    struct audit_finding finding = {.side = AUDIT_STORE,
                                    .kind = AUDIT_LEFT_OVER,
                                    .name = id,
                                    .why = "no document and no row accounts for it"};
    audit_verdict_add(&verdict, audit->page.results, &finding);
    report_verdict(audit, &verdict);
    audit->extras++;
}

/* Which of the ids the store has. */
static bool find_held(struct audit *audit, const struct audit_ids *ids, bool *held, struct err *err)
{
    struct sink_record *records;
    size_t found = 0;
    memset(held, 0, ids->count * sizeof *held);
    if (!sink_fetch(audit->sink, audit->collection, ids->items, ids->count, SINK_IDS,
                    audit->page.results, &records, &found, err))
        return false;
    for (size_t i = 0; i < ids->count; i++) {
        for (size_t r = 0; !held[i] && r < found; r++)
            held[i] = strcmp(records[r].id, ids->items[i]) == 0;
    }
    return true;
}

static bool judge_records(struct audit *audit, const struct due *due, const struct audit_ids *ids,
                          const bool *held, struct err *err)
{
    struct arena *arena = audit->page.results;
    size_t *settled = arena_alloc_array(arena, due->count + 1, sizeof *settled);
    const char **extra = arena_alloc_array(arena, due->count + 1, sizeof *extra);
    size_t settled_count = 0, extra_count = 0;
    int64_t now_ms = clock_mono_ms();
    for (size_t i = 0; i < due->count; i++) {
        struct audit_suspect *suspect = &audit->suspects.items[due->indexes[i]];
        bool behind;
        if (suspect->looks++ == 0)
            suspect->same_ms = now_ms;
        bool is_extra = held[i] && !ids->accounted[i];
        if (is_extra &&
            audit_suspect_passed(suspect, &audit->lane, now_ms, &behind) == AUDIT_PASSED_NOT_YET) {
            look_later(suspect, now_ms);
            continue;
        }
        settled[settled_count++] = due->indexes[i];
        if (is_extra)
            extra[extra_count++] = ids->items[i];
    }
    if (!audit_erase_records(audit, extra, extra_count, err))
        return false;
    for (size_t i = 0; i < extra_count; i++)
        report_record(audit, extra[i]);
    remove_settled(&audit->suspects, settled, settled_count);
    return true;
}

static bool look_at_records(struct audit *audit, const struct due *due, struct err *err)
{
    struct arena *arena = audit->page.results;
    const char **items = arena_alloc_array(arena, due->count + 1, sizeof *items);
    bool *held = arena_alloc_array(arena, due->count + 1, sizeof *held);
    bool *accounted = arena_alloc_array(arena, due->count + 1, sizeof *accounted);
    struct audit_ids ids = {
        .items = items, .count = due->count, .accounted = accounted, .sources = audit->rules.by_id};
    for (size_t i = 0; i < due->count; i++) {
        const struct audit_suspect *suspect = &audit->suspects.items[due->indexes[i]];
        items[i] = arena_strdup(arena, suspect->name);
        /* the source is asked when it decides: that may be a pass over the collection */
        ids.sources = ids.sources || suspect->looks + 1 >= LEAST_LOOKS;
    }
    return due->count == 0 ||
           (find_held(audit, &ids, held, err) && audit_account(audit, &ids, err) &&
            judge_records(audit, due, &ids, held, err));
}

/* --- when ------------------------------------------------------------------------------------- */

static bool look_again(struct audit *audit, bool *any, struct err *err)
{
    arena_reset(audit->page.results);
    struct due documents = find_due(audit, false);
    *any = documents.count > 0;
    if (!look_at_documents(audit, &documents, err))
        return false;
    arena_reset(audit->page.results);
    struct due records = find_due(audit, true);
    *any = *any || records.count > 0;
    return look_at_records(audit, &records, err);
}

static bool has_room(const struct audit_suspects *suspects)
{
    return suspects->count + PAGE_SUSPECTS <= MOST_SUSPECTS && suspects->size < MOST_SIZE;
}

bool audit_suspects_settle(struct audit *audit, bool all, struct err *err)
{
    while (true) {
        bool any;
        if (!look_again(audit, &any, err))
            return false;
        bool enough = all ? audit->suspects.count == 0 : !any && has_room(&audit->suspects);
        if (enough)
            return true;
        if (!any && !audit_pause(audit, 100, err))
            return false;
    }
}
