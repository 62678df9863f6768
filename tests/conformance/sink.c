/* SPDX-License-Identifier: Apache-2.0 */
/* What every store must do, run over all of sink_registry: `memory` in this process, `chroma`
 * against a real server (VECTAIL_TEST_CHROMA, else one that scripts/servers starts). `null` keeps
 * no records, so only what concerns collections is asked of it. Later stores are added to
 * url_of(). */
#include "sinks/sink.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
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

static const char *url_of(const char *name)
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

static struct sink *open_sink(bool documents)
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

static int set_up_as(void **state, const char *distance, bool documents)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    char random[17];
    random_hex(random, 8);
    snprintf(f->name, sizeof f->name, "conformance__%s", random);
    f->arena = arena_new(LIMIT_ARENA_SIZE);
    f->sink = open_sink(documents);
    f->spec = (struct sink_spec){f->name, DIMS, distance, metadata, ARRAY_LEN(metadata)};
    MUST(f, sink_ensure(f->sink, &f->spec, f->arena, &f->collection, &f->err));
    *state = f;
    return 0;
}

static int set_up(void **state)
{
    return set_up_as(state, "cosine", true);
}

static int set_up_l2(void **state)
{
    return set_up_as(state, "l2", true);
}

static int set_up_without_documents(void **state)
{
    return set_up_as(state, "cosine", false);
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    (void)!sink_drop(f->sink, f->name, &f->err);
    sink_close(f->sink);
    arena_free(f->arena);
    free(f);
    return 0;
}

/* ---- records ---- */

static void fill_vector(float *vector, unsigned seed)
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
static struct batch make_batch(struct fixture *f, const char *prefix, size_t count)
{
    struct batch batch = {arena_alloc_array(f->arena, count, sizeof(struct sink_record)), count};
    for (size_t i = 0; i < count; i++) {
        float *vector = arena_alloc_array(f->arena, DIMS, sizeof *vector);
        struct field *fields = arena_alloc_array(f->arena, 2, sizeof *fields);
        fill_vector(vector, (unsigned)i);
        fields[0] = (struct field){"source_id", value_string(arena_printf(f->arena, "s%zu", i / 2))};
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

static void upsert(struct fixture *f, struct batch batch)
{
    MUST(f, sink_upsert(f->sink, f->collection.id, batch.records, batch.count, &f->err));
}

static int64_t count(struct fixture *f)
{
    int64_t n = -1;
    MUST(f, sink_count(f->sink, f->collection.id, &n, &f->err));
    return n;
}

static struct batch fetch(struct fixture *f, const char *id)
{
    struct batch found = {0};
    MUST(f, sink_fetch(f->sink, f->collection.id, &id, 1,
                       SINK_METADATA | SINK_VECTORS | SINK_TEXT, f->arena, &found.records,
                       &found.count, &f->err));
    return found;
}

static const struct sink_record *fetch_one(struct fixture *f, const char *id)
{
    struct batch found = fetch(f, id);
    assert_int_equal(found.count, 1);
    assert_string_equal(found.records[0].id, id);
    return &found.records[0];
}

static const struct value *value_of(const struct sink_record *record, const char *name)
{
    for (size_t i = 0; i < record->metadata_count; i++) {
        if (strcmp(record->metadata[i].name, name) == 0)
            return &record->metadata[i].value;
    }
    return NULL;
}

static double cosine(const float *a, const float *b)
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

static bool keeps_records(void)
{
    return strcmp(driver, "null") != 0;
}

/* ---- collections ---- */

static void find_tells_what_is_there(void **state)
{
    struct fixture *f = *state;
    bool found = false;
    struct sink_collection held;
    MUST(f, sink_find(f->sink, f->name, f->arena, &found, &held, &f->err));
    assert_true(found);
    assert_string_equal(held.id, f->collection.id);
    assert_string_equal(held.name, f->name);
    assert_string_equal(held.distance, "cosine");
    assert_int_equal(held.dims, 0);
    assert_int_equal(held.metadata_count, ARRAY_LEN(metadata));
    MUST(f, sink_find(f->sink, "conformance__none", f->arena, &found, &held, &f->err));
    assert_false(found);
}

static void ensure_is_idempotent(void **state)
{
    struct fixture *f = *state;
    struct sink_collection again;
    MUST(f, sink_ensure(f->sink, &f->spec, f->arena, &again, &f->err));
    assert_string_equal(again.id, f->collection.id);
    upsert(f, make_batch(f, "a", 1));
    MUST(f, sink_ensure(f->sink, &f->spec, f->arena, &again, &f->err));
    assert_int_equal(again.dims, DIMS);
}

static void assert_refused(struct fixture *f, const struct sink_spec *spec, const char *what)
{
    struct sink_collection out;
    assert_false(sink_ensure(f->sink, spec, f->arena, &out, &f->err));
    assert_int_equal(f->err.action, ERR_FATAL);
    assert_int_equal(f->err.domain, ERR_STATE);
    if (!strstr(f->err.text, what))
        fail_msg("\"%s\" is not in: %s", what, f->err.text);
}

static void ensure_refuses_a_collection_that_is_something_else(void **state)
{
    struct fixture *f = *state;
    upsert(f, make_batch(f, "a", 1));
    struct sink_spec spec = f->spec;
    spec.distance = "l2";
    assert_refused(f, &spec, "distance is \"cosine\" in the store, expected \"l2\"");
    spec = f->spec;
    spec.dims = DIMS + 1;
    assert_refused(f, &spec, "dims is 8 in the store, expected 9");
    const struct field other[] = {{"family", value_string("swans")}};
    spec = f->spec;
    spec.metadata = other;
    spec.metadata_count = 1;
    assert_refused(f, &spec, "expected \"swans\"");
    const struct field missing[] = {{"build_id", value_string("x")}};
    spec.metadata = missing;
    assert_refused(f, &spec, "build_id is nothing in the store, expected \"x\"");
    const struct field typed[] = {{"dims", value_string("8")}};
    spec.metadata = typed;
    assert_refused(f, &spec, "dims is 8 in the store, expected \"8\"");
}

static void create_refuses_a_name_that_is_taken(void **state)
{
    struct fixture *f = *state;
    struct sink_collection out;
    assert_false(f->sink->ops->create(f->sink, &f->spec, f->arena, &out, &f->err));
    assert_int_equal(f->err.action, ERR_FATAL);
}

static void all_distances_are_kept(void **state)
{
    struct fixture *f = *state;
    static const char *const distances[] = {"cosine", "l2", "ip"};
    for (size_t i = 0; i < ARRAY_LEN(distances); i++) {
        struct sink_spec spec = f->spec;
        struct sink_collection out;
        spec.name = arena_printf(f->arena, "%s-%s", f->name, distances[i]);
        spec.distance = distances[i];
        MUST(f, sink_ensure(f->sink, &spec, f->arena, &out, &f->err));
        assert_string_equal(out.distance, distances[i]);
        MUST(f, sink_drop(f->sink, spec.name, &f->err));
    }
}

static void list_holds_every_collection_once(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 12; i++) {
        struct sink_spec spec = f->spec;
        struct sink_collection out;
        spec.name = arena_printf(f->arena, "%s-%d", f->name, i);
        MUST(f, sink_ensure(f->sink, &spec, f->arena, &out, &f->err));
    }
    struct sink_collection *all = NULL;
    size_t total = 0;
    MUST(f, sink_list(f->sink, f->arena, &all, &total, &f->err));
    size_t mine = 0;
    for (size_t i = 0; i < total; i++)
        mine += strncmp(all[i].name, f->name, strlen(f->name)) == 0;
    assert_int_equal(mine, 13);
    for (int i = 0; i < 12; i++)
        MUST(f, sink_drop(f->sink, arena_printf(f->arena, "%s-%d", f->name, i), &f->err));
}

static void a_dropped_collection_is_gone_and_stays_gone(void **state)
{
    struct fixture *f = *state;
    struct batch batch = make_batch(f, "a", 1);
    upsert(f, batch);
    MUST(f, sink_drop(f->sink, f->name, &f->err));
    MUST(f, sink_drop(f->sink, f->name, &f->err)); /* idempotent */
    bool found = true;
    struct sink_collection fresh;
    MUST(f, sink_find(f->sink, f->name, f->arena, &found, &fresh, &f->err));
    assert_false(found);
    MUST(f, sink_ensure(f->sink, &f->spec, f->arena, &fresh, &f->err));
    assert_string_not_equal(fresh.id, f->collection.id);
    /* the old handle must not reach the new collection */
    int64_t n = 0;
    assert_false(sink_upsert(f->sink, f->collection.id, batch.records, 1, &f->err));
    assert_int_equal(f->err.action, ERR_FATAL);
    assert_int_equal(f->err.code, 404);
    assert_false(sink_count(f->sink, f->collection.id, &n, &f->err));
    assert_false(sink_erase(f->sink, f->collection.id, &batch.records[0].id, 1, &f->err));
    assert_int_equal(f->err.code, 404);
    MUST(f, sink_count(f->sink, fresh.id, &n, &f->err));
    assert_int_equal(n, 0);
}

/* ---- writing ---- */

static void upsert_is_idempotent(void **state)
{
    struct fixture *f = *state;
    struct batch batch = make_batch(f, "a", 20);
    upsert(f, batch);
    upsert(f, batch);
    assert_int_equal(count(f), 20);
    upsert(f, (struct batch){0});
    assert_int_equal(count(f), 20);
}

static void what_was_written_is_read_back(void **state)
{
    struct fixture *f = *state;
    static const char *const ids[] = {"plain", "a/b:c d", "\"quoted\"\\", "日本語 👍🏽", "\x01\x1f"};
    struct batch batch = make_batch(f, "x", ARRAY_LEN(ids));
    const struct field fields[] = {
        {"text", value_string("quote \" slash \\ line\nend 👩‍👩‍👧‍👦")},
        {"largest", value_int(INT64_MAX)},
        {"smallest", value_int(INT64_MIN)},
        {"half", value_double(0.5)},
        {"yes", value_bool(true)},
        {"no", value_bool(false)},
        {"schlüssel", value_string("")},
    };
    for (size_t i = 0; i < batch.count; i++) {
        batch.records[i].id = ids[i];
        batch.records[i].text = "the text \"of\" it\n";
        batch.records[i].metadata = fields;
        batch.records[i].metadata_count = ARRAY_LEN(fields);
    }
    upsert(f, batch);
    for (size_t i = 0; i < batch.count; i++) {
        const struct sink_record *held = fetch_one(f, ids[i]);
        assert_int_equal(held->dims, DIMS);
        assert_true(cosine(held->vector, batch.records[i].vector) > 0.999999);
        assert_string_equal(held->text, "the text \"of\" it\n");
        assert_int_equal(held->metadata_count, ARRAY_LEN(fields));
        assert_string_equal(value_of(held, "text")->as.string, fields[0].value.as.string);
        assert_int_equal(value_of(held, "largest")->as.integer, INT64_MAX);
        assert_int_equal(value_of(held, "smallest")->as.integer, INT64_MIN);
        assert_int_equal(value_of(held, "half")->type, VALUE_DOUBLE);
        assert_true(value_of(held, "yes")->as.boolean);
        assert_false(value_of(held, "no")->as.boolean);
        assert_string_equal(value_of(held, "schlüssel")->as.string, "");
    }
}

static void an_upsert_replaces_the_vector_and_merges_metadata(void **state)
{
    struct fixture *f = *state;
    upsert(f, make_batch(f, "a", 1));
    float vector[DIMS];
    fill_vector(vector, 77);
    const struct field fields[] = {{"source_id", value_null()}, {"added", value_bool(true)}};
    const struct sink_record record = {.id = "a0",
                                       .vector = vector,
                                       .dims = DIMS,
                                       .text = "new text",
                                       .metadata = fields,
                                       .metadata_count = 2};
    upsert(f, (struct batch){(struct sink_record *)(uintptr_t)&record, 1});
    const struct sink_record *held = fetch_one(f, "a0");
    assert_true(cosine(held->vector, vector) > 0.999999);
    assert_string_equal(held->text, "new text");
    assert_null(value_of(held, "source_id"));
    assert_non_null(value_of(held, "n"));
    assert_true(value_of(held, "added")->as.boolean);
}

static void without_documents_no_text_is_kept(void **state)
{
    struct fixture *f = *state;
    upsert(f, make_batch(f, "a", 1));
    assert_null(fetch_one(f, "a0")->text);
}

static void large_batches_are_split(void **state)
{
    struct fixture *f = *state;
    upsert(f, make_batch(f, "a", 2500));
    assert_int_equal(count(f), 2500);
}

static void vectors_of_other_dimensions_are_refused(void **state)
{
    struct fixture *f = *state;
    struct batch batch = make_batch(f, "a", 2);
    upsert(f, batch);
    batch.records[1].dims = DIMS - 1;
    batch.records[1].id = "other";
    assert_false(sink_upsert(f->sink, f->collection.id, batch.records + 1, 1, &f->err));
    assert_int_equal(f->err.action, ERR_FATAL);
    assert_int_equal(f->err.code, 400);
    assert_non_null(strstr(f->err.text, "dimension"));
    assert_int_equal(count(f), 2);
}

static void update_changes_metadata_only(void **state)
{
    struct fixture *f = *state;
    struct batch batch = make_batch(f, "a", 3);
    upsert(f, batch);
    const struct field fields[] = {{"n", value_null()}, {"moved", value_string("yes")}};
    const struct sink_record records[] = {
        {.id = "a1", .metadata = fields, .metadata_count = 2},
        {.id = "unknown", .metadata = fields, .metadata_count = 2},
    };
    MUST(f, sink_update(f->sink, f->collection.id, records, 2, &f->err));
    MUST(f, sink_update(f->sink, f->collection.id, NULL, 0, &f->err));
    const struct sink_record *held = fetch_one(f, "a1");
    assert_null(value_of(held, "n"));
    assert_string_equal(value_of(held, "moved")->as.string, "yes");
    assert_string_equal(value_of(held, "source_id")->as.string, "s0");
    assert_string_equal(held->text, "text 1");
    assert_true(cosine(held->vector, batch.records[1].vector) > 0.999999);
    assert_int_equal(count(f), 3);
}

static void erase_takes_what_is_there(void **state)
{
    struct fixture *f = *state;
    upsert(f, make_batch(f, "a", 5));
    static const char *const ids[] = {"a1", "a3", "unknown"};
    MUST(f, sink_erase(f->sink, f->collection.id, NULL, 0, &f->err));
    assert_int_equal(count(f), 5);
    MUST(f, sink_erase(f->sink, f->collection.id, ids, 3, &f->err));
    MUST(f, sink_erase(f->sink, f->collection.id, ids, 3, &f->err));
    assert_int_equal(count(f), 3);
    assert_int_equal(fetch(f, "a1").count, 0);
    assert_int_equal(fetch(f, "a2").count, 1);
}

static void erase_of_many_is_split(void **state)
{
    struct fixture *f = *state;
    struct batch batch = make_batch(f, "a", 1300);
    const char **ids = arena_alloc_array(f->arena, batch.count, sizeof *ids);
    for (size_t i = 0; i < batch.count; i++)
        ids[i] = batch.records[i].id;
    upsert(f, batch);
    MUST(f, sink_erase(f->sink, f->collection.id, ids, batch.count, &f->err));
    assert_int_equal(count(f), 0);
}

/* ---- reading ---- */

static void a_scan_sees_every_record_once(void **state)
{
    struct fixture *f = *state;
    enum { TOTAL = 2300 };
    upsert(f, make_batch(f, "a", TOTAL));
    bool seen[TOTAL] = {false};
    for (size_t offset = 0;;) {
        struct batch page = {0};
        MUST(f, sink_scan(f->sink, f->collection.id, offset, SINK_IDS, f->arena, &page.records,
                          &page.count, &f->err));
        if (page.count == 0)
            break;
        for (size_t i = 0; i < page.count; i++) {
            size_t n = strtoul(page.records[i].id + 1, NULL, 10);
            assert_true(n < TOTAL && !seen[n]);
            seen[n] = true;
            assert_null(page.records[i].vector);
            assert_null(page.records[i].text);
            assert_int_equal(page.records[i].metadata_count, 0);
        }
        offset += page.count;
    }
    for (size_t i = 0; i < TOTAL; i++)
        assert_true(seen[i]);
}

static void a_scan_brings_what_was_asked_for(void **state)
{
    struct fixture *f = *state;
    struct batch batch = make_batch(f, "a", 3);
    upsert(f, batch);
    struct batch page = {0};
    MUST(f, sink_scan(f->sink, f->collection.id, 1, SINK_METADATA | SINK_VECTORS | SINK_TEXT,
                      f->arena, &page.records, &page.count, &f->err));
    assert_int_equal(page.count, 2);
    for (size_t i = 0; i < page.count; i++) {
        size_t n = strtoul(page.records[i].id + 1, NULL, 10);
        assert_int_equal(page.records[i].dims, DIMS);
        assert_true(cosine(page.records[i].vector, batch.records[n].vector) > 0.999999);
        assert_string_equal(page.records[i].text, batch.records[n].text);
        assert_int_equal(value_of(&page.records[i], "n")->as.integer, n);
    }
}

static void fetch_leaves_out_what_is_not_there(void **state)
{
    struct fixture *f = *state;
    struct batch batch = make_batch(f, "a", 1200);
    upsert(f, batch);
    const char **ids = arena_alloc_array(f->arena, 2400, sizeof *ids);
    for (size_t i = 0; i < 2400; i++)
        ids[i] = i % 2 ? "unknown" : batch.records[i / 2].id;
    struct batch found = {0};
    MUST(f, sink_fetch(f->sink, f->collection.id, ids, 0, SINK_IDS, f->arena, &found.records,
                       &found.count, &f->err));
    assert_int_equal(found.count, 0);
    MUST(f, sink_fetch(f->sink, f->collection.id, ids, 2400, SINK_METADATA, f->arena,
                       &found.records, &found.count, &f->err));
    assert_int_equal(found.count, 1200);
    for (size_t i = 0; i < found.count; i++)
        assert_string_equal(found.records[i].id, arena_printf(f->arena, "a%" PRId64,
                                                              value_of(&found.records[i], "n")
                                                                  ->as.integer));
}

static struct sink_match *query(struct fixture *f, const float *vector, const char *where,
                                size_t *found)
{
    const struct sink_query asked = {.vector = vector, .dims = DIMS, .k = 5, .where = where};
    struct sink_match *matches = NULL;
    MUST(f, sink_query(f->sink, f->collection.id, &asked, f->arena, &matches, found, &f->err));
    return matches;
}

static void a_query_gives_the_nearest_first(void **state)
{
    struct fixture *f = *state;
    struct batch batch = make_batch(f, "a", 40);
    size_t found = 0;
    assert_int_equal((query(f, batch.records[0].vector, NULL, &found), found), 0);
    upsert(f, batch);
    for (size_t i = 0; i < batch.count; i++) {
        struct sink_match *matches = query(f, batch.records[i].vector, NULL, &found);
        assert_int_equal(found, 5);
        assert_string_equal(matches[0].record.id, batch.records[i].id);
        assert_string_equal(matches[0].record.text, batch.records[i].text);
        assert_int_equal(value_of(&matches[0].record, "n")->as.integer, i);
        assert_true(fabs(matches[0].distance) < 1e-4);
        for (size_t j = 1; j < found; j++)
            assert_true(matches[j].distance >= matches[j - 1].distance);
    }
}

static void a_query_can_be_narrowed(void **state)
{
    struct fixture *f = *state;
    struct batch batch = make_batch(f, "a", 40);
    upsert(f, batch);
    size_t found = 0;
    struct sink_match *matches = query(f, batch.records[0].vector, "{\"source_id\":\"s3\"}", &found);
    assert_int_equal(found, 2);
    for (size_t i = 0; i < found; i++)
        assert_string_equal(value_of(&matches[i].record, "source_id")->as.string, "s3");
    const struct sink_query wrong = {
        .vector = batch.records[0].vector, .dims = DIMS, .k = 1, .where = "{\"a\":1}, \"k\": 2"};
    struct sink_match *none = NULL;
    assert_false(sink_query(f->sink, f->collection.id, &wrong, f->arena, &none, &found, &f->err));
    assert_int_equal(f->err.action, ERR_REJECT);
}

static void a_query_by_other_dimensions_is_refused(void **state)
{
    struct fixture *f = *state;
    struct batch batch = make_batch(f, "a", 2);
    upsert(f, batch);
    const struct sink_query wrong = {.vector = batch.records[0].vector, .dims = 3, .k = 1};
    struct sink_match *none = NULL;
    size_t found = 0;
    assert_false(sink_query(f->sink, f->collection.id, &wrong, f->arena, &none, &found, &f->err));
    assert_int_equal(f->err.action, ERR_FATAL);
}

static void two_sinks_see_the_same_store(void **state)
{
    struct fixture *f = *state;
    CLEANUP(sink_closep) struct sink *other = open_sink(true);
    upsert(f, make_batch(f, "a", 3));
    int64_t n = 0;
    MUST(f, sink_count(other, f->collection.id, &n, &f->err));
    assert_int_equal(n, 3);
}

static void an_interrupted_sink_refuses_to_work(void **state)
{
    struct fixture *f = *state;
    CLEANUP(sink_closep) struct sink *other = open_sink(true);
    int64_t n = 0;
    sink_interrupt(other);
    assert_false(sink_count(other, f->collection.id, &n, &f->err));
    assert_int_equal(f->err.action, ERR_CANCEL);
    assert_int_equal(count(f), 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

static int run_collections(void)
{
    const struct CMUnitTest tests[] = {
        TEST(find_tells_what_is_there),
        TEST(ensure_is_idempotent),
        TEST(ensure_refuses_a_collection_that_is_something_else),
        TEST(create_refuses_a_name_that_is_taken),
        TEST(all_distances_are_kept),
        TEST(list_holds_every_collection_once),
        TEST(a_dropped_collection_is_gone_and_stays_gone),
        TEST(vectors_of_other_dimensions_are_refused),
        TEST(large_batches_are_split),
        TEST(two_sinks_see_the_same_store),
        TEST(an_interrupted_sink_refuses_to_work),
    };
    return cmocka_run_group_tests_name(driver, tests, NULL, NULL);
}

static int run_records(void)
{
    const struct CMUnitTest tests[] = {
        TEST(upsert_is_idempotent),
        TEST(what_was_written_is_read_back),
        TEST(an_upsert_replaces_the_vector_and_merges_metadata),
        cmocka_unit_test_setup_teardown(without_documents_no_text_is_kept,
                                        set_up_without_documents, tear_down),
        TEST(update_changes_metadata_only),
        TEST(erase_takes_what_is_there),
        TEST(erase_of_many_is_split),
        TEST(a_scan_sees_every_record_once),
        TEST(a_scan_brings_what_was_asked_for),
        TEST(fetch_leaves_out_what_is_not_there),
        TEST(a_query_gives_the_nearest_first),
        cmocka_unit_test_setup_teardown(a_query_gives_the_nearest_first, set_up_l2, tear_down),
        TEST(a_query_can_be_narrowed),
        TEST(a_query_by_other_dimensions_is_refused),
    };
    return cmocka_run_group_tests_name(driver, tests, NULL, NULL);
}

/* ---- the server ---- */

#define SERVERS "'" VECTAIL_SOURCE_DIR "/scripts/servers' "
#define SERVERS_WHERE " --dir '" VECTAIL_SERVERS_DIR "'"

/* The last word of the first line that names an address. */
static bool read_address(FILE *from, char *out, size_t size)
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

static bool find_chroma(void)
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

static void leave_chroma(void)
{
    if (chroma_started && system(SERVERS "down --wipe" SERVERS_WHERE " >&2") != 0) /* NOLINT */
        fprintf(stderr, "the Chroma of this test could not be stopped\n");
}

int main(void)
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
        failed += run_collections();
        failed += keeps_records() ? run_records() : 0;
    }
    leave_chroma();
    return failed;
}
