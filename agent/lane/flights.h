/* SPDX-License-Identifier: Apache-2.0 */
/* The batches of a lane that are in flight.
 *
 * The lane's reader begins them, its workers take and end them, side by side, so that one is embedded
 * while another is written. No two that are taken hold the same key, and offsets are stored in the order of
 * reading: up to the first batch that has not ended. Locks inside; which thread may call what is said below.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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
    uint64_t number; /* in the order of reading */
    size_t size;     /* bytes */
    bool small;
    int64_t await_ms;   /* monotonic: until then nothing more is read, if it is small */
    uint64_t *hashes;   /* of its keys, sorted */
    _Atomic bool lost;  /* its partitions may be another's: nothing is written any more */
    _Atomic bool hurry; /* what waits for a server that is away is better given up */
};

struct flights;

/* What waits for a change looks this often whether the lane stops. */
#define FLIGHTS_LOOK_MS 100
/* A batch that takes longer waits for something else than its turn at the store. */
#define FLIGHTS_AWAIT_MS 1000

/* At most `count` at a time. */
struct flights *flights_new(size_t count);
void flights_free(struct flights *flights);

/* --- for the reader's thread --- */

/* Where offsets of what is begun from now on are stored. */
void flights_open(struct flights *flights, struct worklog_reader *log);
/* Before that is closed: what is still in flight is not stored any more, whenever it ends. */
void flights_close(struct flights *flights);
/* How many bytes the next batch may have; 0, after a while: there is no room. */
size_t flights_room(struct flights *flights);
/* There is room. A `small` batch is waited for before more is read, for FLIGHTS_AWAIT_MS at first: see
 * flights_await(). */
void flights_begin(struct flights *flights, const struct worklog_batch *batch, bool small);
/* A batch has to come again that was not begun: nothing behind it is stored. */
void flights_break(struct flights *flights);
/* Stores what has ended. *broken: a batch was given up, and the log has to be read again from there. */
bool flights_settle(struct flights *flights, bool *broken, struct err *err) MUST_USE;
/* The same; *more: some are still in flight that are to be stored, and a while was waited for one of
 * them. */
bool flights_wait(struct flights *flights, bool *more, struct err *err) MUST_USE;
/* What is under way is to end soon, and what is not is given up. */
void flights_hurry(struct flights *flights);
/* What is in flight belongs to others from now on. */
void flights_lose(struct flights *flights);

/* --- for workers --- */

/* The next batch; NULL, after a while: there is none yet. */
struct flight *flights_take(struct flights *flights);
void flights_end(struct flights *flights, struct flight *flight, bool applied);
/* For at most so many ms from now on nothing more is read, if the batch is small and has not ended: what comes
 * meanwhile would only wait behind it for the store, and together it costs less. */
void flights_await(struct flights *flights, struct flight *flight, int64_t ms);
/* Another may have its partitions: nothing may be sent for it. */
bool flights_is_lost(struct flights *flights, const struct flight *flight);
