/* SPDX-License-Identifier: Apache-2.0 */
/* How state is read and written in MongoDB: by the primary, with majority, bounded in time.
 * Private to state/. */
#pragma once

#include <mongoc/mongoc.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/mongo.h"

/* Of one write's wait for the majority, and of one read. The write is applied all the same. */
#define STATE_TIMEOUT_MS 10000

#define MONGO_DUPLICATE_KEY 11000
#define MONGO_NAMESPACE_NOT_FOUND 26

/* {writeConcern: {w: "majority", wtimeout}} */
void majority_put_write(bson_t *opts);
/* {readConcern: {level}, maxTimeMS} */
void majority_put_read(bson_t *opts, const char *level);

/* A result set read by majority from the primary; `pipeline` is {"pipeline": [...]} or an array. */
mongoc_cursor_t *majority_aggregate(mongoc_collection_t *collection, const bson_t *pipeline);
/* For what grows with the collection: takes some seconds per million documents, and may take minutes. */
mongoc_cursor_t *majority_aggregate_all(mongoc_collection_t *collection, const bson_t *pipeline);
