/* SPDX-License-Identifier: Apache-2.0 */
/* Time, sleep and randomness: the seams through which tests make them stand still. Any thread. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

int64_t clock_mono_ms(void); /* never goes back; only differences mean something */
int64_t clock_mono_us(void);
int64_t clock_wall_ms(void); /* since 1970-01-01 UTC */
void clock_sleep_ms(int64_t ms);
/* `ms` from now by the real monotonic clock: for pthread_cond_timedwait() on a condition that goes by
 * CLOCK_MONOTONIC. */
struct timespec clock_deadline(int64_t ms);
/* A condition that goes by it. */
void clock_cond_init(pthread_cond_t *condition);
/* Waits on one of those, with `lock` held, for `ms` at most. It may end early, so the caller looks at
 * what it waits for, and at the time, again. */
void clock_wait(pthread_cond_t *condition, pthread_mutex_t *lock, int64_t ms);

/* "2025-08-12T09:30:00.123Z" of a wall time; `out` holds at least 25 bytes. */
void clock_format(int64_t wall_ms, char out[static 32]);
/* A date and time of RFC 3339 with its offset: "2025-08-12T11:30:00.5+02:00". False: it is none. */
bool clock_parse(const char *text, int64_t *wall_ms);

uint64_t random_u64(void);
/* `bytes` random bytes as lower-case hex; `out` holds 2 * bytes + 1. From the OS' generator. */
void random_hex(char *out, size_t bytes);
/* A delay of base * 2^attempt, at most `max_ms`, with full jitter between half and the whole. */
int64_t backoff_ms(unsigned attempt, int64_t base_ms, int64_t max_ms);

/* For tests: every function above that has a slot goes through it; NULL slots stay the real ones. */
struct clock_ops {
    int64_t (*mono_us)(void);
    int64_t (*wall_ms)(void);
    void (*sleep_ms)(int64_t ms);
    void (*wait)(pthread_cond_t *condition, pthread_mutex_t *lock, int64_t ms);
    uint64_t (*random)(void);
};
void clock_use(const struct clock_ops *ops); /* NULL: the real clock again. Before threads start. */
