/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/lane/lane_reader.h"
#include "agent/steward/feed.h"
#include "agent/steward/gaps.h"
#include "base/clock.h"
#include "base/log.h"
#include "state/registry.h"

/* How often checkpoint, registry and work log are asked while a partition stands. */
#define LOOK_MS 1000
/* A reader in memory does not wait by itself. */
#define WAIT_MS 100

struct lane_gap {
    struct feed_view feed; /* looked at feed_ms */
    bool looked;
    int64_t feed_ms;
    int64_t swept_gen; /* of the version, as of feed_ms */
    int64_t seeded_gen;
    int64_t asked_gen; /* a generation above this one was asked for */
    char reason[160];  /* "": no partition stands */
};

void lane_forget_gap(struct lane_gap **state)
{
    if (*state)
        feed_view_fini(&(*state)->feed);
    free(*state);
    *state = NULL;
}

const char *lane_gap_reason(const struct lane_gap *state)
{
    return state && state->reason[0] ? state->reason : NULL;
}

static bool load_swept(const struct lane *lane, struct lane_gap *state, struct err *err)
{
    struct registry registry;
    if (!registry_load(lane->agent->docs, lane->agent->config->name, lane->family->name, &registry,
                       err))
        return false;
    state->swept_gen = state->seeded_gen = 0;
    for (size_t i = 0; i < registry.version_count; i++) {
        if (strcmp(registry.versions[i].build_id, lane->build_id) != 0)
            continue;
        state->swept_gen = registry.versions[i].swept_gen;
        state->seeded_gen = registry.versions[i].seeded_gen;
    }
    registry_fini(&registry);
    return true;
}

static bool look(const struct lane *lane, struct lane_gap *state, struct err *err)
{
    if (state->looked && clock_mono_ms() - state->feed_ms < LOOK_MS)
        return true;
    struct feed_view *feed = &state->feed;
    feed_view_fini(feed);
    state->looked = feed->has_positions = false;
    /* the registry first: what is swept by then must be seen with the generation it belongs to */
    struct feed_place place = feed_place_of(lane->agent, lane->family, lane->build_id);
    if (!load_swept(lane, state, err) || !feed_view_load(&place, feed, err) ||
        !feed_is_of(feed, lane->family, err))
        return false;
    if (feed->partitions > 0 && !worklog_positions(lane->agent->log, lane->topic, lane->group,
                                                   feed->positions, feed->partitions, err))
        return false;
    feed->has_positions = feed->partitions > 0;
    state->looked = true;
    state->feed_ms = clock_mono_ms();
    return true;
}

static bool ask(const struct lane *lane, struct lane_gap *state, const char *reason,
                struct err *err)
{
    int64_t gen = state->feed.gen;
    if (!state->feed.known || state->asked_gen == gen)
        return true;
    struct gap_wish wish = {
        .family = lane->family->name, .label = lane->label, .gen = gen, .reason = reason};
    if (!gap_wish_for(lane->agent, &wish, err))
        return false;
    state->asked_gen = gen;
    log_warn("lane.gap", LOG_STR("family", lane->family->name), LOG_STR("version", lane->label),
             LOG_INT("gen", gen), LOG_STR("reason", reason));
    return true;
}

/* The same words for each partition, as they are told of in turn; `lane.gap` says which it is. */
static void say(struct lane *lane, struct lane_gap *state)
{
    snprintf(state->reason, sizeof state->reason, "records or offsets of the work log are gone; %s",
             feed_is_stopped(&state->feed) ? "the family is stopped until `vectail resume`"
                                           : "it waits for the source to be read again");
    int64_t until_ms = clock_mono_ms() + WAIT_MS;
    while (!lane_stopping(lane) && clock_mono_ms() < until_ms)
        clock_sleep_ms(20);
}

static bool seek(struct lane *lane, struct lane_gap *state, struct worklog_reader *reader,
                 const struct gap_view *view, int partition, struct err *err)
{
    if (!worklog_seek(reader, partition, view->start, err))
        return false;
    lane_adopt_generation(lane, view->gen);
    log_info("lane.gap.mended", LOG_STR("family", lane->family->name),
             LOG_STR("version", lane->label), LOG_INT("gen", view->gen),
             LOG_INT("partition", partition), LOG_INT("offset", view->start));
    state->reason[0] = '\0';
    return true;
}

bool lane_mend_gap(struct lane *lane, struct worklog_reader *reader, const struct worklog_gap *gap,
                   struct lane_gap **state, struct err *err)
{
    if (!*state)
        *state = calloc(1, sizeof **state);
    if (!look(lane, *state, err))
        return false;
    const struct feed_view *feed = &(*state)->feed;
    int p = gap->partition;
    struct gap_view view = {.gen = feed->gen,
                            .swept_gen = (*state)->swept_gen,
                            .seeded_gen = (*state)->seeded_gen,
                            .start = -1};
    if (feed->has_positions && feed->start_offsets && p < feed->partitions) {
        view.start = feed->start_offsets[p];
        view.position = feed->positions[p];
    }
    if (gap_is_mendable(&view))
        return seek(lane, *state, reader, &view, p, err);
    char reason[160];
    view.position.committed = gap->offset;
    gap_describe(p, &view.position, reason, sizeof reason);
    if (!ask(lane, *state, reason, err))
        return false;
    say(lane, *state);
    return true;
}
