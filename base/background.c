/* SPDX-License-Identifier: Apache-2.0 */
#include "base/background.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

struct background {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    void (*job)(void *context); /* NULL: none waits or runs */
    void *context;
    bool pending; /* a job was begun and not yet waited for */
    bool stop;
};

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
    pthread_mutex_unlock(&background->lock);
    return NULL;
}

struct background *background_new(void)
{
    struct background *background = calloc(1, sizeof(*background));
    if (!background)
        abort();
    pthread_mutex_init(&background->lock, NULL);
    pthread_cond_init(&background->changed, NULL);
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
    pthread_cond_destroy(&background->changed);
    pthread_mutex_destroy(&background->lock);
    free(background);
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
