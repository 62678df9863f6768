/* SPDX-License-Identifier: Apache-2.0 */
/* What the threads of one process share: configuration, connections, families, health. */
#pragma once

#include <mongoc/mongoc.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "agent/config/config.h"
#include "agent/family.h"
#include "agent/lane/limiters.h"
#include "agent/lane/timings.h"
#include "agent/lane/vectors.h"
#include "agent/metrics/metrics_totals.h"
#include "agent/status/health.h"
#include "cdc/worklog.h"
#include "state/docstore.h"

struct history;
struct jobs;
struct query_pool;
struct traffic;

struct agent {
    const struct config *config;
    mongoc_client_pool_t *pool;
    mongoc_client_pool_t *stream_pool; /* waits for an answer for SOURCE_OPEN_MS */
    struct docstore *docs;
    struct worklog *log;
    struct health *health;
    char holder[160]; /* unique to this process' life: <instance or host>/<pid>/<random> */
    char *state_id;
    struct family **families; /* in the order of the configuration */
    size_t family_count;
    struct limiters *limiters;
    struct timings *timings;
    struct metrics_totals *totals;
    struct vectors *vectors; /* bought lately, by any lane */
    struct jobs *jobs;       /* that calls over HTTP have begun */
    struct query_pool *queries;
    struct traffic *traffic; /* over HTTP */
    struct history *history; /* of the last hour, for the role serve */
    bool once;               /* to end when everything is in step */
    int64_t quiet_save_ms;   /* how often the token of a quiet stream is saved */
    bool is_outdated;        /* the state is a newer release's: of agent_connect() */
    _Atomic bool
        awaits_state; /* it was not read yet, or is a newer release's: no call may touch it */
    _Atomic bool stopping;
};

/* Makes the pool and what needs no server yet. */
bool agent_open(struct agent *agent, const struct config *config, struct err *err) MUST_USE;
/* Connects to MongoDB and the work log and makes the families, waiting (and saying for what) until
 * that succeeds. False when stopping, or when only another configuration would help, or, with `once`,
 * another release. */
bool agent_connect(struct agent *agent) MUST_USE;
/* The configured work log, opened. */
bool agent_open_worklog(const struct config *config, struct worklog **out, struct err *err)
    MUST_USE;
void agent_close(struct agent *agent);

static inline bool agent_stopping(struct agent *agent)
{
    return atomic_load_explicit(&agent->stopping, memory_order_relaxed);
}
/* Sleeps in small steps; false when the agent is stopping. */
bool agent_sleep(struct agent *agent, int64_t ms);
