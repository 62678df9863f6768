/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/sched.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "base/clock.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

#define MAX_THREADS 64
#define STACK_SIZE (512 * 1024)
#define STEP_US 1500     /* one step takes at most that long */
#define LATE 10          /* a wait that nothing ends takes up to so many times as long */
#define BURY_STEPS 20000 /* a dead process' threads end within so many */

enum thread_state { FREE, READY, SLEEPING, WAITING, OVER };

struct sched_thread {
    enum thread_state state;
    struct sched_group *group;
    int64_t until_us;
    const void *what; /* WAITING for it */
    void *(*run)(void *);
    void *argument;
    ucontext_t context;
    char *stack;
    void *fake_stack; /* AddressSanitizer's */
};

static struct {
    struct sched_thread threads[MAX_THREADS];
    int count;
    struct sched_thread *running;
    ucontext_t context;
    void *fake_stack;
    const void *stack;
    size_t stack_size;
    int64_t now_us;
    uint64_t world;
    uint64_t code;
} sched;

/* --- numbers ---------------------------------------------------------------------------------- */

/* splitmix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators" (2014) */
static uint64_t next_number(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

uint64_t sched_random(void)
{
    return next_number(&sched.world);
}

uint64_t sched_below(uint64_t limit)
{
    return sched_random() % limit;
}

bool sched_chance(double part)
{
    return (double)(sched_random() >> 11) * 0x1p-53 < part;
}

int64_t sched_between(int64_t from, int64_t to)
{
    return from + (int64_t)sched_below((uint64_t)(to - from + 1));
}

/* --- the clock -------------------------------------------------------------------------------- */

int64_t sched_now_us(void)
{
    return sched.now_us;
}

int64_t sched_now_ms(void)
{
    return sched.now_us / 1000;
}

void sched_move_to_us(int64_t now_us)
{
    if (now_us > sched.now_us)
        sched.now_us = now_us;
}

static uint64_t code_random(void)
{
    return next_number(&sched.code);
}

static void code_sleep_ms(int64_t ms)
{
    sched_sleep_until_us(sched.now_us + ms * sched_between(1000, 1000 * LATE));
}

/* A thread that is woken by nothing is scheduled late: fewer looks at what has not changed. */
static void code_wait(pthread_cond_t *condition, pthread_mutex_t *lock, int64_t ms)
{
    struct timespec until = clock_deadline(ms * sched_between(1, LATE));
    pthread_cond_timedwait(condition, lock, &until);
}

/* --- switching -------------------------------------------------------------------------------- */

static void leave_stack(void **fake_stack, const void *stack, size_t size)
{
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(fake_stack, stack, size);
#else
    (void)fake_stack, (void)stack, (void)size;
#endif
}

static void arrive(void *fake_stack, const void **stack, size_t *size)
{
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(fake_stack, stack, size);
#else
    (void)fake_stack, (void)stack, (void)size;
#endif
}

static void to_scheduler(bool last)
{
    struct sched_thread *self = sched.running;
    leave_stack(last ? NULL : &self->fake_stack, sched.stack, sched.stack_size);
    swapcontext(&self->context, &sched.context);
    arrive(self->fake_stack, &sched.stack, &sched.stack_size);
}

static void begin_thread(void)
{
    arrive(NULL, &sched.stack, &sched.stack_size);
    struct sched_thread *self = sched.running;
    self->run(self->argument);
    self->state = OVER;
    sched_wake(self, true);
    to_scheduler(true);
    abort();
}

static void resume(struct sched_thread *thread)
{
    assert(!sched.running);
    sched.running = thread;
    thread->state = READY;
    leave_stack(&sched.fake_stack, thread->stack, STACK_SIZE);
    swapcontext(&sched.context, &thread->context);
    arrive(sched.fake_stack, NULL, NULL);
    sched.running = NULL;
}

/* --- threads ---------------------------------------------------------------------------------- */

void sched_begin(uint64_t seed)
{
    static const struct clock_ops ops = {.mono_us = sched_now_us,
                                         .wall_ms = sched_now_ms,
                                         .sleep_ms = code_sleep_ms,
                                         .wait = code_wait,
                                         .random = code_random};
    assert(sched.count == 0);
    sched.now_us = 1000000;
    sched.world = seed * 2 + 1;
    sched.code = ~seed;
    clock_use(&ops);
}

void sched_end(void)
{
    for (int i = 0; i < sched.count; i++) {
        assert(sched.threads[i].state == OVER || sched.threads[i].state == FREE);
        sched.threads[i].state = FREE;
    }
    sched.count = 0;
}

static struct sched_thread *free_thread(void)
{
    for (int i = 0; i < sched.count; i++) {
        if (sched.threads[i].state == FREE)
            return &sched.threads[i];
    }
    assert(sched.count < MAX_THREADS);
    return &sched.threads[sched.count++];
}

/* By itself: getcontext() returns twice as far as a compiler knows. */
static void prepare_context(ucontext_t *context, char *stack)
{
    getcontext(context);
    context->uc_stack.ss_sp = stack;
    context->uc_stack.ss_size = STACK_SIZE;
    context->uc_link = NULL;
    makecontext(context, begin_thread, 0);
}

struct sched_thread *sched_spawn(struct sched_group *group, void *(*run)(void *), void *argument)
{
    struct sched_thread *thread = free_thread();
    if (!thread->stack) {
        thread->stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        assert(thread->stack != MAP_FAILED);
    }
    thread->state = READY;
    thread->group = group;
    thread->run = run;
    thread->argument = argument;
    thread->fake_stack = NULL;
    prepare_context(&thread->context, thread->stack);
    return thread;
}

bool sched_is_over(const struct sched_thread *thread)
{
    return thread->state == OVER;
}

void sched_release(struct sched_thread *thread)
{
    assert(thread->state == OVER);
    thread->state = FREE;
}

struct sched_group *sched_group(void)
{
    return sched.running ? sched.running->group : NULL;
}

int sched_thread_number(void)
{
    return sched.running ? (int)(sched.running - sched.threads) : -1;
}

pthread_t sched_handle_of(const struct sched_thread *thread)
{
    return (pthread_t)(thread - sched.threads + 1);
}

struct sched_thread *sched_thread_of(pthread_t handle)
{
    assert(handle >= 1 && handle <= (pthread_t)sched.count);
    return &sched.threads[handle - 1];
}

/* When it can run; INT64_MAX: not by itself. */
static int64_t due_us(const struct sched_thread *thread)
{
    int64_t due = INT64_MAX;
    if (thread->state == READY)
        due = 0;
    else if (thread->state == SLEEPING || thread->state == WAITING)
        due = thread->until_us;
    else
        return INT64_MAX;
    if (thread->group->dead)
        return 0;
    return due < thread->group->paused_until_us ? thread->group->paused_until_us : due;
}

bool sched_step(void)
{
    struct sched_thread *able[MAX_THREADS];
    size_t count = 0;
    for (int i = 0; i < sched.count; i++) {
        if (due_us(&sched.threads[i]) <= sched.now_us)
            able[count++] = &sched.threads[i];
    }
    if (count == 0)
        return false;
    sched.now_us += (int64_t)sched_below(STEP_US);
    resume(able[sched_below(count)]);
    return true;
}

int64_t sched_next_us(void)
{
    int64_t next = INT64_MAX;
    for (int i = 0; i < sched.count; i++) {
        int64_t due = due_us(&sched.threads[i]);
        next = due < next ? due : next;
    }
    return next;
}

bool sched_bury(struct sched_group *group)
{
    bool alive = true;
    for (int steps = 0; alive && steps < BURY_STEPS; steps++) {
        alive = false;
        for (int i = 0; i < sched.count; i++) {
            struct sched_thread *thread = &sched.threads[i];
            if (thread->group != group || due_us(thread) == INT64_MAX)
                continue;
            alive = true;
            resume(thread);
        }
    }
    for (int i = 0; i < sched.count; i++) {
        if (sched.threads[i].group == group && sched.threads[i].state == OVER)
            sched.threads[i].state = FREE;
    }
    return !alive;
}

void sched_yield_now(void)
{
    to_scheduler(false);
}

void sched_sleep_until_us(int64_t until_us)
{
    sched.running->state = SLEEPING;
    sched.running->until_us = until_us;
    to_scheduler(false);
}

void sched_wait_for(const void *what, int64_t until_us)
{
    sched.running->state = WAITING;
    sched.running->what = what;
    sched.running->until_us = until_us;
    to_scheduler(false);
}

void sched_wake(const void *what, bool all)
{
    for (int i = 0; i < sched.count; i++) {
        struct sched_thread *thread = &sched.threads[i];
        if (thread->state != WAITING || thread->what != what)
            continue;
        thread->state = READY;
        if (!all)
            return;
    }
}
