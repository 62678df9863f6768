/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of what `status` shows people: which version readers are led to, what is under way, what was
 * asked for. From the JSON of `status -o json`. */
#pragma once

#include <cjson/cJSON.h>
#include <stddef.h>

#include "agent/cli/cmd.h"

/* "backfilling (paused)", "previous (71h59m left)", "active (adopted)". Steady: without what changes every
 * second. */
void status_state_text(const cJSON *version, bool steady, char *out, size_t size);
/* One line per family that has an alias document. */
void status_write_aliases(const cJSON *status, const struct cmd_screen *screen, struct buf *out);
/* Which versions of those that may be served are not written by vectail. */
void status_write_adopted(const cJSON *status, struct buf *out);
/* Steps and wishes; nothing where there are none. */
void status_write_steps(const cJSON *status, bool steady, struct buf *out);
