/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/http/handlers.h"

#include <pthread.h>
#include <stdatomic.h>

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

static struct handlers *start(int64_t wait_max_ms)
{
    struct handlers_options options = {.name = "test",
                                       .threads = THREADS * GROUPS,
                                       .groups = GROUPS,
                                       .group_max = THREADS,
                                       .queue_max = QUEUE,
                                       .wait_max_ms = wait_max_ms,
                                       .run = run,
                                       .refuse = refuse};
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
    assert_int_equal(atomic_load(&refused), QUEUE);
    assert_false(handlers_have_room(handlers, 0));
    handlers_put(handlers, &job, 0);
    assert_int_equal(atomic_load(&refused), QUEUE + 1);
    pthread_mutex_unlock(&gate);
    assert_true(handlers_stop(handlers, DEADLINE_MS));
    assert_int_equal(atomic_load(&done), THREADS);
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

static void what_waits_too_long_is_refused(void **state)
{
    (void)state;
    _Atomic int begun = 0, done = 0, refused = 0;
    pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
    struct job job = {.gate = &gate, .begun = &begun, .done = &done, .refused = &refused};
    struct handlers *handlers = start(20);
    pthread_mutex_lock(&gate);
    for (int i = 0; i < THREADS; i++)
        handlers_put(handlers, &job, 0);
    wait_for(&begun, THREADS);
    handlers_put(handlers, &job, 0);
    clock_sleep_ms(50); /* longer than it may wait */
    pthread_mutex_unlock(&gate);
    wait_for(&refused, 1);
    assert_int_equal(atomic_load(&begun), THREADS);
    assert_true(handlers_stop(handlers, DEADLINE_MS));
    handlers_free(handlers);
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

static void what_waits_for_its_group_is_refused_in_time(void **state)
{
    (void)state;
    _Atomic int begun = 0, done = 0, refused = 0;
    pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
    struct job job = {.gate = &gate, .begun = &begun, .done = &done, .refused = &refused};
    struct handlers *handlers = start(1000);
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
        cmocka_unit_test(what_waits_too_long_is_refused),
        cmocka_unit_test(jobs_of_one_group_that_hang_keep_none_of_another_from_its_turn),
        cmocka_unit_test(what_waits_for_its_group_is_refused_in_time),
        cmocka_unit_test(all_jobs_are_done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
