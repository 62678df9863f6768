/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/config/config_mask.h"
#include "base/json.h"
#include "tests/unit/agent/config/config_test.h"

static void print(const char *text, struct buf *out)
{
    CLEANUP(config_freep) struct config *config = config_good(text);
    config_print(config, out);
    assert_false(out->overflow);
}

static const char secrets[] =
    "name: d\n"
    "mongodb: {uri: \"mongodb://user:hunter2@h1,h2/?replicaSet=rs0"
    "&tlsCertificateKeyFilePassword=hunter2\"}\n"
    "worklog: {driver: memory, properties: {sasl.username: u, sasl.password: hunter2,"
    " ssl.key.pem: hunter2, client_SECRET: hunter2}}\n"
    "stores: {main: {driver: chroma, url: \"http://u:hunter2@h:8000/x?api_key=hunter2\","
    " token: hunter2, headers: {X-Plain: hunter2}}}\n"
    "embedders: {e: {driver: openai, url: \"http://hunter2@h\", model: m, dims: 8,"
    " api_key: hunter2, extra: {auth: {password: hunter2}, max_tokens: 5}}}\n";

static void no_secret_is_printed(void **state)
{
    (void)state;
    CLEANUP(buf_fini) struct buf text = BUF_INIT(MIB);
    print(secrets, &text);
    if (strstr(buf_str(&text), "hunter2"))
        fail_msg("%s", buf_str(&text));
    assert_non_null(strstr(buf_str(&text), "sasl.username: u"));
    assert_non_null(strstr(buf_str(&text), "token: \"***\""));
    assert_non_null(strstr(buf_str(&text), "max_tokens: 5"));
    assert_non_null(strstr(buf_str(&text), "mongodb://***@h1,h2/?replicaSet=rs0"));
    CLEANUP(config_freep) struct config *config = config_good(secrets);
    CLEANUP(cJSON_Deletep) cJSON *json = config_json(config);
    char *compact = json_print(json);
    assert_null(strstr(compact, "hunter2"));
    free(compact);
}

static void masks_are_safe_for_odd_addresses(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"http://h:1/a", "http://h:1/a"},
        {"http://u:p@h/", "http://***@h/"},
        {"http://u:p/w@x@h/", "http://***@h/"},
        {"http://u:p?w@h/", "http://***@h/"},
        {"http://h/?a=1&token=t&b=2#f", "http://h/?a=1&token=***&b=2#f"},
        {"http://h/?secret", "http://h/?secret"},
        {"u:p@h", "***@h"},
        {"", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        CLEANUP(buf_fini) struct buf text = BUF_INIT(KIB);
        config_mask_url(cases[i][0], &text);
        assert_string_equal(buf_str(&text), cases[i][1]);
    }
}

static const char odd_values[] = CONFIG_BEGIN CONFIG_STORES
    "instance: \"a: b # c \\\"d\\\" \\\\ \\n \\u00e4 $${HOME} true\"\n"
    "embedders:\n"
    "  nomic: {driver: openai, url: http://h, model: \"12\", dims: 768, document_prefix: "
    "\"null\",\n"
    "    query_prefix: \" \", extra: {a: [1, 2.5, {b: null}], c: \"1\", d: {}}, max_batch: 7,\n"
    "    timeout: 1500ms, price_per_million_tokens: 0.1}\n" CONFIG_FAMILY
    "    metadata: {\"*\": meta, \"a b\": [x, y.z], \"12\": n}\n"
    "    normalize: {stopwords: [the, \"no\", \"1\", \"\"]}\n"
    "    verify: {lag_for: 60s, max_lag_items: 7}\n"
    "    rollback_window: 72h\n";

static void what_is_printed_reads_back_the_same(void **state)
{
    (void)state;
    CLEANUP(buf_fini) struct buf first = BUF_INIT(MIB);
    CLEANUP(buf_fini) struct buf second = BUF_INIT(MIB);
    print(odd_values, &first);
    print(buf_str(&first), &second);
    assert_string_equal(buf_str(&first), buf_str(&second));
    CLEANUP(config_freep) struct config *config = config_good(buf_str(&first));
    assert_string_equal(config->instance, "a: b # c \"d\" \\ \n \xc3\xa4 ${HOME} true");
    assert_string_equal(config->embedders[0].model, "12");
    assert_string_equal(config->embedders[0].document_prefix, "null");
    assert_int_equal(config->embedders[0].timeout_ms, 1500);
    assert_int_equal(config->families[0].normalize.stopwords.count, 4);
    assert_int_equal(config->families[0].rollback_window_ms, 72LL * 3600 * 1000);
}

static void the_json_reads_back_the_same(void **state)
{
    (void)state;
    CLEANUP(buf_fini) struct buf first = BUF_INIT(MIB);
    CLEANUP(buf_fini) struct buf second = BUF_INIT(MIB);
    CLEANUP(config_freep) struct config *config = config_good(CONFIG_WHOLE);
    CLEANUP(cJSON_Deletep) cJSON *json = config_json(config);
    char *compact = json_print(json);
    config_print(config, &first);
    print(compact, &second);
    free(compact);
    assert_string_equal(buf_str(&first), buf_str(&second));
}

static void every_key_of_the_table_is_in_the_help(void **state)
{
    (void)state;
    CLEANUP(buf_fini) struct buf help = BUF_INIT(MIB);
    CLEANUP(buf_fini) struct buf page = BUF_INIT(MIB);
    config_help(&help);
    config_help_markdown(&page);
    assert_false(help.overflow || page.overflow);
    static const char *const keys[] = {"name",
                                       "worklog.partitions",
                                       "stores.*.url",
                                       "embedders.*.limits.max_in_flight",
                                       "families.*.chunk.max_chars",
                                       "serve.tls.key_file"};
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        assert_non_null(strstr(buf_str(&help), keys[i]));
        assert_non_null(strstr(buf_str(&page), keys[i]));
    }
    assert_non_null(strstr(buf_str(&help), "characters, 50..100000, default 1200"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_secret_is_printed),
        cmocka_unit_test(masks_are_safe_for_odd_addresses),
        cmocka_unit_test(what_is_printed_reads_back_the_same),
        cmocka_unit_test(the_json_reads_back_the_same),
        cmocka_unit_test(every_key_of_the_table_is_in_the_help),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
