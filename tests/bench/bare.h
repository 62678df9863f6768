/* SPDX-License-Identifier: Apache-2.0 */
/* What the bare loops share: a producer with the agent's own settings, to which documents are handed as
 * they came (BSON). */
#pragma once

#include <librdkafka/rdkafka.h>
#include <mongoc/mongoc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct bare {
    rd_kafka_t *producer;
    rd_kafka_topic_t *topic;
    long partitions;
};

static inline void die(const char *what, const char *why)
{
    fprintf(stderr, "bare loop: %s: %s\n", what, why);
    exit(1);
}

static inline double now_s(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static inline void bare_connect(struct bare *bare, const char *brokers, const char *topic)
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
    bare->producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, reason, sizeof reason);
    if (!bare->producer)
        die("Kafka", reason);
    bare->topic = rd_kafka_topic_new(bare->producer, topic, NULL);
}

/* The document's bytes under the key of its `_id`, which `id` stands at. */
static inline void bare_send(struct bare *bare, const uint8_t *data, uint32_t size,
                             const bson_iter_t *id)
{
    bson_t key = BSON_INITIALIZER;
    bson_append_iter(&key, "", 0, id);
    uint32_t hash = 5381;
    for (uint32_t i = 0; i < key.len; i++)
        hash = hash * 33 + bson_get_data(&key)[i];
    int32_t partition = (int32_t)(hash % (uint32_t)bare->partitions);
    void *value = malloc(size);
    memcpy(value, data, size);
    while (rd_kafka_produce(bare->topic, partition, RD_KAFKA_MSG_F_FREE, value, size,
                            bson_get_data(&key), key.len, NULL) != 0)
        rd_kafka_poll(bare->producer, 100);
    bson_destroy(&key);
}

static inline void bare_finish(struct bare *bare)
{
    if (rd_kafka_flush(bare->producer, 60000) != RD_KAFKA_RESP_ERR_NO_ERROR)
        die("Kafka", "not all records were delivered within 60 s");
    rd_kafka_topic_destroy(bare->topic);
    rd_kafka_destroy(bare->producer);
}
