/* SPDX-License-Identifier: Apache-2.0 */
/* The chunks of one document. */
#include <string.h>

#include "agent/lane/task.h"
#include "base/limits.h"
#include "embed/chunk.h"

/* A chunk is halved as often as this where that is known from before. */
#define MOST_HALVINGS 5
#define MOST_COMPARED ((size_t)4096)

/* The place of a span of text among the chunks of its document. */
static void set_chunk(const struct lane *lane, struct arena *arena, const struct task *task,
                      struct task_chunk *chunk)
{
    size_t index = (size_t)(chunk - task->chunks);
    chunk->fp = content_fp(chunk->text, chunk->size);
    chunk->id = task_record_id(lane, arena, task->source_id, index, &chunk->fp);
}

static bool holds(const struct ledger_row *row, const char *text, size_t size)
{
    struct sha256 fp = content_fp(text, size);
    bool found = false;
    for (size_t i = 0; !found && i < row->chunk_count; i++)
        found = sha256_equal(&row->chunks[i], &fp);
    return found;
}

/* Was it cut in two, or its halves were, when the row was written? */
static bool was_halved(const struct ledger_row *row, const char *text, size_t size, int depth)
{
    size_t cut = depth > 0 ? chunk_halve(text, size) : 0;
    return cut > 0 && (holds(row, text, cut) || holds(row, text + cut, size - cut) ||
                       was_halved(row, text, cut, depth - 1) ||
                       was_halved(row, text + cut, size - cut, depth - 1));
}

/* What is known to be too long need not be found out again. */
static void cut_as_before(const struct lane *lane, struct arena *arena, struct task *task)
{
    const struct ledger_row *row = &task->row;
    if (row->state != LEDGER_DONE || !row->halved || row->chunk_count > MOST_COMPARED)
        return;
    bool any = true;
    for (int depth = MOST_HALVINGS; any && !task->reject && depth > 0; depth--) {
        any = false;
        for (size_t i = 0; i < task->chunk_count; i++) {
            struct task_chunk *chunk = &task->chunks[i];
            chunk->too_long = !holds(row, chunk->text, chunk->size) &&
                              was_halved(row, chunk->text, chunk->size, depth);
            any = any || chunk->too_long;
        }
        if (any)
            task_split(lane, arena, task);
    }
}

void task_chunk(const struct lane *lane, struct arena *arena, struct task *task)
{
    struct chunk_list list;
    task->chunked = true;
    chunk_text(&lane->embed.chunk, task->text, task->text_size, arena, &list);
    if (list.count > LIMIT_CHUNKS_PER_DOCUMENT) {
        task->reject = arena_printf(arena, "%zu chunks are more than %zu", list.count,
                                    LIMIT_CHUNKS_PER_DOCUMENT);
        return;
    }
    task->chunks = arena_alloc_array(arena, list.count + 1, sizeof *task->chunks);
    task->chunk_count = list.count;
    for (size_t i = 0; i < list.count; i++) {
        task->chunks[i] = (struct task_chunk){.text = task->text + list.spans[i].start,
                                              .size = list.spans[i].size};
        set_chunk(lane, arena, task, &task->chunks[i]);
    }
    cut_as_before(lane, arena, task);
}

void task_split(const struct lane *lane, struct arena *arena, struct task *task)
{
    const struct task_chunk *before = task->chunks;
    size_t count = task->chunk_count, at = 0;
    task->halved = true;
    task->chunks = arena_alloc_array(arena, 2 * count + 1, sizeof *task->chunks);
    for (size_t i = 0; i < count && !task->reject; i++) {
        struct task_chunk left = before[i], right = before[i];
        left.too_long = right.too_long = false;
        size_t cut = before[i].too_long ? chunk_halve(left.text, left.size) : 0;
        if (before[i].too_long && cut == 0)
            task->reject = arena_printf(
                arena, "a chunk of %zu bytes is too long for the model and cannot be cut",
                left.size);
        left.size = cut;
        right.text += cut;
        right.size -= cut;
        if (cut > 0) {
            left.room = right.room = NULL;
            task->chunks[at++] = left;
        }
        task->chunks[at++] = right;
    }
    task->chunk_count = at;
    for (size_t i = 0; i < at; i++)
        set_chunk(lane, arena, task, &task->chunks[i]);
    if (!task->reject && at > LIMIT_CHUNKS_PER_DOCUMENT)
        task->reject =
            arena_printf(arena, "%zu chunks are more than %zu", at, LIMIT_CHUNKS_PER_DOCUMENT);
}
