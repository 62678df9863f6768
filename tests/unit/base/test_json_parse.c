/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/limits.h"
#include "support/test.h"

static cJSON *parse(const char *text)
{
    struct err err;
    cJSON *node = json_parse(text, strlen(text), &err);
    if (!node)
        fail_msg("%s: %s", text, err.text);
    return node;
}

static void expect_refused(const char *text, size_t size, const char *problem)
{
    struct err err = {0};
    CLEANUP(cJSON_Deletep) cJSON *node = json_parse(text, size, &err);
    if (node)
        fail_msg("accepted %s", text);
    assert_int_equal(err.action, ERR_REJECT);
    assert_int_equal(err.domain, ERR_DATA);
    if (!strstr(err.text, problem))
        fail_msg("%s: expected \"%s\" in \"%s\"", text, problem, err.text);
}

static void expect_text(const char *text, const char *expected)
{
    CLEANUP(cJSON_Deletep) cJSON *node = parse(text);
    char *printed = json_print(node);
    assert_string_equal(printed, expected);
    free(printed);
}

static void reads_every_kind_of_value(void **state)
{
    (void)state;
    const char *text = " { \"a\" : [ 1 , -2.5e1 , true , false , null , \"s\" ] ,\r\n\t\"b\":{}, "
                       "\"c\":[] } ";
    expect_text(text, "{\"a\":[1,-25,true,false,null,\"s\"],\"b\":{},\"c\":[]}");
    expect_text("\"alone\"", "\"alone\"");
    expect_text("0", "0");
    expect_text("-0.0", "0");
    expect_text(" null\n", "null");
}

static void keeps_integers_beyond_2_53_exactly(void **state)
{
    (void)state;
    static const char text[] = "[9007199254740991,9007199254740992,9007199254740993,"
                               "-9007199254740993,9223372036854775807,-9223372036854775808,"
                               "18446744073709551615,123456789012345678901234567890]";
    expect_text(text, text);
    static const int64_t expected[] = {9007199254740991,  9007199254740992, 9007199254740993,
                                       -9007199254740993, INT64_MAX,        INT64_MIN};
    CLEANUP(cJSON_Deletep) cJSON *node = parse(text);
    for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
        int64_t integer = 0;
        assert_true(json_int(cJSON_GetArrayItem(node, (int)i), &integer));
        assert_true(integer == expected[i]);
    }
    int64_t integer = 0;
    assert_false(json_int(cJSON_GetArrayItem(node, 6), &integer));
    assert_false(json_int(cJSON_GetArrayItem(node, 7), &integer));
}

static void keeps_only_inexact_integers_as_raw_nodes(void **state)
{
    (void)state;
    CLEANUP(cJSON_Deletep)
    cJSON *node = parse("[9007199254740992,-9007199254740992,"
                        "9007199254740993,9007199254740993.0,1e20]");
    static const int types[] = {cJSON_Number, cJSON_Number, cJSON_Raw, cJSON_Number, cJSON_Number};
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        assert_int_equal(cJSON_GetArrayItem(node, (int)i)->type, types[i]);
}

static void does_not_take_digits_in_strings_for_integers(void **state)
{
    (void)state;
    static const char text[] =
        "{\"9007199254740993\":\"9007199254740993\",\"a\\\"1\":[9007199254740993,1]}";
    expect_text(text, text);
}

static void reads_numbers_of_any_length(void **state)
{
    (void)state;
    expect_text("0.1000000000000000055511151231257827021181583404541015625000000000000000000000001",
                "0.1");
    char digits[2001];
    memset(digits, '7', sizeof digits - 1);
    digits[sizeof digits - 1] = '\0';
    expect_text(digits, digits);
}

static void decodes_every_escape(void **state)
{
    (void)state;
    CLEANUP(cJSON_Deletep)
    cJSON *node = parse("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e9\\u20AC\\ud83d\\ude00\\uFFFF\"");
    assert_string_equal(node->valuestring, "\"\\/\b\f\n\r\tA\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"
                                           "\xef\xbf\xbf");
}

static void puts_a_replacement_character_for_nul(void **state)
{
    (void)state;
    CLEANUP(cJSON_Deletep) cJSON *node = parse("{\"a\\u0000b\":\"c\\u0000d\"}");
    assert_string_equal(node->child->string, "a\xef\xbf\xbd"
                                             "b");
    assert_string_equal(node->child->valuestring, "c\xef\xbf\xbd"
                                                  "d");
}

static void refuses_what_is_not_json(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",         " ",          "{",       "}",       "[",         "]",
        "[1",       "[1,",        "[1,]",    "[,1]",    "[1 2]",     "{\"a\"}",
        "{\"a\":}", "{\"a\":1,}", "{a:1}",   "{1:2}",   "{\"a\" 1}", "\"",
        "\"a",      "\"\\\"",     "\"\\x\"", "\"\\\"",  "\"\\u12\"", "\"\\u12g4\"",
        "\"\n\"",   "\"\t\"",     "'a'",     "tru",     "True",      "nul",
        "NaN",      "Infinity",   "-",       "+1",      "01",        "-01",
        "1.",       ".5",         "1e",      "1e+",     "0x10",      "1.e1",
        "1 2",      "{} {}",      "null,",   "// c\n1", "[1]]",      "\xef\xbb\xbf{}",
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        expect_refused(texts[i], strlen(texts[i]), "not JSON at byte ");
}

static void refuses_broken_unicode(void **state)
{
    (void)state;
    expect_refused("\"\xff\"", 3, "UTF-8");
    expect_refused("\"\xc3\"", 3, "UTF-8");
    expect_refused("\"\xc0\x80\"", 4, "UTF-8");
    expect_refused("\"\xed\xa0\x80\"", 5, "UTF-8");
    static const char *const lone[] = {"\"\\ud83d\"",        "\"\\ude00\"",
                                       "\"\\ud83dx\"",       "\"\\ud83d\\n\"",
                                       "\"\\ud83d\\ud83d\"", "\"\\ud83d\\u0041\""};
    for (size_t i = 0; i < ARRAY_LEN(lone); i++)
        expect_refused(lone[i], strlen(lone[i]), "escape");
}

static void refuses_numbers_that_no_double_can_hold(void **state)
{
    (void)state;
    expect_refused("1e400", 5, "too large");
    expect_refused("-1e400", 6, "too large");
    expect_text("1e-400", "0");
}

static void refuses_a_nul_byte(void **state)
{
    (void)state;
    expect_refused("1\0", 2, "behind the value");
    expect_refused("\"\0\"", 3, "control character");
}

static void reads_only_the_bytes_it_is_given(void **state)
{
    (void)state;
    static const char text[] = "{\"a\":[true,12,\"\\u0041\"]}";
    size_t size = strlen(text);
    for (size_t cut = 0; cut < size; cut++) {
        char *exact = malloc(cut ? cut : 1); /* so that AddressSanitizer sees an overrun */
        assert_non_null(exact);
        memcpy(exact, text, cut);
        expect_refused(exact, cut, "not JSON at byte ");
        free(exact);
    }
    CLEANUP(cJSON_Deletep) cJSON *node = json_parse("123456", 3, NULL);
    assert_non_null(node);
    assert_int_equal(node->valueint, 123);
}

static void says_where_the_text_goes_wrong(void **state)
{
    (void)state;
    expect_refused("[1,2,x]", 7, "not JSON at byte 5: a value was expected");
    expect_refused("{\"a\":1]", 7, "not JSON at byte 6: ',' or '}' was expected");
}

static char *nested(size_t depth)
{
    char *text = malloc(2 * depth + 1);
    assert_non_null(text);
    memset(text, '[', depth);
    memset(text + depth, ']', depth);
    text[2 * depth] = '\0';
    return text;
}

static void bounds_the_depth(void **state)
{
    (void)state;
    char *deepest = nested(LIMIT_JSON_DEPTH);
    expect_text(deepest, deepest);
    free(deepest);
    char *deeper = nested(LIMIT_JSON_DEPTH + 1);
    expect_refused(deeper, strlen(deeper), "nested too deeply");
    free(deeper);
    size_t size = 1000000;
    char *hostile = malloc(size);
    assert_non_null(hostile);
    memset(hostile, '[', size);
    expect_refused(hostile, size, "nested too deeply");
    free(hostile);
}

static void siblings_do_not_count_as_depth(void **state)
{
    (void)state;
    CLEANUP(buf_fini) struct buf text = BUF_INIT(MIB);
    buf_putc(&text, '[');
    for (int i = 0; i < LIMIT_JSON_DEPTH * 3; i++)
        buf_puts(&text, i ? ",{}" : "[]");
    buf_putc(&text, ']');
    CLEANUP(cJSON_Deletep) cJSON *node = json_parse(text.data, text.size, NULL);
    assert_int_equal(cJSON_GetArraySize(node), LIMIT_JSON_DEPTH * 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_kind_of_value),
        cmocka_unit_test(keeps_integers_beyond_2_53_exactly),
        cmocka_unit_test(keeps_only_inexact_integers_as_raw_nodes),
        cmocka_unit_test(does_not_take_digits_in_strings_for_integers),
        cmocka_unit_test(reads_numbers_of_any_length),
        cmocka_unit_test(decodes_every_escape),
        cmocka_unit_test(puts_a_replacement_character_for_nul),
        cmocka_unit_test(refuses_what_is_not_json),
        cmocka_unit_test(refuses_broken_unicode),
        cmocka_unit_test(refuses_numbers_that_no_double_can_hold),
        cmocka_unit_test(refuses_a_nul_byte),
        cmocka_unit_test(reads_only_the_bytes_it_is_given),
        cmocka_unit_test(says_where_the_text_goes_wrong),
        cmocka_unit_test(bounds_the_depth),
        cmocka_unit_test(siblings_do_not_count_as_depth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
