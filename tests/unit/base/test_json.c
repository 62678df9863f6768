/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support/test.h"

static const char sample[] =
    "{\"string\":\"text\",\"int\":-7,\"big\":9007199254740993,\"half\":0.5,\"whole\":3.0,"
    "\"huge\":1e300,\"yes\":true,\"no\":false,\"null\":null,\"Case\":1,\"list\":[1]}";

static int parse_sample(void **state)
{
    *state = json_parse(sample, strlen(sample), NULL);
    return *state ? 0 : -1;
}

static int free_sample(void **state)
{
    cJSON_Delete(*state);
    return 0;
}

static void gets_members_of_the_right_type(void **state)
{
    const char *string = NULL;
    int64_t integer = 0;
    double number = 0;
    bool flag = false;
    assert_true(json_get_string(*state, "string", &string));
    assert_string_equal(string, "text");
    assert_true(json_get_int(*state, "int", &integer));
    assert_int_equal(integer, -7);
    assert_true(json_get_int(*state, "big", &integer));
    assert_true(integer == 9007199254740993);
    assert_true(json_get_int(*state, "whole", &integer));
    assert_int_equal(integer, 3);
    assert_true(json_get_double(*state, "half", &number));
    assert_true(number == 0.5);
    assert_true(json_get_double(*state, "big", &number));
    assert_true(number == 9007199254740992.0);
    assert_true(json_get_bool(*state, "yes", &flag) && flag);
    assert_true(json_get_bool(*state, "no", &flag) && !flag);
    assert_non_null(json_get(*state, "null"));
}

static void refuses_members_of_another_type(void **state)
{
    const char *string = NULL;
    int64_t integer = 42;
    double number = 0;
    bool flag = false;
    assert_false(json_get_string(*state, "int", &string));
    assert_false(json_get_string(*state, "big", &string));
    assert_false(json_get_string(*state, "null", &string));
    assert_false(json_get_int(*state, "string", &integer));
    assert_false(json_get_int(*state, "half", &integer));
    assert_false(json_get_int(*state, "huge", &integer));
    assert_false(json_get_int(*state, "yes", &integer));
    assert_false(json_get_double(*state, "string", &number));
    assert_false(json_get_bool(*state, "int", &flag));
    assert_false(json_get_bool(*state, "null", &flag));
    assert_int_equal(integer, 42);
}

static void finds_names_by_their_exact_case(void **state)
{
    assert_non_null(json_get(*state, "Case"));
    assert_null(json_get(*state, "case"));
}

static void finds_nothing_in_what_is_no_object(void **state)
{
    int64_t integer = 0;
    assert_null(json_get(NULL, "a"));
    assert_null(json_get(json_get(*state, "list"), "a"));
    assert_null(json_get(json_get(*state, "string"), "a"));
    assert_false(json_int(NULL, &integer));
    assert_false(json_get_int(NULL, "a", &integer));
    assert_false(json_get_int(*state, "missing", &integer));
}

static void adds_integers_exactly(void **state)
{
    (void)state;
    static const int64_t integers[] = {0,
                                       -1,
                                       9007199254740991,
                                       9007199254740992,
                                       9007199254740993,
                                       -9007199254740993,
                                       INT64_MAX,
                                       INT64_MIN};
    for (size_t i = 0; i < ARRAY_LEN(integers); i++) {
        CLEANUP(cJSON_Deletep) cJSON *object = json_object();
        json_add_int(object, "n", integers[i]);
        char *text = json_print(object);
        CLEANUP(cJSON_Deletep) cJSON *again = json_parse(text, strlen(text), NULL);
        free(text);
        int64_t integer = 0;
        assert_true(json_get_int(object, "n", &integer));
        assert_true(integer == integers[i]);
        assert_true(json_get_int(again, "n", &integer));
        assert_true(integer == integers[i]);
    }
}

static void adds_every_kind_of_value(void **state)
{
    (void)state;
    CLEANUP(cJSON_Deletep) cJSON *object = json_object();
    const struct field fields[] = {
        {"string", value_string("x")},  {"none", value_string(NULL)}, {"int", value_int(-5)},
        {"double", value_double(0.25)}, {"nan", value_double(NAN)},   {"bool", value_bool(true)},
        {"null", value_null()},
    };
    for (size_t i = 0; i < ARRAY_LEN(fields); i++)
        json_add_value(object, fields[i].name, &fields[i].value);
    char *text = json_print(object);
    assert_string_equal(text, "{\"string\":\"x\",\"none\":null,\"int\":-5,\"double\":0.25,"
                              "\"nan\":null,\"bool\":true,\"null\":null}");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(gets_members_of_the_right_type, parse_sample, free_sample),
        cmocka_unit_test_setup_teardown(refuses_members_of_another_type, parse_sample, free_sample),
        cmocka_unit_test_setup_teardown(finds_names_by_their_exact_case, parse_sample, free_sample),
        cmocka_unit_test_setup_teardown(finds_nothing_in_what_is_no_object, parse_sample,
                                        free_sample),
        cmocka_unit_test(adds_integers_exactly),
        cmocka_unit_test(adds_every_kind_of_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
