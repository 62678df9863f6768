/* SPDX-License-Identifier: Apache-2.0 */
/* The bridge to libmongoc: its start, its pool, and its errors as ours. */
#pragma once

#include <mongoc/mongoc.h>

#include "base/err.h"

DEFINE_FREEP(bson_t, bson_destroy)
DEFINE_FREEP(mongoc_cursor_t, mongoc_cursor_destroy)
DEFINE_FREEP(mongoc_collection_t, mongoc_collection_destroy)

/* Once per process: starts the driver and sends its log lines to ours (debug level). */
void mongo_global_init(void);

/* Always a pooled client: a single-threaded one fails at once during an election. The pool is
 * thread-safe; a client from it belongs to one thread. Server selection and connecting take at most
 * 5 s unless the URI says otherwise. *err is FATAL, CONFIG for a bad URI. */
bool mongo_pool_open(const char *uri, mongoc_client_pool_t **out, struct err *err) MUST_USE;
/* The same for calls with a deadline of their own: the driver waits for an answer for `ms`, whatever the
 * URI says. */
bool mongo_pool_open_patient(const char *uri, int32_t ms, mongoc_client_pool_t **out,
                             struct err *err) MUST_USE;
/* A client is out: some call has not returned. What it may use must stay. */
bool mongo_is_busy(void);
/* Does nothing while a client is still out: a call that does not return has it, and the process is
 * about to end. */
void mongo_pool_close(mongoc_client_pool_t *pool);

/* A client of the pool for one scope:
 *     CLEANUP(mongo_client_release) struct mongo_client c = mongo_client_of(pool); */
struct mongo_client {
    mongoc_client_pool_t *pool;
    mongoc_client_t *client;
};
struct mongo_client mongo_client_of(mongoc_client_pool_t *pool); /* blocks while all are taken */
void mongo_client_release(struct mongo_client *client);

/* Classifies the driver's error: authentication and privilege problems (13, 18, 8000, and the
 * client-side 11) are FATAL, and their text names server, user and what lacks; everything else is
 * RETRY. Returns false. */
bool mongo_err(struct err *err, const bson_error_t *error, const char *what);
