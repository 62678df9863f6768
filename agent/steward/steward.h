/* SPDX-License-Identifier: Apache-2.0 */
/* Looks after one family: brings its versions forward (in the process that leads) and runs the lanes
 * of those that are fed (in every process that works). One thread per family; it looks at the
 * registry once a second. */
#pragma once

#include <stdbool.h>

#include "agent/agent.h"

struct capture;
struct guard;
struct steward;

struct steward_options {
    struct agent *agent;
    const struct family *family;
    struct capture *capture; /* kafka: of its source database; NULL without the role */
    struct guard *guard;     /* memory */
};

struct steward *steward_start(const struct steward_options *options);
/* Every live version has applied what the source held at `since`, and the wanted one is served. */
bool steward_in_step(const struct steward *steward);
/* The last look was refused by something that only a person can change. */
bool steward_is_refused(const struct steward *steward);
/* Stops the lanes, within their own deadlines, once the agent is stopping; frees. */
void steward_join(struct steward *steward);
