/* SPDX-License-Identifier: Apache-2.0 */
#include "embed/remote.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/limits.h"
#include "base/text.h"
#include "embed/drivers.h"

/* Requests of one round are built before the first is sent: enough of them to keep all connections
 * busy, few enough to bound the memory. */
#define ROUND_REQUESTS_PER_CONNECTION 4

struct request {
    size_t first; /* of its texts */
    size_t count;
    struct buf body;
};

static char *copy(const char *text)
{
    char *duplicate = text ? strdup(text) : NULL;
    if (text && !duplicate)
        abort();
    return duplicate;
}

static char *joined(const char *a, const char *b)
{
    char *text = NULL;
    if (asprintf(&text, "%s%s", a, b) < 0)
        abort();
    return text;
}

static void *zeroed(size_t count, size_t size)
{
    void *memory = calloc(count, size);
    if (!memory)
        abort();
    return memory;
}

/* Members of `extra` replace the body's own; null takes one away. */
static bool merge_extra(cJSON *body, const char *extra, struct err *err)
{
    CLEANUP(cJSON_Deletep) cJSON *object = json_parse(extra, strlen(extra), NULL);
    if (!cJSON_IsObject(object))
        return err_set(err, ERR_FATAL, ERR_CONFIG, 0, "extra must be a JSON object");
    while (object->child) {
        cJSON *member = cJSON_DetachItemViaPointer(object, object->child);
        cJSON_DeleteItemFromObjectCaseSensitive(body, member->string);
        if (cJSON_IsNull(member)) {
            cJSON_Delete(member);
            continue;
        }
        char *name = copy(member->string);
        json_add(body, name, member);
        free(name);
    }
    return true;
}

static bool prepare_members(struct remote *remote, const char *extra, struct err *err)
{
    CLEANUP(cJSON_Deletep) cJSON *body = json_object();
    remote->dialect->add_members(remote, body);
    if (extra && *extra && !merge_extra(body, extra, err))
        return false;
    cJSON_DeleteItemFromObjectCaseSensitive(body, "input");
    char *text = json_print(body);
    remote->members = joined(body->child ? "," : "", text + 1);
    free(text);
    return true;
}

static void prepare_urls(struct remote *remote, const char *url)
{
    remote->base_url = copy(url);
    size_t length = strlen(remote->base_url);
    while (length > 0 && remote->base_url[length - 1] == '/')
        remote->base_url[--length] = '\0';
    remote->url = joined(remote->base_url, remote->dialect->path);
    secrets_add_url(&remote->secrets, url);
}

static void prepare_headers(struct remote *remote, const char *api_key, bool verifies)
{
    size_t count = 0;
    remote->headers[count++] = "Content-Type: application/json";
    if (verifies)
        remote->headers[count++] = "User-Agent: vectail/" VECTAIL_VERSION " (verify)";
    if (api_key && *api_key) {
        secrets_add(&remote->secrets, api_key);
        remote->authorization = joined("Authorization: Bearer ", api_key);
        remote->headers[count++] = remote->authorization;
    }
}

bool remote_open(const struct embedder_options *options, const struct remote_dialect *dialect,
                 struct embedder **out, struct err *err)
{
    if (!options->url || !*options->url)
        return err_set(err, ERR_FATAL, ERR_CONFIG, 0, "url is missing");
    if (!options->model || !*options->model)
        return err_set(err, ERR_FATAL, ERR_CONFIG, 0, "model is missing");
    struct remote *remote = zeroed(1, sizeof *remote);
    remote->base = (struct embedder){
        .ops = dialect->ops,
        .dims = options->dims,
        .most = {options->max_batch ? options->max_batch : dialect->max_batch, EMBED_REQUEST_SIZE},
    };
    remote->dialect = dialect;
    remote->model = copy(options->model);
    remote->send_dimensions = options->send_dimensions;
    remote->max_in_flight = options->max_in_flight ? options->max_in_flight : 1;
    remote->timeout_ms = options->timeout_ms > 0 ? options->timeout_ms : dialect->timeout_ms;
    prepare_urls(remote, options->url);
    prepare_headers(remote, options->api_key, options->verifies);
    const struct http_options http = {.ca_file = options->ca_file,
                                      .max_in_flight = remote->max_in_flight};
    if (!prepare_members(remote, options->extra, err) ||
        !http_new(&http, &remote->base.http, err)) {
        remote_close(&remote->base);
        return false;
    }
    *out = &remote->base;
    return true;
}

void remote_close(struct embedder *embedder)
{
    struct remote *remote = (struct remote *)embedder;
    http_free(remote->base.http);
    free(remote->base_url);
    free(remote->url);
    free(remote->model);
    secrets_fini(&remote->secrets);
    free(remote->authorization);
    free(remote->members);
    free(remote);
}

void remote_interrupt(struct embedder *embedder)
{
    http_interrupt(embedder->http);
}

/* Writes the body of a request for as many of the texts as it takes. */
static bool build_request(const struct remote *remote, const struct embed_text *texts, size_t count,
                          struct request *out, struct err *err)
{
    struct buf *body = &out->body;
    *body = BUF_INIT(LIMIT_HTTP_BODY_SIZE);
    out->count = embedder_part(&remote->base, texts, count);
    buf_puts(body, "{\"input\":[");
    for (size_t i = 0; i < out->count; i++) {
        if (i > 0)
            buf_putc(body, ',');
        json_write_string(body, texts[i].text, texts[i].size);
    }
    buf_putc(body, ']');
    buf_puts(body, remote->members);
    if (body->overflow)
        return err_set(err, ERR_REJECT, ERR_EMBED, EMBED_TOO_LONG,
                       "a text of %zu bytes is more than a request holds", texts[0].size);
    return true;
}

static void count_request(struct embedder *embedder, const struct embed_text *texts, size_t count)
{
    embedder->stats.requests++;
    embedder->stats.texts += count;
    for (size_t i = 0; i < count; i++)
        embedder->stats.characters += text_length(texts[i].text, texts[i].size);
}

static struct embed_reply reply_of(const struct remote *remote, const struct http_call *call,
                                   size_t count)
{
    return (struct embed_reply){
        .status = call->status,
        .body = buf_str(&call->reply),
        .size = call->reply.size,
        .count = count,
        .dims = remote->base.dims,
        .dims_asked = remote->send_dimensions,
        .secrets = secrets_list(&remote->secrets),
    };
}

static bool read_call(const struct remote *remote, const struct http_call *call, size_t count,
                      float *vectors, struct err *err)
{
    if (!call->answered) {
        *err = call->err;
        if (err->action == ERR_REJECT) { /* a reply without end is not the fault of a text */
            err->action = ERR_RETRY;
            err->domain = ERR_EMBED;
            err->code = EMBED_BAD_REPLY;
        }
        return false;
    }
    const struct embed_reply reply = reply_of(remote, call, count);
    if (call->status == 200)
        return remote->dialect->read(&reply, vectors, err);
    embed_reply_error(&reply, err);
    err->retry_after_ms = call->retry_after_ms;
    return false;
}

static struct http_call call_of(const struct remote *remote, const struct request *request)
{
    return (struct http_call){
        .method = "POST",
        .url = remote->url,
        .headers = remote->headers,
        .body = buf_str(&request->body),
        .body_size = request->body.size,
        .timeout_ms = remote->timeout_ms,
        /* a number takes at most about 25 bytes */
        .max_reply_size = MIB + request->count * remote->base.dims * 32,
    };
}

/* What is asked for, less what earlier rounds did. */
struct order {
    const struct embed_text *texts;
    size_t count;
    float *vectors;
    bool *done;
    struct embed_failure failure;
};

struct round {
    struct request *requests;
    struct http_call *calls;
    size_t count;
    size_t capacity;
};

/* Builds requests for the first texts, as many as a round takes; returns for how many of them. */
static size_t build_round(const struct remote *remote, struct order *order, struct round *round)
{
    size_t at = 0;
    while (at < order->count && round->count < round->capacity) {
        struct request *request = &round->requests[round->count];
        struct err err;
        request->first = at;
        bool ok = build_request(remote, order->texts + at, order->count - at, request, &err);
        at += request->count;
        if (ok) {
            round->calls[round->count++] = call_of(remote, request);
            continue;
        }
        buf_fini(&request->body);
        embed_failure_add(&order->failure, &err);
    }
    return at;
}

/* A model that died over one text was serving others, which are told the same: a single text is
 * blamed only when it comes alone and the model dies again. */
static bool is_doubtful(const struct remote *remote, const struct request *request,
                        const struct http_call *call)
{
    const struct embed_reply reply = reply_of(remote, call, request->count);
    return request->count == 1 && call->answered && embed_reply_is_crash(&reply);
}

static bool read_request(struct remote *remote, const struct order *order,
                         const struct request *request, struct http_call *call, struct err *err)
{
    float *vectors = order->vectors + request->first * remote->base.dims;
    if (read_call(remote, call, request->count, vectors, err))
        return true;
    if (!is_doubtful(remote, request, call))
        return false;
    count_request(&remote->base, order->texts + request->first, request->count);
    (void)!http_run(remote->base.http, call, 1, NULL);
    return read_call(remote, call, request->count, vectors, err);
}

static void read_round(struct remote *remote, struct order *order, struct round *round)
{
    for (size_t i = 0; i < round->count; i++) {
        const struct request *request = &round->requests[i];
        struct err err = {0};
        if (!read_request(remote, order, request, &round->calls[i], &err)) {
            embed_failure_add(&order->failure, &err);
            continue;
        }
        for (size_t t = 0; t < request->count; t++)
            order->done[request->first + t] = true;
    }
}

/* Sends requests for the first texts and takes these off the order. */
static void run_round(struct remote *remote, struct order *order)
{
    struct round round = {.capacity = remote->max_in_flight * ROUND_REQUESTS_PER_CONNECTION};
    round.requests = zeroed(round.capacity, sizeof *round.requests);
    round.calls = zeroed(round.capacity, sizeof *round.calls);
    size_t taken = build_round(remote, order, &round);
    for (size_t i = 0; i < round.count; i++) {
        const struct request *request = &round.requests[i];
        count_request(&remote->base, order->texts + request->first, request->count);
    }
    /* each call has its own error */
    (void)!http_run(remote->base.http, round.calls, round.count, NULL);
    read_round(remote, order, &round);
    for (size_t i = 0; i < round.count; i++) {
        http_call_fini(&round.calls[i]);
        buf_fini(&round.requests[i].body);
    }
    free(round.calls);
    free(round.requests);
    order->texts += taken;
    order->count -= taken;
    order->vectors += taken * remote->base.dims;
    order->done += taken;
}

bool remote_embed(struct embedder *embedder, const struct embed_text *texts, size_t count,
                  float *vectors, bool *done, struct err *err)
{
    struct order order = {.texts = texts, .count = count, .vectors = vectors, .done = done};
    while (order.count > 0 && !order.failure.general)
        run_round((struct remote *)embedder, &order);
    return embed_failure_report(&order.failure, embedder, err);
}
