/* SPDX-License-Identifier: Apache-2.0 */
/* The identity of a deployment's state, and the schema of all of it. */
#include "state/identity.h"
#include "conformance/state_fixture.h"

static struct doc_ref identity_of(const char *name)
{
    return (struct doc_ref){.collection = "identity", .id = name, .counter = "rev"};
}

static char *stored(struct docstore *store, const char *name)
{
    struct doc_ref ref = identity_of(name);
    struct err err;
    bson_t *doc = NULL;
    assert_true(docstore_load(store, &ref, &doc, NULL, &err));
    char *json = doc ? bson_as_relaxed_extended_json(doc, NULL) : NULL;
    bson_destroy(doc);
    return json;
}

static void expect_in(struct docstore *store, const char *name, const char *text)
{
    char *json = stored(store, name);
    assert_non_null(json);
    if (!strstr(json, text))
        fail_msg("%s is not in %s", text, json);
    bson_free(json);
}

static void expect_newer(const struct err *err)
{
    assert_int_equal(err->action, ERR_FATAL);
    assert_int_equal(err->domain, ERR_STATE);
    assert_int_equal(err->code, STATE_NEWER);
    assert_true(err_is_newer_state(err));
}

static void *race_identity(void *context)
{
    struct race *race = context;
    struct err err;
    int me = atomic_fetch_add(&race->next, 1);
    pthread_barrier_wait(&race->barrier);
    if (!identity_load(race->store, race->id, &race->identities[me], &err))
        atomic_fetch_add(&race->failed, 1);
    return NULL;
}

static void the_identity_is_made_once(void **state)
{
    struct race race = {.store = store_of(state), .id = "ducks"};
    struct err err;
    char *other = NULL;
    run_race(&race, race_identity);
    assert_int_equal(strlen(race.identities[0]), 32);
    for (int i = 1; i < THREADS; i++)
        assert_string_equal(race.identities[i], race.identities[0]);
    assert_true(identity_load(race.store, "geese", &other, &err));
    assert_string_not_equal(other, race.identities[0]);
    free(other);
    for (int i = 0; i < THREADS; i++)
        free(race.identities[i]);
}

/* An agent that raises, a command that only looks, and whoever wants the id. */
static void of_a_newer_schema_nothing_is_read_and_nothing_changed(void **state)
{
    struct docstore *store = store_of(state);
    struct err err;
    char *state_id = NULL;
    put_raw(store, "identity", "newer",
            "{\"schema\": 2, \"state_id\": \"x\", \"vectail\": \"9.8.7\"}");
    char *before = stored(store, "newer");
    assert_false(identity_load(store, "newer", &state_id, &err));
    expect_newer(&err);
    assert_null(state_id);
    assert_false(identity_raise(store, "newer", &err));
    expect_newer(&err);
    assert_false(identity_check(store, "newer", &err));
    expect_newer(&err);
    assert_string_equal(err.text,
                        "the state of 'newer' was written by a newer vectail, 9.8.7 (schema 2; "
                        "this is " VECTAIL_VERSION ", which knows 1): use that one, or a newer "
                        "one. Nothing was changed");
    char *after = stored(store, "newer");
    assert_string_equal(after, before);
    bson_free(before);
    bson_free(after);
}

static void a_newer_schema_without_its_release_is_refused_too(void **state)
{
    struct docstore *store = store_of(state);
    struct err err;
    put_raw(store, "identity", "unnamed", "{\"schema\": 7.0, \"vectail\": 3}");
    assert_false(identity_check(store, "unnamed", &err));
    expect_newer(&err);
    assert_non_null(strstr(err.text, "a newer vectail (schema 7;"));
}

static void a_state_that_was_not_begun_is_fine_and_stays_so_when_looked_at(void **state)
{
    struct docstore *store = store_of(state);
    struct err err;
    assert_true(identity_check(store, "nobody", &err));
    assert_true(identity_raise(store, "nobody", &err));
    assert_null(stored(store, "nobody"));
}

static void what_begins_a_state_writes_schema_and_release_down(void **state)
{
    struct docstore *store = store_of(state);
    struct err err;
    char *state_id = NULL;
    assert_true(identity_load(store, "begun", &state_id, &err));
    free(state_id);
    expect_in(store, "begun", "\"schema\" : 1,");
    expect_in(store, "begun", "\"vectail\" : \"" VECTAIL_VERSION "\"");
    assert_true(identity_raise(store, "begun", &err));
    expect_in(store, "begun", "\"rev\" : 1,"); /* it had it already */
}

/* As a state is that was begun before there was a number. */
static void a_state_without_a_schema_is_taken_up_and_gets_it(void **state)
{
    struct docstore *store = store_of(state);
    struct err err;
    char *state_id = NULL;
    put_raw(store, "identity", "old", "{\"rev\": 1, \"state_id\": \"x\", \"other\": true}");
    assert_true(identity_check(store, "old", &err));
    assert_true(identity_raise(store, "old", &err));
    assert_true(identity_load(store, "old", &state_id, &err));
    assert_string_equal(state_id, "x");
    free(state_id);
    expect_in(store, "old", "\"rev\" : 2,");
    expect_in(store, "old", "\"schema\" : 1,");
    expect_in(store, "old", "\"other\" : true");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(the_identity_is_made_once),
        BOTH(of_a_newer_schema_nothing_is_read_and_nothing_changed),
        BOTH(a_newer_schema_without_its_release_is_refused_too),
        BOTH(a_state_that_was_not_begun_is_fine_and_stays_so_when_looked_at),
        BOTH(what_begins_a_state_writes_schema_and_release_down),
        BOTH(a_state_without_a_schema_is_taken_up_and_gets_it),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
