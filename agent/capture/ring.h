/* SPDX-License-Identifier: Apache-2.0 */
/* What capture has appended to the work log and not yet seen delivered, in order.
 *
 * Records are marked done as their delivery is reported, in any order; between them stand marks:
 * positions that become durable once every record before them is done. One thread.
 */
#pragma once

#include <bson/bson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum mark_kind {
    MARK_TOKEN,  /* the stream is durable up to `token` */
    MARK_CURSOR, /* range `range` of the snapshot of feed `feed` is durable up to `cursor` */
    MARK_END,    /* that range has been read to its end */
};

struct mark {
    enum mark_kind kind;
    char *token;    /* owned */
    bson_t *cursor; /* owned */
    size_t feed;
    size_t range;
    int64_t gen;  /* CURSOR, END: the generation whose rows were read */
    int64_t rows; /* read since the last mark of this feed */
};

struct ring;

struct ring *ring_new(void);
void ring_free(struct ring *ring);

bool ring_is_full(const struct ring *ring);
size_t ring_records(const struct ring *ring); /* not yet done */
/* Reserves the ticket of the next record; ring_done() with it later. */
uint64_t ring_record(struct ring *ring);
void ring_done(struct ring *ring, uint64_t ticket);
/* Puts a mark behind everything so far; takes what it points to. Of the marks behind the last record,
 * one of the same kind, feed and range takes the place of the one before it, with the rows of both:
 * however many there are while deliveries stand still, they need no more room than one per kind, feed
 * and range. */
void ring_mark(struct ring *ring, const struct mark *mark);
/* The next mark whose records are all done; the caller frees what it points to. */
bool ring_take(struct ring *ring, struct mark *mark);
void ring_clear(struct ring *ring);
