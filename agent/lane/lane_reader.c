/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/lane/lane_reader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/lane/flights.h"
#include "agent/lane/lane.h"
#include "agent/steward/compare.h"
#include "base/clock.h"
#include "base/log.h"

#define READ_WAIT_MS 200
#define BACKOFF_MS 100
#define BACKOFF_MAX_MS 10000
/* A reader that another took the place of: coming back at once would take it back, and so on for ever. */
#define FENCED_MS 300000
/* How often the group is told that a reader lives that has no room for more. */
#define KEEP_MS 5000
/* How long partitions that are to be handed over wait for the batches of them. */
#define DRAIN_MS 5000

struct lane_reader {
    struct lane *lane;
    struct flights *flights;
    struct worklog_reader *log; /* NULL: not open */
    size_t slot;                /* of the lane's reasons */
    struct lane_gap *gap;
    int64_t polled_ms;
    bool knows_generation; /* since the partitions were assigned */
};

struct lane_reader *lane_reader_new(struct lane *lane)
{
    struct lane_reader *reader = calloc(1, sizeof *reader);
    reader->lane = lane;
    reader->slot = lane->worker_count;
    /* one waits while the others are carried out */
    reader->flights = flights_new(lane->worker_count + 1);
    return reader;
}

void lane_reader_free(struct lane_reader *reader)
{
    if (!reader)
        return;
    flights_free(reader->flights);
    free(reader);
}

struct flights *lane_reader_flights(struct lane_reader *reader)
{
    return reader->flights;
}

static void say(struct lane_reader *reader, const char *reason)
{
    const char *gap = lane_gap_reason(reader->gap); /* other partitions go on, one does not */
    lane_set_reason(reader->lane, reader->slot, reason ? reason : gap);
}

/* Called within a read: partitions are about to be handed over, or were lost. */
static void on_revoke(void *context, bool lost)
{
    struct lane_reader *reader = context;
    struct err err;
    int64_t until_ms = clock_mono_ms() + DRAIN_MS;
    bool more = !lost;
    flights_hurry(reader->flights);
    while (more && clock_mono_ms() < until_ms && flights_wait(reader->flights, &more, &err))
        ;
    flights_lose(reader->flights);
}

static bool open_log(struct lane_reader *reader, struct err *err)
{
    const struct lane *lane = reader->lane;
    if (reader->log)
        return true;
    const char *stable = lane->agent->config->instance;
    char *instance = NULL;
    if (stable[0] && asprintf(&instance, "%s-%s", stable, lane->group) < 0)
        instance = NULL;
    struct worklog_reader_options options = {.topic = lane->topic,
                                             .group = lane->group,
                                             .instance = instance,
                                             .revoking = on_revoke,
                                             .context = reader};
    bool ok = worklog_open_reader(lane->agent->log, &options, &reader->log, err);
    free(instance);
    flights_open(reader->flights, reader->log);
    reader->polled_ms = clock_mono_ms();
    reader->knows_generation = false;
    return ok;
}

static void close_log(struct lane_reader *reader)
{
    struct worklog_reader *log = reader->log;
    flights_close(reader->flights);
    reader->log = NULL;
    worklog_close_reader(log); /* leaves the group; its place is kept */
    lane_forget_gap(&reader->gap);
}

static void keep(struct lane_reader *reader)
{
    struct err err;
    if (clock_mono_ms() - reader->polled_ms < KEEP_MS)
        return;
    reader->polled_ms = clock_mono_ms();
    if (!worklog_keep(reader->log, &err))
        log_debug("lane.keep.failed", LOG_ERR(&err));
}

/* Waits until nothing is in flight; once the lane stops or rests, no longer than it must. False when
 * the batches are not to be waited for. */
static bool drain(struct lane_reader *reader, struct err *err)
{
    for (bool more = true; more;) {
        if (lane_stopping(reader->lane) || atomic_load(&reader->lane->paused))
            flights_hurry(
                reader->flights); /* a server that is away might be waited for without end */
        if (!flights_wait(reader->flights, &more, err))
            return false;
        keep(reader);
    }
    return true;
}

/* MongoDB does not answer, mostly; the batch in hand is neither in flight nor settled. */
static bool may_wait(struct lane_reader *reader, const char *reason)
{
    say(reader, reason);
    keep(reader);
    return !lane_stopping(reader->lane) && !atomic_load(&reader->lane->paused) &&
           !worklog_is_lost(reader->log);
}

static bool on_absence_wait(void *context, const struct err *why)
{
    char reason[sizeof why->text + 80];
    snprintf(reason, sizeof reason, "cannot find out whether deletes are missing: %s", why->text);
    return may_wait(context, reason);
}

static bool on_generation_wait(void *context, const struct err *why)
{
    return may_wait(context, why->text);
}

/* Here, in the order of the log: of two batches the later may be carried out first, and what is old in it
 * must not be taken for new. */
static bool know_generation(struct lane_reader *reader, const struct worklog_batch *batch)
{
    struct absence_wait wait = {on_generation_wait, reader};
    int64_t highest = 0;
    for (size_t i = 0; i < batch->count; i++) {
        int64_t gen = batch->records[i].record.gen;
        highest = gen > highest ? gen : highest;
    }
    if (reader->knows_generation && highest <= atomic_load(&reader->lane->gen))
        return true;
    reader->knows_generation = lane_know_generation(reader->lane, highest, &wait);
    return reader->knows_generation;
}

/* A batch that is not to be applied yet is given up, so that nothing behind it is stored. */
static void take_batch(struct lane_reader *reader, const struct worklog_batch *batch, bool small)
{
    struct absence_wait wait = {on_absence_wait, reader};
    if (know_generation(reader, batch) && absence_note(reader->lane, batch, &wait)) {
        flights_begin(reader->flights, batch, small);
        return;
    }
    flights_break(reader->flights);
}

static bool read_some(struct lane_reader *reader, size_t size, struct err *err)
{
    struct worklog_batch batch;
    enum worklog_read outcome;
    bool broken;
    size_t records = (size_t)reader->lane->agent->config->work.batch_documents;
    reader->polled_ms = clock_mono_ms();
    if (!worklog_read(reader->log, records, size, READ_WAIT_MS, &batch, &outcome, err))
        return false;
    switch (outcome) {
    case READ_RECORDS:
        take_batch(reader, &batch, batch.count < records / 2);
        return true;
    case READ_GAP:
        return drain(reader, err) && flights_settle(reader->flights, &broken, err) &&
               (broken || lane_mend_gap(reader->lane, reader->log, &batch.gap, &reader->gap, err));
    case READ_LOST:
        reader->knows_generation = false;
        lane_forget_gap(&reader->gap);
        on_revoke(reader, true);
        return true;
    case READ_IDLE:
        return true;
    }
    return true;
}

static bool step(struct lane_reader *reader, struct err *err)
{
    bool broken;
    if (!open_log(reader, err))
        return false;
    bool ok = flights_settle(reader->flights, &broken, err);
    if (broken)
        close_log(reader);
    if (!ok || broken)
        return ok;
    size_t size = flights_room(reader->flights);
    if (size == 0) {
        keep(reader);
    } else {
        gate_give_way(reader->lane->gate, atomic_load(&reader->lane->rank), &reader->lane->stop);
        if (!read_some(reader, size, err))
            return false;
    }
    say(reader, NULL);
    return true;
}

static void wait_ms(struct lane_reader *reader, int64_t ms)
{
    int64_t until = clock_mono_ms() + ms;
    while (!lane_stopping(reader->lane) && clock_mono_ms() < until)
        clock_sleep_ms(20);
}

static void stand_fenced(struct lane_reader *reader)
{
    char reason[200];
    snprintf(reason, sizeof reason,
             "another process has the same `instance` ('%s'): it has taken over what this one read",
             reader->lane->agent->config->instance);
    say(reader, reason);
    wait_ms(reader, FENCED_MS);
}

static void stand(struct lane_reader *reader, const struct err *err, unsigned attempt)
{
    log_warn("lane.worker.retry", LOG_STR("action", err_action_name(err->action)), LOG_ERR(err));
    if (err->action == ERR_CANCEL)
        return;
    if (err->domain == ERR_KAFKA && err->code == WORKLOG_FENCED) {
        stand_fenced(reader);
        return;
    }
    say(reader, err->text);
    int64_t pause_ms = backoff_ms(attempt, BACKOFF_MS, BACKOFF_MAX_MS);
    wait_ms(reader, pause_ms > err->retry_after_ms ? pause_ms : err->retry_after_ms);
}

/* Leaves the group; what is under way has its time to end. */
static void rest(struct lane_reader *reader)
{
    struct err err;
    flights_hurry(reader->flights);
    if (reader->log && !drain(reader, &err))
        log_debug("lane.keep.failed", LOG_ERR(&err));
    close_log(reader);
}

void lane_reader_run(struct lane_reader *reader)
{
    struct err err;
    for (unsigned attempt = 0; !lane_stopping(reader->lane);) {
        if (atomic_load(&reader->lane->paused)) {
            rest(reader);
            wait_ms(reader, 200);
        } else if (step(reader, &err)) {
            attempt = 0;
        } else {
            close_log(reader);
            stand(reader, &err, attempt++);
        }
    }
    rest(reader); /* what the workers bring to its end within their grace is stored */
}
