/* SPDX-License-Identifier: Apache-2.0 */
/* Vectors for the chunks of a round: each distinct content once, whoever in this process wants it. */
#include <stdlib.h>
#include <string.h>

#include "agent/lane/worker_vectors.h"
#include "base/clock.h"

/* Another worker is buying it: it is asked again this often whether it has. */
#define OTHERS_MS 1000

static int compare_want(const void *a, const void *b)
{
    const struct want *x = a, *y = b;
    return memcmp(x->chunk->fp.bytes, y->chunk->fp.bytes, sizeof x->chunk->fp.bytes);
}

static size_t collect(const struct round_part *part, struct want *wants)
{
    size_t count = 0;
    for (size_t i = 0; i < part->count; i++) {
        struct task *task = part->tasks[i];
        for (size_t c = part->from; !task->reject && c < task->chunk_count && c < part->to; c++) {
            struct task_chunk *chunk = &task->chunks[c];
            if (chunk->plan == CHUNK_WRITE && !chunk->vector) {
                if (wants)
                    wants[count] = (struct want){task, chunk};
                count++;
            }
        }
    }
    return count;
}

static struct content_list group(struct worker *worker, const struct round_part *part)
{
    size_t count = collect(part, NULL);
    struct content_list list = {0};
    if (count == 0)
        return list;
    struct want *wants = arena_alloc_array(worker->arena, count, sizeof *wants);
    (void)collect(part, wants);
    qsort(wants, count, sizeof *wants, compare_want);
    list.items = arena_alloc_array(worker->arena, count, sizeof *list.items);
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || compare_want(&wants[i], &wants[i - 1]) != 0)
            list.items[list.count++] = (struct content){.wants = &wants[i]};
        list.items[list.count - 1].want_count++;
        list.items[list.count - 1].fresh |= wants[i].task->row.repair;
    }
    size_t dims = worker->lane->embed.dims;
    for (size_t i = 0; i < list.count; i++) {
        struct task_chunk *chunk = list.items[i].wants[0].chunk;
        if (!chunk->room)
            chunk->room = arena_alloc_array(worker->vectors, dims, sizeof *chunk->room);
        list.items[i].vector = chunk->room;
    }
    return list;
}

static struct vectors_key key_of(const struct worker *worker, const struct content *content)
{
    return (struct vectors_key){.content = content_chunk(content)->fp,
                                .origin = worker->lane->origin,
                                .dims = worker->lane->embed.dims};
}

static void give(struct content *content)
{
    content->known = true;
    for (size_t i = 0; i < content->want_count; i++)
        content->wants[i].chunk->vector = content->vector;
}

static void count_reused(struct worker *worker, size_t count)
{
    atomic_fetch_add(&worker->lane->stats.reused, (int64_t)count);
}

void content_settle(struct worker *worker, struct content *content, bool bought)
{
    struct vectors_key key = key_of(worker, content);
    /* what a store has need not be remembered */
    if (!content->fresh && bought)
        vectors_publish(worker->lane->agent->vectors, &key, content->vector);
    else if (!content->fresh)
        vectors_abandon(worker->lane->agent->vectors, &key);
    content->claimed = false;
    give(content);
    count_reused(worker,
                 content->want_count - 1); /* one is bought or copied, the others are given it */
}

/* Claims what is not known yet. Returns one that another is buying, if any; *mine: how many are to be had
 * here. */
static struct content *claim(struct worker *worker, struct content_list *list, size_t *mine)
{
    struct content *others = NULL;
    *mine = 0;
    for (size_t i = 0; i < list->count; i++) {
        struct content *content = &list->items[i];
        if (content->known || content->set_aside)
            continue;
        if (content->fresh) {
            content->claimed = true;
            ++*mine;
            continue;
        }
        struct vectors_key key = key_of(worker, content);
        switch (vectors_claim(worker->lane->agent->vectors, &key, content->vector)) {
        case VECTORS_HIT:
            give(content);
            count_reused(worker, content->want_count);
            break;
        case VECTORS_MINE:
            content->claimed = true;
            ++*mine;
            break;
        case VECTORS_OTHERS:
            others = content;
            break;
        }
    }
    return others;
}

static void abandon(struct worker *worker, struct content_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        if (!list->items[i].claimed)
            continue;
        struct vectors_key key = key_of(worker, &list->items[i]);
        if (!list->items[i].fresh)
            vectors_abandon(worker->lane->agent->vectors, &key);
        list->items[i].claimed = false;
    }
}

bool worker_embed(struct worker *worker, const struct round_part *part, struct err *err)
{
    struct content_list list = group(worker, part);
    struct content *others = NULL;
    do {
        if (others) {
            struct vectors_key key = key_of(worker, others);
            worker_await(worker, 0);
            (void)vectors_wait(worker->lane->agent->vectors, &key, &worker->flight->hurry,
                               OTHERS_MS);
            if (worker_is_hurried(worker))
                return err_set(err, ERR_CANCEL, ERR_STATE, 0, "given up while waiting");
        }
        size_t mine;
        others = claim(worker, &list, &mine);
        bool ok = mine == 0 || (worker_copy(worker, &list, err) && worker_buy(worker, &list, err));
        abandon(worker, &list);
        if (!ok)
            return false;
    } while (others);
    return true;
}
