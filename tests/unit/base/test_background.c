/* SPDX-License-Identifier: Apache-2.0 */
#include "base/background.h"
#include "support/test.h"

static void count(void *context)
{
    ++*(int *)context;
}

static void a_job_has_ended_once_it_was_waited_for(void **state)
{
    (void)state;
    int jobs = 0;
    struct background *background = background_new();
    for (int i = 1; i <= 1000; i++) {
        background_begin(background, count, &jobs);
        assert_true(background_wait(background));
        assert_int_equal(jobs, i);
    }
    background_free(background);
}

static void waiting_without_a_job_says_so(void **state)
{
    (void)state;
    struct background *background = background_new();
    assert_false(background_wait(background));
    background_free(background);
}

static void freeing_waits_for_the_job(void **state)
{
    (void)state;
    int jobs = 0;
    struct background *background = background_new();
    background_begin(background, count, &jobs);
    background_free(background);
    assert_int_equal(jobs, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_job_has_ended_once_it_was_waited_for),
        cmocka_unit_test(waiting_without_a_job_says_so),
        cmocka_unit_test(freeing_waits_for_the_job),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
