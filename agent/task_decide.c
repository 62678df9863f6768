/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "agent/task.h"
#include "base/clock.h"

const char *task_record_id(const struct lane *lane, struct arena *arena, const char *source_id,
                           size_t index, const struct sha256 *fp)
{
    if (strcmp(lane->embed.id_scheme, "content") != 0)
        return arena_printf(arena, "%s:%zu", source_id, index);
    return arena_printf(arena, "%s:%zu:%02x%02x%02x%02x", source_id, index, fp->bytes[0],
                        fp->bytes[1], fp->bytes[2], fp->bytes[3]);
}

static bool same(const struct sha256 *a, const struct sha256 *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
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

static bool is_written(const struct task *task, const char *id)
{
    for (size_t i = 0; i < task->chunk_count; i++) {
        if (strcmp(task->chunks[i].id, id) == 0)
            return true;
    }
    return false;
}

static void add_stale(const struct task *task, const char *id, struct id_list *list)
{
    if (!is_written(task, id))
        list->items[list->count++] = id;
}

/* Records that may be in the store and are not part of the new state: of the last one, and of what
 * an open intent was about to write. */
static void find_stale(const struct lane *lane, struct arena *arena, struct task *task)
{
    const struct ledger_row *row = &task->row;
    const struct ledger_intent *intent = row->has_intent ? &row->intent : NULL;
    size_t most = row->chunk_count + (intent ? intent->chunk_count : 0);
    struct id_list list = {.items = arena_alloc_array(arena, most + 1, sizeof(char *))};
    bool same_ids = task->source_id && row->source_id &&
                    strcmp(task->source_id, row->source_id) == 0 &&
                    strcmp(lane->embed.id_scheme, "content") != 0;
    for (size_t i = 0; row->source_id && i < row->chunk_count; i++) {
        if (same_ids && i < task->chunk_count)
            continue; /* the same id is written again: no need to look */
        add_stale(task, task_record_id(lane, arena, row->source_id, i, &row->chunks[i]), &list);
    }
    for (size_t i = 0; intent && intent->source_id && i < intent->chunk_count; i++)
        add_stale(task, task_record_id(lane, arena, intent->source_id, i, &intent->chunks[i]),
                  &list);
    task->stale_ids = list.items;
    task->stale_count = list.count;
}

static size_t find_chunk(const struct ledger_row *row, const struct sha256 *fp)
{
    size_t i = 0;
    while (i < row->chunk_count && !same(&row->chunks[i], fp))
        i++;
    return i;
}

/* Nothing of the store may be trusted while an intent is open, or after a repair was asked for. */
static bool is_trusted(const struct task *task)
{
    const struct ledger_row *row = &task->row;
    return row->exists && row->state == LEDGER_DONE && !row->has_intent && !row->repair &&
           row->source_id && task->source_id && strcmp(row->source_id, task->source_id) == 0;
}

/* Returns true when any record has to be written. */
static bool plan_chunks(struct task *task)
{
    const struct ledger_row *row = &task->row;
    bool trusted = is_trusted(task);
    bool relabel = !trusted || !same(&row->meta_fp, &task->meta_fp);
    bool any = false;
    for (size_t i = 0; i < task->chunk_count; i++) {
        struct task_chunk *chunk = &task->chunks[i];
        size_t at = trusted ? find_chunk(row, &chunk->fp) : row->chunk_count;
        if (trusted && i < row->chunk_count && same(&row->chunks[i], &chunk->fp)) {
            chunk->plan = relabel ? CHUNK_LABEL : CHUNK_KEEP;
        } else if (trusted && at < row->chunk_count) {
            chunk->plan = CHUNK_COPY;
            chunk->from = at;
        } else {
            chunk->plan = CHUNK_EMBED;
        }
        any = any || chunk->plan != CHUNK_KEEP;
    }
    return any;
}

static void make_intent(struct arena *arena, struct task *task)
{
    struct ledger_row *row = &task->write.row;
    row->has_intent = true;
    row->intent = (struct ledger_intent){.gen = row->gen,
                                         .ver = arena_strdup(arena, row->ver),
                                         .chunks = row->chunks,
                                         .chunk_count = row->chunk_count};
    row->intent.source_id = row->source_id ? arena_strdup(arena, row->source_id) : NULL;
    random_hex(row->intent.id, 16);
}

static void decide_gone(const struct lane *lane, struct arena *arena, struct task *task)
{
    task->chunk_count = 0;
    empty_row(task, &task->write.row);
    find_stale(lane, arena, task);
    task->step = TASK_RAISE;
    if (task->stale_count > 0 || task->row.has_intent) {
        task->step = TASK_WRITE;
        make_intent(arena, task);
    }
}

static void decide_present(const struct lane *lane, struct arena *arena, struct task *task,
                           int order)
{
    bool changed = plan_chunks(task);
    done_row(arena, task, &task->write.row);
    find_stale(lane, arena, task);
    bool trusted = is_trusted(task);
    if (changed || task->stale_count > 0 || task->row.has_intent) {
        task->step = TASK_WRITE;
        make_intent(arena, task);
    } else if (trusted && order == 0 && same(&task->row.doc_fp, &task->doc_fp)) {
        task->step = TASK_UNCHANGED;
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
    if (row->has_intent && strcmp(row->intent.owner, owner) != 0 && row->intent.wait_ms > 0) {
        task->step = TASK_WAIT;
        return;
    }
    if (task->fenced) {
        task->step = TASK_STALE;
        return;
    }
    int order = row->exists ? ledger_compare(record->gen, record->ver, row->gen, row->ver) : 1;
    if (order < 0 && !row->repair) {
        task->step = TASK_STALE;
    } else if (task->op == ITEM_DELETE || task->reject) {
        decide_gone(lane, arena, task);
        if (order == 0 && task->step == TASK_RAISE && row->state == task->write.row.state)
            task->step = TASK_UNCHANGED;
    } else {
        decide_present(lane, arena, task, order);
    }
}
