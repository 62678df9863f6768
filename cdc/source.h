/* SPDX-License-Identifier: Apache-2.0 */
/* The change stream of one source database, read by commands of our own.
 *
 * The driver's change stream object was seen not to return for as long as a fault lasts, and hides
 * the post-batch resume token of empty batches; aggregate and getMore with a session pinned to one
 * server give each error and each token. A source belongs to one thread; a call that the server does
 * not answer is given up: opening when it is cancelled or an hour is over, the
 * next batch half a minute after it was due.
 */
#pragma once

#include <mongoc/mongoc.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/sha256.h"
#include "cdc/token.h"

/* How long an opening may take: the server reads the oplog from the token on, about 100 000 entries a
 * second. */
#define SOURCE_OPEN_MS 3600000

struct source_options {
    mongoc_client_pool_t *pool; /* borrowed */
    mongoc_client_pool_t
        *line_pool; /* borrowed; for the stream itself: one that waits for answers for
                                        an hour. NULL: the other one */
    const char *database;
    const char *const *collections;
    size_t collection_count;
    bool (*cancelled)(
        void *context); /* asked while a call lasts; true: it is given up. May be NULL */
    void *context;
};

/* Where to begin: after `token` (the first choice), at `time` (inclusive), or now. */
struct source_start {
    const char *token;
    const struct cluster_time *time;
    bool skinny; /* without documents, to pass an event that is too large */
};

enum source_kind {
    SOURCE_UPSERT, /* insert, replace, update: full_document, or none when it is gone since */
    SOURCE_DELETE,
    SOURCE_DROPPED,    /* drop, rename away, dropDatabase (collection NULL: all) */
    SOURCE_REPLACED,   /* renamed onto, $out: the whole collection is another; where the old name is
                          a source too, DROPPED of that follows under the same `ver` */
    SOURCE_INVALIDATE, /* the stream has ended; go on after `ver` */
    SOURCE_OTHER,      /* nothing that concerns documents */
};

struct source_event {
    enum source_kind kind;
    const char *type;       /* operationType, as the server says it; NULL: it said none */
    const char *collection; /* whose documents it is about; NULL: the whole database */
    bson_iter_t id;         /* documentKey._id: UPSERT, DELETE */
    bson_t full_document;   /* a view; valid if has_document */
    bool has_document;
    const char *ver;          /* _data of the event's token */
    const uint8_t *type_bits; /* and its _typeBits; NULL: none */
    uint32_t type_bits_size;
    int64_t time_ms; /* wall time of the commit at the server */
};

/* All pointers belong to the source and are valid until its next call. */
struct source_batch {
    struct source_event *events;
    size_t count;
    const char *token;                /* post-batch resume token, as token.h writes it */
    struct cluster_time cluster_time; /* the server's operationTime when it answered */
    bool closed;                      /* the cursor is gone: open again after `token` */
};

/* The event's token, to go on after it; to be freed. */
char *source_event_token(const struct source_event *event);

/* What an error of a source asks for; see the protocol's table. */
enum source_fault {
    SOURCE_FAULT_REOPEN,        /* back off, open again at the durable token */
    SOURCE_FAULT_HISTORY_LOST,  /* the token's history is gone: a gap */
    SOURCE_FAULT_OVERTAKEN,     /* open again at once; then history may be lost */
    SOURCE_FAULT_UNKNOWN_TOKEN, /* the token's event is not in this stream */
    SOURCE_FAULT_TOO_LARGE, /* an event over 16 MiB, also where the server only shows it by closing
                                   the connection again and again: go on without documents */
    SOURCE_FAULT_REFUSED,   /* not authenticated or not allowed */
};
enum source_fault source_fault(const struct err *err);

struct source;

struct source *source_new(const struct source_options *options);
void source_free(struct source *source);
DEFINE_FREEP(struct source, source_free)

/* Opens (or opens again) the stream; the first batch comes with it. A token that lies more than ten
 * seconds ahead of the cluster is refused as HISTORY_LOST: the server would silently drop every
 * event until then. So is one whose time the oplog, where it may be read, knows nothing of. */
bool source_open(struct source *source, const struct source_start *start,
                 struct source_batch *batch, struct err *err) MUST_USE;
/* The next batch; empty after `await_ms` without an event. */
bool source_next(struct source *source, int64_t await_ms, struct source_batch *batch,
                 struct err *err) MUST_USE;
/* Closes the cursor at the server, if there is one. */
void source_stop(struct source *source);

/* Identifies the pipeline: a token of another one may not be found again. "sha256:..." */
const char *source_pipeline_hash(const struct source *source);

/* The cluster's time now. */
bool source_cluster_time(struct source *source, struct cluster_time *out, struct err *err) MUST_USE;
