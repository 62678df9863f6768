/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/lane/flights.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/limits.h"
#include "cdc/key.h"

struct flights {
    pthread_mutex_t lock; /* of all below */
    pthread_cond_t changed;
    struct worklog_reader *log;
    struct flight *items;
    size_t count;
    size_t size;    /* bytes in flight */
    uint64_t begun; /* numbers of the next to be read and of the oldest in flight */
    uint64_t settled;
    bool broken; /* one was given up: nothing behind it may be stored */
};

struct flights *flights_new(size_t count)
{
    struct flights *flights = calloc(1, sizeof *flights);
    pthread_mutex_init(&flights->lock, NULL);
    clock_cond_init(&flights->changed);
    flights->count = count;
    flights->items = calloc(count, sizeof *flights->items);
    for (size_t i = 0; i < count; i++)
        flights->items[i].arena = arena_new(LIMIT_ARENA_SIZE);
    return flights;
}

void flights_free(struct flights *flights)
{
    if (!flights)
        return;
    for (size_t i = 0; i < flights->count; i++)
        arena_free(flights->items[i].arena);
    free(flights->items);
    pthread_cond_destroy(&flights->changed);
    pthread_mutex_destroy(&flights->lock);
    free(flights);
}

/* --- all with the lock held -------------------------------------------------------------------- */

static bool is_out(const struct flight *flight)
{
    return flight->state == FLIGHT_BLOCKED || flight->state == FLIGHT_WAITING ||
           flight->state == FLIGHT_TAKEN;
}

static struct flight *flight_of(struct flights *flights, uint64_t number)
{
    for (size_t i = 0; i < flights->count; i++) {
        if (flights->items[i].state != FLIGHT_FREE && flights->items[i].number == number)
            return &flights->items[i];
    }
    return NULL;
}

static struct flight *find_free(struct flights *flights)
{
    for (size_t i = 0; i < flights->count; i++) {
        if (flights->items[i].state == FLIGHT_FREE)
            return &flights->items[i];
    }
    return NULL;
}

static struct flight *find_waiting(struct flights *flights)
{
    struct flight *first = NULL;
    for (size_t i = 0; i < flights->count; i++) {
        struct flight *flight = &flights->items[i];
        if (flight->state == FLIGHT_WAITING && (!first || flight->number < first->number))
            first = flight;
    }
    return first;
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

static bool is_blocked(const struct flights *flights, const struct flight *flight)
{
    for (size_t i = 0; i < flights->count; i++) {
        const struct flight *other = &flights->items[i];
        if (other != flight && is_out(other) && other->number < flight->number &&
            share_a_key(other, flight))
            return true;
    }
    return false;
}

static void unblock(struct flights *flights)
{
    for (size_t i = 0; i < flights->count; i++) {
        struct flight *flight = &flights->items[i];
        if (flight->state == FLIGHT_BLOCKED && !is_blocked(flights, flight))
            flight->state = FLIGHT_WAITING;
    }
}

static void free_flight(struct flights *flights, struct flight *flight)
{
    flights->size -= flight->size;
    flight->state = FLIGHT_FREE;
    flight->size = 0;
    arena_reset(flight->arena);
}

/* What no worker has begun is not begun any more: it comes again. Those are the newest. */
static void give_up_waiting(struct flights *flights)
{
    for (size_t i = 0; i < flights->count; i++) {
        struct flight *flight = &flights->items[i];
        if (flight->state == FLIGHT_BLOCKED || flight->state == FLIGHT_WAITING)
            flight->state = FLIGHT_GIVEN_UP;
    }
}

static void hurry_all(struct flights *flights)
{
    give_up_waiting(flights);
    for (size_t i = 0; i < flights->count; i++)
        atomic_store(&flights->items[i].hurry, true);
    pthread_cond_broadcast(&flights->changed);
}

static void lose_all(struct flights *flights)
{
    hurry_all(flights);
    for (size_t i = 0; i < flights->count; i++)
        atomic_store(&flights->items[i].lost, true);
    flights->broken = false;
}

/* The low-water mark: batches end whole, so it is the last record's of each partition. */
static bool store_offsets(struct flights *flights, const struct worklog_batch *batch,
                          struct err *err)
{
    for (size_t i = 0; i < batch->count; i++) {
        const struct worklog_record *record = &batch->records[i];
        bool last = true;
        for (size_t k = i + 1; last && k < batch->count; k++)
            last = batch->records[k].partition != record->partition;
        if (last && !worklog_store(flights->log, record->partition, record->offset + 1, err))
            return false;
    }
    return true;
}

/* Stores what has ended, in the order of reading. */
static bool settle(struct flights *flights, struct err *err)
{
    bool ok = true;
    for (; ok && flights->settled < flights->begun; flights->settled++) {
        struct flight *flight = flight_of(flights, flights->settled);
        if (is_out(flight))
            break;
        bool lost = atomic_load(&flight->lost);
        flights->broken = flights->broken || (!lost && flight->state == FLIGHT_GIVEN_UP);
        if (!lost && !flights->broken)
            ok = store_offsets(flights, &flight->batch, err);
        free_flight(flights, flight);
    }
    return ok;
}

static void wait_for_change(struct flights *flights, int64_t ms)
{
    clock_wait(&flights->changed, &flights->lock, ms < FLIGHTS_LOOK_MS ? ms : FLIGHTS_LOOK_MS);
}

/* --- for the reader's thread ------------------------------------------------------------------- */

void flights_open(struct flights *flights, struct worklog_reader *log)
{
    pthread_mutex_lock(&flights->lock);
    flights->log = log;
    pthread_mutex_unlock(&flights->lock);
}

void flights_close(struct flights *flights)
{
    pthread_mutex_lock(&flights->lock);
    lose_all(flights);
    flights->log = NULL;
    pthread_mutex_unlock(&flights->lock);
}

/* How long nothing is to be read, at most. */
static int64_t awaited_ms(const struct flights *flights)
{
    int64_t now_ms = clock_mono_ms(), longest = 0;
    for (size_t i = 0; i < flights->count; i++) {
        const struct flight *flight = &flights->items[i];
        if (is_out(flight) && flight->small && !atomic_load(&flight->lost) &&
            flight->await_ms - now_ms > longest)
            longest = flight->await_ms - now_ms;
    }
    return longest;
}

size_t flights_room(struct flights *flights)
{
    pthread_mutex_lock(&flights->lock);
    bool blocked = !find_free(flights) || flights->size >= LIMIT_FLIGHT_SIZE;
    for (size_t i = 0; i < flights->count; i++)
        blocked = blocked || flights->items[i].state == FLIGHT_BLOCKED;
    int64_t wait_ms = blocked ? FLIGHTS_LOOK_MS : awaited_ms(flights);
    size_t left = wait_ms > 0 ? 0 : LIMIT_FLIGHT_SIZE - flights->size;
    if (wait_ms > 0)
        wait_for_change(flights, wait_ms);
    pthread_mutex_unlock(&flights->lock);
    return left < LIMIT_BATCH_SIZE ? left : LIMIT_BATCH_SIZE;
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

void flights_begin(struct flights *flights, const struct worklog_batch *batch, bool small)
{
    pthread_mutex_lock(&flights->lock);
    struct flight *flight = find_free(flights);
    assert(flight);
    copy_batch(flight, batch);
    flight->number = flights->begun++;
    flight->small = small && flight->size < LIMIT_BATCH_SIZE / 2;
    flight->await_ms = clock_mono_ms() + FLIGHTS_AWAIT_MS;
    atomic_store(&flight->lost, false);
    atomic_store(&flight->hurry, false);
    flights->size += flight->size;
    flight->state = is_blocked(flights, flight) ? FLIGHT_BLOCKED : FLIGHT_WAITING;
    pthread_cond_broadcast(&flights->changed);
    pthread_mutex_unlock(&flights->lock);
}

void flights_break(struct flights *flights)
{
    pthread_mutex_lock(&flights->lock);
    flights->broken = true;
    pthread_mutex_unlock(&flights->lock);
}

bool flights_settle(struct flights *flights, bool *broken, struct err *err)
{
    pthread_mutex_lock(&flights->lock);
    bool ok = settle(flights, err);
    *broken = flights->broken;
    pthread_mutex_unlock(&flights->lock);
    return ok;
}

bool flights_wait(struct flights *flights, bool *more, struct err *err)
{
    pthread_mutex_lock(&flights->lock);
    bool ok = settle(flights, err);
    *more = ok && !flights->broken && flights->settled < flights->begun;
    if (*more)
        wait_for_change(flights, FLIGHTS_LOOK_MS);
    pthread_mutex_unlock(&flights->lock);
    return ok;
}

void flights_hurry(struct flights *flights)
{
    pthread_mutex_lock(&flights->lock);
    hurry_all(flights);
    pthread_mutex_unlock(&flights->lock);
}

void flights_lose(struct flights *flights)
{
    pthread_mutex_lock(&flights->lock);
    lose_all(flights);
    pthread_mutex_unlock(&flights->lock);
}

/* --- for workers ------------------------------------------------------------------------------- */

struct flight *flights_take(struct flights *flights)
{
    pthread_mutex_lock(&flights->lock);
    struct flight *flight = find_waiting(flights);
    if (flight)
        flight->state = FLIGHT_TAKEN;
    else
        wait_for_change(flights, FLIGHTS_LOOK_MS);
    pthread_mutex_unlock(&flights->lock);
    return flight;
}

void flights_end(struct flights *flights, struct flight *flight, bool applied)
{
    pthread_mutex_lock(&flights->lock);
    flight->state = applied ? FLIGHT_APPLIED : FLIGHT_GIVEN_UP;
    unblock(flights);
    pthread_cond_broadcast(&flights->changed);
    pthread_mutex_unlock(&flights->lock);
}

void flights_await(struct flights *flights, struct flight *flight, int64_t ms)
{
    pthread_mutex_lock(&flights->lock);
    flight->await_ms = clock_mono_ms() + ms;
    pthread_cond_broadcast(&flights->changed);
    pthread_mutex_unlock(&flights->lock);
}

bool flights_is_lost(struct flights *flights, const struct flight *flight)
{
    pthread_mutex_lock(&flights->lock);
    bool lost = atomic_load(&flight->lost) || !flights->log || worklog_is_lost(flights->log);
    pthread_mutex_unlock(&flights->lock);
    return lost;
}
