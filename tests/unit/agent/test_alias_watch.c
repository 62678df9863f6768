/* SPDX-License-Identifier: Apache-2.0 */
/* The way back is withdrawn: nobody is led elsewhere, and nothing that was asked for is lost by it. */
#include "agent/capture/guard.h"
#include "agent/status/health.h"
#include "agent/steward/steward_state.h"
#include "base/clock.h"
#include "support/test.h"

#define S(text) ((char[]){text})
#define EMBED "{\"version\": \"v1\", \"config_fp\": \"fp\"}"

static char docs[] = "docs";

struct scene {
    struct config config;
    struct config_family family_config;
    struct family family;
    struct agent agent;
    struct steward steward;
};

static void add_wish(struct registry *registry, char *kind, char *id, char *args)
{
    struct registry_wish wish = {.kind = kind, .label = S("v2"), .id = id, .args = args};
    assert_true(registry_add_wish(registry, &wish));
}

/* v1 is served and v2 ready; the alias names v0, which is retired, as the way back. */
static void set_up(struct scene *scene)
{
    static const enum version_state states[] = {VERSION_RETIRED, VERSION_ACTIVE, VERSION_READY};
    struct err err;
    enum doc_swap outcome;
    *scene = (struct scene){.family_config = {.name = docs}};
    scene->family = (struct family){.name = docs, .config = &scene->family_config};
    scene->family.alias =
        (struct alias_ref){.database = "app", .collection = "aliases", .family = "docs"};
    scene->config = (struct config){.name = S("test")};
    scene->agent = (struct agent){.config = &scene->config,
                                  .docs = docstore_memory_new(),
                                  .health = health_new(),
                                  .holder = "a test"};
    scene->steward = (struct steward){.agent = &scene->agent, .family = &scene->family};
    struct registry *registry = &scene->steward.registry;
    *registry = (struct registry){.name = strdup("test"), .family = strdup("docs")};
    for (size_t i = 0; i < ARRAY_LEN(states); i++) {
        char text[24];
        snprintf(text, sizeof text, "v%zu", i);
        struct version *version = registry_add_version(registry, text);
        snprintf(text, sizeof text, "c%zu", i);
        version->collection = strdup(text);
        version->state = states[i];
        version->embed = strdup("{\"normalize\": true}");
        version->config_fp = strdup("fp");
        version->verified_epoch = 1;
    }
    struct alias alias = {.target = bson_strdup("c1"),
                          .embed = bson_strdup(EMBED),
                          .previous_target = bson_strdup("c0"),
                          .previous_embed = bson_strdup("{}")};
    assert_true(alias_swap(scene->agent.docs, &scene->family.alias, &alias, &outcome, &err));
    assert_int_equal(alias.epoch, 1);
    alias_fini(&alias);
}

static void lead(struct scene *scene)
{
    scene->steward.guard = guard_start(&scene->agent, "app");
    for (int i = 0; i < 500 && !guard_is_leader(scene->steward.guard); i++)
        clock_sleep_ms(10);
    assert_true(guard_is_leader(scene->steward.guard));
}

static void tear_down(struct scene *scene)
{
    atomic_store(&scene->agent.stopping, true);
    if (scene->steward.guard)
        guard_join(scene->steward.guard);
    registry_fini(&scene->steward.registry);
    health_free(scene->agent.health);
    docstore_free(scene->agent.docs);
}

static void check_wish(const struct registry_wish *wish, bool has_epoch, int64_t epoch)
{
    struct wish_args args;
    struct err err;
    assert_true(wish_args_decode(wish, &args, &err));
    assert_true(args.has_epoch == has_epoch);
    assert_int_equal(args.epoch, epoch);
    if (strcmp(wish->kind, WISH_CUTOVER) == 0)
        assert_string_equal(args.build_id, "beef");
    wish_args_fini(&args);
}

static void what_was_asked_for_and_verified_goes_on_when_the_way_back_is_withdrawn(void **state)
{
    (void)state;
    struct scene scene;
    struct registry stored;
    struct alias alias;
    struct err err;
    set_up(&scene);
    lead(&scene);
    struct registry *registry = &scene.steward.registry;
    add_wish(registry, S(WISH_CUTOVER), S("1"), S("{\"build_id\": \"beef\", \"epoch\": 1}"));
    add_wish(registry, S(WISH_CUTOVER), S("2"), S("{\"build_id\": \"beef\", \"epoch\": 0}"));
    add_wish(registry, S(WISH_VERIFY), S("3"), NULL);
    if (!alias_watch(&scene.steward, &err))
        fail_msg("%s", err.text);
    assert_true(alias_load(scene.agent.docs, &scene.family.alias, &alias, &err));
    assert_string_equal(alias.target, "c1");
    assert_null(alias.previous_target);
    assert_int_equal(alias.epoch, 2);
    alias_fini(&alias);
    assert_true(registry_load(scene.agent.docs, "test", "docs", &stored, &err));
    check_wish(&stored.wishes[0], true, 2);
    check_wish(&stored.wishes[1], true, 0); /* of an older one: it is refused */
    check_wish(&stored.wishes[2], false, 0);
    assert_int_equal(stored.versions[2].verified_epoch, 2);
    assert_int_equal(stored.versions[0].verified_epoch, 1);
    registry_fini(&stored);
    tear_down(&scene);
}

static void who_does_not_lead_leaves_the_alias_alone(void **state)
{
    (void)state;
    struct scene scene;
    struct alias alias;
    struct err err;
    set_up(&scene);
    assert_false(alias_watch(&scene.steward, &err));
    assert_int_equal(err.action, ERR_RETRY);
    assert_true(alias_load(scene.agent.docs, &scene.family.alias, &alias, &err));
    assert_string_equal(alias.previous_target, "c0");
    assert_int_equal(alias.epoch, 1);
    alias_fini(&alias);
    tear_down(&scene);
}

static void lead_to(struct scene *scene, const char *target)
{
    struct alias alias;
    struct err err;
    enum doc_swap outcome;
    assert_true(alias_load(scene->agent.docs, &scene->family.alias, &alias, &err));
    bson_free(alias.target);
    alias.target = bson_strdup(target);
    assert_true(alias_swap(scene->agent.docs, &scene->family.alias, &alias, &outcome, &err));
    assert_int_equal(outcome, DOC_WON);
    alias_fini(&alias);
}

static void what_is_said_of_an_alias_that_leads_elsewhere_hides_nothing_for_ever(void **state)
{
    (void)state;
    struct scene scene;
    struct err err;
    set_up(&scene);
    lead(&scene);
    struct version *active = registry_in_state(&scene.steward.registry, VERSION_ACTIVE);
    active->filling = true;
    version_set_text(&active->reason, replace_reason(active));
    lead_to(&scene, "theirs");
    assert_true(alias_watch(&scene.steward, &err));
    assert_true(alias_is_reason(active->reason));
    assert_non_null(strstr(active->reason, "'theirs'"));
    lead_to(&scene, active->collection);
    assert_true(alias_watch(&scene.steward, &err));
    assert_string_equal(active->reason, replace_reason(active));
    active->filling = false;
    version_set_text(&active->reason, "what a sweep waits for");
    assert_true(alias_watch(&scene.steward, &err));
    assert_string_equal(active->reason, "what a sweep waits for");
    tear_down(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_asked_for_and_verified_goes_on_when_the_way_back_is_withdrawn),
        cmocka_unit_test(what_is_said_of_an_alias_that_leads_elsewhere_hides_nothing_for_ever),
        cmocka_unit_test(who_does_not_lead_leaves_the_alias_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
