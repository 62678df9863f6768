/* SPDX-License-Identifier: Apache-2.0 */
#include "sinks/record_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/test.h"

#define IDS 200

static uint64_t random_state = 1;

static unsigned random_below(unsigned limit)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(random_state >> 33) % limit;
}

static void put(struct record_table *table, unsigned number, float first)
{
    char id[16];
    const float vector[] = {first, 1};
    snprintf(id, sizeof id, "id%u", number);
    const struct sink_record record = {.id = id, .vector = vector, .dims = 2};
    record_table_put(table, &record, false);
}

static void erase(struct record_table *table, unsigned number)
{
    char id[16];
    snprintf(id, sizeof id, "id%u", number);
    const char *ids[] = {id, "unknown"};
    record_table_erase(table, ids, 2);
}

/* Against an array that is trivially right. */
static void behaves_like_a_plain_array(void **state)
{
    (void)state;
    struct record_table table = {0};
    float model[IDS] = {0}; /* 0: not there */
    size_t live = 0;
    for (int step = 1; step < 20000; step++) {
        unsigned number = random_below(IDS);
        bool there = model[number] > 0;
        if (random_below(3) > 0) {
            put(&table, number, (float)step);
            live += !there;
            model[number] = (float)step;
        } else {
            erase(&table, number);
            live -= there;
            model[number] = 0;
        }
        assert_int_equal(table.count, live);
        unsigned probe = random_below(IDS);
        char id[16];
        snprintf(id, sizeof id, "id%u", probe);
        const struct held_record *held = record_table_get(&table, id);
        assert_int_equal(held != NULL, model[probe] > 0);
        if (held)
            assert_true(held->vector[0] >= model[probe] && held->vector[0] <= model[probe]);
    }
    record_table_fini(&table);
}

static void keeps_the_order_of_insertion(void **state)
{
    (void)state;
    struct record_table table = {0};
    for (unsigned i = 0; i < 1000; i++)
        put(&table, i, 1);
    erase(&table, 0);
    erase(&table, 500);
    put(&table, 3, 2); /* stays where it was */
    put(&table, 0, 1);
    assert_int_equal(table.count, 999);
    assert_string_equal(table.records[0].id, "id1");
    assert_string_equal(table.records[2].id, "id3");
    assert_string_equal(table.records[499].id, "id501");
    assert_string_equal(table.records[998].id, "id0");
    record_table_fini(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(behaves_like_a_plain_array),
        cmocka_unit_test(keeps_the_order_of_insertion),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
