/* SPDX-License-Identifier: Apache-2.0 */
/* What is to be known of a collection before it is read: whether it is there, how it is kept, and
 * where to cut it. */
#include <stdlib.h>
#include <string.h>

#include "base/mongo.h"
#include "cdc/compare.h"
#include "cdc/scan.h"

#define CODE_UNAUTHORIZED 13
/* Documents of the sample for each part: bounds are then off by a few percent. */
#define SAMPLE_PER_PART 40

static bool run(const struct scan_options *options, const bson_t *command, bson_t *reply,
                struct err *err)
{
    CLEANUP(mongo_client_release) struct mongo_client client = mongo_client_of(options->pool);
    bson_error_t error;
    return mongoc_client_command_with_opts(client.client, options->database, command, NULL, NULL,
                                           reply, &error) ||
           mongo_err(err, &error, "snapshot");
}

static void append_id_order(bson_t *command, const char *name)
{
    bson_t order;
    bson_append_document_begin(command, name, -1, &order);
    bson_append_int32(&order, "_id", -1, 1);
    bson_append_document_end(command, &order);
}

/* A stage of this name anywhere in a query plan (a sharded cluster nests one for each shard). */
static bool has_stage(const bson_iter_t *plan, const char *stage)
{
    bson_iter_t child;
    if (!bson_iter_recurse(plan, &child))
        return false;
    while (bson_iter_next(&child)) {
        bool container = BSON_ITER_HOLDS_DOCUMENT(&child) || BSON_ITER_HOLDS_ARRAY(&child);
        if (container && has_stage(&child, stage))
            return true;
        if (BSON_ITER_HOLDS_UTF8(&child) && strcmp(bson_iter_key(&child), "stage") == 0 &&
            strcmp(bson_iter_utf8(&child, NULL), stage) == 0)
            return true;
    }
    return false;
}

/* The plan of a read by `_id` shows it: an ordinary collection has an index to go by. */
bool scan_is_clustered(const struct scan_options *options, bool *out, struct err *err)
{
    bson_t command = BSON_INITIALIZER, find, reply;
    bson_iter_t plan;
    bson_append_document_begin(&command, "explain", -1, &find);
    bson_append_utf8(&find, "find", -1, options->collection, -1);
    append_id_order(&find, "sort");
    append_id_order(&find, "hint");
    bson_append_document_end(&command, &find);
    bson_append_utf8(&command, "verbosity", -1, "queryPlanner", -1);
    bool ok = run(options, &command, &reply, err);
    *out = ok && bson_iter_init_find(&plan, &reply, "queryPlanner") &&
           (has_stage(&plan, "COLLSCAN") || has_stage(&plan, "CLUSTERED_IXSCAN"));
    bson_destroy(&command);
    bson_destroy(&reply);
    return ok;
}

/* [{$sample: {size}}, {$project: {_id: 1}}, {$sort: {_id: 1}}]: sorted by the collection's own order. */
static void append_sample(bson_t *command, int64_t size)
{
    bson_t pipeline, stage, child;
    bson_append_array_begin(command, "pipeline", -1, &pipeline);
    bson_append_document_begin(&pipeline, "0", 1, &stage);
    bson_append_document_begin(&stage, "$sample", -1, &child);
    bson_append_int64(&child, "size", -1, size);
    bson_append_document_end(&stage, &child);
    bson_append_document_end(&pipeline, &stage);
    bson_append_document_begin(&pipeline, "1", 1, &stage);
    append_id_order(&stage, "$project");
    bson_append_document_end(&pipeline, &stage);
    bson_append_document_begin(&pipeline, "2", 1, &stage);
    append_id_order(&stage, "$sort");
    bson_append_document_end(&pipeline, &stage);
    bson_append_array_end(command, &pipeline);
}

static bool is_same_id(const bson_t *a, const bson_t *b)
{
    bson_iter_t x, y;
    return bson_iter_init_find(&x, a, "_id") && bson_iter_init_find(&y, b, "_id") &&
           value_compare(&x, &y) == 0;
}

static void add_bound(const bson_iter_t *row, bson_t **bounds, size_t *count)
{
    bson_iter_t id;
    if (!bson_iter_recurse(row, &id) || !bson_iter_find(&id, "_id"))
        return;
    bson_t *bound = bson_new();
    bson_append_iter(bound, "_id", 3, &id);
    if (*count > 0 && is_same_id(bounds[*count - 1], bound))
        bson_destroy(bound);
    else
        bounds[(*count)++] = bound;
}

/* Of `rows` sorted samples, every (rows / parts)th. */
static void take_bounds(const bson_iter_t *list, size_t parts, bson_t **bounds, size_t *count)
{
    bson_iter_t row, all;
    size_t rows = 0, at = 0;
    if (!bson_iter_recurse(list, &all))
        return;
    row = all;
    while (bson_iter_next(&all))
        rows++;
    for (size_t next = 1; next < parts && bson_iter_next(&row); at++) {
        if (at * parts < next * rows)
            continue;
        add_bound(&row, bounds, count);
        next++;
    }
}

bool scan_split(const struct scan_options *options, size_t parts, bson_t ***bounds, size_t *count,
                struct err *err)
{
    bson_t command = BSON_INITIALIZER, cursor, reply;
    bson_iter_t iter, batch;
    int64_t size = (int64_t)parts * SAMPLE_PER_PART;
    bson_append_utf8(&command, "aggregate", -1, options->collection, -1);
    append_sample(&command, size);
    bson_append_document_begin(&command, "cursor", -1, &cursor);
    bson_append_int64(&cursor, "batchSize", -1, size);
    bson_append_document_end(&command, &cursor);
    bool ok = run(options, &command, &reply, err);
    *count = 0;
    *bounds = calloc(parts + 1, sizeof **bounds);
    if (ok && bson_iter_init(&iter, &reply) &&
        bson_iter_find_descendant(&iter, "cursor.firstBatch", &batch))
        take_bounds(&batch, parts, *bounds, count);
    bson_destroy(&command);
    bson_destroy(&reply);
    return ok;
}

static bool is_empty(const bson_t *reply)
{
    bson_iter_t iter, batch, first;
    return !bson_iter_init(&iter, reply) ||
           !bson_iter_find_descendant(&iter, "cursor.firstBatch", &batch) ||
           !bson_iter_recurse(&batch, &first) || !bson_iter_next(&first);
}

bool scan_exists(const struct scan_options *options, bool *out, struct err *err)
{
    bson_t command = BSON_INITIALIZER, child, reply;
    struct err why = {0};
    bson_append_int32(&command, "listCollections", -1, 1);
    bson_append_document_begin(&command, "filter", -1, &child);
    bson_append_utf8(&child, "name", -1, options->collection, -1);
    bson_append_document_end(&command, &child);
    bson_append_bool(&command, "nameOnly", -1, true);
    bson_append_bool(&command, "authorizedCollections", -1, true);
    bool ok = run(options, &command, &reply, &why);
    *out = !ok || !is_empty(&reply);
    bson_destroy(&command);
    bson_destroy(&reply);
    if (ok || why.code == CODE_UNAUTHORIZED)
        return true;
    if (err)
        *err = why;
    return false;
}
