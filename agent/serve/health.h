/* SPDX-License-Identifier: Apache-2.0 */
/* What keeps this process from working, in words: one condition per component, any thread.
 *
 * A component that works has no condition. /readyz and `status` show them all.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "base/attr.h"

struct health;

struct health *health_new(void);
void health_free(struct health *health);

/* `reason` NULL: the component works. Logs only what changes. True when something changed. */
bool health_set(struct health *health, const char *component, const char *reason);
/* The component has not begun yet: not ready, and nothing to write a log line about. */
void health_expect(struct health *health, const char *component);
/* {"ready": bool, "reasons": [{"component", "reason", "since"}]} */
cJSON *health_json(struct health *health) MUST_USE;
bool health_is_ready(struct health *health);
