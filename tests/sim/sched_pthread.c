/* SPDX-License-Identifier: Apache-2.0 */
/* What the object files under test call in place of the C library's threads and clock. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "sim/sched.h"

int __real_pthread_mutex_unlock(pthread_mutex_t *mutex);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *argument);
int __wrap_pthread_join(pthread_t thread, void **result);
int __wrap_pthread_clockjoin_np(pthread_t thread, void **result, clockid_t clock,
                                const struct timespec *until);
int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex);
int __wrap_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex);
int __wrap_pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex,
                                  const struct timespec *until);
int __wrap_pthread_cond_signal(pthread_cond_t *condition);
int __wrap_pthread_cond_broadcast(pthread_cond_t *condition);
int __wrap_clock_gettime(clockid_t clock, struct timespec *out);

static int64_t us_of(const struct timespec *time)
{
    return (int64_t)time->tv_sec * 1000000 + time->tv_nsec / 1000;
}

/* wide: the C library's signature */
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *argument)
{
    (void)attributes;
    assert(sched_group());
    *thread = sched_handle_of(sched_spawn(sched_group(), run, argument));
    return 0;
}

int __wrap_pthread_join(pthread_t thread, void **result)
{
    struct sched_thread *joined = sched_thread_of(thread);
    (void)result;
    while (!sched_is_over(joined))
        sched_wait_for(joined, INT64_MAX);
    sched_release(joined);
    return 0;
}

int __wrap_pthread_clockjoin_np(pthread_t thread, void **result, clockid_t clock,
                                const struct timespec *until)
{
    struct sched_thread *joined = sched_thread_of(thread);
    (void)result, (void)clock;
    if (!sched_is_over(joined))
        sched_wait_for(joined, us_of(until));
    if (!sched_is_over(joined))
        return ETIMEDOUT;
    sched_release(joined);
    return 0;
}

int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex)
{
    while (pthread_mutex_trylock(mutex) != 0) {
        assert(sched_group());
        sched_wait_for(mutex, INT64_MAX);
    }
    return 0;
}

int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex)
{
    int result = __real_pthread_mutex_unlock(mutex);
    sched_wake(mutex, true);
    return result;
}

static int wait_until(pthread_cond_t *condition, pthread_mutex_t *mutex, int64_t until_us)
{
    __wrap_pthread_mutex_unlock(mutex);
    sched_wait_for(condition, until_us);
    bool late = sched_now_us() >= until_us || sched_group()->dead;
    __wrap_pthread_mutex_lock(mutex);
    return late ? ETIMEDOUT : 0;
}

int __wrap_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex)
{
    wait_until(condition, mutex, INT64_MAX);
    return 0;
}

int __wrap_pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex,
                                  const struct timespec *until)
{
    return wait_until(condition, mutex, us_of(until));
}

int __wrap_pthread_cond_signal(pthread_cond_t *condition)
{
    sched_wake(condition, false);
    return 0;
}

int __wrap_pthread_cond_broadcast(pthread_cond_t *condition)
{
    sched_wake(condition, true);
    return 0;
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *out)
{
    int64_t now_us = sched_now_us();
    (void)clock;
    out->tv_sec = (time_t)(now_us / 1000000);
    out->tv_nsec = (long)(now_us % 1000000) * 1000;
    return 0;
}
