/* SPDX-License-Identifier: Apache-2.0 */
/* A session with one server, for the commands of a change stream: each call has a deadline.
 *
 * The driver's own deadline for an answer is that of its pool, minutes, for some calls need that. A
 * server that was cut off says nothing at all; so calls run on a thread, and one that does not come
 * back in time keeps its line, which is cleared away when the call returns at last. Belongs to one
 * thread.
 */
#pragma once

#include <mongoc/mongoc.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/* True when the caller does not want to wait any more (it is stopping). */
typedef bool line_cancelled(void *context);

struct line_wait {
    int64_t ms;                /* longest */
    int64_t quiet_ms;          /* so long `cancelled` is not asked */
    line_cancelled *cancelled; /* NULL: never */
    void *context;
};

struct source_line;

/* Takes a client and selects a server. */
bool line_open(mongoc_client_pool_t *pool, const char *database, struct source_line **out,
               struct err *err) MUST_USE;
/* Ends the cursor of that id at the server, if it is not 0, and gives the client back. A call under way
 * is waited for a moment if there is a cursor to be ended, and else left to its thread. */
void line_close(struct source_line *line, int64_t cursor_id);

/* Whether the server has more after this reply: the same call is then made again at once. */
typedef bool line_more(const bson_t *reply);

/* Begins a call, or with `more` (NULL: one call only) a series of them, which runs ahead of line_end()
 * for a few MiB; takes the command. Not before line_is_calling() says no. */
void line_begin(struct source_line *line, bson_t *command, line_more *more);
/* A reply is there, or to come. */
bool line_is_calling(struct source_line *line);
/* Waits for the next reply, which is given in any case and to be destroyed. When the wait is over before
 * it is there: RETRY, or CANCEL when it was cancelled, and only line_close() may follow. */
bool line_end(struct source_line *line, const struct line_wait *wait, bson_t *reply,
              struct err *err) MUST_USE;
