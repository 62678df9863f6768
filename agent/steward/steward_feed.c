/* SPDX-License-Identifier: Apache-2.0 */
/* How far a version's feed has come, from the checkpoint and the work log. */
#include <stdlib.h>
#include <string.h>

#include "agent/capture/capture.h"
#include "agent/steward/gaps.h"
#include "agent/steward/steward_state.h"
#include "base/clock.h"
#include "base/log.h"
#include "cdc/token.h"

void feed_view_fini(struct feed_view *view)
{
    free(view->t0);
    free(view->family_fp);
    free(view->start_offsets);
    free(view->end_offsets);
    view->t0 = view->family_fp = NULL;
    view->start_offsets = view->end_offsets = NULL;
}

static int64_t *copy_offsets(const int64_t *offsets, int count)
{
    if (!offsets || count <= 0)
        return NULL;
    int64_t *copy = malloc((size_t)count * sizeof *copy);
    memcpy(copy, offsets, (size_t)count * sizeof *copy);
    return copy;
}

static void read_feed(const struct checkpoint *checkpoint, const struct checkpoint_family *state,
                      struct feed_view *view)
{
    struct cluster_time time;
    view->known = true;
    view->gen = state->gen;
    view->t0 = state->t0 ? strdup(state->t0) : NULL;
    view->family_fp = state->family_fp ? strdup(state->family_fp) : NULL;
    view->state = state->state;
    view->snapshot_done = state->end_offsets != NULL;
    view->total_rows = state->total_rows;
    view->partitions = state->partitions;
    view->start_offsets = copy_offsets(state->start_offsets, state->partitions);
    view->end_offsets = copy_offsets(state->end_offsets, state->partitions);
    if (checkpoint->token && token_time(checkpoint->token, &time))
        view->token_ms = (int64_t)time.seconds * 1000;
}

bool feed_is_of(const struct feed_view *view, const struct family *family, struct err *err)
{
    if (!view->family_fp || strcmp(view->family_fp, shape_fp(family->shape)) == 0)
        return true;
    return err_set(err, ERR_RETRY, ERR_CONFIG, FEED_OF_ANOTHER,
                   "the source was read for another configuration of family %s (source, filter, "
                   "metadata or fields) than this process has%s",
                   family->name,
                   feed_is_stopped(view)
                       ? ", and the family stands: with the former file what was read is still "
                         "applied; `vectail resume` reads the source anew once it is there"
                       : "; it waits until all processes have the same");
}

bool feed_view_load(const struct feed_place *place, struct feed_view *view, struct err *err)
{
    bool memory = place->config->worklog.driver == WORKLOG_MEMORY;
    char *id =
        capture_id(place->config, place->family->source.database, memory ? place->build_id : NULL);
    struct checkpoint checkpoint = {0};
    struct lease_info info = {0};
    bool found = false;
    *view = (struct feed_view){.total_rows = -1, .lag_items = -1};
    bool ok = checkpoint_load(place->docs, id, &found, &checkpoint, &info, err);
    free(id);
    const struct checkpoint_family *state =
        ok && found ? checkpoint_find(&checkpoint, place->family->name) : NULL;
    if (state)
        read_feed(&checkpoint, state, view);
    checkpoint_fini(&checkpoint);
    lease_info_fini(&info);
    return ok;
}

static void sum_lag(struct feed_view *view)
{
    view->lag_items = 0;
    for (int p = 0; p < view->partitions; p++) {
        const struct worklog_position *position = &view->positions[p];
        if (!gap_is_none(position)) {
            view->lag_items = -1; /* what is to be read next is not known */
            return;
        }
        view->lag_items += position->high - position->committed;
    }
}

static bool read_positions(struct steward *steward, const struct version *version,
                           struct feed_view *view, struct err *err)
{
    const struct config *config = steward->agent->config;
    char *topic = lane_topic(config, steward->family, version);
    char *group = lane_group(config, steward->family->name, version);
    view->at_ms = steward_now_ms(steward);
    bool ok = worklog_positions(steward->agent->log, topic, group, view->positions,
                                view->partitions, err);
    free(topic);
    free(group);
    if (!ok)
        return false;
    view->has_positions = true;
    sum_lag(view);
    return true;
}

bool steward_view(struct steward *steward, const struct version *version, struct feed_view *view,
                  struct err *err)
{
    bool memory = steward->agent->config->worklog.driver == WORKLOG_MEMORY;
    struct feed_place place = feed_place_of(steward->agent, steward->family, version->build_id);
    if (!feed_view_load(&place, view, err))
        return false;
    view->unmerged = version->unmerged_gen > 0 && version->unmerged_gen == view->gen;
    /* with the work log memory there is a log only while the lane runs here */
    bool has_log = memory ? steward_lane(steward, version->build_id) != NULL : version->seeded;
    if (!view->known || !has_log || read_positions(steward, version, view, err))
        return true;
    gaps_mend_topic(steward, view);
    return false;
}

bool feed_is_filled(const struct steward *steward, const struct feed_view *view)
{
    if (!view->snapshot_done || view->unmerged)
        return false;
    if (steward->agent->config->worklog.driver == WORKLOG_MEMORY)
        return true; /* there a row counts as read only once it is applied */
    for (int p = 0; p < view->partitions; p++) {
        if (!view->has_positions || !gap_is_none(&view->positions[p]) ||
            view->positions[p].committed < view->end_offsets[p])
            return false;
    }
    return true;
}
