/* SPDX-License-Identifier: Apache-2.0 */
#include "state/rowmap.h"

#include <stdio.h>
#include <string.h>

#include "support/test.h"

static bson_t *numbered(int number)
{
    bson_t *doc = bson_new();
    BSON_APPEND_INT32(doc, "n", number);
    return doc;
}

static int number_of(const bson_t *doc)
{
    bson_iter_t iter;
    return doc && bson_iter_init_find(&iter, doc, "n") ? bson_iter_int32(&iter) : -1;
}

static void an_empty_map_holds_nothing(void **state)
{
    (void)state;
    struct rowmap map = {.count = 0};
    assert_null(rowmap_find(&map, "a"));
    assert_null(rowmap_after(&map, ""));
    rowmap_clear(&map);
}

static void a_second_document_replaces_the_first(void **state)
{
    (void)state;
    struct rowmap map = {.count = 0};
    rowmap_put(&map, "a", numbered(1));
    rowmap_put(&map, "a", numbered(2));
    assert_int_equal(map.count, 1);
    assert_int_equal(number_of(rowmap_find(&map, "a")), 2);
    rowmap_clear(&map);
    assert_int_equal(map.count, 0);
    assert_null(rowmap_find(&map, "a"));
}

static void keys_put_in_any_order_come_out_sorted(void **state)
{
    (void)state;
    enum { count = 1000 };
    struct rowmap map = {.count = 0};
    char key[16];
    for (int i = 0; i < count; i++) {
        int n = i * 389 % count; /* 389 and 1000 share no factor */
        snprintf(key, sizeof(key), "%04d", n);
        rowmap_put(&map, key, numbered(n));
    }
    assert_int_equal(map.count, count);
    int expected = 0;
    for (struct rowmap_node *node = rowmap_after(&map, ""); node; node = node->next[0])
        assert_int_equal(number_of(node->doc), expected++);
    assert_int_equal(expected, count);
    for (int i = 0; i < count; i++) {
        snprintf(key, sizeof(key), "%04d", i);
        assert_int_equal(number_of(rowmap_find(&map, key)), i);
    }
    rowmap_clear(&map);
}

static void after_is_exclusive_and_the_key_need_not_be_there(void **state)
{
    (void)state;
    struct rowmap map = {.count = 0};
    rowmap_put(&map, "b", numbered(1));
    rowmap_put(&map, "d", numbered(2));
    assert_string_equal(rowmap_after(&map, "a")->key, "b");
    assert_string_equal(rowmap_after(&map, "b")->key, "d");
    assert_string_equal(rowmap_after(&map, "c")->key, "d");
    assert_null(rowmap_after(&map, "d"));
    assert_null(rowmap_find(&map, "c"));
    rowmap_clear(&map);
}

static void what_is_removed_is_gone_and_its_neighbours_stay(void **state)
{
    (void)state;
    struct rowmap map = {.count = 0};
    char key[16];
    for (int i = 0; i < 500; i++) {
        snprintf(key, sizeof(key), "%03d", i);
        rowmap_put(&map, key, numbered(i));
    }
    for (int i = 0; i < 500; i += 2) {
        snprintf(key, sizeof(key), "%03d", i);
        rowmap_remove(&map, key);
        rowmap_remove(&map, key); /* nothing any more */
    }
    assert_int_equal(map.count, 250);
    int expected = 1;
    for (struct rowmap_node *node = rowmap_after(&map, ""); node; node = node->next[0]) {
        assert_int_equal(number_of(node->doc), expected);
        expected += 2;
    }
    assert_int_equal(expected, 501);
    rowmap_clear(&map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_map_holds_nothing),
        cmocka_unit_test(a_second_document_replaces_the_first),
        cmocka_unit_test(keys_put_in_any_order_come_out_sorted),
        cmocka_unit_test(after_is_exclusive_and_the_key_need_not_be_there),
        cmocka_unit_test(what_is_removed_is_gone_and_its_neighbours_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
