/* SPDX-License-Identifier: Apache-2.0 */
/* The exchange of names with collections of others in the way, and with ours gone or renamed. */
#include "unit/agent/rename_fixture.h"

/* ---- collections of others ---- */

static void an_adopted_collection_is_parked_and_comes_back(void **state)
{
    struct stage *s = *state;
    make(s, "articles", NULL, 7, s->ids[2]);
    add_version(s, "adopted", "articles", s->ids[2])->external = true;
    const struct rename rename = rename_of(s, 0);
    assert_string_equal(rename_served_name(&rename), "articles");
    must_exchange(s, "v1", 0);
    assert_string_equal(name_in_store(s, s->ids[0]), "articles");
    const char *parked = name_in_store(s, s->ids[2]);
    assert_non_null(strstr(parked, "articles__parked__"));
    assert_string_equal(registry_version(&s->registry, "adopted")->collection, parked);
    assert_string_equal(rename_served_name(&rename), "articles");
    must_exchange(s, "v2", 1);
    assert_string_equal(name_in_store(s, s->ids[1]), "articles");
    must_exchange(s, "adopted", 2);
    assert_string_equal(name_in_store(s, s->ids[2]), "articles");
    assert_string_equal(name_in_store(s, s->ids[1]), OWN_2);
    must_exchange(s, "v2", 3);
    assert_string_equal(name_in_store(s, s->ids[2]), parked);
    assert_records(s, s->ids[2], 7);
}

static void the_files_name_comes_first(void **state)
{
    struct stage *s = *state;
    must_exchange(s, "v1", 0);
    s->served_name = "geese";
    must_exchange(s, "v2", 1);
    assert_named(s, LIVE, "geese"); /* the old name stays where it is: nobody asked for it */
    must_exchange(s, "v1", 2);
    assert_named(s, "geese", OWN_2);
}

static void a_collection_that_is_nobodys_and_not_empty_is_left_alone(void **state)
{
    struct stage *s = *state;
    make(s, LIVE, NULL, 1, s->ids[2]);
    expect_stop(s, "v1", 0, "holds records: adopt it");
    assert_named(s, OWN_1, OWN_2);
    assert_string_equal(name_in_store(s, s->ids[2]), LIVE);
    assert_null(s->registry.rename.step);
    assert_int_equal(s->calls, 0);
}

static void an_empty_one_that_was_made_for_another_family_is_left_alone(void **state)
{
    struct stage *s = *state;
    make(s, LIVE, "vectail", 0, s->ids[2]);
    expect_stop(s, "v1", 0, "was made for another one");
    assert_string_equal(name_in_store(s, s->ids[2]), LIVE);
    assert_int_equal(s->calls, 0);
}

static void an_empty_one_that_is_nobodys_gives_way(void **state)
{
    struct stage *s = *state;
    make(s, LIVE, NULL, 0, s->ids[2]);
    must_exchange(s, "v1", 0);
    assert_named(s, LIVE, OWN_2);
    assert_non_null(strstr(name_in_store(s, s->ids[2]), LIVE "__aside__"));
}

static void a_reader_that_falls_into_the_window_gives_way(void **state)
{
    struct stage *s = *state;
    must_exchange(s, "v1", 0);
    s->intrude = "empty";
    must_exchange(s, "v2", 1);
    assert_named(s, OWN_1, LIVE);
    s->intrude = "empty";
    must_take_back(s, "v2", 1);
    assert_named(s, LIVE, OWN_2);
    struct sink_collection *all = NULL;
    struct err err = {0};
    size_t count = 0, aside = 0;
    assert_true(sink_list(s->inner, s->arena, &all, &count, &err));
    for (size_t i = 0; i < count; i++)
        aside += strstr(all[i].name, "__aside__") != NULL;
    assert_int_equal(aside, 2); /* renamed, never dropped */
    assert_int_equal(count, 4);
}

static void records_in_the_window_stop_it_until_a_person_has_looked(void **state)
{
    struct stage *s = *state;
    must_exchange(s, "v1", 0);
    const char *const kinds[] = {"full", "ours"};
    for (size_t i = 0; i < 2; i++) {
        struct err err = {0};
        s->intrude = kinds[i];
        expect_stop(s, "v2", 1, "which is not of this family");
        assert_step(s, RENAME_RENAMING);
        restart(s);
        expect_stop(s, "v2", 1, "which is not of this family");
        assert_string_equal(name_in_store(s, s->ids[0]), OWN_1);
        assert_string_equal(name_in_store(s, s->ids[1]), OWN_2);
        assert_nothing_is_lost(s);
        assert_true(sink_drop(s->inner, LIVE, &err)); /* the person */
        must_exchange(s, "v2", 1);
        assert_named(s, OWN_1, LIVE);
        must_exchange(s, "v1", 2);
    }
}

static void a_parking_name_that_is_taken_stops_it_before_anything_is_moved(void **state)
{
    struct stage *s = *state;
    must_exchange(s, "v1", 0);
    make(s, OWN_1, NULL, 0, s->ids[2]);
    expect_stop(s, "v2", 1, "cannot be named " OWN_1);
    assert_named(s, LIVE, OWN_2);
    must_take_back(s, "v2", 1); /* given up */
    assert_step(s, RENAME_UNDONE);
    assert_named(s, LIVE, OWN_2);
    assert_string_equal(name_in_store(s, s->ids[2]), OWN_1);
}

static void a_collection_that_somebody_renamed_stops_it(void **state)
{
    struct stage *s = *state;
    struct err err = {0};
    bool done = false;
    must_exchange(s, "v1", 0);
    assert_true(sink_rename(s->inner, s->ids[1], "by-hand", s->arena, &err));
    expect_stop(s, "v2", 1, "is named by-hand in the store");
    assert_true(sink_rename(s->inner, s->ids[1], OWN_2, s->arena, &err));
    kill_at(s, 2, false); /* v1 is parked */
    assert_false(exchange(s, "v2", 1, &done, &err));
    restart(s);
    assert_true(sink_rename(s->inner, s->ids[0], "by-hand", s->arena, &err));
    expect_stop(s, "v2", 1, "is named by-hand, expected " LIVE " or " OWN_1);
    assert_false(take_back(s, "v2", 1, &err));
    assert_int_equal(err.action, ERR_FATAL);
    assert_string_equal(name_in_store(s, s->ids[0]), "by-hand");
    assert_string_equal(name_in_store(s, s->ids[1]), OWN_2);
    assert_true(sink_rename(s->inner, s->ids[0], OWN_1, s->arena, &err));
    must_take_back(s, "v2", 1);
    assert_named(s, LIVE, OWN_2);
}

static void a_collection_that_is_gone_is_not_promoted(void **state)
{
    struct stage *s = *state;
    struct err err = {0};
    must_exchange(s, "v1", 0);
    assert_true(sink_drop(s->inner, OWN_2, &err));
    expect_stop(s, "v2", 1, "is gone");
    assert_string_equal(name_in_store(s, s->ids[0]), LIVE);
}

static void when_it_goes_in_the_window_the_old_one_has_its_name_again(void **state)
{
    struct stage *s = *state;
    struct err err = {0};
    bool done = true;
    must_exchange(s, "v1", 0);
    kill_at(s, 2, false);
    assert_false(exchange(s, "v2", 1, &done, &err));
    restart(s);
    assert_true(sink_drop(s->inner, OWN_2, &err));
    assert_true(exchange(s, "v2", 1, &done, &err));
    assert_false(done);
    assert_string_equal(name_in_store(s, s->ids[0]), LIVE);
    assert_string_equal(registry_version(&s->registry, "v1")->collection, LIVE);
    assert_step(s, RENAME_UNDONE);
}

static void when_the_old_one_goes_in_the_window_the_new_one_is_served(void **state)
{
    struct stage *s = *state;
    struct err err = {0};
    bool done = false;
    must_exchange(s, "v1", 0);
    kill_at(s, 2, false);
    assert_false(exchange(s, "v2", 1, &done, &err));
    restart(s);
    assert_true(sink_drop(s->inner, OWN_1, &err));
    must_exchange(s, "v2", 1);
    assert_string_equal(name_in_store(s, s->ids[1]), LIVE);
    assert_string_equal(registry_version(&s->registry, "v2")->collection, LIVE);
}

static void an_exchange_that_is_not_finished_keeps_others_out(void **state)
{
    struct stage *s = *state;
    struct err err = {0};
    bool done = false;
    must_exchange(s, "v1", 0);
    kill_at(s, 2, false);
    assert_false(exchange(s, "v2", 1, &done, &err));
    restart(s);
    expect_stop(s, "v1", 1, "is not finished");
    must_exchange(s, "v2", 1);
    assert_named(s, OWN_1, LIVE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_adopted_collection_is_parked_and_comes_back),
        TEST(the_files_name_comes_first),
        TEST(a_collection_that_is_nobodys_and_not_empty_is_left_alone),
        TEST(an_empty_one_that_was_made_for_another_family_is_left_alone),
        TEST(an_empty_one_that_is_nobodys_gives_way),
        TEST(a_reader_that_falls_into_the_window_gives_way),
        TEST(records_in_the_window_stop_it_until_a_person_has_looked),
        TEST(a_parking_name_that_is_taken_stops_it_before_anything_is_moved),
        TEST(a_collection_that_somebody_renamed_stops_it),
        TEST(a_collection_that_is_gone_is_not_promoted),
        TEST(when_it_goes_in_the_window_the_old_one_has_its_name_again),
        TEST(when_the_old_one_goes_in_the_window_the_new_one_is_served),
        TEST(an_exchange_that_is_not_finished_keeps_others_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
