/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the steward share: steward.c (thread, lanes, statistics) and versions.c (the
 * state machine). The steward's own thread only. */
#pragma once

#include <pthread.h>

#include "agent/lane.h"
#include "agent/stats.h"
#include "agent/steward.h"
#include "state/checkpoint.h"
#include "state/ledger.h"
#include "state/registry.h"

/* What is known about a version's feed at one look. */
struct feed_view {
    bool known; /* a checkpoint of the family exists */
    int64_t gen;
    bool snapshot_done;
    int64_t total_rows; /* of the snapshot; -1 unknown */
    int64_t token_ms;   /* cluster time up to which the durable token has come */
    int partitions;
    int64_t *start_offsets; /* [partitions] */
    int64_t *end_offsets;   /* NULL until the snapshot is done */
    struct worklog_position positions[WORKLOG_MAX_PARTITIONS];
    bool has_positions;
    int64_t lag_items; /* -1 unknown */
};

struct steward {
    struct agent *agent;
    const struct family *family;
    const struct capture *capture;
    const struct guard *guard;
    struct gate *(*gate_of)(void *context, const char *store);
    void *context;
    pthread_t thread;
    struct registry registry;
    struct lane **lanes;
    size_t lane_count;
    int64_t started_ms; /* by MongoDB's clock; 0: not known yet */
    _Atomic bool in_step;
    _Atomic bool refused;
    struct arena *arena;
    int64_t counted_ms; /* monotonic */
    int64_t count_took_ms;
    int64_t counted_lag; /* items that were not applied when it was counted */
    struct ledger_counts counts;
    char counted_build[64];
};

bool steward_leads(const struct steward *steward);
struct lane *steward_lane(struct steward *steward, const char *build_id);
bool steward_view(struct steward *steward, const struct version *version, struct feed_view *view,
                  struct err *err) MUST_USE;
void feed_view_fini(struct feed_view *view);
/* Fresh counts of a version's ledger. */
bool steward_count(struct steward *steward, const struct version *version,
                   struct ledger_counts *out, struct err *err) MUST_USE;

/* Makes the version the configuration wishes for, and takes each version one step further. True when
 * nothing failed. */
bool versions_advance(struct steward *steward, struct err *err) MUST_USE;
