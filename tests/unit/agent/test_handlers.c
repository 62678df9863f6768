/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/http/handlers.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "base/clock.h"
#include "support/test.h"

#define THREADS 2
#define GROUPS 2
#define QUEUE 3
#define DEADLINE_MS 30000

struct job {
    pthread_mutex_t *gate; /* it runs for as long as somebody holds this */
    _Atomic int *begun, *done, *refused;
};

static void run(void *argument)
{
    struct job *job = argument;
    atomic_fetch_add(job->begun, 1);
    pthread_mutex_lock(job->gate);
    pthread_mutex_unlock(job->gate);
    atomic_fetch_add(job->done, 1);
}

static void refuse(void *argument, bool stopping)
{
    (void)stopping;
    struct job *job = argument;
    atomic_fetch_add(job->refused, 1);
}

static void wait_for(_Atomic int *number, int wanted)
{
    int64_t until = clock_mono_ms() + DEADLINE_MS;
    while (atomic_load(number) < wanted) {
        assert_true(clock_mono_ms() < until);
        clock_sleep_ms(1);
    }
}

static struct handlers_options options_for(int64_t wait_max_ms)
{
    return (struct handlers_options){.name = "test",
                                     .threads = THREADS * GROUPS,
                                     .groups = GROUPS,
                                     .group_max = THREADS,
                                     .queue_max = QUEUE,
                                     .wait_max_ms = wait_max_ms,
                                     .run = run,
                                     .refuse = refuse};
}

static struct handlers *start(int64_t wait_max_ms)
{
    struct handlers_options options = options_for(wait_max_ms);
    return handlers_start(&options);
}

static void what_waits_is_bounded_and_refused_at_the_end(void **state)
{
    (void)state;
    _Atomic int begun = 0, done = 0, refused = 0;
    pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
    struct job job = {.gate = &gate, .begun = &begun, .done = &done, .refused = &refused};
    struct handlers *handlers = start(DEADLINE_MS);
    pthread_mutex_lock(&gate);
    for (int i = 0; i < THREADS; i++)
        handlers_put(handlers, &job, 0);
    wait_for(&begun, THREADS);
    for (int i = 0; i < QUEUE; i++) {
        assert_true(handlers_have_room(handlers, 0));
        handlers_put(handlers, &job, 0);
    }
    assert_false(handlers_have_room(handlers, 0));
    assert_false(handlers_stop(handlers, 10)); /* two run on */
    wait_for(&refused, QUEUE);
    assert_false(handlers_have_room(handlers, 0));
    handlers_put(handlers, &job, 0);
    assert_int_equal(atomic_load(&refused), QUEUE + 1);
    pthread_mutex_unlock(&gate);
    assert_true(handlers_stop(handlers, DEADLINE_MS));
    assert_int_equal(atomic_load(&done), THREADS);
    handlers_free(handlers);
}

/* A stop in the middle of which those that ran end. */
struct stop {
    _Atomic bool open;
    _Atomic int begun, refused;
    _Atomic int taken; /* one or the other */
};

static void run_until_open(void *argument)
{
    struct stop *stop = argument;
    atomic_fetch_add(&stop->begun, 1);
    atomic_fetch_add(&stop->taken, 1);
    while (!atomic_load(&stop->open))
        clock_sleep_ms(1);
}

static void open_and_refuse(void *argument, bool stopping)
{
    struct stop *stop = argument;
    atomic_store(&stop->open, true);
    atomic_fetch_add(&stop->refused, stopping);
    atomic_fetch_add(&stop->taken, 1);
    wait_for(&stop->taken, THREADS + QUEUE); /* the other threads come for what waits */
}

static void nothing_is_begun_any_more_when_a_stop_has_begun(void **state)
{
    (void)state;
    struct stop stop = {.open = false};
    struct handlers_options options = options_for(DEADLINE_MS);
    options.run = run_until_open;
    options.refuse = open_and_refuse;
    struct handlers *handlers = handlers_start(&options);
    for (int i = 0; i < THREADS; i++)
        handlers_put(handlers, &stop, 0);
    wait_for(&stop.begun, THREADS);
    for (int i = 0; i < QUEUE; i++)
        handlers_put(handlers, &stop, 0);
    assert_true(handlers_stop(handlers, DEADLINE_MS));
    assert_int_equal(atomic_load(&stop.begun), THREADS);
    assert_int_equal(atomic_load(&stop.refused), QUEUE);
    handlers_free(handlers);
}

static void all_jobs_are_done(void **state)
{
    (void)state;
    _Atomic int begun = 0, done = 0, refused = 0;
    pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
    struct job job = {.gate = &gate, .begun = &begun, .done = &done, .refused = &refused};
    struct handlers *handlers = start(DEADLINE_MS);
    int put = 0;
    for (int64_t until = clock_mono_ms() + DEADLINE_MS; put < 1000 && clock_mono_ms() < until;) {
        if (handlers_have_room(handlers, 0)) {
            handlers_put(handlers, &job, 0);
            put++;
        }
    }
    wait_for(&done, 1000);
    assert_true(handlers_stop(handlers, DEADLINE_MS));
    assert_int_equal(atomic_load(&refused), 0);
    handlers_free(handlers);
}

static _Atomic int64_t passed_us;

/* Goes on by itself, and in leaps. */
static int64_t leaping_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000 + atomic_load(&passed_us);
}

static void what_waits_too_long_is_refused(void **state)
{
    (void)state;
    static const struct clock_ops leaping = {.mono_us = leaping_us};
    clock_use(&leaping);
    _Atomic int begun = 0, done = 0, refused = 0;
    pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
    struct job job = {.gate = &gate, .begun = &begun, .done = &done, .refused = &refused};
    struct handlers *handlers = start(DEADLINE_MS);
    pthread_mutex_lock(&gate);
    for (int i = 0; i < THREADS; i++)
        handlers_put(handlers, &job, 0);
    wait_for(&begun, THREADS);
    handlers_put(handlers, &job, 0);
    atomic_fetch_add(&passed_us, INT64_C(2000) * DEADLINE_MS); /* longer than it may wait */
    pthread_mutex_unlock(&gate);
    wait_for(&refused, 1);
    assert_int_equal(atomic_load(&begun), THREADS);
    assert_true(handlers_stop(handlers, DEADLINE_MS));
    handlers_free(handlers);
    clock_use(NULL);
}

static void jobs_of_one_group_that_hang_keep_none_of_another_from_its_turn(void **state)
{
    (void)state;
    _Atomic int begun = 0, done = 0, refused = 0, others = 0;
    pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER, open = PTHREAD_MUTEX_INITIALIZER;
    struct job hangs = {.gate = &gate, .begun = &begun, .done = &done, .refused = &refused};
    struct job other = {.gate = &open, .begun = &others, .done = &others, .refused = &refused};
    struct handlers *handlers = start(DEADLINE_MS);
    pthread_mutex_lock(&gate);
    for (int i = 0; i < THREADS + QUEUE; i++) {
        assert_true(handlers_have_room(handlers, 0));
        handlers_put(handlers, &hangs, 0);
        wait_for(&begun, i < THREADS ? i + 1 : THREADS);
    }
    assert_false(handlers_have_room(handlers, 0));
    for (int i = 0; i < 100; i++) {
        assert_true(handlers_have_room(handlers, 1));
        handlers_put(handlers, &other, 1);
        wait_for(&others, 2 * (i + 1));
    }
    assert_int_equal(atomic_load(&begun), THREADS);
    pthread_mutex_unlock(&gate);
    wait_for(&done, THREADS + QUEUE);
    assert_true(handlers_stop(handlers, DEADLINE_MS));
    assert_int_equal(atomic_load(&refused), 0);
    handlers_free(handlers);
}

static void groups_that_hang_leave_threads_where_there_are_few_for_many_groups(void **state)
{
    (void)state;
    _Atomic int begun = 0, done = 0, refused = 0, others = 0;
    pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER, open = PTHREAD_MUTEX_INITIALIZER;
    struct job hangs = {.gate = &gate, .begun = &begun, .done = &done, .refused = &refused};
    struct job other = {.gate = &open, .begun = &others, .done = &others, .refused = &refused};
    struct handlers_options options = options_for(DEADLINE_MS);
    options.threads = 5;
    options.groups = 3;
    struct handlers *handlers = handlers_start(&options);
    pthread_mutex_lock(&gate);
    for (size_t group = 0; group < 2; group++) {
        for (int i = 0; i < QUEUE; i++)
            handlers_put(handlers, &hangs, group);
    }
    handlers_put(handlers, &other, 2);
    wait_for(&others, 2);
    wait_for(&begun, 2);
    assert_int_equal(atomic_load(&begun), 2);
    pthread_mutex_unlock(&gate);
    wait_for(&done, 2 * QUEUE);
    assert_true(handlers_stop(handlers, DEADLINE_MS));
    handlers_free(handlers);
}

static void what_waits_for_its_group_is_refused_in_time(void **state)
{
    (void)state;
    _Atomic int begun = 0, done = 0, refused = 0;
    pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
    struct job job = {.gate = &gate, .begun = &begun, .done = &done, .refused = &refused};
    struct handlers *handlers = start(3000);
    pthread_mutex_lock(&gate);
    for (int i = 0; i < THREADS; i++) {
        handlers_put(handlers, &job, 1);
        wait_for(&begun, i + 1);
    }
    for (int i = 0; i < QUEUE; i++)
        handlers_put(handlers, &job, 1);
    wait_for(&refused, QUEUE); /* though those that hang go on doing so */
    assert_int_equal(atomic_load(&begun), THREADS);
    pthread_mutex_unlock(&gate);
    assert_true(handlers_stop(handlers, DEADLINE_MS));
    assert_int_equal(atomic_load(&done), THREADS);
    handlers_free(handlers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_waits_is_bounded_and_refused_at_the_end),
        cmocka_unit_test(nothing_is_begun_any_more_when_a_stop_has_begun),
        cmocka_unit_test(what_waits_too_long_is_refused),
        cmocka_unit_test(jobs_of_one_group_that_hang_keep_none_of_another_from_its_turn),
        cmocka_unit_test(groups_that_hang_leave_threads_where_there_are_few_for_many_groups),
        cmocka_unit_test(what_waits_for_its_group_is_refused_in_time),
        cmocka_unit_test(all_jobs_are_done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
