/* SPDX-License-Identifier: Apache-2.0 */
/* Which generation a lane is in: what the checkpoint says, and never what a record says. A generation is
 * written down before its first record is appended, so a record above what is written down comes from a
 * history that the state database does not know of: it was restored from a backup, or lost. */
#include <inttypes.h>
#include <stdio.h>

#include "agent/lane/lane_reader.h"
#include "agent/steward/compare.h"
#include "agent/steward/gaps.h"
#include "base/clock.h"
#include "base/log.h"

#define RETRY_MS 200

/* Records of it are not applied: everything is read anew, in a generation above. */
static bool ask(struct lane *lane, int64_t highest, int64_t gen, struct err *err)
{
    char reason[200];
    snprintf(reason, sizeof reason,
             "the work log holds records of generation %" PRId64
             ", the state database knows of %" PRId64 ": it was restored or lost",
             highest, gen);
    struct gap_wish wish = {
        .family = lane->family->name, .label = lane->label, .gen = highest, .reason = reason};
    if (!gap_wish_for(lane->agent, &wish, err))
        return false;
    log_warn("lane.gap", LOG_STR("family", lane->family->name), LOG_STR("version", lane->label),
             LOG_INT("gen", gen), LOG_STR("reason", reason));
    return true;
}

bool lane_know_generation(struct lane *lane, int64_t highest, const struct absence_wait *wait)
{
    bool asked = false;
    while (true) {
        struct err err;
        int64_t gen = 0;
        bool ok = lane->source->generation(lane, &gen, &err);
        if (ok)
            lane_adopt_generation(lane, gen);
        if (ok && atomic_load(&lane->gen) >= highest)
            return true;
        if (ok && !asked)
            ok = asked = ask(lane, highest, gen, &err);
        if (ok)
            err_set(&err, ERR_RETRY, ERR_STATE, 0,
                    "the work log is ahead of the state database, which was restored or lost; it "
                    "waits for the source to be read again");
        if (!wait->waiting(wait->context, &err))
            return false;
        clock_sleep_ms(RETRY_MS);
    }
}
