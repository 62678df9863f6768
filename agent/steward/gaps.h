/* SPDX-License-Identifier: Apache-2.0 */
/* Records or offsets of the work log that a lane needs and that are gone: read the generation again
 * from its start where the log holds it and the lane is not whole in it yet, else ask for a new one.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "agent/agent.h"
#include "cdc/worklog.h"
#include "state/registry.h"

struct gap_view {
    int64_t gen;       /* of the checkpoint */
    int64_t swept_gen; /* of the version */
    int64_t seeded_gen;
    int64_t start; /* offset of the partition where the generation begins; -1: it has none */
    struct worklog_position position;
};

/* The offset to be read next is in the log. */
bool gap_is_none(const struct worklog_position *position);
/* The lane can be sent to the generation's start: it will see all of its documents, and the sweep of
 * that generation is still to come. */
bool gap_is_mendable(const struct gap_view *view);
/* "partition 3: offset 17 is gone, the work log holds 20 to 41" */
void gap_describe(int partition, const struct worklog_position *position, char *out, size_t size);

/* A capture that has just come to lead may be about to find the same by itself. */
bool gap_is_fresh(const struct registry *registry, const struct registry_wish *wish);

/* Asks the leader for a generation above `gen`, once. */
struct gap_wish {
    const char *family;
    const char *label;
    int64_t gen;
    const char *reason;
};
bool gap_wish_for(struct agent *agent, const struct gap_wish *wish, struct err *err) MUST_USE;
