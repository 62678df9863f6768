/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "agent/capture/capture_state.h"
#include "base/log.h"

/* Of the events of one batch: how many may pass before their position is marked. */
#define MARK_EVERY 100
#define CLOSED_FLUSH_MS 30000

static bool emit_event(struct capture *capture, const struct source_event *event, struct feed *feed,
                       struct err *err)
{
    const struct checkpoint_family *state = capture_state(capture, feed);
    struct emission emission = {.feed = feed,
                                .op = ITEM_DELETE,
                                .id = &event->id,
                                .ver = event->ver,
                                .gen = state->gen,
                                .time_ms = event->time_ms};
    if (event->kind == SOURCE_UPSERT && !event->has_document) {
        emission.op = ITEM_REREAD;
    } else if (event->kind == SOURCE_UPSERT &&
               shape_matches(feed->family->shape, &event->full_document)) {
        emission.op = ITEM_UPSERT;
        emission.doc = &event->full_document;
    }
    return capture_emit(capture, &emission, err);
}

static bool take_replacement(struct capture *capture, const struct source_event *event,
                             struct feed *feed, struct err *err)
{
    struct beginning beginning = {.t0 = event->ver, .reason = "the source collection was replaced"};
    log_warn("capture.gap", LOG_STR("family", feed->family->name),
             LOG_STR("reason", beginning.reason));
    return capture_begin_generation(capture, feed, &beginning, err) && capture_save(capture, err);
}

/* Stop feeding, keep serving: what the active version holds stays. What came before is in the work log first:
 * saved with an older token, the state would have it passed over after a crash. */
static bool take_drop(struct capture *capture, struct feed *feed, struct err *err)
{
    if (!capture_flush(capture, CLOSED_FLUSH_MS, err))
        return false;
    if (ring_records(capture->ring) > 0)
        return err_set(err, ERR_RETRY, ERR_STATE, 0,
                       "the source was dropped, and what came before is not in the work log yet");
    capture_stand(capture, feed, FAMILY_SOURCE_DROPPED,
                  "the source collection was dropped or renamed away: what is served stays; when a "
                  "collection of that name is there again, say `resume`");
    return capture_save(capture, err); /* people are shown what is saved */
}

static bool take_for_feed(struct capture *capture, const struct source_event *event,
                          struct feed *feed, struct err *err)
{
    /* dropped, and then another renamed to its name: that is a replacement in two steps */
    bool back = event->kind == SOURCE_REPLACED &&
                capture_state(capture, feed)->state == FAMILY_SOURCE_DROPPED;
    if (capture_stands(capture_state(capture, feed)) && !back)
        return true;
    switch (event->kind) {
    case SOURCE_DROPPED:
        return take_drop(capture, feed, err);
    case SOURCE_REPLACED:
        return take_replacement(capture, event, feed, err);
    case SOURCE_UPSERT:
    case SOURCE_DELETE:
        return emit_event(capture, event, feed, err);
    default:
        return true;
    }
}

static bool take_event(struct capture *capture, const struct source_event *event, struct err *err)
{
    for (size_t i = 0; i < capture->feed_count; i++) {
        struct feed *feed = &capture->feeds[i];
        const char *collection = feed->family->config->source.collection;
        if (event->collection && strcmp(event->collection, collection) != 0)
            continue;
        feed->counts.events[source_op_of(event->type)]++;
        if (!take_for_feed(capture, event, feed, err))
            return false;
    }
    return true;
}

/* A rename of one source onto another is two events of one token. */
static bool is_apart(const struct source_batch *batch, size_t i)
{
    return i + 1 == batch->count || strcmp(batch->events[i].ver, batch->events[i + 1].ver) != 0;
}

bool capture_take_batch(struct capture *capture, const struct source_batch *batch, struct err *err)
{
    size_t unmarked = 0;
    for (size_t i = 0; i < batch->count; i++) {
        if (!take_event(capture, &batch->events[i], err))
            return false;
        if (++unmarked >= MARK_EVERY && is_apart(batch, i)) {
            unmarked = 0;
            char *token = source_event_token(&batch->events[i]);
            capture_set_position(capture, token);
            free(token);
            if (!capture_tick(capture, 0, err))
                return false;
        }
    }
    capture_set_position(capture, batch->token);
    capture->seen = batch->cluster_time;
    if (capture->skinny && batch->count > 0) {
        capture->skinny = false; /* the large event lies behind: documents again */
        return capture_flush(capture, CLOSED_FLUSH_MS, err) &&
               err_set(err, ERR_RETRY, ERR_STATE, 0, "passed an event that is too large");
    }
    if (!batch->closed)
        return true;
    /* the next opening is to begin behind this batch, or it would be closed again */
    return capture_flush(capture, CLOSED_FLUSH_MS, err) &&
           err_set(err, ERR_RETRY, ERR_STATE, 0, "the server closed the stream");
}

/* A newer token may have been saved before the loss was noticed, with which the stream would open as if
 * nothing had been: written down first, the loss outlives a crash. */
static bool note_loss(struct capture *capture, struct err *err)
{
    for (size_t i = 0; i < capture->checkpoint.family_count; i++) {
        /* also those that this process does not know: the token passes their events, too */
        struct checkpoint_family *state = &capture->checkpoint.families[i];
        if (state->gen > 0 && !capture_stands(state))
            state->state = FAMILY_STOPPED;
    }
    if (!capture_save(capture, err))
        return false;
    capture->history = HISTORY_LOSS_NOTED;
    return true;
}

/* The history between the durable token and now is gone: what happened in it is unknown. */
static bool forget_history(struct capture *capture, struct err *err)
{
    struct source_batch batch;
    struct source_start start = {0};
    log_error("capture.gap", LOG_STR("database", capture->database),
              LOG_STR("reason", "the stream's history is lost"), LOG_ERR(&capture->loss));
    if (capture->history == HISTORY_LOST && !note_loss(capture, err))
        return false;
    if (!source_open(capture->source, &start, &batch, err) ||
        !capture_begin_all(capture, batch.token, capture->loss.text, err))
        return false;
    capture_set_token(capture, strdup(batch.token));
    if (!capture_save(capture, err) || !capture_begin_due(capture, batch.token, err))
        return false;
    capture->history = HISTORY_WHOLE;
    return capture_take_batch(capture, &batch, err);
}

/* A token of another pipeline may not be found again: its time always is; duplicates only. */
static void choose_start(struct capture *capture, struct cluster_time *time,
                         struct source_start *start)
{
    const struct checkpoint *checkpoint = &capture->checkpoint;
    *start = (struct source_start){.skinny = capture->skinny};
    if (!checkpoint->token)
        return;
    if (capture_same_pipeline(capture) || !token_time(checkpoint->token, time))
        start->token = checkpoint->token;
    else
        start->time = time;
}

bool capture_same_pipeline(const struct capture *capture)
{
    const char *hash = capture->checkpoint.pipeline_hash;
    return hash && strcmp(hash, source_pipeline_hash(capture->source)) == 0;
}

bool capture_open_stream(struct capture *capture, struct err *err)
{
    struct source_batch batch;
    struct source_start start;
    struct cluster_time time;
    if (capture->history != HISTORY_WHOLE)
        return forget_history(capture, err);
    choose_start(capture, &time, &start);
    if (!source_open(capture->source, &start, &batch, err))
        return false;
    if (!capture->checkpoint.token)
        capture_set_token(capture, strdup(batch.token));
    if (!capture_begin_due(capture, capture->checkpoint.token, err))
        return false;
    log_info("capture.stream.open", LOG_STR("database", capture->database),
             LOG_STR("token", capture->checkpoint.token), LOG_BOOL("skinny", capture->skinny));
    return capture_take_batch(capture, &batch, err);
}
