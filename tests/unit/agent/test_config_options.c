/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/config/config_options.h"
#include "tests/unit/agent/config/config_test.h"

static void every_path_stands_once_and_has_a_sentence(void **state)
{
    (void)state;
    for (size_t i = 0; i < config_option_count(); i++) {
        const struct config_option *option = config_option_at(i);
        assert_ptr_equal(config_option_find(option->path), option);
        size_t length = strlen(option->sentence);
        assert_true(length > 5 && option->sentence[length - 1] == '.');
        assert_non_null(config_option_key(option));
    }
}

static void a_required_key_has_no_default(void **state)
{
    (void)state;
    for (size_t i = 0; i < config_option_count(); i++) {
        const struct config_option *option = config_option_at(i);
        if (option->flags & CONFIG_REQUIRED)
            assert_null(option->fallback);
    }
}

static void what_is_built_holds_the_default(void **state)
{
    (void)state;
    for (size_t i = 0; i < config_option_count(); i++) {
        const struct config_option *option = config_option_at(i);
        if (!option->built || option->flags & CONFIG_REQUIRED)
            continue;
        const char *fallback = option->fallback ? option->fallback : "null";
        assert_true(config_choice_find(option->built, fallback) >= 0);
    }
}

/* The enums of config.h are kept as the index of the choice. */
static void choices_stand_in_the_order_of_their_enums(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        const char *word;
        unsigned value;
    } cases[] = {
        {"worklog.driver", "memory", WORKLOG_MEMORY},
        {"stores.*.driver", "pgvector", STORE_PGVECTOR},
        {"stores.*.driver", "null", STORE_NULL},
        {"embedders.*.driver", "openai", EMBEDDER_OPENAI},
        {"embedders.*.driver", "ollama", EMBEDDER_OLLAMA},
        {"embedders.*.on_too_long", "quarantine", TOO_LONG_QUARANTINE},
        {"families.*.distance", "l2", DISTANCE_L2},
        {"families.*.distance", "ip", DISTANCE_IP},
        {"families.*.chunk.strategy", "fixed", CHUNK_FIXED},
        {"families.*.chunk.strategy", "none", CHUNK_NONE},
        {"families.*.id_scheme", "content", ID_CONTENT},
        {"families.*.cutover", "auto", CUTOVER_AUTO},
        {"families.*.cutover_by", "rename", CUTOVER_BY_RENAME},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct config_option *option = config_option_find(cases[i].path);
        assert_non_null(option);
        assert_int_equal(config_choice_find(option->unit, cases[i].word), cases[i].value);
    }
    assert_int_equal(1 << config_choice_find(config_option_find("roles")->unit, "serve"),
                     ROLE_SERVE);
}

static void expect_nearest(const char *pattern, const char *key, const char *expected)
{
    CLEANUP(buf_fini) struct buf found = BUF_INIT(KIB);
    config_option_nearest(pattern, key, &found);
    assert_string_equal(buf_str(&found), expected);
}

static void the_nearest_key_is_suggested(void **state)
{
    (void)state;
    expect_nearest("", "familes", "families");
    expect_nearest("worklog", "broker", "brokers");
    expect_nearest("worklog", "replication", "");
    expect_nearest("stores.*", "tokenfile", "token_file");
    expect_nearest("embedders.*", "dim", "dims");
    expect_nearest("embedders.*", "dimensions", "");
    expect_nearest("families.*", "overlap_chars", "chunk.overlap_chars");
    expect_nearest("families.*", "x", "");
    expect_nearest("", "url", "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_path_stands_once_and_has_a_sentence),
        cmocka_unit_test(a_required_key_has_no_default),
        cmocka_unit_test(what_is_built_holds_the_default),
        cmocka_unit_test(choices_stand_in_the_order_of_their_enums),
        cmocka_unit_test(the_nearest_key_is_suggested),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
