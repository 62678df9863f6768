/* SPDX-License-Identifier: Apache-2.0 */
/* What the suites over docstore share: its back ends, and documents by their JSON. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "conformance/mongod.h"
#include "state/checkpoint.h"
#include "support/test.h"

#define THREADS 8
#define DEADLINE_MS 20000

static struct mongod mongod;
static struct docstore *stores[2]; /* memory, mongo */

static inline struct docstore *store_of(void **state)
{
    return *(struct docstore **)*state;
}

static inline struct docstore *mongo_store(void)
{
    return stores[1];
}

static inline struct doc_ref ref_of(const char *id)
{
    return (struct doc_ref){.collection = "documents", .id = id, .counter = "rev"};
}

static inline enum doc_swap swap(struct docstore *store, const char *id, int64_t expected,
                                 int number)
{
    struct doc_ref ref = ref_of(id);
    struct err err;
    enum doc_swap outcome = DOC_LOST;
    bson_t *doc = BCON_NEW("number", BCON_INT32(number));
    bool ok = docstore_swap(store, &ref, expected, doc, &outcome, &err);
    bson_destroy(doc);
    if (!ok)
        fail_msg("%s", err.text);
    return outcome;
}

static inline int64_t number_at(struct docstore *store, const char *id, const char *path)
{
    struct doc_ref ref = ref_of(id);
    struct err err;
    bson_t *doc = NULL;
    bson_iter_t iter;
    bson_iter_t found;
    assert_true(docstore_load(store, &ref, &doc, NULL, &err));
    int64_t number =
        doc && bson_iter_init(&iter, doc) && bson_iter_find_descendant(&iter, path, &found)
            ? bson_iter_as_int64(&found)
            : -1;
    bson_destroy(doc);
    return number;
}

/* Notes are written with w:1; what a majority read sees is behind that until a majority write. */
static inline void settle(struct docstore *store)
{
    struct doc_ref ref = ref_of("nobody");
    struct err err;
    assert_true(docstore_remove(store, &ref, &err));
}

static inline void put_raw(struct docstore *store, const char *collection, const char *id,
                           const char *json)
{
    struct doc_ref ref = {.collection = collection, .id = id, .counter = "rev"};
    struct err err;
    bson_error_t error;
    bson_t *doc = bson_new_from_json((const uint8_t *)json, -1, &error);
    assert_non_null(doc);
    assert_true(docstore_note(store, &ref, doc, NULL, &err));
    bson_destroy(doc);
    settle(store);
}

static inline char *as_json(struct docstore *store, const char *collection, const char *id)
{
    struct doc_ref ref = {.collection = collection, .id = id, .counter = "rev"};
    struct err err;
    bson_t *doc = NULL;
    assert_true(docstore_load(store, &ref, &doc, NULL, &err));
    assert_non_null(doc);
    char *json = bson_as_relaxed_extended_json(doc, NULL);
    bson_destroy(doc);
    return json;
}

struct race {
    struct docstore *store;
    char id[64];
    int64_t expected;
    pthread_barrier_t barrier;
    _Atomic int next;
    _Atomic int won;
    _Atomic int failed;
    char *identities[THREADS];
    struct lease *leases[THREADS];
};

static inline void run_race(struct race *race, void *(*run)(void *))
{
    pthread_t threads[THREADS];
    race->next = 0;
    race->won = 0;
    race->failed = 0;
    pthread_barrier_init(&race->barrier, NULL, THREADS);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run, race), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&race->barrier);
    assert_int_equal(race->failed, 0);
}

static inline void assert_refused(const struct err *err, const char *word)
{
    assert_int_equal(err->action, ERR_FATAL);
    assert_int_equal(err->domain, ERR_STATE);
    if (!strstr(err->text, word))
        fail_msg("'%s' does not speak of %s", err->text, word);
}

#define WRITE_CONCERN_ERROR "\"writeConcernError\": {\"code\": 64, \"errmsg\": \"injected\"}"
#define CLOSED "\"closeConnection\": true"

static inline int open_all(void **state)
{
    (void)state;
    if (!mongod_open(&mongod))
        return -1;
    stores[0] = docstore_memory_new();
    stores[1] = docstore_mongo_new(mongod.pool, mongod.database);
    return 0;
}

static inline int close_all(void **state)
{
    (void)state;
    docstore_free(stores[0]);
    docstore_free(stores[1]);
    mongod_close(&mongod);
    return 0;
}

/* each test over memory and over mongo */
#define BOTH(test)                                                                                 \
    {"over memory: " #test, test, NULL, NULL, &stores[0]},                                         \
    {                                                                                              \
        "over mongo: " #test, test, NULL, NULL, &stores[1]                                         \
    }
