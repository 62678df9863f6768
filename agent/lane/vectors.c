/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/lane/vectors.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"

#define LOOK_MS 100

struct entry {
    struct entry *chain; /* of its bucket */
    struct entry *newer; /* in the order of use; NULL in a claim */
    struct entry *older;
    struct vectors_key key;
    bool claimed;
    float vector[]; /* none in a claim */
};

struct vectors {
    pthread_mutex_t lock; /* one: a claim holds it for the time of a copy */
    pthread_cond_t settled;
    struct entry **buckets;
    size_t bucket_mask;
    struct entry *newest;
    struct entry *oldest;
    size_t limit;
    struct vectors_counts counts;
};

struct sha256 vectors_origin_of(const struct sha256 *origin, const char *taker)
{
    size_t size = strlen(taker);
    char *both = malloc(sizeof origin->bytes + size);
    if (!both)
        abort();
    memcpy(both, origin->bytes, sizeof origin->bytes);
    memcpy(both + sizeof origin->bytes, taker, size);
    struct sha256 fp = sha256_of(both, sizeof origin->bytes + size);
    free(both);
    return fp;
}

struct sha256 vectors_origin(const struct embed_config *embed, const char *embedder)
{
    struct sha256 fp = embedding_fp(embed);
    return vectors_origin_of(&fp, embedder);
}

/* One bucket for each KiB, which is a vector of 256 dimensions. */
static size_t bucket_count(size_t limit)
{
    size_t count = 64;
    while (count < limit / KIB)
        count *= 2;
    return count;
}

struct vectors *vectors_new(size_t limit)
{
    struct vectors *vectors = calloc(1, sizeof *vectors);
    size_t count = bucket_count(limit);
    if (!vectors)
        abort();
    vectors->buckets = calloc(count, sizeof *vectors->buckets);
    if (!vectors->buckets)
        abort();
    vectors->bucket_mask = count - 1;
    vectors->limit = limit;
    pthread_mutex_init(&vectors->lock, NULL);
    clock_cond_init(&vectors->settled);
    return vectors;
}

void vectors_free(struct vectors *vectors)
{
    if (!vectors)
        return;
    for (size_t i = 0; i <= vectors->bucket_mask; i++) {
        for (struct entry *entry = vectors->buckets[i], *next; entry; entry = next) {
            next = entry->chain;
            free(entry);
        }
    }
    free(vectors->buckets);
    pthread_cond_destroy(&vectors->settled);
    pthread_mutex_destroy(&vectors->lock);
    free(vectors);
}

/* Where the entry of the key hangs, or would: both parts are hashes already. */
static struct entry **slot_of(struct vectors *vectors, const struct vectors_key *key)
{
    uint64_t content, origin;
    memcpy(&content, key->content.bytes, sizeof content);
    memcpy(&origin, key->origin.bytes, sizeof origin);
    struct entry **slot = &vectors->buckets[(content ^ origin) & vectors->bucket_mask];
    while (*slot && (memcmp(&(*slot)->key.content, &key->content, sizeof key->content) != 0 ||
                     memcmp(&(*slot)->key.origin, &key->origin, sizeof key->origin) != 0))
        slot = &(*slot)->chain;
    return slot;
}

static size_t size_of(const struct entry *entry)
{
    return sizeof *entry + (entry->claimed ? 0 : entry->key.dims * sizeof(float));
}

static struct entry *hang(struct vectors *vectors, const struct vectors_key *key, bool claimed)
{
    size_t size = sizeof(struct entry) + (claimed ? 0 : key->dims * sizeof(float));
    struct entry *entry = calloc(1, size);
    if (!entry)
        abort();
    entry->key = *key;
    entry->claimed = claimed;
    struct entry **slot = slot_of(vectors, key);
    entry->chain = *slot;
    *slot = entry;
    return entry;
}

static void unhang(struct entry **slot)
{
    struct entry *entry = *slot;
    *slot = entry->chain;
    free(entry);
}

static void unlink_use(struct vectors *vectors, struct entry *entry)
{
    if (entry->newer)
        entry->newer->older = entry->older;
    else
        vectors->newest = entry->older;
    if (entry->older)
        entry->older->newer = entry->newer;
    else
        vectors->oldest = entry->newer;
}

static void link_newest(struct vectors *vectors, struct entry *entry)
{
    entry->newer = NULL;
    entry->older = vectors->newest;
    if (vectors->newest)
        vectors->newest->newer = entry;
    else
        vectors->oldest = entry;
    vectors->newest = entry;
}

static void evict(struct vectors *vectors)
{
    while (vectors->counts.bytes > vectors->limit) {
        struct entry *entry = vectors->oldest;
        unlink_use(vectors, entry);
        vectors->counts.bytes -= size_of(entry);
        vectors->counts.kept--;
        vectors->counts.evicted++;
        unhang(slot_of(vectors, &entry->key));
    }
}

static enum vectors_answer take(struct vectors *vectors, struct entry *entry, float *out)
{
    vectors->counts.hits++;
    memcpy(out, entry->vector, entry->key.dims * sizeof *out);
    unlink_use(vectors, entry);
    link_newest(vectors, entry);
    return VECTORS_HIT;
}

enum vectors_answer vectors_claim(struct vectors *vectors, const struct vectors_key *key,
                                  float *out)
{
    enum vectors_answer answer;
    pthread_mutex_lock(&vectors->lock);
    struct entry *entry = *slot_of(vectors, key);
    assert(!entry || entry->key.dims == key->dims);
    if (!entry) {
        hang(vectors, key, true);
        vectors->counts.claimed++;
        vectors->counts.misses++;
        answer = VECTORS_MINE;
    } else {
        answer = entry->claimed ? VECTORS_OTHERS : take(vectors, entry, out);
    }
    pthread_mutex_unlock(&vectors->lock);
    return answer;
}

static void settle(struct vectors *vectors, const struct vectors_key *key, const float *vector)
{
    pthread_mutex_lock(&vectors->lock);
    struct entry **slot = slot_of(vectors, key);
    assert(*slot && (*slot)->claimed);
    unhang(slot);
    vectors->counts.claimed--;
    if (vector) {
        struct entry *entry = hang(vectors, key, false);
        memcpy(entry->vector, vector, key->dims * sizeof *vector);
        link_newest(vectors, entry);
        vectors->counts.bytes += size_of(entry);
        vectors->counts.kept++;
        evict(vectors);
    }
    pthread_cond_broadcast(&vectors->settled);
    pthread_mutex_unlock(&vectors->lock);
}

void vectors_publish(struct vectors *vectors, const struct vectors_key *key, const float *vector)
{
    settle(vectors, key, vector);
}

void vectors_abandon(struct vectors *vectors, const struct vectors_key *key)
{
    settle(vectors, key, NULL);
}

bool vectors_wait(struct vectors *vectors, const struct vectors_key *key, const _Atomic bool *stop,
                  int64_t ms)
{
    int64_t until_ms = clock_mono_ms() + ms;
    pthread_mutex_lock(&vectors->lock);
    for (;;) {
        struct entry *entry = *slot_of(vectors, key);
        int64_t left_ms = until_ms - clock_mono_ms();
        if (!entry || !entry->claimed || left_ms <= 0 || atomic_load(stop)) {
            pthread_mutex_unlock(&vectors->lock);
            return !entry || !entry->claimed;
        }
        clock_wait(&vectors->settled, &vectors->lock, left_ms < LOOK_MS ? left_ms : LOOK_MS);
    }
}

void vectors_count(struct vectors *vectors, struct vectors_counts *out)
{
    pthread_mutex_lock(&vectors->lock);
    *out = vectors->counts;
    pthread_mutex_unlock(&vectors->lock);
}
