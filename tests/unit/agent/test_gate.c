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

static void the_place_in_front_goes_to_the_lowest_rank_first(void **state)
{
    (void)state;
    struct gate *gate = gate_new(1);
    _Atomic bool stop = false;
    _Atomic int placed = 0;
    struct guest guests[GATE_RANKS];
    pthread_t threads[GATE_RANKS];
    assert_true(gate_line_up(gate, 0, &stop));
    for (int i = 0; i < GATE_RANKS; i++) { /* the highest comes first */
        guests[i] = (struct guest){.gate = gate, .rank = GATE_RANKS - 1 - i, .placed = &placed};
        assert_int_equal(pthread_create(&threads[i], NULL, line_up, &guests[i]), 0);
        int64_t until_ms = clock_mono_ms() + DEADLINE_MS;
        while (gate_wanting(gate, guests[i].rank) == 0 && clock_mono_ms() < until_ms)
            clock_sleep_ms(1);
    }
    gate_step_back(gate);
    for (int i = 0; i < GATE_RANKS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(guests[i].place, guests[i].rank);
    }
    gate_free(gate);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_more_threads_are_inside_than_the_gate_is_wide),
        cmocka_unit_test(a_thread_that_waits_is_let_in_when_another_leaves),
        cmocka_unit_test(a_stop_ends_the_wait_of_all),
        cmocka_unit_test(the_place_in_front_goes_to_the_lowest_rank_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
