/* SPDX-License-Identifier: Apache-2.0 */
/* Reading from the work log in memory. The readers of a group share its partitions in the order of
 * their opening; a partition changes hands only inside a read of the one that gives it up, so two
 * never work on the same key. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cdc/worklog_memory.h"

void memory_share(const struct memory_topic *topic, const struct memory_group *group)
{
    int readers = 0;
    for (const struct memory_reader *reader = group->readers; reader; reader = reader->next)
        readers++;
    int i = 0;
    for (struct memory_reader *reader = group->readers; reader; reader = reader->next, i++) {
        for (int p = 0; p < topic->count; p++)
            reader->wanted[p] =
                p >= i * topic->count / readers && p < (i + 1) * topic->count / readers;
    }
}

bool memory_open_reader(struct worklog *base, const struct worklog_reader_options *options,
                        struct worklog_reader **out, struct err *err)
{
    struct memory_log *log = (struct memory_log *)base;
    pthread_mutex_lock(&log->mutex);
    struct memory_topic *topic = memory_topic_find(log, options->topic, err);
    struct memory_reader *reader = topic ? calloc(1, sizeof(*reader)) : NULL;
    if (topic && !reader)
        abort();
    if (reader) {
        reader->base.ops = &worklog_memory_ops;
        reader->log = log;
        reader->topic = topic;
        reader->group = memory_group_of(topic, options->group);
        struct memory_reader **link = &reader->group->readers;
        while (*link)
            link = &(*link)->next;
        *link = reader;
        memory_share(topic, reader->group);
        pthread_cond_broadcast(&topic->changed);
        *out = &reader->base;
    }
    pthread_mutex_unlock(&log->mutex);
    return reader != NULL;
}

static void memory_drop_batch(struct memory_reader *reader)
{
    for (size_t i = 0; i < reader->count; i++)
        memory_entry_unhold(reader->held[i]);
    reader->count = 0;
}

/* True when partitions went to others; those kept are read again from where they are stored, as
 * the caller forgets all that is under way. */
static bool memory_hand_over(struct memory_reader *reader)
{
    struct memory_group *group = reader->group;
    bool lost = false;
    for (int p = 0; p < reader->topic->count; p++) {
        if (group->owner[p] == reader && !reader->wanted[p]) {
            group->owner[p] = NULL;
            lost = true;
        }
    }
    if (!lost)
        return false;
    for (int p = 0; p < reader->topic->count; p++) {
        if (group->owner[p] == reader)
            reader->position[p] = group->committed[p];
    }
    pthread_cond_broadcast(&reader->topic->changed);
    return true;
}

static void memory_adopt(struct memory_reader *reader)
{
    struct memory_group *group = reader->group;
    for (int p = 0; p < reader->topic->count; p++) {
        if (reader->wanted[p] && !group->owner[p]) {
            group->owner[p] = reader;
            reader->position[p] = group->committed[p];
        }
    }
}

static void memory_hold(struct memory_reader *reader, struct memory_entry *entry)
{
    if (reader->count == reader->capacity) {
        size_t capacity = reader->capacity ? 2 * reader->capacity : 256;
        reader->held = realloc(reader->held, capacity * sizeof(struct memory_entry *));
        reader->records = realloc(reader->records, capacity * sizeof(*reader->records));
        if (!reader->held || !reader->records)
            abort();
        reader->capacity = capacity;
    }
    entry->holds++;
    reader->held[reader->count] = entry;
    reader->records[reader->count] = entry->record;
    reader->count++;
}

struct memory_room {
    size_t records;
    size_t size;
};

/* False when the next offset is not in the log. */
static bool memory_collect(struct memory_reader *reader, int index, struct memory_room *room)
{
    struct memory_partition *partition = &reader->topic->partitions[index];
    int64_t *position = &reader->position[index];
    if (*position < partition->low || *position > partition->high) {
        reader->gap = (struct worklog_gap){.partition = index, .offset = *position};
        return false;
    }
    for (; *position < partition->high && room->records > 0 && room->size > 0; ++*position) {
        struct memory_entry *entry = memory_at(partition, *position);
        if (!entry)
            continue;
        const struct record *record = &entry->record.record;
        size_t size = record_weight(record);
        memory_hold(reader, entry);
        room->records--;
        room->size -= size < room->size ? size : room->size;
    }
    if (partition->read_to < *position)
        partition->read_to = *position;
    return true;
}

static enum worklog_read memory_fill(struct memory_reader *reader, struct memory_room room)
{
    bool gap = false;
    int count = reader->topic->count;
    for (int i = 0; i < count; i++) {
        int p = (reader->first + i) % count;
        if (reader->group->owner[p] == reader && !memory_collect(reader, p, &room))
            gap = true;
    }
    reader->first = (reader->first + 1) % count;
    if (reader->count > 0)
        return READ_RECORDS;
    return gap ? READ_GAP : READ_IDLE;
}

static bool memory_try_read(struct memory_reader *reader, struct memory_room room,
                            enum worklog_read *outcome, struct err *err)
{
    if (reader->topic->removed)
        return err_set(err, ERR_RETRY, ERR_STATE, 0, "work log: topic %s was removed",
                       reader->topic->name);
    if (memory_hand_over(reader)) {
        *outcome = READ_LOST;
        return true;
    }
    memory_adopt(reader);
    *outcome = memory_fill(reader, room);
    return true;
}

/* NOLINTNEXTLINE(readability-function-size): the contract has seven parameters */
/* wide: the signature of the ops table's slot */
bool memory_read(struct worklog_reader *base, size_t max_records, size_t max_size,
                 int64_t timeout_ms, struct worklog_batch *batch, enum worklog_read *outcome,
                 struct err *err)
{
    struct memory_reader *reader = (struct memory_reader *)base;
    struct memory_room room = {.records = max_records, .size = max_size ? max_size : 1};
    struct timespec deadline = clock_deadline(timeout_ms);
    pthread_mutex_lock(&reader->log->mutex);
    memory_drop_batch(reader);
    bool done = memory_try_read(reader, room, outcome, err);
    while (done && *outcome == READ_IDLE && timeout_ms > 0 &&
           memory_wait(reader->log, &reader->topic->changed, &deadline))
        done = memory_try_read(reader, room, outcome, err);
    if (done && *outcome == READ_GAP)
        batch->gap = reader->gap;
    pthread_mutex_unlock(&reader->log->mutex);
    if (done && *outcome == READ_RECORDS)
        *batch = (struct worklog_batch){.records = reader->records, .count = reader->count};
    return done;
}

static bool memory_store_locked(struct memory_reader *reader, int partition, int64_t next_offset,
                                struct err *err)
{
    struct memory_group *group = reader->group;
    if (group->owner[partition] != reader)
        return err_set(err, ERR_RETRY, ERR_STATE, 0, "work log: partition %d is not assigned",
                       partition);
    if (next_offset < group->committed[partition] ||
        next_offset > reader->topic->partitions[partition].high)
        return err_set(err, ERR_REJECT, ERR_STATE, 0,
                       "work log: offset %" PRId64 " of partition %d, stored is %" PRId64,
                       next_offset, partition, group->committed[partition]);
    group->committed[partition] = next_offset;
    if (reader->position[partition] < next_offset)
        reader->position[partition] = next_offset;
    memory_release(reader->log, reader->topic, partition);
    return true;
}

bool memory_store(struct worklog_reader *base, int partition, int64_t next_offset, struct err *err)
{
    struct memory_reader *reader = (struct memory_reader *)base;
    pthread_mutex_lock(&reader->log->mutex);
    bool done = memory_store_locked(reader, partition, next_offset, err);
    pthread_mutex_unlock(&reader->log->mutex);
    return done;
}

bool memory_seek(struct worklog_reader *base, int partition, int64_t offset, struct err *err)
{
    struct memory_reader *reader = (struct memory_reader *)base;
    pthread_mutex_lock(&reader->log->mutex);
    bool is_ours = reader->group->owner[partition] == reader;
    const struct memory_partition *at = is_ours ? &reader->topic->partitions[partition] : NULL;
    bool ok = true;
    if (!at) {
        ok = err_set(err, ERR_RETRY, ERR_STATE, 0, "work log: partition %d is not assigned",
                     partition);
    } else if (offset < at->low || offset > at->high) {
        ok = err_set(err, ERR_REJECT, ERR_STATE, 0,
                     "work log: offset %" PRId64 " of partition %d is not in the log", offset,
                     partition);
    } else {
        reader->group->committed[partition] = offset;
        reader->position[partition] = offset;
        memory_release(reader->log, reader->topic, partition);
    }
    pthread_mutex_unlock(&reader->log->mutex);
    return ok;
}

/* What is stored is committed. */
bool memory_commit(struct worklog_reader *base, struct err *err)
{
    (void)base, (void)err;
    return true;
}

/* Nothing is taken from a reader that has not let go of it. */
bool memory_keep(struct worklog_reader *base, struct err *err)
{
    (void)base, (void)err;
    return true; /* nobody watches a reader in the same process */
}

bool memory_is_lost(const struct worklog_reader *base)
{
    (void)base;
    return false;
}

void memory_close_reader(struct worklog_reader *base)
{
    struct memory_reader *reader = (struct memory_reader *)base;
    struct memory_group *group = reader->group;
    pthread_mutex_lock(&reader->log->mutex);
    memory_drop_batch(reader);
    for (int p = 0; p < reader->topic->count; p++) {
        if (group->owner[p] == reader)
            group->owner[p] = NULL;
    }
    struct memory_reader **link = &group->readers;
    while (*link != reader)
        link = &(*link)->next;
    *link = reader->next;
    if (group->readers)
        memory_share(reader->topic, group);
    pthread_cond_broadcast(&reader->topic->changed);
    pthread_mutex_unlock(&reader->log->mutex);
    free(reader->held);
    free(reader->records);
    free(reader);
}
