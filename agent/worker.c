/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/worker.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"

#define READ_WAIT_MS 200
#define BACKOFF_MS 100
#define BACKOFF_MAX_MS 10000
/* How often a lane that cannot go on tries whether the reason is gone. */
#define STANDING_MS 5000
/* How often the group is told that a reader with a batch in hand lives. */
#define KEEP_MS 5000

/* Asked before each request to the store goes out: a thread that was stopped for a while must not
 * write what another has begun to. */
static bool may_send(void *context)
{
    const struct worker *worker = context;
    return !worklog_is_lost(worker->reader) && clock_mono_ms() < worker->send_until_ms;
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
                                     .owner = worker->owner};
    return ledger_open(&options, &worker->ledger, err);
}

static bool open_reader(struct worker *worker, struct err *err)
{
    const struct lane *lane = worker->lane;
    char *instance = NULL;
    if (lane->agent->config->instance[0] &&
        asprintf(&instance, "%s-%s-%zu", lane->agent->config->instance, lane->group,
                 worker->index) < 0)
        instance = NULL;
    struct worklog_reader_options options = {
        .topic = lane->topic, .group = lane->group, .instance = instance};
    bool ok = worklog_open_reader(lane->agent->log, &options, &worker->reader, err);
    free(instance);
    return ok;
}

static bool open_embedder(struct worker *worker, struct err *err)
{
    struct embedder *embedder = NULL;
    if (!lane_open_embedder(worker->lane->embedder, &embedder, err))
        return false;
    pthread_mutex_lock(&worker->lock);
    worker->embedder = embedder;
    pthread_mutex_unlock(&worker->lock);
    return true;
}

static bool open_sink(struct worker *worker, struct err *err)
{
    CLEANUP(sink_closep) struct sink *sink = NULL;
    if (!lane_open_sink(worker->lane->store, &sink, err) || !sink_connect(sink, err))
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
    if (!worker->reader && !open_reader(worker, err))
        return false;
    sink_set_guard(worker->sink, may_send, worker);
    return true;
}

static void close_all(struct worker *worker)
{
    worker_close_rereads(worker);
    worker_forget_gap(worker);
    worklog_close_reader(worker->reader);
    worker->reader = NULL;
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
    pthread_mutex_unlock(&worker->lock);
}

static void wait_ms(struct worker *worker, int64_t ms)
{
    int64_t until = clock_mono_ms() + ms;
    while (!lane_stopping(worker->lane) && clock_mono_ms() < until)
        clock_sleep_ms(20);
}

/* The batch in hand has to wait: the group is told that this reader lives. */
static void wait_with_batch(struct worker *worker, int64_t ms)
{
    struct err err;
    if (worker->reader && !worklog_keep(worker->reader, &err))
        log_debug("lane.keep.failed", LOG_ERR(&err));
    wait_ms(worker, ms);
}

void worker_say(struct worker *worker, const char *reason)
{
    if (!reason && worker->gap[0])
        reason = worker->gap; /* other partitions go on, one does not */
    if (reason || worker->stands)
        lane_set_reason(worker->lane, reason);
    worker->stands = reason != NULL;
}

/* Says why the lane stands and waits before the next attempt. */
static void stand(struct worker *worker, const struct err *err, unsigned attempt)
{
    if (err->action == ERR_CANCEL)
        return;
    worker_say(worker, err->text);
    int64_t pause_ms =
        err->action == ERR_FATAL ? STANDING_MS : backoff_ms(attempt, BACKOFF_MS, BACKOFF_MAX_MS);
    if (err->retry_after_ms > pause_ms)
        pause_ms = err->retry_after_ms;
    for (; pause_ms > 0 && !lane_stopping(worker->lane); pause_ms -= KEEP_MS)
        wait_with_batch(worker, pause_ms < KEEP_MS ? pause_ms : KEEP_MS);
}

/* Without a connection nothing has reached the store. */
static bool may_be_executing(const struct err *err)
{
    return err->domain != ERR_CURL ||
           (err->code != CURLE_COULDNT_CONNECT && err->code != CURLE_COULDNT_RESOLVE_HOST);
}

/* Tries until the batch is applied. False when it has to be given up: stopping, or its partitions
 * are another's. */
static bool apply_until_done(struct worker *worker, struct task_list *tasks)
{
    for (unsigned attempt = 0; !lane_stopping(worker->lane); attempt++) {
        struct err err;
        if (worker_apply(worker, tasks, &err)) {
            worker_say(worker, NULL);
            return true;
        }
        /* what was sent may still be executed: the next attempt waits for it like for a stranger's */
        if (may_be_executing(&err))
            begin_stretch(worker);
        log_warn("lane.batch.retry", LOG_STR("family", worker->lane->family->name),
                 LOG_STR("version", worker->lane->label), LOG_INT("attempt", attempt),
                 LOG_STR("action", err_action_name(err.action)), LOG_ERR(&err));
        if (worklog_is_lost(worker->reader))
            return false;
        stand(worker, &err, attempt);
    }
    return false;
}

static bool read_tasks(struct worker *worker, const struct worklog_batch *batch,
                       struct task_list *tasks)
{
    for (unsigned attempt = 0; !lane_stopping(worker->lane); attempt++) {
        struct err err;
        arena_reset(worker->batch);
        if (tasks_read(worker->lane, batch, worker->batch, tasks, &err))
            return true;
        tasks_fini(tasks);
        stand(worker, &err, attempt);
    }
    return false;
}

/* The low-water mark: batches are applied whole and in order, so it is the last record's. */
static bool store_offsets(struct worker *worker, const struct worklog_batch *batch, struct err *err)
{
    for (size_t i = 0; i < batch->count; i++) {
        const struct worklog_record *record = &batch->records[i];
        bool last = true;
        for (size_t k = i + 1; last && k < batch->count; k++)
            last = batch->records[k].partition != record->partition;
        if (last && !worklog_store(worker->reader, record->partition, record->offset + 1, err))
            return false;
    }
    return true;
}

static bool take_batch(struct worker *worker, const struct worklog_batch *batch, struct err *err)
{
    struct task_list tasks = {0};
    bool ok = read_tasks(worker, batch, &tasks) && apply_until_done(worker, &tasks);
    tasks_fini(&tasks);
    if (ok)
        return store_offsets(worker, batch, err);
    /* given up: this reader must never store an offset behind it, whatever it thinks of its
     * partitions by now */
    worklog_close_reader(worker->reader);
    worker->reader = NULL;
    return true;
}

static bool read_once(struct worker *worker, struct err *err)
{
    struct worklog_batch batch;
    enum worklog_read outcome;
    if (!worklog_read(worker->reader, (size_t)worker->lane->agent->config->work.batch_documents,
                      LIMIT_BATCH_SIZE, READ_WAIT_MS, &batch, &outcome, err))
        return false;
    switch (outcome) {
    case READ_RECORDS:
        return take_batch(worker, &batch, err);
    case READ_GAP:
        return worker_mend_gap(worker, &batch.gap, err);
    case READ_IDLE:
        worker_say(worker, NULL);
        return true;
    case READ_LOST:
        worker_forget_gap(worker);
        begin_stretch(worker);
        return true;
    }
    return true;
}

static void *run(void *argument)
{
    struct worker *worker = argument;
    char name[96];
    snprintf(name, sizeof name, "%s/%s/%zu", worker->lane->family->name, worker->lane->label,
             worker->index);
    log_set_thread(name);
    begin_stretch(worker);
    for (unsigned attempt = 0; !lane_stopping(worker->lane);) {
        struct err err;
        if (atomic_load(&worker->lane->paused)) {
            worklog_close_reader(worker->reader); /* leaves the group; the place is kept */
            worker->reader = NULL;
            worker_forget_gap(worker);
            wait_ms(worker, 200);
        } else if (open_all(worker, &err) && read_once(worker, &err)) {
            attempt = 0;
        } else {
            log_warn("lane.worker.retry", LOG_STR("action", err_action_name(err.action)),
                     LOG_ERR(&err));
            stand(worker, &err, attempt++);
            close_all(worker);
        }
    }
    close_all(worker);
    return NULL;
}

struct worker *worker_start(struct lane *lane, size_t index)
{
    struct worker *worker = calloc(1, sizeof *worker);
    worker->lane = lane;
    worker->index = index;
    pthread_mutex_init(&worker->lock, NULL);
    worker->batch = arena_new(LIMIT_ARENA_SIZE);
    worker->arena = arena_new(LIMIT_ARENA_SIZE);
    pthread_create(&worker->thread, NULL, run, worker);
    return worker;
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
    pthread_mutex_destroy(&worker->lock);
    arena_free(worker->batch);
    arena_free(worker->arena);
    free(worker);
}
