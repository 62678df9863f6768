/* SPDX-License-Identifier: Apache-2.0 */
/* How often something took how long, in fixed buckets: 1 ms to 5 minutes, for requests and for the
 * time from a commit to its effect alike. Any thread, without a lock: a reader may see a sample's
 * bucket before its sum. All zero is an empty one. */
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define HISTOGRAM_BUCKETS 17 /* the last one has no upper bound */

struct histogram {
    _Atomic uint64_t buckets[HISTOGRAM_BUCKETS]; /* each without those below it */
    _Atomic uint64_t sum_us;
};

/* Upper bounds in ms, inclusive, of all buckets but the last. */
extern const int64_t histogram_bounds_ms[HISTOGRAM_BUCKETS - 1];

/* `times` samples of the same length; a negative one counts as 0. */
void histogram_add(struct histogram *histogram, int64_t us, uint64_t times);
