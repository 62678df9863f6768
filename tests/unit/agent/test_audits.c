/* SPDX-License-Identifier: Apache-2.0 */
/* What counts as an audit that an agent has made, and how one is left. */
#include <pthread.h>

#include "agent/steward/steward_state.h"
#include "state/docstore_ops.h"
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

/* A state database that does not answer for a while. */
struct slow_docs {
    struct docstore base; /* first */
    pthread_mutex_t gate;
    _Atomic bool is_asked;
};

static bool slow_load(struct docstore *store, const struct doc_ref *ref, bson_t **doc,
                      int64_t *now_ms, struct err *err)
{
    struct slow_docs *slow = (struct slow_docs *)store;
    (void)ref;
    (void)doc;
    (void)now_ms;
    atomic_store(&slow->is_asked, true);
    pthread_mutex_lock(&slow->gate);
    pthread_mutex_unlock(&slow->gate);
    return err_set(err, ERR_RETRY, ERR_STATE, 0, "it was away");
}

static const struct docstore_ops slow_ops = {.load = slow_load};

/* What hangs here without the fix is ended by the time-out of the test. */
static void one_that_waits_for_a_server_holds_up_no_look(void **state)
{
    (void)state;
    static char name[] = "test", docs[] = "docs";
    struct config config = {.name = name};
    struct config_family family = {.name = docs};
    struct slow_docs slow = {.base.ops = &slow_ops, .gate = PTHREAD_MUTEX_INITIALIZER};
    struct audit_job_options options = {
        .config = &config, .docs = &slow.base, .family = &family, .build_id = "beef"};
    struct steward steward = {0};
    audits_leave(&steward); /* nothing is under way */
    pthread_mutex_lock(&slow.gate);
    steward.auditing = audit_job_start(&options);
    int64_t until_ms = clock_mono_ms() + 20000;
    while (!atomic_load(&slow.is_asked) && clock_mono_ms() < until_ms)
        clock_sleep_ms(1);
    assert_true(atomic_load(&slow.is_asked));
    audits_leave(&steward);
    assert_non_null(steward.auditing);
    assert_true(audit_job_is_cancelled(steward.auditing));
    pthread_mutex_unlock(&slow.gate);
    while (steward.auditing && clock_mono_ms() < until_ms) {
        audits_leave(&steward);
        clock_sleep_ms(1);
    }
    assert_null(steward.auditing);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_could_not_be_told_for_a_lag_is_no_audit),
        cmocka_unit_test(one_that_waits_for_a_server_holds_up_no_look),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
