/* SPDX-License-Identifier: Apache-2.0 */
/* The work log in this process' memory: its topics and its groups' offsets. */
#include "cdc/worklog_memory.h"
#include "base/clock.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/limits.h"

#define DEFAULT_MAX_SIZE (24 * MIB)

static void *memory_alloc(size_t count, size_t size)
{
    void *memory = calloc(count, size);
    if (!memory)
        abort();
    return memory;
}

static char *memory_copy(const char *text)
{
    char *copy = strdup(text);
    if (!copy)
        abort();
    return copy;
}

bool memory_wait(struct memory_log *log, pthread_cond_t *cond, const struct timespec *deadline)
{
    return pthread_cond_timedwait(cond, &log->mutex, deadline) != ETIMEDOUT;
}

static struct memory_topic *memory_topic_any(struct memory_log *log, const char *name)
{
    struct memory_topic *topic = log->topics;
    while (topic && strcmp(topic->name, name) != 0)
        topic = topic->next;
    return topic;
}

struct memory_topic *memory_topic_find(struct memory_log *log, const char *name, struct err *err)
{
    struct memory_topic *topic = memory_topic_any(log, name);
    if (topic && !topic->removed)
        return topic;
    err_set(err, ERR_RETRY, ERR_STATE, 0, "work log: no topic %s", name);
    return NULL;
}

static struct memory_topic *memory_topic_add(struct memory_log *log, const char *name)
{
    struct memory_topic *topic = memory_alloc(1, sizeof(*topic));
    topic->name = memory_copy(name);
    topic->count = log->partitions;
    topic->partitions = memory_alloc((size_t)topic->count, sizeof(*topic->partitions));
    clock_cond_init(&topic->changed);
    topic->next = log->topics;
    log->topics = topic;
    return topic;
}

struct memory_group *memory_group_of(struct memory_topic *topic, const char *name)
{
    for (struct memory_group *group = topic->groups; group; group = group->next) {
        if (strcmp(group->name, name) == 0)
            return group;
    }
    struct memory_group *group = memory_alloc(1, sizeof(*group));
    group->name = memory_copy(name);
    for (int p = 0; p < WORKLOG_MAX_PARTITIONS; p++)
        group->committed[p] = -1;
    group->next = topic->groups;
    topic->groups = group;
    return group;
}

/* Under the mutex. */
static void memory_describe(const struct memory_topic *topic, struct worklog_topic *out)
{
    out->partitions = topic->count;
    for (int p = 0; p < topic->count; p++) {
        out->low[p] = topic->partitions[p].low;
        out->high[p] = topic->partitions[p].high;
    }
}

static bool memory_look(struct worklog *base, const char *name, bool *found,
                        struct worklog_topic *out, struct err *err)
{
    (void)err;
    struct memory_log *log = (struct memory_log *)base;
    pthread_mutex_lock(&log->mutex);
    const struct memory_topic *topic = memory_topic_any(log, name);
    *found = topic && !topic->removed;
    if (*found)
        memory_describe(topic, out);
    pthread_mutex_unlock(&log->mutex);
    return true;
}

static bool memory_ensure(struct worklog *base, const char *name, struct worklog_topic *out,
                          struct err *err)
{
    (void)err;
    struct memory_log *log = (struct memory_log *)base;
    pthread_mutex_lock(&log->mutex);
    struct memory_topic *topic = memory_topic_any(log, name);
    if (!topic)
        topic = memory_topic_add(log, name);
    topic->removed = false;
    memory_describe(topic, out);
    pthread_mutex_unlock(&log->mutex);
    return true;
}

/* Under the mutex. */
static void memory_add_partitions(struct memory_topic *topic, int count)
{
    size_t size = sizeof(*topic->partitions);
    struct memory_partition *partitions = realloc(topic->partitions, (size_t)count * size);
    if (!partitions)
        abort();
    memset(partitions + topic->count, 0, (size_t)(count - topic->count) * size);
    topic->partitions = partitions;
    topic->count = count;
    for (struct memory_group *group = topic->groups; group; group = group->next)
        memory_share(topic, group);
    pthread_cond_broadcast(&topic->changed);
}

static bool memory_grow(struct worklog *base, const char *name, int partitions, struct err *err)
{
    struct memory_log *log = (struct memory_log *)base;
    pthread_mutex_lock(&log->mutex);
    struct memory_topic *topic = memory_topic_find(log, name, err);
    if (topic && topic->count < partitions)
        memory_add_partitions(topic, partitions);
    pthread_mutex_unlock(&log->mutex);
    return topic != NULL;
}

static void memory_group_forget(struct memory_group *group)
{
    for (int p = 0; p < WORKLOG_MAX_PARTITIONS; p++) {
        group->committed[p] = -1;
        group->owner[p] = NULL;
    }
}

/* Nobody has to be asked. */
static bool memory_check(struct worklog *base, const char *name, const char *group,
                         struct worklog_permissions *out, struct err *err)
{
    (void)base, (void)name, (void)group, (void)err;
    out->topic_found = true;
    return true;
}

static bool memory_remove(struct worklog *base, const char *name, struct err *err)
{
    (void)err;
    struct memory_log *log = (struct memory_log *)base;
    pthread_mutex_lock(&log->mutex);
    struct memory_topic *topic = memory_topic_any(log, name);
    if (topic && !topic->removed) {
        memory_discard(log, topic, NULL);
        for (struct memory_group *group = topic->groups; group; group = group->next)
            memory_group_forget(group);
        topic->removed = true;
        pthread_cond_broadcast(&topic->changed);
    }
    pthread_mutex_unlock(&log->mutex);
    return true;
}

static bool memory_has_partitions(const struct memory_topic *topic, int count, struct err *err)
{
    if (count <= topic->count)
        return true;
    return err_set(err, ERR_RETRY, ERR_STATE, 0, "work log: topic %s has %d partitions, not %d",
                   topic->name, topic->count, count);
}

static bool memory_positions(struct worklog *base, const char *name, const char *group_name,
                             struct worklog_position *positions, int count, struct err *err)
{
    struct memory_log *log = (struct memory_log *)base;
    pthread_mutex_lock(&log->mutex);
    struct memory_topic *topic = memory_topic_find(log, name, err);
    bool found = topic && memory_has_partitions(topic, count, err);
    const struct memory_group *group = found ? memory_group_of(topic, group_name) : NULL;
    for (int p = 0; found && p < count; p++)
        positions[p] = (struct worklog_position){
            .committed = group->committed[p],
            .low = topic->partitions[p].low,
            .high = topic->partitions[p].high,
        };
    pthread_mutex_unlock(&log->mutex);
    return found;
}

static bool memory_set_offsets(struct memory_log *log, struct memory_topic *topic,
                               const char *group_name, const int64_t *offsets, int count,
                               struct err *err)
{
    struct memory_group *group = memory_group_of(topic, group_name);
    if (group->readers)
        return err_set(err, ERR_RETRY, ERR_STATE, 0, "work log: group %s has readers", group_name);
    for (int p = 0; p < count; p++) {
        group->committed[p] = offsets[p];
        memory_release(log, topic, p);
    }
    return true;
}

static bool memory_seed(struct worklog *base, const char *name, const char *group_name,
                        const int64_t *offsets, int count, struct err *err)
{
    struct memory_log *log = (struct memory_log *)base;
    pthread_mutex_lock(&log->mutex);
    struct memory_topic *topic = memory_topic_find(log, name, err);
    bool done = topic && memory_has_partitions(topic, count, err) &&
                memory_set_offsets(log, topic, group_name, offsets, count, err);
    pthread_mutex_unlock(&log->mutex);
    return done;
}

static int64_t memory_first_at(const struct memory_partition *partition, int64_t wall_ms)
{
    for (int64_t offset = partition->low; offset < partition->high; offset++) {
        const struct memory_entry *entry = memory_at(partition, offset);
        if (entry && entry->record.broker_ms >= wall_ms)
            return offset;
    }
    return partition->high;
}

/* wide: the signature of the ops table's slot */
static bool memory_offsets_at(struct worklog *base, const char *name, int64_t wall_ms,
                              int64_t *offsets, int count, struct err *err)
{
    struct memory_log *log = (struct memory_log *)base;
    pthread_mutex_lock(&log->mutex);
    const struct memory_topic *topic = memory_topic_find(log, name, err);
    bool found = topic && memory_has_partitions(topic, count, err);
    for (int p = 0; found && p < count; p++)
        offsets[p] = memory_first_at(&topic->partitions[p], wall_ms);
    pthread_mutex_unlock(&log->mutex);
    return found;
}

/* A group is gone with its process. */
static bool memory_forget_group(struct worklog *base, const char *group, struct err *err)
{
    (void)base, (void)group, (void)err;
    return true;
}

static bool memory_note(struct worklog *base, const char *topic, const char *group,
                        const char *words, struct err *err)
{
    (void)base, (void)topic, (void)group, (void)words, (void)err;
    return true;
}

static bool memory_noted(struct worklog *base, const char *topic, const char *group,
                         char words[static WORKLOG_NOTE_SIZE], struct err *err)
{
    (void)base, (void)topic, (void)group, (void)words, (void)err;
    return true;
}

static void memory_topic_free(struct memory_log *log, struct memory_topic *topic)
{
    memory_discard(log, topic, NULL);
    for (int p = 0; p < topic->count; p++)
        free(topic->partitions[p].ring);
    while (topic->groups) {
        struct memory_group *group = topic->groups;
        assert(!group->readers);
        topic->groups = group->next;
        free(group->name);
        free(group);
    }
    pthread_cond_destroy(&topic->changed);
    free(topic->partitions);
    free(topic->name);
    free(topic);
}

static void memory_close(struct worklog *base)
{
    struct memory_log *log = (struct memory_log *)base;
    assert(!log->writers);
    while (log->topics) {
        struct memory_topic *topic = log->topics;
        log->topics = topic->next;
        memory_topic_free(log, topic);
    }
    pthread_mutex_destroy(&log->mutex);
    free(log);
}

static bool memory_open(const struct worklog_options *options, struct worklog **out,
                        struct err *err)
{
    (void)err;
    struct memory_log *log = memory_alloc(1, sizeof(*log));
    log->base.ops = &worklog_memory_ops;
    log->partitions = options->partitions;
    log->max_size = options->memory_max_size ? options->memory_max_size : DEFAULT_MAX_SIZE;
    pthread_mutex_init(&log->mutex, NULL);
    *out = &log->base;
    return true;
}

static bool memory_ping(struct worklog *log, int64_t timeout_ms, struct err *err)
{
    (void)log;
    (void)timeout_ms;
    (void)err;
    return true;
}

const struct worklog_ops worklog_memory_ops = {
    .driver = "memory",
    .open = memory_open,
    .close = memory_close,
    .ensure = memory_ensure,
    .look = memory_look,
    .grow = memory_grow,
    .remove = memory_remove,
    .check = memory_check,
    .positions = memory_positions,
    .seed = memory_seed,
    .forget_group = memory_forget_group,
    .offsets_at = memory_offsets_at,
    .note = memory_note,
    .noted = memory_noted,
    .ping = memory_ping,
    .open_writer = memory_open_writer,
    .append = memory_append,
    .poll = memory_poll,
    .pending = memory_pending,
    .flush = memory_flush,
    .purge = memory_purge,
    .close_writer = memory_close_writer,
    .open_reader = memory_open_reader,
    .read = memory_read,
    .keep = memory_keep,
    .store = memory_store,
    .seek = memory_seek,
    .commit = memory_commit,
    .is_lost = memory_is_lost,
    .close_reader = memory_close_reader,
};
