/* SPDX-License-Identifier: Apache-2.0 */
#include "base/histogram.h"

#include "support/test.h"

static void a_sample_falls_into_the_first_bucket_that_holds_it(void **state)
{
    (void)state;
    struct histogram histogram = {0};
    histogram_add(&histogram, -5, 1);
    histogram_add(&histogram, 0, 1);
    histogram_add(&histogram, 1000, 1);
    assert_int_equal(histogram.buckets[0], 3);
    histogram_add(&histogram, 1001, 1);
    assert_int_equal(histogram.buckets[1], 1);
    histogram_add(&histogram, 300000000, 1);
    assert_int_equal(histogram.buckets[HISTOGRAM_BUCKETS - 2], 1);
    histogram_add(&histogram, 300000001, 2);
    assert_int_equal(histogram.buckets[HISTOGRAM_BUCKETS - 1], 2);
    assert_int_equal(histogram.sum_us, 0 + 0 + 1000 + 1001 + 300000000 + 2 * INT64_C(300000001));
}

static void the_bounds_rise(void **state)
{
    (void)state;
    for (size_t i = 1; i < HISTOGRAM_BUCKETS - 1; i++)
        assert_true(histogram_bounds_ms[i] > histogram_bounds_ms[i - 1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sample_falls_into_the_first_bucket_that_holds_it),
        cmocka_unit_test(the_bounds_rise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
