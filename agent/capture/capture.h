/* SPDX-License-Identifier: Apache-2.0 */
/* Capture: one leader per source database turns snapshot rows and events into items of the work log.
 *
 * With the work log kafka there is one capture per source database for all of its families; with
 * memory one per lane. One thread each, besides the one that renews its lease.
 */
#pragma once

#include <stdbool.h>

#include "agent/agent.h"

struct capture_feed {
    const struct family *family;
    const char *topic;
};

struct capture_options {
    struct agent *agent;
    const char *id; /* of the checkpoint document */
    const char *database;
    const struct capture_feed *feeds;
    size_t feed_count;
};

struct capture;

/* Starts the thread. Options are copied. */
struct capture *capture_start(const struct capture_options *options);
/* Asks it to stop (flush, checkpoint, give the lease back), from any thread; and waits for it. */
void capture_request_stop(struct capture *capture);
void capture_join(struct capture *capture); /* frees */
/* Any thread: nobody reads the work log any more, so what is in flight is not waited for. */
void capture_abandon(struct capture *capture);
/* Any thread: this process leads. */
bool capture_is_leader(struct capture *capture);
/* Any thread: what the log holds of this family in generation `gen` is not whole any more (its topic or
 * a group's offsets were lost), or it is to be read again after it stood. The leader begins the next
 * generation before its next record; without effect where this process does not lead. */
void capture_request_generation(struct capture *capture, const char *family, int64_t gen,
                                const char *reason);

/* "<name>/<database>" or, for a lane, "<name>/<database>/<build_id>"; to be freed. */
char *capture_id(const struct config *config, const char *database, const char *build_id);
