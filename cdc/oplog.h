/* SPDX-License-Identifier: Apache-2.0 */
/* The oplog of the replica set: how much history the server keeps, and whether a point of it is still
 * of the history that the server has.
 *
 * Needs the privilege `find` on local.oplog.rs. Without it, and behind mongos, nothing is known: that
 * is an answer, not an error. Any thread; each call blocks for at most the driver's deadlines.
 */
#pragma once

#include <mongoc/mongoc.h>
#include <stdbool.h>

#include "base/err.h"
#include "cdc/token.h"

struct oplog_window {
    bool known;
    struct cluster_time first; /* oldest entry */
    struct cluster_time last;  /* newest */
};
bool oplog_look(mongoc_client_pool_t *pool, struct oplog_window *out, struct err *err) MUST_USE;

enum oplog_answer {
    OPLOG_UNKNOWN, /* it may not be read, or ends before that time */
    OPLOG_HOLDS,   /* it has an entry of that time */
    OPLOG_LOST,    /* it begins later */
    OPLOG_OTHER,   /* it reaches back so far, but nothing happened then: another history */
};
/* A change stream's token has the time of an entry, or of one ordinal after it (an opening token).
 * A restored backup, or another replica set under the same address, has none there; the server itself
 * would silently go on from that time. */
bool oplog_ask(mongoc_client_pool_t *pool, struct cluster_time time, enum oplog_answer *out,
               struct err *err) MUST_USE;
