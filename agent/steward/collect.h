/* SPDX-License-Identifier: Apache-2.0 */
/* What nobody needs any more, over all families: retired versions, and collections that say they are this
 * deployment's but stand in no registry. And why everything else is kept.
 *
 * One thread; reads only, but for collect_orphan().
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "agent/config/config.h"
#include "sinks/sink.h"
#include "state/alias.h"
#include "state/docstore.h"
#include "state/registry.h"

struct collect_entry {
    char *family;
    char *label; /* NULL: of an orphan that does not say */
    char *collection;
    char *store;
    char *build_id;
    bool never_made; /* what has its name may be another's: that stays */
    bool drop;       /* may go */
    bool orphan;     /* no registry knows it */
    char reason[256];
};

struct collect_list {
    struct collect_entry *entries;
    size_t count;
};

struct limiters;

struct collect_options {
    const struct config *config;
    struct docstore *docs;
    const char *state_id;
    const struct limiters *limiters; /* that count requests to stores; NULL: nobody does */
    http_may_send *may_send; /* asked before each request of collect_erase(); NULL: always */
    void *context;           /* of may_send */
};

/* Where the alias of a family is: by the file, or else by what the registry wrote down. False: that is
 * not known. Borrowed from both. */
bool collect_alias_ref(const struct config *config, const struct registry *registry,
                       struct alias_ref *out);

bool collect_look(const struct collect_options *options, struct collect_list *out, struct err *err)
    MUST_USE;
void collect_fini(struct collect_list *list);

/* Deletes its collection, after looking once more that it says it is ours; one that is gone is done with.
 * FATAL: it is not ours, or its store is not in the file. */
bool collect_erase(const struct collect_options *options, const struct collect_entry *entry,
                   struct err *err) MUST_USE;

/* Ledger, figures, last report, audit and place in the stream (work log memory) of a build, which nobody writes to any more. */
struct collect_build {
    const struct config *config;
    mongoc_client_pool_t *pool;
    struct docstore *docs;
    const char *build_id;
    const char *source_database; /* NULL: not known */
};
bool collect_forget(const struct collect_build *build, struct err *err) MUST_USE;

/* What a collection says of itself; "" where it says nothing. */
const char *collect_says(const struct sink_collection *collection, const char *name);
/* It says that this deployment, with this state, made it as this build. */
bool collect_is_ours(const struct sink_collection *collection, const char *name,
                     const char *state_id, const char *build_id);
