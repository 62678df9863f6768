/* SPDX-License-Identifier: Apache-2.0 */
/* What is refused before any call is looked at: URLs that mean two things, names of other servers,
 * and pages of other sites. No sockets here. Any thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"

struct intake_request {
    const char *method;
    const char *path; /* unescaped */
    const char *host; /* the headers; NULL: not there */
    const char *origin;
    size_t lengths;       /* how many headers Content-Length there are */
    const char *encoding; /* Transfer-Encoding */
};

struct intake {
    /* Without a token, whoever reaches the address may do all: a page of another site could, under a name
     * of its own that it lets point to this machine (DNS rebinding). */
    bool checks_host;
    const char *listen; /* host:port; its host is one of this server's names */
};

struct intake_refusal {
    int status;         /* 0: none */
    const char *detail; /* a literal */
    bool ends;          /* where the request ends is not known: the connection ends with it */
};

/* `target` is the URL as it was sent. False: *detail says what is wrong with it. */
bool intake_target(const char *target, const char **detail) MUST_USE;
struct intake_refusal intake_check(const struct intake *intake,
                                   const struct intake_request *request);
