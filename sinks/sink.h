/* SPDX-License-Identifier: Apache-2.0 */
/* A vector store: collections of records (id, vector, text, metadata).
 *
 * A sink belongs to one thread; sink_interrupt() may be called from any. Back ends embed
 * `struct sink` as their first member. Nothing sleeps or retries here. A reply's "ok", and its
 * count of rows, prove nothing: what matters is read back by the caller.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/http.h"
#include "base/value.h"
#include "sinks/sink_counts.h"

struct sink_options {
    const char *name;   /* as in the configuration */
    const char *driver; /* "chroma", "memory", "null" */
    const char *url;
    const char *tenant;
    const char *database;
    bool documents; /* keep the chunk's text in the store */
    const char *token;
    const char *const *headers; /* "Name: value", NULL-terminated; NULL: none */
    const char *ca_file;
    int64_t timeout_ms; /* of one request */
};

/* What a collection must be. Metadata holds strings and integers only. */
struct sink_spec {
    const char *name;
    size_t dims;
    const char *distance; /* "cosine", "l2", "ip" */
    const struct field *metadata;
    size_t metadata_count;
    int64_t expected; /* records, about; 0: not known */
};

/* What a collection is, as the store says. */
struct sink_collection {
    char id[128]; /* the store's handle; all record calls take it */
    char name[520];
    size_t dims; /* 0: nothing written yet */
    char distance[16];
    struct field *metadata; /* in the arena given */
    size_t metadata_count;
};

struct sink_record {
    const char *id;
    const float *vector;          /* NULL in a scan or fetch: not asked */
    size_t dims;                  /* of the vector; 0: none */
    const char *text;             /* NULL: none, or not asked */
    const struct field *metadata; /* VALUE_NULL in an update removes the key */
    size_t metadata_count;
};

struct sink_match {
    struct sink_record record;
    double distance; /* smaller is nearer: squared for l2, 1 - the product for ip */
};

struct sink_matches {
    struct sink_match *items; /* nearest first */
    size_t count;
};

/* Several vectors, for what is nearest to each. */
struct sink_queries {
    const float *const *vectors;
    size_t count;
    size_t dims;
    size_t k;
};

enum sink_include { SINK_IDS = 0, SINK_METADATA = 1, SINK_VECTORS = 2, SINK_TEXT = 4 };

struct sink_limits {
    size_t max_records;   /* of one upsert */
    size_t max_body_size; /* bytes of one request */
    size_t max_ids;       /* of one erase or fetch */
};

struct sink;

struct sink_ops {
    const char *name;
    size_t writers; /* upserts in flight that the store takes best */
    bool (*open)(const struct sink_options *options, struct sink **out, struct err *err) MUST_USE;
    /* Asks the store for its limits and that it answers; fills sink->limits. */
    bool (*connect)(struct sink *sink, struct err *err) MUST_USE;
    /* *found false when there is none of that name. */
    bool (*find)(struct sink *sink, const char *name, struct arena *arena, bool *found,
                 struct sink_collection *out, struct err *err) MUST_USE;
    /* The same by the store's handle. */
    bool (*find_id)(struct sink *sink, const char *id, struct arena *arena, bool *found,
                    struct sink_collection *out, struct err *err) MUST_USE;
    /* Creates it; FATAL when the name is taken. */
    bool (*create)(struct sink *sink, const struct sink_spec *spec, struct arena *arena,
                   struct sink_collection *out, struct err *err) MUST_USE;
    bool (*drop)(struct sink *sink, const char *name, struct err *err) MUST_USE; /* idempotent */
    /* By its handle, which stays. Any error when the name is taken: sink_rename() looks why. */
    bool (*rename)(struct sink *sink, const char *id, const char *name, struct err *err) MUST_USE;
    bool (*list)(struct sink *sink, struct arena *arena, struct sink_collection **out,
                 size_t *count, struct err *err) MUST_USE;
    /* Idempotent. All records are visible on true; on false any subset may be. */
    bool (*upsert)(struct sink *sink, const char *collection, const struct sink_record *records,
                   size_t count, struct err *err) MUST_USE;
    /* Metadata only: vector and text are not looked at. Unknown ids are not an error. */
    bool (*update)(struct sink *sink, const char *collection, const struct sink_record *records,
                   size_t count, struct err *err) MUST_USE;
    bool (*erase)(struct sink *sink, const char *collection, const char *const *ids, size_t count,
                  struct err *err) MUST_USE;
    bool (*count)(struct sink *sink, const char *collection, int64_t *out, struct err *err)
        MUST_USE;
    /* One page of records in the store's own order, from `offset`; *count 0 at the end. */
    bool (*scan)(struct sink *sink, const char *collection, size_t offset, unsigned include,
                 struct arena *arena, struct sink_record **out, size_t *count, struct err *err)
        MUST_USE;
    /* The records of these ids that exist, in any order. */
    bool (*fetch)(struct sink *sink, const char *collection, const char *const *ids,
                  size_t id_count, unsigned include, struct arena *arena, struct sink_record **out,
                  size_t *count, struct err *err) MUST_USE;
    /* The k nearest, nearest first, with text and metadata. `where`: JSON of where.h, or NULL. */
    bool (*query)(struct sink *sink, const char *collection, const float *vector, size_t dims,
                  size_t k, const char *where, struct arena *arena, struct sink_match **out,
                  size_t *count, struct err *err) MUST_USE;
    /* out[count]: the k nearest of each, with metadata and without text, in one request. NULL: they
     * are asked for one by one. */
    bool (*query_each)(struct sink *sink, const char *collection,
                       const struct sink_queries *queries, struct arena *arena,
                       struct sink_matches *out, struct err *err) MUST_USE;
    void (*interrupt)(struct sink *sink);
    void (*close)(struct sink *sink);
};

struct sink {
    const struct sink_ops *ops;
    struct sink_counts *counts; /* of its requests; NULL: they are not counted */
    struct sink_limits limits;
    struct http *http;       /* NULL where none is needed */
    http_may_send *may_send; /* NULL: all may be sent */
    void *guard_context;
};

extern const struct sink_ops *const sink_registry[]; /* ends with NULL */

/* Wrappers assert the contract and split by sink->limits; each back end sees only what it takes. */
bool sink_open(const struct sink_options *options, struct sink **out, struct err *err) MUST_USE;
/* Upserts in flight that a store of this driver takes best, over all sinks that write to it. */
size_t sink_writers(const char *driver);
bool sink_connect(struct sink *sink, struct err *err) MUST_USE;
bool sink_find(struct sink *sink, const char *name, struct arena *arena, bool *found,
               struct sink_collection *out, struct err *err) MUST_USE;
bool sink_find_id(struct sink *sink, const char *id, struct arena *arena, bool *found,
                  struct sink_collection *out, struct err *err) MUST_USE;
/* Finds or creates; what the store says is compared with `spec` (distance, dims, and each of the
 * spec's metadata fields): a difference is FATAL, STATE, with both values. */
bool sink_ensure(struct sink *sink, const struct sink_spec *spec, struct arena *arena,
                 struct sink_collection *out, struct err *err) MUST_USE;
bool sink_drop(struct sink *sink, const char *name, struct err *err) MUST_USE;
/* Gives the collection of this handle another name; records, metadata and handle stay. Idempotent.
 * FATAL, HTTP, 409 with both names when another collection has it. After RETRY it may be carried out
 * yet. */
bool sink_rename(struct sink *sink, const char *id, const char *name, struct arena *arena,
                 struct err *err) MUST_USE;
bool sink_list(struct sink *sink, struct arena *arena, struct sink_collection **out, size_t *count,
               struct err *err) MUST_USE;
bool sink_upsert(struct sink *sink, const char *collection, const struct sink_record *records,
                 size_t count, struct err *err) MUST_USE;
bool sink_update(struct sink *sink, const char *collection, const struct sink_record *records,
                 size_t count, struct err *err) MUST_USE;
bool sink_erase(struct sink *sink, const char *collection, const char *const *ids, size_t count,
                struct err *err) MUST_USE;
bool sink_count(struct sink *sink, const char *collection, int64_t *out, struct err *err) MUST_USE;
bool sink_scan(struct sink *sink, const char *collection, size_t offset, unsigned include,
               struct arena *arena, struct sink_record **out, size_t *count, struct err *err)
    MUST_USE;
bool sink_fetch(struct sink *sink, const char *collection, const char *const *ids, size_t id_count,
                unsigned include, struct arena *arena, struct sink_record **out, size_t *count,
                struct err *err) MUST_USE;
/* How many of the records sink_upsert() or sink_update() sends in one request: at least one. */
size_t sink_part(const struct sink *sink, const struct sink_record *records, size_t count);
struct sink_query {
    const float *vector;
    size_t dims;
    size_t k;
    const char *where; /* JSON, of the subset of where.h; NULL: all */
};
bool sink_query(struct sink *sink, const char *collection, const struct sink_query *query,
                struct arena *arena, struct sink_match **out, size_t *count, struct err *err)
    MUST_USE;
/* The same for many vectors, in as few requests as that takes; the records come without their text. *out is
 * an array of queries->count, in the arena. */
bool sink_query_each(struct sink *sink, const char *collection, const struct sink_queries *queries,
                     struct arena *arena, struct sink_matches **out, struct err *err) MUST_USE;
/* Asked right before each request to a server goes out; false: it is not sent and its call fails with
 * ERR_CANCEL. */
void sink_set_guard(struct sink *sink, http_may_send *may_send, void *context);
/* Every request from now on is counted there; borrowed. */
void sink_set_counts(struct sink *sink, struct sink_counts *counts);
void sink_interrupt(struct sink *sink);
void sink_close(struct sink *sink); /* NULL is fine */
DEFINE_FREEP(struct sink, sink_close)
