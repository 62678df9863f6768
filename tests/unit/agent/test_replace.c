/* SPDX-License-Identifier: Apache-2.0 */
/* A version that is to take the place of what is served. */
#include "agent/steward/steward_state.h"
#include "support/test.h"

#define S(text) ((char[]){text})
#define EMPTY "{\"empty_live\": true, \"epoch\": 1}"

static char name[] = "test", docs[] = "docs";

struct scene {
    struct config config;
    struct config_family family_config;
    struct family family;
    struct agent agent;
    struct steward steward;
    struct version *old, *version; /* what is served, and v2 */
};

static void set_up(struct scene *scene, enum version_state state)
{
    struct err err;
    enum doc_swap outcome;
    *scene = (struct scene){.config = {.name = name}};
    scene->config.worklog.driver = WORKLOG_MEMORY;
    scene->family_config = (struct config_family){.name = docs};
    scene->family_config.strategy = STRATEGY_DELETE_UPFRONT;
    scene->family = (struct family){.name = docs, .config = &scene->family_config};
    scene->family.alias =
        (struct alias_ref){.database = "app", .collection = "aliases", .family = "docs"};
    scene->agent =
        (struct agent){.docs = docstore_memory_new(), .holder = "a test", .config = &scene->config};
    scene->steward = (struct steward){.agent = &scene->agent, .family = &scene->family};
    struct registry *registry = &scene->steward.registry;
    *registry = (struct registry){.name = strdup("test"), .family = strdup("docs")};
    (void)registry_add_version(registry, "v1");
    (void)registry_add_version(registry, "v2");
    for (size_t i = 0; i < 2; i++) {
        struct version *version = &registry->versions[i];
        version->state = i == 0 ? VERSION_ACTIVE : state;
        version->embed = strdup("{}");
        version->from = strdup("start");
        version->collection = strdup(i == 0 ? "c1" : "c2");
    }
    scene->old = &registry->versions[0];
    scene->version = &registry->versions[1];
    struct alias alias = {.target = bson_strdup("c1"), .embed = bson_strdup("{}")};
    assert_true(alias_swap(scene->agent.docs, &scene->family.alias, &alias, &outcome, &err));
    assert_int_equal(alias.epoch, 1);
    alias_fini(&alias);
}

static void tear_down(struct scene *scene)
{
    registry_fini(&scene->steward.registry);
    docstore_free(scene->agent.docs);
}

static const struct registry_wish *ask(struct scene *scene, char *args)
{
    struct registry *registry = &scene->steward.registry;
    struct registry_wish wish = {.kind = S(WISH_CUTOVER),
                                 .label = S("v2"),
                                 .id = S("0123456789abcdef"),
                                 .reason = S("no room"),
                                 .args = args};
    assert_true(registry_add_wish(registry, &wish));
    return &registry->wishes[registry->wish_count - 1];
}

static void it_is_not_served_before_it_is_known_where_it_begins(void **state)
{
    (void)state;
    struct scene scene;
    struct err err;
    set_up(&scene, VERSION_BACKFILLING);
    const struct registry_wish *wish = ask(&scene, S(EMPTY));
    assert_true(replace_carry_out(&scene.steward, wish, &err));
    assert_null(scene.steward.registry.step.kind);
    scene.version->seeded = true;
    if (!replace_carry_out(&scene.steward, wish, &err))
        fail_msg("%s", err.text);
    assert_string_equal(scene.steward.registry.step.kind, STEP_PROMOTING);
    tear_down(&scene);
}

static void what_is_served_or_about_to_be_does_not_fail_for_where_it_begins(void **state)
{
    (void)state;
    struct scene scene;
    struct err err;
    set_up(&scene, VERSION_ACTIVE);
    version_set_text(&scene.version->from, "offset:0=5"); /* which a log in memory does not keep */
    assert_false(version_seed(&scene.steward, scene.version, &err));
    assert_int_equal(scene.version->state, VERSION_ACTIVE);
    scene.version->state = VERSION_BACKFILLING;
    scene.steward.registry.step.kind = strdup(STEP_PROMOTING);
    scene.steward.registry.step.label = strdup("v2");
    assert_false(version_seed(&scene.steward, scene.version, &err));
    assert_int_equal(scene.version->state, VERSION_BACKFILLING);
    registry_clear_step(&scene.steward.registry);
    if (!version_seed(&scene.steward, scene.version, &err))
        fail_msg("%s", err.text);
    assert_int_equal(scene.version->state, VERSION_FAILED);
    tear_down(&scene);
}

static void flip(struct scene *scene)
{
    struct alias alias;
    enum doc_swap outcome;
    struct err err;
    assert_true(alias_load(scene->agent.docs, &scene->family.alias, &alias, &err));
    assert_true(alias_swap(scene->agent.docs, &scene->family.alias, &alias, &outcome, &err));
    alias_fini(&alias);
}

static bool may_begin(struct scene *scene)
{
    struct err err;
    bool may;
    if (!replace_may_begin(&scene->steward, scene->version, &may, &err))
        fail_msg("%s", err.text);
    return may;
}

static void a_wish_that_is_going_to_be_refused_begins_nothing(void **state)
{
    (void)state;
    struct scene scene;
    set_up(&scene, VERSION_PLANNED);
    assert_true(replace_waits(&scene.steward, scene.version));
    assert_false(may_begin(&scene));
    (void)ask(&scene, S(EMPTY));
    assert_false(replace_waits(&scene.steward, scene.version));
    assert_true(may_begin(&scene));
    flip(&scene); /* what was asked for was asked of another state */
    assert_false(may_begin(&scene));
    scene.version->state = VERSION_CREATING;
    assert_false(may_begin(&scene));
    scene.family_config.strategy = STRATEGY_SHADOW;
    assert_true(may_begin(&scene));
    tear_down(&scene);
}

static void one_thing_comes_after_the_other(void **state)
{
    (void)state;
    struct scene scene;
    set_up(&scene, VERSION_PLANNED);
    (void)ask(&scene, S(EMPTY));
    scene.steward.registry.step.kind = strdup(STEP_DROPPING);
    assert_false(may_begin(&scene));
    registry_clear_step(&scene.steward.registry);
    assert_true(may_begin(&scene));
    scene.old->state = VERSION_PREVIOUS; /* it has nobody to replace */
    assert_true(may_begin(&scene));
    tear_down(&scene);
}

static void one_that_is_filled_at_once_is_held_until_it_is_served(void **state)
{
    (void)state;
    struct scene scene;
    set_up(&scene, VERSION_BACKFILLING);
    assert_false(replace_is_due(&scene.steward, scene.version)); /* made as a shadow */
    (void)ask(&scene, S(EMPTY));
    assert_true(replace_is_due(&scene.steward, scene.version));
    scene.version->state = VERSION_CATCHING_UP;
    assert_false(replace_is_due(&scene.steward, scene.version));
    tear_down(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_not_served_before_it_is_known_where_it_begins),
        cmocka_unit_test(a_wish_that_is_going_to_be_refused_begins_nothing),
        cmocka_unit_test(one_thing_comes_after_the_other),
        cmocka_unit_test(one_that_is_filled_at_once_is_held_until_it_is_served),
        cmocka_unit_test(what_is_served_or_about_to_be_does_not_fail_for_where_it_begins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
