/* SPDX-License-Identifier: Apache-2.0 */
/* The order of batches in flight: keys, offsets, what is given up and what is lost. */
#include "agent/lane/flights.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "cdc/worklog_ops.h"
#include "support/test.h"

#define COUNT 3
#define NOTHING (-1)

static int64_t stored; /* what comes next in the partition */
static bool is_lost;
static bool refuses;

static bool store(struct worklog_reader *reader, int partition, int64_t next, struct err *err)
{
    (void)reader;
    if (refuses)
        return err_set(err, ERR_RETRY, ERR_KAFKA, 0, "refused");
    assert_int_equal(partition, 0);
    stored = next;
    return true;
}

static bool lost(const struct worklog_reader *reader)
{
    (void)reader;
    return is_lost;
}

static const struct worklog_ops ops = {.store = store, .is_lost = lost};
static struct worklog_reader reader = {.ops = &ops};

static void wait_no_more(pthread_cond_t *condition, pthread_mutex_t *lock, int64_t ms)
{
    (void)condition, (void)lock, (void)ms;
}

static int set_up(void **state)
{
    static const struct clock_ops impatient = {.wait = wait_no_more};
    clock_use(&impatient);
    stored = NOTHING;
    is_lost = refuses = false;
    struct flights *flights = flights_new(COUNT);
    flights_open(flights, &reader);
    *state = flights;
    return 0;
}

static int tear_down(void **state)
{
    flights_free(*state);
    clock_use(NULL);
    return 0;
}

/* One record. What is in flight has a copy of it. */
static void begin_batch(struct flights *flights, int64_t offset, const char *key, bool small)
{
    char text[32];
    snprintf(text, sizeof text, "%s", key);
    struct worklog_record record = {
        .offset = offset,
        .record = {
            .gen = 1, .ver = "8201", .key = text, .key_size = strlen(text), .op = ITEM_DELETE}};
    flights_begin(flights, &(struct worklog_batch){.records = &record, .count = 1}, small);
    memset(text, 'x', sizeof text);
}

static void begin(struct flights *flights, int64_t offset, const char *key)
{
    begin_batch(flights, offset, key, false);
}

static struct flight *take(struct flights *flights, int64_t offset)
{
    struct flight *flight = flights_take(flights);
    assert_non_null(flight);
    assert_int_equal(flight->batch.records[0].offset, offset);
    return flight;
}

static bool settle(struct flights *flights)
{
    struct err err;
    bool broken;
    assert_true(flights_settle(flights, &broken, &err));
    return !broken;
}

static bool is_waited_for(struct flights *flights)
{
    struct err err;
    bool more;
    assert_true(flights_wait(flights, &more, &err));
    return more;
}

static void offsets_are_stored_in_the_order_of_reading(void **state)
{
    struct flights *flights = *state;
    begin(flights, 10, "a");
    begin(flights, 11, "b");
    struct flight *first = take(flights, 10), *second = take(flights, 11);
    assert_null(flights_take(flights));
    assert_memory_equal(second->batch.records[0].record.key, "b", 1);
    flights_end(flights, second, true);
    assert_true(settle(flights));
    assert_int_equal(stored, NOTHING);
    assert_true(is_waited_for(flights));
    flights_end(flights, first, true);
    assert_true(settle(flights));
    assert_int_equal(stored, 12);
    assert_false(is_waited_for(flights));
}

static void two_of_one_key_are_not_taken_side_by_side(void **state)
{
    struct flights *flights = *state;
    begin(flights, 10, "a");
    begin(flights, 11, "a");
    struct flight *first = take(flights, 10);
    assert_null(flights_take(flights));
    assert_int_equal(flights_room(flights), 0); /* what is behind might be of the same key again */
    flights_end(flights, first, true);
    flights_end(flights, take(flights, 11), true);
    assert_true(settle(flights));
    assert_int_equal(stored, 12);
}

static void there_is_room_for_as_many_as_were_asked_for(void **state)
{
    struct flights *flights = *state;
    static const char *const keys[] = {"a", "b", "c"};
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(flights_room(flights), LIMIT_BATCH_SIZE);
        begin(flights, i, keys[i]);
    }
    assert_int_equal(flights_room(flights), 0);
    flights_end(flights, take(flights, 0), true);
    assert_true(settle(flights));
    assert_int_equal(flights_room(flights), LIMIT_BATCH_SIZE);
}

/* What comes meanwhile goes together with the next batch. */
static void nothing_is_read_while_a_small_batch_is_on_its_way(void **state)
{
    struct flights *flights = *state;
    begin_batch(flights, 10, "a", true);
    assert_int_equal(flights_room(flights), 0);
    struct flight *first = take(flights, 10);
    assert_int_equal(flights_room(flights), 0);
    flights_await(flights, first,
                  60000); /* it is embedded: that may take a while, but not for ever */
    assert_int_equal(flights_room(flights), 0);
    flights_await(flights, first, 0);
    assert_int_equal(flights_room(flights), LIMIT_BATCH_SIZE);
    flights_await(flights, first, FLIGHTS_AWAIT_MS);
    assert_int_equal(flights_room(flights), 0);
    flights_end(flights, first, true);
    assert_int_equal(flights_room(flights), LIMIT_BATCH_SIZE);
}

static void what_is_lost_is_not_waited_for(void **state)
{
    struct flights *flights = *state;
    begin_batch(flights, 10, "a", true);
    struct flight *flight = take(flights, 10);
    assert_int_equal(flights_room(flights), 0);
    flights_lose(flights);
    assert_int_equal(flights_room(flights), LIMIT_BATCH_SIZE);
    flights_end(flights, flight, false);
}

static void a_large_batch_is_not_waited_for(void **state)
{
    struct flights *flights = *state;
    begin_batch(flights, 10, "a", false);
    flights_await(flights, take(flights, 10), FLIGHTS_AWAIT_MS);
    assert_int_equal(flights_room(flights), LIMIT_BATCH_SIZE);
}

static void nothing_is_stored_behind_what_was_given_up(void **state)
{
    struct flights *flights = *state;
    begin(flights, 10, "a");
    begin(flights, 11, "b");
    begin(flights, 12, "c");
    struct flight *first = take(flights, 10), *second = take(flights, 11);
    flights_end(flights, first, true);
    flights_end(flights, second, false);
    flights_end(flights, take(flights, 12), true);
    assert_false(settle(flights));
    assert_int_equal(stored, 11);
    flights_close(flights);
    flights_open(flights, &reader); /* reads again from there */
    begin(flights, 11, "b");
    flights_end(flights, take(flights, 11), true);
    assert_true(settle(flights));
    assert_int_equal(stored, 12);
}

static void nothing_is_stored_behind_what_was_not_begun(void **state)
{
    struct flights *flights = *state;
    begin(flights, 10, "a");
    flights_break(flights);
    flights_end(flights, take(flights, 10), true);
    assert_false(is_waited_for(flights));
    assert_false(settle(flights));
    assert_int_equal(stored, NOTHING);
}

static void hurry_gives_up_what_nobody_has_taken_and_tells_the_others(void **state)
{
    struct flights *flights = *state;
    begin(flights, 10, "a");
    begin(flights, 11, "b");
    struct flight *first = take(flights, 10);
    assert_false(atomic_load(&first->hurry));
    flights_hurry(flights);
    assert_true(atomic_load(&first->hurry));
    assert_false(flights_is_lost(flights, first));
    assert_null(flights_take(flights));
    flights_end(flights, first, true);
    assert_false(settle(flights));
    assert_int_equal(stored, 11);
}

static void what_is_lost_is_neither_written_nor_stored(void **state)
{
    struct flights *flights = *state;
    begin(flights, 10, "a");
    struct flight *first = take(flights, 10);
    flights_lose(flights);
    assert_true(flights_is_lost(flights, first));
    flights_end(flights, first, false); /* as one who is told does */
    assert_true(settle(flights));
    assert_int_equal(stored, NOTHING);
    begin(flights, 10, "a"); /* the partition has come back */
    first = take(flights, 10);
    assert_false(flights_is_lost(flights, first));
    is_lost = true;
    assert_true(flights_is_lost(flights, first));
    is_lost = false;
    flights_close(flights);
    assert_true(flights_is_lost(flights, first));
}

static void an_offset_that_cannot_be_stored_is_said(void **state)
{
    struct flights *flights = *state;
    struct err err;
    bool broken, more;
    begin(flights, 10, "a");
    begin(flights, 11, "b");
    flights_end(flights, take(flights, 10), true);
    refuses = true;
    assert_false(flights_settle(flights, &broken, &err));
    flights_end(flights, take(flights, 11), true);
    assert_false(flights_wait(flights, &more, &err));
    assert_false(more);
    assert_int_equal(stored, NOTHING);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(offsets_are_stored_in_the_order_of_reading),
        TEST(two_of_one_key_are_not_taken_side_by_side),
        TEST(there_is_room_for_as_many_as_were_asked_for),
        TEST(nothing_is_read_while_a_small_batch_is_on_its_way),
        TEST(what_is_lost_is_not_waited_for),
        TEST(a_large_batch_is_not_waited_for),
        TEST(nothing_is_stored_behind_what_was_given_up),
        TEST(nothing_is_stored_behind_what_was_not_begun),
        TEST(hurry_gives_up_what_nobody_has_taken_and_tells_the_others),
        TEST(what_is_lost_is_neither_written_nor_stored),
        TEST(an_offset_that_cannot_be_stored_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
