/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <unistd.h>

#include "tests/unit/agent/config/config_test.h"

static struct config *load_example(const char *name)
{
    char beside[256];
    char path[4096];
    struct config_mistakes mistakes;
    snprintf(beside, sizeof(beside), "../../../examples/%s", name);
    config_path(__FILE__, beside, path);
    struct config *config = config_load(path, &mistakes);
    for (size_t i = 0; i < mistakes.count; i++)
        print_error("%s\n", mistakes.items[i]);
    config_mistakes_fini(&mistakes);
    assert_non_null(config);
    return config;
}

static void the_full_example_says_what_it_seems_to_say(void **state)
{
    (void)state;
    setenv("CHROMA_TOKEN", "", 1);
    setenv("HOSTNAME", "pod-a", 1);
    unsetenv("MONGODB_URI");
    CLEANUP(config_freep) struct config *config = load_example("vectail.yaml");
    assert_string_equal(config->name, "ducks");
    assert_string_equal(config->instance, "pod-a");
    assert_int_equal(config->roles, ROLE_CAPTURE | ROLE_WORK | ROLE_SERVE);
    assert_string_equal(config->mongodb.uri, "mongodb://127.0.0.1:27017/?replicaSet=rs0");
    assert_int_equal(config->worklog.driver, WORKLOG_KAFKA);
    assert_int_equal(config->worklog.retention_ms, 7LL * 24 * 3600 * 1000);
    const struct config_store *store = config_store_of(config, "main");
    assert_int_equal(store->driver, STORE_CHROMA);
    assert_null(store->token);
    assert_true(store->documents);
    const struct config_embedder *small = config_embedder_of(config, "small");
    assert_int_equal(small->driver, EMBEDDER_OPENAI);
    assert_int_equal(small->max_tokens, 8191);
    assert_true(fabs(small->price_per_million_tokens - 0.02) < 1e-9);
    assert_int_equal(small->limits.requests_per_minute, -1);
    assert_null(config_embedder_of(config, "large"));
}

static void the_family_of_the_full_example_is_read_whole(void **state)
{
    (void)state;
    CLEANUP(config_freep) struct config *config = load_example("vectail.yaml");
    const struct config_family *family = config_family_of(config, "duck_discord_messages");
    assert_non_null(family);
    assert_string_equal(family->source.filter, "{\"deleted\":{\"$ne\":true}}");
    assert_string_equal(family->source.id_field, "_id");
    assert_int_equal(family->text.count, 1);
    assert_string_equal(family->text.items[0], "content");
    assert_int_equal(family->metadata_count, 3);
    assert_string_equal(family->metadata[1].name, "created_at");
    assert_int_equal(family->metadata[1].paths.count, 2);
    assert_string_equal(family->metadata[1].paths.items[1], "created_at");
    assert_string_equal(family->metadata[2].name, "*");
    assert_string_equal(family->metadata[2].paths.items[0], "metadata");
    assert_string_equal(family->normalize.unicode, "nfc");
    assert_int_equal(family->chunk.max_chars, 1200);
    assert_int_equal(family->rollback_window_ms, 72LL * 3600 * 1000);
    assert_int_equal(family->verify.lag_for_ms, 60000);
    assert_true(fabs(family->verify.min_cosine - 0.98) < 1e-9);
    assert_true(fabs(family->sweep_max_ratio - 0.2) < 1e-9);
    assert_string_equal(family->alias.collection, "collection_aliases");
    assert_string_equal(config->serve.listen, "127.0.0.1:7700");
}

static void the_sidecar_example_needs_no_kafka(void **state)
{
    (void)state;
    CLEANUP(config_freep) struct config *config = load_example("sidecar.yaml");
    assert_int_equal(config->worklog.driver, WORKLOG_MEMORY);
    assert_null(config->worklog.brokers);
}

static void what_is_not_said_has_its_default(void **state)
{
    (void)state;
    unsetenv("HOSTNAME");
    CLEANUP(config_freep) struct config *config = config_good(CONFIG_WHOLE);
    assert_string_equal(config->instance, "");
    assert_string_equal(config->mongodb.state_database, "vectail");
    assert_int_equal(config->work.threads, 3);
    assert_int_equal(config->work.batch_documents, 500);
    assert_int_equal(config->stores[0].timeout_ms, 30000);
    assert_string_equal(config->stores[0].tenant, "default_tenant");
    const struct config_embedder *embedder = &config->embedders[0];
    assert_string_equal(embedder->document_prefix, "");
    assert_int_equal(embedder->max_tokens, -1);
    assert_int_equal(embedder->max_batch, -1);
    assert_int_equal(embedder->on_too_long, TOO_LONG_SPLIT);
    assert_int_equal(embedder->limits.max_in_flight, 4);
    assert_true(isnan(embedder->price_per_million_tokens));
    const struct config_family *family = &config->families[0];
    assert_null(family->source.filter);
    assert_int_equal(family->metadata_count, 0);
    assert_true(family->normalize.trim);
    assert_int_equal(family->quarantine_retry_every_ms, 24LL * 3600 * 1000);
    assert_int_equal(family->snapshot.parallelism, 1);
    assert_int_equal(family->snapshot.max_documents_per_second, -1);
    assert_string_equal(family->alias.database, "shop");
    assert_int_equal(family->cutover, CUTOVER_MANUAL);
    assert_int_equal(family->cutover_by, CUTOVER_BY_ALIAS);
    assert_null(family->served_name);
    assert_null(config->serve.token_file);
}

static void null_is_the_same_as_leaving_the_key_out(void **state)
{
    (void)state;
    CLEANUP(config_freep)
    struct config *config = config_good(CONFIG_WHOLE "work: {threads: null, batch_documents: }\n"
                                                     "roles: ~\nserve: null\n");
    assert_int_equal(config->work.threads, 3);
    assert_int_equal(config->work.batch_documents, 500);
    assert_int_equal(config->roles, ROLE_CAPTURE | ROLE_WORK | ROLE_SERVE);
}

static void a_json_file_is_read_like_a_yaml_file(void **state)
{
    (void)state;
    setenv("VECTAIL_TEST_DIMS", "768", 1);
    CLEANUP(config_freep)
    struct config *config = config_good(
        "{\"name\": \"ducks\",\n"
        "\t\"mongodb\": {\"uri\": \"mongodb:\\/\\/127.0.0.1/\"},\n"
        "\t\"worklog\": {\"driver\": \"memory\"},\n"
        "\t\"stores\": {\"main\": {\"driver\": \"chroma\", \"url\": \"http://127.0.0.1\"}},\n"
        "\t\"embedders\": {\"n\": {\"driver\": \"ollama\", \"url\": \"http://127.0.0.1\",\n"
        "\t\t\"model\": \"nomic\\u002dembed\", \"dims\": \"${VECTAIL_TEST_DIMS}\"}},\n"
        "\t\"families\": {\"docs\": {\"source\": {\"database\": \"d\", \"collection\": \"c\",\n"
        "\t\t\"filter\": {\"a\": [1, 2.5, \"3\", true, null]}},\n"
        "\t\t\"text\": [\"body\"], \"store\": \"main\",\n"
        "\t\t\"version\": {\"label\": \"v1\", \"embedder\": \"n\"}}}}\n");
    assert_string_equal(config->embedders[0].model, "nomic-embed");
    assert_int_equal(config->embedders[0].dims, 768);
    assert_string_equal(config->families[0].source.filter, "{\"a\":[1,2.5,\"3\",true,null]}");
}

static void a_store_may_be_null(void **state)
{
    (void)state;
    static const char *const drivers[] = {"null", "\"null\"", "'null'"};
    for (size_t i = 0; i < ARRAY_LEN(drivers); i++) {
        CLEANUP(buf_fini) struct buf text = BUF_INIT(MIB);
        buf_printf(&text,
                   CONFIG_BEGIN "stores: {main: {driver: %s}}\n" CONFIG_EMBEDDERS CONFIG_FAMILY,
                   drivers[i]);
        CLEANUP(config_freep) struct config *config = config_good(buf_str(&text));
        assert_int_equal(config->stores[0].driver, STORE_NULL);
    }
}

static void two_families_may_share_a_source(void **state)
{
    (void)state;
    CLEANUP(config_freep)
    struct config *config =
        config_good(CONFIG_WHOLE "  docs_too:\n"
                                 "    source: {database: shop, collection: articles}\n"
                                 "    text: [title]\n"
                                 "    store: main\n"
                                 "    version: {label: v1, embedder: nomic}\n");
    assert_int_equal(config->family_count, 2);
}

static void a_test_embedder_is_accepted_when_it_is_asked_for(void **state)
{
    (void)state;
    CLEANUP(config_freep)
    struct config *config = config_good(
        CONFIG_BEGIN CONFIG_STORES "embedders: {nomic: {driver: hash, dims: 256}}\n" CONFIG_FAMILY
                                   "    allow_test_embedder: true\n");
    assert_int_equal(config->embedders[0].driver, EMBEDDER_HASH);
    assert_true(config->families[0].allow_test_embedder);
}

static void a_family_may_ask_for_no_version(void **state)
{
    (void)state;
    CLEANUP(config_freep)
    struct config *config = config_good(CONFIG_BEGIN CONFIG_STORES CONFIG_EMBEDDERS
                                        "families: {docs: {source: {database: shop, collection: "
                                        "articles}, text: [body], store: main}}\n");
    assert_null(config->families[0].version.label);
    assert_null(config->families[0].version.embedder);
}

static void limits_and_the_retry_of_what_was_set_aside_may_be_chosen(void **state)
{
    (void)state;
    CLEANUP(config_freep)
    struct config *config = config_good(
        CONFIG_BEGIN CONFIG_STORES
        "embedders:\n"
        "  nomic: {driver: ollama, url: http://127.0.0.1:11434, model: n, dims: 768,\n"
        "          limits: {max_in_flight: 2, requests_per_minute: 60, tokens_per_minute: 1000,\n"
        "                   characters_per_day: 5}}\n" CONFIG_FAMILY
        "    quarantine: {retry_every: 90m}\n");
    const struct config_limits *limits = &config->embedders[0].limits;
    assert_int_equal(limits->max_in_flight, 2);
    assert_int_equal(limits->requests_per_minute, 60);
    assert_int_equal(limits->tokens_per_minute, 1000);
    assert_int_equal(limits->characters_per_day, 5);
    assert_int_equal(config->families[0].quarantine_retry_every_ms, 90 * 60 * 1000);
}

static void there_may_be_no_family_at_all(void **state)
{
    (void)state;
    CLEANUP(config_freep) struct config *config = config_good(CONFIG_BEGIN "families: {}\n");
    assert_int_equal(config->family_count, 0);
}

static void kafkas_keys_may_stay_when_the_work_log_is_in_memory(void **state)
{
    (void)state;
    CLEANUP(config_freep)
    struct config *config =
        config_good("name: d\nmongodb: {uri: \"mongodb://127.0.0.1/\"}\n"
                    "worklog: {driver: memory, brokers: \"k:9092\", partitions: 3}\n");
    assert_int_equal(config->worklog.partitions, 3);
}

static void an_address_beyond_loopback_is_accepted_with_a_token(void **state)
{
    (void)state;
    static const char *const listens[] = {
        "{listen: \"0.0.0.0:7700\", token_file: /run/secrets/token}",
        "{listen: \"[::]:7700\", token_file: /run/secrets/token}",
        "{listen: \"[::1]:7700\"}",
        "{listen: \"localhost:80\"}",
        "{listen: \"127.8.9.1:65535\"}",
    };
    for (size_t i = 0; i < ARRAY_LEN(listens); i++) {
        CLEANUP(buf_fini) struct buf text = BUF_INIT(MIB);
        buf_printf(&text, CONFIG_WHOLE "serve: %s\n", listens[i]);
        CLEANUP(config_freep) struct config *config = config_good(buf_str(&text));
        assert_non_null(config->serve.listen);
    }
}

static void make_secret(char name[static 64], const char *content)
{
    snprintf(name, 64, "/tmp/vectail-test-XXXXXX");
    int fd = mkstemp(name);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, content, strlen(content)), strlen(content));
    close(fd);
}

static void a_secret_may_stand_in_a_file(void **state)
{
    (void)state;
    char uri[64];
    char token[64];
    make_secret(uri, "mongodb://user:hunter2@127.0.0.1/\r\n");
    make_secret(token, "  t0ken ${NOT_REPLACED}\n");
    CLEANUP(buf_fini) struct buf text = BUF_INIT(MIB);
    buf_printf(&text,
               "name: d\nmongodb: {uri_file: %s}\nworklog: {driver: memory}\n"
               "stores: {main: {driver: chroma, url: \"http://h\", token: , token_file: %s}}\n",
               uri, token);
    CLEANUP(config_freep) struct config *config = config_good(buf_str(&text));
    unlink(uri);
    unlink(token);
    assert_string_equal(config->mongodb.uri, "mongodb://user:hunter2@127.0.0.1/");
    assert_string_equal(config->stores[0].token, "  t0ken ${NOT_REPLACED}");
}

static void extra_may_be_a_map_or_json_text(void **state)
{
    (void)state;
    static const char *const extras[] = {
        "{user: me, n: 1, deep: {list: [true]}}",
        "'{\"user\":\"me\",\"n\":1,\"deep\":{\"list\":[true]}}'",
    };
    for (size_t i = 0; i < ARRAY_LEN(extras); i++) {
        CLEANUP(buf_fini) struct buf text = BUF_INIT(MIB);
        buf_printf(&text,
                   CONFIG_BEGIN "embedders: {e: {driver: openai, url: \"http://h\", model: m,"
                                " dims: 8, extra: %s}}\n",
                   extras[i]);
        CLEANUP(config_freep) struct config *config = config_good(buf_str(&text));
        assert_string_equal(config->embedders[0].extra,
                            "{\"user\":\"me\",\"n\":1,\"deep\":{\"list\":[true]}}");
    }
}

static void headers_and_properties_are_kept_as_text(void **state)
{
    (void)state;
    CLEANUP(config_freep)
    struct config *config =
        config_good("name: d\nmongodb: {uri: \"mongodb://127.0.0.1/\"}\n"
                    "worklog: {driver: memory, properties: {linger.ms: 5, ssl.crl.location: ,"
                    " enable.ssl.certificate.verification: true}}\n"
                    "stores: {m: {driver: chroma, url: \"http://h\", headers: {X-A: \"1\"}}}\n");
    assert_int_equal(config->worklog.properties.count, 2);
    assert_string_equal(config->worklog.properties.items[0].value, "5");
    assert_string_equal(config->worklog.properties.items[1].value, "true");
    assert_string_equal(config->stores[0].headers.items[0].name, "X-A");
}

/* Whatever comes out: no crash, and either a configuration or a mistake. */
static void parse_anything(const char *text, size_t size)
{
    struct config_mistakes mistakes;
    struct config *config = config_parse(text, size, "test.yaml", &mistakes);
    assert_int_equal(config == NULL, mistakes.count > 0);
    config_mistakes_fini(&mistakes);
    config_free(config);
}

static void read_example(struct buf *text)
{
    char path[4096];
    config_path(__FILE__, "../../../examples/vectail.yaml", path);
    config_read_all(path, text);
}

static void a_truncated_file_never_crashes(void **state)
{
    (void)state;
    CLEANUP(buf_fini) struct buf text = BUF_INIT(2 * MIB);
    read_example(&text);
    for (size_t size = 0; size < text.size; size++) {
        char *copy = malloc(size + 1); /* so that a read beyond the end is seen */
        assert_non_null(copy);
        memcpy(copy, buf_str(&text), size);
        parse_anything(copy, size);
        free(copy);
    }
}

static void a_damaged_file_never_crashes(void **state)
{
    (void)state;
    static const char bytes[] = "{}[]:,#&*!|>'\"%@`$- \t\n\0\x80\xff~?9aZ";
    CLEANUP(buf_fini) struct buf text = BUF_INIT(2 * MIB);
    read_example(&text);
    unsigned seed = 12345;
    for (int round = 0; round < 3000; round++) {
        for (int change = 0; change < 1 + round % 4; change++) {
            seed = seed * 1664525u + 1013904223u;
            text.data[(seed >> 8) % text.size] = bytes[(seed >> 3) % (sizeof(bytes) - 1)];
        }
        parse_anything(buf_str(&text), text.size);
        if (round % 8 == 7) {
            buf_fini(&text);
            read_example(&text);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_full_example_says_what_it_seems_to_say),
        cmocka_unit_test(the_family_of_the_full_example_is_read_whole),
        cmocka_unit_test(the_sidecar_example_needs_no_kafka),
        cmocka_unit_test(what_is_not_said_has_its_default),
        cmocka_unit_test(null_is_the_same_as_leaving_the_key_out),
        cmocka_unit_test(a_json_file_is_read_like_a_yaml_file),
        cmocka_unit_test(a_store_may_be_null),
        cmocka_unit_test(two_families_may_share_a_source),
        cmocka_unit_test(a_test_embedder_is_accepted_when_it_is_asked_for),
        cmocka_unit_test(a_family_may_ask_for_no_version),
        cmocka_unit_test(limits_and_the_retry_of_what_was_set_aside_may_be_chosen),
        cmocka_unit_test(there_may_be_no_family_at_all),
        cmocka_unit_test(kafkas_keys_may_stay_when_the_work_log_is_in_memory),
        cmocka_unit_test(an_address_beyond_loopback_is_accepted_with_a_token),
        cmocka_unit_test(a_secret_may_stand_in_a_file),
        cmocka_unit_test(extra_may_be_a_map_or_json_text),
        cmocka_unit_test(headers_and_properties_are_kept_as_text),
        cmocka_unit_test(a_truncated_file_never_crashes),
        cmocka_unit_test(a_damaged_file_never_crashes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
