/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/steward/steward_state.h"
#include "base/clock.h"
#include "base/log.h"

struct steward_note *steward_note_of(struct steward *steward, const char *build_id)
{
    for (size_t i = 0; i < steward->note_count; i++) {
        if (strcmp(steward->notes[i].build_id, build_id) == 0)
            return &steward->notes[i];
    }
    steward->notes = realloc(steward->notes, (steward->note_count + 1) * sizeof *steward->notes);
    struct steward_note *note = &steward->notes[steward->note_count++];
    *note = (struct steward_note){0};
    snprintf(note->build_id, sizeof note->build_id, "%s", build_id);
    return note;
}

void steward_say(struct steward *steward, const char *build_id, const char *reason)
{
    struct steward_note *note = steward_note_of(steward, build_id);
    int64_t now_ms = clock_mono_ms();
    bool same = reason && note->reason && strcmp(reason, note->reason) == 0;
    if (reason ? same && now_ms - note->said_ms < STATS_SAY_MS : !note->reason)
        return;
    const struct agent *agent = steward->agent;
    struct err err;
    if (!stats_say(agent->docs, agent->config->name, build_id, agent->holder, reason, &err)) {
        log_debug("stats.failed", LOG_ERR(&err)); /* said again with the next look */
        return;
    }
    char *kept = reason ? strdup(reason) : NULL;
    free(note->reason);
    note->reason = kept;
    note->said_ms = now_ms;
}

void steward_forget_notes(struct steward *steward)
{
    for (size_t i = 0; i < steward->note_count; i++) {
        steward_say(steward, steward->notes[i].build_id, NULL);
        free(steward->notes[i].reason);
        ledger_tally_fini(&steward->notes[i].tally);
    }
    free(steward->notes);
    steward->notes = NULL;
    steward->note_count = 0;
}

/* By its own lane, or by what others have written down where the records are theirs. */
static int64_t applied_ms_of(struct steward *steward, const char *build_id)
{
    struct lane *lane = steward_lane(steward, build_id);
    if (lane)
        return atomic_load(&lane->stats.applied_ms);
    struct version_stats stats;
    struct err err;
    bool found;
    if (!stats_load(steward->agent->docs, steward->agent->config->name, build_id, &found, &stats,
                    &err))
        return 0;
    stats_fini(&stats);
    return stats.applied_ms;
}

int64_t steward_lag_ms(struct steward *steward, const char *build_id, const struct feed_view *view)
{
    struct steward_note *note = steward_note_of(steward, build_id);
    int64_t now_ms = steward_now_ms(steward); /* as records are dated */
    if (view->lag_items <= 0) {
        note->lagging_since_ms = 0;
        return view->lag_items == 0 ? 0 : -1;
    }
    if (note->lagging_since_ms == 0)
        note->lagging_since_ms = now_ms;
    int64_t waiting_ms = now_ms - note->lagging_since_ms;
    int64_t applied_ms = applied_ms_of(steward, build_id);
    int64_t behind_ms = applied_ms > 0 ? now_ms - applied_ms : waiting_ms;
    return behind_ms < waiting_ms ? behind_ms : waiting_ms;
}
