/* SPDX-License-Identifier: Apache-2.0 */
/* Takes a lease and keeps it: a thread of its own renews it, so that a long call in the thread that
 * leads does not lose it.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include "state/checkpoint.h"

#define LEASE_TTL_MS 10000

struct leader;

/* Tries once. *out is NULL when another holds the lease. */
bool leader_try(struct docstore *docs, const char *id, const char *holder, struct leader **out,
                struct checkpoint *checkpoint, struct err *err) MUST_USE;
/* The lease, for lease_save(). */
struct lease *leader_lease(const struct leader *leader);
/* Any thread. */
bool leader_is_held(const struct leader *leader);
/* Stops renewing; gives the lease back when it is still held. */
void leader_free(struct leader *leader);
