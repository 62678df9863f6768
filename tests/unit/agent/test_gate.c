/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/lane/gate.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "support/test.h"

#define DEADLINE_MS 30000
#define THREADS 8
#define ROUNDS 2000

struct crowd {
    struct gate *gate;
    _Atomic bool stop;
    _Atomic int inside;
    _Atomic int most;
    _Atomic int entered;
    _Atomic int refused;
};

static void note_most(struct crowd *crowd, int inside)
{
    int most = atomic_load(&crowd->most);
    while (inside > most && !atomic_compare_exchange_weak(&crowd->most, &most, inside))
        ;
}

static void *pass(void *argument)
{
    struct crowd *crowd = argument;
    for (int i = 0; i < ROUNDS; i++) {
        if (!gate_line_up(crowd->gate, i % GATE_RANKS, &crowd->stop) ||
            !gate_enter(crowd->gate, &crowd->stop)) {
            atomic_fetch_add(&crowd->refused, 1);
            break;
        }
        note_most(crowd, atomic_fetch_add(&crowd->inside, 1) + 1);
        atomic_fetch_add(&crowd->entered, 1);
        atomic_fetch_sub(&crowd->inside, 1);
        gate_leave(crowd->gate);
    }
    return NULL;
}

static void no_more_threads_are_inside_than_the_gate_is_wide(void **state)
{
    (void)state;
    for (size_t width = 1; width <= 3; width++) {
        struct crowd crowd = {.gate = gate_new(width)};
        pthread_t threads[THREADS];
        for (int i = 0; i < THREADS; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, pass, &crowd), 0);
        for (int i = 0; i < THREADS; i++)
            pthread_join(threads[i], NULL);
        assert_int_equal(crowd.entered, THREADS * ROUNDS);
        assert_int_equal(crowd.refused, 0);
        assert_in_range(crowd.most, 1, width);
        gate_free(crowd.gate);
    }
}

static void *enter_once(void *argument)
{
    struct crowd *crowd = argument;
    bool entered =
        gate_line_up(crowd->gate, 0, &crowd->stop) && gate_enter(crowd->gate, &crowd->stop);
    atomic_fetch_add(entered ? &crowd->entered : &crowd->refused, 1);
    return NULL;
}

static void a_thread_that_waits_is_let_in_when_another_leaves(void **state)
{
    (void)state;
    struct crowd crowd = {.gate = gate_new(1)};
    pthread_t thread;
    assert_true(gate_line_up(crowd.gate, 0, &crowd.stop));
    assert_true(gate_enter(crowd.gate, &crowd.stop));
    assert_int_equal(pthread_create(&thread, NULL, enter_once, &crowd), 0);
    assert_int_equal(crowd.entered, 0);
    gate_leave(crowd.gate);
    pthread_join(thread, NULL);
    assert_int_equal(crowd.entered, 1);
    gate_leave(crowd.gate);
    gate_free(crowd.gate);
}

static void a_stop_ends_the_wait_of_all(void **state)
{
    (void)state;
    struct crowd crowd = {.gate = gate_new(1)};
    pthread_t threads[THREADS];
    assert_true(gate_line_up(crowd.gate, 0, &crowd.stop));
    assert_true(gate_enter(crowd.gate, &crowd.stop));
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, enter_once, &crowd), 0);
    int64_t begun_ms = clock_mono_ms();
    atomic_store(&crowd.stop, true);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_true(clock_mono_ms() - begun_ms < DEADLINE_MS);
    assert_int_equal(crowd.refused, THREADS);
    /* the place of the one inside is still its own */
    gate_leave(crowd.gate);
    atomic_store(&crowd.stop, false);
    assert_true(gate_line_up(crowd.gate, 0, &crowd.stop));
    assert_true(gate_enter(crowd.gate, &crowd.stop));
    gate_leave(crowd.gate);
    gate_free(crowd.gate);
}

struct guest {
    struct gate *gate;
    int rank;
    _Atomic bool stop;
    _Atomic int *placed; /* how many have been placed, over all guests */
    int place;
};

static void *line_up(void *argument)
{
    struct guest *guest = argument;
    if (gate_line_up(guest->gate, guest->rank, &guest->stop)) {
        guest->place = atomic_fetch_add(guest->placed, 1);
        gate_step_back(guest->gate);
    }
    return NULL;
}

static _Atomic int64_t now_us;

static int64_t standing_clock(void)
{
    return atomic_load(&now_us);
}

static _Atomic int64_t looks; /* of those that wait */

static void look_often(pthread_cond_t *condition, pthread_mutex_t *lock, int64_t ms)
{
    (void)ms;
    struct timespec until = clock_deadline(1);
    atomic_fetch_add(&looks, 1);
    pthread_cond_timedwait(condition, lock, &until);
}

static const struct clock_ops standing = {.mono_us = standing_clock, .wait = look_often};

static void begin(struct guest *guest, pthread_t *thread)
{
    size_t before = gate_wanting(guest->gate, guest->rank);
    assert_int_equal(pthread_create(thread, NULL, line_up, guest), 0);
    while (gate_wanting(guest->gate, guest->rank) == before)
        clock_sleep_ms(1);
}

static void the_place_in_front_goes_to_the_lowest_rank_first(void **state)
{
    (void)state;
    struct gate *gate = gate_new(1);
    _Atomic bool stop = false;
    _Atomic int placed = 0;
    struct guest guests[GATE_RANKS];
    pthread_t threads[GATE_RANKS];
    clock_use(&standing);
    assert_true(gate_line_up(gate, 0, &stop));
    for (int i = 0; i < GATE_RANKS; i++) { /* the highest comes first */
        guests[i] = (struct guest){.gate = gate, .rank = GATE_RANKS - 1 - i, .placed = &placed};
        begin(&guests[i], &threads[i]);
    }
    gate_step_back(gate);
    for (int i = 0; i < GATE_RANKS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(guests[i].place, guests[i].rank);
    }
    gate_free(gate);
    clock_use(NULL);
}

/* Where the store is too slow for those of the lowest rank alone, the others would never be let in. */
static void one_that_has_waited_for_too_long_goes_first_once(void **state)
{
    (void)state;
    struct gate *gate = gate_new(1);
    _Atomic bool stop = false;
    _Atomic int placed = 0;
    struct guest guests[] = {{.rank = 2}, {.rank = 2}, {.rank = 0}};
    pthread_t threads[3];
    clock_use(&standing);
    atomic_store(&now_us, 1000000);
    assert_true(gate_line_up(gate, 0, &stop));
    assert_int_equal(gate_share(gate, 2), GATE_SHARE_CHUNKS);
    assert_int_equal(gate_share(gate, 0), SIZE_MAX);
    for (int i = 0; i < 3; i++) {
        guests[i].gate = gate;
        guests[i].placed = &placed;
        begin(&guests[i], &threads[i]);
    }
    atomic_fetch_add(&now_us, (GATE_PATIENCE_MS + 1) * 1000);
    for (int64_t from = atomic_load(&looks); atomic_load(&looks) < from + 30;)
        clock_sleep_ms(1); /* each of them has seen what time it is */
    gate_step_back(gate);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    int first = guests[0].place < guests[1].place ? guests[0].place : guests[1].place;
    assert_int_equal(first, 0);
    assert_int_equal(guests[2].place, 1);
    atomic_fetch_add(&now_us, 6000000);
    assert_int_equal(gate_share(gate, 2), SIZE_MAX);
    gate_free(gate);
    clock_use(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_more_threads_are_inside_than_the_gate_is_wide),
        cmocka_unit_test(a_thread_that_waits_is_let_in_when_another_leaves),
        cmocka_unit_test(a_stop_ends_the_wait_of_all),
        cmocka_unit_test(the_place_in_front_goes_to_the_lowest_rank_first),
        cmocka_unit_test(one_that_has_waited_for_too_long_goes_first_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
