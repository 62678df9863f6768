/* SPDX-License-Identifier: Apache-2.0 */
/* What the leader sees to in a version's ledger, besides its feed: marks of repair, what was set aside,
 * tombstones, and the comparison with the source. What is remembered here may be lost at any time. The
 * steward's own thread only. */
#pragma once

#include "agent/steward/steward_state.h"

/* A walk over aged rows, a page with each step; then a pause. */
struct upkeep_round {
    bool open;
    int64_t began_ms; /* monotonic; 0: never */
    int64_t after_ms;
    char *after_key;
};

struct upkeep {
    struct upkeep *next;
    char build_id[64];
    struct ledger *ledger;
    int64_t looked_ms; /* monotonic */
    struct repairs *repairs;
    struct compare *compare;
    struct merge *merge;
    struct upkeep_round retry;
    struct upkeep_round expiry;
};

/* False while the pause lasts. Then the page is to be read where the round has come to. */
bool upkeep_round_begin(struct upkeep_round *round, int64_t pause_ms,
                        struct ledger_aged_page *page);
/* After a page: it goes on behind it, or ends. */
void upkeep_round_end_page(struct upkeep_round *round, const struct ledger_aged_page *page,
                           bool done);

/* --- repairs.c --- */

/* Appends what is marked to the work log, to be read again. */
bool repairs_append(struct steward *steward, const struct version *version, struct upkeep *upkeep,
                    const struct feed_view *view, struct err *err) MUST_USE;
/* Marks what was set aside long enough ago. */
bool repairs_retry(struct steward *steward, const struct version *version, struct upkeep *upkeep,
                   struct err *err) MUST_USE;
/* Marks that were seen at the last look, REPAIRS_MOST at most. */
#define REPAIRS_MOST 1000
size_t repairs_waiting(const struct repairs *repairs);
void repairs_free(struct repairs *repairs);

/* --- expiry.c --- */

/* Removes tombstones that nothing can come before any more. */
bool expiry_step(struct steward *steward, const struct version *version, struct upkeep *upkeep,
                 const struct feed_view *view, struct err *err) MUST_USE;

/* --- compare.c --- */

/* One step of a comparison with the source, if there is a wish for one. */
bool compare_step(struct steward *steward, struct version *version, struct upkeep *upkeep,
                  const struct feed_view *view, struct err *err) MUST_USE;
void compare_free(struct compare *compare);

/* --- merge.c --- */

/* A version whose group began in the middle of its generation: one step of looking for documents that it
 * misses. `busy` while there is more to do soon. */
bool merge_step(struct steward *steward, struct version *version, struct upkeep *upkeep,
                const struct feed_view *view, struct err *err) MUST_USE;
void merge_free(struct merge *merge);
