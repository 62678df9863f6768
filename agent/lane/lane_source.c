/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/lane/lane.h"
#include "agent/steward/feed.h"
#include "cdc/scan.h"

static struct scan_options options_of(const struct lane *lane)
{
    return (struct scan_options){.pool = lane->agent->pool,
                                 .database = lane->family->config->source.database,
                                 .collection = lane->family->config->source.collection};
}

static bool mongo_fetch(const struct lane *lane, const struct lane_ask *ask, struct err *err)
{
    struct scan_options options = options_of(lane);
    CLEANUP(scan_closep) struct scan *scan = NULL;
    options.projection = shape_projection(lane->family->shape);
    /* a member that lags behind would answer with what the event has changed */
    if (!scan_cluster_time(options.pool, options.database, &options.since, err) ||
        !scan_open_ids(&options, ask->ids, ask->count, &scan, err))
        return false;
    while (true) {
        const bson_t *doc;
        if (!scan_next(scan, &doc, err))
            return false;
        if (!doc)
            return true;
        ask->found(ask->context, doc);
    }
}

static bool mongo_exists(const struct lane *lane, bool *out, struct err *err)
{
    struct scan_options options = options_of(lane);
    return scan_exists(&options, out, err);
}

static bool mongo_generation(const struct lane *lane, int64_t *out, struct err *err)
{
    CLEANUP(feed_view_fini) struct feed_view view = {0};
    struct feed_place place = feed_place_of(lane->agent, lane->family, lane->build_id);
    if (!feed_view_load(&place, &view, err) || !feed_is_of(&view, lane->family, err))
        return false;
    *out = view.known ? view.gen : 0;
    return true;
}

const struct lane_source lane_source_mongo = {
    .fetch = mongo_fetch, .exists = mongo_exists, .generation = mongo_generation};
