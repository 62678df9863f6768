/* SPDX-License-Identifier: Apache-2.0 */
#include "base/background.h"

#include "base/clock.h"
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

struct hold {
    _Atomic bool release;
    _Atomic bool ended;
    _Atomic bool after;
};

static void hold(void *context)
{
    struct hold *held = context;
    while (!held->release)
        clock_sleep_ms(1);
    held->ended = true;
}

static void note_end(void *context)
{
    struct hold *held = context;
    assert_true(held->ended);
    held->after = true;
}

static void a_job_that_does_not_end_is_not_waited_for(void **state)
{
    (void)state;
    struct hold held = {0};
    struct background *background = background_new();
    background_begin(background, hold, &held);
    assert_false(background_wait_ms(background, 20));
    held.release = true;
    assert_true(background_wait_ms(background, 20000));
    background_free(background);
}

static void a_job_that_was_abandoned_is_cleared_away_when_it_ends(void **state)
{
    (void)state;
    struct hold held = {0};
    struct background *background = background_new();
    background_begin(background, hold, &held);
    background_abandon(background, note_end, &held);
    assert_false(held.after);
    held.release = true;
    int64_t deadline = clock_mono_ms() + 20000;
    while (!held.after && clock_mono_ms() < deadline)
        clock_sleep_ms(1);
    assert_true(held.after);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_job_has_ended_once_it_was_waited_for),
        cmocka_unit_test(waiting_without_a_job_says_so),
        cmocka_unit_test(freeing_waits_for_the_job),
        cmocka_unit_test(a_job_that_does_not_end_is_not_waited_for),
        cmocka_unit_test(a_job_that_was_abandoned_is_cleared_away_when_it_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
