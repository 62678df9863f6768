/* SPDX-License-Identifier: Apache-2.0 */
#include "conformance/doubles/embedding_server.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/limits.h"
#include "base/sha256.h"
#include "embed/embedder.h"

/* A request with one of these texts is answered like this. */
static const struct {
    const char *text;
    int status;
    const char *headers;
    const char *body;
} tantrums[] = {
    {"!rate", 429, "Retry-After: 7\r\n", "{\"error\":{\"message\":\"slow down\"}}"},
    {"!quota", 429, NULL, "{\"error\":{\"message\":\"no money\",\"type\":\"insufficient_quota\"}}"},
    {"!auth", 401, NULL, "{\"error\":{\"message\":\"bad key\"}}"},
    {"!missing", 404, NULL, "{\"error\":\"model not found\"}"},
    {"!refuse", 400, NULL, "{\"error\":{\"message\":\"not this one\"}}"},
    {"!long", 400, NULL, "{\"error\":\"the input length exceeds the context length\"}"},
    {"!busy", 503, NULL, "{\"error\":\"server busy\"}"},
    {"!garbage", 200, NULL, "<html>"},
    {"!nothing", 200, NULL, "{\"data\":[],\"embeddings\":[]}"},
};

struct embedding_server {
    struct httpd *httpd;
    size_t dims;
    char openai_url[128];
    pthread_mutex_t lock;
    struct embedder *hash; /* under the lock */
};

static bool find_tantrum(const cJSON *inputs, size_t *which)
{
    const cJSON *input = NULL;
    cJSON_ArrayForEach(input, inputs)
    {
        for (*which = 0; *which < ARRAY_LEN(tantrums); (*which)++) {
            if (strcmp(input->valuestring, tantrums[*which].text) == 0)
                return true;
        }
    }
    return false;
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

/* Backwards, and every other vector as numbers: clients must cope with both. */
static void write_openai(struct embedding_server *server, const cJSON *inputs, struct buf *out)
{
    float *vector = calloc(server->dims, sizeof *vector);
    buf_puts(out, "{\"object\":\"list\",\"data\":[");
    for (int i = cJSON_GetArraySize(inputs) - 1; i >= 0; i--) {
        embed(server, cJSON_GetArrayItem(inputs, i)->valuestring, vector);
        buf_printf(out, "{\"object\":\"embedding\",\"index\":%d,\"embedding\":", i);
        if (i % 2 == 0) {
            buf_putc(out, '"');
            base64_encode(out, vector, server->dims * sizeof *vector);
            buf_putc(out, '"');
        } else {
            write_numbers(out, vector, server->dims);
        }
        buf_puts(out, i > 0 ? "}," : "}");
    }
    buf_puts(out, "],\"model\":\"m\",\"usage\":{\"prompt_tokens\":1}}");
    free(vector);
}

static void write_ollama(struct embedding_server *server, const cJSON *inputs, struct buf *out)
{
    float *vector = calloc(server->dims, sizeof *vector);
    buf_puts(out, "{\"model\":\"m\",\"embeddings\":[");
    for (int i = 0; i < cJSON_GetArraySize(inputs); i++) {
        embed(server, cJSON_GetArrayItem(inputs, i)->valuestring, vector);
        if (i > 0)
            buf_putc(out, ',');
        write_numbers(out, vector, server->dims);
    }
    buf_puts(out, "]}");
    free(vector);
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
    CLEANUP(buf_fini) struct buf out = BUF_INIT(LIMIT_HTTP_REPLY_SIZE);
    size_t which = 0;
    pthread_mutex_lock(&server->lock);
    bool tantrum = find_tantrum(inputs, &which);
    if (!tantrum && strcmp(request->path, "/api/embed") == 0)
        write_ollama(server, inputs, &out);
    else if (!tantrum)
        write_openai(server, inputs, &out);
    pthread_mutex_unlock(&server->lock);
    if (tantrum)
        httpd_reply(connection, tantrums[which].status, tantrums[which].headers,
                    tantrums[which].body);
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
