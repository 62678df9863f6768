/* SPDX-License-Identifier: Apache-2.0 */
/* Offsets and groups: calls of the admin client, each under a deadline. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "cdc/worklog_kafka_admin.h"

#define SLICE_MS 100
#define REFUSED_MS 2000

/* The brokers' answer to a wrong password is the same. */
#define SCRAM_FIXED 0x020601ff
static const char OLD_SCRAM[] =
    "; is the password right? librdkafka before 2.6.1 cannot do SCRAM with a Kafka 4: it needs a "
    "newer one, or PLAIN or certificates instead";

static unsigned kafka_refusals(struct kafka_log *log)
{
    pthread_mutex_lock(&log->mutex);
    unsigned refusals = log->refusals;
    pthread_mutex_unlock(&log->mutex);
    return refusals;
}

bool kafka_admin_begin(struct kafka_log *log, rd_kafka_admin_op_t operation,
                       struct kafka_call *call, struct err *err)
{
    char reason[256];
    *call = (struct kafka_call){.log = log, .refusals = kafka_refusals(log)};
    call->options = rd_kafka_AdminOptions_new(log->admin, operation);
    call->queue = rd_kafka_queue_new(log->admin);
    if (!call->options || rd_kafka_AdminOptions_set_request_timeout(
                              call->options, KAFKA_CALL_TIMEOUT_MS, reason, sizeof(reason)))
        return err_set(err, ERR_FATAL, ERR_KAFKA, 0, "kafka admin: cannot make a request");
    return true;
}

void kafka_call_fini(struct kafka_call *call)
{
    rd_kafka_event_destroyp(&call->event);
    rd_kafka_queue_destroyp(&call->queue);
    rd_kafka_AdminOptions_destroyp(&call->options);
}

bool kafka_admin_err(struct kafka_log *log, struct err *err, rd_kafka_resp_err_t code,
                     const char *what, const char *reason)
{
    kafka_err_reason(err, code, what, reason);
    if (code != RD_KAFKA_RESP_ERR__TIMED_OUT && code != RD_KAFKA_RESP_ERR__TRANSPORT)
        return false;
    /* The reason lies with the connections: the client tells of those when it is polled. */
    rd_kafka_poll(log->admin, 0);
    char problem[sizeof(log->last_problem)];
    pthread_mutex_lock(&log->mutex);
    memcpy(problem, log->last_problem, sizeof(problem));
    pthread_mutex_unlock(&log->mutex);
    if (!problem[0])
        return false;
    char longer[sizeof(problem) + sizeof(OLD_SCRAM)];
    bool is_old = strstr(problem, "SASL mechanism SCRAM") && rd_kafka_version() < SCRAM_FIXED;
    snprintf(longer, sizeof(longer), "%s%s", problem, is_old ? OLD_SCRAM : "");
    return kafka_err_reason(err, code, what, longer);
}

/* What was said before an answer came does not explain a later silence. */
static void kafka_forget_problem(struct kafka_log *log)
{
    pthread_mutex_lock(&log->mutex);
    log->last_problem[0] = '\0';
    pthread_mutex_unlock(&log->mutex);
}

/* Where a login is refused nothing comes of waiting on; but another broker may yet answer. */
static rd_kafka_event_t *kafka_await_event(struct kafka_call *call)
{
    rd_kafka_event_t *event = NULL;
    int64_t began_ms = clock_mono_ms(), wait_ms = KAFKA_CALL_TIMEOUT_MS + 1000;
    while (!event && clock_mono_ms() - began_ms < wait_ms) {
        event = rd_kafka_queue_poll(call->queue, SLICE_MS);
        rd_kafka_poll(call->log->admin, 0); /* serves what the connections have to say */
        if (kafka_refusals(call->log) != call->refusals)
            wait_ms = REFUSED_MS;
    }
    return event;
}

bool kafka_admin_await(struct kafka_call *call, const char *what, struct err *err)
{
    call->event = kafka_await_event(call);
    if (!call->event)
        return kafka_admin_err(call->log, err, RD_KAFKA_RESP_ERR__TIMED_OUT, what, NULL);
    rd_kafka_resp_err_t code = rd_kafka_event_error(call->event);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return kafka_admin_err(call->log, err, code, what,
                               rd_kafka_event_error_string(call->event));
    kafka_forget_problem(call->log);
    return true;
}

rd_kafka_topic_partition_list_t *kafka_list(const char *topic, int count)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(count);
    for (int p = 0; p < count; p++)
        rd_kafka_topic_partition_list_add(list, topic, p);
    return list;
}

static bool kafka_edge(struct kafka_log *log, rd_kafka_topic_partition_list_t *list, int64_t which,
                       int64_t *offsets, struct err *err)
{
    for (int i = 0; i < list->cnt; i++)
        list->elems[i].offset = which;
    rd_kafka_resp_err_t code = rd_kafka_offsets_for_times(log->admin, list, KAFKA_CALL_TIMEOUT_MS);
    for (int i = 0; i < list->cnt && code == RD_KAFKA_RESP_ERR_NO_ERROR; i++) {
        code = list->elems[i].err;
        offsets[list->elems[i].partition] = list->elems[i].offset;
    }
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return kafka_admin_err(log, err, code, "kafka offsets", NULL);
    return true;
}

/* ListOffsets takes these in the place of a timestamp; one request per broker then answers for all
 * partitions, where rd_kafka_query_watermark_offsets() asks two per partition, one after another. */
static const int64_t EARLIEST = -2;
static const int64_t LATEST = -1;

bool kafka_watermarks(struct kafka_log *log, const char *topic, int count, int64_t *low,
                      int64_t *high, struct err *err)
{
    CLEANUP(rd_kafka_topic_partition_list_destroyp)
    rd_kafka_topic_partition_list_t *list = kafka_list(topic, count);
    return kafka_edge(log, list, EARLIEST, low, err) && kafka_edge(log, list, LATEST, high, err);
}

/* The end first: what is appended between the two questions is found by the second. */
bool kafka_offsets_at(struct worklog *base, const char *topic, int64_t wall_ms, int64_t *offsets,
                      int count, struct err *err)
{
    struct kafka_log *log = (struct kafka_log *)base;
    int64_t end[WORKLOG_MAX_PARTITIONS] = {0};
    CLEANUP(rd_kafka_topic_partition_list_destroyp)
    rd_kafka_topic_partition_list_t *list = kafka_list(topic, count);
    if (!kafka_edge(log, list, LATEST, end, err) || !kafka_edge(log, list, wall_ms, offsets, err))
        return false;
    for (int p = 0; p < count; p++) {
        if (offsets[p] < 0)
            offsets[p] = end[p];
    }
    return true;
}

bool kafka_positions(struct worklog *base, const char *topic, const char *group,
                     struct worklog_position *positions, int count, struct err *err)
{
    struct kafka_log *log = (struct kafka_log *)base;
    int64_t low[WORKLOG_MAX_PARTITIONS] = {0};
    int64_t high[WORKLOG_MAX_PARTITIONS] = {0};
    /* The watermarks last: a lag is never shown too small. */
    if (!kafka_committed(log, topic, group, positions, count, err) ||
        !kafka_watermarks(log, topic, count, low, high, err))
        return false;
    for (int p = 0; p < count; p++) {
        positions[p].low = low[p];
        positions[p].high = high[p];
    }
    return true;
}

bool kafka_forget_group(struct worklog *base, const char *group, struct err *err)
{
    static const char what[] = "kafka delete group";
    struct kafka_log *log = (struct kafka_log *)base;
    CLEANUP(kafka_call_fini) struct kafka_call call;
    if (!kafka_admin_begin(log, RD_KAFKA_ADMIN_OP_DELETEGROUPS, &call, err))
        return false;
    rd_kafka_DeleteGroup_t *asked = rd_kafka_DeleteGroup_new(group);
    rd_kafka_DeleteGroups(log->admin, &asked, 1, call.options, call.queue);
    rd_kafka_DeleteGroup_destroy(asked);
    if (!kafka_admin_await(&call, what, err))
        return false;
    size_t count = 0;
    const rd_kafka_group_result_t **groups =
        rd_kafka_DeleteGroups_result_groups(rd_kafka_event_DeleteGroups_result(call.event), &count);
    if (count != 1)
        return kafka_err(err, RD_KAFKA_RESP_ERR__BAD_MSG, what);
    const rd_kafka_error_t *failed = rd_kafka_group_result_error(groups[0]);
    rd_kafka_resp_err_t code = failed ? rd_kafka_error_code(failed) : RD_KAFKA_RESP_ERR_NO_ERROR;
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR || code == RD_KAFKA_RESP_ERR_GROUP_ID_NOT_FOUND)
        return true;
    return kafka_admin_err(log, err, code, what, rd_kafka_error_string(failed));
}

bool kafka_topic_outcome(struct kafka_call *call, const rd_kafka_topic_result_t **topics,
                         size_t count, rd_kafka_resp_err_t harmless, const char *what,
                         struct err *err)
{
    if (count != 1)
        return kafka_err(err, RD_KAFKA_RESP_ERR__BAD_MSG, what);
    rd_kafka_resp_err_t code = rd_kafka_topic_result_error(topics[0]);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR || code == harmless)
        return true;
    return kafka_admin_err(call->log, err, code, what,
                           rd_kafka_topic_result_error_string(topics[0]));
}

bool kafka_ping(struct worklog *base, int64_t timeout_ms, struct err *err)
{
    struct kafka_log *log = (struct kafka_log *)base;
    const struct rd_kafka_metadata *metadata = NULL;
    /* of no topic at all: the answer is a list of brokers */
    rd_kafka_resp_err_t code = rd_kafka_metadata(log->admin, 0, NULL, &metadata, (int)timeout_ms);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return kafka_admin_err(log, err, code, "no sign of life", NULL);
    rd_kafka_metadata_destroy(metadata);
    rd_kafka_poll(log->admin, 0); /* what is told late of an outage that is over */
    kafka_forget_problem(log);
    return true;
}
