/* SPDX-License-Identifier: Apache-2.0 */
/* The sweep of missed deletes: when a lane has applied a new generation's snapshot, what its ledger
 * still has of an older one is no longer in the source, or was missed. Those documents are appended
 * to the work log once more, to be read again: whoever owns the key erases or mends it through the
 * usual way. Nothing of it is written anywhere else, so it may be begun again at any time.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "state/ledger.h"
#include "state/registry.h"

enum sweep_state {
    SWEEP_NONE,    /* none is due */
    SWEEP_WAITING, /* the generation is not applied yet */
    SWEEP_RUNNING,
    SWEEP_STOPPED, /* it would erase more than the file allows: a person is asked */
    SWEEP_DONE,
};
const char *sweep_state_name(enum sweep_state state);

/* Whoever reads for the version has begun to in this generation: no record of an older one is applied any
 * more, however late it lands. memory: nobody else appends to that log, so none does. */
bool sweep_is_fenced(const struct version *version, int64_t gen, bool memory);
/* How many documents may be erased without asking. */
int64_t sweep_limit(const struct ledger_behind *counts, double max_ratio);
/* Begins what stands as a version's reason while its sweep is stopped. */
#define SWEEP_REASON "a sweep would erase "
/* It is why a sweep, or a comparison, waits for a person. */
bool sweep_is_reason(const char *reason); /* NULL is not */
/* There is nothing to write down: it says so already, or who has the alias, which is told first. */
bool sweep_is_told(const struct version *version, const char *reason);
/* "a sweep would erase 5000 of 8000 documents ..." */
void sweep_explain(const struct ledger_behind *counts, double max_ratio, const char *family,
                   struct buf *out);
