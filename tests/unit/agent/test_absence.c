/* SPDX-License-Identifier: Apache-2.0 */
/* When a lane may have missed deletes that the topic has forgotten. */
#include "support/test.h"

#include "agent/steward/compare.h"

#define DAY_MS 86400000LL
#define NOW (100 * DAY_MS)

/* Ten days away; what comes next is recent, and nothing is missing in front of it. */
static struct absence_view away(void)
{
    return (struct absence_view){.now_ms = NOW,
                                 .limit_ms = absence_limit_ms(7 * DAY_MS),
                                 .since_ms = NOW - 10 * DAY_MS,
                                 .expected = 500,
                                 .offset = 500,
                                 .broker_ms = NOW - 1000};
}

static void the_limit_lies_below_the_retention(void **state)
{
    (void)state;
    assert_int_equal(absence_limit_ms(10000), 9000);
    assert_int_equal(absence_limit_ms(100 * DAY_MS), 99 * DAY_MS);
}

static void a_quiet_log_has_no_deletes_to_miss(void **state)
{
    (void)state;
    struct absence_view view = away();
    assert_false(absence_is_possible(&view));
}

static void an_old_record_tells(void **state)
{
    (void)state;
    struct absence_view view = away();
    view.broker_ms = NOW - 8 * DAY_MS;
    assert_true(absence_is_possible(&view));
    view.broker_ms = NOW - 6 * DAY_MS;
    assert_false(absence_is_possible(&view));
}

static void a_hole_in_front_of_a_recent_record_tells(void **state)
{
    (void)state;
    struct absence_view view = away();
    view.offset = 501;
    assert_true(absence_is_possible(&view));
    view.expected = -1; /* nobody knows */
    assert_true(absence_is_possible(&view));
}

static void who_was_in_step_lately_has_missed_nothing(void **state)
{
    (void)state;
    struct absence_view view = away();
    view.since_ms = NOW - 6 * DAY_MS;
    view.offset = 900;
    view.broker_ms = NOW - 80 * DAY_MS; /* a new version that replays a compacted log */
    assert_false(absence_is_possible(&view));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_limit_lies_below_the_retention),
        cmocka_unit_test(a_quiet_log_has_no_deletes_to_miss),
        cmocka_unit_test(an_old_record_tells),
        cmocka_unit_test(a_hole_in_front_of_a_recent_record_tells),
        cmocka_unit_test(who_was_in_step_lately_has_missed_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
