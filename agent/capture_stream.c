/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "agent/capture_state.h"
#include "base/log.h"
#include "cdc/scan.h"

/* Of the events of one batch: how many may pass before their position is marked. */
#define MARK_EVERY 100
#define CLOSED_FLUSH_MS 30000

static bool emit_event(struct capture *capture, const struct source_event *event,
                       const struct feed *feed, struct err *err)
{
    const struct checkpoint_family *state = capture_state(capture, feed);
    struct emission emission = {.feed = feed,
                                .op = ITEM_DELETE,
                                .id = &event->id,
                                .ver = event->ver,
                                .gen = state->gen,
                                .time_ms = event->time_ms};
    if (state->state == FAMILY_SOURCE_DROPPED)
        return true;
    if (event->kind == SOURCE_UPSERT && !event->has_document) {
        emission.op = ITEM_REREAD;
    } else if (event->kind == SOURCE_UPSERT &&
               shape_matches(feed->family->shape, &event->full_document)) {
        emission.op = ITEM_UPSERT;
        emission.doc = &event->full_document;
    }
    return capture_emit(capture, &emission, err);
}

/* The collection is gone: stop feeding, keep serving. What the active version holds stays. */
static void stop_feed(struct capture *capture, const struct feed *feed)
{
    struct checkpoint_family *state = capture_state(capture, feed);
    if (state->state == FAMILY_SOURCE_DROPPED)
        return;
    state->state = FAMILY_SOURCE_DROPPED;
    free(state->reason);
    state->reason = strdup("the source collection was dropped or renamed away");
    capture->unsaved_items += 1;
    log_error("capture.source.dropped", LOG_STR("family", feed->family->name),
              LOG_STR("collection", feed->family->config->source.collection));
}

static bool take_event(struct capture *capture, const struct source_event *event, struct err *err)
{
    for (size_t i = 0; i < capture->feed_count; i++) {
        struct feed *feed = &capture->feeds[i];
        const char *collection = feed->family->config->source.collection;
        if (event->collection && strcmp(event->collection, collection) != 0)
            continue;
        if (event->kind == SOURCE_DROPPED) {
            stop_feed(capture, feed);
        } else if (event->kind == SOURCE_REPLACED) {
            log_warn("capture.gap", LOG_STR("family", feed->family->name),
                     LOG_STR("reason", "the source collection was replaced"));
            if (!capture_begin_generation(capture, feed, event->ver, err) ||
                !capture_save(capture, err))
                return false;
        } else if ((event->kind == SOURCE_UPSERT || event->kind == SOURCE_DELETE) &&
                   !emit_event(capture, event, feed, err)) {
            return false;
        }
    }
    return true;
}

bool capture_take_batch(struct capture *capture, const struct source_batch *batch, struct err *err)
{
    for (size_t i = 0; i < batch->count; i++) {
        if (!take_event(capture, &batch->events[i], err))
            return false;
        if ((i + 1) % MARK_EVERY == 0) {
            capture_set_position(capture, batch->events[i].ver);
            if (!capture_tick(capture, 0, err))
                return false;
        }
    }
    capture_set_position(capture, batch->token);
    capture->seen = batch->cluster_time;
    if (!batch->closed)
        return true;
    /* the next opening is to begin behind this batch, or it would be closed again */
    return capture_flush(capture, CLOSED_FLUSH_MS, err) &&
           err_set(err, ERR_RETRY, ERR_STATE, 0, "the server closed the stream");
}

static void reset_ranges(struct checkpoint_family *state)
{
    for (size_t i = 0; i < state->range_count; i++) {
        bson_destroy(state->ranges[i].min);
        bson_destroy(state->ranges[i].max);
        bson_destroy(state->ranges[i].cursor);
    }
    free(state->ranges);
    state->ranges = calloc(1, sizeof *state->ranges);
    state->range_count = 1;
}

static void estimate_rows(struct capture *capture, const struct feed *feed,
                          struct checkpoint_family *state)
{
    struct scan_options options = {.pool = capture->agent->pool,
                                   .database = capture->database,
                                   .collection = feed->family->config->source.collection};
    if (!scan_estimate(&options, &state->total_rows, NULL))
        state->total_rows = -1; /* only a progress bar is lost */
}

bool capture_begin_generation(struct capture *capture, struct feed *feed, const char *t0,
                              struct err *err)
{
    struct worklog_topic *topic = calloc(1, sizeof *topic);
    if (!worklog_ensure(capture->agent->log, feed->topic, topic, err)) {
        free(topic);
        return false;
    }
    struct checkpoint_family *state = capture_state(capture, feed);
    if (!state)
        state = checkpoint_add(&capture->checkpoint, feed->family->name);
    state->gen++;
    free(state->t0);
    state->t0 = strdup(t0);
    free(state->family_fp);
    state->family_fp = strdup(shape_fp(feed->family->shape));
    free(state->reason);
    state->reason = NULL;
    state->state = FAMILY_SNAPSHOT;
    state->partitions = feed->partitions = topic->partitions;
    free(state->start_offsets);
    state->start_offsets = calloc((size_t)topic->partitions, sizeof *state->start_offsets);
    memcpy(state->start_offsets, topic->high,
           (size_t)topic->partitions * sizeof *state->start_offsets);
    free(state->end_offsets);
    state->end_offsets = NULL;
    free(topic);
    reset_ranges(state);
    estimate_rows(capture, feed, state);
    capture->unsaved_generation = true;
    log_info("capture.generation", LOG_STR("family", feed->family->name),
             LOG_INT("gen", state->gen), LOG_INT("partitions", state->partitions),
             LOG_INT("documents", state->total_rows));
    return true;
}

static char *take_wanted(struct capture *capture, struct feed *feed)
{
    pthread_mutex_lock(&capture->lock);
    char *reason = feed->wanted;
    feed->wanted = NULL;
    pthread_mutex_unlock(&capture->lock);
    return reason;
}

bool capture_begin_wanted(struct capture *capture, struct err *err)
{
    bool begun = false;
    for (size_t i = 0; i < capture->feed_count; i++) {
        struct feed *feed = &capture->feeds[i];
        char *reason = take_wanted(capture, feed);
        if (!reason)
            continue;
        log_warn("capture.gap", LOG_STR("family", feed->family->name), LOG_STR("reason", reason));
        free(reason);
        if (!capture_begin_generation(capture, feed, capture->position, err))
            return false;
        begun = true;
    }
    return !begun || capture_save(capture, err);
}

static bool is_fed(const struct capture *capture, const char *family)
{
    for (size_t i = 0; i < capture->feed_count; i++) {
        if (strcmp(capture->feeds[i].family->name, family) == 0)
            return true;
    }
    return false;
}

/* The token passes the events of families that this process does not know: it is saved together with
 * that, and who knows them again reads their sources anew. */
static void stop_unknown(struct capture *capture)
{
    for (size_t i = 0; i < capture->checkpoint.family_count; i++) {
        struct checkpoint_family *state = &capture->checkpoint.families[i];
        bool is_over = state->state == FAMILY_STOPPED || state->state == FAMILY_SOURCE_DROPPED;
        if (state->gen == 0 || is_over || is_fed(capture, state->family))
            continue;
        state->state = FAMILY_STOPPED;
        free(state->reason);
        state->reason = strdup("not in the configuration of the process that reads its database");
        log_warn("capture.family.unknown", LOG_STR("family", state->family));
    }
}

/* Why the stored state of a feed cannot simply go on; NULL: it can. */
static const char *generation_reason(struct capture *capture, struct feed *feed, int partitions)
{
    const struct checkpoint_family *state = capture_state(capture, feed);
    if (!state || state->gen == 0)
        return "first snapshot";
    if (strcmp(state->family_fp, shape_fp(feed->family->shape)) != 0)
        return "the family's source, filter, metadata or fields have changed";
    if (state->partitions != partitions)
        return "the topic has another number of partitions";
    if (state->state == FAMILY_STOPPED)
        return "its changes were not read for a while";
    return NULL;
}

static bool begin_due_generations(struct capture *capture, const char *t0, struct err *err)
{
    for (size_t i = 0; i < capture->feed_count; i++) {
        struct feed *feed = &capture->feeds[i];
        struct worklog_topic *topic = calloc(1, sizeof *topic);
        bool ok = worklog_ensure(capture->agent->log, feed->topic, topic, err);
        int partitions = topic->partitions;
        feed->max_size = topic->max_size;
        free(topic);
        if (!ok)
            return false;
        feed->partitions = partitions;
        const char *reason = generation_reason(capture, feed, partitions);
        if (!reason)
            continue;
        log_info("capture.snapshot.begin", LOG_STR("family", feed->family->name),
                 LOG_STR("reason", reason));
        if (!capture_begin_generation(capture, feed, t0, err))
            return false;
    }
    /* gen, T0 and start offsets stand with a majority before the first row is read, also when an
     * earlier attempt to write them down has failed */
    return !capture->unsaved_generation || capture_save(capture, err);
}

/* The history between the durable token and now is gone: what happened in it is unknown. */
static bool forget_history(struct capture *capture, const struct err *cause, struct err *err)
{
    struct source_batch batch;
    struct source_start start = {0};
    log_error("capture.gap", LOG_STR("database", capture->database),
              LOG_STR("reason", "the stream's history is lost"), LOG_ERR(cause));
    if (!source_open(capture->source, &start, &batch, err))
        return false;
    for (size_t i = 0; i < capture->feed_count; i++) {
        if (!capture_begin_generation(capture, &capture->feeds[i], batch.token, err))
            return false;
    }
    capture_set_token(capture, strdup(batch.token));
    return capture_save(capture, err) && capture_take_batch(capture, &batch, err);
}

/* A token of another pipeline may not be found again: its time always is; duplicates only. */
static void choose_start(struct capture *capture, struct cluster_time *time,
                         struct source_start *start)
{
    const struct checkpoint *checkpoint = &capture->checkpoint;
    *start = (struct source_start){.skinny = capture->skinny};
    if (!checkpoint->token)
        return;
    bool same = checkpoint->pipeline_hash &&
                strcmp(checkpoint->pipeline_hash, source_pipeline_hash(capture->source)) == 0;
    if (same || !token_time(checkpoint->token, time))
        start->token = checkpoint->token;
    else
        start->time = time;
}

bool capture_open_stream(struct capture *capture, struct err *err)
{
    struct source_batch batch;
    struct source_start start;
    struct cluster_time time;
    stop_unknown(capture);
    choose_start(capture, &time, &start);
    bool is_first = !capture->checkpoint.token;
    bool same_pipeline = start.token != NULL;
    struct err opening;
    if (!source_open(capture->source, &start, &batch, &opening)) {
        enum source_fault fault = source_fault(&opening);
        bool gap = fault == SOURCE_FAULT_HISTORY_LOST ||
                   (fault == SOURCE_FAULT_UNKNOWN_TOKEN && same_pipeline);
        if (gap)
            return forget_history(capture, &opening, err);
        *err = opening;
        return false;
    }
    if (is_first)
        capture_set_token(capture, strdup(batch.token));
    if (!begin_due_generations(capture, capture->checkpoint.token, err))
        return false;
    log_info("capture.stream.open", LOG_STR("database", capture->database),
             LOG_STR("token", capture->checkpoint.token), LOG_BOOL("skinny", capture->skinny));
    return capture_take_batch(capture, &batch, err);
}
