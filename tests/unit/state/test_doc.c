/* SPDX-License-Identifier: Apache-2.0 */
#include "state/doc.h"

#include <string.h>

#include "state/docstore.h"
#include "support/test.h"

static bson_t *from_json(const char *json)
{
    bson_error_t error;
    bson_t *doc = bson_new_from_json((const uint8_t *)json, -1, &error);
    assert_non_null(doc);
    return doc;
}

static void missing_and_null_are_the_same_and_no_mistake(void **state)
{
    (void)state;
    bson_t *doc = from_json("{\"null\": null}");
    struct doc_reader reader = doc_reader_of(doc, "here");
    const char *names[] = {"null", "missing"};
    for (size_t i = 0; i < 2; i++) {
        struct doc_reader child;
        bson_iter_t iter;
        size_t count;
        assert_null(doc_text(&reader, names[i]));
        assert_null(doc_json(&reader, names[i]));
        assert_null(doc_copy(&reader, names[i]));
        assert_int_equal(doc_int(&reader, names[i], -7), -7);
        assert_int_equal(doc_date(&reader, names[i]), 0);
        assert_false(doc_bool(&reader, names[i]));
        assert_false(doc_child(&reader, names[i], &child));
        assert_false(doc_elements(&reader, names[i], &iter, &count));
    }
    struct err err;
    assert_true(doc_reader_check(&reader, &err));
    bson_destroy(doc);
}

static void the_first_field_of_a_wrong_type_is_named(void **state)
{
    (void)state;
    bson_t *doc = from_json("{\"a\": 1, \"b\": \"x\", \"c\": 1.5}");
    struct doc_reader reader = doc_reader_of(doc, "captures/x");
    struct err err;
    assert_int_equal(doc_int(&reader, "a", 0), 1);
    assert_int_equal(doc_int(&reader, "c", -1), -1);
    assert_null(doc_text(&reader, "a"));
    assert_false(doc_reader_check(&reader, &err));
    assert_int_equal(err.action, ERR_FATAL);
    assert_int_equal(err.domain, ERR_STATE);
    assert_string_equal(err.text, "captures/x: field 'c' is not what was written there");
    bson_destroy(doc);
}

static void every_accessor_refuses_another_type(void **state)
{
    (void)state;
    bson_t *doc = from_json("{\"x\": {\"$oid\": \"64b7f0c2a1d2e3f405162738\"}}");
    for (int i = 0; i < 7; i++) {
        struct doc_reader reader = doc_reader_of(doc, "here");
        struct doc_reader child;
        bson_iter_t iter;
        size_t count;
        switch (i) {
        case 0:
            assert_null(doc_text(&reader, "x"));
            break;
        case 1:
            assert_int_equal(doc_int(&reader, "x", 5), 5);
            break;
        case 2:
            assert_false(doc_bool(&reader, "x"));
            break;
        case 3:
            assert_int_equal(doc_date(&reader, "x"), 0);
            break;
        case 4:
            assert_false(doc_child(&reader, "x", &child));
            break;
        case 5:
            assert_false(doc_elements(&reader, "x", &iter, &count));
            break;
        default:
            assert_null(doc_json(&reader, "x"));
        }
        assert_string_equal(reader.bad, "x");
    }
    bson_destroy(doc);
}

static void a_number_from_a_shell_is_read_when_it_is_whole(void **state)
{
    (void)state;
    bson_t *doc = from_json("{\"i\": 3, \"l\": {\"$numberLong\": \"9007199254740993\"}, \"d\": 4.0,"
                            " \"n\": {\"$numberDouble\": \"NaN\"}, \"huge\": 1e300}");
    struct doc_reader reader = doc_reader_of(doc, "here");
    assert_int_equal(doc_int(&reader, "i", 0), 3);
    assert_true(doc_int(&reader, "l", 0) == 9007199254740993);
    assert_int_equal(doc_int(&reader, "d", 0), 4);
    assert_null(reader.bad);
    assert_int_equal(doc_int(&reader, "n", 1), 1);
    assert_int_equal(doc_int(&reader, "huge", 1), 1);
    assert_int_equal(doc_counter(doc, "d"), 4);
    assert_int_equal(doc_counter(doc, "huge"), 0);
    assert_int_equal(doc_counter(doc, "missing"), 0);
    bson_destroy(doc);
}

static void json_goes_in_and_comes_out_with_its_integers(void **state)
{
    (void)state;
    bson_t doc = BSON_INITIALIZER;
    struct err err;
    assert_true(doc_put_json(&doc, "embed", "{\"a\": 1, \"b\": 1.0, \"c\": [\"x\", null]}", &err));
    assert_true(doc_put_json(&doc, "none", NULL, &err));
    struct doc_reader reader = doc_reader_of(&doc, "here");
    char *json = doc_json(&reader, "embed");
    assert_string_equal(json, "{ \"a\" : 1, \"b\" : 1.0, \"c\" : [ \"x\", null ] }");
    bson_free(json);
    assert_null(doc_json(&reader, "none"));
    bson_destroy(&doc);
}

static void text_that_is_no_json_object_is_rejected(void **state)
{
    (void)state;
    const char *texts[] = {"", "{", "no", "{\"a\": 1} x"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        bson_t doc = BSON_INITIALIZER;
        struct err err;
        assert_false(doc_put_json(&doc, "embed", texts[i], &err));
        assert_int_equal(err.action, ERR_REJECT);
        assert_non_null(strstr(err.text, "embed"));
        bson_destroy(&doc);
    }
}

static void a_newer_schema_is_refused_and_an_older_or_none_is_not(void **state)
{
    (void)state;
    struct err err;
    bson_t *doc = from_json("{\"schema\": 2}");
    assert_false(doc_check_schema(doc, "captures/x", &err));
    assert_int_equal(err.action, ERR_FATAL);
    assert_non_null(strstr(err.text, "captures/x was written by a newer vectail"));
    bson_destroy(doc);
    doc = from_json("{\"schema\": 1}");
    assert_true(doc_check_schema(doc, "captures/x", &err));
    bson_destroy(doc);
    doc = from_json("{}");
    assert_true(doc_check_schema(doc, "captures/x", &err));
    bson_destroy(doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(missing_and_null_are_the_same_and_no_mistake),
        cmocka_unit_test(the_first_field_of_a_wrong_type_is_named),
        cmocka_unit_test(every_accessor_refuses_another_type),
        cmocka_unit_test(a_number_from_a_shell_is_read_when_it_is_whole),
        cmocka_unit_test(json_goes_in_and_comes_out_with_its_integers),
        cmocka_unit_test(text_that_is_no_json_object_is_rejected),
        cmocka_unit_test(a_newer_schema_is_refused_and_an_older_or_none_is_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
