/* SPDX-License-Identifier: Apache-2.0 */
#include "cdc/scan.h"

#include <stdlib.h>

#include "base/mongo.h"

#define BATCH_ROWS 1000
/* the server's internal error for a time that has not come yet */
#define CODE_TIME_AHEAD 72

struct scan {
    struct mongo_client client;
    mongoc_client_session_t *session;
    mongoc_collection_t *collection;
    mongoc_cursor_t *cursor;
};

static bool scan_connect(const struct scan_options *options, struct scan *scan, struct err *err)
{
    bson_error_t error;
    scan->client = mongo_client_of(options->pool);
    mongoc_session_opt_t *session_options = mongoc_session_opts_new();
    mongoc_session_opts_set_causal_consistency(session_options, true);
    scan->session = mongoc_client_start_session(scan->client.client, session_options, &error);
    mongoc_session_opts_destroy(session_options);
    if (!scan->session)
        return mongo_err(err, &error, "snapshot");
    if (options->since.seconds > 0)
        mongoc_client_session_advance_operation_time(scan->session, options->since.seconds,
                                                     options->since.ordinal);
    scan->collection =
        mongoc_client_get_collection(scan->client.client, options->database, options->collection);
    mongoc_read_concern_t *concern = mongoc_read_concern_new();
    mongoc_read_concern_set_level(concern, MONGOC_READ_CONCERN_LEVEL_MAJORITY);
    mongoc_collection_set_read_concern(scan->collection, concern);
    mongoc_read_concern_destroy(concern);
    return true;
}

static bool find(const struct scan_options *options, struct scan *scan, const bson_t *filter,
                 bool ordered, struct err *err)
{
    bson_t opts = BSON_INITIALIZER, child;
    bson_error_t error;
    bson_append_int32(&opts, "batchSize", -1, BATCH_ROWS);
    if (ordered) {
        bson_append_document_begin(&opts, "sort", -1, &child);
        bson_append_int32(&child, "_id", -1, 1);
        bson_append_document_end(&opts, &child);
        /* by key pattern: a clustered collection's index has another name than _id_ */
        bson_append_document_begin(&opts, "hint", -1, &child);
        bson_append_int32(&child, "_id", -1, 1);
        bson_append_document_end(&opts, &child);
    }
    if (options->projection)
        bson_append_document(&opts, "projection", -1, options->projection);
    bool ok = mongoc_client_session_append(scan->session, &opts, &error);
    if (ok)
        scan->cursor = mongoc_collection_find_with_opts(scan->collection, filter, &opts, NULL);
    bson_destroy(&opts);
    return ok || mongo_err(err, &error, "snapshot");
}

/* {$expr: {$gt: ["$_id", {$literal: x}]}}: unlike {_id: {$gt: x}} this goes through all types, and
 * is still answered from the index. */
static void append_after(bson_t *filter, const bson_t *after)
{
    bson_iter_t id;
    bson_t expr, operands, literal;
    if (!after || !bson_iter_init_find(&id, after, "_id"))
        return;
    bson_append_document_begin(filter, "$expr", -1, &expr);
    bson_append_array_begin(&expr, "$gt", -1, &operands);
    bson_append_utf8(&operands, "0", 1, "$_id", -1);
    bson_append_document_begin(&operands, "1", 1, &literal);
    bson_append_iter(&literal, "$literal", -1, &id);
    bson_append_document_end(&operands, &literal);
    bson_append_array_end(&expr, &operands);
    bson_append_document_end(filter, &expr);
}

bool scan_open(const struct scan_options *options, struct scan **out, struct err *err)
{
    CLEANUP(scan_closep) struct scan *scan = calloc(1, sizeof *scan);
    bson_t filter = BSON_INITIALIZER;
    if (options->match)
        bson_concat(&filter, options->match);
    append_after(&filter, options->after);
    bool ok = scan_connect(options, scan, err) && find(options, scan, &filter, true, err);
    bson_destroy(&filter);
    if (ok)
        *out = TAKE(scan);
    return ok;
}

bool scan_open_ids(const struct scan_options *options, const bson_t *const *ids, size_t count,
                   struct scan **out, struct err *err)
{
    CLEANUP(scan_closep) struct scan *scan = calloc(1, sizeof *scan);
    bson_t filter = BSON_INITIALIZER, in, list;
    bson_append_document_begin(&filter, "_id", -1, &in);
    bson_append_array_begin(&in, "$in", -1, &list);
    for (size_t i = 0; i < count; i++) {
        char buffer[16];
        const char *index;
        bson_iter_t id;
        bson_uint32_to_string((uint32_t)i, &index, buffer, sizeof buffer);
        if (bson_iter_init_find(&id, ids[i], "_id"))
            bson_append_iter(&list, index, -1, &id);
    }
    bson_append_array_end(&in, &list);
    bson_append_document_end(&filter, &in);
    bool ok = scan_connect(options, scan, err) && find(options, scan, &filter, false, err);
    bson_destroy(&filter);
    if (ok)
        *out = TAKE(scan);
    return ok;
}

static bool scan_err(struct err *err, const bson_error_t *error)
{
    mongo_err(err, error, "snapshot");
    if (error->code == CODE_TIME_AHEAD && err)
        err->action = ERR_RETRY;
    return false;
}

bool scan_next(struct scan *scan, const bson_t **doc, struct err *err)
{
    bson_error_t error;
    *doc = NULL;
    if (mongoc_cursor_next(scan->cursor, doc))
        return true;
    *doc = NULL;
    if (mongoc_cursor_error(scan->cursor, &error))
        return scan_err(err, &error);
    return true;
}

void scan_close(struct scan *scan)
{
    if (!scan)
        return;
    mongoc_cursor_destroy(scan->cursor);
    if (scan->collection)
        mongoc_collection_destroy(scan->collection);
    if (scan->session)
        mongoc_client_session_destroy(scan->session);
    if (scan->client.client)
        mongo_client_release(&scan->client);
    free(scan);
}

bool scan_cluster_time(mongoc_client_pool_t *pool, const char *database, struct cluster_time *out,
                       struct err *err)
{
    CLEANUP(mongo_client_release) struct mongo_client client = mongo_client_of(pool);
    bson_t command = BSON_INITIALIZER, reply;
    bson_error_t error;
    bson_iter_t time;
    bson_append_int32(&command, "ping", -1, 1);
    bool ok = mongoc_client_command_with_opts(client.client, database, &command, NULL, NULL, &reply,
                                              &error);
    *out = (struct cluster_time){0};
    if (ok && bson_iter_init_find(&time, &reply, "operationTime") &&
        BSON_ITER_HOLDS_TIMESTAMP(&time))
        bson_iter_timestamp(&time, &out->seconds, &out->ordinal);
    bson_destroy(&command);
    bson_destroy(&reply);
    return ok || mongo_err(err, &error, "cluster time");
}

bool scan_estimate(const struct scan_options *options, int64_t *out, struct err *err)
{
    CLEANUP(mongo_client_release) struct mongo_client client = mongo_client_of(options->pool);
    CLEANUP(mongoc_collection_destroyp)
    mongoc_collection_t *collection =
        mongoc_client_get_collection(client.client, options->database, options->collection);
    bson_error_t error;
    int64_t count =
        mongoc_collection_estimated_document_count(collection, NULL, NULL, NULL, &error);
    if (count < 0)
        return mongo_err(err, &error, "count");
    *out = count;
    return true;
}

bool scan_count(const struct scan_options *options, int64_t *out, struct err *err)
{
    CLEANUP(scan_closep) struct scan *scan = calloc(1, sizeof *scan);
    if (!scan_connect(options, scan, err))
        return false;
    bson_t opts = BSON_INITIALIZER, everything = BSON_INITIALIZER;
    bson_error_t error;
    int64_t count = -1;
    if (mongoc_client_session_append(scan->session, &opts, &error))
        count = mongoc_collection_count_documents(scan->collection,
                                                  options->match ? options->match : &everything,
                                                  &opts, NULL, NULL, &error);
    bson_destroy(&opts);
    bson_destroy(&everything);
    if (count < 0)
        return scan_err(err, &error);
    *out = count;
    return true;
}
