/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/feed.h"
#include "agent/gaps.h"
#include "agent/worker.h"
#include "base/clock.h"
#include "base/log.h"
#include "state/registry.h"

/* How often checkpoint, registry and work log are asked while a partition stands. */
#define LOOK_MS 1000
/* A reader in memory does not wait by itself. */
#define WAIT_MS 100

void worker_forget_gap(struct worker *worker)
{
    if (worker->feed)
        feed_view_fini(worker->feed);
    free(worker->feed);
    worker->feed = NULL;
    worker->gap[0] = '\0';
}

static bool load_swept(struct worker *worker, struct err *err)
{
    const struct lane *lane = worker->lane;
    struct registry registry;
    if (!registry_load(lane->agent->docs, lane->agent->config->name, lane->family->name, &registry,
                       err))
        return false;
    worker->swept_gen = worker->seeded_gen = 0;
    for (size_t i = 0; i < registry.version_count; i++) {
        if (strcmp(registry.versions[i].build_id, lane->build_id) != 0)
            continue;
        worker->swept_gen = registry.versions[i].swept_gen;
        worker->seeded_gen = registry.versions[i].seeded_gen;
    }
    registry_fini(&registry);
    return true;
}

static bool look(struct worker *worker, struct err *err)
{
    const struct lane *lane = worker->lane;
    if (worker->feed && clock_mono_ms() - worker->feed_ms < LOOK_MS)
        return true;
    if (!worker->feed)
        worker->feed = calloc(1, sizeof *worker->feed);
    feed_view_fini(worker->feed);
    worker->feed->has_positions = false;
    /* the registry first: what is swept by then must be seen with the generation it belongs to */
    struct feed_place place = feed_place_of(lane->agent, lane->family, lane->build_id);
    if (!load_swept(worker, err) || !feed_view_load(&place, worker->feed, err))
        return false;
    struct feed_view *feed = worker->feed;
    if (feed->partitions > 0 && !worklog_positions(lane->agent->log, lane->topic, lane->group,
                                                   feed->positions, feed->partitions, err))
        return false;
    feed->has_positions = feed->partitions > 0;
    worker->feed_ms = clock_mono_ms();
    return true;
}

static bool ask(struct worker *worker, const char *reason, struct err *err)
{
    const struct lane *lane = worker->lane;
    int64_t gen = worker->feed->gen;
    if (!worker->feed->known || worker->asked_gen == gen)
        return true;
    struct gap_wish wish = {
        .family = lane->family->name, .label = lane->label, .gen = gen, .reason = reason};
    if (!gap_wish_for(lane->agent, &wish, err))
        return false;
    worker->asked_gen = gen;
    log_warn("lane.gap", LOG_STR("family", lane->family->name), LOG_STR("version", lane->label),
             LOG_INT("gen", gen), LOG_STR("reason", reason));
    return true;
}

static bool seek(struct worker *worker, int partition, int64_t start, struct err *err)
{
    struct lane *lane = worker->lane;
    if (!worklog_seek(worker->reader, partition, start, err))
        return false;
    lane_adopt_generation(lane, worker->feed->gen);
    log_info("lane.gap.mended", LOG_STR("family", lane->family->name),
             LOG_STR("version", lane->label), LOG_INT("gen", worker->feed->gen),
             LOG_INT("partition", partition), LOG_INT("offset", start));
    worker->gap[0] = '\0';
    return true;
}

/* The same words for each partition, as all the lane's workers may say them in turn; `lane.gap` says
 * which it is. */
static void say(struct worker *worker)
{
    snprintf(worker->gap, sizeof worker->gap, "records or offsets of the work log are gone; %s",
             feed_is_stopped(worker->feed) ? "the family is stopped until `vectail resume`"
                                           : "it waits for the source to be read again");
    worker_say(worker, worker->gap);
    int64_t until_ms = clock_mono_ms() + WAIT_MS;
    while (!lane_stopping(worker->lane) && clock_mono_ms() < until_ms)
        clock_sleep_ms(20);
}

bool worker_mend_gap(struct worker *worker, const struct worklog_gap *gap, struct err *err)
{
    if (!look(worker, err))
        return false;
    const struct feed_view *feed = worker->feed;
    int p = gap->partition;
    struct gap_view view = {.gen = feed->gen,
                            .swept_gen = worker->swept_gen,
                            .seeded_gen = worker->seeded_gen,
                            .start = -1};
    if (feed->has_positions && feed->start_offsets && p < feed->partitions) {
        view.start = feed->start_offsets[p];
        view.position = feed->positions[p];
    }
    if (gap_is_mendable(&view))
        return seek(worker, p, view.start, err);
    char reason[160];
    view.position.committed = gap->offset;
    gap_describe(p, &view.position, reason, sizeof reason);
    if (!ask(worker, reason, err))
        return false;
    say(worker);
    return true;
}
