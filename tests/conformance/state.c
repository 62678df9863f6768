/* SPDX-License-Identifier: Apache-2.0 */
/* Documents with compare-and-set: one suite over both back ends of docstore, and what only a real
 * server can show. */
#include "conformance/state_fixture.h"

static void a_missing_document_counts_as_zero(void **state)
{
    struct docstore *store = store_of(state);
    struct doc_ref ref = ref_of("missing");
    struct err err;
    bson_t *doc = NULL;
    assert_true(docstore_load(store, &ref, &doc, NULL, &err));
    assert_null(doc);
    assert_int_equal(swap(store, "missing", 1, 1), DOC_LOST);
    assert_int_equal(swap(store, "missing", 0, 2), DOC_WON);
    assert_int_equal(number_at(store, "missing", "number"), 2);
    assert_int_equal(number_at(store, "missing", "rev"), 1);
}

static void a_stale_counter_loses_and_changes_nothing(void **state)
{
    struct docstore *store = store_of(state);
    assert_int_equal(swap(store, "stale", 0, 1), DOC_WON);
    assert_int_equal(swap(store, "stale", 1, 2), DOC_WON);
    assert_int_equal(swap(store, "stale", 0, 3), DOC_LOST);
    assert_int_equal(swap(store, "stale", 1, 3), DOC_LOST);
    assert_int_equal(swap(store, "stale", 7, 3), DOC_LOST);
    assert_int_equal(number_at(store, "stale", "number"), 2);
}

static void a_document_without_its_counter_counts_as_zero(void **state)
{
    struct docstore *store = store_of(state);
    put_raw(store, "documents", "by-hand", "{\"number\": 1}");
    assert_int_equal(swap(store, "by-hand", 1, 2), DOC_LOST);
    assert_int_equal(swap(store, "by-hand", 0, 2), DOC_WON);
    assert_int_equal(number_at(store, "by-hand", "rev"), 1);
    put_raw(store, "documents", "null", "{\"rev\": null}");
    assert_int_equal(swap(store, "null", 0, 2), DOC_WON);
    put_raw(store, "documents", "zero", "{\"rev\": 0.0}");
    assert_int_equal(swap(store, "zero", 0, 2), DOC_WON);
}

static void a_counter_from_a_shell_is_a_double_and_still_counts(void **state)
{
    struct docstore *store = store_of(state);
    put_raw(store, "documents", "double", "{\"rev\": 3.0}");
    assert_int_equal(swap(store, "double", 0, 2), DOC_LOST);
    assert_int_equal(swap(store, "double", 3, 2), DOC_WON);
    assert_int_equal(number_at(store, "double", "rev"), 4);
}

static void the_counter_stands_where_its_place_was_left(void **state)
{
    struct docstore *store = store_of(state);
    struct doc_ref ref = ref_of("order");
    struct err err;
    enum doc_swap outcome;
    bson_t *doc = BCON_NEW("a", BCON_INT32(1), "rev", BCON_INT32(99), "b", BCON_INT32(2));
    assert_true(docstore_swap(store, &ref, 0, doc, &outcome, &err));
    bson_destroy(doc);
    char *json = as_json(store, "documents", "order");
    assert_string_equal(json, "{ \"_id\" : \"order\", \"a\" : 1, \"rev\" : 1, \"b\" : 2 }");
    bson_free(json);
    assert_int_equal(swap(store, "order", 1, 3), DOC_WON);
    json = as_json(store, "documents", "order");
    assert_string_equal(json, "{ \"_id\" : \"order\", \"rev\" : 2, \"number\" : 3 }");
    bson_free(json);
}

static void a_load_tells_the_server_s_clock_with_and_without_a_document(void **state)
{
    struct docstore *store = store_of(state);
    struct err err;
    bson_t *doc = NULL;
    int64_t wall_ms = clock_wall_ms();
    assert_int_equal(swap(store, "clock", 0, 1), DOC_WON);
    const char *ids[] = {"clock", "no clock"};
    for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
        struct doc_ref ref = ref_of(ids[i]);
        int64_t now_ms = 0;
        assert_true(docstore_load(store, &ref, &doc, &now_ms, &err));
        assert_true(now_ms > wall_ms - 60000 && now_ms < wall_ms + 60000);
        assert_int_equal(doc != NULL, i == 0);
        bson_destroy(doc);
    }
}

static void a_list_holds_what_begins_with_the_prefix_in_order(void **state)
{
    struct docstore *store = store_of(state);
    const char *ids[] = {"ducks/b", "ducks/a", "duck", "ducks.x/a", "ducks/", "ducks0", "e"};
    for (size_t i = 0; i < ARRAY_LEN(ids); i++)
        put_raw(store, "listed", ids[i], "{\"x\": 1}");
    struct err err;
    bson_t **docs;
    size_t count;
    assert_true(docstore_list(store, "listed", "ducks/", &docs, &count, &err));
    const char *expected[] = {"ducks/", "ducks/a", "ducks/b"};
    assert_int_equal(count, ARRAY_LEN(expected));
    for (size_t i = 0; i < count; i++) {
        bson_iter_t iter;
        assert_true(bson_iter_init_find(&iter, docs[i], "_id"));
        assert_string_equal(bson_iter_utf8(&iter, NULL), expected[i]);
    }
    docstore_list_free(docs, count);
    assert_true(docstore_list(store, "nothing", "", &docs, &count, &err));
    assert_int_equal(count, 0);
    docstore_list_free(docs, count);
}

static void a_removed_document_is_gone_and_may_be_removed_again(void **state)
{
    struct docstore *store = store_of(state);
    struct doc_ref ref = ref_of("removed");
    struct err err;
    assert_int_equal(swap(store, "removed", 0, 1), DOC_WON);
    assert_true(docstore_remove(store, &ref, &err));
    assert_true(docstore_remove(store, &ref, &err));
    assert_int_equal(number_at(store, "removed", "number"), -1);
    assert_int_equal(swap(store, "removed", 0, 2), DOC_WON);
}

static void a_note_sets_and_adds(void **state)
{
    struct docstore *store = store_of(state);
    struct doc_ref ref = ref_of("note");
    struct err err;
    bson_t *set = BCON_NEW("owner", BCON_UTF8("a"));
    bson_t *add = BCON_NEW("items", BCON_INT64(5), "share", BCON_DOUBLE(0.5));
    assert_true(docstore_note(store, &ref, NULL, NULL, &err));
    assert_int_equal(number_at(store, "note", "items"), -1);
    for (int i = 0; i < 3; i++)
        assert_true(docstore_note(store, &ref, set, add, &err));
    assert_true(docstore_note(store, &ref, NULL, add, &err));
    assert_true(docstore_note(store, &ref, set, NULL, &err));
    settle(store);
    char *json = as_json(store, "documents", "note");
    assert_non_null(strstr(json, "\"owner\" : \"a\""));
    assert_non_null(strstr(json, "\"items\" : 20"));
    assert_non_null(strstr(json, "\"share\" : 2.0"));
    bson_free(json);
    bson_destroy(set);
    bson_destroy(add);
}

/* --- races ------------------------------------------------------------------------------------ */

static void *race_swap(void *context)
{
    struct race *race = context;
    struct doc_ref ref = ref_of(race->id);
    struct err err;
    enum doc_swap outcome;
    int me = atomic_fetch_add(&race->next, 1);
    bson_t *doc = BCON_NEW("number", BCON_INT32(me));
    pthread_barrier_wait(&race->barrier);
    if (!docstore_swap(race->store, &ref, race->expected, doc, &outcome, &err))
        atomic_fetch_add(&race->failed, 1);
    else if (outcome == DOC_WON)
        atomic_fetch_add(&race->won, 1);
    bson_destroy(doc);
    return NULL;
}

static void of_eight_writers_at_one_counter_exactly_one_wins(void **state)
{
    struct race race = {.store = store_of(state), .id = "race"};
    for (; race.expected < 10; race.expected++) {
        run_race(&race, race_swap);
        assert_int_equal(race.won, 1);
        assert_int_equal(number_at(race.store, "race", "rev"), race.expected + 1);
    }
}

/* --- faults that only a real server has ------------------------------------------------------- */

static bool swap_fails(const char *id, int64_t expected, struct err *err)
{
    struct doc_ref ref = ref_of(id);
    enum doc_swap outcome;
    bson_t *doc = BCON_NEW("number", BCON_INT32(5));
    bool ok = docstore_swap(mongo_store(), &ref, expected, doc, &outcome, err);
    bson_destroy(doc);
    return !ok;
}

static void a_swap_survives_a_lost_connection(void **state)
{
    (void)state;
    assert_true(mongod_fail(&mongod, "findAndModify", 1, CLOSED));
    assert_int_equal(swap(mongo_store(), "closed once", 0, 1), DOC_WON);
    mongod_heal(&mongod);
}

static void a_swap_that_was_never_applied_asks_to_be_tried_again(void **state)
{
    struct err err;
    (void)state;
    assert_true(mongod_fail(&mongod, "findAndModify", 2, CLOSED));
    assert_true(swap_fails("closed twice", 0, &err));
    assert_int_equal(err.action, ERR_RETRY);
    assert_int_equal(err.domain, ERR_MONGO);
    mongod_heal(&mongod);
    assert_int_equal(swap(mongo_store(), "closed twice", 0, 1), DOC_WON);
}

static void a_swap_applied_before_a_write_concern_error_has_won(void **state)
{
    (void)state;
    for (int64_t expected = 0; expected < 3; expected++) {
        assert_true(mongod_fail(&mongod, "findAndModify", 1, WRITE_CONCERN_ERROR));
        assert_int_equal(swap(mongo_store(), "unsure", expected, (int)expected), DOC_WON);
    }
    mongod_heal(&mongod);
    assert_int_equal(number_at(mongo_store(), "unsure", "rev"), 3);
}

static void a_swap_that_lost_has_lost_whatever_the_write_concern_says(void **state)
{
    (void)state;
    assert_int_equal(swap(mongo_store(), "unsure loser", 0, 1), DOC_WON);
    assert_int_equal(swap(mongo_store(), "unsure loser", 1, 2), DOC_WON);
    assert_true(mongod_fail(&mongod, "findAndModify", 1, WRITE_CONCERN_ERROR));
    assert_int_equal(swap(mongo_store(), "unsure loser", 1, 9), DOC_LOST);
    assert_true(mongod_fail(&mongod, "findAndModify", 1, WRITE_CONCERN_ERROR));
    assert_int_equal(swap(mongo_store(), "unsure loser", 0, 9), DOC_LOST);
    mongod_heal(&mongod);
    assert_int_equal(number_at(mongo_store(), "unsure loser", "number"), 2);
}

static void a_missing_privilege_is_fatal_and_not_read_back(void **state)
{
    struct err err;
    (void)state;
    assert_true(mongod_fail(&mongod, "findAndModify", 1, "\"errorCode\": 13"));
    assert_true(swap_fails("forbidden", 0, &err));
    assert_int_equal(err.action, ERR_FATAL);
    mongod_heal(&mongod);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(a_missing_document_counts_as_zero),
        BOTH(a_stale_counter_loses_and_changes_nothing),
        BOTH(a_document_without_its_counter_counts_as_zero),
        BOTH(a_counter_from_a_shell_is_a_double_and_still_counts),
        BOTH(the_counter_stands_where_its_place_was_left),
        BOTH(a_load_tells_the_server_s_clock_with_and_without_a_document),
        BOTH(a_list_holds_what_begins_with_the_prefix_in_order),
        BOTH(a_removed_document_is_gone_and_may_be_removed_again),
        BOTH(a_note_sets_and_adds),
        BOTH(of_eight_writers_at_one_counter_exactly_one_wins),
        cmocka_unit_test(a_swap_survives_a_lost_connection),
        cmocka_unit_test(a_swap_that_was_never_applied_asks_to_be_tried_again),
        cmocka_unit_test(a_swap_applied_before_a_write_concern_error_has_won),
        cmocka_unit_test(a_swap_that_lost_has_lost_whatever_the_write_concern_says),
        cmocka_unit_test(a_missing_privilege_is_fatal_and_not_read_back),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
