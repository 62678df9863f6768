/* SPDX-License-Identifier: Apache-2.0 */
/* Tombstones keep an older state of a deleted document from being applied after the delete. They are
 * removed once there is none that could still come:
 *
 * - the work log has forgotten the delete itself, and with it every older state of the key: its
 *   retention is over, and a margin;
 * - kafka: the lane has read and committed past the record that was applied. A record that lies behind
 *   that was appended later; a state that is older all the same comes from a leader that slept
 *   through its lease, and the age is what that is met with;
 * - a row of an older generation: the version is swept, so older items are dropped unseen;
 * - memory: the log begins anew with each process, at the durable token. What lies before the token never
 *   comes again, and what comes again behind it ends with the delete itself. So age alone is enough; the
 *   token must have passed the tombstone, which in a lane that stands it has not.
 */
#include <string.h>

#include "agent/steward/upkeep.h"
#include "base/limits.h"
#include "base/log.h"

/* Of one step. */
#define PAGE_ROWS 1000
#define LEAST_MARGIN_MS 10000
#define MOST_MARGIN_MS 3600000
/* Between two rounds. */
#define LEAST_PAUSE_MS 5000
#define MOST_PAUSE_MS 600000

static int64_t between(int64_t value, int64_t least, int64_t most)
{
    return value < least ? least : value > most ? most : value;
}

int64_t expiry_age_ms(int64_t retention_ms)
{
    return retention_ms + between(retention_ms / 10, LEAST_MARGIN_MS, MOST_MARGIN_MS);
}

/* Nothing that is older can come to this lane any more. */
bool expiry_is_passed(const struct ledger_row *row, const struct version *version,
                      const struct feed_view *view, bool memory)
{
    if (row->has_intent || row->repair)
        return false;
    if (memory)
        return view->token_ms > row->at_ms + LEAST_MARGIN_MS;
    if (row->gen < view->gen)
        return version->swept_gen >= view->gen;
    if (row->gen != view->gen || !view->has_positions || view->partitions <= 0)
        return false;
    int partition = record_partition(row->key, strlen(row->key), view->partitions);
    return view->positions[partition].committed > row->offset;
}

bool expiry_step(struct steward *steward, const struct version *version, struct upkeep *upkeep,
                 const struct feed_view *view, struct err *err)
{
    const struct config_worklog *worklog = &steward->agent->config->worklog;
    int64_t age_ms = expiry_age_ms(worklog->retention_ms);
    int64_t pause_ms = between(worklog->retention_ms / 4, LEAST_PAUSE_MS, MOST_PAUSE_MS);
    struct ledger_aged_page page = {.state = LEDGER_DELETED, .limit = PAGE_ROWS};
    if (!upkeep_round_begin(&upkeep->expiry, pause_ms, &page))
        return true;
    CLEANUP(arena_freep) struct arena *arena = arena_new(LIMIT_ARENA_SIZE);
    page.arena = arena;
    if (!ledger_scan_aged(upkeep->ledger, &page, err))
        return false;
    struct ledger_row *passed = arena_alloc_array(arena, page.count + 1, sizeof *passed);
    size_t count = 0;
    bool young = false;
    for (size_t i = 0; i < page.count && !young; i++) {
        const struct ledger_row *row = &page.rows[i];
        young = page.now_ms - row->at_ms < age_ms;
        if (!young && expiry_is_passed(row, version, view, worklog->driver == WORKLOG_MEMORY))
            passed[count++] = *row;
    }
    int64_t removed = 0;
    if (!ledger_expire(upkeep->ledger, passed, count, &removed, err))
        return false;
    upkeep_round_end_page(&upkeep->expiry, &page, young);
    if (removed > 0)
        log_info("ledger.expired", LOG_STR("family", steward->family->name),
                 LOG_STR("version", version->label), LOG_INT("tombstones", removed));
    return true;
}
