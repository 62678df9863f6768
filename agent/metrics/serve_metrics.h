/* SPDX-License-Identifier: Apache-2.0 */
/* The metrics' text: of the deployment from the JSON of `status`, of the process from what it counts
 * itself and the kernel's figures. Every name stands in docs/metrics.md. */
#pragma once

#include <cjson/cJSON.h>

#include "agent/metrics/metrics_text.h"
#include "agent/metrics/metrics_totals.h"
#include "agent/metrics/serve_metrics_process.h"

struct traffic;

/* All borrowed. */
struct metrics_sources {
    const cJSON *status;             /* NULL: the state database cannot be read */
    struct metrics_totals *totals;   /* needed with `status` */
    struct metrics_process *process; /* NULL: a process that sends and stores nothing */
    struct health *health;           /* NULL: nobody watches it */
    const struct traffic *traffic;   /* NULL: nobody is listened to */
};

void metrics_write(const struct metrics_sources *sources, struct metrics_page *page);

/* --- parts of it --- */

/* serve_metrics_family.c: families and versions. */
/* A label may have had several builds: only the newest is told of, or series would meet. */
bool metrics_is_newest(const cJSON *version);
void metrics_write_deployment(const struct metrics_sources *sources, struct metrics_page *page);
