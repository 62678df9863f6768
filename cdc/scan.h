/* SPDX-License-Identifier: Apache-2.0 */
/* Reads a source collection: in `_id` order across all BSON types for a snapshot, or by `_id` for
 * re-reads; majority reads, causally after a given cluster time. Belongs to one thread.
 */
#pragma once

#include <mongoc/mongoc.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "cdc/token.h"

struct scan_options {
    mongoc_client_pool_t *pool; /* borrowed */
    const char *database;
    const char *collection;
    const bson_t *projection;  /* as for find; NULL: whole documents */
    const bson_t *match;       /* the server's own filter; NULL: all */
    const bson_t *after;       /* {"_id": value}: rows behind it only; NULL: from the beginning */
    const bson_t *upto;        /* {"_id": value}: rows up to and with it; NULL: to the end */
    bool clustered;            /* as scan_is_clustered() says */
    struct cluster_time since; /* what the read must have seen; zero: nothing in particular */
};

struct scan;

bool scan_open(const struct scan_options *options, struct scan **out, struct err *err) MUST_USE;
/* *doc is a view, valid until the next call; NULL at the end. */
bool scan_next(struct scan *scan, const bson_t **doc, struct err *err) MUST_USE;
void scan_close(struct scan *scan);
DEFINE_FREEP(struct scan, scan_close)

/* The documents of these keys (key_encode()), in any order; those that are gone do not come. `ids`
 * holds what key_decode() gives for each. */
bool scan_open_ids(const struct scan_options *options, const bson_t *const *ids, size_t count,
                   struct scan **out, struct err *err) MUST_USE;

/* How the collection is kept: clustered by `_id` it has no index of its own for it, and bounds must be
 * given to the server in another way to be used. Needs no privilege beyond find. */
bool scan_is_clustered(const struct scan_options *options, bool *out, struct err *err) MUST_USE;
/* Bounds that cut the collection into `parts` of about the same size, from a sample: *bounds are at
 * most parts - 1 of {"_id": value}, rising, fewer where the sample does not yield as many. Each to be
 * destroyed, and the array freed. */
bool scan_split(const struct scan_options *options, size_t parts, bson_t ***bounds, size_t *count,
                struct err *err) MUST_USE;
/* Whether there is a collection of this name. Needs no privilege beyond find; where even the name may
 * not be asked for, it counts as there. */
bool scan_exists(const struct scan_options *options, bool *out, struct err *err) MUST_USE;

/* The cluster's time now: a read `since` it sees all that was written before. Zero where the server
 * has none. */
bool scan_cluster_time(mongoc_client_pool_t *pool, const char *database, struct cluster_time *out,
                       struct err *err) MUST_USE;

/* Documents in the collection, from its metadata: fast and nearly right. */
bool scan_estimate(const struct scan_options *options, int64_t *out, struct err *err) MUST_USE;
/* Documents that match, counted. */
bool scan_count(const struct scan_options *options, int64_t *out, struct err *err) MUST_USE;
