/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/lane/worker_vectors.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"

#define BACKOFF_MS 100
#define BACKOFF_MAX_MS 10000
/* How often a lane that cannot go on tries whether the reason is gone. */
#define STANDING_MS 5000

/* Asked before each request to the store goes out: a thread that was stopped for a while must not
 * write what another has begun to. */
static bool may_send(void *context)
{
    const struct worker *worker = context;
    return !worker_is_lost(worker) && clock_mono_ms() < worker->send_until_ms;
}

bool worker_is_lost(const struct worker *worker)
{
    return flights_is_lost(lane_reader_flights(worker->lane->reader), worker->flight);
}

void worker_await(struct worker *worker, int64_t ms)
{
    int64_t most_ms =
        worker->held ? 0 : ms; /* nobody is to wait for all pieces of a long document */
    flights_await(lane_reader_flights(worker->lane->reader), worker->flight, most_ms);
}

/* Reads do no harm: the guard is for the time between intent and done. */
static void begin_stretch(struct worker *worker)
{
    char nonce[9];
    random_hex(nonce, 4);
    snprintf(worker->owner, sizeof worker->owner, "%s/%zu/%s", worker->lane->agent->holder,
             worker->index, nonce);
    worker->send_until_ms = INT64_MAX;
    if (worker->ledger)
        ledger_set_owner(worker->ledger, worker->owner);
}

static bool open_ledger(struct worker *worker, struct err *err)
{
    const struct lane *lane = worker->lane;
    struct ledger_options options = {.pool = lane->agent->pool,
                                     .database = lane->agent->config->mongodb.state_database,
                                     .name = lane->agent->config->name,
                                     .build_id = lane->build_id,
                                     .owner = worker->owner,
                                     .by_source = !lane_goes_by_id(lane)};
    return ledger_open(&options, &worker->ledger, err);
}

static bool open_embedder(struct worker *worker, struct err *err)
{
    struct embedder *embedder = NULL;
    if (!lane_open_embedder(worker->lane->embedder, &embedder, err))
        return false;
    pthread_mutex_lock(&worker->lock);
    worker->embedder = embedder;
    worker->model_is_known = false;
    pthread_mutex_unlock(&worker->lock);
    return true;
}

static bool open_sink(struct worker *worker, struct err *err)
{
    CLEANUP(sink_closep) struct sink *sink = NULL;
    const struct config_store *store = worker->lane->store;
    if (!lane_open_sink(store, worker->lane->agent->limiters, &sink, err) ||
        !sink_connect(sink, err))
        return false;
    pthread_mutex_lock(&worker->lock);
    worker->sink = TAKE(sink);
    pthread_mutex_unlock(&worker->lock);
    return true;
}

static bool open_all(struct worker *worker, struct err *err)
{
    if (!worker->ledger && !open_ledger(worker, err))
        return false;
    if (!worker->embedder && !open_embedder(worker, err))
        return false;
    if (!worker->sink && !open_sink(worker, err))
        return false;
    sink_set_guard(worker->sink, may_send, worker);
    return true;
}

static void close_all(struct worker *worker)
{
    worker_close_rereads(worker);
    worker_close_donors(worker);
    worker->donor_revision = 0;
    ledger_close(worker->ledger);
    worker->ledger = NULL;
    pthread_mutex_lock(&worker->lock);
    embedder_close(worker->embedder);
    sink_close(worker->sink);
    worker->embedder = NULL;
    worker->sink = NULL;
    pthread_mutex_unlock(&worker->lock);
}

static void interrupt(struct worker *worker)
{
    pthread_mutex_lock(&worker->lock);
    if (worker->embedder)
        embedder_interrupt(worker->embedder);
    if (worker->sink)
        sink_interrupt(worker->sink);
    for (size_t i = 0; i < worker->donor_count; i++)
        sink_interrupt(worker->donors[i].sink);
    pthread_mutex_unlock(&worker->lock);
}

bool worker_is_hurried(const struct worker *worker)
{
    return atomic_load(&worker->flight->hurry) || lane_stopping(worker->lane);
}

void worker_say(struct worker *worker, const char *reason)
{
    lane_set_reason(worker->lane, worker->index, reason);
}

/* Says why the batch has to wait, and does so before the next attempt. */
static void stand(struct worker *worker, const struct err *err, unsigned attempt)
{
    if (err->action == ERR_CANCEL)
        return;
    worker_await(worker, 0);
    worker_say(worker, err->text);
    int64_t pause_ms =
        err->action == ERR_FATAL ? STANDING_MS : backoff_ms(attempt, BACKOFF_MS, BACKOFF_MAX_MS);
    if (err->retry_after_ms > pause_ms)
        pause_ms = err->retry_after_ms;
    int64_t until_ms = clock_mono_ms() + pause_ms;
    while (!worker_is_hurried(worker) && clock_mono_ms() < until_ms)
        clock_sleep_ms(20);
}

/* Without a connection nothing has reached the store. */
static bool may_be_executing(const struct err *err)
{
    return err->domain != ERR_CURL ||
           (err->code != CURLE_COULDNT_CONNECT && err->code != CURLE_COULDNT_RESOLVE_HOST);
}

/* Tries until the batch is applied. False when it has to be given up: stopping, or its partitions
 * are another's or about to be. */
static bool apply_until_done(struct worker *worker, struct task_list *tasks)
{
    for (unsigned attempt = 0; !worker_is_hurried(worker); attempt++) {
        struct err err;
        if (worker_apply(worker, tasks, &err))
            return true;
        /* what was sent may still be executed: the next attempt waits for it like for a stranger's */
        if (may_be_executing(&err))
            begin_stretch(worker);
        log_warn("lane.batch.retry", LOG_STR("family", worker->lane->family->name),
                 LOG_STR("version", worker->lane->label), LOG_INT("attempt", attempt),
                 LOG_STR("action", err_action_name(err.action)), LOG_ERR(&err));
        if (worker_is_lost(worker))
            return false;
        stand(worker, &err, attempt);
    }
    return false;
}

static bool read_tasks(struct worker *worker, const struct worklog_batch *batch,
                       struct task_list *tasks)
{
    for (unsigned attempt = 0; !worker_is_hurried(worker); attempt++) {
        struct err err;
        arena_reset(worker->batch);
        if (tasks_read(worker->lane, batch, worker->batch, tasks, &err))
            return true;
        tasks_fini(tasks);
        stand(worker, &err, attempt);
    }
    return false;
}

static bool connect_all(struct worker *worker)
{
    for (unsigned attempt = 0; !worker_is_hurried(worker); attempt++) {
        struct err err;
        if (open_all(worker, &err))
            return true;
        log_warn("lane.worker.retry", LOG_STR("action", err_action_name(err.action)),
                 LOG_ERR(&err));
        close_all(worker);
        stand(worker, &err, attempt);
    }
    return false;
}

static bool carry_out(struct worker *worker)
{
    struct task_list tasks = {0};
    bool ok = connect_all(worker) && read_tasks(worker, &worker->flight->batch, &tasks) &&
              apply_until_done(worker, &tasks);
    tasks_fini(&tasks);
    worker_say(worker, NULL);
    return ok;
}

/* The next batch; NULL: the lane stops. */
static struct flight *take(struct lane *lane)
{
    struct flight *flight = NULL;
    while (!flight && !lane_stopping(lane))
        flight = flights_take(lane_reader_flights(lane->reader));
    return flight;
}

void worker_run(struct worker *worker)
{
    begin_stretch(worker);
    while ((worker->flight = take(worker->lane))) {
        bool ok = carry_out(worker);
        if (!ok)
            begin_stretch(worker); /* the next batch may hold the same keys */
        flights_end(lane_reader_flights(worker->lane->reader), worker->flight, ok);
    }
    close_all(worker);
}

static void *run(void *argument)
{
    struct worker *worker = argument;
    char name[96];
    snprintf(name, sizeof name, "%s/%s/%zu", worker->lane->family->name, worker->lane->label,
             worker->index);
    log_set_thread(name);
    worker_run(worker);
    return NULL;
}

struct worker *worker_new(struct lane *lane, size_t index)
{
    struct worker *worker = calloc(1, sizeof *worker);
    worker->lane = lane;
    worker->index = index;
    pthread_mutex_init(&worker->lock, NULL);
    worker->batch = arena_new(LIMIT_ARENA_SIZE);
    worker->vectors = arena_new(LIMIT_ARENA_SIZE);
    worker->arena = arena_new(LIMIT_ARENA_SIZE);
    worker->piece = arena_new(LIMIT_ARENA_SIZE);
    worker->scratch = arena_new(LIMIT_ARENA_SIZE);
    return worker;
}

void worker_free(struct worker *worker)
{
    pthread_mutex_destroy(&worker->lock);
    arena_free(worker->batch);
    arena_free(worker->vectors);
    arena_free(worker->arena);
    arena_free(worker->piece);
    arena_free(worker->scratch);
    free(worker);
}

void worker_start(struct worker *worker)
{
    pthread_create(&worker->thread, NULL, run, worker);
}

void worker_join(struct worker *worker, int64_t grace_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += grace_ms / 1000;
    if (pthread_clockjoin_np(worker->thread, NULL, CLOCK_MONOTONIC, &until) != 0) {
        atomic_store(&worker->lane->cut, true);
        interrupt(worker);
        pthread_join(worker->thread, NULL);
    }
}
