/* SPDX-License-Identifier: Apache-2.0 */
/* Reading from Kafka: one member of a consumer group per reader. Only rd_kafka_consumer_poll() is
 * used; rebalances are served inside it, on the reader's thread. */
#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "cdc/worklog_kafka_reader.h"

/* Where the broker is away a stop waits so long; the others of the group wait for the session to end. */
#define CLOSE_TIMEOUT_MS 2500
/* How often a partition that stands is told of while others are read. */
#define GAP_EVERY_MS 1000

_Static_assert(WORKLOG_FENCED == RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID, "as worklog.h says");

static const struct kafka_setting READER_DEFAULTS[] = {
    {"session.timeout.ms", "10000"},
    {"heartbeat.interval.ms", "1000"},
    /* A batch that is slow but not failing is not polled for: a 15 MB text takes a while. */
    {"max.poll.interval.ms", "900000"},
    {"auto.commit.interval.ms", "1000"},
    /* A fetch returns as soon as there is a byte; a partition that is new waits for it. */
    {"fetch.wait.max.ms", "100"},
    {"fetch.error.backoff.ms", "100"},
    {"fetch.max.bytes", "16777216"},
    {"queued.max.messages.kbytes", "16384"},
    {"check.crcs", "true"},
    {"reconnect.backoff.max.ms", "2000"},
    {"socket.keepalive.enable", "true"},
    /* Partitions that are added are read from soon. */
    {"topic.metadata.refresh.interval.ms", "10000"},
    {NULL, NULL},
};

/* Kafka's protocol numbers of requests. Source: kafka.apache.org/protocol, "ApiKeys". */
enum { KAFKA_API_HEARTBEAT = 12, KAFKA_API_SYNC_GROUP = 14 };

/* Called on librdkafka's threads. A session begins anew when the coordinator receives a heartbeat,
 * which is not before it was sent; a process that was stopped finds old answers in its sockets, so
 * the time of receiving says nothing. */
/* NOLINTNEXTLINE(readability-function-size): the parameters are librdkafka's */
/* wide: librdkafka's signature */
static rd_kafka_resp_err_t kafka_on_response(rd_kafka_t *client, int socket, const char *broker,
                                             int32_t broker_id, int16_t api, int16_t version,
                                             int32_t correlation, size_t size, int64_t rtt_us,
                                             rd_kafka_resp_err_t code, void *opaque)
{
    (void)client, (void)socket, (void)broker, (void)broker_id, (void)version, (void)correlation;
    (void)size;
    struct kafka_reader *reader = opaque;
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR ||
        (api != KAFKA_API_HEARTBEAT && api != KAFKA_API_SYNC_GROUP))
        return RD_KAFKA_RESP_ERR_NO_ERROR;
    int64_t sent_ms = clock_mono_ms() - (rtt_us > 0 ? rtt_us / 1000 : 0);
    if (api == KAFKA_API_SYNC_GROUP)
        reader->expired = false;
    else if (reader->heard_ms && sent_ms - reader->heard_ms > reader->session_timeout_ms)
        reader->expired = true;
    reader->heard_ms = sent_ms;
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_resp_err_t kafka_on_new(rd_kafka_t *client, const rd_kafka_conf_t *conf,
                                        void *opaque, char *reason, size_t reason_size)
{
    (void)conf, (void)reason, (void)reason_size;
    return rd_kafka_interceptor_add_on_response_received(client, "session", kafka_on_response,
                                                         opaque);
}

static void kafka_on_reader_problem(rd_kafka_t *client, int code, const char *reason, void *opaque)
{
    (void)client, (void)opaque;
    log_debug("kafka.reader.problem", LOG_STR("code", rd_kafka_err2name(code)),
              LOG_STR("reason", reason));
}

static void kafka_on_revoke(struct kafka_reader *reader, rd_kafka_t *client,
                            rd_kafka_topic_partition_list_t *list)
{
    int partitions = list ? list->cnt : 0;
    if (partitions > 0 && reader->revoking)
        reader->revoking(reader->context, rd_kafka_assignment_lost(client) != 0);
    if (partitions > 0 && !rd_kafka_assignment_lost(client)) {
        rd_kafka_resp_err_t code = kafka_commit_now(client, NULL);
        if (code != RD_KAFKA_RESP_ERR_NO_ERROR && code != RD_KAFKA_RESP_ERR__NO_OFFSET)
            log_debug("kafka.reader.revoke", LOG_STR("code", rd_kafka_err2name(code)));
    }
    if (partitions > 0) /* a pause would outlast the assignment, and hold in the next one */
        rd_kafka_resume_partitions(client, list);
    reader->paused = false;
    rd_kafka_assign(client, NULL);
    if (partitions > 0)
        reader->revoked = true;
    reader->stale = false;
    reader->given_up = false;
    rd_kafka_yield(client); /* the caller is told now, not when its time-out is over */
}

/* Fetching stops or goes on for all that is assigned. */
static bool kafka_pause(struct kafka_reader *reader, bool pause, struct err *err)
{
    CLEANUP(rd_kafka_topic_partition_list_destroyp)
    rd_kafka_topic_partition_list_t *list = NULL;
    rd_kafka_resp_err_t code = rd_kafka_assignment(reader->client, &list);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        code = pause ? rd_kafka_pause_partitions(reader->client, list)
                     : rd_kafka_resume_partitions(reader->client, list);
    reader->paused = pause;
    return code == RD_KAFKA_RESP_ERR_NO_ERROR || kafka_err(err, code, "kafka pause");
}

static void kafka_on_assign(struct kafka_reader *reader, rd_kafka_t *client,
                            rd_kafka_topic_partition_list_t *partitions)
{
    memset(reader->progress, 0, sizeof(reader->progress));
    reader->stale = false;
    reader->given_up = false;
    reader->paused = false;
    rd_kafka_assign(client, partitions);
    if (reader->keeping && !kafka_pause(reader, true, NULL))
        reader->paused = false; /* then by the next keep */
}

static void kafka_on_rebalance(rd_kafka_t *client, rd_kafka_resp_err_t code,
                               rd_kafka_topic_partition_list_t *partitions, void *opaque)
{
    struct kafka_reader *reader = opaque;
    if (code != RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
        kafka_on_revoke(reader, client, partitions);
        return;
    }
    kafka_on_assign(reader, client, partitions);
}

static bool kafka_reader_conf(const struct kafka_log *log,
                              const struct worklog_reader_options *options,
                              struct kafka_reader *reader, rd_kafka_conf_t **out, struct err *err)
{
    bool is_static = options->instance && options->instance[0];
    const struct kafka_setting fixed[] = {
        {"group.id", options->group},
        {"partition.assignment.strategy", "range"},
        {"enable.auto.offset.store", "false"},
        {"enable.auto.commit", "true"},
        {"auto.offset.reset", "error"},
        {"enable.partition.eof", "true"}, /* kafka_pass_end() */
        {is_static ? "group.instance.id" : NULL, options->instance},
        {NULL, NULL},
    };
    CLEANUP(rd_kafka_conf_destroyp) rd_kafka_conf_t *conf = NULL;
    if (!kafka_conf_new(log, READER_DEFAULTS, fixed, &conf, err))
        return false;
    rd_kafka_conf_set_opaque(conf, reader);
    rd_kafka_conf_set_rebalance_cb(conf, kafka_on_rebalance);
    rd_kafka_conf_set_error_cb(conf, kafka_on_reader_problem);
    rd_kafka_conf_interceptor_add_on_new(conf, "session", kafka_on_new, reader);
    char value[24];
    size_t size = sizeof(value);
    if (rd_kafka_conf_get(conf, "session.timeout.ms", value, &size) == RD_KAFKA_CONF_OK)
        reader->session_timeout_ms = strtoll(value, NULL, 10);
    *out = TAKE(conf);
    return true;
}

static bool kafka_subscribe(const struct kafka_reader *reader, struct err *err)
{
    CLEANUP(rd_kafka_topic_partition_list_destroyp)
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(topics, reader->topic, RD_KAFKA_PARTITION_UA);
    rd_kafka_resp_err_t code = rd_kafka_subscribe(reader->client, topics);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return kafka_err(err, code, "kafka subscribe");
    return true;
}

bool kafka_open_reader(struct worklog *base, const struct worklog_reader_options *options,
                       struct worklog_reader **out, struct err *err)
{
    struct kafka_reader *reader = calloc(1, sizeof(*reader));
    if (!reader)
        abort();
    reader->base.ops = &worklog_kafka_ops;
    reader->revoking = options->revoking;
    reader->context = options->context;
    reader->topic = strdup(options->topic);
    if (!reader->topic)
        abort();
    CLEANUP(rd_kafka_conf_destroyp) rd_kafka_conf_t *conf = NULL;
    bool ok = kafka_reader_conf((struct kafka_log *)base, options, reader, &conf, err) &&
              kafka_client_new(RD_KAFKA_CONSUMER, &conf, &reader->client, err) &&
              rd_kafka_poll_set_consumer(reader->client) == RD_KAFKA_RESP_ERR_NO_ERROR &&
              kafka_subscribe(reader, err);
    if (!ok)
        kafka_close_reader(&reader->base);
    *out = ok ? &reader->base : NULL;
    return ok;
}

static void kafka_drop_batch(struct kafka_reader *reader)
{
    for (size_t i = 0; i < reader->count; i++)
        rd_kafka_message_destroy(reader->messages[i]);
    reader->count = 0;
}

static void kafka_make_room(struct kafka_reader *reader)
{
    if (reader->count < reader->capacity)
        return;
    size_t capacity = reader->capacity ? 2 * reader->capacity : 256;
    rd_kafka_message_t **messages = realloc(reader->messages, capacity * sizeof(*messages));
    struct worklog_record *records = realloc(reader->records, capacity * sizeof(*records));
    if (!messages || !records)
        abort();
    reader->messages = messages;
    reader->records = records;
    reader->capacity = capacity;
}

static void kafka_skip(struct kafka_reader *reader, const rd_kafka_message_t *message,
                       const struct err *why)
{
    log_warn("worklog.record.invalid", LOG_STR("topic", reader->topic),
             LOG_INT("partition", message->partition), LOG_INT("offset", message->offset),
             LOG_ERR(why));
    reader->progress[message->partition].skipped = message->offset + 1;
    if (!kafka_store_skipped(reader, message->partition, NULL))
        log_debug("kafka.reader.skip", LOG_INT("partition", message->partition));
}

/* The log may end with offsets under which nothing is delivered: deletes that compaction has forgotten, a
 * transaction's marker. Only the position at the end tells that they are passed. */
static void kafka_pass_end(struct kafka_reader *reader, const rd_kafka_message_t *message)
{
    if (reader->stale || message->partition >= WORKLOG_MAX_PARTITIONS || message->offset < 0)
        return;
    struct kafka_progress *progress = &reader->progress[message->partition];
    if (message->offset <= progress->delivered)
        return; /* mostly: what was delivered reaches to the end */
    progress->skipped = message->offset;
    if (!kafka_store_skipped(reader, message->partition, NULL))
        log_debug("kafka.reader.skip", LOG_INT("partition", message->partition));
}

/* librdkafka does not take back what it has said of an assignment that was replaced. */
static bool kafka_is_outdated(const struct kafka_progress *progress,
                              const rd_kafka_message_t *message)
{
    return message->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET && progress->sent &&
           message->offset != progress->sent_to;
}

/* What is not a record, as the outcome of this call or, behind records, of the next. */
static void kafka_notice(struct kafka_reader *reader, const rd_kafka_message_t *message)
{
    reader->noticed = true;
    reader->notice_failed = false;
    switch ((int)message->err) {
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
        reader->notice = READ_GAP; /* told if a partition stands */
        if (kafka_is_outdated(&reader->progress[message->partition], message))
            return;
        reader->progress[message->partition].gap = true;
        reader->progress[message->partition].gap_offset =
            message->offset >= 0 ? message->offset : -1;
        reader->gap_told_ms = 0;
        log_debug("kafka.reader.gap", LOG_INT("partition", message->partition),
                  LOG_INT("offset", message->offset),
                  LOG_STR("reason", rd_kafka_message_errstr(message)));
        return;
    case RD_KAFKA_RESP_ERR__MAX_POLL_EXCEEDED:
        reader->notice = READ_LOST;
        return;
    default:
        reader->notice_failed = true;
        if (kafka_is_usable(reader->client, &reader->notice_err))
            kafka_err_reason(&reader->notice_err, message->err, "kafka read",
                             rd_kafka_message_errstr(message));
    }
}

/* Returns the bytes it adds to the batch. */
static size_t kafka_collect(struct kafka_reader *reader, rd_kafka_message_t *message)
{
    if (reader->stale || message->partition >= WORKLOG_MAX_PARTITIONS) {
        rd_kafka_message_destroy(message);
        return 0;
    }
    kafka_make_room(reader);
    struct worklog_record *record = &reader->records[reader->count];
    struct err why = {0};
    if (!kafka_record_decode(message, record, &why)) {
        kafka_skip(reader, message, &why);
        rd_kafka_message_destroy(message);
        return 0;
    }
    reader->messages[reader->count++] = message;
    reader->progress[message->partition].delivered = message->offset + 1;
    reader->progress[message->partition].sent = false;
    return record_weight(&record->record);
}

/* Fills the batch until it is full, there is no more at hand, or something else happened. */
static void kafka_fill(struct kafka_reader *reader, size_t max_records, size_t max_size,
                       int64_t timeout_ms)
{
    int64_t deadline_ms = clock_mono_ms() + timeout_ms;
    size_t size = 0;
    int64_t wait_ms = timeout_ms;
    while (reader->count < max_records && (size < max_size || reader->count == 0)) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(reader->client, (int)wait_ms);
        if (reader->revoked || !message) {
            if (message)
                rd_kafka_message_destroy(message);
            return;
        }
        bool at_end = message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF;
        if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR && !at_end) {
            kafka_notice(reader, message);
            rd_kafka_message_destroy(message);
            return;
        }
        if (at_end) {
            kafka_pass_end(reader, message);
            rd_kafka_message_destroy(message);
        } else {
            size += kafka_collect(reader, message);
        }
        int64_t left_ms = reader->count ? 0 : deadline_ms - clock_mono_ms();
        wait_ms = left_ms > 0 ? left_ms : 0;
    }
}

/* One of the partitions that stand, each in its turn. */
static bool kafka_find_gap(struct kafka_reader *reader, struct worklog_gap *out)
{
    for (int i = 1; i <= WORKLOG_MAX_PARTITIONS; i++) {
        int p = (reader->gap.partition + i) % WORKLOG_MAX_PARTITIONS;
        if (!reader->progress[p].gap)
            continue;
        reader->gap = (struct worklog_gap){p, reader->progress[p].gap_offset};
        reader->gap_told_ms = clock_mono_ms();
        *out = reader->gap;
        return true;
    }
    return false;
}

static bool kafka_take_notice(struct kafka_reader *reader, enum worklog_read *outcome,
                              struct err *err)
{
    reader->noticed = false;
    *outcome = reader->notice;
    if (!reader->notice_failed)
        return true;
    *outcome = READ_IDLE;
    if (err)
        *err = reader->notice_err;
    return false;
}

/* No session lasts so long. */
static bool kafka_was_silent(const struct kafka_reader *reader)
{
    int64_t heard_ms = reader->heard_ms;
    return reader->expired ||
           (heard_ms != 0 && clock_mono_ms() - heard_ms > reader->session_timeout_ms);
}

/* Somebody else may read what is assigned, and nobody has been told of it yet. */
static bool kafka_lost_it(const struct kafka_reader *reader)
{
    return rd_kafka_assignment_lost(reader->client) || kafka_was_silent(reader);
}

/* The caller did not apply what it had: joining anew makes those records come again. Where
 * librdkafka knows of the loss it does so by itself. */
static bool kafka_give_up(struct kafka_reader *reader, struct err *err)
{
    reader->stale = true;
    if (rd_kafka_assignment_lost(reader->client))
        return true;
    if (kafka_was_silent(reader))
        reader->given_up = true; /* before what says so is reset */
    reader->heard_ms = 0;
    reader->expired = false;
    return kafka_subscribe(reader, err);
}

/* Goes on after a revoke, so that a new assignment is served: the caller may be busy for long. */
bool kafka_keep(struct worklog_reader *base, struct err *err)
{
    struct kafka_reader *reader = (struct kafka_reader *)base;
    if (!reader->paused && !kafka_pause(reader, true, err))
        return false;
    bool was_revoked = reader->revoked;
    reader->keeping = true;
    rd_kafka_message_t *message = rd_kafka_consumer_poll(reader->client, 0);
    reader->keeping = false;
    if (!message)
        return true;
    bool ok = true;
    if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
        kafka_pass_end(reader, message);
    else if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR)
        kafka_notice(reader, message);
    else if (reader->revoked == was_revoked)
        ok = kafka_give_up(reader, err); /* fetched before the pause: it must come again */
    rd_kafka_message_destroy(message);
    return ok;
}

/* wide: the signature of the ops table's slot */
bool kafka_read(struct worklog_reader *base, size_t max_records, size_t max_size,
                int64_t timeout_ms, struct worklog_batch *batch, enum worklog_read *outcome,
                struct err *err)
{
    struct kafka_reader *reader = (struct kafka_reader *)base;
    kafka_drop_batch(reader);
    if (reader->paused && !kafka_pause(reader, false, err))
        return false;
    if (reader->noticed && (reader->notice_failed || reader->notice != READ_GAP))
        return kafka_take_notice(reader, outcome, err);
    reader->noticed = false; /* a gap is told below */
    if (!kafka_is_usable(reader->client, err))
        return false;
    if (!reader->revoked && kafka_lost_it(reader) && !kafka_give_up(reader, err))
        return false;
    bool is_due = clock_mono_ms() - reader->gap_told_ms >= GAP_EVERY_MS;
    if (!reader->revoked && is_due && kafka_find_gap(reader, &batch->gap)) {
        *outcome = READ_GAP;
        return true;
    }
    if (!reader->revoked)
        kafka_fill(reader, max_records, max_size, timeout_ms);
    if (reader->revoked) {
        kafka_drop_batch(reader);
        reader->revoked = reader->noticed = false;
        *outcome = READ_LOST;
        return true;
    }
    if (reader->count > 0) {
        *batch = (struct worklog_batch){.records = reader->records, .count = reader->count};
        *outcome = READ_RECORDS;
        return true;
    }
    if (reader->noticed && !kafka_take_notice(reader, outcome, err))
        return false;
    if (*outcome == READ_IDLE || *outcome == READ_GAP)
        *outcome = kafka_find_gap(reader, &batch->gap) ? READ_GAP : READ_IDLE;
    return true;
}

bool kafka_is_lost(const struct worklog_reader *base)
{
    const struct kafka_reader *reader = (const struct kafka_reader *)base;
    /* in this order: what is reset is told by the other before */
    return kafka_lost_it(reader) || reader->given_up || reader->revoked ||
           !kafka_is_usable(reader->client, NULL);
}

/* Events, not callbacks: rd_kafka_queue_poll_callback() aborts on the records still in the queue. */
static void kafka_serve_close(struct kafka_reader *reader, rd_kafka_queue_t *queue)
{
    CLEANUP(rd_kafka_event_destroyp) rd_kafka_event_t *event = rd_kafka_queue_poll(queue, 20);
    if (event && rd_kafka_event_type(event) == RD_KAFKA_EVENT_REBALANCE)
        kafka_on_rebalance(reader->client, rd_kafka_event_error(event),
                           rd_kafka_event_topic_partition_list(event), reader);
}

/* Not rd_kafka_consumer_close(): that has no deadline. */
static bool kafka_leave(struct kafka_reader *reader)
{
    CLEANUP(rd_kafka_queue_destroyp) rd_kafka_queue_t *queue = rd_kafka_queue_new(reader->client);
    CLEANUP(rd_kafka_error_destroyp)
    rd_kafka_error_t *error = rd_kafka_consumer_close_queue(reader->client, queue);
    if (error)
        return false;
    int64_t deadline_ms = clock_mono_ms() + CLOSE_TIMEOUT_MS;
    while (!rd_kafka_consumer_closed(reader->client) && clock_mono_ms() < deadline_ms)
        kafka_serve_close(reader, queue);
    return rd_kafka_consumer_closed(reader->client) != 0;
}

/* The client's own threads use the reader until it is gone. */
static void kafka_destroy_reader(void *context)
{
    struct kafka_reader *reader = context;
    if (reader->client)
        rd_kafka_destroy_flags(reader->client,
                               reader->left ? 0 : RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    free(reader->messages), free(reader->records), free(reader->topic), free(reader);
}

void kafka_close_reader(struct worklog_reader *base)
{
    struct kafka_reader *reader = (struct kafka_reader *)base;
    kafka_drop_batch(reader);
    reader->left = reader->client && kafka_leave(reader);
    kafka_finish(kafka_destroy_reader, reader);
}
