/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include "base/attr.h"
#include "support/test.h"

static uint64_t fixed_random_value;

static uint64_t fixed_random(void)
{
    return fixed_random_value;
}

static int64_t fixed_mono_us(void)
{
    return 1234567;
}

static int64_t fixed_wall_ms(void)
{
    return 42;
}

static int64_t slept_ms;

static void count_sleep(int64_t ms)
{
    slept_ms += ms;
}

static int64_t waited_ms;

static void count_wait(pthread_cond_t *condition, pthread_mutex_t *lock, int64_t ms)
{
    (void)condition;
    (void)lock;
    waited_ms += ms;
}

static int real_clock_again(void **state)
{
    (void)state;
    clock_use(NULL);
    return 0;
}

static void never_goes_back(void **state)
{
    (void)state;
    int64_t before = clock_mono_us();
    for (int i = 0; i < 1000; i++) {
        int64_t now = clock_mono_us();
        assert_true(now >= before);
        before = now;
    }
    assert_true(clock_mono_ms() >= before / 1000);
    assert_true(clock_wall_ms() > INT64_C(1700000000000));
}

static void tests_can_make_it_stand_still(void **state)
{
    (void)state;
    clock_use(&(struct clock_ops){.mono_us = fixed_mono_us,
                                  .wall_ms = fixed_wall_ms,
                                  .sleep_ms = count_sleep,
                                  .random = fixed_random});
    assert_int_equal(clock_mono_us(), 1234567);
    assert_int_equal(clock_mono_ms(), 1234);
    assert_int_equal(clock_wall_ms(), 42);
    slept_ms = 0;
    clock_sleep_ms(3600000);
    clock_sleep_ms(0);
    clock_sleep_ms(-5);
    assert_int_equal(slept_ms, 3600000);
    fixed_random_value = 0x0123456789abcdef;
    assert_true(random_u64() == fixed_random_value);
}

static void a_test_decides_how_long_a_condition_is_waited_for(void **state)
{
    (void)state;
    clock_use(&(struct clock_ops){.wait = count_wait});
    waited_ms = 0;
    clock_wait(NULL, NULL, 3600000);
    clock_wait(NULL, NULL, -5);
    assert_int_equal(waited_ms, 3600000);
}

struct signalled {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool is_set;
};

static void *set_it(void *context)
{
    struct signalled *signalled = context;
    pthread_mutex_lock(&signalled->lock);
    signalled->is_set = true;
    pthread_cond_signal(&signalled->changed);
    pthread_mutex_unlock(&signalled->lock);
    return NULL;
}

static void a_wait_ends_with_the_signal_or_with_its_time(void **state)
{
    (void)state;
    struct signalled signalled = {.lock = PTHREAD_MUTEX_INITIALIZER};
    pthread_t thread;
    clock_cond_init(&signalled.changed);
    pthread_mutex_lock(&signalled.lock);
    int64_t before_ms = clock_mono_ms();
    while (clock_mono_ms() < before_ms + 20)
        clock_wait(&signalled.changed, &signalled.lock, before_ms + 20 - clock_mono_ms());
    assert_int_equal(pthread_create(&thread, NULL, set_it, &signalled), 0);
    while (!signalled.is_set)
        clock_wait(&signalled.changed, &signalled.lock, 3600000); /* the test's own limit is less */
    pthread_mutex_unlock(&signalled.lock);
    pthread_join(thread, NULL);
    pthread_cond_destroy(&signalled.changed);
}

static void slots_left_empty_stay_real(void **state)
{
    (void)state;
    clock_use(&(struct clock_ops){.wall_ms = fixed_wall_ms});
    assert_int_equal(clock_wall_ms(), 42);
    assert_int_not_equal(random_u64(), random_u64());
    clock_use(NULL);
    assert_int_not_equal(clock_wall_ms(), 42);
}

static void formats_wall_time_as_utc(void **state)
{
    (void)state;
    char text[32];
    clock_format(INT64_C(1754991000123), text);
    assert_string_equal(text, "2025-08-12T09:30:00.123Z");
    clock_format(0, text);
    assert_string_equal(text, "1970-01-01T00:00:00.000Z");
    clock_format(-1, text);
    assert_string_equal(text, "1969-12-31T23:59:59.999Z");
    clock_format(INT64_C(951782400000), text);
    assert_string_equal(text, "2000-02-29T00:00:00.000Z");
}

static int64_t parsed(const char *text)
{
    int64_t wall_ms = INT64_MIN;
    assert_true(clock_parse(text, &wall_ms));
    return wall_ms;
}

static void reads_times_of_rfc_3339(void **state)
{
    (void)state;
    assert_int_equal(parsed("2025-08-12T09:30:00.123Z"), INT64_C(1754991000123));
    assert_int_equal(parsed("2025-08-12t09:30:00z"), INT64_C(1754991000000));
    assert_int_equal(parsed("2025-08-12 11:30:00+02:00"), INT64_C(1754991000000));
    assert_int_equal(parsed("2025-08-12T04:00:00.5-05:30"), INT64_C(1754991000500));
    assert_int_equal(parsed("2025-08-12T09:30:00.1234567Z"), INT64_C(1754991000123));
    assert_int_equal(parsed("2000-02-29T00:00:00Z"), INT64_C(951782400000));
    assert_int_equal(parsed("1969-12-31T23:59:59.999Z"), -1);
}

static void refuses_what_is_no_time(void **state)
{
    (void)state;
    static const char *const TEXTS[] = {
        "",
        "yesterday",
        "2025-08-12",
        "2025-08-12T09:30:00",
        "2025-08-12T09:30Z",
        "2025-8-12T09:30:00Z",
        "2025-02-29T09:30:00Z",
        "2025-13-01T09:30:00Z",
        "2025-00-01T09:30:00Z",
        "2025-08-00T09:30:00Z",
        "2025-08-12T24:00:00Z",
        "2025-08-12T09:60:00Z",
        "2025-08-12T09:30:61Z",
        "2025-08-12T09:30:00.Z",
        "2025-08-12T09:30:00+2:00",
        "2025-08-12T09:30:00+02:60",
        "2025-08-12T09:30:00+0200",
        "2025-08-12T09:30:00Z ",
        "-025-08-12T09:30:00Z",
        "\xff",
    };
    int64_t wall_ms;
    for (size_t i = 0; i < ARRAY_LEN(TEXTS); i++) {
        if (clock_parse(TEXTS[i], &wall_ms))
            fail_msg("'%s' was taken for a time", TEXTS[i]);
    }
}

static void keeps_the_shape_at_the_ends_of_time(void **state)
{
    (void)state;
    char text[32];
    clock_format(INT64_MAX, text);
    assert_string_equal(text, "9999-12-31T23:59:59.999Z");
    clock_format(INT64_MIN, text);
    assert_string_equal(text, "1000-01-01T00:00:00.000Z");
}

static void writes_random_bytes_as_hex(void **state)
{
    (void)state;
    char a[33];
    char b[33];
    random_hex(a, 16);
    random_hex(b, 16);
    assert_int_equal(strlen(a), 32);
    assert_int_equal(strspn(a, "0123456789abcdef"), 32);
    assert_string_not_equal(a, b);
    random_hex(a, 0);
    assert_string_equal(a, "");
    clock_use(&(struct clock_ops){.random = fixed_random});
    fixed_random_value = 0x0706050403020100;
    random_hex(a, 10);
    assert_string_equal(a, "00010203040506070001");
}

static void backs_off_between_half_and_the_whole(void **state)
{
    (void)state;
    for (unsigned attempt = 0; attempt < 80; attempt++) {
        int64_t whole = attempt < 7 ? INT64_C(100) << attempt : 10000;
        int64_t delay = backoff_ms(attempt, 100, 10000);
        assert_true(delay >= whole / 2);
        assert_true(delay <= whole);
    }
}

static void backs_off_over_the_full_range(void **state)
{
    (void)state;
    clock_use(&(struct clock_ops){.random = fixed_random});
    fixed_random_value = 0;
    assert_int_equal(backoff_ms(0, 100, 1000), 50);
    fixed_random_value = 50;
    assert_int_equal(backoff_ms(0, 100, 1000), 100);
    fixed_random_value = 0;
    assert_int_equal(backoff_ms(UINT32_MAX, 1, INT64_MAX), INT64_MAX / 2);
    assert_int_equal(backoff_ms(5, 0, 1000), 0);
    assert_int_equal(backoff_ms(5, 2000, 1000), 500);
    assert_int_equal(backoff_ms(0, 0, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(never_goes_back, real_clock_again),
        cmocka_unit_test_teardown(tests_can_make_it_stand_still, real_clock_again),
        cmocka_unit_test_teardown(a_test_decides_how_long_a_condition_is_waited_for,
                                  real_clock_again),
        cmocka_unit_test_teardown(a_wait_ends_with_the_signal_or_with_its_time, real_clock_again),
        cmocka_unit_test_teardown(slots_left_empty_stay_real, real_clock_again),
        cmocka_unit_test_teardown(formats_wall_time_as_utc, real_clock_again),
        cmocka_unit_test(reads_times_of_rfc_3339),
        cmocka_unit_test(refuses_what_is_no_time),
        cmocka_unit_test_teardown(keeps_the_shape_at_the_ends_of_time, real_clock_again),
        cmocka_unit_test_teardown(writes_random_bytes_as_hex, real_clock_again),
        cmocka_unit_test_teardown(backs_off_between_half_and_the_whole, real_clock_again),
        cmocka_unit_test_teardown(backs_off_over_the_full_range, real_clock_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
