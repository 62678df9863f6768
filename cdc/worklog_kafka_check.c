/* SPDX-License-Identifier: Apache-2.0 */
/* Which permissions the brokers give, found by using them. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cdc/worklog_kafka_admin.h"

#define TRY_MS 10000

struct attempt {
    struct kafka_log *log;
    const char *topic;
    const char *group;
    struct worklog_permissions *out;
};

/* `failed` NULL: granted. */
static void note(struct attempt *attempt, const char *operation, const char *kind,
                 const struct err *failed)
{
    struct worklog_permissions *out = attempt->out;
    if (out->count >= ARRAY_LEN(out->items))
        abort();
    struct worklog_permission *item = &out->items[out->count++];
    *item = (struct worklog_permission){
        .operation = operation, .kind = kind, .granted = failed == NULL};
    item->name = strcmp(kind, "topic") == 0 ? attempt->topic : attempt->group;
    if (failed)
        item->failed = *failed;
}

static bool is_refusal(const struct err *err)
{
    return err->domain == ERR_KAFKA &&
           (err->code == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED ||
            err->code == RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED ||
            err->code == RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED);
}

/* False: nobody answers, or the log in is refused. Not to know its settings does not hide a topic. */
static bool check_settings(struct attempt *attempt, struct err *err)
{
    struct kafka_topic_settings settings;
    if (kafka_describe(attempt->log, attempt->topic, &settings, err)) {
        note(attempt, "DescribeConfigs", "topic", NULL);
        attempt->out->topic_found = settings.found;
        return true;
    }
    if (!is_refusal(err))
        return false;
    note(attempt, "DescribeConfigs", "topic", err);
    return true;
}

static void check_creation(struct attempt *attempt)
{
    struct err err;
    bool ok = kafka_create(attempt->log, attempt->topic, true, &err);
    note(attempt, "Create", "topic", ok ? NULL : &err);
}

static void take_report(rd_kafka_t *client, const rd_kafka_message_t *message, void *opaque)
{
    (void)client;
    *(rd_kafka_resp_err_t *)opaque = message->err;
}

/* A compacted topic takes no record without a key: who may write hears that, who may not hears so
 * before. The code of the report; __TIMED_OUT: there was none. */
static bool append_refused_record(const struct attempt *attempt, rd_kafka_resp_err_t *code,
                                  struct err *err)
{
    const struct kafka_setting fixed[] = {
        {"acks", "all"}, {"enable.idempotence", "false"}, {"retries", "0"}, {NULL, NULL}};
    CLEANUP(rd_kafka_conf_destroyp) rd_kafka_conf_t *conf = NULL;
    rd_kafka_t *client = NULL;
    *code = RD_KAFKA_RESP_ERR__TIMED_OUT;
    if (!kafka_conf_new(attempt->log, NULL, fixed, &conf, err))
        return false;
    rd_kafka_conf_set_dr_msg_cb(conf, take_report);
    rd_kafka_conf_set_opaque(conf, code);
    if (!kafka_client_new(RD_KAFKA_PRODUCER, &conf, &client, err))
        return false;
    const char *topic = attempt->topic;
    char value[] = "vectail check";
    size_t size = sizeof value - 1;
    rd_kafka_resp_err_t begun = rd_kafka_producev(
        client, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(0),
        RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_VALUE(value, size), RD_KAFKA_V_END);
    if (begun == RD_KAFKA_RESP_ERR_NO_ERROR)
        rd_kafka_flush(client, TRY_MS);
    else
        *code = begun;
    rd_kafka_purge(client, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    rd_kafka_flush(client, 0);
    rd_kafka_destroy(client);
    return true;
}

static void check_writing(struct attempt *attempt)
{
    struct err err;
    rd_kafka_resp_err_t code;
    if (append_refused_record(attempt, &code, &err)) {
        if (code == RD_KAFKA_RESP_ERR_INVALID_RECORD) {
            note(attempt, "Write", "topic", NULL);
            return;
        }
        kafka_err(&err, code, "kafka record");
    }
    note(attempt, "Write", "topic", &err);
}

/* Until an event decides: a refusal, or that there is nothing more to read. */
static rd_kafka_resp_err_t await_end(rd_kafka_t *client)
{
    int64_t until_ms = clock_mono_ms() + TRY_MS;
    rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR__TIMED_OUT;
    while (code == RD_KAFKA_RESP_ERR__TIMED_OUT && clock_mono_ms() < until_ms) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(client, 100);
        if (!message)
            continue;
        switch ((int)message->err) {
        case RD_KAFKA_RESP_ERR_NO_ERROR:
        case RD_KAFKA_RESP_ERR__PARTITION_EOF:
            code = RD_KAFKA_RESP_ERR_NO_ERROR;
            break;
        case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
        case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
            code = message->err;
            break;
        default: /* it may pass: the deadline decides */
            break;
        }
        rd_kafka_message_destroy(message);
    }
    return code;
}

/* Joins the group, reads where the topic ends, and leaves again without a commit. */
static bool read_end(const struct attempt *attempt, rd_kafka_resp_err_t *code, struct err *err)
{
    const struct kafka_setting fixed[] = {{"group.id", attempt->group},
                                          {"enable.auto.commit", "false"},
                                          {"auto.offset.reset", "latest"},
                                          {"enable.partition.eof", "true"},
                                          {NULL, NULL}};
    CLEANUP(rd_kafka_conf_destroyp) rd_kafka_conf_t *conf = NULL;
    rd_kafka_t *client = NULL;
    if (!kafka_conf_new(attempt->log, NULL, fixed, &conf, err) ||
        !kafka_client_new(RD_KAFKA_CONSUMER, &conf, &client, err))
        return false;
    rd_kafka_poll_set_consumer(client);
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(topics, attempt->topic, RD_KAFKA_PARTITION_UA);
    *code = rd_kafka_subscribe(client, topics);
    rd_kafka_topic_partition_list_destroy(topics);
    if (*code == RD_KAFKA_RESP_ERR_NO_ERROR)
        *code = await_end(client);
    rd_kafka_consumer_close(client);
    rd_kafka_destroy(client);
    return true;
}

static void check_reading(struct attempt *attempt)
{
    struct err err;
    rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR_NO_ERROR;
    bool ok = read_end(attempt, &code, &err);
    if (ok && code != RD_KAFKA_RESP_ERR_NO_ERROR)
        ok = kafka_err(&err, code, "kafka reading");
    bool is_groups = !ok && err.code == RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED;
    note(attempt, "Read", "group", is_groups ? &err : NULL);
    if (!is_groups)
        note(attempt, "Read", "topic", ok ? NULL : &err);
}

/* Of a topic that is not there: may a group at least be asked for what it has committed? */
static void check_group(struct attempt *attempt)
{
    struct err err;
    struct worklog_position position = {.committed = -1};
    bool ok = kafka_committed(attempt->log, attempt->topic, attempt->group, &position, 1, &err) ||
              err.code != RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED;
    note(attempt, "Read", "group", ok ? NULL : &err);
}

/* A topic whose settings are not shown may be there all the same. False: nobody may see it. */
static bool check_sight(struct attempt *attempt)
{
    struct err err;
    struct worklog_topic *topic = calloc(1, sizeof *topic);
    bool found = false;
    bool seen = kafka_look(&attempt->log->base, attempt->topic, &found, topic, &err);
    free(topic);
    attempt->out->topic_found = attempt->out->topic_found || found;
    if (seen || !is_refusal(&err))
        return true;
    note(attempt, "Describe", "topic", &err);
    return false;
}

bool kafka_check(struct worklog *base, const char *topic, const char *group,
                 struct worklog_permissions *out, struct err *err)
{
    struct kafka_log *log = (struct kafka_log *)base;
    struct attempt attempt = {.log = log, .topic = topic, .group = group, .out = out};
    if (!check_settings(&attempt, err))
        return false;
    if (!check_sight(&attempt))
        return true;
    if (!out->topic_found && log->create_topics)
        check_creation(&attempt);
    if (out->topic_found) {
        check_writing(&attempt);
        check_reading(&attempt);
    } else {
        check_group(&attempt);
    }
    return true;
}
