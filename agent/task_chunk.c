/* SPDX-License-Identifier: Apache-2.0 */
/* The chunks of one document. */
#include <string.h>

#include "agent/task.h"
#include "base/limits.h"
#include "embed/chunk.h"

/* The place of a span of text among the chunks of its document. */
static void set_chunk(const struct lane *lane, struct arena *arena, const struct task *task,
                      struct task_chunk *chunk)
{
    size_t index = (size_t)(chunk - task->chunks);
    chunk->fp = content_fp(chunk->text, chunk->size);
    chunk->id = task_record_id(lane, arena, task->source_id, index, &chunk->fp);
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
}

void task_split(const struct lane *lane, struct arena *arena, struct task *task)
{
    const struct task_chunk *before = task->chunks;
    size_t count = task->chunk_count, at = 0;
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
