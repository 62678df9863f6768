/* SPDX-License-Identifier: Apache-2.0 */
/* What consumer groups have committed, and where they begin: asked and said by consumers that never
 * join. The admin calls for it (ListConsumerGroupOffsets, AlterConsumerGroupOffsets) end the process
 * when the coordinator goes away in the middle, in every librdkafka up to 2.13 (librdkafka pull request
 * 5397). */
#include <stdlib.h>
#include <string.h>

#include "cdc/worklog_kafka.h"

#define TIMEOUT_MS 4000

_Static_assert(WORKLOG_GROUP_REFUSED == RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED,
               "as worklog.h says");

/* A group's watcher lives as long as the log: it is asked every second. */
static bool kafka_watcher_of(struct kafka_log *log, const char *group, rd_kafka_t **out,
                             struct err *err)
{
    for (struct kafka_watcher *watcher = log->watchers; watcher; watcher = watcher->next) {
        if (strcmp(watcher->group, group) == 0) {
            *out = watcher->client;
            return true;
        }
    }
    const struct kafka_setting fixed[] = {
        {"group.id", group}, {"enable.auto.commit", "false"}, {NULL, NULL}};
    CLEANUP(rd_kafka_conf_destroyp) rd_kafka_conf_t *conf = NULL;
    rd_kafka_t *client = NULL;
    if (!kafka_conf_new(log, NULL, fixed, &conf, err) ||
        !kafka_client_new(RD_KAFKA_CONSUMER, &conf, &client, err))
        return false;
    struct kafka_watcher *watcher = calloc(1, sizeof(*watcher));
    if (!watcher || !(watcher->group = strdup(group)))
        abort();
    watcher->client = client;
    watcher->next = log->watchers;
    log->watchers = watcher;
    *out = client;
    return true;
}

static rd_kafka_t *kafka_watcher(struct kafka_log *log, const char *group, struct err *err)
{
    rd_kafka_t *client = NULL;
    pthread_mutex_lock(&log->mutex);
    bool ok = kafka_watcher_of(log, group, &client, err);
    pthread_mutex_unlock(&log->mutex);
    return ok ? client : NULL;
}

void kafka_close_watchers(struct kafka_log *log)
{
    while (log->watchers) {
        struct kafka_watcher *watcher = log->watchers;
        log->watchers = watcher->next;
        rd_kafka_destroy_flags(watcher->client, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
        free(watcher->group);
        free(watcher);
    }
}

static bool kafka_take_committed(const rd_kafka_topic_partition_list_t *list,
                                 struct worklog_position *positions, int count, struct err *err)
{
    for (int i = 0; i < list->cnt; i++) {
        const rd_kafka_topic_partition_t *one = &list->elems[i];
        if (one->err != RD_KAFKA_RESP_ERR_NO_ERROR)
            return kafka_err(err, one->err, "kafka committed offsets");
        if (one->partition < count)
            positions[one->partition].committed = one->offset >= 0 ? one->offset : -1;
    }
    return true;
}

bool kafka_committed(struct kafka_log *log, const char *topic, const char *group,
                     struct worklog_position *positions, int count, struct err *err)
{
    rd_kafka_t *client = kafka_watcher(log, group, err);
    if (!client)
        return false;
    CLEANUP(rd_kafka_topic_partition_list_destroyp)
    rd_kafka_topic_partition_list_t *list = kafka_list(topic, count);
    rd_kafka_resp_err_t code = rd_kafka_committed(client, list, TIMEOUT_MS);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        kafka_err(err, code, "committed offsets");
        return err_prefix(err, "kafka at %s", log->brokers);
    }
    return kafka_take_committed(list, positions, count, err);
}

/* Not rd_kafka_commit(): that has no deadline. */
static rd_kafka_event_t *kafka_commit_within(rd_kafka_t *client,
                                             const rd_kafka_topic_partition_list_t *list,
                                             rd_kafka_resp_err_t *code)
{
    CLEANUP(rd_kafka_queue_destroyp) rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
    *code = rd_kafka_commit_queue(client, list, queue, NULL, NULL);
    rd_kafka_event_t *event = NULL;
    if (*code == RD_KAFKA_RESP_ERR_NO_ERROR)
        event = rd_kafka_queue_poll(queue, TIMEOUT_MS);
    if (event)
        *code = rd_kafka_event_error(event);
    else if (*code == RD_KAFKA_RESP_ERR_NO_ERROR)
        *code = RD_KAFKA_RESP_ERR__TIMED_OUT;
    return event;
}

static bool kafka_commit_list(const struct kafka_log *log, rd_kafka_t *client,
                              const rd_kafka_topic_partition_list_t *list, const char *what,
                              struct err *err)
{
    rd_kafka_resp_err_t code;
    CLEANUP(rd_kafka_event_destroyp)
    rd_kafka_event_t *event = kafka_commit_within(client, list, &code);
    const rd_kafka_topic_partition_list_t *done =
        event ? rd_kafka_event_topic_partition_list(event) : NULL;
    for (int i = 0; done && i < done->cnt && code == RD_KAFKA_RESP_ERR_NO_ERROR; i++)
        code = done->elems[i].err;
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        return true;
    kafka_err(err, code, what);
    return err_prefix(err, "kafka at %s", log->brokers);
}

/* An offset commit by someone who is no member: the broker takes it only while the group is empty,
 * and says so for each partition. */
bool kafka_seed(struct worklog *base, const char *topic, const char *group, const int64_t *offsets,
                int count, struct err *err)
{
    static const char WHAT[] = "kafka start offsets";
    struct kafka_log *log = (struct kafka_log *)base;
    rd_kafka_t *client = kafka_watcher(log, group, err);
    if (!client)
        return false;
    CLEANUP(rd_kafka_topic_partition_list_destroyp)
    rd_kafka_topic_partition_list_t *list = kafka_list(topic, count);
    for (int p = 0; p < count; p++)
        list->elems[p].offset = offsets[p];
    return kafka_commit_list(log, client, list, WHAT, err);
}

/* The words travel as what Kafka calls the metadata of a committed offset. */
bool kafka_note(struct worklog *base, const char *topic, const char *group, const char *words,
                struct err *err)
{
    struct kafka_log *log = (struct kafka_log *)base;
    rd_kafka_t *client = kafka_watcher(log, group, err);
    if (!client)
        return false;
    CLEANUP(rd_kafka_topic_partition_list_destroyp)
    rd_kafka_topic_partition_list_t *list = kafka_list(topic, 1);
    list->elems[0].offset = 0;
    list->elems[0].metadata = strdup(words); /* the list's from here on */
    list->elems[0].metadata_size = strlen(words);
    return kafka_commit_list(log, client, list, "kafka note", err);
}

bool kafka_noted(struct worklog *base, const char *topic, const char *group,
                 char words[static WORKLOG_NOTE_SIZE], struct err *err)
{
    struct kafka_log *log = (struct kafka_log *)base;
    rd_kafka_t *client = kafka_watcher(log, group, err);
    if (!client)
        return false;
    CLEANUP(rd_kafka_topic_partition_list_destroyp)
    rd_kafka_topic_partition_list_t *list = kafka_list(topic, 1);
    rd_kafka_resp_err_t code = rd_kafka_committed(client, list, TIMEOUT_MS);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        code = list->elems[0].err;
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        kafka_err(err, code, "kafka note");
        return err_prefix(err, "kafka at %s", log->brokers);
    }
    const rd_kafka_topic_partition_t *one = &list->elems[0];
    if (one->metadata && one->metadata_size < WORKLOG_NOTE_SIZE) {
        memcpy(words, one->metadata, one->metadata_size);
        words[one->metadata_size] = '\0';
    }
    return true;
}
