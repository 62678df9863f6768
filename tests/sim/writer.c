/* SPDX-License-Identifier: Apache-2.0 */
/* The worker's own appends: each lands in the log at some time after it was made, or never; its
 * delivery is told when the writer's thread asks. */
#include <stdlib.h>
#include <string.h>

#include "cdc/worklog_ops.h"
#include "sim/sim.h"

#define MAX_PENDING 64

struct pending {
    bool used;
    struct writer *writer; /* NULL: it is closed */
    int partition;
    uint64_t ticket;
    struct record record; /* owned */
};

struct writer {
    struct worklog_writer base;
    worklog_delivered *delivered;
    void *context;
};

static struct pending queue[MAX_PENDING];

void writers_begin(void)
{
    memset(queue, 0, sizeof queue);
}

static void release(struct pending *pending)
{
    free((void *)(uintptr_t)pending->record.key);
    free((void *)(uintptr_t)pending->record.value);
    free((void *)(uintptr_t)pending->record.ver);
    pending->used = false;
}

void writers_end(void)
{
    for (int i = 0; i < MAX_PENDING; i++) {
        if (queue[i].used)
            release(&queue[i]);
    }
}

static void land(struct pending *pending)
{
    if (world.mutant != MUTANT_REREADS_SWALLOWED)
        log_append(pending->partition, &pending->record);
    release(pending);
}

bool log_open_writer(struct worklog *log, const struct worklog_writer_options *options,
                     struct worklog_writer **out, struct err *err)
{
    (void)log;
    if (!sim_enter("writer open", err))
        return false;
    struct writer *writer = calloc(1, sizeof *writer);
    writer->base.ops = &sim_worklog_ops;
    writer->delivered = options->delivered;
    writer->context = options->context;
    *out = &writer->base;
    return true;
}

/* wide: the signature of the ops table's slot */
bool log_writer_append(struct worklog_writer *writer, const char *topic, int partition,
                       const struct record *record, uint64_t ticket, enum worklog_append *outcome,
                       struct err *err)
{
    (void)topic;
    if (!sim_enter("append", err))
        return false;
    for (int i = 0; i < MAX_PENDING; i++) {
        struct pending *pending = &queue[i];
        if (pending->used)
            continue;
        *pending = (struct pending){.used = true,
                                    .writer = (struct writer *)writer,
                                    .partition = partition,
                                    .ticket = ticket,
                                    .record = *record};
        pending->record.key = sim_strdup(record->key);
        pending->record.ver = sim_strdup(record->ver);
        pending->record.value =
            record->value ? sim_memdup(record->value, record->value_size) : NULL;
        *outcome = APPEND_OK;
        break;
    }
    return sim_leave(err);
}

/* Delivers some or all; what is told then follows. */
static void serve(struct writer *writer, bool all)
{
    for (int i = 0; i < MAX_PENDING; i++) {
        struct pending *pending = &queue[i];
        if (!pending->used || pending->writer != writer || (!all && sched_chance(0.5)))
            continue;
        uint64_t ticket = pending->ticket;
        struct err failed;
        err_set(&failed, ERR_RETRY, ERR_KAFKA, 0, "the record was not delivered");
        if (sim_fault(world.faults.append)) {
            release(pending);
            writer->delivered(writer->context, ticket, &failed);
        } else {
            land(pending);
            writer->delivered(writer->context, ticket, NULL);
        }
    }
}

bool log_poll(struct worklog_writer *writer, int64_t timeout_ms, struct err *err)
{
    if (!sim_enter("poll", err))
        return false;
    serve((struct writer *)writer, false);
    if (timeout_ms > 0 && log_pending(writer) > 0)
        sched_sleep_until_us(sched_now_us() + 1000);
    return sim_leave(err);
}

size_t log_pending(const struct worklog_writer *writer)
{
    size_t count = 0;
    for (int i = 0; i < MAX_PENDING; i++)
        count += queue[i].used && queue[i].writer == (const struct writer *)writer;
    return count;
}

bool log_flush(struct worklog_writer *writer, int64_t timeout_ms, struct err *err)
{
    if (!sim_enter("flush", err))
        return false;
    if (sim_fault(world.faults.append)) {
        serve((struct writer *)writer, false);
        sched_sleep_until_us(sched_now_us() + timeout_ms * 1000);
        if (log_pending(writer) > 0)
            return err_set(err, ERR_RETRY, ERR_KAFKA, -185, "flush: timed out");
    }
    serve((struct writer *)writer, true);
    return sim_leave(err);
}

/* What a client has taken may go out all the same, however it ends. */
static void abandon(struct writer *writer)
{
    for (int i = 0; i < MAX_PENDING; i++) {
        if (!queue[i].used || queue[i].writer != writer)
            continue;
        if (sched_chance(0.5))
            land(&queue[i]);
        else
            release(&queue[i]);
    }
}

void log_purge(struct worklog_writer *writer)
{
    abandon((struct writer *)writer);
}

void log_close_writer(struct worklog_writer *writer)
{
    abandon((struct writer *)writer);
    free(writer);
}
