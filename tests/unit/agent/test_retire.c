/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a rollback window: by whose clock, and whom it leaves alone. */
#include "agent/steward/steward_state.h"
#include "support/test.h"

#define DB_NOW_MS INT64_C(1754991000000)
#define YEAR_MS INT64_C(31536000000)

static int64_t mono_us, wall_ms;

static int64_t fake_mono_us(void)
{
    return mono_us;
}

static int64_t fake_wall_ms(void)
{
    return wall_ms;
}

static const struct clock_ops fake = {.mono_us = fake_mono_us, .wall_ms = fake_wall_ms};

struct scene {
    struct config_family config;
    struct family family;
    struct agent agent;
    struct steward steward;
};

static struct version *set_up(struct scene *scene)
{
    static char docs[] = "docs";
    *scene = (struct scene){.config = {.name = docs}};
    scene->family = (struct family){.name = docs, .config = &scene->config};
    scene->family.alias =
        (struct alias_ref){.database = "app", .collection = "aliases", .family = docs};
    scene->agent = (struct agent){.docs = docstore_memory_new(), .holder = "a test"};
    scene->steward = (struct steward){.agent = &scene->agent, .family = &scene->family};
    scene->steward.registry = (struct registry){.name = strdup("test"),
                                                .family = strdup("docs"),
                                                .clock_ms = DB_NOW_MS,
                                                .clock_mono_ms = mono_us / 1000};
    struct version *version = registry_add_version(&scene->steward.registry, "v1");
    version->state = VERSION_PREVIOUS;
    version->keep_until_ms = DB_NOW_MS + 60000;
    version->embed = strdup("{}");
    version->collection = strdup("c1");
    return version;
}

static void tear_down(struct scene *scene)
{
    registry_fini(&scene->steward.registry);
    docstore_free(scene->agent.docs);
    clock_use(NULL);
}

static void a_window_lasts_as_long_as_it_should_whatever_the_leaders_wall_clock_says(void **state)
{
    (void)state;
    struct scene scene;
    struct err err = {0};
    mono_us = INT64_C(5000000000);
    clock_use(&fake);
    struct version *version = set_up(&scene);
    wall_ms = DB_NOW_MS + YEAR_MS; /* it has never been set right */
    assert_true(versions_retire(&scene.steward, version, &err));
    assert_int_equal(version->state, VERSION_PREVIOUS);
    wall_ms = DB_NOW_MS - YEAR_MS;
    mono_us += INT64_C(59000000);
    assert_true(versions_retire(&scene.steward, version, &err));
    assert_int_equal(version->state, VERSION_PREVIOUS);
    mono_us += INT64_C(1000000);
    if (!versions_retire(&scene.steward, version, &err))
        fail_msg("%s", err.text);
    assert_int_equal(version->state, VERSION_RETIRED);
    assert_int_equal(version->state_ms, DB_NOW_MS + 60000);
    tear_down(&scene);
}

static void lead_to(struct scene *scene, const char *collection)
{
    struct alias alias;
    struct err err;
    enum doc_swap outcome;
    assert_true(alias_load(scene->agent.docs, &scene->family.alias, &alias, &err));
    bson_free(alias.target);
    alias.target = bson_strdup(collection);
    if (!alias.embed)
        alias.embed = bson_strdup("{}");
    assert_true(alias_swap(scene->agent.docs, &scene->family.alias, &alias, &outcome, &err));
    assert_int_equal(outcome, DOC_WON);
    alias_fini(&alias);
}

/* Edited by hand while no agent ran. */
static void what_the_alias_names_is_kept(void **state)
{
    (void)state;
    struct scene scene;
    struct err err = {0};
    clock_use(&fake);
    struct version *version = set_up(&scene);
    mono_us += INT64_C(61000000);
    lead_to(&scene, "c1");
    assert_true(versions_retire(&scene.steward, version, &err));
    assert_int_equal(version->state, VERSION_PREVIOUS);
    lead_to(&scene, "c2");
    assert_true(versions_retire(&scene.steward, version, &err));
    assert_int_equal(version->state, VERSION_RETIRED);
    tear_down(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_window_lasts_as_long_as_it_should_whatever_the_leaders_wall_clock_says),
        cmocka_unit_test(what_the_alias_names_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
