/* SPDX-License-Identifier: Apache-2.0 */
/* What every store that keeps records must do when it is read, run over sink_registry. */
#include "conformance/sink_fixture.h"

#include "base/json.h"
#include "sinks/where.h"

enum { SCANNED = 2300 };

static void scan_all(struct fixture *f, unsigned include, bool seen[SCANNED])
{
    for (size_t offset = 0;;) {
        struct batch page = {0};
        MUST(f, sink_scan(f->sink, f->collection.id, offset, include, f->arena, &page.records,
                          &page.count, &f->err));
        if (page.count == 0)
            return;
        for (size_t i = 0; i < page.count; i++) {
            size_t n = strtoul(page.records[i].id + 1, NULL, 10);
            assert_true(n < SCANNED && !seen[n]);
            seen[n] = true;
            assert_null(page.records[i].vector);
            assert_null(page.records[i].text);
            assert_int_equal(page.records[i].metadata_count == 0, include == SINK_IDS);
        }
        offset += page.count;
    }
}

static void a_scan_sees_every_record_once(void **state)
{
    struct fixture *f = *state;
    upsert(f, make_batch(f, "a", SCANNED));
    for (unsigned include = SINK_IDS; include <= SINK_METADATA; include++) {
        bool seen[SCANNED] = {false};
        scan_all(f, include, seen);
        for (size_t i = 0; i < SCANNED; i++)
            assert_true(seen[i]);
    }
}

/* What is erased moves the rest towards the beginning: who goes backwards passes over nothing. */
static void a_scan_from_its_end_meets_all_that_stays(void **state)
{
    struct fixture *f = *state;
    bool seen[SCANNED] = {false};
    struct batch batch = make_batch(f, "a", SCANNED), page = {0};
    upsert(f, batch);
    for (size_t end = SCANNED; end > 0;) {
        size_t offset = end > 300 ? end - 300 : 0;
        MUST(f, sink_scan(f->sink, f->collection.id, offset, SINK_METADATA, f->arena, &page.records,
                          &page.count, &f->err));
        for (size_t i = 0; i < page.count && i < end - offset; i++)
            seen[strtoul(page.records[i].id + 1, NULL, 10)] = true;
        const char *gone = batch.records[end % 300].id; /* one of the first */
        MUST(f, sink_erase(f->sink, f->collection.id, &gone, 1, &f->err));
        end = offset;
    }
    for (size_t i = 300; i < SCANNED; i++)
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
        assert_string_equal(
            found.records[i].id,
            arena_printf(f->arena, "a%" PRId64, value_of(&found.records[i], "n")->as.integer));
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
    struct sink_match *matches =
        query(f, batch.records[0].vector, "{\"source_id\":\"s3\"}", &found);
    assert_int_equal(found, 2);
    for (size_t i = 0; i < found; i++)
        assert_string_equal(value_of(&matches[i].record, "source_id")->as.string, "s3");
    const struct sink_query wrong = {
        .vector = batch.records[0].vector, .dims = DIMS, .k = 1, .where = "{\"a\":1}, \"k\": 2"};
    struct sink_match *none = NULL;
    assert_false(sink_query(f->sink, f->collection.id, &wrong, f->arena, &none, &found, &f->err));
    assert_int_equal(f->err.action, ERR_REJECT);
}

/* Every store means the same by each condition. */
static void conditions_mean_the_same_everywhere(void **state)
{
    static const char *const conditions[] = {
        "{}",
        "{\"n\": 3}",
        "{\"n\": {\"$ne\": 3}}",
        "{\"n\": {\"$gt\": 3, \"$lte\": 6}}",
        "{\"n\": {\"$eq\": 2.5}}",
        "{\"n\": {\"$ne\": 2.5}}",
        "{\"n\": {\"$gt\": 2.5}}",
        "{\"n\": {\"$gte\": 2.5}}",
        "{\"n\": {\"$lt\": 2.5}}",
        "{\"n\": {\"$lte\": 2.5}}",
        "{\"n\": {\"$gt\": -0.5}}",
        "{\"n\": {\"$gte\": -0.5}}",
        "{\"n\": {\"$lt\": -0.5}}",
        "{\"n\": {\"$lte\": -0.5}}",
        "{\"n\": {\"$in\": [2.5, 3.5]}}",
        "{\"n\": {\"$nin\": [2.5, 3.5]}}",
        "{\"n\": {\"$lt\": 2}, \"source_id\": \"s0\"}",
        "{\"n\": {\"$in\": [1, 2.5, 4]}}",
        "{\"n\": {\"$nin\": [1, 2.5, 4]}}",
        "{\"source_id\": {\"$in\": [\"s1\", \"s2\"]}}",
        "{\"$or\": [{\"n\": 1}, {\"$and\": [{\"n\": {\"$gt\": 5}}, {\"source_id\": \"s3\"}]}]}",
        "{\"$and\": [{\"n\": {\"$gt\": 5}}]}",
        "{\"nowhere\": 1}",
        "{\"nowhere\": {\"$ne\": 1}}",
    };
    struct fixture *f = *state;
    struct batch batch = make_batch(f, "a", 8);
    upsert(f, batch);
    for (size_t i = 0; i < ARRAY_LEN(conditions); i++) {
        CLEANUP(cJSON_Deletep)
        cJSON *where = json_parse(conditions[i], strlen(conditions[i]), &f->err);
        const struct sink_query asked = {
            .vector = batch.records[0].vector, .dims = DIMS, .k = 20, .where = conditions[i]};
        struct sink_match *matches = NULL;
        size_t expected = 0, found = 0;
        for (size_t j = 0; j < batch.count; j++)
            expected +=
                where_passes(where, batch.records[j].metadata, batch.records[j].metadata_count);
        MUST(f, sink_query(f->sink, f->collection.id, &asked, f->arena, &matches, &found, &f->err));
        if (found != expected)
            fail_msg("%s: %zu records instead of %zu", conditions[i], found, expected);
        for (size_t j = 0; j < found; j++)
            assert_true(
                where_passes(where, matches[j].record.metadata, matches[j].record.metadata_count));
    }
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

static void each_of_many_queries_has_its_own_answer(void **state)
{
    struct fixture *f = *state;
    struct batch batch = make_batch(f, "a", 120); /* more than one request takes */
    const float *vectors[120];
    for (size_t i = 0; i < batch.count; i++)
        vectors[i] = batch.records[i].vector;
    const struct sink_queries asked = {
        .vectors = vectors, .count = batch.count, .dims = DIMS, .k = 3};
    struct sink_matches *matches;
    MUST(f, sink_query_each(f->sink, f->collection.id, &asked, f->arena, &matches, &f->err));
    for (size_t i = 0; i < batch.count; i++)
        assert_int_equal(matches[i].count, 0); /* of an empty collection */
    upsert(f, batch);
    MUST(f, sink_query_each(f->sink, f->collection.id, &asked, f->arena, &matches, &f->err));
    for (size_t i = 0; i < batch.count; i++) {
        assert_int_equal(matches[i].count, 3);
        const struct sink_match *first = &matches[i].items[0];
        assert_string_equal(first->record.id, batch.records[i].id);
        assert_int_equal(value_of(&first->record, "n")->as.integer, i);
        assert_null(first->record.text);
        assert_true(fabs(first->distance) < 1e-4);
        assert_true(matches[i].items[1].distance >= first->distance);
    }
}

static int run_suite(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_scan_sees_every_record_once),
        TEST(a_scan_from_its_end_meets_all_that_stays),
        TEST(a_scan_brings_what_was_asked_for),
        TEST(fetch_leaves_out_what_is_not_there),
        TEST(a_query_gives_the_nearest_first),
        cmocka_unit_test_setup_teardown(a_query_gives_the_nearest_first, set_up_l2, tear_down),
        TEST(each_of_many_queries_has_its_own_answer),
        TEST(a_query_can_be_narrowed),
        TEST(conditions_mean_the_same_everywhere),
        TEST(a_query_by_other_dimensions_is_refused),
    };
    return keeps_records() ? cmocka_run_group_tests_name(driver, tests, NULL, NULL) : 0;
}

int main(void)
{
    return run_over_stores(run_suite);
}
