/* SPDX-License-Identifier: Apache-2.0 */
#include "base/background.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"

struct background {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    void (*job)(void *context); /* NULL: none waits or runs */
    void *context;
    bool pending; /* a job was begun and not yet waited for */
    bool stop;
    void (*after)(void *context); /* not NULL: nobody waits any more */
    void *after_context;
};

static void destroy(struct background *background)
{
    pthread_cond_destroy(&background->changed);
    pthread_mutex_destroy(&background->lock);
    free(background);
}

static void *work(void *argument)
{
    struct background *background = argument;
    pthread_mutex_lock(&background->lock);
    while (true) {
        while (!background->job && !background->stop)
            pthread_cond_wait(&background->changed, &background->lock);
        if (!background->job)
            break;
        void (*job)(void *context) = background->job;
        pthread_mutex_unlock(&background->lock);
        job(background->context);
        pthread_mutex_lock(&background->lock);
        background->job = NULL;
        pthread_cond_broadcast(&background->changed);
    }
    bool abandoned = background->after != NULL;
    pthread_mutex_unlock(&background->lock);
    if (abandoned) {
        background->after(background->after_context);
        destroy(background);
    }
    return NULL;
}

struct background *background_new(void)
{
    struct background *background = calloc(1, sizeof(*background));
    if (!background)
        abort();
    pthread_mutex_init(&background->lock, NULL);
    clock_cond_init(&background->changed);
    if (pthread_create(&background->thread, NULL, work, background) != 0)
        abort();
    return background;
}

void background_free(struct background *background)
{
    if (!background)
        return;
    pthread_mutex_lock(&background->lock);
    background->stop = true;
    pthread_cond_broadcast(&background->changed);
    pthread_mutex_unlock(&background->lock);
    pthread_join(background->thread, NULL);
    destroy(background);
}

void background_begin(struct background *background, void (*job)(void *context), void *context)
{
    pthread_mutex_lock(&background->lock);
    assert(!background->pending);
    background->job = job;
    background->context = context;
    background->pending = true;
    pthread_cond_broadcast(&background->changed);
    pthread_mutex_unlock(&background->lock);
}

bool background_wait(struct background *background)
{
    pthread_mutex_lock(&background->lock);
    bool pending = background->pending;
    while (background->job)
        pthread_cond_wait(&background->changed, &background->lock);
    background->pending = false;
    pthread_mutex_unlock(&background->lock);
    return pending;
}

bool background_wait_ms(struct background *background, int64_t ms)
{
    struct timespec until = clock_deadline(ms);
    pthread_mutex_lock(&background->lock);
    bool late = false;
    while (background->job && !late)
        late = pthread_cond_timedwait(&background->changed, &background->lock, &until) == ETIMEDOUT;
    bool done = !background->job;
    if (done)
        background->pending = false;
    pthread_mutex_unlock(&background->lock);
    return done;
}

void background_abandon(struct background *background, void (*after)(void *context), void *context)
{
    pthread_t thread = background->thread;
    pthread_mutex_lock(&background->lock);
    background->stop = true;
    background->after = after;
    background->after_context = context;
    pthread_cond_broadcast(&background->changed);
    pthread_mutex_unlock(&background->lock); /* not touched any more: it may be gone by now */
    pthread_detach(thread);
}
