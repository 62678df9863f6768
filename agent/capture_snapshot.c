/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "agent/capture_state.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mongo.h"
#include "cdc/scan.h"

/* Rows between two marks of the cursor. */
#define MARK_EVERY 100

static bool is_being_read(const struct checkpoint_family *state)
{
    return state && state->state == FAMILY_SNAPSHOT && !state->end_offsets;
}

/* Rows were all read in this process, though they may not be delivered yet: `done` is durable, the
 * end mark in the ring is not. Each feed's reading position is therefore kept apart. */
static struct feed *feed_due(struct capture *capture, size_t *index)
{
    for (size_t i = 0; i < capture->feed_count; i++) {
        struct checkpoint_family *state = capture_state(capture, &capture->feeds[i]);
        if (is_being_read(state) && state->range_count > 0 && !state->ranges[0].done) {
            *index = i;
            return &capture->feeds[i];
        }
    }
    return NULL;
}

bool capture_snapshot_due(struct capture *capture)
{
    size_t index;
    return feed_due(capture, &index) != NULL;
}

static void mark_cursor(struct capture *capture, size_t feed, const bson_t *doc, int64_t rows)
{
    bson_iter_t id;
    const struct checkpoint_family *state = capture_state(capture, &capture->feeds[feed]);
    struct mark mark = {
        .kind = MARK_CURSOR, .feed = feed, .gen = state->gen, .rows = rows, .cursor = bson_new()};
    if (bson_iter_init_find(&id, doc, "_id"))
        bson_append_iter(mark.cursor, "_id", 3, &id);
    ring_mark(capture->ring, &mark);
}

static bool emit_row(struct capture *capture, const struct feed *feed, const bson_t *doc,
                     struct err *err)
{
    const struct checkpoint_family *state = capture_state(capture, feed);
    bson_iter_t id;
    bool belongs = shape_matches(feed->family->shape, doc);
    /* in the first generation nobody has ever heard of what is outside the filter; later it may be
     * the filter that has changed */
    if (!bson_iter_init_find(&id, doc, "_id") || (!belongs && state->gen == 1))
        return true;
    struct emission emission = {.feed = feed,
                                .op = belongs ? ITEM_UPSERT : ITEM_DELETE,
                                .id = &id,
                                .doc = doc,
                                .ver = state->t0,
                                .gen = state->gen};
    return capture_emit(capture, &emission, err);
}

/* *ended: the collection was read to its end. */
static bool read_rows(struct capture *capture, size_t index, struct scan *scan, int64_t until_ms,
                      bool *ended, struct err *err)
{
    const struct feed *feed = &capture->feeds[index];
    CLEANUP(bson_destroyp) bson_t *last = NULL;
    int64_t rows = 0;
    for (*ended = false; clock_mono_ms() < until_ms && !capture_stopping(capture);) {
        const bson_t *doc;
        if (!scan_next(scan, &doc, err))
            return false;
        if (!doc) {
            *ended = true;
            int64_t gen = capture_state(capture, feed)->gen;
            ring_mark(capture->ring,
                      &(struct mark){.kind = MARK_END, .feed = index, .gen = gen, .rows = rows});
            return true;
        }
        if (!emit_row(capture, feed, doc, err))
            return false;
        rows++;
        if (rows % MARK_EVERY == 0) {
            mark_cursor(capture, index, doc, rows);
            rows = 0;
            if (!capture_tick(capture, 0, err))
                return false;
        } else {
            bson_destroy(last);
            last = bson_new();
            bson_iter_t id;
            if (bson_iter_init_find(&id, doc, "_id"))
                bson_append_iter(last, "_id", 3, &id);
        }
    }
    if (rows > 0 && last)
        mark_cursor(capture, index, last, rows);
    return true;
}

bool capture_slice(struct capture *capture, int64_t slice_ms, struct err *err)
{
    size_t index;
    struct feed *feed = feed_due(capture, &index);
    if (!feed)
        return true;
    struct checkpoint_family *state = capture_state(capture, feed);
    struct cluster_time since;
    /* the position is an opening token's time at the earliest, which lies one ordinal ahead of an
     * idle cluster; the stream delivers everything from there on */
    if (!token_time(capture->position, &since))
        since = (struct cluster_time){1, 0};
    struct scan_options options = {
        .pool = capture->agent->pool,
        .database = capture->database,
        .collection = feed->family->config->source.collection,
        .projection = shape_projection(feed->family->shape),
        .after = state->ranges[0].cursor,
        .since = cluster_time_before(since),
    };
    CLEANUP(scan_closep) struct scan *scan = NULL;
    bool ended;
    if (!scan_open(&options, &scan, err) ||
        !read_rows(capture, index, scan, clock_mono_ms() + slice_ms, &ended, err))
        return false;
    /* the next slice begins at the durable cursor: what is in flight must land first */
    return capture_flush(capture, 600000, err);
}

static bool finish(struct capture *capture, const struct feed *feed, struct err *err)
{
    struct checkpoint_family *state = capture_state(capture, feed);
    struct worklog_topic *topic = calloc(1, sizeof *topic);
    bool ok = worklog_ensure(capture->agent->log, feed->topic, topic, err);
    if (ok) {
        state->end_offsets = calloc((size_t)state->partitions, sizeof *state->end_offsets);
        memcpy(state->end_offsets, topic->high,
               (size_t)state->partitions * sizeof *state->end_offsets);
        state->state = FAMILY_STREAMING;
        log_info("capture.snapshot.done", LOG_STR("family", feed->family->name),
                 LOG_INT("gen", state->gen), LOG_INT("documents", state->ranges[0].rows));
    }
    free(topic);
    return ok;
}

bool capture_finish_snapshots(struct capture *capture, struct err *err)
{
    bool finished = false;
    for (size_t i = 0; i < capture->feed_count; i++) {
        struct checkpoint_family *state = capture_state(capture, &capture->feeds[i]);
        if (!is_being_read(state) || state->range_count == 0 || !state->ranges[0].done)
            continue;
        if (!finish(capture, &capture->feeds[i], err))
            return false;
        finished = true;
    }
    return !finished || capture_save(capture, err);
}
