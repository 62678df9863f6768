/* SPDX-License-Identifier: Apache-2.0 */
/* What the suites of the stores share: an open store with a collection of its own, records, and the
 * server behind `chroma` (VECTAIL_TEST_CHROMA, else one that scripts/servers starts). */
#pragma once

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "sinks/sink.h"
#include "support/test.h"

#define DIMS 8

static const char *driver; /* of the run */
static char chroma_url[256];
static bool chroma_started;

static const struct field metadata[] = {
    {"family", {VALUE_STRING, {.string = "ducks \"and\" geese"}}},
    {"dims", {VALUE_INT, {.integer = DIMS}}},
    {"big", {VALUE_INT, {.integer = INT64_MAX}}},
};

static inline const char *url_of(const char *name)
{
    return strcmp(name, "chroma") == 0 ? chroma_url : "conformance";
}

/* One open store with one collection of its own. */
struct fixture {
    struct sink *sink;
    struct arena *arena;
    char name[64];
    struct sink_spec spec;
    struct sink_collection collection;
    struct err err;
};

#define MUST(fixture, call)                                                                        \
    do {                                                                                           \
        if (!(call))                                                                               \
            fail_msg("%s: %s: %s", driver, #call, (fixture)->err.text);                            \
    } while (0)

static inline struct sink *open_sink(bool documents)
{
    const struct sink_options options = {.name = "test",
                                         .driver = driver,
                                         .url = url_of(driver),
                                         .documents = documents,
                                         .token = "sink-secret",
                                         .timeout_ms = 60000};
    struct sink *sink = NULL;
    struct err err = {0};
    if (!sink_open(&options, &sink, &err) || !sink_connect(sink, &err))
        fail_msg("%s at %s: %s", driver, url_of(driver), err.text);
    return sink;
}

static inline int set_up_as(void **state, const char *distance, bool documents)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    char random[17];
    random_hex(random, 8);
    snprintf(f->name, sizeof f->name, "conformance__%s", random);
    f->arena = arena_new(LIMIT_ARENA_SIZE);
    f->sink = open_sink(documents);
    f->spec = (struct sink_spec){f->name, DIMS, distance, metadata, ARRAY_LEN(metadata), 0};
    MUST(f, sink_ensure(f->sink, &f->spec, f->arena, &f->collection, &f->err));
    *state = f;
    return 0;
}

static inline int set_up(void **state)
{
    return set_up_as(state, "cosine", true);
}

static inline int set_up_l2(void **state)
{
    return set_up_as(state, "l2", true);
}

static inline int set_up_without_documents(void **state)
{
    return set_up_as(state, "cosine", false);
}

static inline int tear_down(void **state)
{
    struct fixture *f = *state;
    (void)!sink_drop(f->sink, f->name, &f->err);
    sink_close(f->sink);
    arena_free(f->arena);
    free(f);
    return 0;
}

/* ---- records ---- */

static inline void fill_vector(float *vector, unsigned seed)
{
    for (unsigned i = 0; i < DIMS; i++)
        vector[i] = (float)((seed * 31 + i * 17 + (seed >> 3) * i) % 101) / 50.0f - 1.0f;
    vector[seed % DIMS] += 3;
}

struct batch {
    struct sink_record *records;
    size_t count;
};

/* Records "<prefix>0" and so on, in the fixture's arena. */
static inline struct batch make_batch(struct fixture *f, const char *prefix, size_t count)
{
    struct batch batch = {arena_alloc_array(f->arena, count, sizeof(struct sink_record)), count};
    for (size_t i = 0; i < count; i++) {
        float *vector = arena_alloc_array(f->arena, DIMS, sizeof *vector);
        struct field *fields = arena_alloc_array(f->arena, 2, sizeof *fields);
        fill_vector(vector, (unsigned)i);
        fields[0] =
            (struct field){"source_id", value_string(arena_printf(f->arena, "s%zu", i / 2))};
        fields[1] = (struct field){"n", value_int((int64_t)i)};
        batch.records[i] = (struct sink_record){.id = arena_printf(f->arena, "%s%zu", prefix, i),
                                                .vector = vector,
                                                .dims = DIMS,
                                                .text = arena_printf(f->arena, "text %zu", i),
                                                .metadata = fields,
                                                .metadata_count = 2};
    }
    return batch;
}

static inline void upsert(struct fixture *f, struct batch batch)
{
    MUST(f, sink_upsert(f->sink, f->collection.id, batch.records, batch.count, &f->err));
}

static inline int64_t count(struct fixture *f)
{
    int64_t n = -1;
    MUST(f, sink_count(f->sink, f->collection.id, &n, &f->err));
    return n;
}

static inline struct batch fetch(struct fixture *f, const char *id)
{
    struct batch found = {0};
    MUST(f, sink_fetch(f->sink, f->collection.id, &id, 1, SINK_METADATA | SINK_VECTORS | SINK_TEXT,
                       f->arena, &found.records, &found.count, &f->err));
    return found;
}

static inline const struct sink_record *fetch_one(struct fixture *f, const char *id)
{
    struct batch found = fetch(f, id);
    assert_int_equal(found.count, 1);
    assert_string_equal(found.records[0].id, id);
    return &found.records[0];
}

static inline const struct value *value_of(const struct sink_record *record, const char *name)
{
    for (size_t i = 0; i < record->metadata_count; i++) {
        if (strcmp(record->metadata[i].name, name) == 0)
            return &record->metadata[i].value;
    }
    return NULL;
}

static inline double cosine(const float *a, const float *b)
{
    double ab = 0;
    double aa = 0;
    double bb = 0;
    for (size_t i = 0; i < DIMS; i++) {
        ab += (double)a[i] * (double)b[i];
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
    }
    return ab / sqrt(aa * bb);
}

static inline bool keeps_records(void)
{
    return strcmp(driver, "null") != 0;
}

/* ---- the server ---- */

#define SERVERS "'" VECTAIL_SOURCE_DIR "/scripts/servers' "
#define SERVERS_WHERE " --dir '" VECTAIL_SERVERS_DIR "'"

/* The last word of the first line that names an address. */
static inline bool read_address(FILE *from, char *out, size_t size)
{
    char line[512];
    bool found = false;
    while (fgets(line, sizeof line, from)) {
        const char *url = strstr(line, "http://");
        if (!url || found)
            continue;
        snprintf(out, size, "%.*s", (int)strcspn(url, " \t\r\n"), url);
        found = true;
    }
    return found;
}

static inline bool find_chroma(void)
{
    const char *given = getenv("VECTAIL_TEST_CHROMA");
    if (given && *given) {
        snprintf(chroma_url, sizeof chroma_url, "%s", given);
        return true;
    }
    FILE *servers = popen(SERVERS "up chroma" SERVERS_WHERE, "r"); /* NOLINT(cert-env33-c) */
    chroma_started = servers && read_address(servers, chroma_url, sizeof chroma_url);
    if (servers && pclose(servers) != 0)
        chroma_started = false;
    return chroma_started;
}

static inline void leave_chroma(void)
{
    if (chroma_started && system(SERVERS "down --wipe" SERVERS_WHERE " >&2") != 0) /* NOLINT */
        fprintf(stderr, "the Chroma of this test could not be stopped\n");
}

/* Runs a suite, given by its function, over all stores; the exit status of the program. */
static inline int run_over_stores(int (*suite)(void))
{
    struct err err = {0};
    if (!http_global_init(&err))
        return 1;
    if (!find_chroma()) {
        fprintf(stderr, "No Chroma server to test against: scripts/servers could not start one "
                        "(its words are above). `scripts/servers install chroma` fetches it; "
                        "VECTAIL_TEST_CHROMA=URL names one that runs.\n");
        return 1;
    }
    int failed = 0;
    for (size_t i = 0; sink_registry[i]; i++) {
        driver = sink_registry[i]->name;
        failed += suite();
    }
    leave_chroma();
    return failed;
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
