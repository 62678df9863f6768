/* SPDX-License-Identifier: Apache-2.0 */
/* The least that a snapshot could do: one cursor over the collection, the fields chosen by the server,
 * each document handed to librdkafka as it came (BSON). No JSON, no saved cursor, no checkpoint, no lease.
 *
 *     bare_snapshot URI DATABASE COLLECTION FIELDS ORDER BROKERS TOPIC PARTITIONS
 *
 * FIELDS is a projection in JSON; ORDER is "id" for a scan in the order of `_id`, as one that can be
 * gone on with has to be, or "natural". Prints one line of JSON.
 */
#include "bench/bare.h"

static void scan(mongoc_collection_t *collection, const bson_t *fields, bool ordered,
                 struct bare *bare, long *rows)
{
    bson_t filter = BSON_INITIALIZER, opts = BSON_INITIALIZER;
    bson_t *order = BCON_NEW("_id", BCON_INT32(1));
    bson_append_int32(&opts, "batchSize", -1, 1000);
    bson_append_document(&opts, "projection", -1, fields);
    if (ordered) {
        bson_append_document(&opts, "sort", -1, order);
        bson_append_document(&opts, "hint", -1, order);
    }
    mongoc_cursor_t *cursor = mongoc_collection_find_with_opts(collection, &filter, &opts, NULL);
    const bson_t *doc;
    bson_error_t error;
    while (mongoc_cursor_next(cursor, &doc)) {
        bson_iter_t id;
        if (!bson_iter_init_find(&id, doc, "_id"))
            continue;
        bare_send(bare, bson_get_data(doc), doc->len, &id);
        if (++*rows % 1000 == 0)
            rd_kafka_poll(bare->producer, 0);
    }
    if (mongoc_cursor_error(cursor, &error))
        die("MongoDB", error.message);
    mongoc_cursor_destroy(cursor);
    bson_destroy(order);
    bson_destroy(&opts);
    bson_destroy(&filter);
}

int main(int argc, char **argv)
{
    if (argc != 9)
        die("usage", "bare_snapshot URI DATABASE COLLECTION FIELDS ORDER BROKERS TOPIC PARTITIONS");
    mongoc_init();
    bson_error_t error;
    mongoc_uri_t *uri = mongoc_uri_new_with_error(argv[1], &error);
    bson_t *fields = bson_new_from_json((const uint8_t *)argv[4], -1, &error);
    if (!uri || !fields)
        die("arguments", error.message);
    mongoc_client_pool_t *pool = mongoc_client_pool_new(uri);
    mongoc_client_t *client = mongoc_client_pool_pop(pool);
    mongoc_collection_t *collection = mongoc_client_get_collection(client, argv[2], argv[3]);
    mongoc_read_concern_t *concern = mongoc_read_concern_new();
    mongoc_read_concern_set_level(concern, MONGOC_READ_CONCERN_LEVEL_MAJORITY);
    mongoc_collection_set_read_concern(collection, concern);
    struct bare bare = {.partitions = strtol(argv[8], NULL, 10)};
    bare_connect(&bare, argv[6], argv[7]);
    double began = now_s();
    long rows = 0;
    scan(collection, fields, strcmp(argv[5], "id") == 0, &bare, &rows);
    bare_finish(&bare);
    printf("{\"rows\": %ld, \"seconds\": %.3f}\n", rows, now_s() - began);
    mongoc_read_concern_destroy(concern);
    mongoc_collection_destroy(collection);
    bson_destroy(fields);
    mongoc_client_pool_push(pool, client);
    mongoc_client_pool_destroy(pool);
    mongoc_uri_destroy(uri);
    return 0;
}
