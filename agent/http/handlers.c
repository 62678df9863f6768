/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/http/handlers.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"

struct waiting {
    void *job;
    int64_t since_ms;
};

struct handlers {
    struct handlers_options options;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct waiting *queue; /* a ring of queue_max */
    size_t first, waiting;
    size_t started; /* threads */
    size_t alive;
    bool stopping;
    pthread_t *threads;
};

/* job NULL: it is time to end. Called with the lock held. */
static struct waiting take(struct handlers *handlers)
{
    while (handlers->waiting == 0 && !handlers->stopping)
        pthread_cond_wait(&handlers->changed, &handlers->lock);
    if (handlers->waiting == 0)
        return (struct waiting){0};
    struct waiting taken = handlers->queue[handlers->first];
    handlers->first = (handlers->first + 1) % handlers->options.queue_max;
    handlers->waiting--;
    return taken;
}

static void *work(void *argument)
{
    struct handlers *handlers = argument;
    log_set_thread(handlers->options.name);
    pthread_mutex_lock(&handlers->lock);
    for (struct waiting taken; (taken = take(handlers)).job;) {
        pthread_mutex_unlock(&handlers->lock);
        /* those that run wait for some server: who is here so long would wait for it, too */
        if (clock_mono_ms() - taken.since_ms > handlers->options.wait_max_ms)
            handlers->options.refuse(taken.job, false);
        else
            handlers->options.run(taken.job);
        pthread_mutex_lock(&handlers->lock);
    }
    handlers->alive--;
    pthread_cond_broadcast(&handlers->changed);
    pthread_mutex_unlock(&handlers->lock);
    return NULL;
}

struct handlers *handlers_start(const struct handlers_options *options)
{
    struct handlers *handlers = calloc(1, sizeof *handlers);
    handlers->options = *options;
    handlers->queue = calloc(options->queue_max, sizeof *handlers->queue);
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

bool handlers_have_room(struct handlers *handlers)
{
    pthread_mutex_lock(&handlers->lock);
    bool room = handlers->waiting < handlers->options.queue_max && !handlers->stopping &&
                handlers->started > 0;
    pthread_mutex_unlock(&handlers->lock);
    return room;
}

void handlers_put(struct handlers *handlers, void *job)
{
    pthread_mutex_lock(&handlers->lock);
    bool refused = handlers->stopping;
    if (!refused) {
        size_t at = (handlers->first + handlers->waiting) % handlers->options.queue_max;
        handlers->queue[at] = (struct waiting){.job = job, .since_ms = clock_mono_ms()};
        handlers->waiting++;
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
    free(handlers->queue);
    free(handlers->threads);
    free(handlers);
}
