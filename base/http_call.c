/* SPDX-License-Identifier: Apache-2.0 */
#include "base/http_call.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/limits.h"

#define DEFAULT_TIMEOUT_MS 30000

void http_call_reset(struct http_call *call)
{
    buf_clear(&call->reply);
    call->reply.max_size = call->max_reply_size ? call->max_reply_size : LIMIT_HTTP_REPLY_SIZE;
    call->answered = false;
    call->status = 0;
    call->content_type[0] = '\0';
    call->retry_after_ms = 0;
    call->err = (struct err){0};
}

void http_call_fini(struct http_call *call)
{
    buf_fini(&call->reply);
}

/* "POST host:port/path": neither credentials nor the query, which may hold a key. */
static void describe(const struct http_call *call, char *out, size_t size)
{
    CURLU *url = curl_url();
    char *host = NULL;
    char *port = NULL;
    char *path = NULL;
    if (url && curl_url_set(url, CURLUPART_URL, call->url, 0) == CURLUE_OK &&
        curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
        curl_url_get(url, CURLUPART_PATH, &path, 0) == CURLUE_OK) {
        curl_url_get(url, CURLUPART_PORT, &port, 0);
        snprintf(out, size, "%s %s%s%s%s", call->method, host, port ? ":" : "", port ? port : "",
                 path);
    } else {
        snprintf(out, size, "%s of a malformed URL", call->method);
    }
    curl_free(host);
    curl_free(port);
    curl_free(path);
    curl_url_cleanup(url);
}

/* libcurl says "unsupported protocol" of a scheme it may not use, and also of a peer whose reply is
 * not HTTP/1. And it says "timed out" of a connection that did not come about, too, and of a TLS
 * handshake that did not end, or was cut: what the request asks for cannot have been done then. */
static CURLcode disambiguate(const struct http_slot *slot, CURLcode code)
{
    long port = 0;
    switch (code) {
    case CURLE_UNSUPPORTED_PROTOCOL:
        if (curl_easy_getinfo(slot->easy, CURLINFO_LOCAL_PORT, &port) == CURLE_OK && port)
            return CURLE_WEIRD_SERVER_REPLY;
        return code;
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
        return slot->sent ? code : CURLE_COULDNT_CONNECT;
    default:
        return code;
    }
}

/* What a person or the configuration must change; everything else is the network's weather. */
static bool is_permanent(CURLcode code)
{
    switch (code) {
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
    case CURLE_FAILED_INIT:
    case CURLE_NOT_BUILT_IN:
    case CURLE_BAD_FUNCTION_ARGUMENT:
    case CURLE_UNKNOWN_OPTION:
    case CURLE_SSL_ENGINE_NOTFOUND:
    case CURLE_SSL_ENGINE_SETFAILED:
    case CURLE_SSL_ENGINE_INITFAILED:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CRL_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_SSL_CLIENTCERT:
        return true;
    default:
        return false;
    }
}

/* libcurl's own sentence where it says more, its name for the code where the sentence might quote
 * a piece of the URL. */
static const char *reason_of(const struct http_slot *slot, CURLcode code)
{
    switch (code) {
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
        return curl_easy_strerror(code);
    default:
        return slot->reason[0] ? slot->reason : curl_easy_strerror(code);
    }
}

static void set_error(const struct http_slot *slot, CURLcode code)
{
    struct http_call *call = slot->call;
    struct err *err = &call->err;
    char what[256];
    describe(call, what, sizeof what);
    if (slot->shared->interrupted)
        err_set(err, ERR_CANCEL, ERR_CURL, code, "%s: interrupted", what);
    else if (code == CURLE_ABORTED_BY_CALLBACK)
        err_set(err, ERR_CANCEL, ERR_CURL, code, "%s: not sent, the guard refused", what);
    else if (call->reply.overflow)
        err_set(err, ERR_REJECT, ERR_CURL, code, "%s: the reply is larger than %zu bytes", what,
                call->reply.max_size);
    else
        err_set(err, is_permanent(code) ? ERR_FATAL : ERR_RETRY, ERR_CURL, code, "%s: %s", what,
                reason_of(slot, code));
}

static size_t on_body(char *data, size_t size, size_t count, void *context)
{
    struct http_call *call = context;
    buf_append(&call->reply, data, size * count);
    return call->reply.overflow ? CURL_WRITEFUNC_ERROR : size * count;
}

static int on_prerequest(void *context, char *peer_ip, char *own_ip, int peer_port, int own_port)
{
    (void)peer_ip, (void)own_ip, (void)peer_port, (void)own_port;
    struct http_slot *slot = context;
    const struct http_shared *shared = slot->shared;
    if (shared->interrupted || (shared->may_send && !shared->may_send(shared->guard_context)))
        return CURL_PREREQFUNC_ABORT;
    slot->sent = true;
    return CURL_PREREQFUNC_OK;
}

static bool add_header(struct curl_slist **headers, const char *header)
{
    struct curl_slist *longer = curl_slist_append(*headers, header);
    if (longer)
        *headers = longer;
    return longer != NULL;
}

/* What holds for every request of a client. */
static bool set_transport(struct http_slot *slot)
{
    const struct http_shared *shared = slot->shared;
    CURL *easy = slot->easy;
    return curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           /* a name server that does not answer must not hold up the end of a call */
           curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_USERAGENT, shared->user_agent) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)shared->connect_timeout_ms) ==
               CURLE_OK &&
           (!shared->ca_file ||
            curl_easy_setopt(easy, CURLOPT_CAINFO, shared->ca_file) == CURLE_OK) &&
           curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_prerequest) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_PREREQDATA, slot) == CURLE_OK;
}

static bool set_method(const struct http_slot *slot)
{
    const struct http_call *call = slot->call;
    CURL *easy = slot->easy;
    bool has_body = call->body || strcmp(call->method, "POST") == 0;
    if (has_body &&
        (curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body_size) !=
             CURLE_OK ||
         curl_easy_setopt(easy, CURLOPT_POSTFIELDS, call->body ? call->body : "") != CURLE_OK))
        return false;
    if (strcmp(call->method, "HEAD") == 0)
        return curl_easy_setopt(easy, CURLOPT_NOBODY, 1L) == CURLE_OK;
    return curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, call->method) == CURLE_OK;
}

static bool set_headers(struct http_slot *slot)
{
    /* Waiting for "100 Continue" would cost a second with the servers that never send it. */
    bool added = add_header(&slot->headers, "Expect:");
    for (const char *const *header = slot->call->headers; added && header && *header; header++)
        added = add_header(&slot->headers, *header);
    return added && curl_easy_setopt(slot->easy, CURLOPT_HTTPHEADER, slot->headers) == CURLE_OK;
}

static bool set_call(struct http_slot *slot)
{
    struct http_call *call = slot->call;
    CURL *easy = slot->easy;
    int64_t timeout_ms = call->timeout_ms ? call->timeout_ms : DEFAULT_TIMEOUT_MS;
    return curl_easy_setopt(easy, CURLOPT_URL, call->url) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)timeout_ms) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "") == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_WRITEDATA, call) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, slot->reason) == CURLE_OK;
}

bool http_slot_start(struct http_slot *slot, struct http_call *call)
{
    slot->call = call;
    slot->sent = false;
    curl_easy_reset(slot->easy); /* the connections are with the multi handle */
    if (set_transport(slot) && set_method(slot) && set_headers(slot) && set_call(slot))
        return true;
    /* No option fails but for want of memory, or for a value that can never be right. */
    set_error(slot, CURLE_BAD_FUNCTION_ARGUMENT);
    http_slot_clear(slot);
    return false;
}

void http_slot_clear(struct http_slot *slot)
{
    curl_slist_free_all(slot->headers);
    slot->headers = NULL;
    slot->reason[0] = '\0';
    slot->call = NULL;
}

static const char *header_of(CURL *easy, const char *name)
{
    struct curl_header *header = NULL;
    if (curl_easy_header(easy, name, 0, CURLH_HEADER, -1, &header) != CURLHE_OK)
        return NULL;
    return header->value;
}

static uint32_t bounded_ms(double ms)
{
    if (!(ms > 0))
        return 0;
    return ms < (double)UINT32_MAX ? (uint32_t)ceil(ms) : UINT32_MAX;
}

static bool read_number(const char *text, double *number)
{
    char *end = NULL;
    *number = text ? strtod(text, &end) : 0;
    return text && end != text && *end == '\0' && isfinite(*number);
}

/* RFC 9110, 10.2.3; retry-after-ms is what OpenAI and Azure send beside it. */
static uint32_t read_retry_after(CURL *easy)
{
    double number = 0;
    if (read_number(header_of(easy, "retry-after-ms"), &number))
        return bounded_ms(number);
    const char *text = header_of(easy, "Retry-After");
    if (read_number(text, &number))
        return bounded_ms(number * 1000);
    time_t when = text ? curl_getdate(text, NULL) : -1;
    return when >= 0 ? bounded_ms((double)when * 1000 - (double)clock_wall_ms()) : 0;
}

static void read_reply(const struct http_slot *slot)
{
    struct http_call *call = slot->call;
    long status = 0;
    const char *type = NULL;
    curl_easy_getinfo(slot->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(slot->easy, CURLINFO_CONTENT_TYPE, &type);
    call->answered = true;
    call->status = (int)status;
    call->retry_after_ms = read_retry_after(slot->easy);
    snprintf(call->content_type, sizeof call->content_type, "%s", type ? type : "");
}

void http_slot_finish(struct http_slot *slot, CURLcode code)
{
    if (code == CURLE_OK)
        read_reply(slot);
    else
        set_error(slot, disambiguate(slot, code));
    http_slot_clear(slot);
}
