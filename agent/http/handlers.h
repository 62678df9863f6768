/* SPDX-License-Identifier: Apache-2.0 */
/* A bounded queue of jobs and the few threads that do them. Jobs of one group, which may all wait for the
 * same server, take a part of the threads and of the queue only.
 *
 * handlers_put() from one thread, which asks handlers_have_room() before; the rest from any.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

struct handlers;

struct handlers_options {
    const char *name; /* of the threads, in log lines */
    size_t threads;
    size_t groups; /* numbered from 0; at least one */
    size_t
        group_max; /* jobs of one group that are done at the same time, and a fair share at most */
    size_t queue_max;    /* jobs of one group that wait for their turn */
    int64_t wait_max_ms; /* in the queue */
    void (*run)(void *job);
    /* Instead of run, for what waited too long, or still waits at the end. */
    void (*refuse)(void *job, bool stopping);
};

struct handlers *handlers_start(const struct handlers_options *options);
bool handlers_have_room(struct handlers *handlers, size_t group);
void handlers_put(struct handlers *handlers, void *job, size_t group);
/* Refuses what waits and what is put from now on, and waits `ms` for what runs. False: something still
 * runs and goes on using its job, so that nothing may be freed. */
bool handlers_stop(struct handlers *handlers, int64_t ms) MUST_USE;
void handlers_free(struct handlers *handlers); /* after a stop that returned true; NULL is fine */
