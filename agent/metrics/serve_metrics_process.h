/* SPDX-License-Identifier: Apache-2.0 */
/* The part of the metrics that a process knows only of itself: its requests to embedders and stores,
 * and how long its versions take. */
#pragma once

#include "agent/lane/provider.h"
#include "agent/lane/timings.h"
#include "agent/metrics/metrics_text.h"
#include "sinks/sink_counts.h"

struct metrics_store {
    const char *name;
    const struct sink_counts *counts;
};

/* All borrowed. */
struct metrics_process {
    struct provider *const *providers;
    size_t provider_count;
    const struct metrics_store *stores;
    size_t store_count;
    struct timings *timings; /* NULL: none */
};

void metrics_write_process(const struct metrics_process *process, struct metrics_page *page);
