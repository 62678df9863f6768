/* SPDX-License-Identifier: Apache-2.0 */
/* What feeds a lane's workers: one thread, one consumer of the group. It reads batches while there is room
 * for more (flights.h), stores the offsets of what has ended, and hands partitions over.
 */
#pragma once

#include "agent/lane/flights.h"
#include "agent/lane/lane.h"
#include "cdc/worklog.h"

struct lane_reader;

struct lane_reader *lane_reader_new(struct lane *lane);
void lane_reader_free(struct lane_reader *reader);
/* The thread's function: returns when the lane stops and no batch is in flight any more. */
void lane_reader_run(struct lane_reader *reader);

/* For the lane's workers. */
struct flights *lane_reader_flights(struct lane_reader *reader);

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
