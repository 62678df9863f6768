/* SPDX-License-Identifier: Apache-2.0 */
/* The versions that a new one could copy vectors from, by their ledgers. Belongs to one thread. */
#pragma once

#include "agent/plan/plan.h"
#include "state/ledger.h"

struct donors {
    struct ledger **ledgers;
    size_t count;
    char unknown[512]; /* why it could not be found out which there are; "": it could */
};

/* Those whose vectors a version of this embedder, as the file has it now, may copy. */
bool donors_open(const struct plan_options *options, struct donors *out, struct err *err) MUST_USE;
void donors_close(struct donors *donors);
/* found[i]: some of them has the vector of fps[i]. */
bool donors_find(struct donors *donors, const struct sha256 *fps, size_t count, bool *found,
                 struct err *err) MUST_USE;
