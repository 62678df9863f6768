/* SPDX-License-Identifier: Apache-2.0 */
/* A family that is not in the file any more is forgotten: ledgers, figures, consumer groups and registry,
 * and, where that is asked for, the collections that are provably ours and that no alias names.
 *
 * For the command line: no agent leads a family that its file does not have. One thread; it blocks. The
 * registry goes last, so that what was cut short is done by asking again.
 */
#pragma once

#include <mongoc/mongoc.h>
#include <stdbool.h>
#include <stddef.h>

#include "agent/config/config.h"
#include "cdc/worklog.h"
#include "state/alias.h"
#include "state/registry.h"

struct limiters;

struct removal_options {
    const struct config *config;
    mongoc_client_pool_t *pool;
    struct docstore *docs;
    struct worklog *log; /* kafka; NULL with the work log memory, or as it cannot be opened: */
    const char *log_why; /* why; else NULL */
    const char *state_id;
    const struct limiters *limiters; /* that count requests to stores; NULL: nobody does */
    const char *family;
    bool drop_collections;
};

struct removed_collection {
    const struct version *version; /* of `registry` */
    bool dropped;
    char why[512]; /* it stays */
};

struct removed_group {
    char *name;
    bool removed;
};

struct removal {
    struct registry registry;  /* as it was */
    struct alias_ref alias_at; /* borrowed from `registry`; its database NULL: not known */
    struct alias alias;        /* its target NULL: there is none, or it is not known */
    bool alias_read;           /* false: it could not be looked at, which only dropping needs */
    bool refused;
    bool unknown;     /* because neither the file nor the registry has it */
    char reason[500]; /* why */
    struct removed_collection *collections;
    size_t count;
    int ledgers;
    struct removed_group *groups; /* kafka */
    size_t group_count;
    char groups_why[512]; /* the last of those that stay does */
};

/* Refused, which is no error: the family is in the file, nothing is written down of it, or an agent still
 * feeds it. Nor is a consumer group that cannot be removed: nobody ever joins it again. An error: another
 * server does not answer; what was not done yet is done by asking again. */
bool removal_run(const struct removal_options *options, struct removal *out, struct err *err)
    MUST_USE;
void removal_fini(struct removal *removal);
