/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/family.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/limits.h"
#include "support/test.h"

struct named {
    char name[LIMIT_COLLECTION_NAME + 1];
};

static char *mutable(const char *text)
{
    static char texts[32][600];
    static unsigned next;
    char *copy = texts[next++ % 32];
    snprintf(copy, sizeof texts[0], "%s", text);
    return copy;
}

static struct named name_of(const char *family, const char *label, const char *model, int build)
{
    struct config_family config = {.name = mutable(family)};
    struct version version = {.label = mutable(label), .build = build};
    struct named named;
    memset(named.name, 'X', sizeof named.name);
    family_collection_name(&config, &version, model, named.name);
    return named;
}

/* The strictest rules of the stores: 3 to 63 of these, a letter or digit at both ends. */
static void assert_is_name(const char *name)
{
    size_t size = strlen(name);
    bool ok = size >= 3 && size <= LIMIT_COLLECTION_NAME && !strstr(name, "..") &&
              isalnum((unsigned char)name[0]) && isalnum((unsigned char)name[size - 1]);
    for (size_t i = 0; i < size; i++)
        ok = ok && (isalnum((unsigned char)name[i]) || strchr("._-", name[i]));
    if (!ok)
        fail_msg("'%s' is no name", name);
}

static void a_name_says_family_label_and_model(void **state)
{
    (void)state;
    assert_string_equal(name_of("ducks", "v1", "nomic-embed-text", 1).name,
                        "ducks__v1__nomic-embed-text");
    assert_string_equal(name_of("ducks", "v2025-08-12", "text-embedding-3-small", 1).name,
                        "ducks__v2025-08-12__text-embedding-3-small");
    assert_string_equal(name_of("a.b", "v1", "m", 1).name, "a.b__v1__m");
}

static void a_second_build_has_another_name(void **state)
{
    (void)state;
    assert_string_equal(name_of("ducks", "v1", "m", 2).name, "ducks__v1__m__b2");
    assert_string_equal(name_of("ducks", "v1", "m", 13).name, "ducks__v1__m__b13");
}

static void characters_that_stores_refuse_are_replaced(void **state)
{
    (void)state;
    assert_string_equal(name_of("f", "v", "org/model:latest", 1).name, "f__v__org-model-latest");
    assert_string_equal(name_of("f", "v", "model..x", 1).name, "f__v__model.-x");
    assert_string_equal(name_of("f", "v", "model.", 1).name, "f__v__model");
    static const char *const models[] = {"", "...", "-", "\xe6\xa8\xa1", "a b", ".a", "a/", "___"};
    static const char *const names[] = {"f", "f..g", "f.", "f__g", "f-", "F_"};
    for (size_t i = 0; i < ARRAY_LEN(models); i++) {
        for (size_t k = 0; k < ARRAY_LEN(names); k++) {
            assert_is_name(name_of(names[k], "v", models[i], 1).name);
            assert_is_name(name_of("f", names[k], models[i], 2).name);
        }
    }
}

static void long_names_are_cut_and_stay_apart(void **state)
{
    (void)state;
    char family[64], model[500];
    memset(family, 'f', 63);
    family[63] = '\0';
    memset(model, 'm', sizeof model - 1);
    model[sizeof model - 1] = '\0';
    struct named names[] = {
        name_of(family, "v1", "m", 1),     name_of(family, "v2", "m", 1),
        name_of(family, "v1", "m", 2),     name_of(family, "v1", "n", 1),
        name_of("f", "v1", model, 1),      name_of("f", "v1", model, 2),
        name_of("f", "v2", model, 1),      name_of("f", "v1", model + 1, 1),
        name_of(family, family, model, 1),
    };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        assert_is_name(names[i].name);
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(names[i].name, names[k].name);
    }
    /* 63 is still whole */
    model[63 - strlen("f__v1__")] = '\0';
    struct named whole = name_of("f", "v1", model, 1);
    assert_int_equal(strlen(whole.name), 63);
    assert_null(strchr(whole.name, '-'));
}

static void parts_that_hold_the_separator_cannot_give_another_familys_name(void **state)
{
    (void)state;
    struct named names[] = {
        name_of("a__b", "c", "m", 1), name_of("a", "b__c", "m", 1), name_of("a", "b", "c__m", 1),
        name_of("a..b", "c", "m", 1), name_of("a.-b", "c", "m", 1), name_of("a", "b", "", 1),
        name_of("a", "b", "-", 1),
    };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        assert_is_name(names[i].name);
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(names[i].name, names[k].name);
    }
}

static void the_same_version_always_has_the_same_name(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++)
        assert_string_equal(name_of("a__b", "c", "m", 1).name, name_of("a__b", "c", "m", 1).name);
}

/* A configuration of one family. */
struct fixture {
    struct config config;
    struct config_family family;
    char *text[1];
};

static void fill(struct fixture *fixture)
{
    *fixture = (struct fixture){.text = {mutable("content")}};
    fixture->config.name = mutable("deployment");
    fixture->config.worklog.topic_prefix = mutable("prefix");
    fixture->family.name = mutable("ducks");
    fixture->family.source.database = mutable("d");
    fixture->family.source.collection = mutable("c");
    fixture->family.source.id_field = mutable("_id");
    fixture->family.text.items = fixture->text;
    fixture->family.text.count = 1;
    fixture->family.normalize.unicode = mutable("nfc");
    fixture->family.chunk.max_chars = 1000;
}

static void text_fields_of_versions_that_are_fed_stay_projected(void **state)
{
    (void)state;
    struct fixture fixture;
    struct err err;
    fill(&fixture);
    struct config_embedder embedder = {.dims = 8, .model = mutable("m")};
    fixture.text[0] = mutable("older");
    CLEANUP(cJSON_Deletep) cJSON *json = family_embed_json(&fixture.family, &embedder, "digest");
    char *embed = json_print(json);
    fixture.text[0] = mutable("content");
    struct version versions[] = {
        {.label = mutable("v1"), .state = VERSION_ACTIVE, .embed = embed},
        {.label = mutable("v0"), .state = VERSION_DROPPED, .embed = mutable("not even JSON")},
    };
    struct registry live = {.versions = versions, .version_count = 2};
    CLEANUP(family_freep) struct family *family = NULL;
    assert_true(family_new(&fixture.config, &fixture.family, &live, &family, &err));
    assert_true(bson_has_field(shape_projection(family->shape), "older"));
    assert_true(bson_has_field(shape_projection(family->shape), "content"));
    assert_true(bson_has_field(shape_projection(family->shape), "_id"));
    assert_string_equal(family->topic, "prefix.deployment.ducks");
    versions[0].state = VERSION_RETIRED;
    CLEANUP(family_freep) struct family *later = NULL;
    assert_true(family_new(&fixture.config, &fixture.family, &live, &later, &err));
    assert_false(bson_has_field(shape_projection(later->shape), "older"));
    free(embed);
}

static void fp_with_extra(struct fixture *fixture, const char *extra, bool send_dimensions,
                          char out[static SHA256_TEXT_SIZE])
{
    struct config_embedder embedder = {.name = mutable("e"),
                                       .dims = 8,
                                       .model = mutable("m"),
                                       .extra = extra ? mutable(extra) : NULL,
                                       .send_dimensions = send_dimensions};
    CLEANUP(cJSON_Deletep) cJSON *json = family_embed_json(&fixture->family, &embedder, "");
    CLEANUP(arena_freep) struct arena *arena = arena_new(MIB);
    struct embed_config embed;
    struct err err;
    assert_true(embed_config_read(json, arena, &embed, &err));
    assert_true(family_check_requests(&embedder, &embed, "v1", &err));
    config_fp(json, out);
}

static void what_is_added_to_requests_makes_another_version(void **state)
{
    (void)state;
    struct fixture fixture;
    char none[SHA256_TEXT_SIZE], one[SHA256_TEXT_SIZE], other[SHA256_TEXT_SIZE];
    fill(&fixture);
    fp_with_extra(&fixture, NULL, false, none);
    fp_with_extra(&fixture, "{}", false, other);
    assert_string_equal(none, other);
    fp_with_extra(&fixture, NULL, true, other);
    assert_string_not_equal(none, other);
    fp_with_extra(&fixture, "{\"input_type\": \"document\", \"truncate\": false}", false, one);
    assert_string_not_equal(none, one);
    fp_with_extra(&fixture, "{\"truncate\":false,\"input_type\":\"document\"}", false, other);
    assert_string_equal(one, other);
    fp_with_extra(&fixture, "{\"truncate\":false,\"input_type\":\"query\"}", false, other);
    assert_string_not_equal(one, other);
}

static void a_secret_among_it_is_kept_nowhere_and_may_change(void **state)
{
    (void)state;
    struct fixture fixture;
    fill(&fixture);
    struct config_embedder embedder = {
        .name = mutable("e"),
        .dims = 8,
        .model = mutable("m"),
        .extra = mutable("{\"auth\":[{\"password\":\"hunter2\",\"user\":\"u\"}],"
                         "\"api_key\":\"hunter2\",\"max_tokens\":5}")};
    CLEANUP(cJSON_Deletep) cJSON *json = family_embed_json(&fixture.family, &embedder, "");
    const char *extra = NULL;
    assert_true(json_get_string(json, "extra", &extra));
    assert_string_equal(extra, "{\"auth\":[{\"user\":\"u\"}],\"max_tokens\":5}");
}

static void other_additions_than_a_version_was_built_with_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *was, *is;
        bool shortened, shortens;
    } cases[] = {
        {NULL, "{\"a\":1}", false, false},
        {"{\"a\":1}", NULL, false, false},
        {"{\"a\":1}", "{\"a\":2}", false, false},
        {"{\"a\":1}", "{\"a\":1}", true, false},
        {NULL, NULL, false, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct embed_config embed = {.extra = cases[i].was, .send_dimensions = cases[i].shortened};
        struct config_embedder embedder = {.name = mutable("small"),
                                           .extra = cases[i].is ? mutable(cases[i].is) : NULL,
                                           .send_dimensions = cases[i].shortens};
        struct err err;
        assert_false(family_check_requests(&embedder, &embed, "v1", &err));
        assert_int_equal(err.action, ERR_FATAL);
        assert_int_equal(err.domain, ERR_CONFIG);
        assert_non_null(strstr(err.text, "'small'"));
    }
}

static void a_family_with_a_bad_filter_is_named_in_the_error(void **state)
{
    (void)state;
    struct fixture fixture;
    struct err err;
    struct family *family;
    fill(&fixture);
    fixture.family.source.filter = mutable("{\"$where\":1}");
    assert_false(family_new(&fixture.config, &fixture.family, NULL, &family, &err));
    assert_non_null(strstr(err.text, "ducks"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_says_family_label_and_model),
        cmocka_unit_test(a_second_build_has_another_name),
        cmocka_unit_test(characters_that_stores_refuse_are_replaced),
        cmocka_unit_test(long_names_are_cut_and_stay_apart),
        cmocka_unit_test(parts_that_hold_the_separator_cannot_give_another_familys_name),
        cmocka_unit_test(the_same_version_always_has_the_same_name),
        cmocka_unit_test(text_fields_of_versions_that_are_fed_stay_projected),
        cmocka_unit_test(what_is_added_to_requests_makes_another_version),
        cmocka_unit_test(a_secret_among_it_is_kept_nowhere_and_may_change),
        cmocka_unit_test(other_additions_than_a_version_was_built_with_are_refused),
        cmocka_unit_test(a_family_with_a_bad_filter_is_named_in_the_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
