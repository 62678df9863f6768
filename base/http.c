/* SPDX-License-Identifier: Apache-2.0 */
/* The client and its loop; http_call.c makes one request and reads one reply. */
#include "base/http.h"

#include <assert.h>
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/http_call.h"

#define DEFAULT_IN_FLIGHT ((size_t)8)
#define DEFAULT_CONNECT_TIMEOUT_MS 5000
#define DEFAULT_USER_AGENT "vectail/" VECTAIL_VERSION
/* How long one wait lasts when nothing happens; an interruption wakes it earlier. */
#define POLL_MS 1000

struct http {
    CURLM *multi;
    struct http_slot *slots;
    size_t slot_count;
    struct http_shared shared;
};

bool http_global_init(struct err *err)
{
    CURLcode code = curl_global_init(CURL_GLOBAL_DEFAULT);
    if (code != CURLE_OK)
        return err_set(err, ERR_FATAL, ERR_CURL, code, "libcurl: %s", curl_easy_strerror(code));
    return true;
}

static char *copy(const char *text)
{
    char *duplicate = text ? strdup(text) : NULL;
    if (text && !duplicate)
        abort();
    return duplicate;
}

static bool open_slots(struct http *http)
{
    http->multi = curl_multi_init();
    if (!http->multi)
        return false;
    for (size_t i = 0; i < http->slot_count; i++) {
        http->slots[i].shared = &http->shared;
        http->slots[i].easy = curl_easy_init();
        if (!http->slots[i].easy)
            return false;
    }
    /* Every slot may have to keep its connection, or each batch would open some anew. */
    return curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS, (long)http->slot_count) == CURLM_OK;
}

bool http_new(const struct http_options *options, struct http **out, struct err *err)
{
    static const struct http_options defaults;
    if (!options)
        options = &defaults;
    if (options->ca_file && access(options->ca_file, R_OK) != 0)
        return err_set(err, ERR_FATAL, ERR_CONFIG, 0, "cannot read the CA file %s",
                       options->ca_file);
    CLEANUP(http_freep) struct http *http = calloc(1, sizeof *http);
    if (!http)
        abort();
    http->shared.connect_timeout_ms =
        options->connect_timeout_ms ? options->connect_timeout_ms : DEFAULT_CONNECT_TIMEOUT_MS;
    http->shared.ca_file = copy(options->ca_file);
    http->shared.user_agent = copy(options->user_agent ? options->user_agent : DEFAULT_USER_AGENT);
    http->slot_count = options->max_in_flight ? options->max_in_flight : DEFAULT_IN_FLIGHT;
    http->slots = calloc(http->slot_count, sizeof *http->slots);
    if (!http->slots)
        abort();
    if (!open_slots(http))
        return err_set(err, ERR_FATAL, ERR_CURL, CURLE_FAILED_INIT, "libcurl cannot be started");
    *out = TAKE(http);
    return true;
}

void http_free(struct http *http)
{
    if (!http)
        return;
    for (size_t i = 0; i < http->slot_count; i++) {
        assert(!http->slots[i].call);
        curl_easy_cleanup(http->slots[i].easy);
    }
    if (http->multi)
        curl_multi_cleanup(http->multi);
    free(http->slots);
    free(http->shared.ca_file);
    free(http->shared.user_agent);
    free(http);
}

void http_interrupt(struct http *http)
{
    http->shared.interrupted = true;
    curl_multi_wakeup(http->multi);
}

bool http_is_interrupted(const struct http *http)
{
    return http->shared.interrupted;
}

void http_set_guard(struct http *http, http_may_send *may_send, void *context)
{
    http->shared.may_send = may_send;
    http->shared.guard_context = context;
}

static bool start_call(struct http *http, struct http_slot *slot, struct http_call *call)
{
    if (!http_slot_start(slot, call))
        return false;
    CURLMcode code = curl_multi_add_handle(http->multi, slot->easy);
    if (code == CURLM_OK)
        return true;
    err_set(&call->err, ERR_FATAL, ERR_CURL, code, "libcurl: %s", curl_multi_strerror(code));
    http_slot_clear(slot);
    return false;
}

/* Gives waiting calls to free slots. Returns how many calls are in progress. */
static size_t fill_slots(struct http *http, struct http_call *calls, size_t count, size_t *next)
{
    size_t busy = 0;
    for (size_t i = 0; i < http->slot_count; i++) {
        struct http_slot *slot = &http->slots[i];
        while (!slot->call && *next < count)
            start_call(http, slot, &calls[(*next)++]);
        busy += slot->call != NULL;
    }
    return busy;
}

static struct http_slot *slot_of(struct http *http, const CURL *easy)
{
    for (size_t i = 0; i < http->slot_count; i++) {
        if (http->slots[i].easy == easy)
            return &http->slots[i];
    }
    abort();
}

static void collect(struct http *http)
{
    int left = 0;
    for (CURLMsg *message; (message = curl_multi_info_read(http->multi, &left));) {
        if (message->msg != CURLMSG_DONE)
            continue;
        CURLcode code = message->data.result; /* gone once the handle is removed */
        struct http_slot *slot = slot_of(http, message->easy_handle);
        curl_multi_remove_handle(http->multi, slot->easy);
        http_slot_finish(slot, code);
    }
}

/* Ends what is still in progress or was not begun. */
static void abandon(struct http *http, struct http_call *calls, size_t count, size_t next)
{
    for (size_t i = 0; i < http->slot_count; i++) {
        struct http_slot *slot = &http->slots[i];
        if (!slot->call)
            continue;
        curl_multi_remove_handle(http->multi, slot->easy);
        http_slot_finish(slot, CURLE_ABORTED_BY_CALLBACK);
    }
    for (; next < count; next++)
        err_set(&calls[next].err, ERR_CANCEL, ERR_CURL, CURLE_ABORTED_BY_CALLBACK,
                "%s: interrupted", calls[next].method);
}

static void run_loop(struct http *http, struct http_call *calls, size_t count)
{
    size_t next = 0;
    while (!http->shared.interrupted && fill_slots(http, calls, count, &next)) {
        int running = 0;
        CURLMcode code = curl_multi_perform(http->multi, &running);
        collect(http);
        if (code == CURLM_OK && running)
            code = curl_multi_poll(http->multi, NULL, 0, POLL_MS, NULL);
        /* Only memory exhaustion and misuse get here. */
        if (code != CURLM_OK)
            abort();
    }
    abandon(http, calls, count, next);
}

bool http_run(struct http *http, struct http_call *calls, size_t count, struct err *err)
{
    for (size_t i = 0; i < count; i++)
        http_call_reset(&calls[i]);
    run_loop(http, calls, count);
    for (size_t i = 0; i < count; i++) {
        if (calls[i].answered)
            continue;
        if (err)
            *err = calls[i].err;
        return false;
    }
    return true;
}

bool http_timed_out(const struct err *failed)
{
    return failed->domain == ERR_CURL && failed->code == CURLE_OPERATION_TIMEDOUT;
}
