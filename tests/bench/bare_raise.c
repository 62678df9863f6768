/* SPDX-License-Identifier: Apache-2.0 */
/* The least that a replay of documents that have not changed could do: consumes a topic, reads the
 * ledger rows of each batch in one command and raises them in another, both with majority. No text, no
 * fingerprint, no group, no offsets stored; nothing depends on what the rows say.
 *
 *     bare_raise URI DATABASE LEDGER BROKERS TOPIC OFFSETS COUNT BATCH
 *
 * OFFSETS: where to begin in each partition, separated by commas. Ends after COUNT records, prints one
 * line of JSON.
 */
#include "bench/bare.h"

#define MAX_BATCH 10000

struct loop {
    mongoc_client_t *client;
    mongoc_collection_t *ledger;
    const char *database;
    const char *name;
    rd_kafka_t *consumer;
    rd_kafka_queue_t *queue;
    rd_kafka_message_t *messages[MAX_BATCH];
    size_t count;
    size_t batch;
    long rows;
};

static void open_consumer(struct loop *loop, const char *brokers, const char *topic,
                          const char *offsets)
{
    char reason[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "bootstrap.servers", brokers, reason, sizeof reason);
    rd_kafka_conf_set(conf, "group.id", "bare", reason, sizeof reason);
    rd_kafka_conf_set(conf, "enable.auto.commit", "false", reason, sizeof reason);
    rd_kafka_conf_set(conf, "check.crcs", "true", reason, sizeof reason);
    loop->consumer = rd_kafka_new(RD_KAFKA_CONSUMER, conf, reason, sizeof reason);
    if (!loop->consumer)
        die("Kafka", reason);
    rd_kafka_poll_set_consumer(loop->consumer);
    loop->queue = rd_kafka_queue_get_consumer(loop->consumer);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(8);
    char *rest = NULL;
    char *copy = strdup(offsets);
    int32_t partition = 0;
    for (char *text = strtok_r(copy, ",", &rest); text; text = strtok_r(NULL, ",", &rest))
        rd_kafka_topic_partition_list_add(list, topic, partition++)->offset =
            strtol(text, NULL, 10);
    if (rd_kafka_assign(loop->consumer, list) != RD_KAFKA_RESP_ERR_NO_ERROR)
        die("Kafka", "the partitions cannot be assigned");
    rd_kafka_topic_partition_list_destroy(list);
    free(copy);
}

static void take(struct loop *loop)
{
    ssize_t got = rd_kafka_consume_batch_queue(loop->queue, 200, loop->messages, loop->batch);
    if (got < 0)
        die("Kafka", "the topic cannot be read");
    loop->count = 0;
    for (ssize_t i = 0; i < got; i++) {
        if (loop->messages[i]->err == RD_KAFKA_RESP_ERR_NO_ERROR)
            loop->messages[loop->count++] = loop->messages[i];
        else
            rd_kafka_message_destroy(loop->messages[i]);
    }
}

static void append_key(bson_t *doc, const char *name, const rd_kafka_message_t *message)
{
    bson_append_utf8(doc, name, -1, message->key, (int)message->key_len);
}

static void read_rows(struct loop *loop)
{
    bson_t filter = BSON_INITIALIZER, opts = BSON_INITIALIZER, child, in;
    bson_append_document_begin(&filter, "_id", -1, &child);
    bson_append_array_begin(&child, "$in", -1, &in);
    for (size_t i = 0; i < loop->count; i++) {
        char text[16];
        const char *index;
        bson_uint32_to_string((uint32_t)i, &index, text, sizeof text);
        append_key(&in, index, loop->messages[i]);
    }
    bson_append_array_end(&child, &in);
    bson_append_document_end(&filter, &child);
    bson_append_int64(&opts, "batchSize", -1, (int64_t)loop->batch + 1);
    mongoc_cursor_t *cursor = mongoc_collection_find_with_opts(loop->ledger, &filter, &opts, NULL);
    const bson_t *row;
    bson_error_t error;
    while (mongoc_cursor_next(cursor, &row))
        loop->rows++;
    if (mongoc_cursor_error(cursor, &error))
        die("MongoDB", error.message);
    mongoc_cursor_destroy(cursor);
    bson_destroy(&opts);
    bson_destroy(&filter);
}

static const char *header(const rd_kafka_message_t *message, const char *name)
{
    rd_kafka_headers_t *headers;
    const void *value;
    size_t size;
    if (rd_kafka_message_headers(message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR ||
        rd_kafka_header_get_last(headers, name, &value, &size) != RD_KAFKA_RESP_ERR_NO_ERROR)
        die("Kafka", "a record without the headers of a work item");
    return value;
}

/* {q: {_id}, u: {$set: {gen, ver, off}}} */
static void append_raise(bson_t *updates, uint32_t number, const rd_kafka_message_t *message)
{
    char text[16];
    const char *index;
    bson_t entry, query, update, set;
    bson_uint32_to_string(number, &index, text, sizeof text);
    bson_append_document_begin(updates, index, -1, &entry);
    bson_append_document_begin(&entry, "q", -1, &query);
    append_key(&query, "_id", message);
    bson_append_document_end(&entry, &query);
    bson_append_document_begin(&entry, "u", -1, &update);
    bson_append_document_begin(&update, "$set", -1, &set);
    bson_append_int64(&set, "gen", -1, strtol(header(message, "gen"), NULL, 10));
    bson_append_utf8(&set, "ver", -1, header(message, "ver"), -1);
    bson_append_int64(&set, "off", -1, message->offset);
    bson_append_document_end(&update, &set);
    bson_append_document_end(&entry, &update);
    bson_append_document_end(updates, &entry);
}

static void raise_rows(struct loop *loop)
{
    bson_t command = BSON_INITIALIZER, updates, concern, reply;
    bson_error_t error;
    bson_append_utf8(&command, "update", -1, loop->name, -1);
    bson_append_bool(&command, "ordered", -1, false);
    bson_append_array_begin(&command, "updates", -1, &updates);
    for (size_t i = 0; i < loop->count; i++)
        append_raise(&updates, (uint32_t)i, loop->messages[i]);
    bson_append_array_end(&command, &updates);
    bson_append_document_begin(&command, "writeConcern", -1, &concern);
    bson_append_utf8(&concern, "w", -1, "majority", -1);
    bson_append_document_end(&command, &concern);
    if (!mongoc_client_write_command_with_opts(loop->client, loop->database, &command, NULL, &reply,
                                               &error))
        die("MongoDB", error.message);
    bson_destroy(&reply);
    bson_destroy(&command);
}

static void drain(struct loop *loop, long left)
{
    while (left > 0) {
        take(loop);
        if (loop->count == 0)
            continue;
        read_rows(loop);
        raise_rows(loop);
        left -= (long)loop->count;
        for (size_t i = 0; i < loop->count; i++)
            rd_kafka_message_destroy(loop->messages[i]);
    }
}

static mongoc_collection_t *open_ledger(const struct loop *loop)
{
    mongoc_collection_t *ledger =
        mongoc_client_get_collection(loop->client, loop->database, loop->name);
    mongoc_read_concern_t *concern = mongoc_read_concern_new();
    mongoc_read_concern_set_level(concern, MONGOC_READ_CONCERN_LEVEL_MAJORITY);
    mongoc_collection_set_read_concern(ledger, concern);
    mongoc_read_concern_destroy(concern);
    return ledger;
}

int main(int argc, char **argv)
{
    if (argc != 9)
        die("usage", "bare_raise URI DATABASE LEDGER BROKERS TOPIC OFFSETS COUNT BATCH");
    mongoc_init();
    bson_error_t error;
    mongoc_uri_t *uri = mongoc_uri_new_with_error(argv[1], &error);
    if (!uri)
        die("URI", error.message);
    mongoc_client_pool_t *pool = mongoc_client_pool_new(uri);
    static struct loop loop;
    loop.client = mongoc_client_pool_pop(pool);
    loop.database = argv[2];
    loop.name = argv[3];
    loop.batch = strtoul(argv[8], NULL, 10);
    if (loop.batch < 1 || loop.batch > MAX_BATCH)
        die("usage", "a BATCH of 1 to 10000");
    loop.ledger = open_ledger(&loop);
    double began = now_s();
    open_consumer(&loop, argv[4], argv[5], argv[6]);
    drain(&loop, strtol(argv[7], NULL, 10));
    printf("{\"rows\": %ld, \"seconds\": %.3f}\n", loop.rows, now_s() - began);
    rd_kafka_queue_destroy(loop.queue);
    rd_kafka_consumer_close(loop.consumer);
    rd_kafka_destroy(loop.consumer);
    mongoc_collection_destroy(loop.ledger);
    mongoc_client_pool_push(pool, loop.client);
    mongoc_client_pool_destroy(pool);
    mongoc_uri_destroy(uri);
    return 0;
}
