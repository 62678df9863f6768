/* SPDX-License-Identifier: Apache-2.0 */
/* Which call gets which answer; no sockets here. Any thread. */
#pragma once

#include <stdbool.h>

#include "agent/agent.h"
#include "base/buf.h"

#define SERVE_BODY_MAX MIB
/* Of what is answered. */
#define SERVE_REPLY_MAX (16 * MIB)

#define SERVE_ARGUMENTS_MAX 16

struct serve_argument {
    const char *name, *value; /* unescaped; "" for one without a value */
};

struct serve_request {
    struct agent *agent;
    const char *method;
    const char *path;          /* unescaped, without the query */
    const char *authorization; /* the header; NULL: none */
    const char *token;         /* that /v1 needs; NULL: none */
    const char *content_type;  /* the header; NULL: none */
    const char *body;          /* ends with a zero behind body_size bytes; NULL: none */
    size_t body_size;
    bool too_large;                                       /* the body is */
    struct serve_argument arguments[SERVE_ARGUMENTS_MAX]; /* of the URL's query */
    size_t argument_count;
};

struct serve_reply {
    int status;
    const char *content_type;
    char allow[64]; /* with 405 */
    struct buf body;
};

/* Of the URL's query; NULL: it is not there. */
const char *serve_argument(const struct serve_request *request, const char *name);
/* Fills *reply; the caller releases its body with buf_fini(). */
void serve_route(const struct serve_request *request, struct serve_reply *reply);
/* An RFC 9457 problem document. */
void serve_problem(struct serve_reply *reply, int status, const char *detail);
