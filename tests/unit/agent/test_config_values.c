/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/config/config_values.h"
#include "base/limits.h"
#include "support/test.h"

static void kinds_follow_the_core_schema(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum config_kind kind;
    } cases[] = {
        {"", KIND_NULL},      {"~", KIND_NULL},        {"Null", KIND_NULL},
        {"nULL", KIND_TEXT},  {"true", KIND_BOOL},     {"FALSE", KIND_BOOL},
        {"yes", KIND_TEXT},   {"on", KIND_TEXT},       {"12", KIND_INT},
        {"-12", KIND_INT},    {"+1", KIND_INT},        {"0x1F", KIND_INT},
        {"0o17", KIND_INT},   {"0x", KIND_TEXT},       {"0b1", KIND_TEXT},
        {"1_000", KIND_TEXT}, {"1.", KIND_FLOAT},      {".5", KIND_FLOAT},
        {"1e3", KIND_FLOAT},  {"-1.5E-3", KIND_FLOAT}, {".", KIND_TEXT},
        {"1e", KIND_TEXT},    {".inf", KIND_FLOAT},    {"-.Inf", KIND_FLOAT},
        {".NaN", KIND_FLOAT}, {"1.2.3", KIND_TEXT},    {"-", KIND_TEXT},
        {"+", KIND_TEXT},     {"1:30", KIND_TEXT},     {"2025-01-01", KIND_TEXT},
        {"e5", KIND_TEXT},    {" 1", KIND_TEXT},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        if (config_value_kind(cases[i].text) != cases[i].kind)
            fail_msg("\"%s\" is of kind %d", cases[i].text, (int)config_value_kind(cases[i].text));
    }
}

static void whole_numbers_are_exact(void **state)
{
    (void)state;
    int64_t number = 0;
    assert_true(config_value_int("9223372036854775807", &number) && number == INT64_MAX);
    assert_true(config_value_int("-9223372036854775808", &number) && number == INT64_MIN);
    assert_false(config_value_int("9223372036854775808", &number));
    assert_true(config_value_int("0x10", &number) && number == 16);
    assert_true(config_value_int("0o10", &number) && number == 8);
    assert_true(config_value_int("010", &number) && number == 10);
    assert_false(config_value_int("1.0", &number));
    assert_false(config_value_int("", &number));
}

static void numbers_are_finite(void **state)
{
    (void)state;
    double number = 0;
    assert_true(config_value_number("0.5", &number) && number > 0.49 && number < 0.51);
    assert_true(config_value_number("3", &number) && number > 2.9);
    assert_false(config_value_number(".inf", &number));
    assert_false(config_value_number("1e999", &number));
    assert_false(config_value_number("0.5x", &number));
}

static void expect_duration(const char *text, int64_t ms)
{
    int64_t found = 0;
    if (!config_value_duration(text, &found) || found != ms)
        fail_msg("%s is %lld ms", text, (long long)found);
}

static void durations_take_ms_s_m_h_d(void **state)
{
    (void)state;
    expect_duration("500ms", 500);
    expect_duration("30s", 30000);
    expect_duration("5m", 300000);
    expect_duration("72h", 259200000);
    expect_duration("7d", 604800000);
    expect_duration("0", 0);
    expect_duration("0s", 0);
    static const char *const bad[] = {"",
                                      "5",
                                      "s",
                                      "-5s",
                                      "+5s",
                                      "5 s",
                                      "1.5h",
                                      "1h30m",
                                      "5S",
                                      "1w",
                                      "99999999999999999999s",
                                      "9223372036854775807d"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        int64_t ms = 0;
        if (config_value_duration(bad[i], &ms))
            fail_msg("%s is taken for %lld ms", bad[i], (long long)ms);
    }
}

static void sizes_take_kib_mib_gib(void **state)
{
    (void)state;
    int64_t bytes = 0;
    assert_true(config_value_size("1KiB", &bytes) && bytes == 1024);
    assert_true(config_value_size("64MiB", &bytes) && bytes == 64LL * 1024 * 1024);
    assert_true(config_value_size("2GiB", &bytes) && bytes == 2LL * 1024 * 1024 * 1024);
    assert_true(config_value_size("100", &bytes) && bytes == 100);
    assert_false(config_value_size("1KB", &bytes));
    assert_false(config_value_size("1 KiB", &bytes));
    assert_false(config_value_size("9223372036854775807KiB", &bytes));
}

static void durations_and_sizes_are_written_as_they_are_read(void **state)
{
    (void)state;
    static const char *const durations[] = {"0s", "1ms", "1500ms", "90s", "90m", "36h", "7d"};
    static const char *const sizes[] = {"0", "1", "1025", "1KiB", "64MiB", "1025MiB", "2GiB"};
    for (size_t i = 0; i < ARRAY_LEN(durations); i++) {
        CLEANUP(buf_fini) struct buf text = BUF_INIT(KIB);
        int64_t number = 0;
        assert_true(config_value_duration(durations[i], &number));
        config_value_write_duration(&text, number);
        assert_string_equal(buf_str(&text), durations[i]);
        buf_clear(&text);
        assert_true(config_value_size(sizes[i], &number));
        config_value_write_size(&text, number);
        assert_string_equal(buf_str(&text), sizes[i]);
    }
}

static void names_fields_and_databases_are_told_apart(void **state)
{
    (void)state;
    assert_true(config_value_is_name("v2025-08-12_a.b"));
    assert_false(config_value_is_name(".a"));
    assert_false(config_value_is_name("a b"));
    assert_false(config_value_is_name("\xc3\xa4"));
    assert_false(config_value_is_name(""));
    assert_true(config_value_is_field("a.0.b c"));
    assert_false(config_value_is_field("a."));
    assert_false(config_value_is_field("a.$b"));
    assert_false(config_value_is_field(""));
    assert_true(config_value_is_database("my-db_1"));
    assert_false(config_value_is_database("my.db"));
    assert_false(config_value_is_database(""));
}

static void addresses_have_a_host_and_a_port(void **state)
{
    (void)state;
    struct config_address address;
    assert_true(config_value_address("127.0.0.1:7700", &address));
    assert_string_equal(address.host, "127.0.0.1");
    assert_int_equal(address.port, 7700);
    assert_true(config_value_is_loopback(&address));
    assert_true(config_value_address("[::1]:80", &address));
    assert_string_equal(address.host, "::1");
    assert_true(config_value_is_loopback(&address));
    assert_true(config_value_address("10.0.0.1:80", &address));
    assert_false(config_value_is_loopback(&address));
    assert_true(config_value_address("localhost.example:80", &address));
    assert_false(config_value_is_loopback(&address));
    static const char *const bad[] = {"",        ":80",   "host",       "host:", "host:0",
                                      "h:65536", "h:x",   "::1:80",     "[]:80", "[::1]",
                                      "h:0x50",  "a b:1", "http://h:1", "h:-1",  "h:+1"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        if (config_value_address(bad[i], &address))
            fail_msg("%s is taken for an address", bad[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kinds_follow_the_core_schema),
        cmocka_unit_test(whole_numbers_are_exact),
        cmocka_unit_test(numbers_are_finite),
        cmocka_unit_test(durations_take_ms_s_m_h_d),
        cmocka_unit_test(sizes_take_kib_mib_gib),
        cmocka_unit_test(durations_and_sizes_are_written_as_they_are_read),
        cmocka_unit_test(names_fields_and_databases_are_told_apart),
        cmocka_unit_test(addresses_have_a_host_and_a_port),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
