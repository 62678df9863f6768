/* SPDX-License-Identifier: Apache-2.0 */
#include "cdc/key.h"

#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "support/test.h"

static bson_t *parse(const char *json)
{
    bson_error_t error;
    bson_t *doc = bson_new_from_json((const uint8_t *)json, -1, &error);
    if (!doc)
        fail_msg("%s: %s", json, error.message);
    return doc;
}

/* The key of the value in {"_id": value}. */
static void key_of(const bson_t *doc, struct buf *out)
{
    bson_iter_t iter;
    assert_true(bson_iter_init_find(&iter, doc, "_id"));
    buf_clear(out);
    key_encode(&iter, out);
    assert_false(out->overflow);
}

static void assert_key(const char *value, const char *expected)
{
    CLEANUP(buf_fini) struct buf json = BUF_INIT(100000);
    CLEANUP(buf_fini) struct buf key = BUF_INIT(100000);
    CLEANUP(buf_fini) struct buf again = BUF_INIT(100000);
    buf_printf(&json, "{\"_id\":%s}", value);
    bson_t *doc = parse(buf_str(&json));
    key_of(doc, &key);
    assert_string_equal(buf_str(&key), expected);
    bson_t *decoded = key_decode(key.data, key.size);
    assert_non_null(decoded);
    key_of(decoded, &again);
    assert_string_equal(buf_str(&again), buf_str(&key));
    bson_destroy(decoded);
    bson_destroy(doc);
}

static void equal_numbers_have_one_key(void **state)
{
    (void)state;
    static const char *const ones[] = {
        "{\"$numberInt\":\"1\"}",        "{\"$numberLong\":\"1\"}",
        "{\"$numberDouble\":\"1.0\"}",   "{\"$numberDecimal\":\"1\"}",
        "{\"$numberDecimal\":\"1.00\"}", "{\"$numberDecimal\":\"0.1E1\"}",
    };
    for (size_t i = 0; i < ARRAY_LEN(ones); i++)
        assert_key(ones[i], "{\"$numberLong\":\"1\"}");
    assert_key("{\"$numberDouble\":\"-0.0\"}", "{\"$numberLong\":\"0\"}");
    assert_key("{\"$numberDecimal\":\"-0E+3\"}", "{\"$numberLong\":\"0\"}");
    assert_key("{\"$numberDecimal\":\"0.50\"}", "{\"$numberDouble\":\"0.5\"}");
    assert_key("{\"$numberDouble\":\"0.5\"}", "{\"$numberDouble\":\"0.5\"}");
    assert_key("{\"$numberDecimal\":\"NaN\"}", "{\"$numberDouble\":\"NaN\"}");
    assert_key("{\"$numberDouble\":\"NaN\"}", "{\"$numberDouble\":\"NaN\"}");
    assert_key("{\"$numberDecimal\":\"-Infinity\"}", "{\"$numberDouble\":\"-Infinity\"}");
    assert_key("{\"$numberLong\":\"9007199254740993\"}", "{\"$numberLong\":\"9007199254740993\"}");
    assert_key("{\"$numberDecimal\":\"9223372036854775807\"}",
               "{\"$numberLong\":\"9223372036854775807\"}");
    assert_key("{\"$numberDouble\":\"9223372036854775808\"}",
               "{\"$numberDouble\":\"9223372036854775808.0\"}");
    assert_key("{\"$numberDecimal\":\"9223372036854775808\"}",
               "{\"$numberDouble\":\"9223372036854775808.0\"}");
}

static void decimals_that_are_no_doubles_lose_their_trailing_zeros(void **state)
{
    (void)state;
    assert_key("{\"$numberDecimal\":\"0.1\"}", "{\"$numberDecimal\":\"0.1\"}");
    assert_key("{\"$numberDecimal\":\"0.10\"}", "{\"$numberDecimal\":\"0.1\"}");
    assert_key("{\"$numberDecimal\":\"100E-3\"}", "{\"$numberDecimal\":\"0.1\"}");
    assert_key("{\"$numberDecimal\":\"1E+400\"}", "{\"$numberDecimal\":\"1E+400\"}");
    assert_key("{\"$numberDecimal\":\"100E+398\"}", "{\"$numberDecimal\":\"1E+400\"}");
    assert_key("{\"$numberDecimal\":\"-1.2300E-50\"}", "{\"$numberDecimal\":\"-1.23E-50\"}");
}

static void numbers_inside_of_compound_ids_are_normalised_too(void **state)
{
    (void)state;
    assert_key("{\"b\":{\"$numberInt\":\"1\"},\"a\":[{\"$numberDouble\":\"2.0\"},"
               "{\"x\":{\"$numberDecimal\":\"0.10\"}}]}",
               "{\"b\":{\"$numberLong\":\"1\"},\"a\":[{\"$numberLong\":\"2\"},"
               "{\"x\":{\"$numberDecimal\":\"0.1\"}}]}");
    assert_key("{}", "{}");
    assert_key("{\"a\":{},\"b\":[]}", "{\"a\":{},\"b\":[]}");
}

static void spaces_stay_inside_of_strings_and_names_only(void **state)
{
    (void)state;
    assert_key("\" a  \\\" b \"", "\" a  \\\" b \"");
    assert_key("{\" k \\\" \" : [ \" v \\\\\", \"{ }\\\\\\\" \" ] }",
               "{\" k \\\" \":[\" v \\\\\",\"{ }\\\\\\\" \"]}");
    assert_key("{\"a\\\\\":\" \"}", "{\"a\\\\\":\" \"}");
}

static void strings_are_escaped_and_unicode_stays(void **state)
{
    (void)state;
    assert_key("\"\"", "\"\"");
    assert_key("\"a\\nb\\tc\\u0001\"", "\"a\\nb\\tc\\u0001\"");
    assert_key("\"\xc3\xa9\xf0\x9f\xa6\x86\"", "\"\xc3\xa9\xf0\x9f\xa6\x86\"");
    assert_key("\"/\"", "\"/\"");
    assert_key("{\"a\":\"\xc3\xa9\\n\"}", "{\"a\":\"\xc3\xa9\\n\"}");
}

static void every_type_of_id_reads_back_as_itself(void **state)
{
    (void)state;
    assert_key("{\"$oid\":\"0123456789abcdef01234567\"}",
               "{\"$oid\":\"0123456789abcdef01234567\"}");
    assert_key("null", "null");
    assert_key("true", "true");
    assert_key("false", "false");
    assert_key("{\"$date\":{\"$numberLong\":\"-1\"}}", "{\"$date\":{\"$numberLong\":\"-1\"}}");
    assert_key("{\"$date\":\"2020-01-02T03:04:05.678Z\"}",
               "{\"$date\":{\"$numberLong\":\"1577934245678\"}}");
    assert_key("{\"$timestamp\":{\"t\":4294967295,\"i\":2}}",
               "{\"$timestamp\":{\"t\":4294967295,\"i\":2}}");
    assert_key("{\"$binary\":{\"base64\":\"AP8=\",\"subType\":\"80\"}}",
               "{\"$binary\":{\"base64\":\"AP8=\",\"subType\":\"80\"}}");
    assert_key("{\"$binary\":{\"base64\":\"\",\"subType\":\"00\"}}",
               "{\"$binary\":{\"base64\":\"\",\"subType\":\"00\"}}");
    assert_key("{\"$minKey\":1}", "{\"$minKey\":1}");
    assert_key("{\"$maxKey\":1}", "{\"$maxKey\":1}");
    assert_key("{\"$code\":\"f( )\"}", "{\"$code\":\"f( )\"}");
    assert_key("{\"a\":{\"$regularExpression\":{\"pattern\":\"a b\",\"options\":\"i\"}}}",
               "{\"a\":{\"$regularExpression\":{\"pattern\":\"a b\",\"options\":\"i\"}}}");
}

static void assert_string_survives(const char *text, int size)
{
    bson_t doc = BSON_INITIALIZER, child;
    CLEANUP(buf_fini) struct buf key = BUF_INIT(100000);
    for (int nested = 0; nested < 2; nested++) {
        bson_reinit(&doc);
        if (nested) {
            bson_append_document_begin(&doc, "_id", -1, &child);
            bson_append_utf8(&child, "x", -1, text, size);
            bson_append_document_end(&doc, &child);
        } else {
            bson_append_utf8(&doc, "_id", -1, text, size);
        }
        key_of(&doc, &key);
        assert_null(memchr(key.data, 0, key.size));
        bson_t *decoded = key_decode(key.data, key.size);
        if (!decoded || !bson_equal(decoded, &doc))
            fail_msg("'%s' (%s) does not read back", buf_str(&key), nested ? "nested" : "alone");
        bson_destroy(decoded);
    }
    bson_destroy(&doc);
}

static void a_string_with_a_nul_reads_back(void **state)
{
    (void)state;
    assert_string_survives("a\0b", 3);
    assert_string_survives("\0", 1);
}

static void strings_that_are_not_utf8_keep_apart_and_read_back(void **state)
{
    (void)state;
    assert_string_survives("a\xff", 2);
    assert_string_survives("a\xfe", 2);
    assert_string_survives("\xed\xa0\x80", 3); /* a surrogate */
    assert_null(key_decode("{\"$bson\":\"00\"}", 14));
    assert_null(key_decode("{\"$bson\":\"zz\"}", 14));
    assert_null(key_decode("{\"$bson\":\"", 10));
}

static void what_is_no_key_is_not_decoded(void **state)
{
    (void)state;
    assert_null(key_decode("", 0));
    assert_null(key_decode("{", 1));
    assert_null(key_decode("\"a", 2));
    assert_null(key_decode("{\"$oid\":\"1\"}", 12));
}

static void assert_source_id(const char *value, const char *expected)
{
    CLEANUP(buf_fini) struct buf json = BUF_INIT(1000);
    CLEANUP(buf_fini) struct buf id = BUF_INIT(1000);
    CLEANUP(buf_fini) struct buf key = BUF_INIT(1000);
    CLEANUP(buf_fini) struct buf back = BUF_INIT(1000);
    buf_printf(&json, "{\"_id\":%s}", value);
    bson_t *doc = parse(buf_str(&json));
    bson_iter_t iter;
    assert_true(bson_iter_init_find(&iter, doc, "_id"));
    key_source_id(&iter, &id);
    assert_string_equal(buf_str(&id), expected);
    key_encode(&iter, &key);
    key_of_source_id(buf_str(&id), &back);
    assert_string_equal(buf_str(&back), buf_str(&key));
    bson_destroy(doc);
}

static void source_ids_of_strings_and_object_ids_are_plain(void **state)
{
    (void)state;
    assert_source_id("\"a b\"", "a b");
    assert_source_id("\"1\"", "1");
    assert_source_id("\"a:0\"", "a:0");
    assert_source_id("\"nullable\"", "nullable");
    assert_source_id("{\"$oid\":\"0123456789ABCDEF01234567\"}", "0123456789abcdef01234567");
    assert_source_id("{\"$numberInt\":\"1\"}", "{\"$numberLong\":\"1\"}");
}

static void strings_that_could_be_taken_for_another_value_are_quoted(void **state)
{
    (void)state;
    assert_source_id("\"\"", "\"\"");
    assert_source_id("\"null\"", "\"null\"");
    assert_source_id("\"true\"", "\"true\"");
    assert_source_id("\"false\"", "\"false\"");
    assert_source_id("\"\\\"a\"", "\"\\\"a\"");
    assert_source_id("\"{\\\"$numberLong\\\":\\\"1\\\"}\"", "\"{\\\"$numberLong\\\":\\\"1\\\"}\"");
    assert_source_id("\"[1]\"", "\"[1]\"");
    assert_source_id("\"0123456789abcdef01234567\"", "\"0123456789abcdef01234567\"");
    assert_source_id("\"0123456789ABCDEF01234567\"", "\"0123456789ABCDEF01234567\"");
    assert_source_id("\"0123456789abcdef0123456\"", "0123456789abcdef0123456");
    assert_source_id("\"0123456789abcdef0123456g\"", "0123456789abcdef0123456g");
    assert_source_id("\"a\\u0000b\"", "\"a\\u0000b\"");
}

static void a_key_longer_than_its_buffer_overflows_and_is_not_cut(void **state)
{
    (void)state;
    CLEANUP(buf_fini) struct buf key = BUF_INIT(10);
    bson_iter_t iter;
    bson_t *doc = parse("{\"_id\":\"01234567890123456789\"}");
    assert_true(bson_iter_init_find(&iter, doc, "_id"));
    key_encode(&iter, &key);
    assert_true(key.overflow);
    bson_destroy(doc);
}

/* {"_id": {"d": {"d": ... {LAST: 1}}}} */
static bson_t *nested_id(int levels, const char *last)
{
    bson_t *inner = BCON_NEW(last, BCON_INT32(1));
    for (int i = 0; i < levels; i++) {
        bson_t *outer = bson_new();
        bson_append_document(outer, i + 1 < levels ? "d" : "_id", -1, inner);
        bson_destroy(inner);
        inner = outer;
    }
    return inner;
}

static void ids_that_are_nested_too_deeply_for_json_keep_apart_and_read_back(void **state)
{
    (void)state;
    static const int depths[] = {80, 90, 91, 92, 100, 150, 180};
    CLEANUP(buf_fini) struct buf one = BUF_INIT(100000);
    CLEANUP(buf_fini) struct buf two = BUF_INIT(100000);
    for (size_t i = 0; i < ARRAY_LEN(depths); i++) {
        bson_t *d = nested_id(depths[i], "d"), *e = nested_id(depths[i], "e");
        key_of(d, &one);
        key_of(e, &two);
        assert_string_not_equal(buf_str(&one), buf_str(&two));
        bson_t *decoded = key_decode(one.data, one.size);
        assert_non_null(decoded);
        key_of(decoded, &two);
        assert_string_equal(buf_str(&one), buf_str(&two));
        bson_destroy(decoded);
        bson_destroy(d);
        bson_destroy(e);
    }
}

static void source_id_of_string(const char *text, int size, struct buf *out)
{
    bson_t doc = BSON_INITIALIZER;
    bson_iter_t iter;
    bson_append_utf8(&doc, "_id", 3, text, size);
    assert_true(bson_iter_init_find(&iter, &doc, "_id"));
    key_source_id(&iter, out);
    bson_destroy(&doc);
}

static void source_ids_of_strings_that_are_not_utf8_keep_apart(void **state)
{
    (void)state;
    CLEANUP(buf_fini) struct buf one = BUF_INIT(1000);
    CLEANUP(buf_fini) struct buf two = BUF_INIT(1000);
    source_id_of_string("caf\xe9", 4, &one);
    source_id_of_string("caf\xe8", 4, &two);
    assert_string_not_equal(buf_str(&one), buf_str(&two));
    assert_true(strncmp(buf_str(&one), "{\"$bson\":\"", 10) == 0);
}

static void what_stands_in_for_a_large_key_names_one_value_and_is_not_decoded(void **state)
{
    (void)state;
    struct buf keys[2] = {BUF_INIT(1000), BUF_INIT(1000)};
    char *text = malloc(100000);
    memset(text, 'L', 100000);
    for (size_t i = 0; i < 2; i++) {
        bson_t doc = BSON_INITIALIZER;
        bson_iter_t iter;
        text[99999] = i == 0 ? 'L' : '"';
        bson_append_utf8(&doc, "_id", 3, text, 100000);
        assert_true(bson_iter_init_find(&iter, &doc, "_id"));
        key_stand_in(&iter, &keys[i]);
        assert_false(keys[i].overflow);
        assert_true(key_is_stand_in(keys[i].data, keys[i].size));
        assert_null(key_decode(keys[i].data, keys[i].size));
        bson_destroy(&doc);
    }
    assert_string_not_equal(buf_str(&keys[0]), buf_str(&keys[1]));
    assert_non_null(strstr(buf_str(&keys[0]), "\"begins\":\"\\\"LLL"));
    buf_fini(&keys[0]);
    buf_fini(&keys[1]);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_numbers_have_one_key),
        cmocka_unit_test(decimals_that_are_no_doubles_lose_their_trailing_zeros),
        cmocka_unit_test(numbers_inside_of_compound_ids_are_normalised_too),
        cmocka_unit_test(spaces_stay_inside_of_strings_and_names_only),
        cmocka_unit_test(strings_are_escaped_and_unicode_stays),
        cmocka_unit_test(every_type_of_id_reads_back_as_itself),
        cmocka_unit_test(a_string_with_a_nul_reads_back),
        cmocka_unit_test(strings_that_are_not_utf8_keep_apart_and_read_back),
        cmocka_unit_test(what_is_no_key_is_not_decoded),
        cmocka_unit_test(source_ids_of_strings_and_object_ids_are_plain),
        cmocka_unit_test(strings_that_could_be_taken_for_another_value_are_quoted),
        cmocka_unit_test(ids_that_are_nested_too_deeply_for_json_keep_apart_and_read_back),
        cmocka_unit_test(source_ids_of_strings_that_are_not_utf8_keep_apart),
        cmocka_unit_test(what_stands_in_for_a_large_key_names_one_value_and_is_not_decoded),
        cmocka_unit_test(a_key_longer_than_its_buffer_overflows_and_is_not_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
