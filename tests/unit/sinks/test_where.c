/* SPDX-License-Identifier: Apache-2.0 */
#include "sinks/where.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "support/test.h"

static cJSON *parse(const char *text)
{
    struct err err;
    cJSON *json = json_parse(text, strlen(text), &err);
    if (!json)
        fail_msg("%s: %s", text, err.text);
    return json;
}

static void what_is_wrong_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *where, *part;
    } cases[] = {
        {"[]", "must be a JSON object"},
        {"{\"a\": null}", "where: a: must be a text"},
        {"{\"a\": [1]}", "where: a: must be a text"},
        {"{\"a\": {}}", "where: a: must be a text"},
        {"{\"a\": {\"$regex\": \"x\"}}", "where: a: unknown operator '$regex'"},
        {"{\"a\": {\"b\": 1}}", "where: a: unknown operator 'b'"},
        {"{\"a\": {\"$gt\": \"x\"}}", "take a number"},
        {"{\"a\": {\"$eq\": {}}}", "take a text"},
        {"{\"a\": {\"$in\": []}}", "list of 1 to 1000"},
        {"{\"a\": {\"$in\": 1}}", "list of 1 to 1000"},
        {"{\"a\": {\"$nin\": [1, \"x\"]}}", "all of one type"},
        {"{\"$not\": {}}", "where: $not: this is no metadata key"},
        {"{\"\": 1}", "no metadata key"},
        {"{\"$and\": {}}", "must be a list of conditions"},
        {"{\"$or\": []}", "must be a list of conditions"},
        {"{\"$or\": [{}]}", "each an object"},
        {"{\"$or\": [1]}", "each an object"},
        {"{\"$or\": [{\"a\": {\"$x\": 1}}]}", "where: a: unknown operator"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        CLEANUP(cJSON_Deletep) cJSON *where = parse(cases[i].where);
        struct err err;
        assert_false(where_check(where, &err));
        if (!strstr(err.text, cases[i].part))
            fail_msg("%s: '%s' does not say '%s'", cases[i].where, err.text, cases[i].part);
    }
}

static void it_is_bounded(void **state)
{
    (void)state;
    CLEANUP(cJSON_Deletep) cJSON *deep = parse("{\"a\": 1}");
    CLEANUP(cJSON_Deletep) cJSON *wide = json_object();
    for (int depth = 1; depth <= WHERE_DEPTH_MAX; depth++) {
        assert_true(where_check(deep, NULL));
        cJSON *outer = json_object(), *list = json_array();
        json_append(list, deep);
        json_add(outer, "$and", list);
        deep = outer;
    }
    assert_false(where_check(deep, NULL));
    for (int i = 0; i < WHERE_CONDITIONS_MAX; i++) {
        char name[16];
        snprintf(name, sizeof name, "k%d", i);
        json_add_int(wide, name, i);
    }
    assert_true(where_check(wide, NULL));
    json_add_int(wide, "more", 1);
    assert_false(where_check(wide, NULL));
}

static void it_is_made_plain_for_stores(void **state)
{
    (void)state;
    static const struct {
        const char *where, *plain;
    } cases[] = {
        {"{\"a\": 1}", "{\"a\":{\"$eq\":1}}"},
        {"{\"a\": 1, \"b\": true}", "{\"$and\":[{\"a\":{\"$eq\":1}},{\"b\":{\"$eq\":true}}]}"},
        {"{\"a\": {\"$gt\": 1, \"$lt\": 9}}",
         "{\"$and\":[{\"a\":{\"$gt\":1}},{\"a\":{\"$lt\":9}}]}"},
        {"{\"$or\": [{\"a\": \"x\"}]}", "{\"a\":{\"$eq\":\"x\"}}"},
        {"{\"a\": {\"$in\": [1, 2]}}", "{\"a\":{\"$in\":[1,2]}}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        CLEANUP(cJSON_Deletep) cJSON *where = parse(cases[i].where);
        CLEANUP(cJSON_Deletep) cJSON *plain = where_plain(where);
        char *text = json_print(plain);
        assert_string_equal(text, cases[i].plain);
        free(text);
    }
    CLEANUP(cJSON_Deletep) cJSON *all = parse("{}");
    assert_null(where_plain(all));
}

static void a_record_passes_or_not(void **state)
{
    (void)state;
    const struct field fields[] = {
        {"year", value_int(2024)}, {"author", value_string("ann")}, {"weight", value_double(2.5)}};
    static const struct {
        const char *where;
        bool passes;
    } cases[] = {
        {"{}", true},
        {"{\"year\": 2024, \"author\": \"ann\"}", true},
        {"{\"year\": 2024.0}", true},
        {"{\"year\": \"2024\"}", false},
        {"{\"year\": {\"$gte\": 2024, \"$lt\": 2024.5}}", true},
        {"{\"year\": {\"$gt\": 2024}}", false},
        {"{\"author\": {\"$gt\": 1}}", false},
        {"{\"author\": {\"$ne\": \"bob\"}}", true},
        {"{\"nowhere\": {\"$ne\": \"bob\"}}", true},
        {"{\"nowhere\": {\"$lt\": 1}}", false},
        {"{\"weight\": {\"$in\": [2, 2.5]}}", true},
        {"{\"weight\": {\"$nin\": [2, 2.5]}}", false},
        {"{\"$or\": [{\"author\": \"bob\"}, {\"weight\": 2.5}]}", true},
        {"{\"$and\": [{\"author\": \"bob\"}, {\"weight\": 2.5}]}", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        CLEANUP(cJSON_Deletep) cJSON *where = parse(cases[i].where);
        assert_true(where_check(where, NULL));
        if (where_passes(where, fields, ARRAY_LEN(fields)) != cases[i].passes)
            fail_msg("%s", cases[i].where);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(it_is_bounded),
        cmocka_unit_test(it_is_made_plain_for_stores),
        cmocka_unit_test(a_record_passes_or_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
