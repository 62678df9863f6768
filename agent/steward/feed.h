/* SPDX-License-Identifier: Apache-2.0 */
/* How far the feed of a version has come: what the checkpoint says, and where its group stands. */
#pragma once

#include "agent/agent.h"
#include "base/err.h"
#include "cdc/worklog.h"
#include "state/checkpoint.h"

/* What is known about a version's feed at one look. */
struct feed_view {
    bool known; /* a checkpoint of the family exists */
    int64_t gen;
    char *t0;        /* ver of the generation's rows */
    char *family_fp; /* of the configuration that it was read for */
    enum family_state state;
    bool snapshot_done;
    bool unmerged;      /* documents may be missing that its group will never read */
    int64_t total_rows; /* of the snapshot; -1 unknown */
    int64_t token_ms;   /* cluster time up to which the durable token has come */
    int partitions;
    int64_t *start_offsets; /* [partitions] */
    int64_t *end_offsets;   /* NULL until the snapshot is done */
    struct worklog_position positions[WORKLOG_MAX_PARTITIONS];
    bool has_positions;
    int64_t at_ms;     /* by MongoDB's clock, of just before they were asked for */
    int64_t lag_items; /* -1 unknown */
};

/* The family is fed no more until a person says so. */
static inline bool feed_is_stopped(const struct feed_view *view)
{
    return view->state == FAMILY_SOURCE_DROPPED || view->state == FAMILY_GAP;
}
void feed_view_fini(struct feed_view *view);
/* The generation was read for the family as this process' file has it. Otherwise its items are not to be
 * applied here: RETRY, CONFIG, FEED_OF_ANOTHER, until the files are the same. */
bool feed_is_of(const struct feed_view *view, const struct family *family, struct err *err)
    MUST_USE;
#define FEED_OF_ANOTHER 1
static inline bool feed_is_of_another(const struct err *err)
{
    return err->domain == ERR_CONFIG && err->code == FEED_OF_ANOTHER;
}

struct feed_place {
    const struct config *config;
    struct docstore *docs;
    const struct config_family *family;
    const char *build_id; /* counts with the work log memory */
};
/* Only what the checkpoint says. */
bool feed_view_load(const struct feed_place *place, struct feed_view *view, struct err *err)
    MUST_USE;
static inline struct feed_place feed_place_of(const struct agent *agent,
                                              const struct family *family, const char *build_id)
{
    return (struct feed_place){agent->config, agent->docs, family->config, build_id};
}
