/* SPDX-License-Identifier: Apache-2.0 */
/* The servers of a configuration as this process finds them itself, whether an agent runs or not. One
 * thread; it has others that ask, for as long as it is open. */
#pragma once

#include <cjson/cJSON.h>

#include "agent/agent.h"
#include "agent/status/probe.h"
#include "base/buf.h"

struct server_watch {
    struct agent agent; /* what the probes take of one */
    struct probes *probes;
};

void server_watch_open(struct server_watch *watch, const struct config *config);
void server_watch_close(struct server_watch *watch);
/* As of the last answer of each, after the first: [{server, address, up, reason, ...}]. */
cJSON *server_watch_json(struct server_watch *watch) MUST_USE;
/* A line for each that does not answer, behind `before`; those that nothing needs are told as such. */
void server_watch_write(const cJSON *servers, const char *before, struct buf *out);
