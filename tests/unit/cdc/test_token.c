/* SPDX-License-Identifier: Apache-2.0 */
#include "cdc/token.h"

#include "base/attr.h"
#include "support/test.h"

static void a_token_tells_its_cluster_time(void **state)
{
    (void)state;
    struct cluster_time time;
    /* of an insert, and of a high-water mark, of MongoDB 6.0 */
    assert_true(token_time("8264E5A1F0000000072B022C0100296E5A1004", &time));
    assert_int_equal(time.seconds, 0x64E5A1F0);
    assert_int_equal(time.ordinal, 7);
    assert_true(token_time("82ffffffffffffffff2B0229296E04", &time));
    assert_int_equal(time.seconds, UINT32_MAX);
    assert_int_equal(time.ordinal, UINT32_MAX);
    assert_true(token_time("820000000000000000", &time));
    assert_int_equal(time.seconds, 0);
}

static void a_token_may_have_type_bits_behind_its_data(void **state)
{
    (void)state;
    struct cluster_time time;
    static const char token[] = "8264E5A1F0000000072B022C0100296E5A1004:820F";
    assert_true(token_time(token, &time));
    assert_int_equal(time.ordinal, 7);
    assert_int_equal(token_data_size(token), sizeof token - 1 - 5);
    assert_string_equal(token_type_bits(token), "820F");
    assert_null(token_type_bits("8264E5A1F000000007"));
    assert_int_equal(token_data_size("8264E5A1F000000007"), 18);
}

static void a_high_water_mark_is_told_from_an_events_token(void **state)
{
    (void)state;
    assert_true(token_is_mark("826B01683A000000072B0229296E04"));
    assert_false(
        token_is_mark("826B01683A000000072B022C0100296E5A10040F2A7D9E4B5C4D1E8F3A6B7C8D9E0F1A46"
                      "645F696400290004"));
}

static void what_has_not_the_shape_of_a_token_is_none(void **state)
{
    (void)state;
    static const char *const others[] = {
        "",
        "82",
        "8264E5A1F00000000",                 /* too short */
        "8264E5A1F000000007B",               /* half a byte */
        "8164E5A1F0000000072B022C",          /* another type */
        "8264E5A1G0000000072B022C",          /* no hexadecimal */
        "8264E5A1F0000000072B022C0100296Z5", /* at the end */
        " 8264E5A1F000000007",
        "8264E5A1F000000007 ",
        "8264E5A1F000000007:",
        "8264E5A1F000000007:8",
        "8264E5A1F000000007:8x",
        "8264E5A1F000000007:80:80",
    };
    struct cluster_time time;
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        if (token_time(others[i], &time))
            fail_msg("'%s'", others[i]);
    }
}

static void cluster_times_are_ordered_by_seconds_then_ordinal(void **state)
{
    (void)state;
    static const struct cluster_time rising[] = {
        {0, 0}, {0, 1}, {1, 0}, {1, UINT32_MAX}, {0x80000000u, 0}, {UINT32_MAX, 1}};
    for (size_t i = 0; i < ARRAY_LEN(rising); i++) {
        for (size_t k = 0; k < ARRAY_LEN(rising); k++) {
            int order = cluster_time_compare(rising[i], rising[k]);
            assert_int_equal((order > 0) - (order < 0), (i > k) - (i < k));
        }
    }
}

static void the_time_before_is_lower_and_never_wraps_around(void **state)
{
    (void)state;
    struct cluster_time before = cluster_time_before((struct cluster_time){5, 2});
    assert_int_equal(before.seconds, 5);
    assert_int_equal(before.ordinal, 1);
    before = cluster_time_before((struct cluster_time){5, 0});
    assert_int_equal(before.seconds, 4);
    assert_int_equal(before.ordinal, UINT32_MAX);
    before = cluster_time_before((struct cluster_time){0, 0});
    assert_int_equal(before.seconds, 0);
    assert_int_equal(before.ordinal, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_tells_its_cluster_time),
        cmocka_unit_test(a_token_may_have_type_bits_behind_its_data),
        cmocka_unit_test(a_high_water_mark_is_told_from_an_events_token),
        cmocka_unit_test(what_has_not_the_shape_of_a_token_is_none),
        cmocka_unit_test(cluster_times_are_ordered_by_seconds_then_ordinal),
        cmocka_unit_test(the_time_before_is_lower_and_never_wraps_around),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
