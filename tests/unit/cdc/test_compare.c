/* SPDX-License-Identifier: Apache-2.0 */
#include "cdc/compare.h"

#include "base/attr.h"
#include "support/test.h"

/* Values in rising order, each of another type or of another value of the same type. */
static const char *const ladder[] = {
    "{\"$minKey\":1}",
    "{\"$undefined\":true}",
    "null",
    "{\"$numberDouble\":\"NaN\"}",
    "-1",
    "0",
    "{\"$numberDecimal\":\"0.1\"}",
    "2",
    "\"\"",
    "\"A\"",
    "\"a\"",
    "\"a\\u0000\"",
    "\"aa\"",
    "\"\xc3\xa9\"",
    "{}",
    "{\"a\":1}",
    "{\"a\":1,\"b\":1}",
    "{\"a\":2}",
    "{\"b\":1}",
    "{\"a\":\"\"}", /* the type goes before the name */
    "[]",
    "[1]",
    "[1,1]",
    "[2]",
    "[[]]",
    "{\"$binary\":{\"base64\":\"\",\"subType\":\"00\"}}",
    "{\"$binary\":{\"base64\":\"AQ==\",\"subType\":\"00\"}}",
    "{\"$binary\":{\"base64\":\"AA==\",\"subType\":\"80\"}}",
    "{\"$binary\":{\"base64\":\"AAA=\",\"subType\":\"00\"}}", /* the size goes first */
    "{\"$oid\":\"0123456789abcdef01234567\"}",
    "{\"$oid\":\"f123456789abcdef01234567\"}",
    "false",
    "true",
    "{\"$date\":{\"$numberLong\":\"-1\"}}",
    "{\"$date\":{\"$numberLong\":\"0\"}}",
    "{\"$timestamp\":{\"t\":1,\"i\":4294967295}}",
    "{\"$timestamp\":{\"t\":4294967295,\"i\":0}}",
    "{\"$regularExpression\":{\"pattern\":\"a\",\"options\":\"\"}}",
    "{\"$regularExpression\":{\"pattern\":\"a\",\"options\":\"i\"}}",
    "{\"$regularExpression\":{\"pattern\":\"aa\",\"options\":\"\"}}",
    "{\"$regularExpression\":{\"pattern\":\"b\",\"options\":\"\"}}",
    "{\"$dbPointer\":{\"$ref\":\"r\",\"$id\":{\"$oid\":\"0123456789abcdef01234567\"}}}",
    "{\"$code\":\"a\"}",
    "{\"$code\":\"aa\"}",
    "{\"$code\":\"b\"}",
    "{\"$code\":\"a\",\"$scope\":{}}",
    "{\"$maxKey\":1}",
};

static bson_t *parse(const char *value)
{
    char json[256];
    bson_error_t error;
    snprintf(json, sizeof json, "{\"v\":%s}", value);
    bson_t *doc = bson_new_from_json((const uint8_t *)json, -1, &error);
    if (!doc)
        fail_msg("%s: %s", value, error.message);
    return doc;
}

static int compare(const char *a, const char *b)
{
    bson_t *x = parse(a), *y = parse(b);
    bson_iter_t i, k;
    assert_true(bson_iter_init_find(&i, x, "v") && bson_iter_init_find(&k, y, "v"));
    int order = value_compare(&i, &k);
    bson_destroy(x);
    bson_destroy(y);
    return (order > 0) - (order < 0);
}

static void values_of_all_types_are_in_the_order_of_the_server(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(ladder); i++) {
        for (size_t k = 0; k < ARRAY_LEN(ladder); k++) {
            int expected = (i > k) - (i < k);
            if (compare(ladder[i], ladder[k]) != expected)
                fail_msg("%s against %s", ladder[i], ladder[k]);
        }
    }
}

static void symbols_are_strings(void **state)
{
    (void)state;
    assert_int_equal(compare("{\"$symbol\":\"a\"}", "\"a\""), 0);
    assert_int_equal(compare("{\"$symbol\":\"a\"}", "\"b\""), -1);
}

static void numbers_inside_of_documents_compare_by_value(void **state)
{
    (void)state;
    assert_int_equal(
        compare("{\"a\":[1,{\"b\":2}]}",
                "{\"a\":[{\"$numberDouble\":\"1\"},{\"b\":{\"$numberDecimal\":\"2.0\"}}]}"),
        0);
}

static void the_order_of_fields_counts(void **state)
{
    (void)state;
    assert_int_not_equal(compare("{\"a\":1,\"b\":2}", "{\"b\":2,\"a\":1}"), 0);
}

static void null_and_undefined_are_of_different_types(void **state)
{
    (void)state;
    bson_t *x = parse("null"), *y = parse("{\"$undefined\":true}");
    bson_iter_t i, k;
    assert_true(bson_iter_init_find(&i, x, "v") && bson_iter_init_find(&k, y, "v"));
    assert_false(value_comparable(&i, &k));
    assert_true(value_comparable(&i, &i));
    bson_destroy(x);
    bson_destroy(y);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_of_all_types_are_in_the_order_of_the_server),
        cmocka_unit_test(symbols_are_strings),
        cmocka_unit_test(numbers_inside_of_documents_compare_by_value),
        cmocka_unit_test(the_order_of_fields_counts),
        cmocka_unit_test(null_and_undefined_are_of_different_types),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
