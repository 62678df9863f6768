/* SPDX-License-Identifier: Apache-2.0 */
#include "cdc/number.h"

#include <inttypes.h>
#include <math.h>

#include "base/attr.h"
#include "support/test.h"

/* Numbers in rising order; those on one line are one value to MongoDB. Texts in extended JSON. */
static const char *const ladder[][6] = {
    {"{\"$numberDouble\":\"NaN\"}", "{\"$numberDecimal\":\"NaN\"}"},
    {"{\"$numberDouble\":\"-Infinity\"}", "{\"$numberDecimal\":\"-Infinity\"}"},
    {"{\"$numberDecimal\":\"-1E+400\"}", "{\"$numberDecimal\":\"-10E+399\"}"},
    {"{\"$numberDouble\":\"-1.7976931348623157e308\"}"},
    {"{\"$numberDecimal\":\"-9223372036854775809\"}"},
    {"{\"$numberLong\":\"-9223372036854775808\"}", "{\"$numberDouble\":\"-9223372036854775808\"}",
     "{\"$numberDecimal\":\"-9223372036854775808.00\"}"},
    {"{\"$numberLong\":\"-9223372036854775807\"}"},
    {"{\"$numberInt\":\"-1\"}", "{\"$numberDouble\":\"-1.0\"}", "{\"$numberDecimal\":\"-1.0\"}"},
    {"{\"$numberDecimal\":\"-0.1\"}"}, /* the double is a little further from zero */
    {"{\"$numberDouble\":\"-5e-324\"}"},
    {"{\"$numberDecimal\":\"-1E-400\"}"},
    {"{\"$numberInt\":\"0\"}", "{\"$numberLong\":\"0\"}", "{\"$numberDouble\":\"-0.0\"}",
     "{\"$numberDouble\":\"0.0\"}", "{\"$numberDecimal\":\"-0\"}",
     "{\"$numberDecimal\":\"0E+99\"}"},
    {"{\"$numberDecimal\":\"1E-6176\"}"},
    {"{\"$numberDouble\":\"5e-324\"}"},
    {"{\"$numberDecimal\":\"0.1\"}", "{\"$numberDecimal\":\"0.100\"}",
     "{\"$numberDecimal\":\"1E-1\"}"},
    {"{\"$numberDouble\":\"0.1\"}"},
    {"{\"$numberDouble\":\"0.5\"}", "{\"$numberDecimal\":\"0.50\"}"},
    {"{\"$numberInt\":\"1\"}", "{\"$numberLong\":\"1\"}", "{\"$numberDouble\":\"1.0\"}",
     "{\"$numberDecimal\":\"1\"}", "{\"$numberDecimal\":\"1.00\"}",
     "{\"$numberDecimal\":\"10E-1\"}"},
    {"{\"$numberLong\":\"9007199254740991\"}", "{\"$numberDouble\":\"9007199254740991\"}"},
    {"{\"$numberLong\":\"9007199254740992\"}", "{\"$numberDouble\":\"9007199254740992\"}"},
    {"{\"$numberLong\":\"9007199254740993\"}", "{\"$numberDecimal\":\"9007199254740993\"}"},
    {"{\"$numberDecimal\":\"9007199254740993.5\"}"},
    {"{\"$numberLong\":\"9007199254740994\"}", "{\"$numberDouble\":\"9007199254740994\"}"},
    {"{\"$numberLong\":\"9223372036854775806\"}"},
    {"{\"$numberLong\":\"9223372036854775807\"}", "{\"$numberDecimal\":\"9223372036854775807.0\"}"},
    {"{\"$numberDouble\":\"9223372036854775808\"}", "{\"$numberDecimal\":\"9223372036854775808\"}"},
    {"{\"$numberDecimal\":\"18446744073709551617\"}"},
    {"{\"$numberDouble\":\"1e23\"}"}, /* 9.9999999999999991611392E+22 */
    {"{\"$numberDecimal\":\"1E+23\"}"},
    {"{\"$numberDouble\":\"1.7976931348623157e308\"}"},
    {"{\"$numberDecimal\":\"1E+400\"}", "{\"$numberDecimal\":\"1000E+397\"}"},
    {"{\"$numberDecimal\":\"9.999999999999999999999999999999999E+6144\"}"},
    {"{\"$numberDouble\":\"Infinity\"}", "{\"$numberDecimal\":\"Infinity\"}"},
};

struct number {
    bson_t *doc;
    bson_iter_t iter;
    size_t rung;
    const char *text;
};

static size_t climb(struct number *numbers)
{
    size_t count = 0;
    for (size_t rung = 0; rung < ARRAY_LEN(ladder); rung++) {
        for (size_t i = 0; i < ARRAY_LEN(ladder[rung]) && ladder[rung][i]; i++) {
            struct number *number = &numbers[count++];
            char json[128];
            bson_error_t error;
            snprintf(json, sizeof json, "{\"n\":%s}", ladder[rung][i]);
            number->doc = bson_new_from_json((const uint8_t *)json, -1, &error);
            assert_non_null(number->doc);
            assert_true(bson_iter_init_find(&number->iter, number->doc, "n"));
            number->rung = rung;
            number->text = ladder[rung][i];
        }
    }
    return count;
}

static int sign(int order)
{
    return (order > 0) - (order < 0);
}

static void numbers_of_all_types_are_ordered_by_their_exact_value(void **state)
{
    (void)state;
    struct number numbers[ARRAY_LEN(ladder) * 6];
    size_t count = climb(numbers);
    for (size_t i = 0; i < count; i++) {
        assert_true(number_is(&numbers[i].iter));
        for (size_t k = 0; k < count; k++) {
            int expected = sign((int)numbers[i].rung - (int)numbers[k].rung);
            int found = sign(number_compare(&numbers[i].iter, &numbers[k].iter));
            if (found != expected)
                fail_msg("%s against %s is %d", numbers[i].text, numbers[k].text, found);
        }
    }
    for (size_t i = 0; i < count; i++)
        bson_destroy(numbers[i].doc);
}

static void equal_numbers_have_one_integer_double_or_decimal(void **state)
{
    (void)state;
    struct number numbers[ARRAY_LEN(ladder) * 6];
    size_t count = climb(numbers);
    for (size_t i = 0; i + 1 < count; i++) {
        if (numbers[i].rung != numbers[i + 1].rung)
            continue;
        int64_t a = 0, b = 0;
        assert_int_equal(number_as_int(&numbers[i].iter, &a),
                         number_as_int(&numbers[i + 1].iter, &b));
        assert_true(a == b);
        if (!BSON_ITER_HOLDS_DECIMAL128(&numbers[i].iter) ||
            !BSON_ITER_HOLDS_DECIMAL128(&numbers[i + 1].iter))
            continue;
        bson_decimal128_t x = number_decimal_normal(&numbers[i].iter);
        bson_decimal128_t y = number_decimal_normal(&numbers[i + 1].iter);
        assert_true(x.high == y.high && x.low == y.low);
    }
    for (size_t i = 0; i < count; i++)
        bson_destroy(numbers[i].doc);
}

struct integer_case {
    const char *json;
    bool is_int;
    int64_t number;
};

static void only_exact_integers_of_64_bits_are_integers(void **state)
{
    (void)state;
    static const struct integer_case cases[] = {
        {"{\"$numberDouble\":\"-0.0\"}", true, 0},
        {"{\"$numberDecimal\":\"-0.000\"}", true, 0},
        {"{\"$numberDecimal\":\"1.200E+3\"}", true, 1200},
        {"{\"$numberDecimal\":\"9223372036854775807\"}", true, INT64_MAX},
        {"{\"$numberDecimal\":\"-9223372036854775808\"}", true, INT64_MIN},
        {"{\"$numberDouble\":\"-9223372036854775808\"}", true, INT64_MIN},
        {"{\"$numberDecimal\":\"9223372036854775808\"}", false, 0},
        {"{\"$numberDecimal\":\"-9223372036854775809\"}", false, 0},
        {"{\"$numberDecimal\":\"9999999999999999999\"}", false, 0},
        {"{\"$numberDecimal\":\"1E+19\"}", false, 0},
        {"{\"$numberDecimal\":\"1E+6144\"}", false, 0},
        {"{\"$numberDecimal\":\"1.5\"}", false, 0},
        {"{\"$numberDouble\":\"9223372036854775808\"}", false, 0},
        {"{\"$numberDouble\":\"1e300\"}", false, 0},
        {"{\"$numberDouble\":\"0.5\"}", false, 0},
        {"{\"$numberDouble\":\"NaN\"}", false, 0},
        {"{\"$numberDouble\":\"-Infinity\"}", false, 0},
        {"{\"$numberDecimal\":\"NaN\"}", false, 0},
        {"{\"$numberDecimal\":\"Infinity\"}", false, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char json[128];
        bson_iter_t iter;
        int64_t number = 0;
        snprintf(json, sizeof json, "{\"n\":%s}", cases[i].json);
        bson_t *doc = bson_new_from_json((const uint8_t *)json, -1, NULL);
        assert_true(bson_iter_init_find(&iter, doc, "n"));
        if (number_as_int(&iter, &number) != cases[i].is_int ||
            (cases[i].is_int && number != cases[i].number))
            fail_msg("%s gave %" PRId64, cases[i].json, number);
        bson_destroy(doc);
    }
}

static void a_decimal_is_a_double_only_when_nothing_is_lost(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool exact;
        double number;
    } cases[] = {
        {"0.5", true, 0.5},
        {"0.500", true, 0.5},
        {"-2.25", true, -2.25},
        {"0.1", false, 0},
        {"1E+400", false, 0},
        {"1E-400", false, 0},
        {"1E+22", true, 1e22},
        {"1E+23", false, 0},
        {"Infinity", true, HUGE_VAL},
        {"-Infinity", true, -HUGE_VAL},
        {"9007199254740993", false, 0},
        {"0.1000000000000000055511151231257827", false, 0}, /* 34 digits of the 55 of 0.1 */
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        bson_t doc = BSON_INITIALIZER;
        bson_decimal128_t decimal;
        bson_iter_t iter;
        double number = 0;
        assert_true(bson_decimal128_from_string(cases[i].text, &decimal));
        bson_append_decimal128(&doc, "n", 1, &decimal);
        bson_iter_init_find(&iter, &doc, "n");
        bool exact = number_decimal_as_double(&iter, &number);
        if (exact != cases[i].exact ||
            (exact && !(number >= cases[i].number && number <= cases[i].number)))
            fail_msg("%s gave %d, %.17g", cases[i].text, exact, number);
        bson_destroy(&doc);
    }
}

static void what_is_no_number_is_none(void **state)
{
    (void)state;
    bson_t *doc = BCON_NEW("a", BCON_UTF8("1"), "b", BCON_BOOL(true), "c", BCON_DATE_TIME(1), "d",
                           BCON_NULL, "e", BCON_TIMESTAMP(1, 1));
    bson_iter_t iter;
    assert_true(bson_iter_init(&iter, doc));
    while (bson_iter_next(&iter))
        assert_false(number_is(&iter));
    bson_destroy(doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_of_all_types_are_ordered_by_their_exact_value),
        cmocka_unit_test(equal_numbers_have_one_integer_double_or_decimal),
        cmocka_unit_test(only_exact_integers_of_64_bits_are_integers),
        cmocka_unit_test(a_decimal_is_a_double_only_when_nothing_is_lost),
        cmocka_unit_test(what_is_no_number_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
