/* SPDX-License-Identifier: Apache-2.0 */
/* What keeps this process from working, in words: one condition per component, any thread. Beside the
 * parts of the process these are the servers that it uses, of which it is also known that they answer.
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
/* Nothing of it is logged. */
void health_hush(struct health *health);

/* `reason` NULL: the component works. Logs only what changes. True when something changed. */
bool health_set(struct health *health, const char *component, const char *reason);
/* The same, and the process is ready in spite of the reason. */
bool health_note(struct health *health, const char *component, const char *reason);
/* The component has not begun yet: not ready, and nothing to write a log line about. */
void health_expect(struct health *health, const char *component);
/* {"ready": bool, "reasons": [{"component", "reason", "since", "blocks"}]}; the process is ready while no
 * reason blocks it. */
cJSON *health_json(struct health *health) MUST_USE;
bool health_is_ready(struct health *health);

struct health_server {
    const char *component; /* "mongodb", "store main" */
    const char *kind;      /* "mongodb", "kafka", "store", "embedder" */
    const char *address;   /* without secrets */
    bool needed;           /* while it does not answer the process is not ready */
};
/* Known by health_set() from then on; whether it answers is unknown until that is called first. */
void health_add_server(struct health *health, const struct health_server *server);
/* [{"server", "kind", "address", "needed", "up": bool or null, "since", "reason"}] in the order in which
 * they were added. */
cJSON *health_servers_json(struct health *health) MUST_USE;
/* Why the component does not work, into `out`; false: it does, or is not known. */
#define HEALTH_REASON_SIZE 640
bool health_reason(struct health *health, const char *component,
                   char out[static HEALTH_REASON_SIZE]);
