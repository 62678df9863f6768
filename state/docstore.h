/* SPDX-License-Identifier: Apache-2.0 */
/* Small documents with compare-and-set: what lease, checkpoint, registry and alias are built on.
 *
 * Two back ends: mongo (majority reads and writes, the server's clock) and memory. Any thread; each
 * call blocks for at most the driver's timeouts.
 */
#pragma once

#include <mongoc/mongoc.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct docstore;

/* Where a document lives, and the field that counts its states. A document without that field, or
 * no document at all, counts as 0. */
struct doc_ref {
    const char *database; /* NULL: the state database */
    const char *collection;
    const char *id;
    const char *counter; /* "rev", or "epoch" for an alias */
};

enum doc_swap {
    DOC_WON,
    DOC_LOST, /* the stored counter was not the expected one */
};

/* The pool is borrowed; `database` is copied. */
struct docstore *docstore_mongo_new(mongoc_client_pool_t *pool, const char *database);
struct docstore *docstore_memory_new(void);
void docstore_free(struct docstore *store);
DEFINE_FREEP(struct docstore, docstore_free)

/* *doc is NULL when there is none; the caller destroys it. *now_ms, when asked for, is the server's
 * clock at the read. */
bool docstore_load(struct docstore *store, const struct doc_ref *ref, bson_t **doc, int64_t *now_ms,
                   struct err *err) MUST_USE;

/* Writes `doc` (without `_id` and counter: both are added, the counter as expected + 1) when the
 * stored counter is `expected`. An unknown outcome (a lost connection, a write-concern timeout) is
 * read back here, so that success is always one of the two. */
bool docstore_swap(struct docstore *store, const struct doc_ref *ref, int64_t expected,
                   const bson_t *doc, enum doc_swap *outcome, struct err *err) MUST_USE;

/* Documents of the collection whose _id begins with `prefix`, by _id. *docs is an array of *count
 * documents, each to be destroyed, and the array freed: docstore_list_free(). */
bool docstore_list(struct docstore *store, const char *collection, const char *prefix,
                   bson_t ***docs, size_t *count, struct err *err) MUST_USE;
void docstore_list_free(bson_t **docs, size_t count);

bool docstore_remove(struct docstore *store, const struct doc_ref *ref, struct err *err) MUST_USE;

/* Unconditional: sets the fields of `set` and adds the numbers of `add` (either may be NULL),
 * creating the document. Not a compare-and-set: for statistics only, written with w:1. */
bool docstore_note(struct docstore *store, const struct doc_ref *ref, const bson_t *set,
                   const bson_t *add, struct err *err) MUST_USE;

/* Of what is written down, the whole state of a deployment and each document: what has a higher one is
 * refused, with an error FATAL, STATE of the code STATE_NEWER. */
#define STATE_SCHEMA 1
#define STATE_NEWER 1
