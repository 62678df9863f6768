/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/verify/audit_state.h"
#include "base/attr.h"
#include "support/test.h"

/* A lane notes at 100 000 by its own clock that all older than 500 ms is applied; the document has been
 * what it is for 10 s, and since a note of 90 000. */
static const struct audit_lane usual_lane = {.is_fed = true, .at_ms = 100000, .lag_ms = 500};
static const struct audit_suspect usual_suspect = {
    .looks = 3, .first_ms = 40000, .same_ms = 40000, .note_ms = 90000};
#define NOW_MS 50000

static void check(const struct audit_suspect *suspect, const struct audit_lane *lane,
                  enum audit_passed passed, bool behind)
{
    bool is_behind = false;
    assert_int_equal(audit_suspect_passed(suspect, lane, NOW_MS, &is_behind), passed);
    assert_int_equal(is_behind, behind);
}

static void a_difference_stands_when_its_lane_has_had_the_time(void **state)
{
    (void)state;
    struct audit_suspect suspect = usual_suspect;
    check(&suspect, &usual_lane, AUDIT_PASSED, false);
    suspect.looks = 2;
    check(&suspect, &usual_lane, AUDIT_PASSED_NOT_YET, false);
    suspect = usual_suspect;
    suspect.same_ms = NOW_MS - 100; /* it was another one a moment ago */
    check(&suspect, &usual_lane, AUDIT_PASSED_NOT_YET, false);
    suspect = usual_suspect;
    suspect.note_ms = usual_lane.at_ms - 3400; /* nothing was noted since that says so */
    check(&suspect, &usual_lane, AUDIT_PASSED_NOT_YET, false);
    suspect.note_ms = usual_lane.at_ms - 3500;
    check(&suspect, &usual_lane, AUDIT_PASSED, false);
}

static void a_lane_that_lags_is_waited_for_as_long_as_that_is_short(void **state)
{
    (void)state;
    struct audit_suspect suspect = usual_suspect;
    struct audit_lane lane = usual_lane;
    lane.lag_ms = 9000;
    check(&suspect, &lane, AUDIT_PASSED_NOT_YET, false);
    lane.lag_ms = 3600000; /* whatever differs may be under way */
    check(&suspect, &lane, AUDIT_PASSED_UNKNOWN, true);
    lane.lag_ms = -1; /* not known: a while */
    check(&suspect, &lane, AUDIT_PASSED_NOT_YET, false);
    suspect.first_ms = NOW_MS - 20000;
    check(&suspect, &lane, AUDIT_PASSED_UNKNOWN, true);
    lane.lag_ms = 25000;
    check(&suspect, &lane, AUDIT_PASSED_NOT_YET, false);
    suspect.first_ms = NOW_MS - 60000;
    check(&suspect, &lane, AUDIT_PASSED_UNKNOWN, true);
}

static void nobody_is_waited_for_where_no_agent_feeds(void **state)
{
    (void)state;
    struct audit_suspect suspect = usual_suspect;
    struct audit_lane lane = usual_lane;
    lane.is_fed = false;
    check(&suspect, &lane, AUDIT_PASSED, true);
    suspect.looks = 1;
    check(&suspect, &lane, AUDIT_PASSED_NOT_YET, false);
}

static void a_record_goes_by_its_row_and_not_by_the_lag(void **state)
{
    (void)state;
    struct audit_suspect suspect = usual_suspect;
    struct audit_lane lane = usual_lane;
    suspect.is_record = true;
    lane.lag_ms = -1;
    check(&suspect, &lane, AUDIT_PASSED, false);
    suspect.same_ms = NOW_MS - 1000;
    check(&suspect, &lane, AUDIT_PASSED_NOT_YET, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_difference_stands_when_its_lane_has_had_the_time),
        cmocka_unit_test(a_lane_that_lags_is_waited_for_as_long_as_that_is_short),
        cmocka_unit_test(nobody_is_waited_for_where_no_agent_feeds),
        cmocka_unit_test(a_record_goes_by_its_row_and_not_by_the_lag),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
