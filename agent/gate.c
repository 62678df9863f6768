/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/gate.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#define LOOK_MS 100

struct gate {
    pthread_mutex_t lock;
    pthread_cond_t room;
    size_t width;
    size_t inside;
};

struct gate *gate_new(size_t width)
{
    struct gate *gate = calloc(1, sizeof *gate);
    pthread_mutex_init(&gate->lock, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&gate->room, &attributes);
    pthread_condattr_destroy(&attributes);
    gate->width = width;
    return gate;
}

void gate_free(struct gate *gate)
{
    if (!gate)
        return;
    pthread_cond_destroy(&gate->room);
    pthread_mutex_destroy(&gate->lock);
    free(gate);
}

bool gate_enter(struct gate *gate, const _Atomic bool *stop)
{
    pthread_mutex_lock(&gate->lock);
    while (gate->inside >= gate->width && !atomic_load(stop)) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += LOOK_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        pthread_cond_timedwait(&gate->room, &gate->lock, &until);
    }
    bool entered = gate->inside < gate->width;
    if (entered)
        gate->inside++;
    pthread_mutex_unlock(&gate->lock);
    return entered;
}

void gate_leave(struct gate *gate)
{
    pthread_mutex_lock(&gate->lock);
    gate->inside--;
    pthread_cond_signal(&gate->room);
    pthread_mutex_unlock(&gate->lock);
}
