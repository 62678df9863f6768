/* SPDX-License-Identifier: Apache-2.0 */
/* A small HTTP/1.1 server inside a test, on a free port of 127.0.0.1: it reads whole requests and a
 * handler writes whatever bytes it likes, well-formed or not.
 *
 * One thread per connection, which is kept alive until the peer, the handler or httpd_stop() ends
 * it; so handlers run at the same time and must guard what they share. Failures abort the test.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"

struct httpd;
struct httpd_connection;

struct httpd_request { /* all borrowed for the handler's run */
    const char *method;
    const char *path;    /* as sent: with the query */
    const char *headers; /* the lines behind the request line, each ended by CR LF */
    const char *body;    /* with a NUL behind it */
    size_t body_size;
    unsigned number;     /* of the request, counted from 1 over the whole server */
    unsigned connection; /* number of the connection it came on, from 1 */
};

typedef void httpd_handler(struct httpd_connection *connection, const struct httpd_request *request,
                           void *context);

struct httpd *httpd_start(httpd_handler *handler, void *context);
/* Cuts all connections, waits for their handlers and frees. */
void httpd_stop(struct httpd *httpd);
DEFINE_FREEP(struct httpd, httpd_stop)

/* "http://127.0.0.1:12345", without a slash at the end. */
const char *httpd_url(const struct httpd *httpd);
unsigned httpd_port(const struct httpd *httpd);
unsigned httpd_request_count(struct httpd *httpd);
unsigned httpd_connection_count(struct httpd *httpd);

/* Copies a header's value; false when it was not sent. */
bool httpd_header(const struct httpd_request *request, const char *name, char *out, size_t size);

/* A whole reply. `headers` are extra lines, each ended by CR LF, or NULL. */
void httpd_reply(struct httpd_connection *connection, int status, const char *headers,
                 const char *body);
/* Any bytes; a peer that has gone is not an error. */
void httpd_write(struct httpd_connection *connection, const void *data, size_t size);
void httpd_puts(struct httpd_connection *connection, const char *text);
/* Ends the connection once the handler returns: orderly, or with a TCP reset. */
void httpd_close(struct httpd_connection *connection);
void httpd_reset(struct httpd_connection *connection);
/* Returns when the peer has hung up or the server is being stopped: a server that never answers. */
void httpd_hang(struct httpd_connection *connection);
