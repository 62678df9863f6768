/* SPDX-License-Identifier: Apache-2.0 */
/* The process: starts the parts of the configured roles, listens to signals, stops in order. */
#pragma once

#include <stdbool.h>

#include "agent/config/config.h"

/* From here on SIGINT, SIGTERM and SIGHUP wait for agent_run(). Before any thread is started. */
void agent_hold_signals(void);
/* Runs the configured roles until a signal or, with `once`, until every live version is in step with
 * the source as of the start. An exit code. */
int agent_run(const struct config *config, bool once);
