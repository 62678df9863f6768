/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/query.h"

#include <stdlib.h>
#include <string.h>

#include "support/test.h"

#include "agent/family.h"
#include "base/json.h"
#include "state/registry.h"

/* The structs hold plain strings, as they own theirs. */
static char *mutable(const char *text)
{
    return (char *)(uintptr_t)text;
}

struct fixture {
    struct config config;
    struct config_family family;
    struct config_embedder embedder;
    char *text[1];
    struct docstore *docs;
};

/* A version as the embedder builds it now. */
static void register_version(struct fixture *fixture)
{
    struct registry registry;
    struct err err;
    enum doc_swap outcome;
    assert_true(registry_load(fixture->docs, "deployment", "ducks", &registry, &err));
    struct version *version = registry_add_version(&registry, "v1");
    CLEANUP(cJSON_Deletep)
    cJSON *embed = family_embed_json(&fixture->family, &fixture->embedder, "");
    version->embed = json_print(embed);
    version->embedder = strdup("small");
    version->store = strdup("nowhere");
    version->collection_id = strdup("c1");
    version->state = VERSION_ACTIVE;
    assert_true(registry_save(fixture->docs, &registry, &outcome, &err));
    registry_fini(&registry);
}

static void fill(struct fixture *fixture)
{
    memset(fixture, 0, sizeof *fixture);
    fixture->text[0] = mutable("content");
    fixture->config.name = mutable("deployment");
    fixture->family.name = mutable("ducks");
    fixture->family.source.id_field = mutable("_id");
    fixture->family.text.items = fixture->text;
    fixture->family.text.count = 1;
    fixture->family.normalize.unicode = mutable("nfc");
    fixture->family.chunk.max_chars = 1000;
    fixture->embedder =
        (struct config_embedder){.name = mutable("small"),
                                 .driver = EMBEDDER_HASH,
                                 .dims = 8,
                                 .extra = mutable("{\"input_type\": \"document\"}")};
    fixture->config.embedders = &fixture->embedder;
    fixture->config.embedder_count = 1;
    fixture->docs = docstore_memory_new();
    register_version(fixture);
}

static void expect_refusal(struct fixture *fixture, const char *part)
{
    struct query_request request = {.config = &fixture->config,
                                    .docs = fixture->docs,
                                    .family = "ducks",
                                    .label = "v1",
                                    .text = "some words",
                                    .k = 3};
    cJSON *out = NULL;
    struct err err;
    assert_false(query_run(&request, &out, &err));
    assert_int_equal(err.domain, ERR_CONFIG);
    if (!strstr(err.text, part))
        fail_msg("%s", err.text);
}

static void a_version_is_queried_only_with_the_additions_to_requests_it_was_built_with(void **state)
{
    (void)state;
    struct fixture fixture;
    fill(&fixture);
    expect_refusal(&fixture, "store 'nowhere'"); /* so far it comes */
    fixture.embedder.extra = mutable("{\"input_type\": \"query\"}");
    expect_refusal(&fixture, "'small'");
    fixture.embedder.extra = NULL;
    expect_refusal(&fixture, "'small'");
    docstore_free(fixture.docs);
}

static void assert_complete(const char *family, const char *version, bool complete,
                            const char *warning)
{
    struct err err;
    CLEANUP(cJSON_Deletep) cJSON *family_entry = json_parse(family, strlen(family), &err);
    CLEANUP(cJSON_Deletep) cJSON *version_entry = json_parse(version, strlen(version), &err);
    CLEANUP(cJSON_Deletep) cJSON *out = json_object();
    assert_true(family_entry && version_entry);
    query_judge(family_entry, version_entry, out);
    assert_int_equal(cJSON_IsTrue(json_get(out, "complete")), complete);
    char *warnings = json_print(json_get(out, "warnings"));
    if (!strstr(warnings, warning))
        fail_msg("%s", warnings);
    free(warnings);
}

#define FOLLOWED "{\"state\": \"streaming\", \"agent_running\": true, \"generation\": 2}"
#define WHOLE "\"state\": \"active\", \"progress\": 1, \"lag_ms\": 5"

static void an_answer_is_complete_only_of_what_is_whole_and_kept_so(void **state)
{
    (void)state;
    assert_complete(FOLLOWED, "{" WHOLE ", \"swept_generation\": 2}", true, "[]");
    assert_complete(FOLLOWED, "{" WHOLE ", \"swept_generation\": 1}", false,
                    "deleted during a gap");
    assert_complete(FOLLOWED, "{" WHOLE ", \"swept_generation\": 2, \"paused\": true}", false,
                    "is paused");
    assert_complete(FOLLOWED, "{" WHOLE ", \"swept_generation\": 2, \"quarantined\": 1}", false,
                    "set aside");
    assert_complete(
        FOLLOWED, "{\"state\": \"previous\", \"external\": true}", false,
        "[\"the version was adopted: it is not written by vectail, and what has changed "
        "in the source since it was made is not in it\"]");
    assert_complete("{\"state\": \"gap\", \"agent_running\": true, \"generation\": 2}",
                    "{" WHOLE ", \"swept_generation\": 2}", false, "not being followed");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            a_version_is_queried_only_with_the_additions_to_requests_it_was_built_with),
        cmocka_unit_test(an_answer_is_complete_only_of_what_is_whole_and_kept_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
