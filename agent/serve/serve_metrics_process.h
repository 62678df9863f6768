/* SPDX-License-Identifier: Apache-2.0 */
/* The part of the metrics that a process knows only of itself: its requests to embedders, and how
 * long its versions take. */
#pragma once

#include "agent/lane/provider.h"
#include "agent/lane/timings.h"
#include "base/buf.h"

/* All borrowed. */
struct metrics_process {
    struct provider *const *providers;
    size_t provider_count;
    struct timings *timings; /* NULL: none */
};

void metrics_write_process(const struct metrics_process *process, struct buf *out);
