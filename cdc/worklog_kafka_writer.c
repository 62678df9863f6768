/* SPDX-License-Identifier: Apache-2.0 */
/* Appending to Kafka: one idempotent producer per writer. Its reports are served on the writer's
 * thread, inside rd_kafka_poll() and rd_kafka_flush(). */
#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "cdc/worklog_kafka.h"

_Static_assert(sizeof(void *) >= sizeof(uint64_t), "a ticket travels as a message's opaque");

struct kafka_writer {
    struct worklog_writer base;
    rd_kafka_t *client;
    const char *brokers; /* the log's */
    worklog_delivered *delivered;
    void *context;
    rd_kafka_topic_t **topics; /* those written to so far */
    size_t topic_count;
    size_t pending;
    int64_t asked_ms; /* monotonic: when it last asked what partitions there are; 0: never */
    bool broken;      /* a report said that no later record can be trusted */
    struct err why;
};

/* By itself the client hears of partitions that a topic was given within five minutes. */
#define ASK_EVERY_MS 500
#define ASK_TIMEOUT_MS 1000

/* librdkafka's default of batch.size. */
#define BATCH_SIZE 1000000

static const struct kafka_setting WRITER_DEFAULTS[] = {
    {"linger.ms", "5"},
    {"compression.type", "lz4"},
    {"message.max.bytes", "20000000"},
    /* While the brokers are away this is what the process grows by. A record costs librdkafka about
     * 1 kB beside its own bytes, which alone count here: most of it are the headers. The largest
     * record must fit. */
    {"queue.buffering.max.messages", "20000"},
    {"queue.buffering.max.kbytes", "20480"},
    {"reconnect.backoff.max.ms", "2000"},
    {"socket.keepalive.enable", "true"},
    {NULL, NULL},
};

static const struct kafka_setting WRITER_FIXED[] = {
    {"enable.idempotence", "true"},
    {"acks", "all"},
    /* A record waits for ever: giving one up would break the order of those behind it. */
    {"message.timeout.ms", "0"},
    {NULL, NULL},
};

static void kafka_on_delivery(rd_kafka_t *client, const rd_kafka_message_t *message, void *opaque)
{
    struct kafka_writer *writer = opaque;
    uint64_t ticket = (uint64_t)(uintptr_t)message->_private;
    assert(writer->pending > 0);
    writer->pending--;
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        writer->delivered(writer->context, ticket, NULL);
        return;
    }
    struct err failed = {0};
    kafka_err(&failed, message->err, "kafka record");
    if (message->err == RD_KAFKA_RESP_ERR__FATAL && kafka_is_usable(client, &failed))
        kafka_err(&failed, message->err, "kafka record");
    if (failed.action == ERR_FATAL)
        err_prefix(&failed, "kafka at %s, topic %s", writer->brokers,
                   rd_kafka_topic_name(message->rkt));
    if (failed.action == ERR_FATAL && !writer->broken) {
        writer->broken = true;
        writer->why = failed;
    }
    writer->delivered(writer->context, ticket, &failed);
}

/* Connections come and go: the producer keeps its records and tries again by itself. */
static void kafka_on_problem(rd_kafka_t *client, int code, const char *reason, void *opaque)
{
    (void)client, (void)opaque;
    log_debug("kafka.writer.problem", LOG_STR("code", rd_kafka_err2name(code)),
              LOG_STR("reason", reason));
}

/* The broker refuses a batch as a whole that is larger than a topic takes, though each record of it
 * is not. */
static bool kafka_writer_conf(const struct kafka_log *log,
                              const struct worklog_writer_options *options, rd_kafka_conf_t **out,
                              struct err *err)
{
    char size[24], reason[256];
    if (!kafka_conf_new(log, WRITER_DEFAULTS, WRITER_FIXED, out, err))
        return false;
    if (options->max_size <= 0 || options->max_size >= BATCH_SIZE)
        return true;
    snprintf(size, sizeof(size), "%" PRId64, options->max_size);
    return rd_kafka_conf_set(*out, "batch.size", size, reason, sizeof(reason)) ==
               RD_KAFKA_CONF_OK ||
           err_set(err, ERR_FATAL, ERR_KAFKA, 0, "batch.size %s: %s", size, reason);
}

bool kafka_open_writer(struct worklog *base, const struct worklog_writer_options *options,
                       struct worklog_writer **out, struct err *err)
{
    CLEANUP(rd_kafka_conf_destroyp) rd_kafka_conf_t *conf = NULL;
    if (!kafka_writer_conf((struct kafka_log *)base, options, &conf, err))
        return false;
    struct kafka_writer *writer = calloc(1, sizeof(*writer));
    if (!writer)
        abort();
    writer->base.ops = &worklog_kafka_ops;
    writer->brokers = ((struct kafka_log *)base)->brokers;
    writer->delivered = options->delivered;
    writer->context = options->context;
    rd_kafka_conf_set_opaque(conf, writer);
    rd_kafka_conf_set_dr_msg_cb(conf, kafka_on_delivery);
    rd_kafka_conf_set_error_cb(conf, kafka_on_problem);
    if (!kafka_client_new(RD_KAFKA_PRODUCER, &conf, &writer->client, err)) {
        free(writer);
        return false;
    }
    *out = &writer->base;
    return true;
}

static rd_kafka_topic_t *kafka_topic_of(struct kafka_writer *writer, const char *name)
{
    for (size_t i = 0; i < writer->topic_count; i++) {
        if (strcmp(rd_kafka_topic_name(writer->topics[i]), name) == 0)
            return writer->topics[i];
    }
    rd_kafka_topic_t *topic = rd_kafka_topic_new(writer->client, name, NULL);
    if (!topic)
        return NULL;
    rd_kafka_topic_t **topics =
        realloc(writer->topics, (writer->topic_count + 1) * sizeof(*topics));
    if (!topics)
        abort();
    writer->topics = topics;
    writer->topics[writer->topic_count++] = topic;
    return topic;
}

/* librdkafka copies what it is given here, but its types lack the const. */
static void *kafka_borrow(const void *pointer)
{
    union {
        const void *borrowed;
        void *plain;
    } both = {pointer};
    return both.plain;
}

/* Not RD_KAFKA_VTYPE_HEADER: of those librdkafka frees the headers twice when the topic or the partition
 * is gone (librdkafka issue 4627). What is made here stays ours when producing fails. */
static rd_kafka_headers_t *kafka_headers(const struct record *record)
{
    char gen[24], time[24], bytes[24];
    int gen_size = snprintf(gen, sizeof(gen), "%" PRId64, record->gen);
    int time_size = snprintf(time, sizeof(time), "%" PRId64, record->time_ms);
    int bytes_size = snprintf(bytes, sizeof(bytes), "%" PRId64, record->size);
    rd_kafka_headers_t *headers = rd_kafka_headers_new(5);
    rd_kafka_header_add(headers, "gen", -1, gen, gen_size);
    rd_kafka_header_add(headers, "ver", -1, record->ver, -1);
    rd_kafka_header_add(headers, "op", -1, item_op_name(record->op), -1);
    if (record->time_ms)
        rd_kafka_header_add(headers, "time", -1, time, time_size);
    if (record->size)
        rd_kafka_header_add(headers, "size", -1, bytes, bytes_size);
    return headers;
}

static rd_kafka_vu_t kafka_bytes(rd_kafka_vtype_t type, const char *data, size_t size)
{
    rd_kafka_vu_t bytes = {.vtype = type};
    bytes.u.mem.ptr = kafka_borrow(data);
    bytes.u.mem.size = size;
    return bytes;
}

/* An array for rd_kafka_produceva() rather than the RD_KAFKA_V_* macros: those cast without
 * parentheses, and an expression with ?: in one silently writes no tombstone. */
static rd_kafka_error_t *kafka_produce(struct kafka_writer *writer, rd_kafka_topic_t *topic,
                                       int partition, const struct record *record, uint64_t ticket)
{
    rd_kafka_headers_t *headers = kafka_headers(record);
    const rd_kafka_vu_t fields[] = {
        {.vtype = RD_KAFKA_VTYPE_RKT, .u.rkt = topic},
        {.vtype = RD_KAFKA_VTYPE_PARTITION, .u.i32 = partition},
        {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
        {.vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = (void *)(uintptr_t)ticket},
        {.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = headers},
        kafka_bytes(RD_KAFKA_VTYPE_KEY, record->key, record->key_size),
        kafka_bytes(RD_KAFKA_VTYPE_VALUE, record->value, record->value ? record->value_size : 0),
    };
    rd_kafka_error_t *error = rd_kafka_produceva(writer->client, fields, ARRAY_LEN(fields));
    if (error)
        rd_kafka_headers_destroy(headers);
    return error;
}

/* True: what the client knows of the topic's partitions is fresh. */
static bool kafka_ask_again(struct kafka_writer *writer, rd_kafka_topic_t *topic)
{
    const struct rd_kafka_metadata *metadata = NULL;
    int64_t now_ms = clock_mono_ms();
    if (writer->asked_ms > 0 && now_ms - writer->asked_ms < ASK_EVERY_MS)
        return false;
    writer->asked_ms = now_ms;
    rd_kafka_resp_err_t code =
        rd_kafka_metadata(writer->client, 0, topic, &metadata, ASK_TIMEOUT_MS);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        rd_kafka_metadata_destroy(metadata);
    return code == RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* NOLINTNEXTLINE(readability-function-size): the contract has seven parameters */
/* wide: the signature of the ops table's slot */
bool kafka_append(struct worklog_writer *base, const char *topic, int partition,
                  const struct record *record, uint64_t ticket, enum worklog_append *outcome,
                  struct err *err)
{
    struct kafka_writer *writer = (struct kafka_writer *)base;
    rd_kafka_topic_t *handle = kafka_topic_of(writer, topic);
    if (!handle)
        return kafka_err(err, rd_kafka_last_error(), "kafka topic");
    CLEANUP(rd_kafka_error_destroyp)
    rd_kafka_error_t *error = kafka_produce(writer, handle, partition, record, ticket);
    if (error && rd_kafka_error_code(error) == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION &&
        kafka_ask_again(writer, handle)) {
        rd_kafka_error_destroy(error);
        error = kafka_produce(writer, handle, partition, record, ticket);
    }
    if (!error) {
        writer->pending++;
        *outcome = APPEND_OK;
        return true;
    }
    rd_kafka_resp_err_t code = rd_kafka_error_code(error);
    if (code == RD_KAFKA_RESP_ERR__QUEUE_FULL) {
        *outcome = APPEND_FULL;
        return true;
    }
    if (code == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE) {
        *outcome = APPEND_TOO_LARGE;
        return true;
    }
    if (!kafka_is_usable(writer->client, err))
        return false;
    return kafka_err_reason(err, code, "kafka append", rd_kafka_error_string(error));
}

static bool kafka_writer_is_usable(const struct kafka_writer *writer, struct err *err)
{
    if (writer->broken) {
        if (err)
            *err = writer->why;
        return false;
    }
    return kafka_is_usable(writer->client, err);
}

bool kafka_poll(struct worklog_writer *base, int64_t timeout_ms, struct err *err)
{
    struct kafka_writer *writer = (struct kafka_writer *)base;
    rd_kafka_poll(writer->client, (int)timeout_ms);
    return kafka_writer_is_usable(writer, err);
}

size_t kafka_pending(const struct worklog_writer *base)
{
    return ((const struct kafka_writer *)base)->pending;
}

bool kafka_flush(struct worklog_writer *base, int64_t timeout_ms, struct err *err)
{
    struct kafka_writer *writer = (struct kafka_writer *)base;
    rd_kafka_resp_err_t code = rd_kafka_flush(writer->client, (int)timeout_ms);
    if (!kafka_writer_is_usable(writer, err))
        return false;
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return kafka_err(err, code, "kafka flush");
    return true;
}

/* Records in flight too: the producer would send them again after an outage, and what an old
 * leader sends late becomes the topic's last word on a key. */
void kafka_purge(struct worklog_writer *base)
{
    struct kafka_writer *writer = (struct kafka_writer *)base;
    rd_kafka_purge(writer->client, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
}

static void kafka_ignore_report(void *context, uint64_t ticket, const struct err *failed)
{
    (void)context, (void)ticket, (void)failed;
}

static void kafka_destroy_writer(void *context)
{
    struct kafka_writer *writer = context;
    rd_kafka_destroy(writer->client);
    free(writer);
}

void kafka_close_writer(struct worklog_writer *base)
{
    struct kafka_writer *writer = (struct kafka_writer *)base;
    writer->delivered = kafka_ignore_report;
    kafka_purge(base);
    for (size_t i = 0; i < writer->topic_count; i++)
        rd_kafka_topic_destroy(writer->topics[i]);
    free(writer->topics);
    kafka_finish(kafka_destroy_writer, writer);
}
