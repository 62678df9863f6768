/* SPDX-License-Identifier: Apache-2.0 */
/* With the work log memory one process feeds a source database and others stand by: this thread
 * takes and keeps that lease. (With kafka it is the capture's.) */
#pragma once

#include <stdbool.h>

#include "agent/agent.h"

struct guard;

struct guard *guard_start(struct agent *agent, const char *database);
bool guard_is_leader(struct guard *guard); /* any thread */
void guard_join(struct guard *guard);      /* once the agent is stopping; frees */
