/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/lane/lane_reader.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/steward/compare.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "cdc/key.h"

#define READ_WAIT_MS 200
/* What waits for a change looks this often whether the lane stops. */
#define LOOK_MS 100
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
    size_t slot; /* of the lane's reasons */
    struct lane_gap *gap;
    int64_t polled_ms;
    bool knows_generation; /* since the partitions were assigned */

    pthread_mutex_t lock; /* of all below */
    pthread_cond_t changed;
    struct worklog_reader *log;
    struct flight *flights;
    size_t flight_count;
    size_t size;    /* bytes in flight */
    uint64_t begun; /* numbers of the next to be read and of the oldest in flight */
    uint64_t settled;
    bool broken; /* one was given up: nothing behind it may be stored */
};

struct lane_reader *lane_reader_new(struct lane *lane)
{
    struct lane_reader *reader = calloc(1, sizeof *reader);
    reader->lane = lane;
    reader->slot = lane->worker_count;
    pthread_mutex_init(&reader->lock, NULL);
    clock_cond_init(&reader->changed);
    reader->flight_count = lane->worker_count + 1; /* one waits while the others are carried out */
    reader->flights = calloc(reader->flight_count, sizeof *reader->flights);
    for (size_t i = 0; i < reader->flight_count; i++)
        reader->flights[i].arena = arena_new(LIMIT_ARENA_SIZE);
    return reader;
}

void lane_reader_free(struct lane_reader *reader)
{
    if (!reader)
        return;
    for (size_t i = 0; i < reader->flight_count; i++)
        arena_free(reader->flights[i].arena);
    free(reader->flights);
    pthread_cond_destroy(&reader->changed);
    pthread_mutex_destroy(&reader->lock);
    free(reader);
}

/* --- flights: all with the lock held ----------------------------------------------------------- */

static bool is_out(const struct flight *flight)
{
    return flight->state == FLIGHT_BLOCKED || flight->state == FLIGHT_WAITING ||
           flight->state == FLIGHT_TAKEN;
}

static struct flight *flight_of(struct lane_reader *reader, uint64_t number)
{
    for (size_t i = 0; i < reader->flight_count; i++) {
        if (reader->flights[i].state != FLIGHT_FREE && reader->flights[i].number == number)
            return &reader->flights[i];
    }
    return NULL;
}

static struct flight *find_free(struct lane_reader *reader)
{
    for (size_t i = 0; i < reader->flight_count; i++) {
        if (reader->flights[i].state == FLIGHT_FREE)
            return &reader->flights[i];
    }
    return NULL;
}

static bool share_a_key(const struct flight *a, const struct flight *b)
{
    size_t i = 0, k = 0;
    while (i < a->batch.count && k < b->batch.count) {
        if (a->hashes[i] == b->hashes[k])
            return true;
        if (a->hashes[i] < b->hashes[k])
            i++;
        else
            k++;
    }
    return false;
}

static bool is_blocked(const struct lane_reader *reader, const struct flight *flight)
{
    for (size_t i = 0; i < reader->flight_count; i++) {
        const struct flight *other = &reader->flights[i];
        if (other != flight && is_out(other) && other->number < flight->number &&
            share_a_key(other, flight))
            return true;
    }
    return false;
}

static void unblock(struct lane_reader *reader)
{
    for (size_t i = 0; i < reader->flight_count; i++) {
        struct flight *flight = &reader->flights[i];
        if (flight->state == FLIGHT_BLOCKED && !is_blocked(reader, flight))
            flight->state = FLIGHT_WAITING;
    }
}

static void free_flight(struct lane_reader *reader, struct flight *flight)
{
    reader->size -= flight->size;
    flight->state = FLIGHT_FREE;
    flight->size = 0;
    arena_reset(flight->arena);
}

/* What no worker has begun is not begun any more: it comes again. Those are the newest. */
static void give_up_waiting(struct lane_reader *reader)
{
    for (size_t i = 0; i < reader->flight_count; i++) {
        struct flight *flight = &reader->flights[i];
        if (flight->state == FLIGHT_BLOCKED || flight->state == FLIGHT_WAITING)
            flight->state = FLIGHT_GIVEN_UP;
    }
}

/* What is under way is to end soon. */
static void hurry_all(struct lane_reader *reader)
{
    give_up_waiting(reader);
    for (size_t i = 0; i < reader->flight_count; i++)
        atomic_store(&reader->flights[i].hurry, true);
    pthread_cond_broadcast(&reader->changed);
}

/* What is in flight belongs to others from now on. */
static void lose_all(struct lane_reader *reader)
{
    hurry_all(reader);
    for (size_t i = 0; i < reader->flight_count; i++)
        atomic_store(&reader->flights[i].lost, true);
    reader->broken = false;
}

/* The low-water mark: batches end whole, so it is the last record's of each partition. */
static bool store_offsets(struct lane_reader *reader, const struct worklog_batch *batch,
                          struct err *err)
{
    for (size_t i = 0; i < batch->count; i++) {
        const struct worklog_record *record = &batch->records[i];
        bool last = true;
        for (size_t k = i + 1; last && k < batch->count; k++)
            last = batch->records[k].partition != record->partition;
        if (last && !worklog_store(reader->log, record->partition, record->offset + 1, err))
            return false;
    }
    return true;
}

/* Stores what has ended, in the order of reading. */
static bool settle(struct lane_reader *reader, struct err *err)
{
    bool ok = true;
    for (; ok && reader->settled < reader->begun; reader->settled++) {
        struct flight *flight = flight_of(reader, reader->settled);
        if (is_out(flight))
            break;
        bool lost = atomic_load(&flight->lost);
        reader->broken = reader->broken || (!lost && flight->state == FLIGHT_GIVEN_UP);
        if (!lost && !reader->broken)
            ok = store_offsets(reader, &flight->batch, err);
        free_flight(reader, flight);
    }
    return ok;
}

static void wait_for_change(struct lane_reader *reader, int64_t ms)
{
    clock_wait(&reader->changed, &reader->lock, ms);
}

/* --- the reader's thread ----------------------------------------------------------------------- */

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
    pthread_mutex_lock(&reader->lock);
    hurry_all(reader);
    while (!lost && !reader->broken && clock_mono_ms() < until_ms) {
        if (!settle(reader, &err) || reader->settled == reader->begun)
            break;
        wait_for_change(reader, LOOK_MS);
    }
    lose_all(reader);
    pthread_mutex_unlock(&reader->lock);
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
    struct worklog_reader *log = NULL;
    bool ok = worklog_open_reader(lane->agent->log, &options, &log, err);
    free(instance);
    pthread_mutex_lock(&reader->lock);
    reader->log = log;
    pthread_mutex_unlock(&reader->lock);
    reader->polled_ms = clock_mono_ms();
    reader->knows_generation = false;
    return ok;
}

/* What is still in flight is not stored any more, whenever it ends. */
static void close_log(struct lane_reader *reader)
{
    pthread_mutex_lock(&reader->lock);
    lose_all(reader);
    struct worklog_reader *log = reader->log;
    reader->log = NULL;
    pthread_mutex_unlock(&reader->lock);
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
    bool ok = true;
    pthread_mutex_lock(&reader->lock);
    while (ok && (ok = settle(reader, err)) && reader->settled < reader->begun && !reader->broken) {
        if (lane_stopping(reader->lane) || atomic_load(&reader->lane->paused))
            hurry_all(reader); /* a server that is away might be waited for without end */
        wait_for_change(reader, LOOK_MS);
        pthread_mutex_unlock(&reader->lock);
        keep(reader);
        pthread_mutex_lock(&reader->lock);
    }
    pthread_mutex_unlock(&reader->lock);
    return ok;
}

static int compare_hash(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* The log's own records last until the next read only. */
static void copy_batch(struct flight *flight, const struct worklog_batch *batch)
{
    struct arena *arena = flight->arena;
    flight->batch = (struct worklog_batch){
        .records = arena_memdup(arena, batch->records, batch->count * sizeof *batch->records),
        .count = batch->count};
    flight->hashes = arena_alloc_array(arena, batch->count, sizeof *flight->hashes);
    for (size_t i = 0; i < batch->count; i++) {
        struct record *record = &flight->batch.records[i].record;
        flight->size += record_weight(record);
        flight->hashes[i] = key_hash(record->key, record->key_size);
        record->key = arena_memdup(arena, record->key, record->key_size);
        record->ver = arena_strdup(arena, record->ver);
        if (record->value)
            record->value = arena_memdup(arena, record->value, record->value_size);
    }
    qsort(flight->hashes, batch->count, sizeof *flight->hashes, compare_hash);
}

static void begin_flight(struct lane_reader *reader, const struct worklog_batch *batch)
{
    pthread_mutex_lock(&reader->lock);
    struct flight *flight = find_free(reader);
    assert(flight);
    copy_batch(flight, batch);
    flight->number = reader->begun++;
    atomic_store(&flight->lost, false);
    atomic_store(&flight->hurry, false);
    reader->size += flight->size;
    flight->state = is_blocked(reader, flight) ? FLIGHT_BLOCKED : FLIGHT_WAITING;
    pthread_cond_broadcast(&reader->changed);
    pthread_mutex_unlock(&reader->lock);
}

/* How many bytes may be read; 0: no room now. */
static size_t room(struct lane_reader *reader)
{
    pthread_mutex_lock(&reader->lock);
    bool blocked = !find_free(reader) || reader->size >= LIMIT_FLIGHT_SIZE;
    for (size_t i = 0; i < reader->flight_count; i++)
        blocked = blocked || reader->flights[i].state == FLIGHT_BLOCKED;
    size_t left = blocked ? 0 : LIMIT_FLIGHT_SIZE - reader->size;
    if (blocked)
        wait_for_change(reader, LOOK_MS);
    pthread_mutex_unlock(&reader->lock);
    return left < LIMIT_BATCH_SIZE ? left : LIMIT_BATCH_SIZE;
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
static void take_batch(struct lane_reader *reader, const struct worklog_batch *batch)
{
    struct absence_wait wait = {on_absence_wait, reader};
    if (know_generation(reader, batch) && absence_note(reader->lane, batch, &wait)) {
        begin_flight(reader, batch);
        return;
    }
    pthread_mutex_lock(&reader->lock);
    reader->broken = true;
    pthread_mutex_unlock(&reader->lock);
}

static bool read_some(struct lane_reader *reader, size_t size, struct err *err)
{
    struct worklog_batch batch;
    enum worklog_read outcome;
    size_t records = (size_t)reader->lane->agent->config->work.batch_documents;
    reader->polled_ms = clock_mono_ms();
    if (!worklog_read(reader->log, records, size, READ_WAIT_MS, &batch, &outcome, err))
        return false;
    switch (outcome) {
    case READ_RECORDS:
        take_batch(reader, &batch);
        return true;
    case READ_GAP:
        if (!drain(reader, err))
            return false;
        return reader->broken ||
               lane_mend_gap(reader->lane, reader->log, &batch.gap, &reader->gap, err);
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
    if (!open_log(reader, err))
        return false;
    pthread_mutex_lock(&reader->lock);
    bool ok = settle(reader, err);
    bool broken = reader->broken;
    pthread_mutex_unlock(&reader->lock);
    if (broken)
        close_log(reader);
    if (!ok || broken)
        return ok;
    size_t size = room(reader);
    if (size == 0)
        keep(reader);
    else if (!read_some(reader, size, err))
        return false;
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
    pthread_mutex_lock(&reader->lock);
    hurry_all(reader);
    pthread_mutex_unlock(&reader->lock);
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

/* --- for workers ------------------------------------------------------------------------------- */

static struct flight *find_waiting(struct lane_reader *reader)
{
    struct flight *first = NULL;
    for (size_t i = 0; i < reader->flight_count; i++) {
        struct flight *flight = &reader->flights[i];
        if (flight->state == FLIGHT_WAITING && (!first || flight->number < first->number))
            first = flight;
    }
    return first;
}

struct flight *flight_take(struct lane_reader *reader)
{
    pthread_mutex_lock(&reader->lock);
    struct flight *flight = NULL;
    while (!lane_stopping(reader->lane) && !(flight = find_waiting(reader)))
        wait_for_change(reader, LOOK_MS);
    if (flight)
        flight->state = FLIGHT_TAKEN;
    pthread_mutex_unlock(&reader->lock);
    return flight;
}

void flight_end(struct lane_reader *reader, struct flight *flight, bool applied)
{
    pthread_mutex_lock(&reader->lock);
    flight->state = applied ? FLIGHT_APPLIED : FLIGHT_GIVEN_UP;
    unblock(reader);
    pthread_cond_broadcast(&reader->changed);
    pthread_mutex_unlock(&reader->lock);
}

bool flight_is_lost(struct lane_reader *reader, struct flight *flight)
{
    pthread_mutex_lock(&reader->lock);
    bool lost = atomic_load(&flight->lost) || !reader->log || worklog_is_lost(reader->log);
    pthread_mutex_unlock(&reader->lock);
    return lost;
}
