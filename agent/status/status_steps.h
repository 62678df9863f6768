/* SPDX-License-Identifier: Apache-2.0 */
/* The part of the status that says what persons have asked for, and what is under way. */
#pragma once

#include "base/json.h"
#include "state/registry.h"

/* null where it is 0: it never was. */
void status_add_time(cJSON *entry, const char *name, int64_t ms);

/* `step` (null: none) and `wishes` (of persons) of a family. `registry` NULL: nothing is stored. */
void status_add_steps(cJSON *family, const struct registry *registry);
/* When the version came to be, entered its state, was verified, and how long it is kept; null where that
 * is not so. */
void status_add_times(cJSON *entry, const struct version *version);
