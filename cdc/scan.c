/* SPDX-License-Identifier: Apache-2.0 */
#include "cdc/scan.h"

#include <stdlib.h>

#include "base/mongo.h"
#include "cdc/compare.h"

#define BATCH_ROWS 1000
/* the server's internal error for a time that has not come yet */
#define CODE_TIME_AHEAD 72

struct scan {
    struct mongo_client client;
    mongoc_client_session_t *session;
    mongoc_collection_t *collection;
    mongoc_cursor_t *cursor;
    bson_t *projection;
    bson_t *skip; /* clustered: the row that the inclusive bound brings back */
    bson_t *last; /* clustered: one more row, which the exclusive bound leaves out */
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
    if (options->projection)
        scan->projection = bson_copy(options->projection);
    return true;
}

struct find_options {
    bool ordered;
    const bson_t *min; /* clustered only, inclusive */
    const bson_t *max; /* exclusive */
};

static void append_order(bson_t *opts)
{
    /* by key pattern: a clustered collection's index has another name than _id_ */
    static const char *const names[] = {"sort", "hint"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        bson_t child;
        bson_append_document_begin(opts, names[i], -1, &child);
        bson_append_int32(&child, "_id", -1, 1);
        bson_append_document_end(opts, &child);
    }
}

static bool find(struct scan *scan, const bson_t *filter, const struct find_options *options,
                 struct err *err)
{
    bson_t opts = BSON_INITIALIZER;
    bson_error_t error;
    bson_append_int32(&opts, "batchSize", -1, BATCH_ROWS);
    if (options->ordered)
        append_order(&opts);
    if (options->min)
        bson_append_document(&opts, "min", -1, options->min);
    if (options->max)
        bson_append_document(&opts, "max", -1, options->max);
    if (scan->projection)
        bson_append_document(&opts, "projection", -1, scan->projection);
    bool ok = mongoc_client_session_append(scan->session, &opts, &error);
    if (ok) {
        mongoc_cursor_destroy(scan->cursor);
        scan->cursor = mongoc_collection_find_with_opts(scan->collection, filter, &opts, NULL);
    }
    bson_destroy(&opts);
    return ok || mongo_err(err, &error, "snapshot");
}

static void append_bound(bson_t *list, const char *index, const char *operator,
                         const bson_t * bound)
{
    bson_iter_t id;
    bson_t comparison, operands, literal;
    if (!bson_iter_init_find(&id, bound, "_id"))
        return;
    bson_append_document_begin(list, index, -1, &comparison);
    bson_append_array_begin(&comparison, operator, - 1, &operands);
    bson_append_utf8(&operands, "0", 1, "$_id", -1);
    bson_append_document_begin(&operands, "1", 1, &literal);
    bson_append_iter(&literal, "$literal", -1, &id);
    bson_append_document_end(&operands, &literal);
    bson_append_array_end(&comparison, &operands);
    bson_append_document_end(list, &comparison);
}

/* {$expr: {$and: [{$gt: ["$_id", {$literal: x}]}, ...]}}: unlike {_id: {$gt: x}} this goes through all
 * types, and is still answered from the index. */
static void append_bounds(bson_t *filter, const struct scan_options *options)
{
    bson_t expr, all;
    if (!options->after && !options->upto)
        return;
    bson_append_document_begin(filter, "$expr", -1, &expr);
    bson_append_array_begin(&expr, "$and", -1, &all);
    if (options->after)
        append_bound(&all, "0", "$gt", options->after);
    if (options->upto)
        append_bound(&all, options->after ? "1" : "0", "$lte", options->upto);
    bson_append_array_end(&expr, &all);
    bson_append_document_end(filter, &expr);
}

static bool is_max_key(const bson_t *bound)
{
    bson_iter_t id;
    return bson_iter_init_find(&id, bound, "_id") && BSON_ITER_HOLDS_MAXKEY(&id);
}

static bool is_same_id(const bson_t *a, const bson_t *b)
{
    bson_iter_t x, y;
    return bson_iter_init_find(&x, a, "_id") && bson_iter_init_find(&y, b, "_id") &&
           value_compare(&x, &y) == 0;
}

/* `min` and `max` of find: inclusive and exclusive, and with `min` alone a row whose _id is MaxKey is
 * never returned; so one row is skipped, and one is read by equality behind the others. */
static struct find_options clustered_bounds(struct scan *scan, const struct scan_options *options)
{
    if (options->after)
        scan->skip = bson_copy(options->after);
    if (options->upto) {
        scan->last = bson_copy(options->upto);
    } else if (options->after && !is_max_key(options->after)) {
        scan->last = bson_new();
        bson_append_maxkey(scan->last, "_id", 3);
    }
    return (struct find_options){.ordered = true, .min = options->after, .max = options->upto};
}

bool scan_open(const struct scan_options *options, struct scan **out, struct err *err)
{
    CLEANUP(scan_closep) struct scan *scan = calloc(1, sizeof *scan);
    struct find_options bounds = {.ordered = true};
    bson_t filter = BSON_INITIALIZER;
    if (options->match)
        bson_concat(&filter, options->match);
    if (options->clustered)
        bounds = clustered_bounds(scan, options);
    else
        append_bounds(&filter, options);
    /* nothing lies between two equal bounds, and the server refuses them as `min` and `max` */
    bool empty = options->after && options->upto && is_same_id(options->after, options->upto);
    bool ok = empty || (scan_connect(options, scan, err) && find(scan, &filter, &bounds, err));
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
    bool ok =
        scan_connect(options, scan, err) && find(scan, &filter, &(struct find_options){0}, err);
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

/* Is it the row that the bound has brought back? */
static bool is_skipped(struct scan *scan, const bson_t *doc)
{
    if (!scan->skip)
        return false;
    CLEANUP(bson_destroyp) bson_t *skip = TAKE(scan->skip);
    return is_same_id(doc, skip);
}

/* Whether a clustered collection's bounds leave the last row out is the server's choice. */
static void note_row(struct scan *scan, const bson_t *doc)
{
    if (scan->last && is_same_id(doc, scan->last)) {
        bson_destroy(scan->last);
        scan->last = NULL;
    }
}

/* The cursor is at its end; *more: one more row is looked for. */
static bool find_last(struct scan *scan, bool *more, struct err *err)
{
    *more = scan->last != NULL;
    if (!scan->last)
        return true;
    CLEANUP(bson_destroyp) bson_t *last = TAKE(scan->last);
    return find(scan, last, &(struct find_options){0}, err);
}

bool scan_next(struct scan *scan, const bson_t **doc, struct err *err)
{
    bson_error_t error;
    *doc = NULL;
    for (bool more = scan->cursor != NULL; more;) {
        while (mongoc_cursor_next(scan->cursor, doc)) {
            if (is_skipped(scan, *doc))
                continue;
            note_row(scan, *doc);
            return true;
        }
        *doc = NULL;
        if (mongoc_cursor_error(scan->cursor, &error))
            return scan_err(err, &error);
        if (!find_last(scan, &more, err))
            return false;
    }
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
    bson_destroy(scan->projection);
    bson_destroy(scan->skip);
    bson_destroy(scan->last);
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
