/* SPDX-License-Identifier: Apache-2.0 */
#include "base/histogram.h"

const int64_t histogram_bounds_ms[HISTOGRAM_BUCKETS - 1] = {
    1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000,
};

void histogram_add(struct histogram *histogram, int64_t us, uint64_t times)
{
    size_t at = 0;
    if (us < 0)
        us = 0;
    while (at < HISTOGRAM_BUCKETS - 1 && us > histogram_bounds_ms[at] * 1000)
        at++;
    atomic_fetch_add_explicit(&histogram->buckets[at], times, memory_order_relaxed);
    atomic_fetch_add_explicit(&histogram->sum_us, (uint64_t)us * times, memory_order_relaxed);
}
