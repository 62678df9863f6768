/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/http/handlers.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"

struct waiting {
    void *job;
    int64_t since_ms;
    size_t group;
};

struct group {
    size_t waiting, running;
};

struct handlers {
    struct handlers_options options;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct waiting *queue; /* the oldest first; room for all groups */
    size_t waiting;
    struct group *groups;
    size_t started; /* threads */
    size_t alive;
    bool stopping;
    pthread_t *threads;
};

/* Those that run wait for some server: who is here so long would wait for it, too. */
static bool is_late(const struct handlers *handlers, const struct waiting *waiting)
{
    return clock_mono_ms() - waiting->since_ms > handlers->options.wait_max_ms;
}

/* The place of the oldest whose turn it is; the queue's end: of none. */
static size_t next_of(const struct handlers *handlers)
{
    size_t at = 0;
    for (; at < handlers->waiting && !handlers->stopping; at++) {
        const struct waiting *waiting = &handlers->queue[at];
        if (handlers->groups[waiting->group].running < handlers->options.group_max ||
            is_late(handlers, waiting))
            break;
    }
    return at;
}

/* For a job, or until the oldest one is late. */
static void wait_for_change(struct handlers *handlers)
{
    if (handlers->waiting == 0) {
        pthread_cond_wait(&handlers->changed, &handlers->lock);
        return;
    }
    int64_t late_ms = handlers->queue[0].since_ms + handlers->options.wait_max_ms + 1;
    int64_t left_ms = late_ms - clock_mono_ms();
    if (left_ms > 0)
        clock_wait(&handlers->changed, &handlers->lock, left_ms);
}

/* job NULL: it is time to end. Called with the lock held. */
static struct waiting take(struct handlers *handlers)
{
    size_t at;
    while ((at = next_of(handlers)) == handlers->waiting && !handlers->stopping)
        wait_for_change(handlers);
    if (handlers->waiting == 0)
        return (struct waiting){0};
    struct waiting taken = handlers->queue[at];
    handlers->waiting--;
    handlers->groups[taken.group].waiting--;
    memmove(&handlers->queue[at], &handlers->queue[at + 1],
            (handlers->waiting - at) * sizeof taken);
    return taken;
}

static void *work(void *argument)
{
    struct handlers *handlers = argument;
    log_set_thread(handlers->options.name);
    pthread_mutex_lock(&handlers->lock);
    for (struct waiting taken; (taken = take(handlers)).job;) {
        bool stopping = handlers->stopping;
        handlers->groups[taken.group].running++;
        pthread_mutex_unlock(&handlers->lock);
        if (stopping || is_late(handlers, &taken))
            handlers->options.refuse(taken.job, stopping);
        else
            handlers->options.run(taken.job);
        pthread_mutex_lock(&handlers->lock);
        handlers->groups[taken.group].running--;
    }
    handlers->alive--;
    pthread_cond_broadcast(&handlers->changed);
    pthread_mutex_unlock(&handlers->lock);
    return NULL;
}

/* Whichever groups hang, there is a thread for each other one, while there are as many threads as groups. */
static size_t fair_share(const struct handlers_options *options)
{
    size_t share = options->threads / options->groups;
    if (share == 0)
        share = 1;
    return share < options->group_max ? share : options->group_max;
}

struct handlers *handlers_start(const struct handlers_options *options)
{
    struct handlers *handlers = calloc(1, sizeof *handlers);
    handlers->options = *options;
    handlers->options.group_max = fair_share(options);
    handlers->queue = calloc(options->groups * options->queue_max, sizeof *handlers->queue);
    handlers->groups = calloc(options->groups, sizeof *handlers->groups);
    handlers->threads = calloc(options->threads, sizeof *handlers->threads);
    pthread_mutex_init(&handlers->lock, NULL);
    clock_cond_init(&handlers->changed);
    pthread_mutex_lock(&handlers->lock);
    for (size_t i = 0; i < options->threads; i++) {
        if (pthread_create(&handlers->threads[handlers->started], NULL, work, handlers) == 0)
            handlers->started++;
    }
    handlers->alive = handlers->started;
    pthread_mutex_unlock(&handlers->lock);
    return handlers;
}

bool handlers_have_room(struct handlers *handlers, size_t group)
{
    pthread_mutex_lock(&handlers->lock);
    bool room = handlers->groups[group].waiting < handlers->options.queue_max &&
                !handlers->stopping && handlers->started > 0;
    pthread_mutex_unlock(&handlers->lock);
    return room;
}

void handlers_put(struct handlers *handlers, void *job, size_t group)
{
    pthread_mutex_lock(&handlers->lock);
    bool refused = handlers->stopping;
    if (!refused) {
        handlers->queue[handlers->waiting++] =
            (struct waiting){.job = job, .since_ms = clock_mono_ms(), .group = group};
        handlers->groups[group].waiting++;
        pthread_cond_signal(&handlers->changed);
    }
    pthread_mutex_unlock(&handlers->lock);
    if (refused)
        handlers->options.refuse(job, true);
}

/* All threads may be busy, so this one does it. */
static void refuse_waiting(struct handlers *handlers)
{
    while (handlers->waiting > 0) {
        struct waiting taken = take(handlers);
        pthread_mutex_unlock(&handlers->lock);
        handlers->options.refuse(taken.job, true);
        pthread_mutex_lock(&handlers->lock);
    }
}

bool handlers_stop(struct handlers *handlers, int64_t ms)
{
    int64_t until = clock_mono_ms() + ms;
    pthread_mutex_lock(&handlers->lock);
    handlers->stopping = true;
    refuse_waiting(handlers);
    pthread_cond_broadcast(&handlers->changed);
    for (int64_t now; handlers->alive > 0 && (now = clock_mono_ms()) < until;)
        clock_wait(&handlers->changed, &handlers->lock, until - now);
    bool ended = handlers->alive == 0;
    pthread_mutex_unlock(&handlers->lock);
    return ended;
}

void handlers_free(struct handlers *handlers)
{
    if (!handlers)
        return;
    for (size_t i = 0; i < handlers->started; i++)
        pthread_join(handlers->threads[i], NULL);
    pthread_mutex_destroy(&handlers->lock);
    pthread_cond_destroy(&handlers->changed);
    free(handlers->groups);
    free(handlers->queue);
    free(handlers->threads);
    free(handlers);
}
