/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP engine: connections, and the requests on them from their first byte to their last.
 *
 * One thread (libmicrohttpd's, with epoll) reads and writes all sockets. Requests that may wait for
 * a server are handed to a few handlers while their connection is suspended; those whose answer is
 * not there yet are parked and cost no thread. A clock thread cuts what is too slow.
 */
#pragma once

#include <stdbool.h>

#include "agent/agent.h"
#include "base/err.h"

struct calls;
struct tls;
struct token;

struct calls_options {
    struct agent *agent; /* borrowed */
    int socket;          /* that listens; taken when calls_start() succeeds */
    struct token *token; /* borrowed; NULL: none is needed */
    struct tls *tls;     /* borrowed; NULL: plain HTTP */
};

struct calls *calls_start(const struct calls_options *options, struct err *err) MUST_USE;
/* Ends within a second. False: a handler waits for some server and cannot be stopped, so that nothing
 * that it may use can be freed: the process is about to end. */
bool calls_stop(struct calls *calls) MUST_USE;
