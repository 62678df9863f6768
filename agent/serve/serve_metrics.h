/* SPDX-License-Identifier: Apache-2.0 */
/* The metrics as OpenMetrics text, from the JSON of `status` and the kernel's figures. Every name
 * stands in docs/metrics.md. */
#pragma once

#include <cjson/cJSON.h>

#include "agent/serve/serve_metrics_process.h"
#include "base/buf.h"

#define METRICS_CONTENT_TYPE "application/openmetrics-text; version=1.0.0; charset=utf-8"

/* `status` may be NULL: then only what the process knows of itself is said. `process` may be NULL
 * where it sends and stores nothing. */
void metrics_write(const cJSON *status, const struct metrics_process *process, struct buf *out);
