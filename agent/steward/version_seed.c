/* SPDX-License-Identifier: Apache-2.0 */
/* Where the lanes of a version begin to read. */
#include <stdlib.h>

#include "agent/steward/steward_state.h"
#include "base/log.h"

/* With a new generation the group begins anew at its first record, once its members have left: what
 * lies before is dropped anyway, and whatever became of topic and offsets, no record of it is missed. */
bool version_leave_generation(struct steward *steward, struct version *version, struct err *err)
{
    CLEANUP(feed_view_fini) struct feed_view view = {0};
    if (steward->agent->config->worklog.driver == WORKLOG_MEMORY)
        return true;
    struct feed_place place = feed_place_of(steward->agent, steward->family, version->build_id);
    if (!feed_view_load(&place, &view, err))
        return false;
    if (!view.known || view.gen <= version->seeded_gen)
        return true;
    version->seeded = false;
    return version_save(steward, err);
}

/* Where the lane's group begins to read: at the generation's first record. */
bool version_seed(struct steward *steward, struct version *version, struct err *err)
{
    CLEANUP(feed_view_fini) struct feed_view view = {0};
    if (steward->agent->config->worklog.driver == WORKLOG_MEMORY) {
        version->seeded = true; /* the lane's own log begins with the process */
        return version_save(steward, err);
    }
    if (!steward_view(steward, version, &view, err))
        return false;
    if (!view.known || view.gen == 0)
        return true; /* the capture has not begun yet */
    struct err refused;
    char *group = lane_group(steward->agent->config, steward->family->name, version);
    bool ok = worklog_seed(steward->agent->log, steward->family->topic, group, view.start_offsets,
                           view.partitions, &refused);
    free(group);
    if (!ok && refused.action == ERR_RETRY && version->seeded_gen > 0) {
        log_debug("version.seed.waiting", LOG_ERR(&refused)); /* mostly for members to leave */
        return true;
    }
    if (!ok) {
        *err = refused;
        return false;
    }
    if (version->seeded_gen == 0)
        version->swept_gen = view.gen; /* it has nothing of an older one */
    version->seeded = true;
    version->seeded_gen = view.gen;
    return version_save(steward, err);
}
