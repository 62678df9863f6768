/* SPDX-License-Identifier: Apache-2.0 */
/* The least that capture could do: a change stream read by libmongoc commands, each event's document
 * handed to librdkafka as it came (BSON). No projection, no JSON, no checkpoint, no lease.
 *
 *     bare_capture URI SCOPE TOKEN BROKERS TOPIC PARTITIONS COUNT
 *
 * SCOPE is a database; DATABASE.COLLECTION for that collection's own stream; DATABASE=COLLECTION for the
 * database's stream that is filtered by the server. Drains COUNT events after TOKEN, waits for their
 * delivery, prints one line of JSON.
 */
#include "bench/bare.h"

struct loop {
    mongoc_client_t *client;
    mongoc_client_session_t *session;
    char database[64];
    char collection[64]; /* "" : the whole database */
    bool filtered;
    struct bare bare;
    long left;
};

static void read_scope(struct loop *loop, const char *scope)
{
    size_t size = strcspn(scope, ".=");
    snprintf(loop->database, sizeof loop->database, "%.*s", (int)size, scope);
    if (scope[size]) {
        snprintf(loop->collection, sizeof loop->collection, "%s", scope + size + 1);
        loop->filtered = scope[size] == '=';
    }
}

static void run(struct loop *loop, const bson_t *command, bson_t *reply)
{
    bson_t opts = BSON_INITIALIZER;
    bson_error_t error;
    if (!mongoc_client_session_append(loop->session, &opts, &error) ||
        !mongoc_client_command_with_opts(loop->client, loop->database, command, NULL, &opts, reply,
                                         &error))
        die("MongoDB", error.message);
    bson_destroy(&opts);
}

static void produce(struct loop *loop, const bson_t *event)
{
    bson_iter_t document, id;
    uint32_t size;
    const uint8_t *data;
    if (!bson_iter_init_find(&document, event, "fullDocument") ||
        !BSON_ITER_HOLDS_DOCUMENT(&document) || !bson_iter_recurse(&document, &id) ||
        !bson_iter_find(&id, "_id"))
        return;
    bson_iter_document(&document, &size, &data);
    bare_send(&loop->bare, data, size, &id);
    loop->left--;
}

static int64_t take(struct loop *loop, const bson_t *reply)
{
    bson_iter_t top, cursor, event;
    int64_t id = 0;
    if (!bson_iter_init_find(&top, reply, "cursor") || !bson_iter_recurse(&top, &cursor))
        die("MongoDB", "a reply without a cursor");
    while (bson_iter_next(&cursor)) {
        if (strcmp(bson_iter_key(&cursor), "id") == 0)
            id = bson_iter_as_int64(&cursor);
        if (!BSON_ITER_HOLDS_ARRAY(&cursor) || !bson_iter_recurse(&cursor, &event))
            continue;
        while (bson_iter_next(&event)) {
            uint32_t size;
            const uint8_t *data;
            bson_t view;
            bson_iter_document(&event, &size, &data);
            if (bson_init_static(&view, data, size))
                produce(loop, &view);
        }
    }
    rd_kafka_poll(loop->bare.producer, 0);
    return id;
}

static void append_pipeline(const struct loop *loop, const char *token, bson_t *command)
{
    bson_t *stream = BCON_NEW("$changeStream", "{", "fullDocument", BCON_UTF8("updateLookup"),
                              "startAfter", "{", "_data", BCON_UTF8(token), "}", "}");
    bson_t *match = BCON_NEW("$match", "{", "ns.coll", BCON_UTF8(loop->collection), "}");
    bson_t *project = BCON_NEW("$project", "{", "updateDescription", BCON_INT32(0), "}");
    bson_t pipeline;
    bson_append_array_begin(command, "pipeline", -1, &pipeline);
    bson_append_document(&pipeline, "0", 1, stream);
    if (loop->filtered)
        bson_append_document(&pipeline, "1", 1, match);
    bson_append_document(&pipeline, loop->filtered ? "2" : "1", 1, project);
    bson_append_array_end(command, &pipeline);
    bson_destroy(stream);
    bson_destroy(match);
    bson_destroy(project);
}

static int64_t open_stream(struct loop *loop, const char *token)
{
    bson_t command = BSON_INITIALIZER, reply, child;
    bool whole = loop->filtered || !loop->collection[0];
    if (whole)
        bson_append_int32(&command, "aggregate", -1, 1);
    else
        bson_append_utf8(&command, "aggregate", -1, loop->collection, -1);
    append_pipeline(loop, token, &command);
    bson_append_document_begin(&command, "cursor", -1, &child);
    bson_append_int32(&child, "batchSize", -1, 1000);
    bson_append_document_end(&command, &child);
    bson_append_document_begin(&command, "readConcern", -1, &child);
    bson_append_utf8(&child, "level", -1, "majority", -1);
    bson_append_document_end(&command, &child);
    run(loop, &command, &reply);
    int64_t cursor = take(loop, &reply);
    bson_destroy(&command);
    bson_destroy(&reply);
    if (whole)
        snprintf(loop->collection, sizeof loop->collection, "$cmd.aggregate");
    return cursor;
}

static void drain(struct loop *loop, const char *token)
{
    int64_t cursor = open_stream(loop, token);
    while (loop->left > 0) {
        bson_t more = BSON_INITIALIZER, reply;
        bson_append_int64(&more, "getMore", -1, cursor);
        bson_append_utf8(&more, "collection", -1, loop->collection, -1);
        bson_append_int32(&more, "batchSize", -1, 1000);
        bson_append_int64(&more, "maxTimeMS", -1, 1000);
        run(loop, &more, &reply);
        take(loop, &reply);
        bson_destroy(&more);
        bson_destroy(&reply);
    }
}

int main(int argc, char **argv)
{
    if (argc != 8)
        die("usage", "bare_capture URI SCOPE TOKEN BROKERS TOPIC PARTITIONS COUNT");
    mongoc_init();
    bson_error_t error;
    mongoc_uri_t *uri = mongoc_uri_new_with_error(argv[1], &error);
    if (!uri)
        die("URI", error.message);
    mongoc_client_pool_t *pool = mongoc_client_pool_new(uri);
    struct loop loop = {.client = mongoc_client_pool_pop(pool),
                        .bare.partitions = strtol(argv[6], NULL, 10),
                        .left = strtol(argv[7], NULL, 10)};
    long count = loop.left;
    read_scope(&loop, argv[2]);
    loop.session = mongoc_client_start_session(loop.client, NULL, &error);
    if (!loop.session)
        die("session", error.message);
    bare_connect(&loop.bare, argv[4], argv[5]);
    double began = now_s();
    drain(&loop, argv[3]);
    bare_finish(&loop.bare);
    printf("{\"events\": %ld, \"seconds\": %.3f}\n", count, now_s() - began);
    mongoc_client_session_destroy(loop.session);
    mongoc_client_pool_push(pool, loop.client);
    mongoc_client_pool_destroy(pool);
    mongoc_uri_destroy(uri);
    return 0;
}
