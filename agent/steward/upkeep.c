/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/steward/upkeep.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#define LOOK_MS 2000
/* While documents are missing that are read again one by one. */
#define MERGE_LOOK_MS 200

bool upkeep_round_begin(struct upkeep_round *round, int64_t pause_ms, struct ledger_aged_page *page)
{
    int64_t now_ms = clock_mono_ms();
    if (!round->open && round->began_ms > 0 && now_ms - round->began_ms < pause_ms)
        return false;
    if (!round->open)
        round->began_ms = now_ms;
    round->open = true;
    page->after_ms = round->after_ms;
    page->after_key = round->after_key ? round->after_key : "";
    return true;
}

void upkeep_round_end_page(struct upkeep_round *round, const struct ledger_aged_page *page,
                           bool done)
{
    free(round->after_key);
    round->after_key = NULL;
    round->after_ms = 0;
    round->open = !done && page->count == page->limit;
    if (!round->open)
        return;
    round->after_ms = page->rows[page->count - 1].at_ms;
    round->after_key = strdup(page->rows[page->count - 1].key);
}

static struct upkeep *upkeep_of(struct steward *steward, const char *build_id)
{
    struct upkeep *upkeep = steward->upkeeps;
    while (upkeep && strcmp(upkeep->build_id, build_id) != 0)
        upkeep = upkeep->next;
    if (upkeep)
        return upkeep;
    upkeep = calloc(1, sizeof *upkeep);
    snprintf(upkeep->build_id, sizeof upkeep->build_id, "%s", build_id);
    upkeep->next = steward->upkeeps;
    steward->upkeeps = upkeep;
    return upkeep;
}

void upkeeps_free(struct steward *steward)
{
    while (steward->upkeeps) {
        struct upkeep *upkeep = steward->upkeeps;
        steward->upkeeps = upkeep->next;
        repairs_free(upkeep->repairs);
        compare_free(upkeep->compare);
        merge_free(upkeep->merge);
        ledger_close(upkeep->ledger);
        free(upkeep->retry.after_key);
        free(upkeep->expiry.after_key);
        free(upkeep);
    }
}

/* A paused lane reads nothing; of a source that is gone nothing can be read. */
static bool can_be_read(const struct version *version, const struct feed_view *view)
{
    return view->t0 && view->has_positions && !version->paused &&
           (view->state == FAMILY_STREAMING || view->state == FAMILY_SNAPSHOT);
}

bool upkeep_step(struct steward *steward, struct version *version, const struct feed_view *view,
                 struct err *err)
{
    struct upkeep *upkeep = upkeep_of(steward, version->build_id);
    int64_t now_ms = clock_mono_ms();
    int64_t look_ms = view->unmerged ? MERGE_LOOK_MS : LOOK_MS;
    if (!view->known || (upkeep->looked_ms > 0 && now_ms - upkeep->looked_ms < look_ms))
        return true;
    upkeep->looked_ms = now_ms;
    if (!upkeep->ledger && !steward_open_ledger(steward, version, &upkeep->ledger, err))
        return false;
    bool ok = !can_be_read(version, view) || (repairs_retry(steward, version, upkeep, err) &&
                                              repairs_append(steward, version, upkeep, view, err));
    ok = ok && expiry_step(steward, version, upkeep, view, err) &&
         (!can_be_read(version, view) || (compare_step(steward, version, upkeep, view, err) &&
                                          merge_step(steward, version, upkeep, view, err)));
    return ok || err_prefix(err, "ledger of version %s", version->label);
}
