/* SPDX-License-Identifier: Apache-2.0 */
/* What the suites over the ledger share: a ledger for each test, and rows to put into it. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "base/limits.h"
#include "conformance/mongod.h"
#include "state/ledger.h"
#include "support/test.h"

#define THREADS 8
#define VALID_MS 60000

static struct mongod mongod;
/* what set_up() is given: whether to use the server */
static bool use_memory __attribute__((unused)) = false;
static bool use_mongo = true;

/* What one test works with: a ledger of its own, an arena, and another owner of the same rows. */
struct fixture {
    struct ledger *ledger;
    struct ledger *other;
    struct arena *arena;
    char build_id[17];
    char *collection;
};

static inline struct ledger *open_as(const struct fixture *fixture, bool mongo, const char *owner)
{
    struct ledger_options options = {.pool = mongo ? mongod.pool : NULL,
                                     .database = mongod.database,
                                     .name = "ducks",
                                     .build_id = fixture->build_id,
                                     .owner = owner};
    struct ledger *ledger = NULL;
    struct err err;
    if (!ledger_open(&options, &ledger, &err))
        fail_msg("%s", err.text);
    return ledger;
}

static inline int set_up(void **state)
{
    bool mongo = *(bool *)*state;
    struct fixture *fixture = bson_malloc0(sizeof(*fixture));
    random_hex(fixture->build_id, 8);
    fixture->collection = bson_strdup_printf("ducks.ledger.%s", fixture->build_id);
    fixture->ledger = open_as(fixture, mongo, "pod-a");
    fixture->other = open_as(fixture, mongo, "pod-b");
    fixture->arena = arena_new(LIMIT_ARENA_SIZE);
    *state = fixture;
    return 0;
}

static inline int tear_down(void **state)
{
    struct fixture *fixture = *state;
    struct err err;
    assert_true(ledger_drop(fixture->ledger, &err));
    ledger_close(fixture->ledger);
    ledger_close(fixture->other);
    arena_free(fixture->arena);
    bson_free(fixture->collection);
    bson_free(fixture);
    return 0;
}

static inline struct ledger_row read_one(struct fixture *fixture, const char *key)
{
    struct ledger_row row;
    struct err err;
    if (!ledger_read(fixture->ledger, &key, 1, fixture->arena, &row, &err))
        fail_msg("%s", err.text);
    return row;
}

static inline struct sha256 *digests(struct fixture *fixture, size_t count, int seed)
{
    struct sha256 *chunks = arena_alloc_array(fixture->arena, count + 1, sizeof(*chunks));
    for (size_t i = 0; i < count; i++) {
        memset(chunks[i].bytes, seed, SHA256_SIZE);
        memcpy(chunks[i].bytes, &i, sizeof(i));
    }
    return chunks;
}

static inline struct ledger_row row_of(struct fixture *fixture, const char *key, int64_t gen,
                                       const char *ver, size_t chunks)
{
    struct ledger_row row = {.key = key,
                             .state = LEDGER_DONE,
                             .gen = gen,
                             .ver = ver,
                             .source_id = key,
                             .chunk_count = chunks};
    row.chunks = digests(fixture, chunks, (int)gen);
    row.doc_fp = sha256_of(ver, strlen(ver));
    row.meta_fp = sha256_of(key, strlen(key));
    row.intent = (struct ledger_intent){.gen = gen,
                                        .ver = arena_strdup(fixture->arena, ver),
                                        .source_id = arena_strdup(fixture->arena, key),
                                        .chunks = row.chunks,
                                        .chunk_count = chunks};
    random_hex(row.intent.id, 16);
    return row;
}

/* False: lost. */
static inline bool begin_one(struct ledger *ledger, struct ledger_write *write)
{
    struct ledger_begin begin = {.intents = write, .intent_count = 1, .valid_ms = VALID_MS};
    struct err err;
    if (!ledger_begin(ledger, &begin, &err))
        fail_msg("%s", err.text);
    return !write->lost;
}

static inline bool raise_one(struct ledger *ledger, struct ledger_write *write)
{
    struct ledger_begin begin = {.raises = write, .raise_count = 1};
    struct err err;
    if (!ledger_begin(ledger, &begin, &err))
        fail_msg("%s", err.text);
    return !write->lost;
}

static inline bool finish_one(struct ledger *ledger, struct ledger_write *write)
{
    struct err err;
    if (!ledger_finish(ledger, write, 1, &err))
        fail_msg("%s", err.text);
    return !write->lost;
}

/* Reads, begins and finishes; the row must be free to take. */
static inline void apply(struct fixture *fixture, const struct ledger_row *row)
{
    struct ledger_row was = read_one(fixture, row->key);
    struct ledger_write write = {.was = &was, .row = *row};
    assert_true(begin_one(fixture->ledger, &write));
    assert_true(finish_one(fixture->ledger, &write));
}

static inline void mark_one(struct fixture *fixture, const char *key, const char *reason)
{
    struct err err;
    if (!ledger_mark(fixture->ledger, &key, 1, reason, &err))
        fail_msg("%s", err.text);
}

static inline size_t marked(struct fixture *fixture, size_t limit, const char ***keys)
{
    struct err err;
    size_t count;
    struct ledger_marked *marks;
    if (!ledger_repairs(fixture->ledger, limit, fixture->arena, &marks, &count, &err))
        fail_msg("%s", err.text);
    *keys = arena_alloc_array(fixture->arena, count + 1, sizeof(**keys));
    for (size_t i = 0; i < count; i++)
        (*keys)[i] = marks[i].key;
    return count;
}

static inline void assert_same_text(const char *a, const char *b)
{
    if (!a || !b)
        assert_true(a == b);
    else
        assert_string_equal(a, b);
}

static inline void assert_same_chunks(const struct sha256 *a, const struct sha256 *b, size_t count)
{
    if (count)
        assert_memory_equal(a, b, count * sizeof(*a));
}

static inline void assert_same_row(const struct ledger_row *a, const struct ledger_row *b)
{
    assert_int_equal(a->exists, b->exists);
    assert_string_equal(a->key, b->key);
    assert_int_equal(a->state, b->state);
    assert_true(a->gen == b->gen && a->offset == b->offset);
    assert_same_text(a->ver, b->ver);
    assert_same_text(a->source_id, b->source_id);
    assert_memory_equal(&a->doc_fp, &b->doc_fp, SHA256_SIZE);
    assert_memory_equal(&a->meta_fp, &b->meta_fp, SHA256_SIZE);
    assert_int_equal(a->chunk_count, b->chunk_count);
    assert_same_chunks(a->chunks, b->chunks, a->chunk_count);
    assert_int_equal(a->meta_key_count, b->meta_key_count);
    for (size_t i = 0; i < a->meta_key_count; i++)
        assert_string_equal(a->meta_keys[i], b->meta_keys[i]);
    assert_same_text(a->reason, b->reason);
    assert_int_equal(a->repair, b->repair);
    assert_int_equal(a->skipped, b->skipped);
    assert_int_equal(a->has_intent, b->has_intent);
    if (!a->has_intent)
        return;
    assert_string_equal(a->intent.id, b->intent.id);
    assert_same_text(a->intent.owner, b->intent.owner);
    assert_same_text(a->intent.ver, b->intent.ver);
    assert_same_text(a->intent.source_id, b->intent.source_id);
    assert_true(a->intent.gen == b->intent.gen);
    assert_int_equal(a->intent.chunk_count, b->intent.chunk_count);
    assert_same_chunks(a->intent.chunks, b->intent.chunks, a->intent.chunk_count);
}

static inline int open_all(void **state)
{
    (void)state;
    return mongod_open(&mongod) ? 0 : -1;
}

static inline int close_all(void **state)
{
    (void)state;
    mongod_close(&mongod);
    return 0;
}

/* each test over memory and over mongo, with a ledger of its own */
#define BOTH(test)                                                                                 \
    {"over memory: " #test, test, set_up, tear_down, &use_memory},                                 \
    {                                                                                              \
        "over mongo: " #test, test, set_up, tear_down, &use_mongo                                  \
    }
#define MEMORY(test)                                                                               \
    {                                                                                              \
        "over memory: " #test, test, set_up, tear_down, &use_memory                                \
    }
#define MONGO(test)                                                                                \
    {                                                                                              \
        "over mongo: " #test, test, set_up, tear_down, &use_mongo                                  \
    }
