/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/agent/config/config_test.h"

static void expect_filter(const char *yaml, const char *expected)
{
    CLEANUP(buf_fini) struct buf text = BUF_INIT(MIB);
    buf_printf(&text,
               CONFIG_BEGIN CONFIG_STORES CONFIG_EMBEDDERS
               "families:\n  docs:\n    source: {database: d, collection: c, filter: %s}\n"
               "    text: [body]\n    store: main\n    version: {label: v1, embedder: nomic}\n",
               yaml);
    CLEANUP(config_freep) struct config *config = config_good(buf_str(&text));
    if (expected)
        assert_string_equal(config->families[0].source.filter, expected);
    else
        assert_null(config->families[0].source.filter);
}

static void scalars_keep_their_types(void **state)
{
    (void)state;
    expect_filter("{a: true, b: 12, c: 1.5, d: text, e: null}",
                  "{\"a\":true,\"b\":12,\"c\":1.5,\"d\":\"text\",\"e\":null}");
    expect_filter("{a: \"true\", b: '12', c: yes, d: 2025-01-01}",
                  "{\"a\":\"true\",\"b\":\"12\",\"c\":\"yes\",\"d\":\"2025-01-01\"}");
    expect_filter("{a: 0x10, b: -7, c: +7, d: 1.0, e: .5, f: 1e3}",
                  "{\"a\":16,\"b\":-7,\"c\":7,\"d\":1.0,\"e\":0.5,\"f\":1000.0}");
    expect_filter("{a: 9223372036854775807}", "{\"a\":9223372036854775807}");
}

static void every_operator_passes(void **state)
{
    (void)state;
    expect_filter("{a: {$eq: 1}, b.c: {$ne: 2, $exists: true}, d: {$in: [1, x]}, e: {$nin: []}}",
                  "{\"a\":{\"$eq\":1},\"b.c\":{\"$ne\":2,\"$exists\":true},"
                  "\"d\":{\"$in\":[1,\"x\"]},\"e\":{\"$nin\":[]}}");
    expect_filter(
        "{a: {$gt: 1, $gte: 1, $lt: 9, $lte: 9}, b: {$not: {$gt: 5}}}",
        "{\"a\":{\"$gt\":1,\"$gte\":1,\"$lt\":9,\"$lte\":9},\"b\":{\"$not\":{\"$gt\":5}}}");
    expect_filter("{$or: [{a: 1}, {$and: [{b: 2}, {c: 3}]}]}",
                  "{\"$or\":[{\"a\":1},{\"$and\":[{\"b\":2},{\"c\":3}]}]}");
}

static void extended_json_passes(void **state)
{
    (void)state;
    expect_filter("{a: {$oid: 123456789012345678901234}}",
                  "{\"a\":{\"$oid\":\"123456789012345678901234\"}}");
    expect_filter("{a: {$gt: {$date: \"2025-01-01T00:00:00Z\"}}}",
                  "{\"a\":{\"$gt\":{\"$date\":\"2025-01-01T00:00:00Z\"}}}");
    expect_filter("{a: {$in: [{$numberLong: 5}, {$numberInt: \"6\"}]}}",
                  "{\"a\":{\"$in\":[{\"$numberLong\":\"5\"},{\"$numberInt\":\"6\"}]}}");
    expect_filter("{a: {$numberDecimal: 1.10}, b: {$numberDouble: NaN}}",
                  "{\"a\":{\"$numberDecimal\":\"1.10\"},\"b\":{\"$numberDouble\":\"NaN\"}}");
    expect_filter("{a: {$binary: {base64: AAAA, subType: \"00\"}}}",
                  "{\"a\":{\"$binary\":{\"base64\":\"AAAA\",\"subType\":\"00\"}}}");
    expect_filter("{a: {$date: {$numberLong: \"0\"}}}",
                  "{\"a\":{\"$date\":{\"$numberLong\":\"0\"}}}");
}

static void whole_values_may_be_compared(void **state)
{
    (void)state;
    expect_filter("{a: {b: 1, c: [x]}, d: [1, {e: 2}]}",
                  "{\"a\":{\"b\":1,\"c\":[\"x\"]},\"d\":[1,{\"e\":2}]}");
    expect_filter("{a: {}}", "{\"a\":{}}");
}

static void no_filter_is_none_and_an_empty_one_takes_all(void **state)
{
    (void)state;
    expect_filter("null", NULL);
    expect_filter("{}", "{}");
}

static void the_environment_gives_typed_values(void **state)
{
    (void)state;
    setenv("VT_YEAR", "2025", 1);
    expect_filter("{year: ${VT_YEAR}, tenant: \"t-${VT_YEAR}\"}",
                  "{\"year\":2025,\"tenant\":\"t-2025\"}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scalars_keep_their_types),
        cmocka_unit_test(every_operator_passes),
        cmocka_unit_test(extended_json_passes),
        cmocka_unit_test(whole_values_may_be_compared),
        cmocka_unit_test(no_filter_is_none_and_an_empty_one_takes_all),
        cmocka_unit_test(the_environment_gives_typed_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
