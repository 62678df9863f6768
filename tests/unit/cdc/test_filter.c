/* SPDX-License-Identifier: Apache-2.0 */
#include "cdc/filter.h"

#include <string.h>

#include "base/buf.h"
#include "support/test.h"

static bson_t *parse(const char *json)
{
    bson_error_t error;
    bson_t *doc = bson_new_from_json((const uint8_t *)json, -1, &error);
    if (!doc)
        fail_msg("%s: %s", json, error.message);
    return doc;
}

static bool matches(const char *filter_json, const char *doc_json)
{
    struct err err;
    CLEANUP(filter_freep) struct filter *filter = NULL;
    if (!filter_compile(filter_json, &filter, &err))
        fail_msg("%s: %s", filter_json, err.text);
    bson_t *doc = parse(doc_json);
    bool matched = filter_matches(filter, doc);
    bson_destroy(doc);
    return matched;
}

#define assert_matches(filter, doc) assert_true(matches(filter, doc))
#define assert_differs(filter, doc) assert_false(matches(filter, doc))

static void no_filter_matches_everything(void **state)
{
    (void)state;
    struct err err;
    CLEANUP(filter_freep) struct filter *filter = NULL;
    assert_true(filter_compile(NULL, &filter, &err));
    bson_t doc = BSON_INITIALIZER;
    assert_true(filter_matches(filter, &doc));
    assert_null(filter_document(filter));
    bson_destroy(&doc);
    assert_matches("{}", "{\"a\":1}");
}

static void numbers_match_by_value_and_types_stay_apart(void **state)
{
    (void)state;
    assert_matches("{\"a\":1}", "{\"a\":{\"$numberDecimal\":\"1.0\"}}");
    assert_matches("{\"a\":{\"$gt\":1}}", "{\"a\":{\"$numberDouble\":\"1.5\"}}");
    assert_differs("{\"a\":{\"$gt\":1}}", "{\"a\":\"2\"}");
    assert_differs("{\"a\":{\"$lt\":1}}", "{\"a\":null}");
    assert_differs("{\"a\":{\"$lt\":1}}", "{}");
    assert_differs("{\"a\":{\"$lt\":5}}", "{\"a\":{\"$numberDouble\":\"NaN\"}}");
    assert_matches("{\"a\":{\"$gte\":{\"$numberDouble\":\"NaN\"}}}",
                   "{\"a\":{\"$numberDecimal\":\"NaN\"}}");
    assert_differs("{\"a\":{\"$gte\":{\"$numberDouble\":\"NaN\"}}}", "{\"a\":1}");
}

static void min_key_and_max_key_compare_with_all_types(void **state)
{
    (void)state;
    assert_matches("{\"a\":{\"$gt\":{\"$minKey\":1}}}", "{\"a\":\"x\"}");
    assert_matches("{\"a\":{\"$lte\":{\"$maxKey\":1}}}", "{}");
    assert_differs("{\"a\":{\"$lt\":{\"$minKey\":1}}}", "{\"a\":1}");
}

static void null_is_missing_also_in_documents_of_an_array(void **state)
{
    (void)state;
    assert_matches("{\"a\":null}", "{}");
    assert_matches("{\"a\":null}", "{\"a\":null}");
    assert_differs("{\"a\":null}", "{\"a\":0}");
    assert_matches("{\"a\":{\"$gte\":null}}", "{}");
    assert_differs("{\"a\":{\"$gt\":null}}", "{}");
    assert_matches("{\"a\":{\"$in\":[1,null]}}", "{}");
    assert_matches("{\"a.b\":null}", "{\"a\":[{\"b\":1},{}]}");
    assert_differs("{\"a.b\":null}", "{\"a\":[1]}");
    assert_differs("{\"a.b\":{\"$ne\":null}}", "{\"a\":[{\"b\":1},{}]}");
}

static void an_array_matches_by_any_element_or_as_a_whole(void **state)
{
    (void)state;
    assert_matches("{\"a\":2}", "{\"a\":[1,2]}");
    assert_matches("{\"a\":[1,2]}", "{\"a\":[1,2]}");
    assert_matches("{\"a\":[1,2]}", "{\"a\":[[1,2]]}");
    assert_differs("{\"a\":{\"$ne\":2}}", "{\"a\":[1,2]}");
    assert_matches("{\"a\":{\"$ne\":3}}", "{\"a\":[1,2]}");
    assert_differs("{\"a\":{\"$nin\":[1,5]}}", "{\"a\":[1,2]}");
    assert_matches("{\"a\":{\"$nin\":[5]}}", "{}");
    assert_matches("{\"a\":{\"$gt\":1,\"$lt\":2}}", "{\"a\":[0,3]}"); /* two elements share it */
    assert_matches("{\"a.0\":1}", "{\"a\":[1]}");
    assert_matches("{\"a.b\":{\"$gt\":1}}", "{\"a\":[{\"b\":1},{\"b\":2}]}");
}

static void exists_looks_at_the_path_alone(void **state)
{
    (void)state;
    assert_matches("{\"a\":{\"$exists\":true}}", "{\"a\":null}");
    assert_matches("{\"a\":{\"$exists\":true}}", "{\"a\":[]}");
    assert_differs("{\"a\":{\"$exists\":true}}", "{}");
    assert_matches("{\"a\":{\"$exists\":false}}", "{}");
    assert_matches("{\"a.b\":{\"$exists\":true}}", "{\"a\":[{},{\"b\":1}]}");
    assert_differs("{\"a.b\":{\"$exists\":false}}", "{\"a\":[{},{\"b\":1}]}");
    assert_matches("{\"a\":{\"$exists\":0}}", "{}");
}

static void not_and_or_nest(void **state)
{
    (void)state;
    assert_matches("{\"a\":{\"$not\":{\"$gt\":1}}}", "{}");
    assert_matches("{\"a\":{\"$not\":{\"$gt\":1,\"$lt\":5}}}", "{\"a\":7}");
    assert_differs("{\"a\":{\"$not\":{\"$gt\":1,\"$lt\":5}}}", "{\"a\":3}");
    assert_matches("{\"a\":{\"$not\":{\"$not\":{\"$gt\":1}}}}", "{\"a\":2}");
    assert_matches("{\"$or\":[{\"a\":1},{\"$and\":[{\"b\":2},{\"c\":3}]}],\"d\":4}",
                   "{\"b\":2,\"c\":3,\"d\":4}");
    assert_differs("{\"$or\":[{\"a\":1},{\"$and\":[{\"b\":2},{\"c\":3}]}],\"d\":4}",
                   "{\"b\":2,\"d\":4}");
}

static void a_document_without_operators_is_a_value(void **state)
{
    (void)state;
    assert_matches("{\"a\":{\"b\":1}}", "{\"a\":{\"b\":1}}");
    assert_differs("{\"a\":{\"b\":1}}", "{\"a\":{\"b\":1,\"c\":2}}");
    assert_matches("{\"a\":{}}", "{\"a\":{}}");
    assert_differs("{\"a\":{}}", "{\"a\":1}");
}

static void assert_refused(const char *json, const char *named)
{
    struct err err = {0};
    struct filter *filter;
    if (filter_compile(json, &filter, &err))
        fail_msg("%s is taken", json);
    assert_int_equal(err.action, ERR_REJECT);
    assert_int_equal(err.domain, ERR_CONFIG);
    if (!strstr(err.text, named))
        fail_msg("%s: '%s' does not name %s", json, err.text, named);
}

static void what_is_not_understood_is_refused_by_name(void **state)
{
    (void)state;
    assert_refused("{\"a\":", "filter");
    assert_refused("{\"$nor\":[{\"a\":1}]}", "$nor");
    assert_refused("{\"$expr\":{}}", "$expr");
    assert_refused("{\"a\":{\"$regex\":\"x\"}}", "'a'");
    assert_refused("{\"a\":{\"$size\":1}}", "$size");
    assert_refused("{\"a\":{\"$gt\":1,\"b\":2}}", "b");
    assert_refused("{\"a\":{\"$in\":1}}", "$in");
    assert_refused("{\"a\":{\"$nin\":[{\"$gt\":1}]}}", "$nin");
    assert_refused(
        "{\"a\":{\"$in\":[{\"$regularExpression\":{\"pattern\":\"a\",\"options\":\"\"}}]}}", "$in");
    assert_refused(
        "{\"a\":{\"$ne\":{\"$regularExpression\":{\"pattern\":\"a\",\"options\":\"\"}}}}", "$ne");
    assert_refused("{\"a\":{\"$undefined\":true}}", "'a'");
    assert_refused("{\"a\":{\"$not\":1}}", "'a'");
    assert_refused("{\"a\":{\"$not\":{}}}", "'a'");
    assert_refused("{\"$or\":[]}", "$or");
    assert_refused("{\"$and\":{\"a\":1}}", "$and");
    assert_refused("{\"$and\":[1]}", "$and");
}

static void a_filter_nested_too_deeply_is_refused(void **state)
{
    (void)state;
    CLEANUP(buf_fini) struct buf json = BUF_INIT(10000);
    for (int i = 0; i < 40; i++)
        buf_puts(&json, "{\"$and\":[");
    buf_puts(&json, "{}");
    for (int i = 0; i < 40; i++)
        buf_puts(&json, "]}");
    assert_refused(buf_str(&json), "deep");
    buf_clear(&json);
    buf_puts(&json, "{\"a\":");
    for (int i = 0; i < 40; i++)
        buf_puts(&json, "{\"$not\":");
    buf_puts(&json, "{\"$gt\":1}");
    for (int i = 0; i < 41; i++)
        buf_puts(&json, "}");
    assert_refused(buf_str(&json), "deep");
}

static void note(const char *path, void *context)
{
    struct buf *seen = context;
    buf_printf(seen, "%s ", path);
}

static void all_paths_of_a_filter_are_told(void **state)
{
    (void)state;
    struct err err;
    CLEANUP(filter_freep) struct filter *filter = NULL;
    CLEANUP(buf_fini) struct buf seen = BUF_INIT(1000);
    assert_true(filter_compile(
        "{\"a.b\":1,\"$or\":[{\"c\":{\"$not\":{\"$gt\":1}}},{\"d\":{\"$ne\":2}}]}", &filter, &err));
    filter_paths(filter, note, &seen);
    assert_string_equal(buf_str(&seen), "a.b c d ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_filter_matches_everything),
        cmocka_unit_test(numbers_match_by_value_and_types_stay_apart),
        cmocka_unit_test(min_key_and_max_key_compare_with_all_types),
        cmocka_unit_test(null_is_missing_also_in_documents_of_an_array),
        cmocka_unit_test(an_array_matches_by_any_element_or_as_a_whole),
        cmocka_unit_test(exists_looks_at_the_path_alone),
        cmocka_unit_test(not_and_or_nest),
        cmocka_unit_test(a_document_without_operators_is_a_value),
        cmocka_unit_test(what_is_not_understood_is_refused_by_name),
        cmocka_unit_test(a_filter_nested_too_deeply_is_refused),
        cmocka_unit_test(all_paths_of_a_filter_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
