/* SPDX-License-Identifier: Apache-2.0 */
/* All open connections, and since when each waits for its client: who is too slow is cut.
 *
 * libmicrohttpd's own time-out begins again with every byte; these do not. Any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct connections;
struct connection; /* one; valid from connections_add() to connections_remove() */

enum connection_phase {
    CONNECTION_OPENED,  /* nothing came yet */
    CONNECTION_IDLE,    /* between two requests */
    CONNECTION_READING, /* a request comes in */
    CONNECTION_BUSY,    /* we have it: no limit here */
    CONNECTION_SENDING, /* the client reads the answer */
};

/* Beyond what may be open, so that these can be told; the rest waits in the kernel's queue. */
#define CONNECTIONS_SPARE ((size_t)32)

/* How many, of so many wanted, the system has descriptors for. */
size_t connections_may_open(size_t connections);
struct connections *connections_new(void);
void connections_free(struct connections *connections);

struct connection *connections_add(struct connections *connections, int fd);
void connections_remove(struct connections *connections, struct connection *connection);
void connections_enter(struct connections *connections, struct connection *connection,
                       enum connection_phase phase);
size_t connections_count(struct connections *connections);
/* Cuts those that are too slow and returns how many. */
size_t connections_cut_slow(struct connections *connections, int64_t now_ms);
