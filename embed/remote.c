/* SPDX-License-Identifier: Apache-2.0 */
#include "embed/remote.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/limits.h"
#include "base/text.h"

/* Of the texts of one request, as JSON. TEI takes bodies of 2 MB and OpenAI 300 000 tokens, which
 * this many bytes never hold in any script. A longer text travels alone. */
#define REQUEST_SIZE (512 * KIB)
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
}

static void prepare_headers(struct remote *remote, const char *api_key)
{
    size_t count = 0;
    remote->headers[count++] = "Content-Type: application/json";
    if (api_key && *api_key) {
        remote->secret = copy(api_key);
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
    remote->base = (struct embedder){.ops = dialect->ops, .dims = options->dims};
    remote->dialect = dialect;
    remote->model = copy(options->model);
    remote->send_dimensions = options->send_dimensions;
    remote->max_batch = options->max_batch ? options->max_batch : dialect->max_batch;
    remote->max_in_flight = options->max_in_flight ? options->max_in_flight : 1;
    remote->timeout_ms = options->timeout_ms > 0 ? options->timeout_ms : dialect->timeout_ms;
    prepare_urls(remote, options->url);
    prepare_headers(remote, options->api_key);
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
    free(remote->secret);
    free(remote->authorization);
    free(remote->members);
    free(remote);
}

void remote_interrupt(struct embedder *embedder)
{
    http_interrupt(embedder->http);
}

/* Writes the body of a request for as many of the texts as fit. */
static bool build_request(const struct remote *remote, const struct embed_text *texts, size_t count,
                          struct request *out, struct err *err)
{
    struct buf *body = &out->body;
    *body = BUF_INIT(LIMIT_HTTP_BODY_SIZE);
    buf_puts(body, "{\"input\":[");
    out->count = 0;
    while (out->count < count && out->count < remote->max_batch) {
        const struct embed_text *text = &texts[out->count];
        if (out->count > 0 && body->size + text->size > REQUEST_SIZE)
            break;
        if (out->count > 0)
            buf_putc(body, ',');
        json_write_string(body, text->text, text->size);
        out->count++;
    }
    buf_putc(body, ']');
    buf_puts(body, remote->members);
    if (body->overflow)
        return err_set(err, ERR_REJECT, ERR_EMBED, EMBED_TOO_LONG,
                       "a text of %zu bytes is more than a request holds", texts[0].size);
    return true;
}

static bool read_call(const struct remote *remote, const struct http_call *call, size_t count,
                      float *vectors, struct err *err)
{
    if (!call->answered) {
        if (err)
            *err = call->err;
        return false;
    }
    const struct embed_reply reply = {
        .status = call->status,
        .body = buf_str(&call->reply),
        .size = call->reply.size,
        .count = count,
        .dims = remote->base.dims,
        .secret = remote->secret,
    };
    if (call->status == 200)
        return remote->dialect->read(&reply, vectors, err);
    embed_reply_error(&reply, err);
    if (err)
        err->retry_after_ms = call->retry_after_ms;
    return false;
}

/* Of several failures the one that decides what is done next. */
static unsigned severity(const struct err *err)
{
    switch (err->action) {
    case ERR_FATAL:
        return 4;
    case ERR_CANCEL:
        return 3;
    case ERR_REJECT:
        return 2;
    case ERR_RETRY:
        break;
    }
    return 1;
}

static bool is_worse(const struct err *a, const struct err *b)
{
    if (severity(a) != severity(b))
        return severity(a) > severity(b);
    return a->retry_after_ms > b->retry_after_ms;
}

static bool read_round(const struct remote *remote, const struct request *requests,
                       const struct http_call *calls, size_t count, float *vectors, struct err *err)
{
    bool ok = true;
    struct err worst = {0};
    for (size_t i = 0; i < count; i++) {
        struct err one = {0};
        float *target = vectors + requests[i].first * remote->base.dims;
        if (read_call(remote, &calls[i], requests[i].count, target, &one))
            continue;
        if (ok || is_worse(&one, &worst))
            worst = one;
        ok = false;
    }
    if (!ok && err)
        *err = worst;
    return ok;
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

static void count_request(struct embedder *embedder, const struct embed_text *texts, size_t count)
{
    embedder->stats.requests++;
    embedder->stats.texts += count;
    for (size_t i = 0; i < count; i++)
        embedder->stats.characters += text_length(texts[i].text, texts[i].size);
}

/* Sends requests for the first texts; *done says for how many. */
static bool run_round(struct remote *remote, const struct embed_text *texts, size_t count,
                      float *vectors, size_t *done, struct err *err)
{
    size_t capacity = remote->max_in_flight * ROUND_REQUESTS_PER_CONNECTION;
    struct request *requests = zeroed(capacity, sizeof *requests);
    struct http_call *calls = zeroed(capacity, sizeof *calls);
    size_t built = 0;
    bool ok = true;
    for (*done = 0; ok && *done < count && built < capacity; built++) {
        struct request *request = &requests[built];
        request->first = *done;
        ok = build_request(remote, texts + *done, count - *done, request, err);
        calls[built] = call_of(remote, request);
        *done += request->count;
    }
    if (ok) {
        for (size_t i = 0; i < built; i++)
            count_request(&remote->base, texts + requests[i].first, requests[i].count);
        (void)!http_run(remote->base.http, calls, built, NULL); /* each call has its own error */
        ok = read_round(remote, requests, calls, built, vectors, err);
    }
    for (size_t i = 0; i < built; i++) {
        http_call_fini(&calls[i]);
        buf_fini(&requests[i].body);
    }
    free(calls);
    free(requests);
    return ok;
}

bool remote_embed(struct embedder *embedder, const struct embed_text *texts, size_t count,
                  float *vectors, struct err *err)
{
    struct remote *remote = (struct remote *)embedder;
    for (size_t at = 0; at < count;) {
        size_t done = 0;
        if (!run_round(remote, texts + at, count - at, vectors + at * embedder->dims, &done, err))
            return false;
        at += done;
    }
    return true;
}
