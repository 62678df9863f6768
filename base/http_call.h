/* SPDX-License-Identifier: Apache-2.0 */
/* One request and its reply on one libcurl handle; private to http.c.
 *
 * A slot is re-used for call after call; it belongs to the thread of its `struct http`.
 */
#pragma once

#include <curl/curl.h>
#include <stdbool.h>

#include "base/http.h"

/* What all slots of a client have in common. */
struct http_shared {
    char *ca_file;    /* owned; may be NULL */
    char *user_agent; /* owned */
    int64_t connect_timeout_ms;
    http_may_send *may_send; /* NULL: always */
    void *guard_context;
    _Atomic bool interrupted;
};

struct http_slot {
    const struct http_shared *shared;
    CURL *easy;
    struct http_call *call; /* NULL: free */
    struct curl_slist *headers;
    bool sent; /* its bytes may have gone out: the connection stood */
    char reason[CURL_ERROR_SIZE];
};

/* Forgets the reply of an earlier run. */
void http_call_reset(struct http_call *call);
/* Prepares the handle; false: the call has failed already and the slot is free again. */
bool http_slot_start(struct http_slot *slot, struct http_call *call) MUST_USE;
/* Writes the outcome into the call and frees the slot; the handle is out of the multi handle. */
void http_slot_finish(struct http_slot *slot, CURLcode code);
void http_slot_clear(struct http_slot *slot);
