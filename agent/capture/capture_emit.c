/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "agent/capture/capture_state.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"

#define SAVE_EVERY_MS 5000
#define SAVE_EVERY_ITEMS 1000
static void delivered(void *context, uint64_t ticket, const struct err *failed)
{
    struct capture *capture = context;
    if (failed && !capture->is_broken) {
        capture->broken = *failed;
        capture->is_broken = true;
    }
    if (!failed)
        ring_done(capture->ring, ticket);
}

/* Returns the one before. */
static struct worklog_writer *set_writer(struct capture *capture, struct worklog_writer *writer)
{
    pthread_mutex_lock(&capture->lock);
    struct worklog_writer *before = capture->writer;
    capture->writer = writer;
    capture->purged = false;
    pthread_mutex_unlock(&capture->lock);
    return before;
}

bool capture_open_writer(struct capture *capture, struct err *err)
{
    struct worklog_writer_options options = {.delivered = delivered, .context = capture};
    for (size_t i = 0; i < capture->feed_count; i++) {
        int64_t size = capture->feeds[i].max_size; /* known from the last opening on */
        if (size > 0 && (options.max_size == 0 || size < options.max_size))
            options.max_size = size;
    }
    capture->is_broken = false;
    ring_clear(capture->ring);
    struct worklog_writer *writer = NULL;
    bool ok = worklog_open_writer(capture->agent->log, &options, &writer, err);
    set_writer(capture, writer);
    return ok;
}

void capture_close_writer(struct capture *capture)
{
    struct worklog_writer *writer = set_writer(capture, NULL);
    if (!writer)
        return;
    /* what an old leader flushes late would become the topic's last word on a key */
    worklog_purge(writer);
    worklog_close_writer(writer);
    ring_clear(capture->ring);
}

void capture_set_position(struct capture *capture, const char *token)
{
    if (capture->position && strcmp(capture->position, token) == 0)
        return;
    free(capture->position);
    capture->position = strdup(token);
    ring_mark(capture->ring, &(struct mark){.kind = MARK_TOKEN, .token = strdup(token)});
}

/* NULL: the mark is of a snapshot that has been given up for a new generation. */
static struct snapshot_range *range_of(struct capture *capture, const struct mark *mark)
{
    struct checkpoint_family *state = capture_state(capture, &capture->feeds[mark->feed]);
    bool is_current = state && state->gen == mark->gen && mark->range < state->range_count;
    return is_current ? &state->ranges[mark->range] : NULL;
}

void capture_set_token(struct capture *capture, char *token)
{
    struct checkpoint *checkpoint = &capture->checkpoint;
    const char *hash = source_pipeline_hash(capture->source);
    struct cluster_time time;
    free(checkpoint->token);
    checkpoint->token = token;
    checkpoint->token_time = token_time(token, &time) ? time.seconds : 0;
    if (checkpoint->pipeline_hash && strcmp(checkpoint->pipeline_hash, hash) == 0)
        return;
    free(checkpoint->pipeline_hash);
    checkpoint->pipeline_hash = strdup(hash);
}

static void apply_mark(struct capture *capture, struct mark *mark)
{
    struct snapshot_range *range = NULL;
    switch (mark->kind) {
    case MARK_TOKEN:
        capture_set_token(capture, mark->token);
        capture->unsaved_token = true;
        return;
    case MARK_CURSOR:
        range = range_of(capture, mark);
        if (!range) {
            bson_destroy(mark->cursor);
            return;
        }
        bson_destroy(range->cursor);
        range->cursor = mark->cursor;
        range->rows += mark->rows;
        capture->unsaved_items += mark->rows;
        return;
    case MARK_END:
        range = range_of(capture, mark);
        if (range) {
            range->done = true;
            range->rows += mark->rows;
            capture->unsaved_items += SAVE_EVERY_ITEMS;
        }
        return;
    }
}

bool capture_save(struct capture *capture, struct err *err)
{
    capture->saved_ms = clock_mono_ms();
    capture->unsaved_items = 0;
    capture->unsaved_token = false;
    bool ok = lease_save(leader_lease(capture->leader), &capture->checkpoint, err);
    capture->unsaved_generation = capture->unsaved_generation && !ok;
    return ok;
}

static bool save_is_due(const struct capture *capture)
{
    int64_t age_ms = clock_mono_ms() - capture->saved_ms;
    if (capture->unsaved_items >= SAVE_EVERY_ITEMS)
        return age_ms >= 500; /* at full speed 1000 items pass many times a second */
    if (capture->unsaved_items > 0 && age_ms >= SAVE_EVERY_MS)
        return true;
    return (capture->unsaved_token || capture->unsaved_items > 0) &&
           age_ms >= capture->agent->quiet_save_ms;
}

static bool check_lease(const struct capture *capture, struct err *err)
{
    return leader_is_held(capture->leader) ||
           err_set(err, ERR_CANCEL, ERR_STATE, 0, "the lease '%s' has run out", capture->id);
}

bool capture_tick(struct capture *capture, int64_t wait_ms, struct err *err)
{
    size_t before = ring_records(capture->ring);
    if (!worklog_poll(capture->writer, wait_ms, err))
        return false;
    capture->unsaved_items += (int64_t)(before - ring_records(capture->ring));
    if (capture->is_broken) {
        *err = capture->broken;
        err->action = ERR_RETRY;
        return err_prefix(err, "work log");
    }
    struct mark mark;
    while (ring_take(capture->ring, &mark))
        apply_mark(capture, &mark);
    watch_tick(capture->watch, capture);
    if (!check_lease(capture, err) || !capture_check_topics(capture, err))
        return false;
    return !save_is_due(capture) || capture_save(capture, err);
}

bool capture_flush(struct capture *capture, int64_t timeout_ms, struct err *err)
{
    int64_t until = clock_mono_ms() + timeout_ms;
    while (ring_records(capture->ring) > 0 && clock_mono_ms() < until &&
           !atomic_load(&capture->abandoned)) {
        if (capture_stopping(capture) && timeout_ms > STOP_FLUSH_MS)
            break; /* the stop itself flushes once more, under its own deadline */
        if (!capture_tick(capture, 50, err))
            return false;
    }
    return capture_tick(capture, 0, err) && capture_save(capture, err);
}

bool capture_append(struct capture *capture, struct feed *feed, struct record *record,
                    struct err *err)
{
    /* after a long call another may lead */
    if (!check_lease(capture, err))
        return false;
    int partition = record_partition(record->key, record->key_size, feed->partitions);
    while (ring_is_full(capture->ring)) {
        if (capture_stopping(capture))
            return err_set(err, ERR_CANCEL, ERR_STATE, 0, "stopping");
        if (!capture_tick(capture, 100, err))
            return false;
    }
    uint64_t ticket = ring_record(capture->ring);
    while (true) {
        enum worklog_append outcome;
        if (!worklog_append(capture->writer, feed->topic, partition, record, ticket, &outcome, err))
            return false;
        if (outcome == APPEND_OK) {
            feed->counts.items[record->op]++;
            return true;
        }
        if (outcome == APPEND_TOO_LARGE && record->op != ITEM_UPSERT)
            return err_set(
                err, ERR_RETRY, ERR_STATE, 0,
                "the work log takes no record of %zu bytes, which has no more than its key: "
                "raise message.max.bytes",
                record->key_size);
        if (outcome == APPEND_TOO_LARGE) {
            record->op = ITEM_REREAD;
            record->value = REREAD_VALUE;
            record->value_size = REREAD_VALUE_SIZE;
            continue;
        }
        if (capture_stopping(capture))
            return err_set(err, ERR_CANCEL, ERR_STATE, 0, "stopping");
        if (!capture_tick(capture, 100, err))
            return false;
    }
}

bool capture_emit(struct capture *capture, const struct emission *emission, struct err *err)
{
    struct feed *feed = emission->feed;
    struct record record = {
        .gen = emission->gen, .ver = emission->ver, .time_ms = emission->time_ms};
    struct encoding_input input = {.family = feed->family,
                                   .op = emission->op,
                                   .id = emission->id,
                                   .doc = emission->doc,
                                   .ver_size = strlen(emission->ver),
                                   .max_size = feed->max_size};
    if (!encoding_make(&capture->encoding, &input, err))
        return false;
    encoding_put(&capture->encoding, &record);
    if (!capture->encoding.key_too_large)
        return capture_append(capture, feed, &record, err);
    log_error("capture.key.too_large", LOG_STR("family", feed->family->name),
              LOG_INT("limit", (int64_t)LIMIT_KEY_SIZE));
    /* a token holds the key twice as long; what orders the states of one document stands before it */
    char *ver = strndup(emission->ver, LIMIT_TOKEN_SIZE - 1);
    record.ver = ver;
    bool ok = capture_append(capture, feed, &record, err);
    free(ver);
    return ok;
}
