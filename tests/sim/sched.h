/* SPDX-License-Identifier: Apache-2.0 */
/* Threads that are coroutines of one OS thread, and a clock that only they move: what runs next, and
 * how much time that takes, follows from a seed.
 *
 * The program is linked with --wrap, so that pthread_create(), mutexes, conditions and clock_gettime()
 * of the production object files come here (sched_pthread.c). A thread runs until it waits for
 * something or calls sched_yield_now(); what stands between two such places happens at once.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* What lives, stands still and dies together: a process. Embedded in its owner. */
struct sched_group {
    int64_t paused_until_us; /* its threads stand still until then */
    bool dead;               /* its threads only run to their end, without waiting for anything */
};

struct sched_thread;

/* Numbers from the seed: one sequence for what the world does, another for what the code under test
 * asks for, so that a change of the one leaves the other alone. */
uint64_t sched_random(void);
uint64_t sched_below(uint64_t limit);            /* 0 .. limit - 1 */
bool sched_chance(double part);                  /* of 1 */
int64_t sched_between(int64_t from, int64_t to); /* both included */

void sched_begin(uint64_t seed);
/* All threads have ended. */
void sched_end(void);

int64_t sched_now_us(void);
int64_t sched_now_ms(void);
void sched_move_to_us(int64_t now_us);

struct sched_thread *sched_spawn(struct sched_group *group, void *(*run)(void *), void *argument);
bool sched_is_over(const struct sched_thread *thread);
/* It is over and has been joined: its place is another's. */
void sched_release(struct sched_thread *thread);
/* Of the thread that runs; NULL: none does. */
struct sched_group *sched_group(void);
int sched_thread_number(void);

/* Runs one of the threads that can, to its next stop. False when none can. */
bool sched_step(void);
/* When the next one can: INT64_MAX when none ever will by itself. */
int64_t sched_next_us(void);
/* Runs the threads of a dead group to their end; false when they do not come to it. */
bool sched_bury(struct sched_group *group);

/* For threads. */
void sched_yield_now(void);
void sched_sleep_until_us(int64_t until_us);

/* For sched_pthread.c. */
void sched_wait_for(const void *what, int64_t until_us);
void sched_wake(const void *what, bool all);
struct sched_thread *sched_thread_of(pthread_t handle);
pthread_t sched_handle_of(const struct sched_thread *thread);
