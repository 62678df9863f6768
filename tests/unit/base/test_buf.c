/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "support/test.h"

static void is_an_empty_string_before_the_first_byte(void **state)
{
    (void)state;
    struct buf buf = BUF_INIT(10);
    assert_string_equal(buf_str(&buf), "");
    assert_null(buf.data);
    buf_fini(&buf);
    buf_fini(&buf); /* twice does no harm */
}

static void grows_and_ends_with_a_nul(void **state)
{
    (void)state;
    CLEANUP(buf_fini) struct buf buf = BUF_INIT(100000);
    for (int i = 0; i < 10000; i++) {
        buf_putc(&buf, 'a');
        assert_int_equal(strlen(buf_str(&buf)), buf.size);
    }
    buf_puts(&buf, "bc");
    buf_printf(&buf, "%d%s", 12, "");
    buf_append(&buf, "\0x", 2);
    assert_int_equal(buf.size, 10006);
    assert_memory_equal(buf.data + 9999, "abc12\0x", 8);
    assert_false(buf.overflow);
}

static void integers_are_written_as_printf_writes_them(void **state)
{
    (void)state;
    static const int64_t numbers[] = {
        0, 1, -1, 9, 10, -10, 99, 100, INT32_MAX, INT32_MIN, INT64_MAX - 1, INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        CLEANUP(buf_fini) struct buf fast = BUF_INIT(100);
        CLEANUP(buf_fini) struct buf plain = BUF_INIT(100);
        buf_putint(&fast, numbers[i]);
        buf_printf(&plain, "%lld", (long long)numbers[i]);
        assert_string_equal(buf_str(&fast), buf_str(&plain));
    }
}

static void bytes_are_written_in_hexadecimal(void **state)
{
    (void)state;
    CLEANUP(buf_fini) struct buf buf = BUF_INIT(8);
    buf_puthex(&buf, "", 0);
    assert_string_equal(buf_str(&buf), "");
    buf_puthex(&buf, "\x00\x9f\xf9", 3);
    assert_string_equal(buf_str(&buf), "009ff9");
    buf_puthex(&buf, "\x01\x02", 2);
    assert_true(buf.overflow);
    assert_string_equal(buf_str(&buf), "009ff9");
}

static void holds_exactly_its_maximum(void **state)
{
    (void)state;
    CLEANUP(buf_fini) struct buf buf = BUF_INIT(5);
    buf_puts(&buf, "12345");
    assert_false(buf.overflow);
    assert_string_equal(buf_str(&buf), "12345");
    buf_append(&buf, "", 0);
    assert_false(buf.overflow);
    buf_putc(&buf, '6');
    assert_true(buf.overflow);
    assert_string_equal(buf_str(&buf), "12345");
}

static void leaves_no_gap_after_an_overflow(void **state)
{
    (void)state;
    CLEANUP(buf_fini) struct buf buf = BUF_INIT(5);
    buf_puts(&buf, "abc");
    buf_puts(&buf, "too long");
    buf_putc(&buf, 'd'); /* would fit, but what stood before it is missing */
    assert_string_equal(buf_str(&buf), "abc");
    assert_null(buf_extend(&buf, 1));
    buf_printf(&buf, "%d", 1);
    assert_string_equal(buf_str(&buf), "abc");
    buf_clear(&buf);
    assert_false(buf.overflow);
    buf_puts(&buf, "again");
    assert_string_equal(buf_str(&buf), "again");
}

static void refuses_sizes_that_would_wrap_around(void **state)
{
    (void)state;
    CLEANUP(buf_fini) struct buf buf = BUF_INIT(1000);
    buf_puts(&buf, "x");
    assert_null(buf_extend(&buf, SIZE_MAX));
    assert_true(buf.overflow);
    assert_int_equal(buf.size, 1);
}

static void extends_by_bytes_that_the_caller_fills(void **state)
{
    (void)state;
    CLEANUP(buf_fini) struct buf buf = BUF_INIT(1000);
    buf_puts(&buf, "ab");
    char *added = buf_extend(&buf, 3);
    assert_non_null(added);
    memcpy(added, "cde", 3);
    assert_string_equal(buf_str(&buf), "abcde");
}

static void hands_its_bytes_over(void **state)
{
    (void)state;
    struct buf buf = BUF_INIT(1000);
    buf_puts(&buf, "mine");
    size_t size = 0;
    char *bytes = buf_take(&buf, &size);
    assert_string_equal(bytes, "mine");
    assert_int_equal(size, 4);
    assert_null(buf.data);
    assert_int_equal(buf.max_size, 1000);
    free(bytes);
    bytes = buf_take(&buf, NULL);
    assert_string_equal(bytes, "");
    free(bytes);
}

static void keeps_its_memory_when_cleared(void **state)
{
    (void)state;
    CLEANUP(buf_fini) struct buf buf = BUF_INIT(1000);
    buf_puts(&buf, "first");
    const char *data = buf.data;
    buf_clear(&buf);
    assert_string_equal(buf_str(&buf), "");
    buf_puts(&buf, "again");
    assert_ptr_equal(buf.data, data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_an_empty_string_before_the_first_byte),
        cmocka_unit_test(grows_and_ends_with_a_nul),
        cmocka_unit_test(integers_are_written_as_printf_writes_them),
        cmocka_unit_test(bytes_are_written_in_hexadecimal),
        cmocka_unit_test(holds_exactly_its_maximum),
        cmocka_unit_test(leaves_no_gap_after_an_overflow),
        cmocka_unit_test(refuses_sizes_that_would_wrap_around),
        cmocka_unit_test(extends_by_bytes_that_the_caller_fills),
        cmocka_unit_test(hands_its_bytes_over),
        cmocka_unit_test(keeps_its_memory_when_cleared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
