/* SPDX-License-Identifier: Apache-2.0 */
/* The role `serve`: health, metrics and the JSON API over HTTP.
 *
 * A few threads of its own, however many clients there are; /healthz and /readyz never wait for a
 * server, so that a process is not killed for what another one does.
 */
#pragma once

#include "agent/agent.h"

struct serve;

/* Listens on serve.listen of the configuration. The agent is borrowed and outlives it. NULL and *err
 * (FATAL, OS or CONFIG) when the address is taken or the token file cannot be read. */
struct serve *serve_start(struct agent *agent, struct err *err) MUST_USE;
/* Lets requests in progress end, for less than a second. False: one of them waits for a server that
 * does not answer, and goes on using the agent, so that it cannot be closed: the process is about to
 * end. NULL is fine. */
bool serve_stop(struct serve *serve) MUST_USE;
/* The port that it listens on: what the system chose where the configuration says 0. */
int serve_port(const struct serve *serve);
