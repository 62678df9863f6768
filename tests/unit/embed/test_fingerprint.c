/* SPDX-License-Identifier: Apache-2.0 */
#include "embed/fingerprint.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/limits.h"
#include "support/test.h"

static struct embed_config example(void)
{
    static const char *const fields[] = {"title", "content"};
    static const char *const stopwords[] = {"the"};
    return (struct embed_config){
        .driver = "ollama",
        .model = "nomic-embed-text",
        .digest = "0a109f42",
        .dims = 768,
        .distance = "cosine",
        .normalize = {.form = TEXT_FORM_NFC,
                      .trim = true,
                      .stopwords = stopwords,
                      .stopword_count = 1},
        .document_prefix = "search_document: ",
        .query_prefix = "search_query: ",
        .chunk = {CHUNKER_RECURSIVE, 1200, 120},
        .id_scheme = "position",
        .text_fields = fields,
        .text_field_count = 2,
    };
}

static void fp_of(const struct embed_config *config, char out[static SHA256_TEXT_SIZE])
{
    CLEANUP(cJSON_Deletep) cJSON *object = embed_config_json(config);
    config_fp(object, out);
}

static void content_is_the_sha256_of_the_bytes(void **state)
{
    (void)state;
    char text[SHA256_TEXT_SIZE];
    struct sha256 fp = content_fp("abc", 3);
    sha256_format(&fp, text);
    assert_string_equal(text,
                        "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static void config_does_not_depend_on_the_order_of_members(void **state)
{
    (void)state;
    struct embed_config config = example();
    CLEANUP(cJSON_Deletep) cJSON *object = embed_config_json(&config);
    char before[SHA256_TEXT_SIZE];
    char after[SHA256_TEXT_SIZE];
    config_fp(object, before);
    cJSON *first = cJSON_DetachItemFromObjectCaseSensitive(object, "driver");
    json_add(object, "driver", first);
    config_fp(object, after);
    assert_string_equal(before, after);
}

static void holds_the_versions_of_chunker_tables_and_input(void **state)
{
    (void)state;
    struct embed_config config = example();
    CLEANUP(cJSON_Deletep) cJSON *object = embed_config_json(&config);
    int64_t version = 0;
    const char *text = NULL;
    assert_true(json_get_int(json_get(object, "chunk"), "version", &version));
    assert_int_equal(version, CHUNKER_VERSION);
    assert_true(json_get_string(object, "unicode_version", &text));
    assert_string_equal(text, text_unicode_version());
    assert_true(json_get_string(object, "input_format", &text));
    assert_string_equal(text, EMBED_INPUT_FORMAT);
}

static void every_member_changes_the_config_fp(void **state)
{
    (void)state;
    static const char *const fields[] = {"content", "title"};
    struct embed_config variants[19];
    size_t count = 0;
    for (size_t i = 0; i < ARRAY_LEN(variants); i++)
        variants[i] = example();
    variants[++count].driver = "openai";
    variants[++count].model = "other";
    variants[++count].digest = "";
    variants[++count].dims = 384;
    variants[++count].distance = "l2";
    variants[++count].normalize.form = TEXT_FORM_NFKC;
    variants[++count].normalize.trim = false;
    variants[++count].normalize.lowercase = true;
    variants[++count].normalize.stopword_count = 0;
    variants[++count].document_prefix = "";
    variants[++count].query_prefix = NULL;
    variants[++count].chunk.strategy = CHUNKER_FIXED;
    variants[++count].chunk.max_chars = 1201;
    variants[++count].chunk.overlap_chars = 0;
    variants[++count].id_scheme = "content";
    variants[++count].send_dimensions = true;
    variants[++count].extra = "{\"input_type\":\"document\"}";
    variants[++count].extra = "{\"input_type\":\"query\"}";
    assert_int_equal(count + 1, ARRAY_LEN(variants));
    char fps[ARRAY_LEN(variants) + 1][SHA256_TEXT_SIZE];
    for (size_t i = 0; i < ARRAY_LEN(variants); i++)
        fp_of(&variants[i], fps[i]);
    struct embed_config reordered = example();
    reordered.text_fields = fields;
    fp_of(&reordered, fps[ARRAY_LEN(variants)]);
    for (size_t i = 0; i < ARRAY_LEN(fps); i++) {
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(fps[i], fps[j]);
    }
}

static void what_decides_a_vector_changes_the_embedding_fp_and_nothing_else_does(void **state)
{
    (void)state;
    struct embed_config others[16], same[16];
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        others[i] = same[i] = example();
    size_t other_count = 0, same_count = 0;
    other_count++; /* the example itself */
    others[other_count++].driver = "openai";
    others[other_count++].model = "other";
    others[other_count++].digest = "";
    others[other_count++].dims = 384;
    others[other_count++].document_prefix = "";
    others[other_count++].send_dimensions = true;
    others[other_count++].extra = "{\"input_type\":\"document\"}";
    others[other_count++].extra = "{\"input_type\":\"query\"}";
    same[same_count++].distance = "l2";
    same[same_count++].normalize.lowercase = true;
    same[same_count++].query_prefix = "";
    same[same_count++].chunk.max_chars = 1201;
    same[same_count++].id_scheme = "content";
    same[same_count++].text_field_count = 1;
    struct sha256 fps[ARRAY_LEN(others)];
    for (size_t i = 0; i < other_count; i++) {
        fps[i] = embedding_fp(&others[i]);
        for (size_t j = 0; j < i; j++)
            assert_memory_not_equal(&fps[i], &fps[j], sizeof fps[i]);
    }
    for (size_t i = 0; i < same_count; i++) {
        struct sha256 fp = embedding_fp(&same[i]);
        assert_memory_equal(&fp, &fps[0], sizeof fp);
    }
}

static void without_additions_to_its_requests_a_config_is_what_it_always_was(void **state)
{
    (void)state;
    struct embed_config config = example();
    struct sha256 fp = embedding_fp(&config);
    char text[SHA256_TEXT_SIZE];
    sha256_format(&fp, text);
    assert_string_equal(text,
                        "sha256:52ea604aa4de9862d89806bd32b8c1fcd8853a4418fcf29c2aac6ae05886b7f3");
    CLEANUP(cJSON_Deletep) cJSON *object = embed_config_json(&config);
    assert_int_equal(cJSON_GetArraySize(object), 13);
    CLEANUP(arena_freep) struct arena *arena = arena_new(MIB);
    struct embed_config back;
    struct err err = {0};
    assert_true(embed_config_read(object, arena, &back, &err));
    assert_false(back.send_dimensions);
    assert_null(back.extra);
}

static void reads_what_it_wrote(void **state)
{
    (void)state;
    struct embed_config config = example();
    config.send_dimensions = true;
    config.extra = "{\"a\":1}";
    CLEANUP(cJSON_Deletep) cJSON *object = embed_config_json(&config);
    CLEANUP(arena_freep) struct arena *arena = arena_new(MIB);
    struct embed_config back;
    struct err err = {0};
    assert_true(embed_config_read(object, arena, &back, &err));
    assert_string_equal(back.driver, "ollama");
    assert_int_equal(back.dims, 768);
    assert_true(back.send_dimensions);
    assert_string_equal(back.extra, "{\"a\":1}");
    assert_int_equal(back.chunk.strategy, CHUNKER_RECURSIVE);
    assert_int_equal(back.normalize.form, TEXT_FORM_NFC);
    assert_int_equal(back.text_field_count, 2);
    assert_string_equal(back.text_fields[1], "content");
    assert_string_equal(back.normalize.stopwords[0], "the");
    char one[SHA256_TEXT_SIZE];
    char two[SHA256_TEXT_SIZE];
    config_fp(object, one);
    fp_of(&back, two);
    assert_string_equal(one, two);
}

/* Each edit is JSON merged over a sound config. */
static void refuses_a_config_that_it_does_not_understand(void **state)
{
    (void)state;
    static const char *const edits[][2] = {
        {"driver", "7"},
        {"dims", "0"},
        {"dims", "70000"},
        {"dims", "1.5"},
        {"distance", "\"x\""},
        {"id_scheme", "\"\""},
        {"chunk", "null"},
        {"chunk", "{}"},
        {"normalize", "[]"},
        {"text", "[1]"},
        {"send_dimensions", "1"},
        {"extra", "{}"},
        {"text", "\"title\""},
        {"query_prefix", "null"},
        {"chunk", "{\"strategy\":\"fixed\",\"max_chars\":5,\"overlap_chars\":5}"},
        {"normalize", "{\"unicode\":\"nfd\",\"trim\":true,\"lowercase\":true,\"stopwords\":[]}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(edits); i++) {
        struct embed_config config = example();
        config.send_dimensions = true;
        config.extra = "{}";
        CLEANUP(cJSON_Deletep) cJSON *object = embed_config_json(&config);
        cJSON *edit = json_parse(edits[i][1], strlen(edits[i][1]), NULL);
        assert_non_null(edit);
        cJSON_ReplaceItemInObjectCaseSensitive(object, edits[i][0], edit);
        CLEANUP(arena_freep) struct arena *arena = arena_new(MIB);
        struct embed_config back;
        struct err err = {0};
        assert_false(embed_config_read(object, arena, &back, &err));
        assert_int_equal(err.action, ERR_FATAL);
        assert_int_equal(err.domain, ERR_STATE);
    }
    struct embed_config back;
    assert_false(embed_config_read(NULL, NULL, &back, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(content_is_the_sha256_of_the_bytes),
        cmocka_unit_test(config_does_not_depend_on_the_order_of_members),
        cmocka_unit_test(holds_the_versions_of_chunker_tables_and_input),
        cmocka_unit_test(every_member_changes_the_config_fp),
        cmocka_unit_test(what_decides_a_vector_changes_the_embedding_fp_and_nothing_else_does),
        cmocka_unit_test(without_additions_to_its_requests_a_config_is_what_it_always_was),
        cmocka_unit_test(reads_what_it_wrote),
        cmocka_unit_test(refuses_a_config_that_it_does_not_understand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
