/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that wait for an alias newer than the one they know: one look for all of them, every quarter of
 * a second, and none while nobody waits. Any thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "agent/config/config.h"
#include "state/docstore.h"

struct alias_waits;
struct call;

/* Both are borrowed. */
struct alias_waits *alias_waits_start(struct docstore *docs, const struct config *config);
/* Takes a suspended call with `family`, `epoch` and `wait_ms` in its reply, and finishes it. */
void alias_waits_add(struct alias_waits *waits, struct call *call);
/* Finishes those whose time is over, and those whose clients have gone. Never blocks. */
void alias_waits_tick(struct alias_waits *waits, int64_t now_ms);
/* Finishes all, and those that are added from now on at once. */
void alias_waits_stop(struct alias_waits *waits);
/* Waits `ms` for the thread after a stop. False: it waits for MongoDB, so nothing may be freed. */
bool alias_waits_join(struct alias_waits *waits, int64_t ms) MUST_USE;
void alias_waits_free(struct alias_waits *waits); /* after that; NULL is fine */
