/* SPDX-License-Identifier: Apache-2.0 */
/* How the version's lane stands, by what its leader notes: nothing is asked of the work log. */
#include <stdlib.h>

#include "agent/capture/capture.h"
#include "agent/stats.h"
#include "agent/verify/audit_state.h"
#include "base/clock.h"
#include "state/checkpoint.h"

#define LOOK_MS 500

/* Where nobody leads, nobody feeds. */
static bool load_lead(struct audit *audit, const char *id, bool *leads, struct err *err)
{
    struct checkpoint checkpoint = {0};
    struct lease_info info = {0};
    bool found = false;
    bool ok = checkpoint_load(audit->options->docs, id, &found, &checkpoint, &info, err);
    *leads = ok && found && info.holder && info.valid;
    checkpoint_fini(&checkpoint);
    lease_info_fini(&info);
    return ok;
}

static bool load_lag(struct audit *audit, const char *id, struct err *err)
{
    const struct audit_options *options = audit->options;
    struct audit_lane *lane = &audit->lane;
    struct version_stats stats;
    struct capture_stats capture;
    bool found = false;
    if (!stats_load_capture(options->docs, id, &capture, err) ||
        !stats_load(options->docs, options->config->name, options->version->build_id, &found,
                    &stats, err))
        return false;
    bool known = found && stats.lag_ms >= 0 && capture.lag_ms >= 0;
    lane->lag_ms = known ? stats.lag_ms + capture.lag_ms : -1;
    lane->at_ms = found ? stats.at_ms : 0;
    lane->is_fed = found && clock_wall_ms() - stats.at_ms < STATS_FRESH_MS;
    stats_fini(&stats);
    return true;
}

bool audit_lane_look(struct audit *audit, struct err *err)
{
    const struct audit_options *options = audit->options;
    struct audit_lane *lane = &audit->lane;
    int64_t now_ms = clock_mono_ms();
    bool memory = options->config->worklog.driver == WORKLOG_MEMORY;
    bool leads = false;
    if (lane->read_ms > 0 && now_ms - lane->read_ms < LOOK_MS)
        return true;
    char *id = capture_id(options->config, options->family->source.database,
                          memory ? options->version->build_id : NULL);
    bool ok = load_lag(audit, id, err) && load_lead(audit, id, &leads, err);
    free(id);
    if (!ok)
        return false;
    lane->is_fed = lane->is_fed && leads && !options->version->paused;
    lane->read_ms = now_ms;
    return true;
}
