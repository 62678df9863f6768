/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/plan/reading.h"

#include "base/clock.h"
#include "base/mongo.h"
#include "cdc/scan.h"

/* An election takes some seconds. */
#define TRIES 8
#define BACKOFF_MS 250
#define BACKOFF_MAX_MS 4000

static struct scan_options options_of(const struct reading *reading)
{
    return (struct scan_options){.pool = reading->pool,
                                 .database = reading->family->source.database,
                                 .collection = reading->family->source.collection};
}

bool reading_estimate(const struct reading *reading, int64_t *out, struct err *err)
{
    struct scan_options options = options_of(reading);
    bool exists = false;
    if (!scan_exists(&options, &exists, err))
        return false;
    if (!exists)
        return err_set(err, ERR_REJECT, ERR_STATE, 0, "there is no collection %s.%s to be read",
                       options.database, options.collection);
    return scan_estimate(&options, out, err);
}

static void keep_place(const bson_t *doc, bson_t *place)
{
    bson_iter_t id;
    if (!bson_iter_init_find(&id, doc, "_id"))
        return;
    bson_reinit(place);
    bson_append_iter(place, "_id", 3, &id);
}

/* Rows until the end, or until something fails; *given_up: by the one who takes them. */
static bool read_rows(const struct reading *reading, const struct scan_options *options,
                      bson_t *place, bool *given_up, struct err *err)
{
    CLEANUP(scan_closep) struct scan *scan = NULL;
    if (!scan_open(options, &scan, err))
        return false;
    while (true) {
        const bson_t *doc;
        if (!scan_next(scan, &doc, err))
            return false;
        if (!doc)
            return true;
        if (!reading->row(reading->context, doc, err)) {
            *given_up = true;
            return false;
        }
        keep_place(doc, place);
    }
}

bool reading_all(const struct reading *reading, struct err *err)
{
    struct scan_options options = options_of(reading);
    CLEANUP(bson_destroyp) bson_t *place = bson_new();
    CLEANUP(bson_destroyp) bson_t *failed_at = bson_new();
    bool given_up = false;
    options.projection = shape_projection(reading->shape);
    options.match = shape_filter(reading->shape);
    if (!scan_is_clustered(&options, &options.clustered, err))
        return false;
    for (unsigned tries = 0; !read_rows(reading, &options, place, &given_up, err); tries++) {
        if (!bson_equal(place, failed_at))
            tries = 0; /* it has come further */
        if (given_up || err->action != ERR_RETRY || tries >= TRIES)
            return false;
        bson_destroy(failed_at);
        failed_at = bson_copy(place);
        options.after = bson_empty(place) ? NULL : failed_at;
        clock_sleep_ms(backoff_ms(tries, BACKOFF_MS, BACKOFF_MAX_MS));
    }
    return true;
}

/* $sample stands first: then the server takes few documents by chance without reading all. The filter is
 * ours to apply. */
bool reading_sample(const struct reading *reading, int64_t count, struct err *err)
{
    bson_error_t error;
    const bson_t *doc;
    CLEANUP(mongo_client_release) struct mongo_client c = mongo_client_of(reading->pool);
    CLEANUP(bson_destroyp)
    bson_t *pipeline =
        BCON_NEW("pipeline", "[", "{", "$sample", "{", "size", BCON_INT64(count), "}", "}", "{",
                 "$project", BCON_DOCUMENT(shape_projection(reading->shape)), "}", "]");
    CLEANUP(bson_destroyp) bson_t *options = BCON_NEW("allowDiskUse", BCON_BOOL(true));
    CLEANUP(mongoc_collection_destroyp)
    mongoc_collection_t *collection = mongoc_client_get_collection(
        c.client, reading->family->source.database, reading->family->source.collection);
    CLEANUP(mongoc_cursor_destroyp)
    mongoc_cursor_t *cursor =
        mongoc_collection_aggregate(collection, MONGOC_QUERY_NONE, pipeline, options, NULL);
    while (mongoc_cursor_next(cursor, &doc)) {
        if (!reading->row(reading->context, doc, err))
            return false;
    }
    return !mongoc_cursor_error(cursor, &error) || mongo_err(err, &error, "$sample");
}
