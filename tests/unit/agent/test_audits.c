/* SPDX-License-Identifier: Apache-2.0 */
/* What counts as an audit that an agent has made. */
#include "agent/steward/steward_state.h"
#include "support/test.h"

static void what_could_not_be_told_for_a_lag_is_no_audit(void **state)
{
    (void)state;
    struct audit_report report = {.documents = 100};
    assert_int_equal(audits_judge(&report), AUDIT_SAYS_PASSED);
    report.unsettled = 3; /* they change again and again */
    assert_int_equal(audits_judge(&report), AUDIT_SAYS_PASSED);
    report.behind = true;
    assert_int_equal(audits_judge(&report), AUDIT_SAYS_UNSETTLED);
    report.found[AUDIT_STORE][AUDIT_MISSING] = 1;
    assert_int_equal(audits_judge(&report), AUDIT_SAYS_DIFFERS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_could_not_be_told_for_a_lag_is_no_audit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
