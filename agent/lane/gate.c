/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/lane/gate.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/clock.h"

#define LOOK_MS 100
#define SHARED_MS 5000

struct gate {
    pthread_mutex_t lock;
    pthread_cond_t room;
    size_t width;
    size_t share;                  /* chunks */
    size_t waiting;                /* in front of it */
    size_t wanting[GATE_RANKS];    /* to stand there, by rank */
    int64_t wanted_ms[GATE_RANKS]; /* monotonic: when one of the rank wanted to last; 0: never */
    bool indulges;                 /* one goes next that has waited for too long */
    int64_t indulged_ms;           /* when one did last */
    size_t inside;
};

struct gate *gate_new(size_t width)
{
    struct gate *gate = calloc(1, sizeof *gate);
    pthread_mutex_init(&gate->lock, NULL);
    clock_cond_init(&gate->room);
    gate->width = width;
    gate->share = GATE_SHARE_CHUNKS;
    return gate;
}

void gate_set_share(struct gate *gate, size_t chunks)
{
    gate->share = chunks;
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

/* Who wants the place in front of the gate. */
struct guest {
    int rank;
    int64_t since_ms;
    bool indulged; /* it goes next, whatever its rank */
};

/* One at a time, and the next one as much later: those of lower ranks lose no more than that. */
static void indulge(struct gate *gate, struct guest *guest)
{
    int64_t from_ms = guest->since_ms > gate->indulged_ms ? guest->since_ms : gate->indulged_ms;
    if (gate->indulges || !is_preceded(gate, guest->rank) ||
        clock_mono_ms() - from_ms < GATE_PATIENCE_MS)
        return;
    gate->indulges = guest->indulged = true;
}

static bool has_to_wait(struct gate *gate, struct guest *guest)
{
    indulge(gate, guest);
    if (gate->waiting >= gate->width)
        return true;
    return !guest->indulged && (gate->indulges || is_preceded(gate, guest->rank));
}

bool gate_line_up(struct gate *gate, int rank, const _Atomic bool *stop)
{
    pthread_mutex_lock(&gate->lock);
    struct guest guest = {.rank = rank, .since_ms = clock_mono_ms()};
    gate->wanted_ms[rank] = guest.since_ms;
    gate->wanting[rank]++;
    while (has_to_wait(gate, &guest) && !atomic_load(stop))
        clock_wait(&gate->room, &gate->lock, LOOK_MS);
    gate->wanting[rank]--;
    if (guest.indulged) {
        gate->indulges = false;
        gate->indulged_ms = clock_mono_ms();
    }
    bool placed = gate->waiting < gate->width;
    if (placed)
        gate->waiting++;
    pthread_cond_broadcast(&gate->room);
    pthread_mutex_unlock(&gate->lock);
    return placed;
}

size_t gate_share(struct gate *gate, int rank)
{
    bool shared = false;
    pthread_mutex_lock(&gate->lock);
    int64_t now_ms = clock_mono_ms();
    for (int i = 0; i < rank; i++)
        shared = shared || (gate->wanted_ms[i] > 0 && now_ms - gate->wanted_ms[i] < SHARED_MS);
    pthread_mutex_unlock(&gate->lock);
    return shared ? gate->share : SIZE_MAX;
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
