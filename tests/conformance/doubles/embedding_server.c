/* SPDX-License-Identifier: Apache-2.0 */
#include "conformance/doubles/embedding_server.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/limits.h"
#include "base/sha256.h"
#include "conformance/doubles/embedding_faults.h"
#include "embed/embedder.h"

struct embedding_server {
    struct httpd *httpd;
    size_t dims;
    char openai_url[128];
    pthread_mutex_t lock;
    struct embedder *hash; /* under the lock */
};

/* The first text that asks for one. */
static const struct embedding_fault *find_fault(const cJSON *inputs)
{
    static const struct embedding_fault none = {0};
    const cJSON *input = NULL;
    cJSON_ArrayForEach(input, inputs)
    {
        const struct embedding_fault *fault = embedding_fault_of(input->valuestring);
        if (fault)
            return fault;
    }
    return &none;
}

static void embed(struct embedding_server *server, const char *text, float *vector)
{
    const struct embed_text one = {text, strlen(text)};
    struct err err;
    if (!embedder_embed(server->hash, &one, 1, vector, NULL, &err))
        abort();
}

static void write_numbers(struct buf *out, const float *vector, size_t dims)
{
    buf_putc(out, '[');
    for (size_t i = 0; i < dims; i++)
        buf_printf(out, i == 0 ? "%.9g" : ",%.9g", (double)vector[i]);
    buf_putc(out, ']');
}

/* Numbers, or base64 where `base64`; or what the fault puts in its place. */
static void write_vector(struct embedding_server *server, const char *text, bool base64,
                         struct buf *out)
{
    const struct embedding_fault *fault = embedding_fault_of(text);
    if (fault && fault->vector) {
        fault->vector(out, server->dims);
        return;
    }
    float *vector = calloc(server->dims, sizeof *vector);
    embed(server, text, vector);
    if (base64) {
        buf_putc(out, '"');
        base64_encode(out, vector, server->dims * sizeof *vector);
        buf_putc(out, '"');
    } else {
        write_numbers(out, vector, server->dims);
    }
    free(vector);
}

/* How many vectors the list holds. */
static int list_length(const struct embedding_fault *fault, const cJSON *inputs)
{
    int count = cJSON_GetArraySize(inputs);
    if (fault->list == FAULT_FEWER)
        return count - 1;
    return fault->list == FAULT_MORE ? count + 1 : count;
}

static const char *text_at(const cJSON *inputs, int i)
{
    const cJSON *input = cJSON_GetArrayItem(inputs, i);
    return input ? input->valuestring : "one too many";
}

static int index_at(const struct embedding_fault *fault, int i)
{
    if (fault->list == FAULT_TWICE && i == 1)
        return 0;
    return fault->list == FAULT_BEYOND && i == 0 ? 1000 : i;
}

/* Backwards, and every other vector as numbers: clients must cope with both. */
static void write_openai(struct embedding_server *server, const cJSON *inputs,
                         const struct embedding_fault *fault, struct buf *out)
{
    buf_puts(out, "{\"object\":\"list\",\"data\":[");
    for (int i = list_length(fault, inputs) - 1; i >= 0; i--) {
        buf_printf(out,
                   "{\"object\":\"embedding\",\"index\":%d,\"embedding\":", index_at(fault, i));
        write_vector(server, text_at(inputs, i), i % 2 == 0, out);
        buf_puts(out, i > 0 ? "}," : "}");
    }
    buf_puts(out, "],\"model\":\"m\",\"usage\":{\"prompt_tokens\":1}}");
}

static void write_ollama(struct embedding_server *server, const cJSON *inputs,
                         const struct embedding_fault *fault, struct buf *out)
{
    buf_puts(out, "{\"model\":\"m\",\"embeddings\":[");
    for (int i = 0; i < list_length(fault, inputs); i++) {
        if (i > 0)
            buf_putc(out, ',');
        write_vector(server, text_at(inputs, i), false, out);
    }
    buf_puts(out, "]}");
}

static void answer_vectors(struct embedding_server *server, struct httpd_connection *connection,
                           const struct httpd_request *request)
{
    CLEANUP(cJSON_Deletep) cJSON *body = json_parse(request->body, request->body_size, NULL);
    const cJSON *inputs = json_get(body, "input");
    if (!cJSON_IsArray(inputs)) {
        httpd_reply(connection, 400, NULL, "{\"error\":\"input must be an array\"}");
        return;
    }
    const struct embedding_fault *fault = find_fault(inputs);
    if (fault->status) {
        httpd_reply(connection, fault->status, fault->headers, fault->body);
        return;
    }
    CLEANUP(buf_fini) struct buf out = BUF_INIT(LIMIT_HTTP_REPLY_SIZE);
    pthread_mutex_lock(&server->lock);
    if (strcmp(request->path, "/api/embed") == 0)
        write_ollama(server, inputs, fault, &out);
    else
        write_openai(server, inputs, fault, &out);
    pthread_mutex_unlock(&server->lock);
    if (fault->send)
        fault->send(connection, request, &out);
    else
        httpd_reply(connection, 200, NULL, buf_str(&out));
}

static void handle(struct httpd_connection *connection, const struct httpd_request *request,
                   void *context)
{
    if (strcmp(request->path, "/v1/embeddings") == 0 || strcmp(request->path, "/api/embed") == 0)
        answer_vectors(context, connection, request);
    else if (strcmp(request->path, "/api/tags") == 0)
        httpd_reply(connection, 200, NULL,
                    "{\"models\":[{\"name\":\"test:latest\",\"digest\":\"0123abcd\"}]}");
    else
        httpd_reply(connection, 404, NULL, "404 page not found");
}

struct embedding_server *embedding_server_start(size_t dims)
{
    struct embedding_server *server = calloc(1, sizeof *server);
    const struct embedder_options options = {.name = "double", .driver = "hash", .dims = dims};
    struct err err;
    if (!server || !embedder_open(&options, &server->hash, &err))
        abort();
    server->dims = dims;
    pthread_mutex_init(&server->lock, NULL);
    server->httpd = httpd_start(handle, server);
    snprintf(server->openai_url, sizeof server->openai_url, "%s/v1", httpd_url(server->httpd));
    return server;
}

void embedding_server_stop(struct embedding_server *server)
{
    if (!server)
        return;
    httpd_stop(server->httpd);
    embedder_close(server->hash);
    pthread_mutex_destroy(&server->lock);
    free(server);
}

const char *embedding_server_url(const struct embedding_server *server, const char *driver)
{
    return strcmp(driver, "openai") == 0 ? server->openai_url : httpd_url(server->httpd);
}
