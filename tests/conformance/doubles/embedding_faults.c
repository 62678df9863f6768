/* SPDX-License-Identifier: Apache-2.0 */
#include "conformance/doubles/embedding_faults.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/limits.h"
#include "base/sha256.h"

/* --- vectors --- */

static void write_list(struct buf *out, size_t dims, const char *first, const char *other)
{
    buf_printf(out, "[%s", first);
    for (size_t i = 1; i < dims; i++)
        buf_printf(out, ",%s", other);
    buf_putc(out, ']');
}

static void vector_null(struct buf *out, size_t dims)
{
    (void)dims;
    buf_puts(out, "null");
}

static void vector_empty(struct buf *out, size_t dims)
{
    (void)dims;
    buf_puts(out, "[]");
}

static void vector_nulls(struct buf *out, size_t dims)
{
    write_list(out, dims, "null", "null");
}

static void vector_nan_word(struct buf *out, size_t dims)
{
    write_list(out, dims, "NaN", "0.5");
}

static void vector_infinity_word(struct buf *out, size_t dims)
{
    write_list(out, dims, "-Infinity", "0.5");
}

static void vector_overflow(struct buf *out, size_t dims)
{
    write_list(out, dims, "1e39", "0.5");
}

static void vector_zero(struct buf *out, size_t dims)
{
    write_list(out, dims, "0", "0.0");
}

static void vector_words(struct buf *out, size_t dims)
{
    write_list(out, dims, "\"x\"", "1");
}

static void vector_longer(struct buf *out, size_t dims)
{
    write_list(out, dims + 1, "1", "1");
}

static void write_base64(struct buf *out, const void *data, size_t size)
{
    buf_putc(out, '"');
    base64_encode(out, data, size);
    buf_putc(out, '"');
}

static void vector_nan_base64(struct buf *out, size_t dims)
{
    float numbers[4096];
    for (size_t i = 0; i < dims; i++)
        numbers[i] = i == 1 ? NAN : 1;
    write_base64(out, numbers, dims * sizeof *numbers);
}

static void vector_base64_cut(struct buf *out, size_t dims)
{
    float numbers[4096] = {1};
    write_base64(out, numbers, dims * sizeof *numbers - 1);
}

static void vector_base64_shorter(struct buf *out, size_t dims)
{
    float numbers[4096] = {1};
    write_base64(out, numbers, (dims - 1) * sizeof *numbers);
}

static void vector_base64_bad(struct buf *out, size_t dims)
{
    (void)dims;
    buf_puts(out, "\"?no base64?\"");
}

/* --- transport --- */

#define JSON_HEAD "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"

static void send_never(struct httpd_connection *connection, const struct httpd_request *request,
                       const struct buf *reply)
{
    (void)request, (void)reply;
    httpd_hang(connection);
}

static void send_reset(struct httpd_connection *connection, const struct httpd_request *request,
                       const struct buf *reply)
{
    (void)request, (void)reply;
    httpd_reset(connection);
}

static void send_head(struct httpd_connection *connection, size_t size)
{
    char head[200];
    snprintf(head, sizeof head, JSON_HEAD "Content-Length: %zu\r\n\r\n", size);
    httpd_puts(connection, head);
}

static void send_half(struct httpd_connection *connection, const struct httpd_request *request,
                      const struct buf *reply)
{
    (void)request;
    send_head(connection, reply->size);
    httpd_write(connection, reply->data, reply->size / 2);
    httpd_close(connection);
}

static void send_half_and_hang(struct httpd_connection *connection,
                               const struct httpd_request *request, const struct buf *reply)
{
    (void)request;
    send_head(connection, reply->size);
    httpd_write(connection, reply->data, reply->size / 2);
    httpd_hang(connection);
}

static void write_chunks(struct httpd_connection *connection, const struct buf *reply, size_t size)
{
    httpd_puts(connection, JSON_HEAD "Transfer-Encoding: chunked\r\n\r\n");
    for (size_t at = 0; at < size; at += 100) {
        size_t part = size - at < 100 ? size - at : 100;
        char head[32];
        snprintf(head, sizeof head, "%zx\r\n", part);
        httpd_puts(connection, head);
        httpd_write(connection, reply->data + at, part);
        httpd_puts(connection, "\r\n");
    }
}

static void send_chunked(struct httpd_connection *connection, const struct httpd_request *request,
                         const struct buf *reply)
{
    (void)request;
    write_chunks(connection, reply, reply->size);
    httpd_puts(connection, "0\r\n\r\n");
}

static void send_chunked_half(struct httpd_connection *connection,
                              const struct httpd_request *request, const struct buf *reply)
{
    (void)request;
    write_chunks(connection, reply, reply->size / 2);
    httpd_close(connection);
}

static void put_le(struct buf *out, uint32_t number, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        buf_putc(out, (char)(number >> 8 * i & 0xff));
}

static uint32_t crc32_of(const char *data, size_t size)
{
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < size; i++) {
        crc ^= (unsigned char)data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ 0xedb88320 : crc >> 1;
    }
    return ~crc;
}

/* RFC 1952 around blocks that are stored as they are. */
static void gzip(const struct buf *in, struct buf *out)
{
    static const char head[10] = {0x1f, (char)0x8b, 8, 0, 0, 0, 0, 0, 0, 3};
    buf_append(out, head, sizeof head);
    for (size_t at = 0; at < in->size;) {
        size_t part = in->size - at < 60000 ? in->size - at : 60000;
        buf_putc(out, at + part == in->size);
        put_le(out, (uint32_t)part, 2);
        put_le(out, ~(uint32_t)part, 2);
        buf_append(out, in->data + at, part);
        at += part;
    }
    put_le(out, crc32_of(in->data, in->size), 4);
    put_le(out, (uint32_t)in->size, 4);
}

static void write_gzip(struct httpd_connection *connection, const struct httpd_request *request,
                       const struct buf *reply, bool broken)
{
    char accepted[200] = "";
    CLEANUP(buf_fini) struct buf body = BUF_INIT(LIMIT_HTTP_REPLY_SIZE);
    if (!httpd_header(request, "Accept-Encoding", accepted, sizeof accepted) ||
        !strstr(accepted, "gzip")) {
        httpd_reply(connection, 406, NULL, "{\"error\":\"gzip is not accepted\"}");
        return;
    }
    gzip(reply, &body);
    if (broken)
        body.data[10] = 7; /* a block of no known kind */
    char head[200];
    snprintf(head, sizeof head, JSON_HEAD "Content-Encoding: gzip\r\nContent-Length: %zu\r\n\r\n",
             body.size);
    httpd_puts(connection, head);
    httpd_write(connection, body.data, body.size);
}

static void send_gzip(struct httpd_connection *connection, const struct httpd_request *request,
                      const struct buf *reply)
{
    write_gzip(connection, request, reply, false);
}

static void send_gzip_broken(struct httpd_connection *connection,
                             const struct httpd_request *request, const struct buf *reply)
{
    write_gzip(connection, request, reply, true);
}

/* Ends a connection that both sides agreed to keep: the next request meets a closed one. */
static void send_and_hang_up(struct httpd_connection *connection,
                             const struct httpd_request *request, const struct buf *reply)
{
    (void)request;
    httpd_reply(connection, 200, NULL, reply->data);
    httpd_close(connection);
}

static void send_and_announce_the_end(struct httpd_connection *connection,
                                      const struct httpd_request *request, const struct buf *reply)
{
    (void)request;
    httpd_reply(connection, 200, "Connection: close\r\n", reply->data);
    httpd_close(connection);
}

static void send_huge(struct httpd_connection *connection, const struct httpd_request *request,
                      const struct buf *reply)
{
    (void)request, (void)reply;
    static char spaces[64 * 1024];
    memset(spaces, ' ', sizeof spaces);
    send_head(connection, (size_t)64 * MIB);
    for (int i = 0; i < 1024; i++)
        httpd_write(connection, spaces, sizeof spaces);
}

static void send_no_http(struct httpd_connection *connection, const struct httpd_request *request,
                         const struct buf *reply)
{
    (void)request, (void)reply;
    httpd_puts(connection, "220 smtp.example.org ESMTP ready\r\n");
    httpd_close(connection);
}

static void send_rate_date(struct httpd_connection *connection, const struct httpd_request *request,
                           const struct buf *reply)
{
    (void)request, (void)reply;
    char header[100];
    time_t then = time(NULL) + 30;
    struct tm parts;
    gmtime_r(&then, &parts);
    strftime(header, sizeof header, "Retry-After: %a, %d %b %Y %H:%M:%S GMT\r\n", &parts);
    httpd_reply(connection, 429, header, "{\"error\":{\"message\":\"slow down\"}}");
}

#define CRASH "{\"error\":\"do embedding request: Post \\\"http://127.0.0.1:4/embedding\\\": EOF\"}"

/* Every other time. */
static void send_crash_once(struct httpd_connection *connection,
                            const struct httpd_request *request, const struct buf *reply)
{
    (void)request;
    static _Atomic unsigned times;
    if (times++ % 2 == 0)
        httpd_reply(connection, 500, NULL, CRASH);
    else
        httpd_reply(connection, 200, NULL, reply->data);
}

#define NGINX_PAGE                                                                                 \
    "<html>\r\n<head><title>500 Internal Server "                                                  \
    "Error</title></head>\r\n<body>\r\n<center><h1>500 "                                           \
    "Internal Server Error</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"

static const struct embedding_fault faults[] = {
    {.text = "!rate",
     .status = 429,
     .headers = "Retry-After: 7\r\n",
     .body = "{\"error\":{\"message\":\"slow down\"}}"},
    {.text = "!rate-date", .send = send_rate_date},
    {.text = "!rate-ms",
     .status = 429,
     .headers = "retry-after-ms: 1500\r\nRetry-After: 2\r\n",
     .body = "{\"error\":{\"message\":\"slow down\"}}"},
    {.text = "!rate-bare", .status = 429, .body = "Model is overloaded"},
    {.text = "!quota",
     .status = 429,
     .headers = "Retry-After: 7\r\n",
     .body = "{\"error\":{\"message\":\"no money\",\"type\":\"insufficient_quota\"}}"},
    {.text = "!auth",
     .status = 401,
     .body = "{\"error\":{\"message\":\"Incorrect API key provided: sk-secret.\"}}"},
    {.text = "!forbidden", .status = 403, .body = "<html><title>403 Forbidden</title></html>"},
    {.text = "!missing", .status = 404, .body = "{\"error\":\"model not found\"}"},
    {.text = "!moved", .status = 301, .headers = "Location: https://example.org/\r\n", .body = ""},
    {.text = "!refuse", .status = 400, .body = "{\"error\":{\"message\":\"not this one\"}}"},
    {.text = "!long",
     .status = 400,
     .body = "{\"error\":\"the input length exceeds the context length\"}"},
    {.text = "!crash", .status = 500, .body = CRASH},
    {.text = "!crash-once", .send = send_crash_once},
    {.text = "!large", .status = 413, .body = "Payload too large"},
    {.text = "!busy", .status = 503, .body = "{\"error\":\"server busy\"}"},
    {.text = "!page", .status = 500, .headers = "Content-Type: text/html\r\n", .body = NGINX_PAGE},
    {.text = "!error-200",
     .status = 200,
     .body = "{\"error\":{\"code\":429,\"message\":\"slow down\"}}"},
    {.text = "!garbage", .status = 200, .body = "<html>"},
    {.text = "!empty", .status = 200, .body = ""},
    {.text = "!nothing", .status = 200, .body = "{\"data\":[],\"embeddings\":[]}"},
    {.text = "!cut-json", .status = 200, .body = "{\"data\":[{\"embedding\":[1,2"},
    {.text = "!fewer", .list = FAULT_FEWER},
    {.text = "!more", .list = FAULT_MORE},
    {.text = "!twice", .list = FAULT_TWICE},
    {.text = "!beyond", .list = FAULT_BEYOND},
    {.text = "!null", .vector = vector_null},
    {.text = "!no-numbers", .vector = vector_empty},
    {.text = "!nulls", .vector = vector_nulls},
    {.text = "!nan", .vector = vector_nan_word},
    {.text = "!nan-base64", .vector = vector_nan_base64},
    {.text = "!infinity", .vector = vector_infinity_word},
    {.text = "!overflow", .vector = vector_overflow},
    {.text = "!zero", .vector = vector_zero},
    {.text = "!words", .vector = vector_words},
    {.text = "!longer", .vector = vector_longer},
    {.text = "!base64-cut", .vector = vector_base64_cut},
    {.text = "!base64-shorter", .vector = vector_base64_shorter},
    {.text = "!base64-bad", .vector = vector_base64_bad},
    {.text = "!slow", .send = send_never},
    {.text = "!slow-half", .send = send_half_and_hang},
    {.text = "!reset", .send = send_reset},
    {.text = "!half", .send = send_half},
    {.text = "!chunked", .send = send_chunked},
    {.text = "!chunked-half", .send = send_chunked_half},
    {.text = "!gzip", .send = send_gzip},
    {.text = "!gzip-broken", .send = send_gzip_broken},
    {.text = "!hang-up", .send = send_and_hang_up},
    {.text = "!close", .send = send_and_announce_the_end},
    {.text = "!huge", .send = send_huge},
    {.text = "!no-http", .send = send_no_http},
};

const struct embedding_fault *embedding_fault_of(const char *text)
{
    for (size_t i = 0; text[0] == '!' && i < ARRAY_LEN(faults); i++) {
        if (strcmp(text, faults[i].text) == 0)
            return &faults[i];
    }
    return NULL;
}
