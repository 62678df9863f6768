/* SPDX-License-Identifier: Apache-2.0 */
/* One request while it is in the engine. In the hands of one thread at a time: libmicrohttpd's, a
 * handler, or that of the list it is parked in, in this order and back. */
#pragma once

#include <microhttpd.h>
#include <stdbool.h>
#include <stdint.h>

#include "agent/api/serve_routes.h"
#include "agent/http/intake.h"
#include "base/buf.h"

struct calls;

enum call_stage {
    CALL_NEW,      /* the first line is there */
    CALL_READING,  /* its body */
    CALL_AWAY,     /* suspended: with a handler, or parked */
    CALL_ANSWERED, /* `reply` is to be sent */
};

struct call {
    struct calls *calls;
    struct MHD_Connection *connection;
    enum call_stage stage;
    struct serve_request request; /* borrows from the connection, which outlives it */
    struct serve_reply reply;
    char *token; /* as it was when the headers were there */
    struct buf body;
    size_t size;                   /* of the body that came, also beyond what is kept */
    bool drops_body;               /* the answer is known already */
    struct intake_refusal refusal; /* status 0: none */
    int socket;
    bool closes; /* the connection ends with the answer */
    bool parked; /* counted as that */
    /* in a list of parked calls */
    struct call *previous, *next;
    int64_t since_ms;
    int64_t whole_us; /* when all of the request was there */
};

/* The reply is whole: libmicrohttpd's thread sends it. The call must not be touched any more. */
void call_finish(struct call *call);
/* The same with a problem. */
void call_refuse(struct call *call, int status, const char *detail);
