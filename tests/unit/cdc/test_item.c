/* SPDX-License-Identifier: Apache-2.0 */
#include "support/test.h"

#include <math.h>
#include <string.h>

#include "base/limits.h"
#include "base/mongo.h"
#include "cdc/item.h"

static char *encode(const bson_t *doc, struct err *err)
{
    CLEANUP(buf_fini) struct buf out = BUF_INIT(LIMIT_ITEM_SIZE);
    if (!item_encode_doc(doc, NULL, &out, err))
        return NULL;
    return buf_take(&out, NULL);
}

static bson_t *decode(const char *value, struct err *err)
{
    bson_t *doc = NULL;
    return item_decode_doc(value, strlen(value), &doc, err) ? doc : NULL;
}

static void assert_survives(const bson_t *doc)
{
    struct err err = {0};
    char *value = encode(doc, &err);
    if (!value)
        fail_msg("%s", err.text);
    CLEANUP(bson_destroyp) bson_t *back = decode(value, &err);
    if (!back)
        fail_msg("%s: %s", value, err.text);
    if (!bson_equal(doc, back))
        fail_msg("not the same after %s", value);
    free(value);
}

static void names_of_operations_are_those_of_the_header(void **state)
{
    (void)state;
    for (int op = ITEM_UPSERT; op <= ITEM_REREAD; op++) {
        enum item_op back;
        assert_true(item_op_parse(item_op_name((enum item_op)op), &back));
        assert_int_equal(back, op);
    }
    enum item_op none;
    assert_string_equal(item_op_name(ITEM_UPSERT), "upsert");
    assert_string_equal(item_op_name(ITEM_DELETE), "delete");
    assert_string_equal(item_op_name(ITEM_REREAD), "reread");
    assert_false(item_op_parse("Upsert", &none));
    assert_false(item_op_parse("", &none));
}

static void a_value_is_canonical_extended_json(void **state)
{
    (void)state;
    CLEANUP(bson_destroyp)
    bson_t *doc =
        BCON_NEW("_id", BCON_INT64(5), "text", BCON_UTF8("a\"b\\c\n\x01/"), "n", BCON_INT32(-3),
                 "x", BCON_DOUBLE(5), "when", BCON_DATE_TIME(1700000000000), "list", "[",
                 BCON_BOOL(true), BCON_NULL, "]", "in", "{", "}");
    struct err err;
    char *value = encode(doc, &err);
    assert_string_equal(value, "{\"doc\": {\"_id\":{\"$numberLong\":\"5\"},"
                               "\"text\":\"a\\\"b\\\\c\\n\\u0001/\","
                               "\"n\":{\"$numberInt\":\"-3\"},\"x\":{\"$numberDouble\":\"5.0\"},"
                               "\"when\":{\"$date\":{\"$numberLong\":\"1700000000000\"}},"
                               "\"list\":[true,null],\"in\":{}}}");
    free(value);
}

static void every_type_survives(void **state)
{
    (void)state;
    bson_t doc = BSON_INITIALIZER;
    bson_t scope = BSON_INITIALIZER;
    bson_oid_t oid;
    bson_decimal128_t decimal;
    const uint8_t bytes[] = {0, 1, 2, 255};
    bson_oid_init_from_string(&oid, "64e5a1f0c2a4b7d9e8f01234");
    bson_decimal128_from_string("1.250E+6000", &decimal);
    BSON_APPEND_INT32(&scope, "x", 1);
    BSON_APPEND_OID(&doc, "_id", &oid);
    BSON_APPEND_UTF8(&doc, "utf8", "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\xa6\x86");
    bson_append_utf8(&doc, "nul", -1, "a\0b", 3);
    BSON_APPEND_DOUBLE(&doc, "double", 0.1);
    BSON_APPEND_BINARY(&doc, "binary", BSON_SUBTYPE_UUID_DEPRECATED, bytes, sizeof(bytes));
    BSON_APPEND_UNDEFINED(&doc, "undefined");
    BSON_APPEND_BOOL(&doc, "bool", false);
    BSON_APPEND_DATE_TIME(&doc, "before1970", -62135596800000);
    BSON_APPEND_NULL(&doc, "null");
    BSON_APPEND_REGEX(&doc, "regex", "^a/\"b", "im");
    BSON_APPEND_DBPOINTER(&doc, "dbpointer", "a.b", &oid);
    BSON_APPEND_CODE(&doc, "code", "function() { return \"x\"; }");
    BSON_APPEND_SYMBOL(&doc, "symbol", "s");
    BSON_APPEND_CODE_WITH_SCOPE(&doc, "scoped", "x", &scope);
    BSON_APPEND_INT32(&doc, "int32", INT32_MIN);
    BSON_APPEND_TIMESTAMP(&doc, "timestamp", 1700000000, 7);
    BSON_APPEND_INT64(&doc, "int64", INT64_MIN);
    BSON_APPEND_DECIMAL128(&doc, "decimal", &decimal);
    BSON_APPEND_MAXKEY(&doc, "maxkey");
    BSON_APPEND_MINKEY(&doc, "minkey");
    BSON_APPEND_DOCUMENT(&doc, "doc", &scope);
    BSON_APPEND_DOCUMENT(&doc, "", &scope);
    BSON_APPEND_INT32(&doc, "dotted.name", 1);
    assert_survives(&doc);
    bson_destroy(&doc);
    bson_destroy(&scope);
}

static void every_double_survives(void **state)
{
    (void)state;
    const double numbers[] = {0,
                              -0.0,
                              1,
                              -1,
                              0.1,
                              1e300,
                              -1e-300,
                              5e-324,
                              1e21,
                              123456789012345678.0,
                              1.7976931348623157e308,
                              INFINITY,
                              -INFINITY,
                              0.30000000000000004};
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        CLEANUP(bson_destroyp) bson_t *doc = BCON_NEW("x", BCON_DOUBLE(numbers[i]));
        assert_survives(doc);
    }
    struct err err;
    CLEANUP(bson_destroyp) bson_t *doc = BCON_NEW("x", BCON_DOUBLE((double)NAN));
    char *value = encode(doc, &err);
    assert_string_equal(value, "{\"doc\": {\"x\":{\"$numberDouble\":\"NaN\"}}}");
    CLEANUP(bson_destroyp) bson_t *back = decode(value, &err);
    bson_iter_t iter;
    assert_true(bson_iter_init_find(&iter, back, "x"));
    assert_true(isnan(bson_iter_double(&iter)));
    free(value);
}

static void nest(bson_t *doc, int depth)
{
    bson_t inside;
    if (depth == 0) {
        BSON_APPEND_DATE_TIME(doc, "when", 5); /* the type that is nested deepest in JSON */
        return;
    }
    BSON_APPEND_DOCUMENT_BEGIN(doc, "d", &inside);
    nest(&inside, depth - 1);
    bson_append_document_end(doc, &inside);
}

static void what_is_encoded_can_be_decoded_however_deep_it_is(void **state)
{
    (void)state;
    bool refused = false;
    for (int depth = 1; depth < 180; depth++) {
        bson_t doc = BSON_INITIALIZER;
        struct err err = {0};
        nest(&doc, depth);
        char *value = encode(&doc, &err);
        if (value)
            assert_survives(&doc);
        else
            assert_int_equal(err.action, ERR_REJECT);
        assert_true(value || depth >= 90);
        refused = refused || !value;
        free(value);
        bson_destroy(&doc);
    }
    assert_true(refused);
}

static void assert_refused(const bson_t *doc)
{
    struct err err = {0};
    assert_null(encode(doc, &err));
    assert_int_equal(err.action, ERR_REJECT);
    assert_int_equal(err.domain, ERR_DATA);
}

static void a_name_that_looks_like_a_type_is_refused(void **state)
{
    (void)state;
    CLEANUP(bson_destroyp)
    bson_t *doc = BCON_NEW("a", "{", "$oid", BCON_UTF8("not an id"), "}");
    assert_refused(doc);
}

static void every_character_survives_wherever_it_stands(void **state)
{
    (void)state;
    for (int at = 0; at < 20; at++) {
        for (int c = 0; c < 128; c++) {
            char text[] = "0123456789abcdef\xc3\xa9gh";
            bson_t doc = BSON_INITIALIZER;
            if (at == 16 || at == 17)
                continue; /* in the middle of a character */
            text[at] = (char)c;
            bson_append_utf8(&doc, "a", 1, text, sizeof text - 1);
            bson_append_utf8(&doc, c ? text : "b", -1, "", 0);
            if (c != '$')
                assert_survives(&doc);
            bson_destroy(&doc);
        }
    }
}

static void invalid_utf8_is_refused(void **state)
{
    (void)state;
    CLEANUP(bson_destroyp) bson_t *text = BCON_NEW("a", BCON_UTF8("\xff\xfe"));
    CLEANUP(bson_destroyp) bson_t *name = BCON_NEW("\xff\xfe", BCON_UTF8("a"));
    CLEANUP(bson_destroyp) bson_t *symbol = BCON_NEW("a", BCON_SYMBOL("\xff\xfe"));
    assert_refused(text);
    assert_refused(name);
    assert_refused(symbol);
    for (size_t at = 0; at < 40; at++) {
        char long_text[41];
        memset(long_text, 'x', sizeof long_text);
        long_text[at] = '\xff';
        long_text[40] = '\0';
        CLEANUP(bson_destroyp) bson_t *doc = BCON_NEW("a", BCON_UTF8(long_text));
        assert_refused(doc);
    }
}

static void damaged_bson_is_refused(void **state)
{
    (void)state;
    /* {"a": a string whose length points behind the end} */
    const uint8_t bytes[] = {14, 0, 0, 0, 2, 'a', 0, 99, 0, 0, 0, 'x', 0, 0};
    bson_t doc;
    assert_true(bson_init_static(&doc, bytes, sizeof(bytes)));
    assert_refused(&doc);
}

static void a_value_larger_than_the_buffer_is_refused(void **state)
{
    (void)state;
    char text[1001];
    memset(text, 'x', sizeof(text) - 1);
    text[1000] = '\0';
    CLEANUP(bson_destroyp) bson_t *doc = BCON_NEW("a", BCON_UTF8(text));
    CLEANUP(buf_fini) struct buf out = BUF_INIT(500);
    struct err err;
    assert_false(item_encode_doc(doc, NULL, &out, &err));
    assert_int_equal(err.action, ERR_REJECT);
}

static void other_white_space_is_read_too(void **state)
{
    (void)state;
    struct err err;
    CLEANUP(bson_destroyp) bson_t *doc = decode(" {\n\t\"doc\" :{ \"a\" : 1 } }\n", &err);
    bson_iter_t iter;
    assert_non_null(doc);
    assert_true(bson_iter_init_find(&iter, doc, "a"));
    CLEANUP(bson_destroyp) bson_t *empty = decode("{\"doc\":{}}", &err);
    assert_non_null(empty);
    assert_int_equal(bson_count_keys(empty), 0);
}

static void what_is_no_upsert_is_refused(void **state)
{
    (void)state;
    static const char *const values[] = {
        "",
        "{",
        "{}",
        "null",
        "{\"doc\": }",
        "{\"doc\": {",
        "{\"doc\": {}",
        "{\"doc\": null}",
        "{\"doc\": [1]}",
        "{\"doc\": 5}",
        "{\"doc\": {\"a\": }}",
        "{\"doc\": {\"a\": {\"$oid\": \"x\"}}}",
        "{\"other\": {}}",
        "{\"doc\"",
        "{\"doc\": {\"a\": \"\xff\"}}",
    };
    for (size_t i = 0; i < ARRAY_LEN(values); i++) {
        struct err err = {0};
        bson_t *doc = decode(values[i], &err);
        if (doc)
            fail_msg("%s was taken", values[i]);
        assert_int_equal(err.action, ERR_REJECT);
        assert_int_equal(err.domain, ERR_DATA);
    }
    struct err err;
    bson_t *doc;
    assert_false(item_decode_doc(NULL, 0, &doc, &err));
    assert_null(doc);
}

static void json_nested_without_end_is_refused(void **state)
{
    (void)state;
    CLEANUP(buf_fini) struct buf value = BUF_INIT(MIB);
    buf_puts(&value, "{\"doc\": ");
    for (int i = 0; i < 100000; i++)
        buf_puts(&value, "{\"a\":");
    struct err err;
    assert_null(decode(buf_str(&value), &err));
    buf_puts(&value, "1");
    for (int i = 0; i < 100001; i++)
        buf_putc(&value, '}');
    assert_null(decode(buf_str(&value), &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_of_operations_are_those_of_the_header),
        cmocka_unit_test(a_value_is_canonical_extended_json),
        cmocka_unit_test(every_type_survives),
        cmocka_unit_test(every_double_survives),
        cmocka_unit_test(what_is_encoded_can_be_decoded_however_deep_it_is),
        cmocka_unit_test(a_name_that_looks_like_a_type_is_refused),
        cmocka_unit_test(every_character_survives_wherever_it_stands),
        cmocka_unit_test(invalid_utf8_is_refused),
        cmocka_unit_test(damaged_bson_is_refused),
        cmocka_unit_test(a_value_larger_than_the_buffer_is_refused),
        cmocka_unit_test(other_white_space_is_read_too),
        cmocka_unit_test(what_is_no_upsert_is_refused),
        cmocka_unit_test(json_nested_without_end_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
