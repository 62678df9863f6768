/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/lane/gate.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "support/test.h"

#define DEADLINE_MS 30000
#define THREADS 8
#define ROUNDS 2000

static const int family, another;

struct crowd {
    struct gate *gate;
    struct gate_seat *seat;
    _Atomic bool stop;
    _Atomic int ranks; /* given to threads so far */
    _Atomic int inside;
    _Atomic int most; /* inside at a time */
    _Atomic int entered;
    _Atomic int refused;
};

static void fill(struct crowd *crowd, size_t width)
{
    *crowd = (struct crowd){.gate = gate_new(width)};
    crowd->seat = gate_join(crowd->gate, &family);
}

static void empty(struct crowd *crowd)
{
    gate_part(crowd->seat);
    gate_free(crowd->gate);
}

static void note_most(struct crowd *crowd, int inside)
{
    int most = atomic_load(&crowd->most);
    while (inside > most && !atomic_compare_exchange_weak(&crowd->most, &most, inside))
        ;
}

static bool go_in(struct gate_visit *visit, const _Atomic bool *stop)
{
    return gate_line_up(visit, stop) && gate_enter(visit, stop);
}

/* Each thread keeps to one rank: those of the higher ones wait, and are many when they may go. */
static void *pass(void *argument)
{
    struct crowd *crowd = argument;
    int rank = atomic_fetch_add(&crowd->ranks, 1) % GATE_RANKS;
    for (int i = 0; i < ROUNDS; i++) {
        struct gate_visit visit = {.seat = crowd->seat, .rank = rank, .documents = 1};
        if (!go_in(&visit, &crowd->stop)) {
            atomic_fetch_add(&crowd->refused, 1);
            break;
        }
        note_most(crowd, atomic_fetch_add(&crowd->inside, 1) + 1);
        atomic_fetch_add(&crowd->entered, 1);
        atomic_fetch_sub(&crowd->inside, 1);
        gate_leave(&visit);
    }
    return NULL;
}

static void no_more_threads_are_inside_than_the_gate_is_wide(void **state)
{
    (void)state;
    for (size_t width = 1; width <= 3; width++) {
        struct crowd crowd;
        pthread_t threads[THREADS];
        fill(&crowd, width);
        for (int i = 0; i < THREADS; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, pass, &crowd), 0);
        for (int i = 0; i < THREADS; i++)
            pthread_join(threads[i], NULL);
        assert_int_equal(crowd.entered, THREADS * ROUNDS);
        assert_int_equal(crowd.refused, 0);
        assert_in_range(crowd.most, 1, width);
        empty(&crowd);
    }
}

static void *enter_once(void *argument)
{
    struct crowd *crowd = argument;
    struct gate_visit visit = {.seat = crowd->seat};
    bool entered = go_in(&visit, &crowd->stop);
    atomic_fetch_add(entered ? &crowd->entered : &crowd->refused, 1);
    return NULL;
}

static void a_thread_that_waits_is_let_in_when_another_leaves(void **state)
{
    (void)state;
    struct crowd crowd;
    pthread_t thread;
    fill(&crowd, 1);
    struct gate_visit visit = {.seat = crowd.seat};
    assert_true(go_in(&visit, &crowd.stop));
    assert_int_equal(pthread_create(&thread, NULL, enter_once, &crowd), 0);
    assert_int_equal(crowd.entered, 0);
    gate_leave(&visit);
    pthread_join(thread, NULL);
    assert_int_equal(crowd.entered, 1);
    gate_leave(&visit);
    empty(&crowd);
}

static void a_stop_ends_the_wait_of_all(void **state)
{
    (void)state;
    struct crowd crowd;
    pthread_t threads[THREADS];
    fill(&crowd, 1);
    struct gate_visit visit = {.seat = crowd.seat};
    assert_true(go_in(&visit, &crowd.stop));
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, enter_once, &crowd), 0);
    int64_t begun_ms = clock_mono_ms();
    atomic_store(&crowd.stop, true);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_true(clock_mono_ms() - begun_ms < DEADLINE_MS);
    assert_int_equal(crowd.refused, THREADS);
    /* the place of the one inside is still its own */
    gate_leave(&visit);
    atomic_store(&crowd.stop, false);
    assert_true(go_in(&visit, &crowd.stop));
    gate_leave(&visit);
    empty(&crowd);
}

struct guest {
    struct gate *gate;
    struct gate_visit visit;
    _Atomic bool stop;
    _Atomic int *placed; /* how many have been placed, over all guests */
    int place;
};

static void *line_up(void *argument)
{
    struct guest *guest = argument;
    if (gate_line_up(&guest->visit, &guest->stop)) {
        guest->place = atomic_fetch_add(guest->placed, 1);
        gate_step_back(&guest->visit);
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

static void pass_ms(int64_t ms)
{
    atomic_fetch_add(&now_us, ms * 1000);
}

static int stop_clock(void **state)
{
    (void)state;
    atomic_store(&now_us, 1000000);
    clock_use(&standing);
    return 0;
}

static int start_clock(void **state)
{
    (void)state;
    clock_use(NULL);
    return 0;
}

static void *go_through(void *argument)
{
    struct guest *guest = argument;
    if (go_in(&guest->visit, &guest->stop)) {
        guest->place = atomic_fetch_add(guest->placed, 1);
        gate_leave(&guest->visit);
    }
    return NULL;
}

static void begin(struct guest *guest, pthread_t *thread, void *(*go)(void *))
{
    int rank = guest->visit.rank;
    size_t before = gate_waiting(guest->gate, rank);
    assert_int_equal(pthread_create(thread, NULL, go, guest), 0);
    while (gate_waiting(guest->gate, rank) == before)
        clock_sleep_ms(1);
}

/* Those that wait have seen what time it is. */
static void let_them_look(void)
{
    for (int64_t from = atomic_load(&looks); atomic_load(&looks) < from + 30;)
        clock_sleep_ms(1);
}

static void the_place_in_front_goes_to_the_lowest_rank_first(void **state)
{
    (void)state;
    struct crowd crowd;
    _Atomic int placed = 0;
    struct guest guests[GATE_RANKS];
    pthread_t threads[GATE_RANKS];
    fill(&crowd, 1);
    struct gate_visit first = {.seat = crowd.seat};
    assert_true(gate_line_up(&first, &crowd.stop));
    for (int i = 0; i < GATE_RANKS; i++) { /* the highest comes first */
        guests[i] = (struct guest){.gate = crowd.gate,
                                   .visit = {.seat = crowd.seat, .rank = GATE_RANKS - 1 - i},
                                   .placed = &placed};
        begin(&guests[i], &threads[i], line_up);
    }
    gate_step_back(&first);
    for (int i = 0; i < GATE_RANKS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(guests[i].place, guests[i].visit.rank);
    }
    empty(&crowd);
}

/* Where the store is too slow for those of the lowest rank alone, the others would never be let in. */
static void one_that_has_waited_for_too_long_goes_first_once(void **state)
{
    (void)state;
    struct crowd crowd;
    _Atomic int placed = 0;
    struct guest guests[2];
    pthread_t threads[2];
    fill(&crowd, 1);
    struct gate_visit first = {.seat = crowd.seat}, next = {.seat = crowd.seat};
    assert_true(go_in(&first, &crowd.stop));
    assert_true(gate_line_up(&next, &crowd.stop)); /* there is always one of a lower rank */
    assert_int_equal(gate_share(crowd.seat, 2), GATE_SHARE_CHUNKS);
    assert_int_equal(gate_share(crowd.seat, 0), SIZE_MAX);
    for (int i = 0; i < 2; i++) {
        guests[i] = (struct guest){
            .gate = crowd.gate, .visit = {.seat = crowd.seat, .rank = 2}, .placed = &placed};
        begin(&guests[i], &threads[i], go_through);
    }
    gate_leave(&first);
    for (int i = 0; i < 2; i++) {
        let_them_look();
        assert_int_equal(placed, i);
        pass_ms(GATE_PATIENCE_MS + 1);
        for (int64_t until_ms = 0; atomic_load(&placed) == i && until_ms < DEADLINE_MS; until_ms++)
            clock_sleep_ms(1);
    }
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(placed, 2);
    gate_step_back(&next);
    pass_ms(6000);
    assert_int_equal(gate_share(crowd.seat, 2), SIZE_MAX);
    empty(&crowd);
}

/* One turn of so long a time. */
static void take_a_turn(struct gate_visit *visit, int64_t ms)
{
    _Atomic bool stop = false;
    assert_true(go_in(visit, &stop));
    pass_ms(ms);
    gate_leave(visit);
}

static void one_of_a_lower_rank_goes_in_beside_one_that_is_long_inside(void **state)
{
    (void)state;
    struct crowd crowd;
    pthread_t thread;
    fill(&crowd, 1);
    struct gate_visit shadow = {.seat = crowd.seat, .rank = 2, .chunks = 1000};
    struct gate_visit active = {.seat = crowd.seat, .rank = 0};
    assert_true(go_in(&shadow, &crowd.stop));
    assert_true(go_in(&active, &crowd.stop));
    gate_leave(&shadow);
    assert_int_equal(pthread_create(&thread, NULL, enter_once, &crowd), 0);
    let_them_look();
    assert_int_equal(crowd.entered, 0); /* its own kind waits for it */
    gate_leave(&active);
    pthread_join(thread, NULL);
    assert_int_equal(crowd.entered, 1);
    empty(&crowd);
}

static void one_of_a_lower_rank_waits_for_one_that_is_soon_out_again(void **state)
{
    (void)state;
    struct crowd crowd;
    pthread_t thread;
    fill(&crowd, 1);
    struct gate_visit shadow = {
        .seat = gate_join(crowd.gate, &another), .rank = 2, .chunks = GATE_SHARE_CHUNKS};
    struct gate_visit active = {.seat = crowd.seat};
    assert_true(go_in(&shadow, &crowd.stop));
    assert_int_equal(pthread_create(&thread, NULL, enter_once, &crowd), 0);
    let_them_look();
    assert_int_equal(crowd.entered, 0);
    gate_leave(&shadow);
    pthread_join(thread, NULL);
    assert_int_equal(crowd.entered, 1);
    gate_leave(&active);

    pass_ms(30);
    assert_true(go_in(&shadow, &crowd.stop));
    pass_ms(200); /* it is slow, after all */
    assert_true(go_in(&active, &crowd.stop));
    gate_leave(&active);
    gate_leave(&shadow);
    gate_part(shadow.seat);
    empty(&crowd);
}

static void a_turn_is_not_taken_before_there_is_room_for_it(void **state)
{
    (void)state;
    struct crowd crowd;
    pthread_t thread;
    _Atomic int placed = 0;
    fill(&crowd, 1);
    struct gate_visit active = {.seat = crowd.seat};
    struct gate_visit inside = {.seat = crowd.seat, .rank = 2, .chunks = 1000};
    struct guest next = {
        .gate = crowd.gate, .visit = {.seat = crowd.seat, .rank = 2}, .placed = &placed};
    assert_true(go_in(&inside, &crowd.stop)); /* nothing is written */
    begin(&next, &thread, go_through);
    let_them_look();
    for (int i = 0; i < 3; i++)
        take_a_turn(&active, 300); /* the place is kept for none of them */
    assert_int_equal(placed, 0);
    gate_leave(&inside);
    pass_ms(30);
    pthread_join(thread, NULL);
    empty(&crowd);
}

static const _Atomic bool at_once = true; /* stops whoever would have to wait */

/* Has it a place in front of the gate, without waiting? */
static bool may_go(struct gate_visit *visit)
{
    if (!gate_line_up(visit, &at_once))
        return false;
    gate_step_back(visit);
    return true;
}

/* The active version uses half of the store's time for so long, with so many documents each turn. */
static void use_half(struct gate_visit *active, int seconds, size_t documents)
{
    active->documents = documents;
    for (int i = 0; i < seconds * 25; i++) {
        take_a_turn(active, 20);
        pass_ms(20);
    }
}

/* Does it get in without waiting? */
static bool gets_in(struct gate_visit *visit)
{
    if (!go_in(visit, &at_once))
        return false;
    gate_leave(visit);
    return true;
}

static void a_higher_rank_goes_in_after_every_second_of_a_lower(void **state)
{
    (void)state;
    struct gate *gate = gate_new(1);
    struct gate_visit active = {.seat = gate_join(gate, &family), .documents = 1};
    struct gate_visit shadow = {.seat = gate_join(gate, &another), .rank = 2, .documents = 1};
    for (int i = 0; i < 3; i++) {
        take_a_turn(&active, 50);
        assert_true(may_go(&shadow)); /* to be ready when its turn comes */
        assert_false(gets_in(&shadow));
        take_a_turn(&active, 50);
        assert_true(gets_in(&shadow));
    }
    pass_ms(29);
    assert_false(may_go(&shadow)); /* one has just left: the next is about to come */
    pass_ms(1);
    assert_true(gets_in(&shadow)); /* none comes */
    gate_part(active.seat);
    gate_part(shadow.seat);
    gate_free(gate);
}

struct reader {
    struct gate *gate;
    _Atomic bool stop, reads;
};

static void *give_way(void *argument)
{
    struct reader *reader = argument;
    gate_give_way(reader->gate, 0, &reader->stop);
    atomic_store(&reader->reads, true);
    return NULL;
}

static void what_would_wait_for_a_higher_rank_is_not_read_yet(void **state)
{
    (void)state;
    struct crowd crowd;
    pthread_t thread, at_door;
    _Atomic int placed = 0;
    fill(&crowd, 1);
    struct gate_visit active = {.seat = crowd.seat};
    struct reader reader = {.gate = crowd.gate};
    struct guest shadow = {
        .gate = crowd.gate, .visit = {.seat = crowd.seat, .rank = 2}, .placed = &placed};
    take_a_turn(&active, 50);
    assert_true(go_in(&active, &crowd.stop));
    begin(&shadow, &at_door, go_through);
    gate_give_way(crowd.gate, 0, &crowd.stop); /* one more of a lower rank goes first */
    assert_int_equal(placed, 0);
    gate_leave(&active);
    pthread_join(at_door, NULL);

    pass_ms(30);
    assert_true(go_in(&shadow.visit, &crowd.stop));
    assert_int_equal(pthread_create(&thread, NULL, give_way, &reader), 0);
    let_them_look();
    assert_false(reader.reads);
    gate_leave(&shadow.visit);
    pthread_join(thread, NULL);
    assert_true(reader.reads);
    pass_ms(29);
    assert_false(may_go(&shadow.visit)); /* what was read then is about to come */
    pass_ms(1);
    assert_true(go_in(&shadow.visit, &crowd.stop));
    reader.reads = false;
    assert_int_equal(pthread_create(&thread, NULL, give_way, &reader), 0);
    let_them_look();
    assert_false(reader.reads);
    pass_ms(200); /* so slow a store is not waited for */
    pthread_join(thread, NULL);
    gate_leave(&shadow.visit);

    pass_ms(30);
    shadow.visit.chunks = 1000;
    assert_true(go_in(&shadow.visit, &crowd.stop));
    gate_give_way(crowd.gate, 0, &crowd.stop); /* nor is so long a request */
    gate_leave(&shadow.visit);
    empty(&crowd);
}

static void a_higher_rank_leaves_the_store_alone_after_a_turn(void **state)
{
    (void)state;
    struct gate *gate = gate_new(1);
    struct gate_visit active = {.seat = gate_join(gate, &family)};
    struct gate_visit shadow = {.seat = gate_join(gate, &family), .rank = 2, .documents = 1000};
    use_half(&active, 20, 1);
    take_a_turn(&shadow, 100); /* the pause: two times as long, for half of the time: 100 ms */
    pass_ms(90);
    assert_false(may_go(&shadow));
    pass_ms(20);
    assert_true(may_go(&shadow));
    take_a_turn(&shadow, 100);
    pass_ms(20000); /* nobody else has come for long */
    take_a_turn(&shadow, 100);
    assert_true(may_go(&shadow));
    gate_part(active.seat);
    gate_part(shadow.seat);
    gate_free(gate);
}

static void who_would_never_catch_up_does_not_pause(void **state)
{
    (void)state;
    struct gate *gate = gate_new(1);
    struct gate_visit active = {.seat = gate_join(gate, &family)};
    struct gate_visit behind = {.seat = gate_join(gate, &family), .rank = 2, .documents = 48};
    struct gate_visit stranger = {.seat = gate_join(gate, &another), .rank = 2, .documents = 48};
    use_half(&active, 20, 10);
    take_a_turn(&behind, 100);
    pass_ms(30);
    assert_true(may_go(&behind));
    take_a_turn(&stranger, 100); /* of another family: it has not got those documents to bring */
    pass_ms(30);
    assert_false(may_go(&stranger));
    take_a_turn(&behind, 100); /* meanwhile the other's pause passes */
    pass_ms(30);
    assert_true(may_go(&stranger));
    gate_part(active.seat);
    gate_part(behind.seat);
    gate_part(stranger.seat);
    gate_free(gate);
}

static void fall_behind(struct gate_visit *shadow, struct gate_visit *active, int seconds)
{
    for (int i = 0; i < seconds; i++) {
        use_half(active, 1, 10);
        take_a_turn(shadow, 100);
    }
}

static void who_falls_behind_for_long_gets_more_at_a_time(void **state)
{
    (void)state;
    struct gate *gate = gate_new(1);
    struct gate_visit active = {.seat = gate_join(gate, &family)};
    use_half(&active, 20, 10);
    struct gate_visit shadow = {.seat = gate_join(gate, &family), .rank = 2, .documents = 48};
    struct gate_visit stranger = {.seat = gate_join(gate, &another), .rank = 2, .documents = 48};
    take_a_turn(&shadow, 100);
    pass_ms(30);
    take_a_turn(&stranger, 100);
    assert_int_equal(gate_share(shadow.seat, 2), GATE_SHARE_CHUNKS); /* it has just come */
    fall_behind(&shadow, &active, 60);
    assert_int_equal(gate_share(shadow.seat, 2), GATE_LARGER * GATE_SHARE_CHUNKS);
    assert_int_equal(gate_share(stranger.seat, 2), GATE_SHARE_CHUNKS); /* has not got those */
    use_half(&active, 6, 10);
    assert_int_equal(gate_share(shadow.seat, 2), GATE_SHARE_CHUNKS); /* it was away, not behind */
    fall_behind(&shadow, &active, 60);
    assert_int_equal(gate_share(shadow.seat, 2), GATE_LARGER * GATE_SHARE_CHUNKS);
    shadow.documents = 100000;
    take_a_turn(&shadow, 100);
    assert_int_equal(gate_share(shadow.seat, 2), GATE_SHARE_CHUNKS);
    gate_part(active.seat);
    gate_part(shadow.seat);
    gate_part(stranger.seat);
    gate_free(gate);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_more_threads_are_inside_than_the_gate_is_wide),
        cmocka_unit_test(a_thread_that_waits_is_let_in_when_another_leaves),
        cmocka_unit_test(a_stop_ends_the_wait_of_all),
        cmocka_unit_test_setup_teardown(the_place_in_front_goes_to_the_lowest_rank_first,
                                        stop_clock, start_clock),
        cmocka_unit_test_setup_teardown(one_that_has_waited_for_too_long_goes_first_once,
                                        stop_clock, start_clock),
        cmocka_unit_test_setup_teardown(one_of_a_lower_rank_goes_in_beside_one_that_is_long_inside,
                                        stop_clock, start_clock),
        cmocka_unit_test_setup_teardown(one_of_a_lower_rank_waits_for_one_that_is_soon_out_again,
                                        stop_clock, start_clock),
        cmocka_unit_test_setup_teardown(a_turn_is_not_taken_before_there_is_room_for_it, stop_clock,
                                        start_clock),
        cmocka_unit_test_setup_teardown(a_higher_rank_goes_in_after_every_second_of_a_lower,
                                        stop_clock, start_clock),
        cmocka_unit_test_setup_teardown(what_would_wait_for_a_higher_rank_is_not_read_yet,
                                        stop_clock, start_clock),
        cmocka_unit_test_setup_teardown(a_higher_rank_leaves_the_store_alone_after_a_turn,
                                        stop_clock, start_clock),
        cmocka_unit_test_setup_teardown(who_would_never_catch_up_does_not_pause, stop_clock,
                                        start_clock),
        cmocka_unit_test_setup_teardown(who_falls_behind_for_long_gets_more_at_a_time, stop_clock,
                                        start_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
