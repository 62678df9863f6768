/* SPDX-License-Identifier: Apache-2.0 */
/* What consumer groups have committed, asked by consumers that never join. */
#include <stdlib.h>
#include <string.h>

#include "cdc/worklog_kafka.h"

#define TIMEOUT_MS 4000

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
    rd_kafka_t *client = NULL;
    pthread_mutex_lock(&log->mutex);
    bool ok = kafka_watcher_of(log, group, &client, err);
    pthread_mutex_unlock(&log->mutex);
    if (!ok)
        return false;
    CLEANUP(rd_kafka_topic_partition_list_destroyp)
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(count);
    for (int p = 0; p < count; p++)
        rd_kafka_topic_partition_list_add(list, topic, p);
    rd_kafka_resp_err_t code = rd_kafka_committed(client, list, TIMEOUT_MS);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        kafka_err(err, code, "committed offsets");
        return err_prefix(err, "kafka at %s", log->brokers);
    }
    return kafka_take_committed(list, positions, count, err);
}
