/* SPDX-License-Identifier: Apache-2.0 */
#include "state/majority.h"

/* Rows of one reply: a batch of 256 in one round trip. */
#define REPLY_ROWS 1001
/* Of one pass over a collection: some 1 to 4 s per million rows. */
#define PASS_TIMEOUT_MS 300000

void majority_put_write(bson_t *opts)
{
    bson_t concern;
    BSON_APPEND_DOCUMENT_BEGIN(opts, "writeConcern", &concern);
    BSON_APPEND_UTF8(&concern, "w", "majority");
    BSON_APPEND_INT32(&concern, "wtimeout", STATE_TIMEOUT_MS);
    bson_append_document_end(opts, &concern);
}

static void put_read(bson_t *opts, const char *level, int timeout_ms)
{
    bson_t concern;
    BSON_APPEND_DOCUMENT_BEGIN(opts, "readConcern", &concern);
    BSON_APPEND_UTF8(&concern, "level", level);
    bson_append_document_end(opts, &concern);
    BSON_APPEND_INT32(opts, "maxTimeMS", timeout_ms);
}

void majority_put_read(bson_t *opts, const char *level)
{
    put_read(opts, level, STATE_TIMEOUT_MS);
}

static mongoc_cursor_t *aggregate(mongoc_collection_t *collection, const bson_t *pipeline,
                                  int timeout_ms)
{
    bson_t opts = BSON_INITIALIZER;
    put_read(&opts, "majority", timeout_ms);
    BSON_APPEND_INT32(&opts, "batchSize", REPLY_ROWS);
    mongoc_read_prefs_t *primary = mongoc_read_prefs_new(MONGOC_READ_PRIMARY);
    mongoc_cursor_t *cursor =
        mongoc_collection_aggregate(collection, MONGOC_QUERY_NONE, pipeline, &opts, primary);
    mongoc_read_prefs_destroy(primary);
    bson_destroy(&opts);
    return cursor;
}

mongoc_cursor_t *majority_aggregate(mongoc_collection_t *collection, const bson_t *pipeline)
{
    return aggregate(collection, pipeline, STATE_TIMEOUT_MS);
}

mongoc_cursor_t *majority_aggregate_all(mongoc_collection_t *collection, const bson_t *pipeline)
{
    return aggregate(collection, pipeline, PASS_TIMEOUT_MS);
}
