/* SPDX-License-Identifier: Apache-2.0 */
/* What every store must do with collections and with what is written, run over all of
 * sink_registry. `null` keeps no records, so only what concerns collections is asked of it. */
#include "conformance/sink_fixture.h"

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
    bool taken = sink_upsert(f->sink, f->collection.id, batch.records, 1, &f->err);
    assert_int_equal(taken, !keeps_records()); /* null takes what it was never told of */
    if (!taken) {
        assert_int_equal(f->err.action, ERR_FATAL);
        assert_int_equal(f->err.code, 404);
        assert_false(sink_count(f->sink, f->collection.id, &n, &f->err));
        assert_false(sink_erase(f->sink, f->collection.id, &batch.records[0].id, 1, &f->err));
        assert_int_equal(f->err.code, 404);
    }
    MUST(f, sink_count(f->sink, fresh.id, &n, &f->err));
    assert_int_equal(n, 0);
}

/* ---- names ---- */

static void find_id_tells_what_is_there(void **state)
{
    struct fixture *f = *state;
    bool found = false;
    struct sink_collection held;
    upsert(f, make_batch(f, "a", 1));
    MUST(f, sink_find_id(f->sink, f->collection.id, f->arena, &found, &held, &f->err));
    assert_true(found);
    assert_string_equal(held.id, f->collection.id);
    assert_string_equal(held.name, f->name);
    assert_string_equal(held.distance, "cosine");
    assert_int_equal(held.dims, DIMS);
    assert_int_equal(held.metadata_count, ARRAY_LEN(metadata));
    MUST(f, sink_drop(f->sink, f->name, &f->err));
    MUST(f, sink_find_id(f->sink, f->collection.id, f->arena, &found, &held, &f->err));
    assert_false(found);
}

static bool is_called(struct fixture *f, const char *name)
{
    bool found = false;
    struct sink_collection held;
    MUST(f, sink_find(f->sink, name, f->arena, &found, &held, &f->err));
    return found && strcmp(held.id, f->collection.id) == 0;
}

static void a_renamed_collection_keeps_its_handle_and_what_it_holds(void **state)
{
    struct fixture *f = *state;
    bool found = false;
    struct sink_collection held;
    CLEANUP(sink_closep) struct sink *other = open_sink(true);
    const char *name = arena_printf(f->arena, "%s-renamed", f->name);
    upsert(f, make_batch(f, "a", 3));
    MUST(f, sink_rename(f->sink, f->collection.id, name, f->arena, &f->err));
    MUST(f, sink_rename(f->sink, f->collection.id, name, f->arena, &f->err)); /* idempotent */
    assert_true(is_called(f, name));
    assert_false(is_called(f, f->name));
    MUST(f, sink_find_id(f->sink, f->collection.id, f->arena, &found, &held, &f->err));
    assert_string_equal(held.name, name);
    assert_int_equal(held.metadata_count, ARRAY_LEN(metadata));
    /* readers and writers that hold the handle notice nothing */
    upsert(f, make_batch(f, "b", 2));
    int64_t n = 0;
    MUST(f, sink_count(other, f->collection.id, &n, &f->err));
    assert_int_equal(n, 5);
    MUST(f, sink_rename(f->sink, f->collection.id, f->name, f->arena, &f->err));
    assert_true(is_called(f, f->name));
    assert_false(is_called(f, name));
}

static void rename_refuses_a_name_that_is_taken(void **state)
{
    struct fixture *f = *state;
    struct sink_collection other;
    struct sink_spec spec = f->spec;
    spec.name = arena_printf(f->arena, "%s-other", f->name);
    MUST(f, sink_ensure(f->sink, &spec, f->arena, &other, &f->err));
    assert_false(sink_rename(f->sink, f->collection.id, spec.name, f->arena, &f->err));
    assert_int_equal(f->err.action, ERR_FATAL);
    assert_int_equal(f->err.code, 409);
    assert_non_null(strstr(f->err.text, arena_printf(f->arena, "%s cannot be", f->name)));
    assert_non_null(strstr(f->err.text, spec.name));
    assert_true(is_called(f, f->name));
    assert_false(is_called(f, spec.name));
    MUST(f, sink_drop(f->sink, spec.name, &f->err));
    MUST(f, sink_rename(f->sink, f->collection.id, spec.name, f->arena, &f->err));
    assert_true(is_called(f, spec.name));
    MUST(f, sink_drop(f->sink, spec.name, &f->err));
}

static void a_collection_that_is_gone_is_not_renamed(void **state)
{
    struct fixture *f = *state;
    if (!keeps_records()) /* null takes what it was never told of */
        return;
    MUST(f, sink_drop(f->sink, f->name, &f->err));
    assert_false(sink_rename(f->sink, f->collection.id, f->name, f->arena, &f->err));
    assert_int_equal(f->err.action, ERR_FATAL);
    assert_int_equal(f->err.code, 404);
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
    static const char *const ids[] = {"plain", "a/b:c d", "\"quoted\"\\", "日本語 👍🏽",
                                      "\x01\x1f"};
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

static int run_names(void)
{
    const struct CMUnitTest tests[] = {
        TEST(find_id_tells_what_is_there),
        TEST(a_renamed_collection_keeps_its_handle_and_what_it_holds),
        TEST(rename_refuses_a_name_that_is_taken),
        TEST(a_collection_that_is_gone_is_not_renamed),
    };
    return cmocka_run_group_tests_name(driver, tests, NULL, NULL);
}

static int run_writing(void)
{
    const struct CMUnitTest tests[] = {
        TEST(upsert_is_idempotent),
        TEST(what_was_written_is_read_back),
        TEST(an_upsert_replaces_the_vector_and_merges_metadata),
        cmocka_unit_test_setup_teardown(without_documents_no_text_is_kept, set_up_without_documents,
                                        tear_down),
        TEST(update_changes_metadata_only),
        TEST(erase_takes_what_is_there),
        TEST(erase_of_many_is_split),
    };
    return cmocka_run_group_tests_name(driver, tests, NULL, NULL);
}

static int run_suite(void)
{
    int failed = run_collections() + run_names();
    return keeps_records() ? failed + run_writing() : failed;
}

int main(void)
{
    return run_over_stores(run_suite);
}
