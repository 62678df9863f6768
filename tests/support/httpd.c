/* SPDX-License-Identifier: Apache-2.0 */
#include "support/httpd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"

#define REQUEST_SIZE_MAX ((size_t)64 * 1024 * 1024)

struct httpd_connection {
    struct httpd_connection *next;
    struct httpd *httpd;
    pthread_t thread;
    int fd; /* closed by httpd_stop() only: a number in use cannot be given out again */
    unsigned number;
    bool closing;
};

struct httpd {
    httpd_handler *handler;
    void *context;
    int listener;
    unsigned port;
    char url[64];
    pthread_t acceptor;
    pthread_mutex_t lock; /* of everything below */
    struct httpd_connection *connections;
    unsigned connection_count;
    unsigned request_count;
    bool stopping;
};

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    perror(what);
    abort();
}

static void lock(struct httpd *httpd)
{
    must(pthread_mutex_lock(&httpd->lock) == 0, "pthread_mutex_lock");
}

static void unlock(struct httpd *httpd)
{
    must(pthread_mutex_unlock(&httpd->lock) == 0, "pthread_mutex_unlock");
}

/* Adds what has arrived to `in`; false at the end of the connection. */
static bool receive(const struct httpd_connection *connection, struct buf *in)
{
    char data[16384];
    ssize_t got = 0;
    do
        got = recv(connection->fd, data, sizeof data, 0);
    while (got < 0 && errno == EINTR);
    if (got <= 0)
        return false;
    buf_append(in, data, (size_t)got);
    must(!in->overflow, "the request is too large");
    return true;
}

bool httpd_header(const struct httpd_request *request, const char *name, char *out, size_t size)
{
    size_t length = strlen(name);
    const char *line = request->headers;
    while (*line) {
        const char *end = strstr(line, "\r\n");
        must(end != NULL, "a header has no end");
        if (strncasecmp(line, name, length) == 0 && line[length] == ':') {
            const char *value = line + length + 1;
            value += strspn(value, " ");
            snprintf(out, size, "%.*s", (int)(end - value), value);
            return true;
        }
        line = end + 2;
    }
    return false;
}

/* Waits for the head of a request and cuts it into strings, in place. */
static bool read_head(const struct httpd_connection *connection, struct buf *in,
                      struct httpd_request *request, size_t *head_size)
{
    char *end = NULL;
    while (!in->size || !(end = strstr(in->data, "\r\n\r\n"))) {
        if (!receive(connection, in))
            return false;
    }
    *head_size = (size_t)(end - in->data) + 4;
    end[2] = '\0';
    char *line_end = strstr(in->data, "\r\n");
    char *path = strchr(in->data, ' ');
    char *version = path ? strchr(path + 1, ' ') : NULL;
    must(line_end && version && version < line_end, "not an HTTP request");
    *path++ = '\0';
    *version = '\0';
    request->method = in->data;
    request->path = path;
    request->headers = line_end + 2;
    return true;
}

static size_t body_size_of(const struct httpd_request *request)
{
    char text[32];
    if (!httpd_header(request, "Content-Length", text, sizeof text))
        return 0;
    return (size_t)strtoull(text, NULL, 10);
}

static void count_request(struct httpd *httpd, struct httpd_request *request)
{
    lock(httpd);
    request->number = ++httpd->request_count;
    unlock(httpd);
}

/* One request and its reply; false when the connection is to end. */
static bool serve(struct httpd_connection *connection)
{
    CLEANUP(buf_fini) struct buf head = BUF_INIT(REQUEST_SIZE_MAX);
    CLEANUP(buf_fini) struct buf body = BUF_INIT(REQUEST_SIZE_MAX);
    struct httpd_request request = {.connection = connection->number};
    size_t head_size = 0;
    if (!read_head(connection, &head, &request, &head_size))
        return false;
    request.body_size = body_size_of(&request);
    buf_append(&body, head.data + head_size, head.size - head_size);
    while (body.size < request.body_size) {
        if (!receive(connection, &body))
            return false;
    }
    must(body.size == request.body_size, "pipelined requests are not supported");
    request.body = buf_str(&body);
    count_request(connection->httpd, &request);
    connection->httpd->handler(connection, &request, connection->httpd->context);
    return !connection->closing;
}

static void *serve_all(void *context)
{
    struct httpd_connection *connection = context;
    while (serve(connection))
        ;
    /* The descriptor stays: only the peer is to see the end. */
    shutdown(connection->fd, SHUT_RDWR);
    return NULL;
}

static void add_connection(struct httpd *httpd, int fd)
{
    struct httpd_connection *connection = calloc(1, sizeof *connection);
    must(connection != NULL, "calloc");
    connection->httpd = httpd;
    connection->fd = fd;
    lock(httpd);
    connection->number = ++httpd->connection_count;
    connection->next = httpd->connections;
    httpd->connections = connection;
    if (httpd->stopping)
        shutdown(fd, SHUT_RDWR);
    must(pthread_create(&connection->thread, NULL, serve_all, connection) == 0, "pthread_create");
    unlock(httpd);
}

static void *accept_all(void *context)
{
    struct httpd *httpd = context;
    for (;;) {
        int fd = accept(httpd->listener, NULL, NULL);
        if (fd >= 0)
            add_connection(httpd, fd);
        else if (errno != EINTR && errno != ECONNABORTED)
            return NULL; /* the listener was shut down */
    }
}

struct httpd *httpd_start(httpd_handler *handler, void *context)
{
    struct httpd *httpd = calloc(1, sizeof *httpd);
    must(httpd != NULL, "calloc");
    httpd->handler = handler;
    httpd->context = context;
    must(pthread_mutex_init(&httpd->lock, NULL) == 0, "pthread_mutex_init");
    httpd->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(httpd->listener >= 0, "socket");
    struct sockaddr_in address = {.sin_family = AF_INET};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    must(bind(httpd->listener, (struct sockaddr *)&address, size) == 0, "bind");
    must(listen(httpd->listener, 128) == 0, "listen");
    must(getsockname(httpd->listener, (struct sockaddr *)&address, &size) == 0, "getsockname");
    httpd->port = ntohs(address.sin_port);
    snprintf(httpd->url, sizeof httpd->url, "http://127.0.0.1:%u", httpd->port);
    must(pthread_create(&httpd->acceptor, NULL, accept_all, httpd) == 0, "pthread_create");
    return httpd;
}

void httpd_stop(struct httpd *httpd)
{
    if (!httpd)
        return;
    lock(httpd);
    httpd->stopping = true;
    for (struct httpd_connection *c = httpd->connections; c; c = c->next)
        shutdown(c->fd, SHUT_RDWR);
    unlock(httpd);
    shutdown(httpd->listener, SHUT_RDWR);
    pthread_join(httpd->acceptor, NULL);
    close(httpd->listener);
    while (httpd->connections) {
        struct httpd_connection *connection = httpd->connections;
        httpd->connections = connection->next;
        pthread_join(connection->thread, NULL);
        close(connection->fd);
        free(connection);
    }
    pthread_mutex_destroy(&httpd->lock);
    free(httpd);
}

const char *httpd_url(const struct httpd *httpd)
{
    return httpd->url;
}

unsigned httpd_port(const struct httpd *httpd)
{
    return httpd->port;
}

unsigned httpd_request_count(struct httpd *httpd)
{
    lock(httpd);
    unsigned count = httpd->request_count;
    unlock(httpd);
    return count;
}

unsigned httpd_connection_count(struct httpd *httpd)
{
    lock(httpd);
    unsigned count = httpd->connection_count;
    unlock(httpd);
    return count;
}

void httpd_write(struct httpd_connection *connection, const void *data, size_t size)
{
    const char *at = data;
    while (size) {
        ssize_t sent = send(connection->fd, at, size, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return;
        at += sent;
        size -= (size_t)sent;
    }
}

void httpd_puts(struct httpd_connection *connection, const char *text)
{
    httpd_write(connection, text, strlen(text));
}

void httpd_reply(struct httpd_connection *connection, int status, const char *headers,
                 const char *body)
{
    CLEANUP(buf_fini) struct buf out = BUF_INIT(REQUEST_SIZE_MAX);
    buf_printf(&out, "HTTP/1.1 %d Scripted\r\nContent-Length: %zu\r\n%s\r\n%s", status,
               strlen(body), headers ? headers : "", body);
    httpd_write(connection, out.data, out.size);
}

void httpd_close(struct httpd_connection *connection)
{
    connection->closing = true;
}

void httpd_reset(struct httpd_connection *connection)
{
    /* Connecting a TCP socket to AF_UNSPEC dissolves the association, which resets the peer. */
    const struct sockaddr nowhere = {.sa_family = AF_UNSPEC};
    must(connect(connection->fd, &nowhere, sizeof nowhere) == 0, "connect");
    connection->closing = true;
}

void httpd_hang(struct httpd_connection *connection)
{
    struct pollfd wait = {.fd = connection->fd, .events = POLLRDHUP};
    while (poll(&wait, 1, -1) < 0 && errno == EINTR)
        ;
    connection->closing = true;
}
