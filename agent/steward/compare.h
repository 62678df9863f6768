/* SPDX-License-Identifier: Apache-2.0 */
/* Deletes that a lane may have missed. A compacted topic forgets a delete once worklog.retention is over;
 * a lane that was away for longer reads on without a word about it. Two halves:
 *
 * - absence.c, in every process: sees by the records that a lane was away for too long, and writes the
 *   wish for a comparison down before the records are applied;
 * - compare.c, where the family is led: once the lane has caught up, every document of its ledger is looked
 *   for in the source. What is gone is marked for repair: it is read again and erased the usual way.
 *   As a sweep it asks first where that would be more than sweep.max_ratio.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "cdc/worklog.h"

struct lane;

/* What the reader does while the wish cannot be written; false: the batch is not waited for. */
struct absence_wait {
    bool (*waiting)(void *context, const struct err *why);
    void *context;
};
/* To be called by the lane's reader with each batch, before any record of it is applied. Mostly it only
 * remembers; where deletes may be missing, it returns when the wish is written. False: it was not, and
 * nothing of the batch may be applied before it has come again. Any thread. */
bool absence_note(struct lane *lane, const struct worklog_batch *batch,
                  const struct absence_wait *wait) MUST_USE;

/* How long a lane may have stood still before deletes may be missing. */
int64_t absence_limit_ms(int64_t retention_ms);

/* One partition's first record of a batch. */
struct absence_view {
    int64_t now_ms;
    int64_t limit_ms;
    int64_t since_ms;  /* all that was appended until then, the lane has read */
    int64_t expected;  /* the offset that would come next; -1: unknown */
    int64_t offset;    /* the one that came */
    int64_t broker_ms; /* when that was appended */
};
bool absence_is_possible(const struct absence_view *view);
