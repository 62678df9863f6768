/* SPDX-License-Identifier: Apache-2.0 */
#include "cdc/oplog.h"

#include <string.h>

#include "base/mongo.h"

/* What a server says in an election, or while it goes down, says nothing about the oplog. */
static bool may_not_look(const bson_error_t *error)
{
    static const uint32_t passing[] = {6,    7,     50,    89,    91,    189,  262,
                                       9001, 10107, 11600, 11602, 13435, 13436};
    bool is_passing = false;
    for (size_t i = 0; i < ARRAY_LEN(passing); i++)
        is_passing = is_passing || error->code == passing[i];
    return error->domain == MONGOC_ERROR_SERVER && !is_passing;
}

/* The first entry that `filter` finds in natural order of `direction`. *found false: none, or the
 * server does not let us look. */
static bool read_entry(mongoc_client_pool_t *pool, const bson_t *filter, int direction,
                       struct cluster_time *out, bool *found, struct err *err)
{
    CLEANUP(mongo_client_release) struct mongo_client client = mongo_client_of(pool);
    CLEANUP(mongoc_collection_destroyp)
    mongoc_collection_t *oplog = mongoc_client_get_collection(client.client, "local", "oplog.rs");
    bson_t opts = BSON_INITIALIZER, child;
    bson_append_int64(&opts, "limit", -1, 1);
    bson_append_document_begin(&opts, "sort", -1, &child);
    bson_append_int32(&child, "$natural", -1, direction);
    bson_append_document_end(&opts, &child);
    bson_append_document_begin(&opts, "projection", -1, &child);
    bson_append_int32(&child, "ts", -1, 1);
    bson_append_document_end(&opts, &child);
    CLEANUP(mongoc_cursor_destroyp)
    mongoc_cursor_t *cursor = mongoc_collection_find_with_opts(oplog, filter, &opts, NULL);
    bson_destroy(&opts);
    const bson_t *entry;
    bson_iter_t ts;
    bson_error_t error;
    *found = mongoc_cursor_next(cursor, &entry) && bson_iter_init_find(&ts, entry, "ts") &&
             BSON_ITER_HOLDS_TIMESTAMP(&ts);
    if (*found)
        bson_iter_timestamp(&ts, &out->seconds, &out->ordinal);
    if (!mongoc_cursor_error(cursor, &error) || may_not_look(&error))
        return true;
    return mongo_err(err, &error, "oplog");
}

bool oplog_look(mongoc_client_pool_t *pool, struct oplog_window *out, struct err *err)
{
    bson_t all = BSON_INITIALIZER;
    bool first = false, last = false;
    *out = (struct oplog_window){0};
    bool ok = read_entry(pool, &all, 1, &out->first, &first, err) &&
              read_entry(pool, &all, -1, &out->last, &last, err);
    out->known = ok && first && last;
    return ok;
}

bool oplog_ask(mongoc_client_pool_t *pool, struct cluster_time time, enum oplog_answer *out,
               struct err *err)
{
    struct oplog_window window;
    struct cluster_time before = cluster_time_before(time), found;
    bool any = false;
    *out = OPLOG_UNKNOWN;
    if (!oplog_look(pool, &window, err))
        return false;
    if (!window.known || cluster_time_compare(window.last, before) < 0)
        return true;
    if (cluster_time_compare(window.first, time) > 0) {
        *out = OPLOG_LOST;
        return true;
    }
    /* {ts: {$gte: t}} is answered without reading what lies before it */
    bson_t filter = BSON_INITIALIZER, least;
    bson_append_document_begin(&filter, "ts", -1, &least);
    bson_append_timestamp(&least, "$gte", -1, before.seconds, before.ordinal);
    bson_append_document_end(&filter, &least);
    bool ok = read_entry(pool, &filter, 1, &found, &any, err);
    bson_destroy(&filter);
    if (ok && any)
        *out = cluster_time_compare(found, time) <= 0 ? OPLOG_HOLDS : OPLOG_OTHER;
    return ok;
}
