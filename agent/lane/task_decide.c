/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "agent/lane/task.h"
#include "base/clock.h"

const char *record_id(struct arena *arena, bool content_ids, const char *source_id, size_t index,
                      const struct sha256 *fp)
{
    if (!content_ids)
        return arena_printf(arena, "%s:%zu", source_id, index);
    return arena_printf(arena, "%s:%zu:%02x%02x%02x%02x", source_id, index, fp->bytes[0],
                        fp->bytes[1], fp->bytes[2], fp->bytes[3]);
}

const char *task_record_id(const struct lane *lane, struct arena *arena, const char *source_id,
                           size_t index, const struct sha256 *fp)
{
    return record_id(arena, lane_has_content_ids(lane), source_id, index, fp);
}

/* The state that the task's item stands for, as a ledger row without chunks. */
static void begin_row(const struct task *task, struct ledger_row *row)
{
    const struct record *record = &task->record->record;
    *row = (struct ledger_row){
        .key = task->key, .gen = record->gen, .ver = record->ver, .offset = task->record->offset};
    /* an item that is applied again for another reason than its age must not lower the row */
    if (task->row.exists &&
        ledger_compare(record->gen, record->ver, task->row.gen, task->row.ver) < 0) {
        row->gen = task->row.gen;
        row->ver = task->row.ver;
        row->offset = task->row.offset;
    }
}

static void done_row(struct arena *arena, const struct task *task, struct ledger_row *row)
{
    begin_row(task, row);
    row->state = LEDGER_DONE;
    row->halved = task->halved;
    row->source_id = task->source_id;
    row->doc_fp = task->doc_fp;
    row->meta_fp = task->meta_fp;
    row->chunk_count = task->chunk_count;
    row->chunks = arena_alloc_array(arena, task->chunk_count + 1, sizeof *row->chunks);
    for (size_t i = 0; i < task->chunk_count; i++)
        row->chunks[i] = task->chunks[i].fp;
    const char **keys = arena_alloc_array(arena, task->metadata_count + 1, sizeof *keys);
    for (size_t i = 0; i < task->metadata_count; i++)
        keys[i] = task->metadata[i].name;
    row->meta_keys = keys;
    row->meta_key_count = task->metadata_count;
}

/* Deleted, or set aside: the store is to hold nothing of it. */
static void empty_row(const struct task *task, struct ledger_row *row)
{
    begin_row(task, row);
    row->state = task->reject ? LEDGER_QUARANTINED : LEDGER_DELETED;
    row->reason = task->reject;
    row->source_id = task->row.source_id;
}

struct id_list {
    const char **items;
    size_t count;
};

static bool same_source(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

/* Records that may be in the store and are not part of the new state: of the last one, and of what
 * an open intent was about to write. An id holds its index: none can equal that of another. */
static void find_stale(const struct lane *lane, struct arena *arena, struct task *task)
{
    const struct ledger_row *row = &task->row;
    const struct ledger_intent *intent = &row->intent;
    size_t pending = row->has_intent && intent->source_id ? intent->chunk_count : 0;
    size_t applied = row->source_id ? row->chunk_count : 0;
    size_t kept = task->clearing ? 0 : task->chunk_count;
    bool by_content = lane_has_content_ids(lane);
    struct id_list list = {.items =
                               arena_alloc_array(arena, applied + pending + 1, sizeof(char *))};
    bool is_ours = same_source(row->source_id, task->source_id);
    for (size_t i = 0; i < applied; i++) {
        const struct sha256 *fp = &row->chunks[i];
        if (!(is_ours && i < kept && (!by_content || sha256_equal(fp, &task->chunks[i].fp))))
            list.items[list.count++] = task_record_id(lane, arena, row->source_id, i, fp);
    }
    is_ours = same_source(intent->source_id, task->source_id);
    bool is_rows = same_source(intent->source_id, row->source_id);
    for (size_t i = 0; i < pending; i++) {
        const struct sha256 *fp = &intent->chunks[i];
        bool written =
            is_ours && i < kept && (!by_content || sha256_equal(fp, &task->chunks[i].fp));
        bool listed = is_rows && i < applied && (!by_content || sha256_equal(fp, &row->chunks[i]));
        if (!written && !listed)
            list.items[list.count++] = task_record_id(lane, arena, intent->source_id, i, fp);
    }
    task->stale_ids = list.items;
    task->stale_count = list.count;
}

bool task_is_trusted(const struct task *task)
{
    const struct ledger_row *row = &task->row;
    return row->exists && row->state == LEDGER_DONE && !row->has_intent && !row->repair &&
           same_source(row->source_id, task->source_id);
}

bool task_is_same(const struct task *task)
{
    return task_is_trusted(task) && sha256_equal(&task->row.doc_fp, &task->doc_fp);
}

/* Returns true when any record has to be written. */
static bool plan_chunks(struct task *task)
{
    const struct ledger_row *row = &task->row;
    bool trusted = task_is_trusted(task);
    bool relabel = !trusted || !sha256_equal(&row->meta_fp, &task->meta_fp);
    bool any = false;
    size_t written = row->has_intent && strcmp(row->intent.id, task->held) == 0 ? task->written : 0;
    for (size_t i = 0; i < task->chunk_count; i++) {
        struct task_chunk *chunk = &task->chunks[i];
        if (i < written)
            chunk->plan = CHUNK_KEEP;
        else if (!trusted || i >= row->chunk_count || !sha256_equal(&row->chunks[i], &chunk->fp))
            chunk->plan = CHUNK_WRITE;
        else
            chunk->plan = relabel ? CHUNK_LABEL : CHUNK_KEEP;
        any = any || chunk->plan != CHUNK_KEEP;
    }
    return any;
}

/* Begins an intent to write what `row` holds. Beginning it forgets the one that is open: what that
 * one was about to write beyond this one's chunks is added, so that it is not left over should this
 * one be interrupted as well. */
static void make_intent(struct arena *arena, struct task *task)
{
    struct ledger_row *row = &task->write.row;
    const struct ledger_intent *open = &task->row.intent;
    size_t count = row->chunk_count;
    if (task->row.has_intent && open->source_id && open->chunk_count > count)
        count = open->chunk_count;
    struct sha256 *chunks = arena_alloc_array(arena, count + 1, sizeof *chunks);
    if (row->chunk_count > 0)
        memcpy(chunks, row->chunks, row->chunk_count * sizeof *chunks);
    if (count > row->chunk_count)
        memcpy(chunks + row->chunk_count, open->chunks + row->chunk_count,
               (count - row->chunk_count) * sizeof *chunks);
    const char *source_id = row->chunk_count == 0 && count > 0 ? open->source_id : row->source_id;
    row->has_intent = true;
    row->intent = (struct ledger_intent){.gen = row->gen,
                                         .ver = arena_strdup(arena, row->ver),
                                         .chunks = chunks,
                                         .chunk_count = count};
    row->intent.source_id = source_id ? arena_strdup(arena, source_id) : NULL;
    random_hex(row->intent.id, 16);
}

/* Could an intent of ours not name all that the open one was about to write? */
static bool must_clear(const struct lane *lane, const struct task *task)
{
    const struct ledger_row *row = &task->row;
    const struct ledger_intent *open = &row->intent;
    if (!row->has_intent || !open->source_id || open->chunk_count == 0 || task->chunk_count == 0)
        return false;
    if (!same_source(open->source_id, task->source_id))
        return true;
    bool by_row = same_source(row->source_id, open->source_id);
    for (size_t i = 0; lane_has_content_ids(lane) && i < open->chunk_count && i < task->chunk_count;
         i++) {
        bool remembered =
            by_row && i < row->chunk_count && sha256_equal(&open->chunks[i], &row->chunks[i]);
        if (!remembered && !sha256_equal(&open->chunks[i], &task->chunks[i].fp))
            return true;
    }
    return false;
}

/* Erases all that the store may hold of the document; the row keeps its place in time and a repair
 * mark, for the document itself comes next. */
static void decide_clear(const struct lane *lane, struct arena *arena, struct task *task)
{
    struct ledger_row *was = arena_memdup(arena, &task->row, sizeof task->row);
    was->repair = false;
    task->clearing = true;
    for (size_t i = 0; i < task->chunk_count; i++)
        task->chunks[i].plan = CHUNK_KEEP;
    task->write = (struct ledger_write){.was = was,
                                        .row = {.key = task->key,
                                                .state = LEDGER_DELETED,
                                                .gen = task->row.gen,
                                                .ver = task->row.ver,
                                                .offset = task->row.offset,
                                                .source_id = task->row.source_id}};
    find_stale(lane, arena, task);
    make_intent(arena, task);
    task->step = TASK_WRITE;
}

static void decide_gone(const struct lane *lane, struct arena *arena, struct task *task, int order)
{
    task->chunk_count = 0;
    empty_row(task, &task->write.row);
    find_stale(lane, arena, task);
    /* only a finished write takes a repair mark away */
    if (task->stale_count > 0 || task->row.has_intent || task->row.repair) {
        task->step = TASK_WRITE;
        make_intent(arena, task);
    } else if (order == 0 && task->row.state == task->write.row.state) {
        task->step = TASK_UNCHANGED;
    } else {
        task->step = TASK_RAISE;
    }
}

/* Whatever is known of it stays, also how its text was cut. */
static void decide_same(struct task *task, int order)
{
    struct ledger_row *row = &task->write.row;
    for (size_t i = 0; i < task->chunk_count; i++)
        task->chunks[i].plan = CHUNK_KEEP;
    begin_row(task, row);
    const struct ledger_row *was = &task->row;
    row->state = LEDGER_DONE;
    row->halved = was->halved;
    row->source_id = was->source_id;
    row->doc_fp = was->doc_fp;
    row->meta_fp = was->meta_fp;
    row->chunks = was->chunks;
    row->chunk_count = was->chunk_count;
    row->meta_keys = was->meta_keys;
    row->meta_key_count = was->meta_key_count;
    task->write.same = true;
    task->step = order == 0 ? TASK_UNCHANGED : TASK_RAISE;
}

static void decide_present(const struct lane *lane, struct arena *arena, struct task *task,
                           int order)
{
    if (task_is_same(task)) {
        decide_same(task, order);
        return;
    }
    if (must_clear(lane, task)) {
        decide_clear(lane, arena, task);
        return;
    }
    bool changed = plan_chunks(task);
    done_row(arena, task, &task->write.row);
    find_stale(lane, arena, task);
    if (changed || task->stale_count > 0 || task->row.has_intent || task->row.repair) {
        task->step = TASK_WRITE;
        make_intent(arena, task);
    } else {
        task->step = TASK_RAISE;
    }
}

void task_decide(const struct lane *lane, const char *owner, struct arena *arena, struct task *task)
{
    const struct record *record = &task->record->record;
    const struct ledger_row *row = &task->row;
    task->write = (struct ledger_write){.was = &task->row};
    task->stale_count = 0;
    task->clearing = false;
    task->leftover_key_count = 0;
    int order = row->exists ? ledger_compare(record->gen, record->ver, row->gen, row->ver) : 1;
    bool waits =
        row->has_intent && strcmp(row->intent.owner, owner) != 0 && row->intent.wait_ms > 0;
    if (task->fenced || (order < 0 && !(row->repair && task->reread))) {
        task->step = TASK_STALE; /* a repair is never made of an old image */
    } else if (waits) {
        task->step = TASK_WAIT;
    } else if (task->op == ITEM_DELETE || task->reject) {
        decide_gone(lane, arena, task, order);
    } else {
        decide_present(lane, arena, task, order);
    }
}
