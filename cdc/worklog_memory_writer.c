/* SPDX-License-Identifier: Apache-2.0 */
/* Appending to the work log in memory. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "cdc/worklog_memory.h"

bool memory_open_writer(struct worklog *base, const struct worklog_writer_options *options,
                        struct worklog_writer **out, struct err *err)
{
    (void)err;
    struct memory_log *log = (struct memory_log *)base;
    struct memory_writer *writer = calloc(1, sizeof(*writer));
    if (!writer)
        abort();
    writer->base.ops = &worklog_memory_ops;
    writer->log = log;
    writer->delivered = options->delivered;
    writer->context = options->context;
    clock_cond_init(&writer->reported);
    pthread_mutex_lock(&log->mutex);
    writer->id = ++log->last_writer_id;
    writer->next = log->writers;
    log->writers = writer;
    pthread_mutex_unlock(&log->mutex);
    *out = &writer->base;
    return true;
}

static bool memory_append_to(struct memory_writer *writer, struct memory_topic *topic,
                             int partition, struct memory_entry **entry,
                             enum worklog_append *outcome, struct err *err)
{
    if (partition >= topic->count)
        return err_set(err, ERR_RETRY, ERR_STATE, 0, "work log: topic %s has no partition %d",
                       topic->name, partition);
    /* An empty topic takes any one record: else a large one would wait for ever. */
    if (topic->size > 0 && topic->size + (*entry)->size > writer->log->max_size) {
        *outcome = APPEND_FULL;
        return true;
    }
    memory_put(topic, partition, TAKE(*entry));
    writer->pending++;
    *outcome = APPEND_OK;
    pthread_cond_broadcast(&topic->changed);
    return true;
}

/* NOLINTNEXTLINE(readability-function-size): the contract has seven parameters */
/* wide: the signature of the ops table's slot */
bool memory_append(struct worklog_writer *base, const char *name, int partition,
                   const struct record *record, uint64_t ticket, enum worklog_append *outcome,
                   struct err *err)
{
    struct memory_writer *writer = (struct memory_writer *)base;
    if (record->value && record->value_size > LIMIT_ITEM_SIZE) {
        *outcome = APPEND_TOO_LARGE;
        return true;
    }
    struct memory_entry *entry = memory_entry_new(record);
    entry->ticket = ticket;
    entry->writer_id = writer->id;
    pthread_mutex_lock(&writer->log->mutex);
    struct memory_topic *topic = memory_topic_find(writer->log, name, err);
    bool done = topic && memory_append_to(writer, topic, partition, &entry, outcome, err);
    pthread_mutex_unlock(&writer->log->mutex);
    if (entry)
        memory_entry_unhold(entry);
    return done;
}

/* Called without the mutex. */
static void memory_tell(struct memory_writer *writer, const struct memory_report *reports,
                        size_t count)
{
    struct err dropped = {0};
    err_set(&dropped, ERR_CANCEL, ERR_STATE, 0, "work log: the record was thrown away");
    for (size_t i = 0; i < count; i++)
        writer->delivered(writer->context, reports[i].ticket, reports[i].dropped ? &dropped : NULL);
}

/* Tells what there is to tell; the mutex is held before and after. */
static void memory_serve(struct memory_writer *writer)
{
    struct memory_report *reports = TAKE(writer->reports);
    size_t count = writer->report_count;
    writer->report_count = writer->report_capacity = 0;
    assert(writer->pending >= count);
    writer->pending -= count;
    pthread_mutex_unlock(&writer->log->mutex);
    memory_tell(writer, reports, count);
    free(reports);
    pthread_mutex_lock(&writer->log->mutex);
}

bool memory_poll(struct worklog_writer *base, int64_t timeout_ms, struct err *err)
{
    (void)err;
    struct memory_writer *writer = (struct memory_writer *)base;
    struct timespec deadline = clock_deadline(timeout_ms);
    pthread_mutex_lock(&writer->log->mutex);
    while (writer->report_count == 0 && timeout_ms > 0 &&
           memory_wait(writer->log, &writer->reported, &deadline))
        ;
    memory_serve(writer);
    pthread_mutex_unlock(&writer->log->mutex);
    return true;
}

size_t memory_pending(const struct worklog_writer *base)
{
    const struct memory_writer *writer = (const struct memory_writer *)base;
    pthread_mutex_lock(&writer->log->mutex);
    size_t pending = writer->pending;
    pthread_mutex_unlock(&writer->log->mutex);
    return pending;
}

bool memory_flush(struct worklog_writer *base, int64_t timeout_ms, struct err *err)
{
    struct memory_writer *writer = (struct memory_writer *)base;
    struct timespec deadline = clock_deadline(timeout_ms);
    bool in_time = true;
    pthread_mutex_lock(&writer->log->mutex);
    while (writer->pending > 0 && in_time) {
        if (writer->report_count == 0)
            in_time = memory_wait(writer->log, &writer->reported, &deadline);
        memory_serve(writer);
    }
    size_t pending = writer->pending;
    pthread_mutex_unlock(&writer->log->mutex);
    if (pending > 0)
        return err_set(err, ERR_RETRY, ERR_OS, ETIMEDOUT, "work log: %zu records not yet applied",
                       pending);
    return true;
}

/* What a reader has had stays: it may already be applied, and its report will come. */
void memory_purge(struct worklog_writer *base)
{
    struct memory_writer *writer = (struct memory_writer *)base;
    pthread_mutex_lock(&writer->log->mutex);
    for (struct memory_topic *topic = writer->log->topics; topic; topic = topic->next)
        memory_discard(writer->log, topic, writer);
    pthread_mutex_unlock(&writer->log->mutex);
}

void memory_close_writer(struct worklog_writer *base)
{
    struct memory_writer *writer = (struct memory_writer *)base;
    pthread_mutex_lock(&writer->log->mutex);
    struct memory_writer **link = &writer->log->writers;
    while (*link != writer)
        link = &(*link)->next;
    *link = writer->next;
    pthread_mutex_unlock(&writer->log->mutex);
    pthread_cond_destroy(&writer->reported);
    free(writer->reports);
    free(writer);
}
