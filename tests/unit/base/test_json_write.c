/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "support/test.h"

static void expect_canonical(const char *text, const char *expected)
{
    struct err err;
    CLEANUP(cJSON_Deletep) cJSON *node = json_parse(text, strlen(text), &err);
    if (!node)
        fail_msg("%s", err.text);
    char *canonical = json_canonical(node);
    assert_string_equal(canonical, expected);
    free(canonical);
}

/* RFC 8785, 3.2.2 and 3.2.3. */
static void makes_the_canonical_form_of_the_rfc_example(void **state)
{
    (void)state;
    expect_canonical(
        "{\n  \"numbers\": [333333333.33333329, 1E30, 4.50,\n              2e-3, "
        "0.000000000000000000000000001],\n"
        "  \"string\": \"\\u20ac$\\u000F\\u000aA'\\u0042\\u0022\\u005c\\\\\\\"\\/\",\n"
        "  \"literals\": [null, true, false]\n}",
        "{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],"
        "\"string\":\"\xe2\x82\xac$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}");
}

/* RFC 8785, 3.2.3: the order of UTF-16 is not the order of UTF-8. */
static void sorts_members_by_utf_16_code_units(void **state)
{
    (void)state;
    expect_canonical("{\"\\u20ac\":\"Euro Sign\",\"\\r\":\"Carriage Return\","
                     "\"\\ufb33\":\"Hebrew Letter Dalet With Dagesh\",\"1\":\"One\","
                     "\"\\ud83d\\ude00\":\"Emoji: Grinning Face\",\"\\u0080\":\"Control\","
                     "\"\\u00f6\":\"Latin Small Letter O With Diaeresis\"}",
                     "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\xc2\x80\":\"Control\","
                     "\"\xc3\xb6\":\"Latin Small Letter O With Diaeresis\","
                     "\"\xe2\x82\xac\":\"Euro Sign\","
                     "\"\xf0\x9f\x98\x80\":\"Emoji: Grinning Face\","
                     "\"\xef\xac\xb3\":\"Hebrew Letter Dalet With Dagesh\"}");
    expect_canonical("{\"\\ue000\":1,\"\\ud800\\udc00\":2,\"\\ud7ff\":3}",
                     "{\"\xed\x9f\xbf\":3,\"\xf0\x90\x80\x80\":2,\"\xee\x80\x80\":1}");
}

static void sorts_members_at_every_level(void **state)
{
    (void)state;
    expect_canonical(
        "{\"b\":[{\"z\":1,\"a\":{\"y\":2,\"x\":3}}],\"a\":{},\"\":0,\"aa\":1,\"A\":[]}",
        "{\"\":0,\"A\":[],\"a\":{},\"aa\":1,\"b\":[{\"a\":{\"x\":3,\"y\":2},\"z\":1}]}");
}

static void keeps_large_integers_in_the_canonical_form(void **state)
{
    (void)state;
    expect_canonical("[ 9223372036854775807, -9007199254740993, 1.0, 1e2 ]",
                     "[9223372036854775807,-9007199254740993,1,100]");
}

static void prints_in_the_order_of_insertion(void **state)
{
    (void)state;
    CLEANUP(cJSON_Deletep) cJSON *object = json_object();
    json_add_int(object, "z", 1);
    json_add_string(object, "a", "\x7f\x1f\n\"\\/");
    cJSON *array = json_array();
    json_append(array, cJSON_CreateNumber(0.1 + 0.2));
    json_append(array, json_object());
    json_add(object, "list", array);
    char *text = json_print(object);
    assert_string_equal(text, "{\"z\":1,\"a\":\"\x7f\\u001f\\n\\\"\\\\/\","
                              "\"list\":[0.30000000000000004,{}]}");
    free(text);
}

static void replaces_invalid_utf_8(void **state)
{
    (void)state;
    CLEANUP(buf_fini) struct buf out = BUF_INIT(1000);
    json_write_string(&out, "a\xff\xe2\x82\"\xc3\xa9\0", 8);
    assert_string_equal(buf_str(&out), "\"a\xef\xbf\xbd\xef\xbf\xbd\\\"\xc3\xa9\\u0000\"");
}

static void writes_strings_that_read_back_the_same(void **state)
{
    (void)state;
    char bytes[128];
    for (int i = 1; i < 128; i++)
        bytes[i - 1] = (char)i;
    bytes[127] = '\0';
    CLEANUP(buf_fini) struct buf out = BUF_INIT(1000);
    json_write_string(&out, bytes, 127);
    CLEANUP(cJSON_Deletep) cJSON *node = json_parse(out.data, out.size, NULL);
    assert_non_null(node);
    assert_string_equal(node->valuestring, bytes);
}

static void expect_written(struct value value, const char *expected)
{
    CLEANUP(buf_fini) struct buf out = BUF_INIT(1000);
    json_write_value(&out, &value);
    assert_string_equal(buf_str(&out), expected);
}

static void writes_every_kind_of_value(void **state)
{
    (void)state;
    expect_written(value_null(), "null");
    expect_written(value_bool(true), "true");
    expect_written(value_bool(false), "false");
    expect_written(value_int(INT64_MIN), "-9223372036854775808");
    expect_written(value_double(1e21), "1e+21");
    expect_written(value_double(NAN), "null");
    expect_written(value_double(-HUGE_VAL), "null");
    expect_written(value_string("a\tb"), "\"a\\tb\"");
    expect_written(value_string(NULL), "null");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(makes_the_canonical_form_of_the_rfc_example),
        cmocka_unit_test(sorts_members_by_utf_16_code_units),
        cmocka_unit_test(sorts_members_at_every_level),
        cmocka_unit_test(keeps_large_integers_in_the_canonical_form),
        cmocka_unit_test(prints_in_the_order_of_insertion),
        cmocka_unit_test(replaces_invalid_utf_8),
        cmocka_unit_test(writes_strings_that_read_back_the_same),
        cmocka_unit_test(writes_every_kind_of_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
