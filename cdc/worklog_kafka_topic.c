/* SPDX-License-Identifier: Apache-2.0 */
/* Making sure of a topic: that it is there, is compacted, and what it holds; more partitions for it; and
 * removing it. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "cdc/worklog_kafka_admin.h"

/* The active segment is never compacted: an hour bounds what a replay reads twice. */
#define SEGMENT_MS "3600000"
/* A document of 16 MiB with its envelope. */
#define MAX_MESSAGE_BYTES 17825792
#define TEXT(number) TEXT_OF(number)
#define TEXT_OF(number) #number
/* How long a topic that was just made may take until every partition has a leader, and one that was
 * removed until the broker has forgotten it. */
#define APPEAR_TIMEOUT_MS 10000

static void kafka_take_setting(struct kafka_topic_settings *settings, const char *name,
                               const char *value)
{
    if (strcmp(name, "cleanup.policy") == 0)
        snprintf(settings->cleanup_policy, sizeof(settings->cleanup_policy), "%s", value);
    else if (strcmp(name, "delete.retention.ms") == 0)
        settings->delete_retention_ms = strtoll(value, NULL, 10);
    else if (strcmp(name, "min.compaction.lag.ms") == 0)
        settings->compaction_lag_ms = strtoll(value, NULL, 10);
    else if (strcmp(name, "max.message.bytes") == 0)
        settings->max_message_bytes = strtoll(value, NULL, 10);
}

static bool kafka_read_settings(struct kafka_call *call, struct kafka_topic_settings *out,
                                struct err *err)
{
    static const char WHAT[] = "kafka topic settings";
    size_t count = 0;
    const rd_kafka_ConfigResource_t **resources = rd_kafka_DescribeConfigs_result_resources(
        rd_kafka_event_DescribeConfigs_result(call->event), &count);
    if (count != 1)
        return kafka_err(err, RD_KAFKA_RESP_ERR__BAD_MSG, WHAT);
    rd_kafka_resp_err_t code = rd_kafka_ConfigResource_error(resources[0]);
    if (code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
        return true;
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return kafka_admin_err(call->log, err, code, WHAT,
                               rd_kafka_ConfigResource_error_string(resources[0]));
    out->found = true;
    size_t entries = 0;
    const rd_kafka_ConfigEntry_t **entry = rd_kafka_ConfigResource_configs(resources[0], &entries);
    for (size_t i = 0; i < entries; i++) {
        const char *value = rd_kafka_ConfigEntry_value(entry[i]);
        if (value)
            kafka_take_setting(out, rd_kafka_ConfigEntry_name(entry[i]), value);
    }
    return true;
}

bool kafka_describe(struct kafka_log *log, const char *topic, struct kafka_topic_settings *out,
                    struct err *err)
{
    *out = (struct kafka_topic_settings){0};
    CLEANUP(kafka_call_fini) struct kafka_call call;
    if (!kafka_admin_begin(log, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, &call, err))
        return false;
    rd_kafka_ConfigResource_t *resource =
        rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic);
    rd_kafka_DescribeConfigs(log->admin, &resource, 1, call.options, call.queue);
    rd_kafka_ConfigResource_destroy(resource);
    return kafka_admin_await(&call, "kafka topic settings", err) &&
           kafka_read_settings(&call, out, err);
}

static bool kafka_ask_for_topic(const struct kafka_log *log, const char *topic, struct err *err)
{
    return err_set(err, ERR_RETRY, ERR_KAFKA, RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART,
                   "topic missing; make it with: kafka-topics.sh --create"
                   " --bootstrap-server %s --topic %s --partitions %d --replication-factor %d"
                   " --config cleanup.policy=compact --config delete.retention.ms=%" PRId64
                   " --config min.compaction.lag.ms=%" PRId64 " --config segment.ms=" SEGMENT_MS
                   " --config max.message.bytes=" TEXT(
                       MAX_MESSAGE_BYTES) " --config message.timestamp.type=LogAppendTime",
                   log->brokers, topic, log->partitions, log->replication_factor, log->retention_ms,
                   log->compaction_lag_ms);
}

static bool kafka_configure(const struct kafka_log *log, rd_kafka_NewTopic_t *request,
                            struct err *err)
{
    char retention[24], lag[24];
    snprintf(retention, sizeof(retention), "%" PRId64, log->retention_ms);
    snprintf(lag, sizeof(lag), "%" PRId64, log->compaction_lag_ms);
    const struct kafka_setting settings[] = {
        {"cleanup.policy", "compact"},
        {"delete.retention.ms", retention},
        {"min.compaction.lag.ms", lag},
        {"segment.ms", SEGMENT_MS},
        {"max.message.bytes", TEXT(MAX_MESSAGE_BYTES)},
        /* A reader judges by it how long a record has been waiting. */
        {"message.timestamp.type", "LogAppendTime"},
    };
    for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
        rd_kafka_resp_err_t code =
            rd_kafka_NewTopic_set_config(request, settings[i].name, settings[i].value);
        if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
            return kafka_err(err, code, "kafka topic creation");
    }
    return true;
}

bool kafka_create(struct kafka_log *log, const char *topic, bool only_try, struct err *err)
{
    static const char WHAT[] = "kafka topic creation";
    char reason[256];
    CLEANUP(kafka_call_fini) struct kafka_call call;
    if (!kafka_admin_begin(log, RD_KAFKA_ADMIN_OP_CREATETOPICS, &call, err))
        return false;
    if (rd_kafka_AdminOptions_set_validate_only(call.options, only_try, reason, sizeof(reason)))
        return err_set(err, ERR_FATAL, ERR_KAFKA, 0, "%s: %s", WHAT, reason);
    rd_kafka_NewTopic_t *request = rd_kafka_NewTopic_new(
        topic, log->partitions, log->replication_factor, reason, sizeof(reason));
    if (!request)
        return err_set(err, ERR_FATAL, ERR_CONFIG, 0, "%s: %s", WHAT, reason);
    bool configured = kafka_configure(log, request, err);
    if (configured)
        rd_kafka_CreateTopics(log->admin, &request, 1, call.options, call.queue);
    rd_kafka_NewTopic_destroy(request);
    if (!configured || !kafka_admin_await(&call, WHAT, err))
        return false;
    size_t count = 0;
    const rd_kafka_topic_result_t **results =
        rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(call.event), &count);
    return kafka_topic_outcome(&call, results, count, RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS, WHAT,
                               err);
}

static void warn_if_less(const char *topic, const char *setting, int64_t value, int64_t wanted)
{
    if (value < wanted)
        log_warn("worklog.topic.setting", LOG_STR("topic", topic), LOG_STR("setting", setting),
                 LOG_INT("value", value), LOG_INT("wanted", wanted));
}

static bool kafka_check_settings(const struct kafka_log *log, const char *topic,
                                 const struct kafka_topic_settings *settings, struct err *err)
{
    if (!strstr(settings->cleanup_policy, "compact"))
        return err_set(err, ERR_FATAL, ERR_STATE, 0,
                       "topic %s has cleanup.policy=%s: the last state of old documents would be "
                       "deleted; it must be compact",
                       topic, settings->cleanup_policy);
    if (strstr(settings->cleanup_policy, "delete"))
        log_warn("worklog.topic.setting", LOG_STR("topic", topic),
                 LOG_STR("setting", "cleanup.policy"), LOG_STR("value", settings->cleanup_policy),
                 LOG_STR("wanted", "compact"));
    warn_if_less(topic, "delete.retention.ms", settings->delete_retention_ms, log->retention_ms);
    warn_if_less(topic, "min.compaction.lag.ms", settings->compaction_lag_ms,
                 log->compaction_lag_ms);
    warn_if_less(topic, "max.message.bytes", settings->max_message_bytes, MAX_MESSAGE_BYTES);
    return true;
}

static bool kafka_count(const struct rd_kafka_metadata *metadata, const char *name, int *out,
                        struct err *err)
{
    static const char WHAT[] = "kafka topic metadata";
    if (metadata->topic_cnt != 1)
        return kafka_err(err, RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, WHAT);
    const struct rd_kafka_metadata_topic *topic = &metadata->topics[0];
    if (topic->err != RD_KAFKA_RESP_ERR_NO_ERROR)
        return kafka_err(err, topic->err, WHAT);
    if (topic->partition_cnt > WORKLOG_MAX_PARTITIONS)
        return err_set(err, ERR_FATAL, ERR_CONFIG, 0, "topic %s has %d partitions, not 1 to %d",
                       name, topic->partition_cnt, WORKLOG_MAX_PARTITIONS);
    for (int i = 0; i < topic->partition_cnt; i++) {
        if (topic->partitions[i].leader < 0)
            return kafka_err(err, RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE, WHAT);
    }
    *out = topic->partition_cnt;
    return true;
}

static bool kafka_describe_topic(struct kafka_log *log, const char *topic,
                                 struct worklog_topic *out, struct err *err)
{
    CLEANUP(rd_kafka_topic_destroyp)
    rd_kafka_topic_t *handle = rd_kafka_topic_new(log->admin, topic, NULL);
    if (!handle)
        return kafka_err(err, rd_kafka_last_error(), "kafka topic");
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_resp_err_t code =
        rd_kafka_metadata(log->admin, 0, handle, &metadata, KAFKA_CALL_TIMEOUT_MS);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return kafka_admin_err(log, err, code, "kafka topic metadata", NULL);
    bool counted = kafka_count(metadata, topic, &out->partitions, err);
    rd_kafka_metadata_destroy(metadata);
    return counted && kafka_watermarks(log, topic, out->partitions, out->low, out->high, err);
}

static bool kafka_is_unknown(const struct err *err)
{
    return err->domain == ERR_KAFKA && (err->code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART ||
                                        err->code == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION ||
                                        err->code == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC);
}

bool kafka_look(struct worklog *base, const char *topic, bool *found, struct worklog_topic *out,
                struct err *err)
{
    struct err why = {0};
    *found = kafka_describe_topic((struct kafka_log *)base, topic, out, &why);
    if (*found || kafka_is_unknown(&why))
        return true;
    if (err)
        *err = why;
    return false;
}

/* A topic that was just made is not known everywhere at once. */
static bool kafka_is_appearing(const struct err *err)
{
    return kafka_is_unknown(err) ||
           (err->domain == ERR_KAFKA && (err->code == RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE ||
                                         err->code == RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION));
}

/* Its settings are asked for again where they were not to be had: another may have made it, with others,
 * while this one was about to. */
static bool kafka_find(struct kafka_log *log, const char *topic,
                       struct kafka_topic_settings *settings, struct worklog_topic *out,
                       struct err *err)
{
    if (!kafka_describe_topic(log, topic, out, err))
        return false;
    if (!settings->found && !kafka_describe(log, topic, settings, err))
        return false;
    return settings->found ||
           kafka_err(err, RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, "kafka topic settings");
}

static bool kafka_await_topic(struct kafka_log *log, const char *topic,
                              struct kafka_topic_settings *settings, struct worklog_topic *out,
                              struct err *err)
{
    int64_t deadline_ms = clock_mono_ms() + APPEAR_TIMEOUT_MS;
    struct err why = {0};
    while (!kafka_find(log, topic, settings, out, &why)) {
        if (!kafka_is_appearing(&why) || clock_mono_ms() >= deadline_ms) {
            if (err)
                *err = why;
            return false;
        }
        rd_kafka_poll(log->admin, 20);
    }
    return true;
}

bool kafka_ensure(struct worklog *base, const char *topic, struct worklog_topic *out,
                  struct err *err)
{
    struct kafka_log *log = (struct kafka_log *)base;
    struct kafka_topic_settings settings;
    if (!kafka_describe(log, topic, &settings, err))
        return false;
    if (!settings.found && !log->create_topics)
        return kafka_ask_for_topic(log, topic, err);
    if (!settings.found && !kafka_create(log, topic, false, err))
        return false;
    if (!kafka_await_topic(log, topic, &settings, out, err) ||
        !kafka_check_settings(log, topic, &settings, err))
        return false;
    out->max_size = settings.max_message_bytes;
    return true;
}

static bool kafka_ask_for_partitions(const struct kafka_log *log, const char *topic, int partitions,
                                     struct err *err)
{
    return err_set(err, ERR_REJECT, ERR_KAFKA, 0,
                   "topics are made beforehand (worklog.create_topics: false): kafka-topics.sh "
                   "--alter --bootstrap-server %s --topic %s --partitions %d",
                   log->brokers, topic, partitions);
}

static bool kafka_create_partitions(struct kafka_log *log, const char *topic, int partitions,
                                    struct err *err)
{
    static const char WHAT[] = "kafka partitions";
    char reason[256];
    CLEANUP(kafka_call_fini) struct kafka_call call;
    if (!kafka_admin_begin(log, RD_KAFKA_ADMIN_OP_CREATEPARTITIONS, &call, err))
        return false;
    rd_kafka_NewPartitions_t *request =
        rd_kafka_NewPartitions_new(topic, (size_t)partitions, reason, sizeof(reason));
    if (!request)
        return err_set(err, ERR_FATAL, ERR_CONFIG, 0, "%s: %s", WHAT, reason);
    rd_kafka_CreatePartitions(log->admin, &request, 1, call.options, call.queue);
    rd_kafka_NewPartitions_destroy(request);
    if (!kafka_admin_await(&call, WHAT, err))
        return false;
    size_t count = 0;
    const rd_kafka_topic_result_t **results = rd_kafka_CreatePartitions_result_topics(
        rd_kafka_event_CreatePartitions_result(call.event), &count);
    return kafka_topic_outcome(&call, results, count, RD_KAFKA_RESP_ERR_NO_ERROR, WHAT, err);
}

/* Until each of them has a leader: the next question finds them. */
static bool kafka_await_partitions(struct kafka_log *log, const char *topic, int partitions,
                                   struct err *err)
{
    struct worklog_topic *now = calloc(1, sizeof(*now));
    int64_t deadline_ms = clock_mono_ms() + APPEAR_TIMEOUT_MS;
    struct err why = {0};
    bool waits = true, there = false;
    while (waits && !there) {
        bool known = kafka_describe_topic(log, topic, now, &why);
        there = known && now->partitions >= partitions;
        waits = (known || kafka_is_appearing(&why)) && clock_mono_ms() < deadline_ms;
        if (known && !there)
            kafka_err(&why, RD_KAFKA_RESP_ERR__TIMED_OUT, "kafka partitions");
        if (waits && !there)
            rd_kafka_poll(log->admin, 20);
    }
    free(now);
    if (!there && err)
        *err = why;
    return there;
}

bool kafka_grow(struct worklog *base, const char *topic, int partitions, struct err *err)
{
    struct kafka_log *log = (struct kafka_log *)base;
    struct worklog_topic *now = calloc(1, sizeof(*now));
    bool known = kafka_describe_topic(log, topic, now, err);
    bool enough = known && now->partitions >= partitions;
    free(now);
    if (!known || enough)
        return known;
    if (!log->create_topics)
        return kafka_ask_for_partitions(log, topic, partitions, err);
    return kafka_create_partitions(log, topic, partitions, err) &&
           kafka_await_partitions(log, topic, partitions, err);
}

static bool kafka_delete(struct kafka_log *log, const char *topic, struct err *err)
{
    static const char WHAT[] = "kafka topic removal";
    CLEANUP(kafka_call_fini) struct kafka_call call;
    if (!kafka_admin_begin(log, RD_KAFKA_ADMIN_OP_DELETETOPICS, &call, err))
        return false;
    rd_kafka_DeleteTopic_t *request = rd_kafka_DeleteTopic_new(topic);
    rd_kafka_DeleteTopics(log->admin, &request, 1, call.options, call.queue);
    rd_kafka_DeleteTopic_destroy(request);
    if (!kafka_admin_await(&call, WHAT, err))
        return false;
    size_t topics = 0;
    const rd_kafka_topic_result_t **results = rd_kafka_DeleteTopics_result_topics(
        rd_kafka_event_DeleteTopics_result(call.event), &topics);
    return kafka_topic_outcome(&call, results, topics, RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART,
                               WHAT, err);
}

/* The brokers drop the groups' offsets together with the topic. The call returns before they have
 * heard of it: a topic made right afterwards would be taken for the old one. */
bool kafka_remove(struct worklog *base, const char *topic, struct err *err)
{
    struct kafka_log *log = (struct kafka_log *)base;
    if (!kafka_delete(log, topic, err))
        return false;
    int64_t deadline_ms = clock_mono_ms() + APPEAR_TIMEOUT_MS;
    struct kafka_topic_settings settings = {.found = true};
    while (settings.found) {
        if (!kafka_describe(log, topic, &settings, err))
            return false;
        if (settings.found && clock_mono_ms() >= deadline_ms)
            return kafka_err(err, RD_KAFKA_RESP_ERR__TIMED_OUT, "kafka topic removal");
        if (settings.found)
            rd_kafka_poll(log->admin, 20);
    }
    return true;
}
