/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "agent/capture/capture_witness.h"
#include "agent/stats.h"
#include "base/background.h"
#include "base/clock.h"
#include "base/log.h"
#include "cdc/oplog.h"

#define NOTE_EVERY_MS 2000
#define LOOK_EVERY_MS 10000
/* For a look that is under way when the capture ends. */
#define END_MS 500
/* A durable token is always some seconds old: saving it is not done for each event. */
#define LAG_ALLOWED_S 10

/* What is counted for one family, and not yet written down. */
struct tally {
    char *family;
    struct source_counts counts;
};

/* One look, made on the watch's thread. */
struct look {
    struct agent *agent;
    char *id;
    struct tally *tallies; /* as the capture's feeds */
    size_t tally_count;
    double least; /* part of the window that must be left */
    bool with_oplog;
    struct cluster_time durable;
    struct oplog_window window; /* as of the last look that asked for it */
    struct capture_stats stats;
    struct witness_notes notes;
};

struct watch {
    struct background *background;
    struct look *look; /* its thread's own while it runs */
    int64_t noted_ms;
    int64_t looked_ms;
    bool low; /* as it was last said */
};

struct watch *watch_new(struct capture *capture)
{
    struct watch *watch = calloc(1, sizeof *watch);
    watch->background = background_new();
    watch->look = calloc(1, sizeof *watch->look);
    watch->look->agent = capture->agent;
    watch->look->least = capture->agent->config->mongodb.min_oplog_headroom;
    watch->look->id = strdup(capture->id);
    watch->look->tallies = calloc(capture->feed_count + 1, sizeof *watch->look->tallies);
    watch->look->tally_count = capture->feed_count;
    for (size_t i = 0; i < capture->feed_count; i++)
        watch->look->tallies[i].family = strdup(capture->feeds[i].family->name);
    return watch;
}

static void look_free(void *context)
{
    struct look *look = context;
    witness_forget(&look->notes);
    for (size_t i = 0; i < look->tally_count; i++)
        free(look->tallies[i].family);
    free(look->tallies);
    free(look->id);
    free(look);
}

void watch_free(struct watch *watch)
{
    if (background_wait_ms(watch->background, NOTE_EVERY_MS)) {
        background_free(watch->background);
        look_free(watch->look);
    } else {
        background_abandon(watch->background, look_free, watch->look);
    }
    free(watch);
}

static void reckon_headroom(struct look *look)
{
    const struct oplog_window *window = &look->window;
    struct capture_stats *stats = &look->stats;
    if (!window->known || look->durable.seconds == 0)
        return;
    /* the oplog was looked at before: it reaches at least as far as what was read from it since */
    int64_t first_s = window->first.seconds, durable_s = look->durable.seconds;
    int64_t last_s = window->last.seconds > durable_s ? window->last.seconds : durable_s;
    int64_t behind_s = last_s - durable_s;
    stats->oplog_window_s = last_s - first_s;
    stats->headroom_s = durable_s - first_s;
    stats->headroom_low = behind_s > LAG_ALLOWED_S &&
                          (double)stats->headroom_s < look->least * (double)stats->oplog_window_s;
}

/* What cannot be written down is counted again with the next look. */
static void note_tallies(void *context)
{
    const struct look *look = context;
    for (size_t i = 0; i < look->tally_count; i++) {
        struct tally *tally = &look->tallies[i];
        struct err err;
        if (!source_counts_any(&tally->counts))
            continue;
        if (stats_add_source(look->agent->docs, look->agent->config->name, tally->family,
                             &tally->counts, &err))
            tally->counts = (struct source_counts){0};
        else
            log_debug("stats.failed", LOG_ERR(&err));
    }
}

/* Statistics only: a failure is of no consequence. */
static void look_now(void *context)
{
    struct look *look = context;
    struct err err;
    if (look->with_oplog && !oplog_look(look->agent->pool, &look->window, &err)) {
        look->window.known = false;
        log_debug("oplog.look.failed", LOG_ERR(&err));
    }
    reckon_headroom(look);
    if (!stats_set_capture(look->agent->docs, look->id, &look->stats, &err))
        log_debug("stats.failed", LOG_ERR(&err));
    note_tallies(look);
    witness_note(&look->notes, look->agent->log);
}

/* Only while no look is under way. */
static void take_counts(struct watch *watch, struct capture *capture)
{
    for (size_t i = 0; i < capture->feed_count; i++) {
        source_counts_add(&watch->look->tallies[i].counts, &capture->feeds[i].counts);
        capture->feeds[i].counts = (struct source_counts){0};
    }
}

void watch_end(struct watch *watch, struct capture *capture)
{
    if (!background_wait_ms(watch->background, END_MS))
        return;
    take_counts(watch, capture);
    background_begin(watch->background, note_tallies, watch->look);
}

/* What the last look has found. */
static void say(struct watch *watch, const struct capture *capture)
{
    const struct capture_stats *stats = &watch->look->stats;
    if (stats->headroom_low == watch->low)
        return;
    watch->low = stats->headroom_low;
    if (watch->low)
        log_warn("capture.headroom.low", LOG_STR("database", capture->database),
                 LOG_INT("headroom_s", stats->headroom_s),
                 LOG_INT("oplog_window_s", stats->oplog_window_s));
    else
        log_info("capture.headroom.restored", LOG_STR("database", capture->database),
                 LOG_INT("headroom_s", stats->headroom_s),
                 LOG_INT("oplog_window_s", stats->oplog_window_s));
}

static int64_t lag_ms_of(const struct capture *capture)
{
    struct cluster_time at;
    if (!capture->position || !token_time(capture->position, &at))
        return -1;
    int64_t lag_ms = ((int64_t)capture->seen.seconds - (int64_t)at.seconds) * 1000;
    return lag_ms > 0 ? lag_ms : 0;
}

void watch_tick(struct watch *watch, struct capture *capture)
{
    struct look *look = watch->look;
    int64_t now_ms = clock_mono_ms();
    if (!capture_is_leader(capture) || now_ms - watch->noted_ms < NOTE_EVERY_MS ||
        !background_wait_ms(watch->background, 0))
        return;
    say(watch, capture);
    watch->noted_ms = now_ms;
    look->with_oplog = now_ms - watch->looked_ms >= LOOK_EVERY_MS;
    if (look->with_oplog)
        watch->looked_ms = now_ms;
    look->stats = CAPTURE_STATS_UNKNOWN;
    look->stats.lag_ms = lag_ms_of(capture);
    look->durable = (struct cluster_time){0};
    if (capture->checkpoint.token && !token_time(capture->checkpoint.token, &look->durable))
        look->durable = (struct cluster_time){0};
    witness_collect(capture, &look->notes);
    take_counts(watch, capture);
    background_begin(watch->background, look_now, look);
}
