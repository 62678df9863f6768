/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/capture/capture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/capture/capture_witness.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"

#define STANDBY_MS 1000
#define AWAIT_MS 1000
/* Between two slices of a snapshot the stream is only to catch up. */
#define AWAIT_SNAPSHOT_MS 50
/* A sharded cluster is as late as its most quiet shard, ten seconds: nothing is missed by not waiting. */
#define CATCH_UP_MS 1000
#define SLICE_FILLING_MS 60000
#define SLICE_SERVING_MS 1000
#define BACKOFF_MS 100
#define BACKOFF_MAX_MS 30000
#define REFUSED_MS 10000

bool capture_stopping(const struct capture *capture)
{
    return atomic_load_explicit(&capture->stop, memory_order_relaxed) ||
           agent_stopping(capture->agent);
}

/* By the lease's own time: a process that stood still does not lead until its thread has noticed. */
bool capture_is_leader(struct capture *capture)
{
    pthread_mutex_lock(&capture->lock);
    bool leads = atomic_load(&capture->leads) && capture->leader && leader_is_held(capture->leader);
    pthread_mutex_unlock(&capture->lock);
    return leads;
}

struct checkpoint_family *capture_state(struct capture *capture, const struct feed *feed)
{
    return checkpoint_find(&capture->checkpoint, feed->family->name);
}

char *capture_id(const struct config *config, const char *database, const char *build_id)
{
    char *id = NULL;
    int length = build_id ? asprintf(&id, "%s/%s/%s", config->name, database, build_id)
                          : asprintf(&id, "%s/%s", config->name, database);
    return length < 0 ? NULL : id;
}

static void pause_for(struct capture *capture, int64_t ms)
{
    int64_t until = clock_mono_ms() + ms;
    while (!capture_stopping(capture) && clock_mono_ms() < until) {
        watch_tick(capture->watch, capture);
        clock_sleep_ms(50);
    }
}

/* Changes wait while rows are read: not for long where a version may be served from them. */
static int64_t slice_ms(struct capture *capture)
{
    for (size_t i = 0; i < capture->feed_count; i++) {
        const struct checkpoint_family *state = capture_state(capture, &capture->feeds[i]);
        if (state && (state->state == FAMILY_STREAMING || state->gen > 1))
            return SLICE_SERVING_MS;
    }
    return SLICE_FILLING_MS;
}

/* One round of the snapshot: the stream up to now, then a slice. Rows and newer events are never
 * interleaved, and the token never ages out. */
static bool snapshot_round(struct capture *capture, struct err *err)
{
    struct cluster_time target, at;
    if (!source_cluster_time(capture->source, &target, err))
        return false;
    int64_t begun_ms = clock_mono_ms();
    for (bool idle = false; !idle && !capture_stopping(capture);) {
        struct source_batch batch;
        if (token_time(capture->position, &at) && cluster_time_compare(at, target) >= 0)
            break;
        if (!source_next(capture->source, AWAIT_SNAPSHOT_MS, &batch, err) ||
            !capture_take_batch(capture, &batch, err) || !capture_tick(capture, 0, err))
            return false;
        idle = batch.count == 0 && clock_mono_ms() - begun_ms >= CATCH_UP_MS;
    }
    /* first the snapshots whose rows were all read before: now that the stream has come past their end */
    return capture_finish_snapshots(capture, err) && capture_slice(capture, slice_ms(capture), err);
}

static bool stream_round(struct capture *capture, struct err *err)
{
    struct source_batch batch;
    /* deliveries that are outstanding are looked at a little sooner */
    int64_t await_ms = ring_records(capture->ring) > 0 ? AWAIT_MS / 10 : AWAIT_MS;
    if (!source_next(capture->source, await_ms, &batch, err) ||
        !capture_take_batch(capture, &batch, err))
        return false;
    return capture_tick(capture, 0, err) && capture_finish_snapshots(capture, err);
}

static bool lead_rounds(struct capture *capture, struct err *err)
{
    while (!capture_stopping(capture)) {
        if (!capture_begin_wanted(capture, err))
            return false;
        bool ok = capture_snapshot_due(capture) ? snapshot_round(capture, err)
                                                : stream_round(capture, err);
        if (!ok)
            return false;
        capture->openings = 0;
    }
    return capture_flush(capture, STOP_FLUSH_MS, err);
}

/* What to do about the end of a stretch of leading. Returns how long to wait before the next. */
static int64_t judge(struct capture *capture, const struct err *err)
{
    enum source_fault fault = source_fault(err);
    bool same_pipeline = capture->checkpoint.token && capture_same_pipeline(capture);
    if (fault == SOURCE_FAULT_HISTORY_LOST ||
        (fault == SOURCE_FAULT_UNKNOWN_TOKEN && same_pipeline)) {
        /* that token is never tried again; the next opening begins anew */
        capture->history = HISTORY_LOST;
        capture->loss = *err;
        return 0;
    }
    if (fault == SOURCE_FAULT_TOO_LARGE && !capture->skinny) {
        log_warn("capture.event.too_large", LOG_STR("database", capture->database), LOG_ERR(err));
        capture->skinny = true;
        return 0;
    }
    health_set(capture->agent->health, capture->id, err->text);
    log_warn("capture.retry", LOG_STR("database", capture->database), LOG_INT("code", err->code),
             LOG_ERR(err));
    if (fault == SOURCE_FAULT_REFUSED)
        return REFUSED_MS;
    return backoff_ms(capture->openings++, BACKOFF_MS, BACKOFF_MAX_MS);
}

/* Leads until it is over: a stop, a fault, or a lost lease. */
static bool lead(struct capture *capture, struct err *err)
{
    bool ok = capture_open_writer(capture, err) && capture_open_stream(capture, err);
    if (ok) {
        health_set(capture->agent->health, capture->id, NULL);
        ok = lead_rounds(capture, err);
    }
    if (ok) /* all is saved: what the next leader finds must not be older */
        witness_note_now(capture);
    /* first: what is still queued must not be sent by one who does not lead any more */
    capture_close_writer(capture);
    source_stop(capture->source);
    free(capture->position);
    capture->position = NULL;
    return ok;
}

/* What was asked of an earlier leadership was asked of another state. */
static void forget_wanted(struct capture *capture)
{
    pthread_mutex_lock(&capture->lock);
    for (size_t i = 0; i < capture->feed_count; i++) {
        free(capture->feeds[i].wanted);
        capture->feeds[i].wanted = NULL;
    }
    pthread_mutex_unlock(&capture->lock);
}

/* Returns the one before. */
static struct leader *capture_set_leader(struct capture *capture, struct leader *leader)
{
    pthread_mutex_lock(&capture->lock);
    struct leader *before = capture->leader;
    capture->leader = leader;
    pthread_mutex_unlock(&capture->lock);
    return before;
}

static void lead_while_held(struct capture *capture)
{
    forget_wanted(capture);
    atomic_store(&capture->leads, true);
    capture->saved_ms = clock_mono_ms();
    capture->unsaved_generation = capture->witnessed = false;
    for (size_t i = 0; i < capture->feed_count; i++)
        capture->feeds[i].compared = false;
    capture->history = HISTORY_WHOLE;
    while (!capture_stopping(capture) && leader_is_held(capture->leader)) {
        struct err err;
        if (!lead(capture, &err) && !capture_stopping(capture))
            pause_for(capture, judge(capture, &err));
    }
    atomic_store(&capture->leads, false);
    witness_remember(capture);
    leader_free(capture_set_leader(capture, NULL));
}

static void *run(void *argument)
{
    struct capture *capture = argument;
    log_set_thread(capture->id);
    while (!capture_stopping(capture)) {
        struct err err;
        checkpoint_fini(&capture->checkpoint);
        capture->checkpoint = (struct checkpoint){0};
        struct leader *leader = NULL;
        if (!leader_try(capture->agent->docs, capture->id, capture->agent->holder, &leader,
                        &capture->checkpoint, &err)) {
            pause_for(capture, judge(capture, &err));
            continue;
        }
        capture_set_leader(capture, leader);
        if (leader)
            lead_while_held(capture);
        else
            health_set(capture->agent->health, capture->id, NULL); /* standing by is fine */
        pause_for(capture, STANDBY_MS);
    }
    return NULL;
}

static bool is_cancelled(void *context)
{
    return capture_stopping(context);
}

static struct source *make_source(struct capture *capture, const struct capture_options *options)
{
    const char **collections = calloc(options->feed_count + 1, sizeof *collections);
    size_t count = 0;
    for (size_t i = 0; i < options->feed_count; i++) {
        const char *name = options->feeds[i].family->config->source.collection;
        bool known = false;
        for (size_t k = 0; k < count; k++)
            known = known || strcmp(collections[k], name) == 0;
        if (!known)
            collections[count++] = name;
    }
    struct source_options source = {.pool = options->agent->pool,
                                    .line_pool = options->agent->stream_pool,
                                    .database = options->database,
                                    .collections = collections,
                                    .collection_count = count,
                                    .cancelled = is_cancelled,
                                    .context = capture};
    struct source *made = source_new(&source);
    free(collections);
    return made;
}

struct capture *capture_start(const struct capture_options *options)
{
    struct capture *capture = calloc(1, sizeof *capture);
    capture->agent = options->agent;
    capture->id = strdup(options->id);
    capture->database = strdup(options->database);
    capture->feeds = calloc(options->feed_count, sizeof *capture->feeds);
    capture->feed_count = options->feed_count;
    for (size_t i = 0; i < options->feed_count; i++)
        capture->feeds[i] = (struct feed){.family = options->feeds[i].family,
                                          .topic = strdup(options->feeds[i].topic)};
    capture->source = make_source(capture, options);
    capture->ring = ring_new();
    encoding_init(&capture->encoding);
    capture->watch = watch_new(capture);
    pthread_mutex_init(&capture->lock, NULL);
    pthread_create(&capture->expiry, NULL, capture_watch_expiry, capture);
    pthread_create(&capture->thread, NULL, run, capture);
    return capture;
}

void capture_request_generation(struct capture *capture, const char *family, int64_t gen,
                                const char *reason)
{
    if (!capture_is_leader(capture))
        return;
    pthread_mutex_lock(&capture->lock);
    for (size_t i = 0; i < capture->feed_count; i++) {
        struct feed *feed = &capture->feeds[i];
        if (strcmp(feed->family->name, family) != 0 || feed->wanted)
            continue;
        feed->wanted = strdup(reason);
        feed->wanted_gen = gen;
    }
    pthread_mutex_unlock(&capture->lock);
}

void capture_request_stop(struct capture *capture)
{
    atomic_store(&capture->stop, true);
}

void capture_abandon(struct capture *capture)
{
    atomic_store(&capture->abandoned, true);
}

void capture_join(struct capture *capture)
{
    pthread_join(capture->thread, NULL);
    atomic_store(&capture->ended, true);
    pthread_join(capture->expiry, NULL);
    checkpoint_fini(&capture->checkpoint);
    source_free(capture->source);
    ring_free(capture->ring);
    encoding_fini(&capture->encoding);
    watch_end(capture->watch, capture);
    watch_free(capture->watch);
    for (size_t i = 0; i < capture->feed_count; i++) {
        free(capture->feeds[i].topic);
        free(capture->feeds[i].wanted);
    }
    free(capture->feeds);
    pthread_mutex_destroy(&capture->lock);
    free(capture->database);
    free(capture->id);
    free(capture);
}
