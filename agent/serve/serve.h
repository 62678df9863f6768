/* SPDX-License-Identifier: Apache-2.0 */
/* The role `serve`: health, metrics and the JSON API over HTTP.
 *
 * Threads of its own, one per connection; /healthz and /readyz never wait for a server, so that a
 * process is not killed for what another one does.
 */
#pragma once

#include "agent/agent.h"

struct serve;

/* Listens on serve.listen of the configuration. The agent is borrowed and outlives it. NULL and *err
 * (FATAL, OS or CONFIG) when the address is taken or the token file cannot be read. */
struct serve *serve_start(struct agent *agent, struct err *err) MUST_USE;
/* Lets requests in progress end; NULL is fine. */
void serve_stop(struct serve *serve);
/* The port that it listens on: what the system chose where the configuration says 0. */
int serve_port(const struct serve *serve);
