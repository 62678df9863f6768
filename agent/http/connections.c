/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/http/connections.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/log.h"

/* For the whole of a request, and for a TLS handshake. */
#define READING_MS 10000
#define IDLE_MS 30000
/* An answer of megabytes over a slow line; one that does not move at all is ended sooner. */
#define SENDING_MS 60000

/* Descriptors that the rest of the process may need. */
#define DESCRIPTORS_SPARE ((size_t)512)

struct connection {
    struct connection *previous, *next;
    int fd;
    enum connection_phase phase;
    int64_t since_ms;
    bool cut;
};

struct connections {
    pthread_mutex_t lock;
    struct connection *first;
    size_t count;
};

struct connections *connections_new(void)
{
    struct connections *connections = calloc(1, sizeof *connections);
    pthread_mutex_init(&connections->lock, NULL);
    return connections;
}

void connections_free(struct connections *connections)
{
    if (!connections)
        return;
    pthread_mutex_destroy(&connections->lock);
    free(connections);
}

struct connection *connections_add(struct connections *connections, int fd)
{
    struct connection *connection = calloc(1, sizeof *connection);
    connection->fd = fd;
    connection->since_ms = clock_mono_ms();
    pthread_mutex_lock(&connections->lock);
    connection->next = connections->first;
    if (connection->next)
        connection->next->previous = connection;
    connections->first = connection;
    connections->count++;
    pthread_mutex_unlock(&connections->lock);
    return connection;
}

void connections_remove(struct connections *connections, struct connection *connection)
{
    pthread_mutex_lock(&connections->lock);
    if (connection->previous)
        connection->previous->next = connection->next;
    else
        connections->first = connection->next;
    if (connection->next)
        connection->next->previous = connection->previous;
    connections->count--;
    pthread_mutex_unlock(&connections->lock);
    free(connection);
}

void connections_enter(struct connections *connections, struct connection *connection,
                       enum connection_phase phase)
{
    pthread_mutex_lock(&connections->lock);
    connection->phase = phase;
    connection->since_ms = clock_mono_ms();
    pthread_mutex_unlock(&connections->lock);
}

size_t connections_count(struct connections *connections)
{
    pthread_mutex_lock(&connections->lock);
    size_t count = connections->count;
    pthread_mutex_unlock(&connections->lock);
    return count;
}

static int64_t patience_of(enum connection_phase phase)
{
    switch (phase) {
    case CONNECTION_OPENED:
    case CONNECTION_READING:
        return READING_MS;
    case CONNECTION_IDLE:
        return IDLE_MS;
    case CONNECTION_SENDING:
        return SENDING_MS;
    case CONNECTION_BUSY:
        break;
    }
    return INT64_MAX;
}

size_t connections_cut_slow(struct connections *connections, int64_t now_ms)
{
    size_t cut = 0;
    pthread_mutex_lock(&connections->lock);
    for (struct connection *at = connections->first; at; at = at->next) {
        if (at->cut || now_ms - at->since_ms < patience_of(at->phase))
            continue;
        /* only libmicrohttpd may close it, which the end of the stream makes it do */
        shutdown(at->fd, SHUT_RDWR);
        at->cut = true;
        cut += at->phase != CONNECTION_IDLE;
    }
    pthread_mutex_unlock(&connections->lock);
    return cut;
}

size_t connections_may_open(size_t connections)
{
    struct rlimit limit;
    size_t wanted = connections + CONNECTIONS_SPARE + DESCRIPTORS_SPARE;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
        return connections;
    limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        (void)getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur >= wanted)
        return connections;
    size_t left = limit.rlim_cur < 2 * DESCRIPTORS_SPARE
                      ? limit.rlim_cur / 2
                      : limit.rlim_cur - DESCRIPTORS_SPARE - CONNECTIONS_SPARE;
    log_warn("serve.descriptors", LOG_INT("limit", (int64_t)limit.rlim_cur),
             LOG_INT("connections", (int64_t)left));
    return left;
}
