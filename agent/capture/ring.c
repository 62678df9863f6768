/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/capture/ring.h"

#include <assert.h>
#include <stdlib.h>

#include "base/limits.h"

/* Room for the marks that follow the last record: a token, and two for each range that is read. */
#define MARK_ROOM 16384

struct entry {
    bool done;
    struct mark *mark; /* NULL: a record */
};

struct ring {
    struct entry *entries; /* [LIMIT_RING_ENTRIES] */
    uint64_t head;         /* ticket of the oldest */
    uint64_t tail;         /* ticket of the next */
    size_t records;
};

struct ring *ring_new(void)
{
    struct ring *ring = calloc(1, sizeof *ring);
    ring->entries = calloc(LIMIT_RING_ENTRIES, sizeof *ring->entries);
    return ring;
}

static struct entry *entry_of(const struct ring *ring, uint64_t ticket)
{
    return &ring->entries[ticket % LIMIT_RING_ENTRIES];
}

static void mark_free(struct mark *mark)
{
    if (!mark)
        return;
    free(mark->token);
    bson_destroy(mark->cursor);
    free(mark);
}

void ring_clear(struct ring *ring)
{
    for (; ring->head < ring->tail; ring->head++) {
        mark_free(entry_of(ring, ring->head)->mark);
        *entry_of(ring, ring->head) = (struct entry){0};
    }
    ring->records = 0;
}

void ring_free(struct ring *ring)
{
    if (!ring)
        return;
    ring_clear(ring);
    free(ring->entries);
    free(ring);
}

bool ring_is_full(const struct ring *ring)
{
    return ring->tail - ring->head >= LIMIT_RING_ENTRIES - MARK_ROOM;
}

size_t ring_records(const struct ring *ring)
{
    return ring->records;
}

static uint64_t push(struct ring *ring, struct entry entry)
{
    assert(ring->tail - ring->head < LIMIT_RING_ENTRIES);
    *entry_of(ring, ring->tail) = entry;
    return ring->tail++;
}

uint64_t ring_record(struct ring *ring)
{
    ring->records++;
    return push(ring, (struct entry){0});
}

void ring_done(struct ring *ring, uint64_t ticket)
{
    if (ticket < ring->head || ticket >= ring->tail)
        return; /* of a ring that was cleared meanwhile */
    struct entry *entry = entry_of(ring, ticket);
    assert(!entry->mark);
    if (!entry->done)
        ring->records--;
    entry->done = true;
}

/* The mark behind the last record that `mark` makes superfluous: all of them become durable at the
 * same moment. */
static struct mark *superseded(const struct ring *ring, const struct mark *mark)
{
    for (uint64_t ticket = ring->tail; ticket > ring->head; ticket--) {
        struct mark *before = entry_of(ring, ticket - 1)->mark;
        if (!before)
            return NULL;
        bool same = before->feed == mark->feed && before->range == mark->range;
        if (before->kind == mark->kind && (mark->kind == MARK_TOKEN || same))
            return before;
    }
    return NULL;
}

void ring_mark(struct ring *ring, const struct mark *mark)
{
    struct mark *before = superseded(ring, mark);
    if (before) {
        int64_t rows = before->rows + mark->rows;
        free(before->token);
        bson_destroy(before->cursor);
        *before = *mark;
        before->rows = rows;
        return;
    }
    struct mark *copy = malloc(sizeof *copy);
    *copy = *mark;
    push(ring, (struct entry){.done = true, .mark = copy});
}

bool ring_take(struct ring *ring, struct mark *mark)
{
    while (ring->head < ring->tail && entry_of(ring, ring->head)->done) {
        struct entry *entry = entry_of(ring, ring->head++);
        struct mark *found = entry->mark;
        *entry = (struct entry){0};
        if (found) {
            *mark = *found;
            free(found);
            return true;
        }
    }
    return false;
}
