/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/capture/ring.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/limits.h"
#include "support/test.h"

static void put_token(struct ring *ring, const char *token)
{
    ring_mark(ring, &(struct mark){.kind = MARK_TOKEN, .token = strdup(token)});
}

static void put_cursor(struct ring *ring, size_t feed, int32_t id, int64_t rows)
{
    ring_mark(ring, &(struct mark){.kind = MARK_CURSOR,
                                   .feed = feed,
                                   .rows = rows,
                                   .cursor = BCON_NEW("_id", BCON_INT32(id))});
}

static void put_end(struct ring *ring, size_t feed, int64_t rows)
{
    ring_mark(ring, &(struct mark){.kind = MARK_END, .feed = feed, .rows = rows});
}

static void assert_token(struct ring *ring, const char *token)
{
    struct mark mark;
    assert_true(ring_take(ring, &mark));
    assert_int_equal(mark.kind, MARK_TOKEN);
    assert_string_equal(mark.token, token);
    free(mark.token);
}

static void assert_cursor(struct ring *ring, size_t feed, int32_t id, int64_t rows)
{
    struct mark mark;
    bson_iter_t iter;
    assert_true(ring_take(ring, &mark));
    assert_int_equal(mark.kind, MARK_CURSOR);
    assert_int_equal(mark.feed, feed);
    assert_int_equal(mark.rows, rows);
    assert_true(bson_iter_init_find(&iter, mark.cursor, "_id"));
    assert_int_equal(bson_iter_int32(&iter), id);
    bson_destroy(mark.cursor);
}

static void assert_nothing(struct ring *ring)
{
    struct mark mark;
    assert_false(ring_take(ring, &mark));
}

static void a_mark_waits_for_every_record_before_it(void **state)
{
    (void)state;
    struct ring *ring = ring_new();
    uint64_t a = ring_record(ring), b = ring_record(ring);
    put_token(ring, "1");
    uint64_t c = ring_record(ring);
    put_token(ring, "2");
    assert_int_equal(ring_records(ring), 3);
    ring_done(ring, c);
    ring_done(ring, b);
    assert_nothing(ring);
    assert_int_equal(ring_records(ring), 1);
    ring_done(ring, a);
    assert_token(ring, "1");
    assert_token(ring, "2");
    assert_nothing(ring);
    assert_int_equal(ring_records(ring), 0);
    ring_free(ring);
}

static void a_mark_without_records_before_it_is_taken_at_once(void **state)
{
    (void)state;
    struct ring *ring = ring_new();
    assert_nothing(ring);
    put_token(ring, "1");
    uint64_t a = ring_record(ring);
    assert_token(ring, "1");
    assert_nothing(ring);
    ring_done(ring, a);
    assert_nothing(ring);
    ring_free(ring);
}

static void done_twice_counts_once(void **state)
{
    (void)state;
    struct ring *ring = ring_new();
    uint64_t a = ring_record(ring);
    ring_record(ring);
    ring_done(ring, a);
    ring_done(ring, a);
    assert_int_equal(ring_records(ring), 1);
    ring_free(ring);
}

static void only_the_last_of_tokens_without_records_between_them_stays(void **state)
{
    (void)state;
    struct ring *ring = ring_new();
    uint64_t a = ring_record(ring);
    put_token(ring, "1");
    put_cursor(ring, 3, 7, 10);
    put_token(ring, "2");
    put_token(ring, "3");
    uint64_t b = ring_record(ring);
    put_token(ring, "4");
    ring_done(ring, a);
    assert_token(ring, "3");
    assert_cursor(ring, 3, 7, 10);
    assert_nothing(ring);
    ring_done(ring, b);
    assert_token(ring, "4");
    ring_free(ring);
}

static void cursors_of_one_feed_keep_the_sum_of_their_rows(void **state)
{
    (void)state;
    struct ring *ring = ring_new();
    put_cursor(ring, 0, 1, 100);
    put_cursor(ring, 1, 2, 5);
    put_cursor(ring, 0, 3, 50);
    put_end(ring, 0, 1);
    assert_cursor(ring, 0, 3, 150);
    assert_cursor(ring, 1, 2, 5);
    struct mark mark;
    assert_true(ring_take(ring, &mark));
    assert_int_equal(mark.kind, MARK_END);
    assert_int_equal(mark.rows, 1);
    assert_nothing(ring);
    ring_free(ring);
}

static void marks_cannot_overrun_a_full_ring(void **state)
{
    (void)state;
    struct ring *ring = ring_new();
    uint64_t last = 0;
    while (!ring_is_full(ring))
        last = ring_record(ring);
    assert_int_equal(ring_records(ring), last + 1);
    /* rows that are outside of the filter: a cursor now and then, and never a record */
    for (int32_t i = 0; i < 5000; i++) {
        put_cursor(ring, (size_t)i % 100, i, 100);
        put_token(ring, "t");
        put_end(ring, (size_t)i % 100, 0);
    }
    assert_true(ring_is_full(ring));
    for (uint64_t ticket = 0; ticket <= last; ticket++)
        ring_done(ring, ticket);
    assert_cursor(ring, 0, 4900, 5000);
    assert_token(ring, "t");
    assert_false(ring_is_full(ring));
    ring_free(ring);
}

static void the_ring_goes_round_many_times(void **state)
{
    (void)state;
    struct ring *ring = ring_new();
    for (size_t i = 0; i < 2 * LIMIT_RING_ENTRIES + 12345; i++) {
        char token[16];
        uint64_t ticket = ring_record(ring);
        snprintf(token, sizeof token, "%zu", i);
        put_token(ring, token);
        assert_nothing(ring);
        ring_done(ring, ticket);
        assert_token(ring, token);
    }
    ring_free(ring);
}

static void a_cleared_ring_forgets_and_takes_no_notice_of_old_tickets(void **state)
{
    (void)state;
    struct ring *ring = ring_new();
    uint64_t old[3];
    for (int i = 0; i < 3; i++)
        old[i] = ring_record(ring);
    put_token(ring, "old");
    put_cursor(ring, 0, 1, 1);
    ring_clear(ring);
    assert_int_equal(ring_records(ring), 0);
    assert_nothing(ring);
    uint64_t fresh = ring_record(ring);
    put_token(ring, "new");
    for (int i = 0; i < 3; i++)
        ring_done(ring, old[i]);
    assert_int_equal(ring_records(ring), 1);
    assert_nothing(ring);
    ring_done(ring, fresh);
    assert_token(ring, "new");
    ring_free(ring);
}

/* The model: for each token, the number of the last record before it. */
#define STEPS 4000

static uint32_t below(uint64_t *state, uint32_t end)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (uint32_t)((z ^ (z >> 31)) % end);
}

struct life {
    struct ring *ring;
    uint64_t tickets[STEPS];
    bool done[STEPS];
    size_t records, open;
    long durable; /* the highest token seen */
    long written; /* the highest token put */
};

static size_t oldest_open(const struct life *life)
{
    size_t i = 0;
    while (i < life->records && life->done[i])
        i++;
    return i;
}

/* A token is the number of records before it. */
static void drain(struct life *life)
{
    struct mark mark;
    while (ring_take(life->ring, &mark)) {
        long token = strtol(mark.token, NULL, 10);
        assert_true(token >= life->durable);
        assert_true((size_t)token <= oldest_open(life));
        life->durable = token;
        free(mark.token);
    }
    /* nothing that could be durable is held back */
    if (life->open == 0)
        assert_int_equal(life->durable, life->written);
}

static void step(struct life *life, uint64_t *random)
{
    char token[16];
    switch (below(random, 4)) {
    case 0:
    case 1:
        life->tickets[life->records++] = ring_record(life->ring);
        life->open++;
        return;
    case 2:
        life->written = (long)life->records;
        snprintf(token, sizeof token, "%zu", life->records);
        put_token(life->ring, token);
        return;
    default:
        for (int i = 0; i < 3 && life->records > 0; i++) {
            size_t chosen = below(random, (uint32_t)life->records);
            if (below(random, 2) == 0)
                chosen = oldest_open(life);
            if (chosen < life->records && !life->done[chosen]) {
                life->done[chosen] = true;
                life->open--;
                ring_done(life->ring, life->tickets[chosen]);
            }
        }
        if (below(random, 2) == 0)
            drain(life);
    }
}

static void what_is_durable_never_passes_an_open_record_nor_goes_back(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct life *life = calloc(1, sizeof *life);
        uint64_t random = seed;
        life->ring = ring_new();
        for (int i = 0; i < STEPS; i++) {
            step(life, &random);
            assert_int_equal(ring_records(life->ring), life->open);
        }
        for (size_t i = 0; i < life->records; i++) {
            if (!life->done[i])
                ring_done(life->ring, life->tickets[i]);
            life->done[i] = true;
        }
        life->open = 0;
        drain(life);
        ring_free(life->ring);
        free(life);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mark_waits_for_every_record_before_it),
        cmocka_unit_test(a_mark_without_records_before_it_is_taken_at_once),
        cmocka_unit_test(done_twice_counts_once),
        cmocka_unit_test(only_the_last_of_tokens_without_records_between_them_stays),
        cmocka_unit_test(cursors_of_one_feed_keep_the_sum_of_their_rows),
        cmocka_unit_test(marks_cannot_overrun_a_full_ring),
        cmocka_unit_test(the_ring_goes_round_many_times),
        cmocka_unit_test(a_cleared_ring_forgets_and_takes_no_notice_of_old_tickets),
        cmocka_unit_test(what_is_durable_never_passes_an_open_record_nor_goes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
