/* SPDX-License-Identifier: Apache-2.0 */
/* When a tombstone may go: never while anything older could still come. */
#include <stdlib.h>

#include "support/test.h"

#include "agent/steward/steward_state.h"

#define DAY_MS 86400000
#define KEY "\"k\""
#define PARTITIONS 4

static struct feed_view *view_of(int64_t gen, int64_t committed)
{
    struct feed_view *view = calloc(1, sizeof *view);
    *view = (struct feed_view){
        .known = true, .gen = gen, .partitions = PARTITIONS, .has_positions = true};
    for (int p = 0; p < PARTITIONS; p++)
        view->positions[p].committed = 1000000;
    view->positions[record_partition(KEY, 3, PARTITIONS)].committed = committed;
    return view;
}

static bool passed(const struct ledger_row *row, int64_t swept_gen, int64_t committed)
{
    struct version version = {.swept_gen = swept_gen};
    struct feed_view *view = view_of(2, committed);
    bool result = expiry_is_passed(row, &version, view, false);
    free(view);
    return result;
}

static void the_lane_must_have_committed_past_the_record(void **state)
{
    (void)state;
    struct ledger_row row = {.key = KEY, .state = LEDGER_DELETED, .gen = 2, .offset = 10};
    assert_true(passed(&row, 2, 11));
    assert_false(passed(&row, 2, 10));
    assert_false(passed(&row, 2, -1));
    struct version version = {.swept_gen = 2};
    struct feed_view *view = view_of(2, 11);
    view->has_positions = false;
    assert_false(expiry_is_passed(&row, &version, view, false));
    free(view);
}

static void
a_row_of_an_older_generation_waits_for_the_sweep_and_one_of_a_newer_is_left(void **state)
{
    (void)state;
    struct ledger_row row = {.key = KEY, .state = LEDGER_DELETED, .gen = 1, .offset = 1 << 30};
    assert_false(passed(&row, 1, 11));
    assert_true(passed(&row, 2, 11)); /* its offset is of another time */
    row.gen = 3;
    row.offset = 1;
    assert_false(passed(&row, 2, 11));
}

static void what_is_in_work_or_marked_stays(void **state)
{
    (void)state;
    struct ledger_row row = {.key = KEY, .state = LEDGER_DELETED, .gen = 2, .offset = 10};
    row.repair = true;
    assert_false(passed(&row, 2, 11));
    row.repair = false;
    row.has_intent = true;
    assert_false(passed(&row, 2, 11));
}

static void in_memory_the_durable_token_must_have_passed_it(void **state)
{
    (void)state;
    struct ledger_row row = {.key = KEY, .state = LEDGER_DELETED, .gen = 2, .at_ms = 1000000};
    struct version version = {0};
    struct feed_view *view = view_of(2, -1);
    view->token_ms = row.at_ms;
    assert_false(expiry_is_passed(&row, &version, view, true));
    view->token_ms = row.at_ms + 60000;
    assert_true(expiry_is_passed(&row, &version, view, true));
    free(view);
}

static void it_gets_older_than_the_retention_by_a_margin(void **state)
{
    (void)state;
    assert_int_equal(expiry_age_ms(1000), 11000);
    assert_int_equal(expiry_age_ms(600000), 660000);
    assert_int_equal(expiry_age_ms(7LL * DAY_MS), 7LL * DAY_MS + 3600000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_lane_must_have_committed_past_the_record),
        cmocka_unit_test(
            a_row_of_an_older_generation_waits_for_the_sweep_and_one_of_a_newer_is_left),
        cmocka_unit_test(what_is_in_work_or_marked_stays),
        cmocka_unit_test(in_memory_the_durable_token_must_have_passed_it),
        cmocka_unit_test(it_gets_older_than_the_retention_by_a_margin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
