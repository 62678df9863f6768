/* SPDX-License-Identifier: Apache-2.0 */
/* Vectors bought lately, shared by all threads of a process, so that none is bought twice: not by
 * two versions of one model, and not by two threads at the same moment.
 *
 * Any thread. Who holds claims settles all of them (publishes or abandons) before it waits for
 * others': two threads that waited for each other's would wait for ever.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/sha256.h"
#include "embed/fingerprint.h"

struct vectors;

struct vectors_key {
    struct sha256 content; /* content_fp of the chunk */
    struct sha256 origin;  /* of vectors_origin() */
    size_t dims;           /* of the vector; decided by the origin */
};

/* Whose vectors are interchangeable: those of one embedding part bought from one embedder of the
 * configuration. Another embedder may be another server, which knows the name of the model too. */
struct sha256 vectors_origin(const struct embed_config *embed, const char *embedder);
/* The same bought for one taker alone: interchangeable with no other's. */
struct sha256 vectors_origin_of(const struct sha256 *origin, const char *taker);

/* Keeps `limit` bytes at most, claims aside: their number is bounded by what is in flight. */
struct vectors *vectors_new(size_t limit);
void vectors_free(struct vectors *vectors);

enum vectors_answer {
    VECTORS_HIT,    /* copied to `out` */
    VECTORS_MINE,   /* the caller buys it, then publishes or abandons it */
    VECTORS_OTHERS, /* another is buying it just now: wait, and claim again */
};

enum vectors_answer vectors_claim(struct vectors *vectors, const struct vectors_key *key,
                                  float *out);
/* Ends a claim: the vector is kept, and who waits finds it. */
void vectors_publish(struct vectors *vectors, const struct vectors_key *key, const float *vector);
/* Ends a claim without a vector: the next who claims buys it. */
void vectors_abandon(struct vectors *vectors, const struct vectors_key *key);
/* Waits until nobody holds a claim on the key; false: after `ms`, or when `*stop` was set. */
bool vectors_wait(struct vectors *vectors, const struct vectors_key *key, const _Atomic bool *stop,
                  int64_t ms);

struct vectors_counts {
    size_t bytes; /* kept */
    size_t kept;
    size_t claimed;
    uint64_t hits;
    uint64_t misses; /* claims given */
    uint64_t evicted;
};
void vectors_count(struct vectors *vectors, struct vectors_counts *out);
