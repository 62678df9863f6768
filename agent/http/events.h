/* SPDX-License-Identifier: Apache-2.0 */
/* Server-sent events: who listens to GET /v1/events, and what they are sent.
 *
 * One look at the status a second for all listeners, and none while nobody listens. Every message is
 * made once and shared; a listener holds the one it is being sent and no other, and goes on with the
 * newest. Any thread, where nothing else is said.
 */
#pragma once

#include <microhttpd.h>
#include <stdbool.h>
#include <stdint.h>

#include "agent/agent.h"

struct events;

struct events *events_start(struct agent *agent); /* borrowed */
/* A response that goes on for ever, for the connection of one listener; NULL: out of memory.
 * `last_id` is what the client says it saw last; NULL: nothing. libmicrohttpd's thread. */
struct MHD_Response *events_listen(struct events *events, struct MHD_Connection *connection,
                                   const char *last_id);
/* Heartbeats, health and listeners that have gone. Never blocks. */
void events_tick(struct events *events, int64_t now_ms);
/* Ends all responses, also those that begin later. */
void events_stop(struct events *events);
/* Waits `ms` for the thread after a stop. False: it waits for MongoDB, so nothing may be freed. */
bool events_join(struct events *events, int64_t ms) MUST_USE;
void events_free(struct events *events); /* after that and the last response; NULL is fine */
