/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/lane/gate.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/clock.h"

#define LOOK_MS 100

struct gate {
    pthread_mutex_t lock;
    pthread_cond_t room;
    size_t width;
    size_t waiting;             /* in front of it */
    size_t wanting[GATE_RANKS]; /* to stand there, by rank */
    size_t inside;
};

struct gate *gate_new(size_t width)
{
    struct gate *gate = calloc(1, sizeof *gate);
    pthread_mutex_init(&gate->lock, NULL);
    clock_cond_init(&gate->room);
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

static bool is_preceded(const struct gate *gate, int rank)
{
    for (int i = 0; i < rank; i++) {
        if (gate->wanting[i] > 0)
            return true;
    }
    return false;
}

bool gate_line_up(struct gate *gate, int rank, const _Atomic bool *stop)
{
    pthread_mutex_lock(&gate->lock);
    gate->wanting[rank]++;
    while ((gate->waiting >= gate->width || is_preceded(gate, rank)) && !atomic_load(stop))
        clock_wait(&gate->room, &gate->lock, LOOK_MS);
    gate->wanting[rank]--;
    bool placed = gate->waiting < gate->width;
    if (placed)
        gate->waiting++;
    pthread_cond_broadcast(&gate->room);
    pthread_mutex_unlock(&gate->lock);
    return placed;
}

size_t gate_wanting(struct gate *gate, int rank)
{
    pthread_mutex_lock(&gate->lock);
    size_t wanting = gate->wanting[rank];
    pthread_mutex_unlock(&gate->lock);
    return wanting;
}

bool gate_enter(struct gate *gate, const _Atomic bool *stop)
{
    pthread_mutex_lock(&gate->lock);
    while (gate->inside >= gate->width && !atomic_load(stop))
        clock_wait(&gate->room, &gate->lock, LOOK_MS);
    bool entered = gate->inside < gate->width;
    if (entered)
        gate->inside++;
    gate->waiting--;
    pthread_cond_broadcast(&gate->room);
    pthread_mutex_unlock(&gate->lock);
    return entered;
}

void gate_step_back(struct gate *gate)
{
    pthread_mutex_lock(&gate->lock);
    gate->waiting--;
    pthread_cond_broadcast(&gate->room);
    pthread_mutex_unlock(&gate->lock);
}

void gate_leave(struct gate *gate)
{
    pthread_mutex_lock(&gate->lock);
    gate->inside--;
    pthread_cond_broadcast(&gate->room);
    pthread_mutex_unlock(&gate->lock);
}
