/* SPDX-License-Identifier: Apache-2.0 */
/* The last hour of each version and family in figures, for the plots of the dashboard: a ring of samples
 * in memory, one every HISTORY_STEP_MS. It begins empty with each process, and its size is bounded.
 *
 * What the deployment writes down (lag, counts) is the same from every process; freshness is known only
 * for the versions that this process feeds itself. Any thread.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdint.h>

#include "agent/agent.h"

#define HISTORY_STEP_MS 5000
#define HISTORY_SAMPLES 720 /* one hour */
/* Versions and families together; about 4 MB of samples. The rest is not remembered. */
#define HISTORY_SERIES_MAX 128

struct history;

struct history *history_new(void);
void history_free(struct history *history); /* NULL is fine */

/* Takes one sample of all that `status` tells of, and forgets what no sample was taken of for an hour.
 * `timings` may be NULL. */
void history_take(struct history *history, const cJSON *status, struct timings *timings,
                  int64_t at_ms);

/* {interval_ms, span_ms, source: {at, lag_ms}, versions: [{label, build_id, at, lag_ms, lag_items,
 * items_per_second, freshness_p50_ms, freshness_p99_ms}]}: columns of equal length, oldest first, null
 * where a figure is not known; `at` in milliseconds since 1970. Only samples later than `since_ms`. */
cJSON *history_json(struct history *history, const char *family, int64_t since_ms) MUST_USE;

/* A thread that takes the samples until it is stopped; the agent is borrowed. */
struct history_sampler;
struct history_sampler *history_sampler_start(struct agent *agent);
void history_sampler_stop(struct history_sampler *sampler); /* NULL is fine */
