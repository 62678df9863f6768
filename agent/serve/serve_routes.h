/* SPDX-License-Identifier: Apache-2.0 */
/* Which call gets which answer; no sockets here. Any thread. */
#pragma once

#include <stdbool.h>

#include "agent/agent.h"
#include "base/buf.h"

#define SERVE_BODY_MAX MIB
/* Of what is answered. */
#define SERVE_REPLY_MAX (16 * MIB)

struct serve_request {
    struct agent *agent;
    const char *method;
    const char *path;          /* unescaped, without the query */
    const char *authorization; /* the header; NULL: none */
    const char *token;         /* that /v1 needs; NULL: none */
    bool too_large;            /* the body is */
};

struct serve_reply {
    int status;
    const char *content_type;
    char allow[64]; /* with 405 */
    struct buf body;
};

/* Fills *reply; the caller releases its body with buf_fini(). */
void serve_route(const struct serve_request *request, struct serve_reply *reply);
/* An RFC 9457 problem document. */
void serve_problem(struct serve_reply *reply, int status, const char *detail);
