/* SPDX-License-Identifier: Apache-2.0 */
/* What changed between two answers of GET /v1/status, as events. */
#pragma once

#include <cjson/cJSON.h>

/* `name` is a literal; `data` is borrowed. */
typedef void events_found(void *context, const char *name, const cJSON *data);

/* Calls `found` for each family, alias and version that is new, gone or in another state. */
void events_diff(const cJSON *before, const cJSON *after, events_found *found, void *context);
