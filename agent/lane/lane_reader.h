/* SPDX-License-Identifier: Apache-2.0 */
/* The batches of a lane that are in flight.
 *
 * One thread per lane reads them, one consumer of the group; the lane's workers carry them out side by
 * side, so that one is embedded while another is written. No two of them hold the same key, and
 * offsets are stored in the order of reading: up to the first batch that has not ended.
 */
#pragma once

#include "agent/lane/lane.h"
#include "base/arena.h"
#include "cdc/worklog.h"

enum flight_state {
    FLIGHT_FREE,
    FLIGHT_BLOCKED, /* one before it holds a key of it */
    FLIGHT_WAITING, /* for a worker */
    FLIGHT_TAKEN,
    FLIGHT_APPLIED,  /* every record is applied, dropped or set aside */
    FLIGHT_GIVEN_UP, /* its records have to come again */
};

struct flight {
    struct worklog_batch batch; /* copies in `arena` */
    struct arena *arena;        /* the reader's until it is taken, and again when it has ended */
    enum flight_state state;
    uint64_t number;    /* in the order of reading */
    size_t size;        /* bytes */
    uint64_t *hashes;   /* of its keys, sorted */
    _Atomic bool lost;  /* its partitions may be another's: nothing is written any more */
    _Atomic bool hurry; /* what waits for a server that is away is better given up */
};

struct lane_reader;

struct lane_reader *lane_reader_new(struct lane *lane);
void lane_reader_free(struct lane_reader *reader);
/* The thread's function: returns when the lane stops and no batch is in flight any more. */
void lane_reader_run(struct lane_reader *reader);

/* --- for workers --- */

/* The next batch; NULL: the lane stops. */
struct flight *flight_take(struct lane_reader *reader);
void flight_end(struct lane_reader *reader, struct flight *flight, bool applied);
/* Another may have its partitions: nothing may be sent for it. */
bool flight_is_lost(struct lane_reader *reader, struct flight *flight);

/* --- lane_generation.c --- */

struct absence_wait;
/* To be called before a batch whose records go up to the generation `highest`, where that is above the
 * lane's, and before the first after an assignment: partitions that are new may have passed into a generation
 * that none of their records to come tells of. Returns when the lane is in the checkpoint's generation and
 * that is not below `highest`; until then `waiting` is told why. False: it was given up, and nothing of the
 * batch may be applied. */
bool lane_know_generation(struct lane *lane, int64_t highest, const struct absence_wait *wait)
    MUST_USE;

/* --- lane_gap.c --- */

struct lane_gap;
/* A partition stands: sends it to where its generation begins, or asks for a new one and waits. With
 * no batch in flight. `*state` begins as NULL and is kept between calls. */
bool lane_mend_gap(struct lane *lane, struct worklog_reader *reader, const struct worklog_gap *gap,
                   struct lane_gap **state, struct err *err) MUST_USE;
/* Why a partition stands; NULL: none does. */
const char *lane_gap_reason(const struct lane_gap *state);
void lane_forget_gap(struct lane_gap **state);
