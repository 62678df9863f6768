/* SPDX-License-Identifier: Apache-2.0 */
/* The least that capture could do: a change stream read by libmongoc commands, each event's document
 * handed to librdkafka as it came (BSON). No projection, no JSON, no checkpoint, no lease.
 *
 *     bare_capture URI DATABASE TOKEN BROKERS TOPIC PARTITIONS COUNT
 *
 * Drains COUNT events after TOKEN, waits for their delivery, prints one line of JSON.
 */
#include <librdkafka/rdkafka.h>
#include <mongoc/mongoc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct loop {
    mongoc_client_t *client;
    mongoc_client_session_t *session;
    const char *database;
    rd_kafka_t *producer;
    rd_kafka_topic_t *topic;
    long partitions;
    long left;
};

static void die(const char *what, const char *why)
{
    fprintf(stderr, "bare_capture: %s: %s\n", what, why);
    exit(1);
}

static double now_s(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
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
    bson_t key = BSON_INITIALIZER;
    bson_append_iter(&key, "", 0, &id);
    uint32_t hash = 5381;
    for (uint32_t i = 0; i < key.len; i++)
        hash = hash * 33 + bson_get_data(&key)[i];
    int32_t partition = (int32_t)(hash % (uint32_t)loop->partitions);
    void *value = malloc(size);
    memcpy(value, data, size);
    while (rd_kafka_produce(loop->topic, partition, RD_KAFKA_MSG_F_FREE, value, size,
                            bson_get_data(&key), key.len, NULL) != 0)
        rd_kafka_poll(loop->producer, 100);
    bson_destroy(&key);
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
    rd_kafka_poll(loop->producer, 0);
    return id;
}

static void drain(struct loop *loop, const char *token)
{
    bson_t *command =
        BCON_NEW("aggregate", BCON_INT32(1), "pipeline", "[", "{", "$changeStream", "{",
                 "fullDocument", BCON_UTF8("updateLookup"), "startAfter", "{", "_data",
                 BCON_UTF8(token), "}", "}", "}", "{", "$project", "{", "updateDescription",
                 BCON_INT32(0), "}", "}", "]", "cursor", "{", "batchSize", BCON_INT32(1000), "}",
                 "readConcern", "{", "level", BCON_UTF8("majority"), "}");
    bson_t reply;
    run(loop, command, &reply);
    bson_destroy(command);
    int64_t cursor = take(loop, &reply);
    bson_destroy(&reply);
    while (loop->left > 0) {
        bson_t more = BSON_INITIALIZER;
        bson_append_int64(&more, "getMore", -1, cursor);
        bson_append_utf8(&more, "collection", -1, "$cmd.aggregate", -1);
        bson_append_int32(&more, "batchSize", -1, 1000);
        bson_append_int64(&more, "maxTimeMS", -1, 1000);
        run(loop, &more, &reply);
        take(loop, &reply);
        bson_destroy(&more);
        bson_destroy(&reply);
    }
    if (rd_kafka_flush(loop->producer, 60000) != RD_KAFKA_RESP_ERR_NO_ERROR)
        die("Kafka", "not all records were delivered within 60 s");
}

static void connect_kafka(struct loop *loop, const char *brokers, const char *topic)
{
    static const char *const settings[][2] = {
        {"enable.idempotence", "true"},
        {"acks", "all"},
        {"compression.codec", "lz4"},
        {"linger.ms", "5"},
        {NULL, NULL},
    };
    char reason[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "bootstrap.servers", brokers, reason, sizeof reason);
    for (int i = 0; settings[i][0]; i++) {
        if (rd_kafka_conf_set(conf, settings[i][0], settings[i][1], reason, sizeof reason) !=
            RD_KAFKA_CONF_OK)
            die("Kafka", reason);
    }
    loop->producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, reason, sizeof reason);
    if (!loop->producer)
        die("Kafka", reason);
    loop->topic = rd_kafka_topic_new(loop->producer, topic, NULL);
}

int main(int argc, char **argv)
{
    if (argc != 8)
        die("usage", "bare_capture URI DATABASE TOKEN BROKERS TOPIC PARTITIONS COUNT");
    mongoc_init();
    bson_error_t error;
    mongoc_uri_t *uri = mongoc_uri_new_with_error(argv[1], &error);
    if (!uri)
        die("URI", error.message);
    mongoc_client_pool_t *pool = mongoc_client_pool_new(uri);
    struct loop loop = {.client = mongoc_client_pool_pop(pool),
                        .database = argv[2],
                        .partitions = strtol(argv[6], NULL, 10),
                        .left = strtol(argv[7], NULL, 10)};
    long count = loop.left;
    loop.session = mongoc_client_start_session(loop.client, NULL, &error);
    if (!loop.session)
        die("session", error.message);
    connect_kafka(&loop, argv[4], argv[5]);
    double began = now_s();
    drain(&loop, argv[3]);
    printf("{\"events\": %ld, \"seconds\": %.3f}\n", count, now_s() - began);
    rd_kafka_topic_destroy(loop.topic);
    rd_kafka_destroy(loop.producer);
    mongoc_client_session_destroy(loop.session);
    mongoc_client_pool_push(pool, loop.client);
    mongoc_client_pool_destroy(pool);
    mongoc_uri_destroy(uri);
    return 0;
}
