/* SPDX-License-Identifier: Apache-2.0 */
/* Reads a family's source once: all of it in the order of `_id`, or some documents by chance. */
#pragma once

#include <mongoc/mongoc.h>

#include "agent/config/config.h"
#include "base/err.h"
#include "cdc/document.h"

struct reading {
    mongoc_client_pool_t *pool;
    const struct config_family *family;
    const struct shape *shape;
    bool (*row)(void *context, const bson_t *doc, struct err *err); /* false ends it */
    void *context;
};

/* About how many documents the source has. REJECT when there is no such collection. */
bool reading_estimate(const struct reading *reading, int64_t *out, struct err *err) MUST_USE;
/* A server that goes away is waited for, a few times, and the reading goes on where it was. */
bool reading_all(const struct reading *reading, struct err *err) MUST_USE;
/* `count` documents; one may come twice. */
bool reading_sample(const struct reading *reading, int64_t count, struct err *err) MUST_USE;
