/* SPDX-License-Identifier: Apache-2.0 */
#include "cdc/path.h"

#include <string.h>

#include "base/buf.h"
#include "cdc/item.h"
#include "support/test.h"

static bson_t *parse(const char *json)
{
    bson_error_t error;
    bson_t *doc = bson_new_from_json((const uint8_t *)json, -1, &error);
    if (!doc)
        fail_msg("%s: %s", json, error.message);
    return doc;
}

/* Relaxed JSON without spaces. */
static void write_value(const bson_iter_t *value, struct buf *out)
{
    bson_t doc = BSON_INITIALIZER;
    bson_append_iter(&doc, "", 0, value);
    char *json = bson_as_relaxed_extended_json(&doc, NULL);
    size_t end = strlen(json) - 2; /* { "" : 1 } */
    for (size_t i = strlen("{ \"\" : "); i < end; i++) {
        if (json[i] != ' ')
            buf_putc(out, json[i]);
    }
    bson_free(json);
    bson_destroy(&doc);
}

static bool note(const bson_iter_t *value, void *context)
{
    struct buf *seen = context;
    if (seen->size > 0)
        buf_putc(seen, ' ');
    if (value)
        write_value(value, seen);
    else
        buf_putc(seen, '-');
    return true;
}

static void assert_each(const char *json, const char *path, const char *expected)
{
    CLEANUP(buf_fini) struct buf seen = BUF_INIT(1000);
    bson_t *doc = parse(json);
    assert_true(path_each(doc, path, note, &seen));
    if (strcmp(buf_str(&seen), expected) != 0)
        fail_msg("%s in %s leads to '%s', not to '%s'", path, json, buf_str(&seen), expected);
    bson_destroy(doc);
}

static void a_path_leads_to_one_value_or_to_nothing(void **state)
{
    (void)state;
    assert_each("{\"a\":1}", "a", "1");
    assert_each("{\"a\":null}", "a", "null");
    assert_each("{\"b\":1}", "a", "-");
    assert_each("{}", "a.b.c", "-");
    assert_each("{\"a\":{\"b\":{\"c\":2}}}", "a.b.c", "2");
    assert_each("{\"a\":{\"b\":1}}", "a.b.c", "-");
    assert_each("{\"a\":5}", "a.b", "-");
    assert_each("{\"ab\":1,\"a\":2}", "a", "2");
}

static void a_path_goes_through_the_documents_of_an_array(void **state)
{
    (void)state;
    assert_each("{\"a\":[{\"b\":1},{\"b\":2}]}", "a.b", "1 2");
    assert_each("{\"a\":[{\"b\":1},{}]}", "a.b", "1 -");
    assert_each("{\"a\":[1,2]}", "a.b", "");
    assert_each("{\"a\":[]}", "a.b", "");
    assert_each("{\"a\":[[{\"b\":1}]]}", "a.b", "");
    assert_each("{\"a\":[{\"b\":[{\"c\":1},{\"c\":2}]}]}", "a.b.c", "1 2");
}

static void a_last_array_is_its_elements_and_itself(void **state)
{
    (void)state;
    assert_each("{\"a\":[1,2]}", "a", "1 2 [1,2]");
    assert_each("{\"a\":[]}", "a", "[]");
    assert_each("{\"a\":[[1]]}", "a", "[1] [[1]]");
    assert_each("{\"a\":[{\"b\":[1]}]}", "a.b", "1 [1]");
}

static void a_number_is_a_name_and_an_index(void **state)
{
    (void)state;
    assert_each("{\"a\":[5,6]}", "a.1", "6");
    assert_each("{\"a\":[5]}", "a.1", "");
    assert_each("{\"a\":{\"1\":7}}", "a.1", "7");
    assert_each("{\"a\":[{\"b\":5}]}", "a.0.b", "- 5");
    assert_each("{\"a\":[{\"0\":5}]}", "a.0", "5 {\"0\":5}");
    assert_each("{\"a\":[[1,2]]}", "a.0", "[1,2]");
    assert_each("{\"a\":[[1,2]]}", "a.0.1", "2");
    assert_each("{\"a\":[[{\"b\":3}]]}", "a.0.b", "3");
    assert_each("{\"a\":[5,6]}", "a.01", "");
}

static bool stop(const bson_iter_t *value, void *context)
{
    (void)value;
    return ++*(int *)context < 2;
}

static void a_visitor_can_stop(void **state)
{
    (void)state;
    int calls = 0;
    bson_t *doc = parse("{\"a\":[1,2,3]}");
    assert_false(path_each(doc, "a", stop, &calls));
    assert_int_equal(calls, 2);
    bson_destroy(doc);
}

static void finding_one_value_goes_through_arrays_by_index_only(void **state)
{
    (void)state;
    bson_iter_t value;
    bson_t *doc = parse("{\"a\":[{\"b\":1}],\"c\":{\"d\":2}}");
    assert_false(path_find(doc, "a.b", &value));
    assert_true(path_find(doc, "a.0.b", &value));
    assert_int_equal(bson_iter_as_int64(&value), 1);
    assert_true(path_find(doc, "c.d", &value));
    assert_false(path_find(doc, "c.d.e", &value));
    assert_false(path_find(doc, "x", &value));
    bson_destroy(doc);
}

static void assert_kept(const char *json, const char *paths, const char *expected)
{
    char text[100];
    struct projection *projection = projection_new();
    snprintf(text, sizeof text, "%s", paths);
    char *rest = text;
    for (char *path = strsep(&rest, " "); path; path = strsep(&rest, " "))
        projection_add(projection, path);
    bson_t *doc = parse(json), *wanted = parse(expected);
    struct err err;
    CLEANUP(buf_fini) struct buf kept = BUF_INIT(1000);
    CLEANUP(buf_fini) struct buf whole = BUF_INIT(1000);
    assert_true(item_encode_doc(doc, projection, &kept, &err));
    assert_true(item_encode_doc(wanted, NULL, &whole, &err));
    if (strcmp(buf_str(&kept), buf_str(&whole)) != 0)
        fail_msg("%s of %s is %s", paths, json, buf_str(&kept));
    bson_destroy(doc);
    bson_destroy(wanted);
    projection_free(projection);
}

static void a_projection_keeps_its_paths_in_the_order_of_the_document(void **state)
{
    (void)state;
    assert_kept("{\"b\":1,\"a\":2,\"c\":3}", "a b", "{\"b\":1,\"a\":2}");
    assert_kept("{\"a\":{\"b\":1,\"c\":2}}", "a.b", "{\"a\":{\"b\":1}}");
    assert_kept("{\"a\":{\"c\":2}}", "a.b", "{\"a\":{}}");
    assert_kept("{\"a\":5}", "a.b", "{}");
}

static void a_path_below_another_adds_nothing(void **state)
{
    (void)state;
    assert_kept("{\"a\":{\"b\":1,\"c\":2}}", "a.b a", "{\"a\":{\"b\":1,\"c\":2}}");
    assert_kept("{\"a\":{\"b\":1,\"c\":2}}", "a a.b", "{\"a\":{\"b\":1,\"c\":2}}");
}

static void a_projection_goes_into_arrays_of_arrays(void **state)
{
    (void)state;
    assert_kept("{\"a\":[{\"b\":1,\"c\":2},3,[{\"b\":4,\"c\":5},6],{}]}", "a.b",
                "{\"a\":[{\"b\":1},[{\"b\":4}],{}]}");
}

static void what_stands_above_an_index_is_kept_whole(void **state)
{
    (void)state;
    assert_kept("{\"a\":[1,{\"b\":2,\"c\":3}],\"d\":4}", "a.1.b", "{\"a\":[1,{\"b\":2,\"c\":3}]}");
    assert_kept("{\"0\":{\"a\":1,\"b\":2}}", "0.a", "{\"0\":{\"a\":1}}");
}

static void the_command_of_a_projection_names_no_path_twice(void **state)
{
    (void)state;
    struct projection *projection = projection_new();
    static const char *const paths[] = {"a.b", "a.b", "a.b.c", "d", "a.e", "f.0.g"};
    for (size_t i = 0; i < ARRAY_LEN(paths); i++)
        projection_add(projection, paths[i]);
    bson_t command = BSON_INITIALIZER;
    projection_command(projection, &command);
    bson_t *expected = BCON_NEW("a.b", BCON_INT32(1), "a.e", BCON_INT32(1), "d", BCON_INT32(1), "f",
                                BCON_INT32(1));
    assert_true(bson_equal(&command, expected));
    bson_destroy(expected);
    bson_destroy(&command);
    projection_free(projection);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_path_leads_to_one_value_or_to_nothing),
        cmocka_unit_test(a_path_goes_through_the_documents_of_an_array),
        cmocka_unit_test(a_last_array_is_its_elements_and_itself),
        cmocka_unit_test(a_number_is_a_name_and_an_index),
        cmocka_unit_test(a_visitor_can_stop),
        cmocka_unit_test(finding_one_value_goes_through_arrays_by_index_only),
        cmocka_unit_test(a_projection_keeps_its_paths_in_the_order_of_the_document),
        cmocka_unit_test(a_path_below_another_adds_nothing),
        cmocka_unit_test(a_projection_goes_into_arrays_of_arrays),
        cmocka_unit_test(what_stands_above_an_index_is_kept_whole),
        cmocka_unit_test(the_command_of_a_projection_names_no_path_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
