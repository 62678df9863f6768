/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/lane/gate.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/clock.h"

#define LOOK_MS 20
#define SHARED_MS 5000
/* Small batches wait for each other: where one was seen lately, the next one is made ready when that before it has
 * left the store. */
#define LATELY_MS 500
#define READY_MS 30
/* No longer than that is one of a higher rank waited for. */
#define BRIEF_MS 200
/* What was used counts for about as long. */
#define USE_MS 5000.0
/* A pause is as many times the turn before it, where those of lower ranks use the store all the time. */
#define PAUSE 2.0
#define MOST_PAUSE_MS 1000.0
/* Who has to catch up gets at least as many times the documents of the one it has to keep up with. */
#define CATCH_UP 1.25
/* With fewer than these, for long, it gets more at a time. */
#define KEEP_UP 1.05
#define LONG_USE_MS 60000.0

/* A sum of which what is older fades. */
struct use {
    double fades_ms, sum;
    int64_t at_ms; /* monotonic */
};

enum span { LATELY, FOR_LONG, SPANS };
static const double fades_ms[SPANS] = {USE_MS, LONG_USE_MS};

struct gate {
    pthread_mutex_t lock; /* of all below, and of the seats */
    pthread_cond_t room;
    size_t width;
    size_t share; /* chunks */
    struct gate_rank {
        size_t wanting; /* to stand in front of it */
        size_t waiting; /* in front of it */
        size_t at_door; /* of the waiting: those that are ready to go in */
        size_t inside;
        size_t brief;     /* inside, and soon out again */
        size_t lower;     /* visits of lower ranks since its own last one */
        size_t giving;    /* have something to read, but give way */
        int64_t brief_ms; /* monotonic: when one of the brief went in last */
        int64_t seen_ms;  /* when one wanted to or left last; 0: never */
        int64_t ready_ms; /* when one left or had given way last: the next one is made ready then */
        struct use time;  /* ms inside */
    } ranks[GATE_RANKS];
    struct gate_seat *seats;
    const struct gate_visit *indulged; /* goes in next, though others precede it; NULL: none */
    int64_t indulged_ms;               /* when one did last */
};

struct gate_seat {
    struct gate_seat *next;
    struct gate *gate;
    const void *group;
    int rank;        /* of its last visit */
    int64_t left_ms; /* monotonic: when that ended */
    int64_t seen_ms; /* when one was in the line last */
    int64_t took_ms; /* how long it was inside */
    struct use documents[SPANS];
};

struct gate *gate_new(size_t width)
{
    struct gate *gate = calloc(1, sizeof *gate);
    pthread_mutex_init(&gate->lock, NULL);
    clock_cond_init(&gate->room);
    gate->width = width;
    gate->share = GATE_SHARE_CHUNKS;
    for (int i = 0; i < GATE_RANKS; i++)
        gate->ranks[i].time.fades_ms = USE_MS;
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

/* --- all with the lock held -------------------------------------------------------------------- */

static double use_of(const struct use *use)
{
    return use->sum * exp((double)(use->at_ms - clock_mono_ms()) / use->fades_ms);
}

static void add_use(struct use *use, double amount)
{
    use->sum = use_of(use) + amount;
    use->at_ms = clock_mono_ms();
}

/* The most that others of its group have, of those below a rank. */
static double most_of_others(const struct gate_seat *of, int rank, enum span span)
{
    double most = 0;
    for (const struct gate_seat *seat = of->gate->seats; seat; seat = seat->next) {
        double documents = use_of(&seat->documents[span]);
        if (seat != of && seat->group == of->group && seat->rank < rank && documents > most)
            most = documents;
    }
    return most;
}

static bool was_seen(const struct gate_rank *rank, int64_t within_ms)
{
    return rank->seen_ms > 0 && clock_mono_ms() - rank->seen_ms < within_ms;
}

/* Whoever has just left is likely to be there again at once, with what has waited behind it. */
static bool is_preceded(const struct gate *gate, int rank)
{
    bool any = false;
    for (int i = 0; i < rank; i++) {
        const struct gate_rank *lower = &gate->ranks[i];
        bool comes = was_seen(lower, LATELY_MS) && clock_mono_ms() - lower->ready_ms < READY_MS;
        any = any || comes || lower->wanting > 0 || lower->waiting > 0 || lower->giving > 0;
    }
    return any;
}

static bool is_shared(const struct gate *gate, int rank)
{
    bool any = false;
    for (int i = 0; i < rank; i++)
        any = any || was_seen(&gate->ranks[i], SHARED_MS);
    return any;
}

/* It takes part in the changes that others of its group write too: with fewer it would never catch up. */
static bool is_behind(const struct gate_seat *seat, int rank)
{
    return use_of(&seat->documents[LATELY]) < CATCH_UP * most_of_others(seat, rank, LATELY);
}

static bool is_behind_for_long(const struct gate_seat *seat, int rank)
{
    return use_of(&seat->documents[FOR_LONG]) < KEEP_UP * most_of_others(seat, rank, FOR_LONG);
}

/* Who comes for the first time, or has been away, has not been behind for long. */
static void forgive_absence(struct gate_seat *seat, int rank)
{
    double least = CATCH_UP * most_of_others(seat, rank, FOR_LONG);
    double has = use_of(&seat->documents[FOR_LONG]);
    if (clock_mono_ms() - seat->seen_ms >= SHARED_MS && has < least)
        add_use(&seat->documents[FOR_LONG], least - has);
}

/* The more those of lower ranks use the store, the longer it is left alone. */
static bool has_paused(const struct gate *gate, const struct gate_visit *visit)
{
    const struct gate_seat *seat = visit->seat;
    double used = 0;
    for (int i = 0; i < visit->rank; i++)
        used += use_of(&gate->ranks[i].time) / USE_MS;
    double pause_ms = PAUSE * (double)seat->took_ms * (used < 1 ? used : 1);
    return (double)(clock_mono_ms() - seat->left_ms) >= fmin(pause_ms, MOST_PAUSE_MS) ||
           is_behind(seat, visit->rank);
}

/* One at a time: those of lower ranks lose no more than that. */
static bool has_waited(const struct gate *gate, const struct gate_visit *visit)
{
    int64_t from_ms = visit->since_ms > gate->indulged_ms ? visit->since_ms : gate->indulged_ms;
    return clock_mono_ms() - from_ms >= GATE_PATIENCE_MS;
}

/* After two, so that a change that one of them has held up is not held up by another. */
static bool is_its_turn(const struct gate *gate, int rank)
{
    return gate->ranks[rank].lower >= GATE_TURNS;
}

/* Is none of its own rank in the way, and its pause over? */
static bool is_due(const struct gate *gate, const struct gate_visit *visit)
{
    const struct gate_rank *own = &gate->ranks[visit->rank];
    if (!is_shared(gate, visit->rank))
        return own->waiting < gate->width;
    return own->waiting + own->inside == 0 && has_paused(gate, visit);
}

/* Patience is for those of lower ranks only. When its turn comes it is ready. */
static bool may_line_up(const struct gate *gate, struct gate_visit *visit)
{
    if (is_due(gate, visit))
        return !is_preceded(gate, visit->rank) || has_waited(gate, visit) ||
               gate->ranks[visit->rank].lower + 1 >= GATE_TURNS;
    visit->since_ms = clock_mono_ms();
    return false;
}

/* Those of lower ranks wait for it: more than that they go in beside. */
static bool is_brief(const struct gate *gate, const struct gate_visit *visit)
{
    return visit->chunks <= gate->share;
}

static bool any_brief(const struct gate_rank *rank)
{
    return rank->brief > 0 && clock_mono_ms() - rank->brief_ms < BRIEF_MS;
}

/* Those inside that one of this rank waits for. */
static size_t in_the_way(const struct gate *gate, int rank)
{
    size_t count = 0;
    for (int i = 0; i < GATE_RANKS; i++) {
        const struct gate_rank *other = &gate->ranks[i];
        size_t brief = any_brief(other) ? other->brief : 0;
        count += i <= rank ? other->inside : brief;
    }
    return count;
}

static bool may_enter(struct gate *gate, const struct gate_visit *visit)
{
    const struct gate_rank *own = &gate->ranks[visit->rank];
    bool preceded = is_preceded(gate, visit->rank);
    bool first = is_its_turn(gate, visit->rank) || has_waited(gate, visit);
    if (preceded && first && own->inside < gate->width && !gate->indulged)
        gate->indulged = visit;
    return in_the_way(gate, visit->rank) < gate->width &&
           (gate->indulged ? gate->indulged == visit : !preceded);
}

/* Is one of a higher rank inside that is soon out again, or about to be, and no room beside it? */
static bool gives_way(const struct gate *gate, int rank)
{
    bool next = false, brief = false;
    for (int i = rank + 1; i < GATE_RANKS; i++) {
        const struct gate_rank *higher = &gate->ranks[i];
        next = next || (higher->at_door > 0 && is_its_turn(gate, i));
        brief = brief || any_brief(higher);
    }
    return (next || brief) && in_the_way(gate, rank) + (next ? 1 : 0) >= gate->width;
}

static void wait_in_line(const struct gate_visit *visit)
{
    struct gate *gate = visit->seat->gate;
    clock_wait(&gate->room, &gate->lock, LOOK_MS);
    visit->seat->seen_ms = clock_mono_ms();
}

static void end_change(struct gate *gate)
{
    pthread_cond_broadcast(&gate->room);
    pthread_mutex_unlock(&gate->lock);
}

struct gate_seat *gate_join(struct gate *gate, const void *group)
{
    struct gate_seat *seat = calloc(1, sizeof *seat);
    seat->gate = gate;
    seat->group = group;
    for (int i = 0; i < SPANS; i++)
        seat->documents[i].fades_ms = fades_ms[i];
    pthread_mutex_lock(&gate->lock);
    seat->next = gate->seats;
    gate->seats = seat;
    pthread_mutex_unlock(&gate->lock);
    return seat;
}

void gate_part(struct gate_seat *seat)
{
    if (!seat)
        return;
    pthread_mutex_lock(&seat->gate->lock);
    struct gate_seat **link = &seat->gate->seats;
    while (*link != seat)
        link = &(*link)->next;
    *link = seat->next;
    pthread_mutex_unlock(&seat->gate->lock);
    free(seat);
}

bool gate_line_up(struct gate_visit *visit, const _Atomic bool *stop)
{
    struct gate *gate = visit->seat->gate;
    struct gate_rank *own = &gate->ranks[visit->rank];
    bool placed;
    pthread_mutex_lock(&gate->lock);
    visit->seat->rank = visit->rank;
    forgive_absence(visit->seat, visit->rank);
    visit->since_ms = own->seen_ms = clock_mono_ms();
    own->wanting++;
    while (!(placed = may_line_up(gate, visit)) && !atomic_load(stop))
        wait_in_line(visit);
    own->wanting--;
    own->waiting += placed ? 1 : 0;
    end_change(gate);
    return placed;
}

bool gate_enter(struct gate_visit *visit, const _Atomic bool *stop)
{
    struct gate *gate = visit->seat->gate;
    struct gate_rank *own = &gate->ranks[visit->rank];
    bool entered;
    pthread_mutex_lock(&gate->lock);
    own->at_door++;
    while (!(entered = may_enter(gate, visit)) && !atomic_load(stop))
        wait_in_line(visit);
    visit->entered_ms = clock_mono_ms();
    own->at_door--;
    own->waiting--;
    own->inside += entered ? 1 : 0;
    if (entered && is_brief(gate, visit)) {
        own->brief++;
        own->brief_ms = visit->entered_ms;
    }
    if (gate->indulged == visit) {
        gate->indulged = NULL;
        gate->indulged_ms = visit->entered_ms;
    }
    end_change(gate);
    return entered;
}

void gate_step_back(struct gate_visit *visit)
{
    struct gate *gate = visit->seat->gate;
    pthread_mutex_lock(&gate->lock);
    gate->ranks[visit->rank].waiting--;
    end_change(gate);
}

void gate_leave(struct gate_visit *visit)
{
    struct gate *gate = visit->seat->gate;
    struct gate_rank *own = &gate->ranks[visit->rank];
    struct gate_seat *seat = visit->seat;
    pthread_mutex_lock(&gate->lock);
    own->inside--;
    own->brief -= is_brief(gate, visit) ? 1 : 0;
    own->lower = 0;
    for (int i = visit->rank + 1; i < GATE_RANKS; i++)
        gate->ranks[i].lower++;
    seat->left_ms = seat->seen_ms = own->seen_ms = own->ready_ms = clock_mono_ms();
    seat->took_ms = seat->left_ms - visit->entered_ms;
    add_use(&own->time, (double)seat->took_ms);
    for (int i = 0; i < SPANS; i++)
        add_use(&seat->documents[i], (double)visit->documents);
    end_change(gate);
}

void gate_give_way(struct gate *gate, int rank, const _Atomic bool *stop)
{
    struct gate_rank *own = &gate->ranks[rank];
    pthread_mutex_lock(&gate->lock);
    int64_t until_ms = clock_mono_ms() + BRIEF_MS;
    bool gave = false;
    own->giving++;
    while (gives_way(gate, rank) && !atomic_load(stop) && clock_mono_ms() < until_ms) {
        gave = true;
        clock_wait(&gate->room, &gate->lock, LOOK_MS);
    }
    own->giving--;
    if (gave)
        own->ready_ms = clock_mono_ms();
    pthread_mutex_unlock(&gate->lock);
}

size_t gate_share(struct gate_seat *seat, int rank)
{
    struct gate *gate = seat->gate;
    pthread_mutex_lock(&gate->lock);
    bool shared = is_shared(gate, rank);
    forgive_absence(seat, rank);
    size_t share = is_behind_for_long(seat, rank) ? GATE_LARGER * gate->share : gate->share;
    pthread_mutex_unlock(&gate->lock);
    return shared ? share : SIZE_MAX;
}

size_t gate_waiting(struct gate *gate, int rank)
{
    pthread_mutex_lock(&gate->lock);
    size_t waiting = gate->ranks[rank].wanting + gate->ranks[rank].waiting;
    pthread_mutex_unlock(&gate->lock);
    return waiting;
}
