/* SPDX-License-Identifier: Apache-2.0 */
/* What kind of MongoDB answers: only replica sets and sharded clusters have change streams. */
#pragma once

#include <mongoc/mongoc.h>
#include <stdbool.h>

#include "base/err.h"

enum topology_kind {
    TOPOLOGY_STANDALONE,
    TOPOLOGY_UNINITIATED, /* of a replica set, but rs.initiate() has not been called */
    TOPOLOGY_REPLICA_SET,
    TOPOLOGY_SHARDED, /* a mongos answers */
};

struct topology {
    enum topology_kind kind;
    char set[128]; /* name of the replica set, "" of others */
};

/* From a reply to `hello`. */
struct topology topology_of(const bson_t *hello);
bool topology_load(mongoc_client_t *client, struct topology *out, struct err *err) MUST_USE;

/* "replica set rs0", "a sharded cluster", ... */
void topology_write(const struct topology *topology, char *text, size_t size);
/* FATAL, STATE with what to do about it, where there are no change streams. */
bool topology_check(const struct topology *topology, struct err *err) MUST_USE;
