/* SPDX-License-Identifier: Apache-2.0 */
/* Names go from one version to the next and back, cut off before and after each call. */
#include "unit/agent/rename_fixture.h"

/* ---- back and forth ---- */

static void the_first_one_takes_a_name_that_nobody_has(void **state)
{
    struct stage *s = *state;
    must_exchange(s, "v1", 0);
    assert_named(s, LIVE, OWN_2);
    assert_step(s, RENAME_DONE);
    assert_string_equal(registry_version(&s->registry, "v1")->own_name, OWN_1);
    assert_null(s->registry.rename.live_id);
}

static void names_go_to_the_next_one_and_back(void **state)
{
    struct stage *s = *state;
    must_exchange(s, "v1", 0);
    must_exchange(s, "v2", 1);
    assert_named(s, OWN_1, LIVE);
    must_exchange(s, "v1", 2); /* rolled back */
    assert_named(s, LIVE, OWN_2);
    must_exchange(s, "v2", 3);
    assert_named(s, OWN_1, LIVE);
    restart(s); /* all of that was written down */
    assert_named(s, OWN_1, LIVE);
}

static void what_is_done_is_not_done_again(void **state)
{
    struct stage *s = *state;
    must_exchange(s, "v1", 0);
    must_exchange(s, "v2", 1);
    int64_t rev = s->registry.rev;
    s->calls = 0;
    must_exchange(s, "v2", 1);
    assert_int_equal(s->calls, 0);
    assert_int_equal(s->registry.rev, rev);
}

/* ---- killed ---- */

/* Calls that an exchange makes, the journal's writes included. */
static int calls_of_exchange(struct stage *s)
{
    s->calls = 0;
    must_exchange(s, "v2", 1);
    return s->calls;
}

static void killed_anywhere_it_is_finished(void **state)
{
    struct stage *s = *state;
    must_exchange(s, "v1", 0);
    int total = calls_of_exchange(s);
    assert_int_equal(total, 4); /* journal, parked, promoted, journal */
    must_exchange(s, "v1", 2);
    for (int i = 0; i < 2 * total; i++) {
        struct err err = {0};
        bool done = true;
        const char *to = i % 2 ? "v1" : "v2";
        for (int before = 0; before < 2; before++) {
            kill_at(s, i / 2 + 1, before);
            assert_false(exchange(s, to, 3 + i, &done, &err));
            assert_int_equal(err.action, ERR_CANCEL);
            assert_nothing_is_lost(s);
            restart(s);
            must_exchange(s, to, 3 + i);
            assert_named(s, i % 2 ? LIVE : OWN_1, i % 2 ? OWN_2 : LIVE);
            if (before == 0) { /* back, to be killed once more at the other side of the call */
                must_exchange(s, i % 2 ? "v2" : "v1", 100);
            }
        }
    }
}

static void killed_twice_in_a_row_it_is_finished(void **state)
{
    struct stage *s = *state;
    must_exchange(s, "v1", 0);
    for (int first = 1; first <= 4; first++) {
        for (int second = 1; second <= 4; second++) {
            struct err err = {0};
            bool done = false;
            kill_at(s, first, second % 2);
            assert_false(exchange(s, "v2", 1, &done, &err));
            restart(s);
            kill_at(s, second, first % 2);
            (void)!exchange(s, "v2", 1, &done, &err); /* it may be through before */
            restart(s);
            must_exchange(s, "v2", 1);
            assert_named(s, OWN_1, LIVE);
            must_exchange(s, "v1", 2);
            assert_named(s, LIVE, OWN_2);
        }
    }
}

static void killed_anywhere_it_can_be_taken_back(void **state)
{
    struct stage *s = *state;
    must_exchange(s, "v1", 0);
    for (int call = 1; call <= 4; call++) {
        for (int before = 0; before < 2; before++) {
            struct err err = {0};
            bool done = false;
            kill_at(s, call, before);
            assert_false(exchange(s, "v2", 1, &done, &err));
            restart(s);
            must_take_back(s, "v2", 1);
            assert_named(s, LIVE, OWN_2);
            restart(s);
            assert_named(s, LIVE, OWN_2);
        }
    }
}

static void killed_while_it_is_taken_back_that_is_finished(void **state)
{
    struct stage *s = *state;
    must_exchange(s, "v1", 0);
    for (int call = 1; call <= 4; call++) {
        for (int before = 0; before < 2; before++) {
            struct err err = {0};
            bool done = true;
            must_exchange(s, "v2", 1);
            kill_at(s, call, before);
            assert_false(take_back(s, "v2", 1, &err));
            bool undoing = !(call == 1 && before); /* that it was to be undone was written down */
            restart(s);
            if (undoing && call % 2) { /* whoever goes on with the cutover finds it undone */
                assert_true(exchange(s, "v2", 1, &done, &err));
                assert_false(done);
            } else {
                must_take_back(s, "v2", 1);
            }
            assert_named(s, LIVE, OWN_2);
            assert_step(s, RENAME_UNDONE);
        }
    }
}

static void what_was_taken_back_stays_so_when_a_request_comes_late(void **state)
{
    struct stage *s = *state;
    struct err err = {0};
    bool done = false;
    must_exchange(s, "v1", 0);
    kill_at(s, 2, true); /* parking is asked for, and not carried out yet */
    assert_false(exchange(s, "v2", 1, &done, &err));
    restart(s);
    s->settle_ms = 60000;
    assert_false(take_back(s, "v2", 1, &err));
    assert_int_equal(err.action, ERR_RETRY);
    assert_named(s, LIVE, OWN_2);
    assert_step(s, RENAME_UNDOING);
    assert_true(sink_rename(s->inner, s->ids[0], OWN_1, s->arena, &err)); /* now it is */
    assert_false(take_back(s, "v2", 1, &err));
    assert_int_equal(err.action, ERR_RETRY);
    assert_named(s, LIVE, OWN_2);
    s->settle_ms = 0; /* that time is over */
    must_take_back(s, "v2", 1);
    assert_step(s, RENAME_UNDONE);
    assert_named(s, LIVE, OWN_2);
}

static void what_was_begun_for_an_earlier_flip_is_taken_back_first(void **state)
{
    struct stage *s = *state;
    must_exchange(s, "v1", 0);
    for (int call = 1; call <= 3; call++) {
        struct err err = {0};
        bool done = false;
        kill_at(s, call, false);
        assert_false(exchange(s, "v2", 1, &done, &err));
        restart(s);
        assert_step(s, RENAME_RENAMING);
        must_exchange(s, "v1", 5); /* it has the name again, and keeps it */
        assert_named(s, LIVE, OWN_2);
        assert_step(s, RENAME_UNDONE);
    }
    must_exchange(s, "v2", 6);
    assert_named(s, OWN_1, LIVE);
}

static void after_one_that_was_cut_short_the_next_one_waits(void **state)
{
    struct stage *s = *state;
    struct err err = {0};
    bool done = false;
    must_exchange(s, "v1", 0);
    kill_at(s, 2, false); /* parked, and nobody has heard so */
    assert_false(exchange(s, "v2", 1, &done, &err));
    restart(s);
    must_exchange(s, "v2", 1);
    s->settle_ms = 3600000;
    restart(s);
    assert_false(exchange(s, "v1", 2, &done, &err));
    assert_int_equal(err.action, ERR_RETRY);
    assert_named(s, OWN_1, LIVE);
    s->settle_ms = 0;
    must_exchange(s, "v1", 2);
    assert_named(s, LIVE, OWN_2);
    s->settle_ms = 3600000; /* that one was not cut short */
    must_exchange(s, "v2", 3);
    assert_named(s, OWN_1, LIVE);
}

static void only_the_exchange_of_the_same_cutover_is_taken_back(void **state)
{
    struct stage *s = *state;
    must_exchange(s, "v1", 0);
    must_exchange(s, "v2", 1);
    must_take_back(s, "v1", 2); /* its own never began */
    must_take_back(s, "v2", 2); /* has had the name since an earlier one */
    assert_named(s, OWN_1, LIVE);
    must_take_back(s, "v2", 1);
    assert_named(s, LIVE, OWN_2);
    must_take_back(s, "v2", 1); /* idempotent */
    assert_named(s, LIVE, OWN_2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_first_one_takes_a_name_that_nobody_has),
        TEST(names_go_to_the_next_one_and_back),
        TEST(what_is_done_is_not_done_again),
        TEST(killed_anywhere_it_is_finished),
        TEST(killed_twice_in_a_row_it_is_finished),
        TEST(killed_anywhere_it_can_be_taken_back),
        TEST(killed_while_it_is_taken_back_that_is_finished),
        TEST(what_was_taken_back_stays_so_when_a_request_comes_late),
        TEST(what_was_begun_for_an_earlier_flip_is_taken_back_first),
        TEST(after_one_that_was_cut_short_the_next_one_waits),
        TEST(only_the_exchange_of_the_same_cutover_is_taken_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
