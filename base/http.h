/* SPDX-License-Identifier: Apache-2.0 */
/* A blocking HTTP client that runs several calls at once, over one curl_multi handle.
 *
 * One `struct http` belongs to one thread: connections are kept and re-used. Only http_interrupt()
 * may be called from another thread. Nothing is retried here: the caller decides.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct http;

struct http_options {
    const char *ca_file;        /* NULL: the system's */
    size_t max_in_flight;       /* 0: 8 */
    int64_t connect_timeout_ms; /* 0: 5000 */
    const char *user_agent;     /* NULL: "vectail/<version>" */
};

/* Once per process, before the first thread. The process ignores SIGPIPE. */
bool http_global_init(struct err *err) MUST_USE;

bool http_new(const struct http_options *options, struct http **out, struct err *err) MUST_USE;
void http_free(struct http *http);
DEFINE_FREEP(struct http, http_free)

/* Makes calls in progress, and all later ones, fail soon with ERR_CANCEL. Any thread. */
void http_interrupt(struct http *http);

/* Asked right before a request's bytes go out (libcurl's pre-request callback); false: the request
 * is not sent and its call fails with ERR_CANCEL. For a worker that may have lost its assignment
 * while it was stopped. */
typedef bool http_may_send(void *context);
void http_set_guard(struct http *http, http_may_send *may_send, void *context);

struct http_call {
    /* request: all borrowed until http_run() returns */
    const char *method; /* "GET", "POST", "PUT", "DELETE" */
    const char *url;
    const char *const *headers; /* "Name: value", NULL-terminated; NULL: none */
    const char *body;
    size_t body_size;
    int64_t timeout_ms;    /* of the whole call; 0: 30000 */
    size_t max_reply_size; /* 0: LIMIT_HTTP_REPLY_SIZE */

    /* reply: owned by the call, released by http_call_fini() */
    bool answered; /* a status line and a whole body arrived */
    int status;
    struct buf reply;
    char content_type[64];
    uint32_t retry_after_ms; /* from Retry-After (seconds or date), retry-after-ms; 0: none */
    /* when !answered. CURLE_COULDNT_CONNECT also where it took too long to connect: nothing was sent */
    struct err err;
};

/* Runs all calls, at most max_in_flight at a time, and returns when each has ended. True when every
 * call was answered (whatever the status); else the first failure is in *err. */
bool http_run(struct http *http, struct http_call *calls, size_t count, struct err *err) MUST_USE;
void http_call_fini(struct http_call *call);

/* The call took longer than it might: the failure of a call that was not answered says so. */
bool http_timed_out(const struct err *failed);

/* True when another thread called http_interrupt(). */
bool http_is_interrupted(const struct http *http);
