/* SPDX-License-Identifier: Apache-2.0 */
/* A change stream over a database of its own at a real server, and what came of it. */
#pragma once

#include "cdc/source.h"

#include "support/test.h"

#include "base/attr.h"
#include "base/clock.h"
#include "conformance/mongod.h"

#define MOST 64
#define DEADLINE_MS 30000

static struct mongod server;

/* What came, copied out of the batches. */
struct seen {
    enum source_kind kind;
    char collection[64]; /* "-": the whole database */
    int32_t id;
    bool has_document;
    int32_t value; /* of the document's field v; -1: none */
    char ver[512];
    int64_t time_ms;
};

struct watch {
    struct source *source;
    char database[64];
    struct seen seen[MOST];
    size_t count;
    char token[512];
    bool closed;
    bool cancelled; /* what the source is told when it asks */
};

static inline bool is_cancelled(void *context)
{
    return ((const struct watch *)context)->cancelled;
}

static inline int open_server(void **state)
{
    (void)state;
    return mongod_open(&server) ? 0 : 1;
}

static inline int close_server(void **state)
{
    (void)state;
    mongod_close(&server);
    return 0;
}

static inline bool command(const char *database, const char *json)
{
    bson_error_t error;
    CLEANUP(bson_destroyp) bson_t *doc = bson_new_from_json((const uint8_t *)json, -1, &error);
    if (!doc)
        fail_msg("%s: %s", json, error.message);
    return mongod_run(&server, database, doc, NULL);
}

static int32_t int_field(const bson_t *doc, const char *name)
{
    bson_iter_t iter;
    return bson_iter_init_find(&iter, doc, name) ? (int32_t)bson_iter_as_int64(&iter) : -1;
}

static inline void note(struct watch *watch, const struct source_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        const struct source_event *event = &batch->events[i];
        struct seen *seen = &watch->seen[watch->count];
        assert_true(watch->count < MOST);
        *seen = (struct seen){.kind = event->kind,
                              .id = -1,
                              .has_document = event->has_document,
                              .value = -1,
                              .time_ms = event->time_ms};
        snprintf(seen->collection, sizeof seen->collection, "%s",
                 event->collection ? event->collection : "-");
        snprintf(seen->ver, sizeof seen->ver, "%s", event->ver);
        if (event->kind == SOURCE_UPSERT || event->kind == SOURCE_DELETE)
            seen->id = (int32_t)bson_iter_as_int64(&event->id);
        if (event->has_document)
            seen->value = int_field(&event->full_document, "v");
        watch->count++;
    }
    assert_non_null(batch->token);
    assert_true(strlen(batch->token) < sizeof watch->token);
    snprintf(watch->token, sizeof watch->token, "%s", batch->token);
    watch->closed = batch->closed;
}

static inline void watch_open(struct watch *watch, const struct source_start *start)
{
    struct source_batch batch;
    struct err err;
    if (!source_open(watch->source, start, &batch, &err))
        fail_msg("%s", err.text);
    watch->count = 0;
    note(watch, &batch);
}

static const char *const two[] = {"b", "a"};

/* A database of its own for each test. */
static inline void watch_begin(struct watch *watch, const char *name)
{
    *watch = (struct watch){0};
    snprintf(watch->database, sizeof watch->database, "%s_%s", server.database, name);
    assert_true(command(watch->database, "{\"create\":\"a\"}"));
    assert_true(command(watch->database, "{\"create\":\"b\"}"));
    assert_true(command(watch->database, "{\"create\":\"other\"}"));
    watch->source = source_new(&(struct source_options){.pool = server.pool,
                                                        .database = watch->database,
                                                        .collections = two,
                                                        .collection_count = 2,
                                                        .cancelled = is_cancelled,
                                                        .context = watch});
    watch_open(watch, &(struct source_start){0});
}

static inline void watch_end(struct watch *watch)
{
    source_free(watch->source);
    assert_true(command(watch->database, "{\"dropDatabase\":1}"));
}

/* Reads until so many events have come, or the stream has closed. */
static inline void watch_until(struct watch *watch, size_t count)
{
    int64_t deadline = clock_mono_ms() + DEADLINE_MS;
    while (watch->count < count && !watch->closed) {
        struct source_batch batch;
        struct err err;
        if (clock_mono_ms() > deadline)
            fail_msg("%zu events of %zu came", watch->count, count);
        if (!source_next(watch->source, 200, &batch, &err))
            fail_msg("%s", err.text);
        note(watch, &batch);
    }
}

static inline void insert(const struct watch *watch, const char *collection, int32_t id,
                          int32_t value)
{
    char json[200];
    snprintf(json, sizeof json, "{\"insert\":\"%s\",\"documents\":[{\"_id\":%d,\"v\":%d}]}",
             collection, id, value);
    assert_true(command(watch->database, json));
}

static inline void assert_seen(const struct watch *watch, size_t i, enum source_kind kind,
                               const char *collection, int32_t id)
{
    assert_true(i < watch->count);
    assert_int_equal(watch->seen[i].kind, kind);
    assert_string_equal(watch->seen[i].collection, collection);
    assert_int_equal(watch->seen[i].id, id);
}
