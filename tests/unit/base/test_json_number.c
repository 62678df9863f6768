/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json_number.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "support/test.h"

static double of_bits(uint64_t bits)
{
    double number = 0;
    memcpy(&number, &bits, sizeof number);
    return number;
}

struct vector {
    uint64_t bits;
    const char *text;
};

static void expect_all(const struct vector *vectors, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char text[JSON_NUMBER_TEXT_SIZE];
        json_number_format(of_bits(vectors[i].bits), text);
        assert_string_equal(text, vectors[i].text);
    }
}

static void agrees_with_appendix_b_of_rfc_8785(void **state)
{
    (void)state;
    static const struct vector vectors[] = {
        {0x0000000000000000, "0"},
        {0x8000000000000000, "0"},
        {0x0000000000000001, "5e-324"},
        {0x8000000000000001, "-5e-324"},
        {0x7fefffffffffffff, "1.7976931348623157e+308"},
        {0xffefffffffffffff, "-1.7976931348623157e+308"},
        {0x4340000000000000, "9007199254740992"},
        {0xc340000000000000, "-9007199254740992"},
        {0x4430000000000000, "295147905179352830000"},
        {0x44b52d02c7e14af5, "9.999999999999997e+22"},
        {0x44b52d02c7e14af6, "1e+23"},
        {0x44b52d02c7e14af7, "1.0000000000000001e+23"},
        {0x444b1ae4d6e2ef4e, "999999999999999700000"},
        {0x444b1ae4d6e2ef4f, "999999999999999900000"},
        {0x444b1ae4d6e2ef50, "1e+21"},
        {0x3eb0c6f7a0b5ed8c, "9.999999999999997e-7"},
        {0x3eb0c6f7a0b5ed8d, "0.000001"},
        {0x41b3de4355555553, "333333333.3333332"},
        {0x41b3de4355555554, "333333333.33333325"},
        {0x41b3de4355555555, "333333333.3333333"},
        {0x41b3de4355555556, "333333333.3333334"},
        {0x41b3de4355555557, "333333333.33333343"},
        {0xbecbf647612f3696, "-0.0000033333333333333333"},
        {0x43143ff3c1cb0959, "1424953923781206.2"},
    };
    expect_all(vectors, ARRAY_LEN(vectors));
}

/* From es6testfile100m.txt of the RFC's author, and the powers of two that printf gets wrong. */
static void finds_the_shortest_text_at_the_edges(void **state)
{
    (void)state;
    static const struct vector vectors[] = {
        {0x3d30000000000000, "5.684341886080802e-14"}, /* 2^-44 */
        {0x0010000000000000, "2.2250738585072014e-308"},
        {0x000fffffffffffff, "2.225073858507201e-308"},
        {0x0008000000000000, "1.1125369292536007e-308"},
        {0x3ff0000000000000, "1"},
        {0xc024000000000000, "-10"},
        {0x3fb999999999999a, "0.1"},
        {0x3fd3333333333334, "0.30000000000000004"},
        {0x4341c37937e08000, "10000000000000000"},
        {0x3ff0000000000001, "1.0000000000000002"},
        {0x3feffffffffffff9, "0.9999999999999992"},
        {0x3f50624dd2f1a9fc, "0.001"},
        {0x3e7ad7f29abcaf48, "1e-7"},
        {0x433fffffffffffff, "9007199254740991"},
    };
    expect_all(vectors, ARRAY_LEN(vectors));
}

static size_t digits_of(const char *text)
{
    size_t count = 0;
    for (; *text && *text != 'e'; text++)
        count += *text >= '0' && *text <= '9' && (count || *text != '0');
    return count;
}

static void reads_back_as_the_same_double(void **state)
{
    (void)state;
    uint64_t bits = 88172645463325252;
    for (int i = 0; i < 200000; i++) {
        bits ^= bits << 13;
        bits ^= bits >> 7;
        bits ^= bits << 17;
        double number = of_bits(bits);
        if (!isfinite(number))
            continue;
        char text[JSON_NUMBER_TEXT_SIZE];
        json_number_format(number, text);
        double again = strtod(text, NULL);
        assert_memory_equal(&again, &number, sizeof number);
        assert_true(strchr(text, 'e') == NULL || digits_of(text) <= 17);
    }
}

static void writes_every_power_of_two_and_ten(void **state)
{
    (void)state;
    for (int exponent = -1074; exponent < 1024; exponent++) {
        char text[JSON_NUMBER_TEXT_SIZE];
        json_number_format(ldexp(1, exponent), text);
        assert_true(strtod(text, NULL) == ldexp(1, exponent));
    }
    for (int exponent = -323; exponent <= 308; exponent++) {
        char literal[16];
        char text[JSON_NUMBER_TEXT_SIZE];
        snprintf(literal, sizeof literal, "1e%d", exponent);
        json_number_format(strtod(literal, NULL), text);
        assert_true(strtod(text, NULL) == strtod(literal, NULL));
        assert_int_equal(text[exponent < 0 && exponent > -7 ? strlen(text) - 1 : 0], '1');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_appendix_b_of_rfc_8785),
        cmocka_unit_test(finds_the_shortest_text_at_the_edges),
        cmocka_unit_test(reads_back_as_the_same_double),
        cmocka_unit_test(writes_every_power_of_two_and_ten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
