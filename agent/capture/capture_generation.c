/* SPDX-License-Identifier: Apache-2.0 */
/* The beginnings of generations: why one is due, what is written down before its first row is read. */
#include <stdlib.h>
#include <string.h>

#include "agent/capture/capture_witness.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mongo.h"
#include "cdc/scan.h"

/* Gaps in a row, without a snapshot that came to its end, before a person is asked. */
#define MAX_GAPS 3
#define CHECK_TOPICS_MS 10000
#define T0_SIZE_MAX 512
/* "82", seconds, ordinal. */
#define TOKEN_TIME_SIZE 18
/* A collection smaller than that is not worth cutting. */
#define CUT_ROWS 20000
/* Ranges for each reader: the last ones are then not read by one alone. */
#define RANGES_PER_READER 4

static void set_text(char **slot, const char *text)
{
    char *copy = text ? strdup(text) : NULL;
    free(*slot);
    *slot = copy;
}

static struct scan_options scan_of(const struct capture *capture, const struct feed *feed)
{
    return (struct scan_options){.pool = capture->agent->pool,
                                 .database = capture->database,
                                 .collection = feed->family->config->source.collection};
}

bool capture_stands(const struct checkpoint_family *state)
{
    return state->state == FAMILY_SOURCE_DROPPED || state->state == FAMILY_GAP;
}

void capture_stand(struct capture *capture, const struct feed *feed, enum family_state state,
                   const char *reason)
{
    struct checkpoint_family *family = capture_state(capture, feed);
    if (family->state == state && family->reason && strcmp(family->reason, reason) == 0)
        return;
    family->state = state;
    set_text(&family->reason, reason);
    capture->unsaved_items += 1;
    log_error("capture.family.stands", LOG_STR("family", feed->family->name),
              LOG_STR("state", family_state_name(state)),
              LOG_STR("collection", feed->family->config->source.collection),
              LOG_STR("reason", reason));
}

/* --- Ranges --- */

static void free_ranges(struct checkpoint_family *state)
{
    for (size_t i = 0; i < state->range_count; i++) {
        bson_destroy(state->ranges[i].min);
        bson_destroy(state->ranges[i].max);
        bson_destroy(state->ranges[i].cursor);
    }
    bson_free(state->ranges);
    state->ranges = NULL;
    state->range_count = 0;
}

/* (-, b0], (b0, b1], ... (bn, -): takes the bounds. */
static void set_ranges(struct checkpoint_family *state, bson_t **bounds, size_t count)
{
    free_ranges(state);
    state->ranges = bson_malloc0((count + 1) * sizeof *state->ranges);
    state->range_count = count + 1;
    for (size_t i = 0; i < count; i++) {
        state->ranges[i].max = bounds[i];
        state->ranges[i + 1].min = bson_copy(bounds[i]);
    }
    free(bounds);
}

static bool cut_ranges(struct capture *capture, const struct feed *feed,
                       struct checkpoint_family *state, struct err *err)
{
    struct scan_options options = scan_of(capture, feed);
    size_t readers = (size_t)feed->family->config->snapshot.parallelism;
    size_t parts = readers * RANGES_PER_READER, count = 0;
    bson_t **bounds = NULL;
    if (!scan_estimate(&options, &state->total_rows, NULL))
        state->total_rows = -1; /* only a progress bar is lost */
    if (readers > 1 && state->total_rows >= CUT_ROWS &&
        !scan_split(&options, parts < LIMIT_SNAPSHOT_RANGES ? parts : LIMIT_SNAPSHOT_RANGES,
                    &bounds, &count, err)) {
        free(bounds);
        return false;
    }
    set_ranges(state, bounds, count);
    return true;
}

/* --- Beginning --- */

static void set_offsets(int64_t **slot, const int64_t *offsets, int count)
{
    bson_free(*slot);
    *slot = bson_malloc0(((size_t)count + 1) * sizeof **slot);
    if (count > 0)
        memcpy(*slot, offsets, (size_t)count * sizeof **slot);
}

/* It is the ver of each row, without type bits. After a document with a huge `_id` a token is huge, too:
 * its time alone sorts below every event of that time, and does as well. */
static size_t t0_size(const char *token)
{
    size_t size = token_data_size(token);
    return size > T0_SIZE_MAX ? TOKEN_TIME_SIZE : size;
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static void write_beginning(struct capture *capture, struct feed *feed,
                            const struct beginning *beginning, const struct worklog_topic *topic)
{
    struct checkpoint_family *state = capture_state(capture, feed);
    bool unfinished = state->gen > 0 && !state->end_offsets;
    state->gaps = !beginning->is_gap ? 0 : unfinished ? state->gaps + 1 : 1;
    state->gen = larger(larger(beginning->above, feed->above), state->gen) + 1;
    state->state = FAMILY_SNAPSHOT;
    state->rows_per_second = 0;
    free(state->t0);
    state->t0 = strndup(beginning->t0, t0_size(beginning->t0));
    set_text(&state->family_fp, shape_fp(feed->family->shape));
    set_text(&state->reason, NULL);
    state->partitions = feed->partitions = topic->partitions;
    feed->max_size = topic->max_size;
    set_offsets(&state->start_offsets, topic->high, topic->partitions);
    set_offsets(&state->high_offsets, topic->high, topic->partitions);
    bson_free(state->end_offsets);
    state->end_offsets = NULL;
    capture->unsaved_generation = true;
    log_info("capture.generation", LOG_STR("family", feed->family->name),
             LOG_STR("reason", beginning->reason), LOG_INT("gen", state->gen),
             LOG_INT("partitions", state->partitions), LOG_INT("documents", state->total_rows),
             LOG_INT("ranges", (int64_t)state->range_count));
}

/* True when the feed stands instead of beginning. */
static bool must_stand(struct capture *capture, struct feed *feed,
                       const struct beginning *beginning, bool exists)
{
    struct checkpoint_family *state = capture_state(capture, feed);
    bool unfinished = state->gen > 0 && !state->end_offsets;
    /* of an empty source everything would be swept; that is for a person to say */
    if (!exists && state->gen > 0) {
        capture_stand(capture, feed, FAMILY_SOURCE_DROPPED,
                      "the source collection does not exist: when it is there again, say `resume`");
        return true;
    }
    if (!beginning->is_gap || !unfinished || state->gaps + 1 < MAX_GAPS)
        return false;
    capture_stand(capture, feed, FAMILY_GAP,
                  "the history was lost again and again before the snapshot was read to its end: "
                  "let the oplog last longer, then say `resume`");
    return true;
}

bool capture_begin_generation(struct capture *capture, struct feed *feed,
                              const struct beginning *beginning, struct err *err)
{
    struct scan_options options = scan_of(capture, feed);
    struct checkpoint_family *state = capture_state(capture, feed);
    bool exists = true;
    if (!state)
        state = checkpoint_add(&capture->checkpoint, feed->family->name);
    if (!scan_exists(&options, &exists, err) || !scan_is_clustered(&options, &feed->clustered, err))
        return false;
    if (must_stand(capture, feed, beginning, exists)) {
        capture->unsaved_generation = true;
        return true;
    }
    struct worklog_topic *topic = calloc(1, sizeof *topic);
    bool ok = worklog_ensure(capture->agent->log, feed->topic, topic, err) &&
              cut_ranges(capture, feed, state, err);
    if (ok)
        write_beginning(capture, feed, beginning, topic);
    free(topic);
    return ok;
}

bool capture_begin_all(struct capture *capture, const char *t0, const char *reason, struct err *err)
{
    struct beginning beginning = {.t0 = t0, .reason = reason, .is_gap = true};
    for (size_t i = 0; i < capture->feed_count; i++) {
        struct checkpoint_family *state = capture_state(capture, &capture->feeds[i]);
        /* one that stands is begun anew when someone says so; the others were stopped when the loss
         * was noted, unless they have begun already in an attempt that failed later */
        if (state && state->state != FAMILY_STOPPED)
            continue;
        if (!capture_begin_generation(capture, &capture->feeds[i], &beginning, err))
            return false;
    }
    return true;
}

/* --- When it was asked for --- */

/* One that was asked for because of an older generation has been answered by this one. */
static char *take_wanted(struct capture *capture, struct feed *feed, int64_t *above)
{
    const struct checkpoint_family *state = capture_state(capture, feed);
    pthread_mutex_lock(&capture->lock);
    char *reason = feed->wanted;
    feed->wanted = NULL;
    *above = feed->wanted_gen;
    bool answered = reason && state && state->gen > *above;
    pthread_mutex_unlock(&capture->lock);
    if (!answered)
        return reason;
    free(reason);
    return NULL;
}

bool capture_begin_wanted(struct capture *capture, struct err *err)
{
    for (size_t i = 0; i < capture->feed_count; i++) {
        struct feed *feed = &capture->feeds[i];
        int64_t above = 0;
        char *reason = take_wanted(capture, feed, &above);
        if (!reason)
            continue;
        struct checkpoint_family *state = capture_state(capture, feed);
        struct beginning beginning = {.t0 = capture->position,
                                      .reason = reason,
                                      .is_gap = state && !capture_stands(state),
                                      .above = above};
        log_warn("capture.gap", LOG_STR("family", feed->family->name), LOG_STR("reason", reason));
        bool ok = capture_begin_generation(capture, feed, &beginning, err);
        free(reason);
        if (!ok)
            return false;
    }
    return !capture->unsaved_generation || capture_save(capture, err);
}

/* --- When it is due --- */

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
        bool is_over = state->state == FAMILY_STOPPED || capture_stands(state);
        if (state->gen == 0 || is_over || is_fed(capture, state->family))
            continue;
        state->state = FAMILY_STOPPED;
        set_text(&state->reason, "not in the configuration of the process that reads its database");
        log_warn("capture.family.unknown", LOG_STR("family", state->family));
    }
}

/* Offsets only rise: a topic that reaches less far than before, or no longer back to the generation's
 * beginning, is another, or has lost records. */
static const char *topic_reason(const struct capture *capture,
                                const struct checkpoint_family *state,
                                const struct worklog_topic *topic)
{
    /* a log in memory begins with its process */
    bool lasts = capture->agent->config->worklog.driver != WORKLOG_MEMORY;
    if (state->partitions != topic->partitions)
        return "the topic has another number of partitions";
    for (int i = 0; lasts && i < topic->partitions; i++) {
        if (state->high_offsets && topic->high[i] < state->high_offsets[i])
            return "the topic was made anew, or has lost records";
        if (topic->low[i] > state->start_offsets[i])
            return "records were removed from the topic that a new version would need";
    }
    return NULL;
}

/* Why the stored state of a feed cannot simply go on; NULL: it can. */
static struct beginning find_reason(struct capture *capture, struct feed *feed,
                                    const struct worklog_topic *topic)
{
    const struct checkpoint_family *state = capture_state(capture, feed);
    if (!state || state->gen == 0)
        return (struct beginning){.reason = "first snapshot"};
    if (capture_stands(state))
        return (struct beginning){0}; /* until a person says `resume` */
    if (strcmp(state->family_fp, shape_fp(feed->family->shape)) != 0)
        return (struct beginning){
            .reason = "the family's source, filter, metadata or fields have changed"};
    if (state->state == FAMILY_STOPPED)
        return (struct beginning){.reason = "its changes were not read for a while"};
    return (struct beginning){.reason = topic_reason(capture, state, topic), .is_gap = true};
}

static bool begin_if_due(struct capture *capture, struct feed *feed, const char *t0,
                         const struct worklog_topic *topic, struct err *err)
{
    if (!witness_compare(capture, feed, err))
        return false;
    struct beginning beginning = find_reason(capture, feed, topic);
    struct checkpoint_family *state = capture_state(capture, feed);
    if (!beginning.reason && feed->above >= state->gen && !capture_stands(state))
        beginning = (struct beginning){
            .reason = "the state database was restored or lost: the work log is ahead of it",
            .is_gap = true};
    struct scan_options options = scan_of(capture, feed);
    feed->partitions = topic->partitions;
    feed->max_size = topic->max_size;
    if (!beginning.reason) {
        set_offsets(&state->high_offsets, topic->high, state->partitions);
        return scan_is_clustered(&options, &feed->clustered, err);
    }
    if (beginning.is_gap)
        log_warn("capture.gap", LOG_STR("family", feed->family->name),
                 LOG_STR("reason", beginning.reason));
    beginning.t0 = t0;
    return capture_begin_generation(capture, feed, &beginning, err);
}

bool capture_begin_due(struct capture *capture, const char *t0, struct err *err)
{
    stop_unknown(capture);
    for (size_t i = 0; i < capture->feed_count; i++) {
        struct feed *feed = &capture->feeds[i];
        if (capture_stopping(capture)) /* a topic and a generation take seconds */
            return err_set(err, ERR_CANCEL, ERR_STATE, 0, "stopping");
        struct worklog_topic *topic = calloc(1, sizeof *topic);
        bool ok = worklog_ensure(capture->agent->log, feed->topic, topic, err) &&
                  begin_if_due(capture, feed, t0, topic, err);
        free(topic);
        if (!ok)
            return false;
    }
    capture->topics_checked_ms = clock_mono_ms();
    /* gen, T0 and start offsets stand with a majority before the first row is read, also when an
     * earlier attempt to write them down has failed */
    bool begun = capture->unsaved_generation;
    if (begun && !capture_save(capture, err))
        return false;
    capture->witnessed = true;
    if (begun) /* or one who leads soon would begin them once more */
        witness_note_now(capture);
    return true;
}

/* *known: the broker has answered; otherwise nothing is said about the topic. */
static bool check_topic(struct capture *capture, const struct feed *feed, bool *known,
                        struct err *err)
{
    struct checkpoint_family *state = capture_state(capture, feed);
    struct worklog_topic *topic = calloc(1, sizeof *topic);
    const char *reason = NULL;
    bool found = false;
    *known = worklog_look(capture->agent->log, feed->topic, &found, topic, NULL);
    if (*known)
        reason = found ? topic_reason(capture, state, topic) : "the topic is gone";
    if (found && !reason)
        set_offsets(&state->high_offsets, topic->high, state->partitions);
    free(topic);
    return !reason || err_set(err, ERR_RETRY, ERR_STATE, 0, "topic %s: %s", feed->topic, reason);
}

/* Appends do not tell: a topic may be deleted to which nothing is appended, and one that is given more
 * partitions takes records as before. */
bool capture_check_topics(struct capture *capture, struct err *err)
{
    if (clock_mono_ms() - capture->topics_checked_ms < CHECK_TOPICS_MS)
        return true;
    bool known = true;
    for (size_t i = 0; known && i < capture->feed_count; i++) {
        struct checkpoint_family *state = capture_state(capture, &capture->feeds[i]);
        if (!capture_stands(state) && !check_topic(capture, &capture->feeds[i], &known, err))
            return false;
    }
    capture->topics_checked_ms = clock_mono_ms();
    return true;
}
