/* SPDX-License-Identifier: Apache-2.0 */
/* cutover: auto asks once in each epoch of the alias and each time that a version is ready, and is not
 * forgotten. */
#include "agent/commands/cancel_command.h"
#include "agent/steward/steward_state.h"
#include "support/test.h"

#define S(text) ((char[]){text})
#define ROOM 20 /* wishes of persons that may stand */

static char docs[] = "docs", c1[] = "c1", v2[] = "v2";

struct scene {
    struct config_family family_config;
    struct family family;
    struct agent agent;
    struct steward steward;
    struct alias alias;
};

static void set_up(struct scene *scene)
{
    *scene = (struct scene){.alias = {.target = c1, .epoch = 4}};
    scene->family_config = (struct config_family){.name = docs, .cutover = CUTOVER_AUTO};
    scene->family_config.version.label = v2;
    scene->family = (struct family){.name = docs, .config = &scene->family_config};
    scene->agent = (struct agent){.docs = docstore_memory_new(), .holder = "a test"};
    scene->steward = (struct steward){.agent = &scene->agent, .family = &scene->family};
    scene->steward.registry = (struct registry){.name = strdup("test"), .family = strdup("docs")};
    struct version *version = registry_add_version(&scene->steward.registry, "v2");
    version->state = VERSION_READY;
    version->embed = strdup("{}");
}

static void tear_down(struct scene *scene)
{
    steward_forget_notes(&scene->steward);
    registry_fini(&scene->steward.registry);
    docstore_free(scene->agent.docs);
}

static size_t ask(struct scene *scene)
{
    struct err err;
    struct registry *registry = &scene->steward.registry;
    if (!version_ask_for_cutover(&scene->steward, &registry->versions[0], &scene->alias, &err))
        fail_msg("%s", err.text);
    return registry->wish_count;
}

static void it_is_asked_for_once_in_each_epoch(void **state)
{
    (void)state;
    struct scene scene;
    set_up(&scene);
    assert_int_equal(ask(&scene), 1);
    assert_int_equal(ask(&scene), 1);
    scene.steward.notes[0].asked_auto = false; /* another process leads: it stands already */
    assert_int_equal(ask(&scene), 1);
    scene.alias.epoch++; /* what stands will be refused */
    assert_int_equal(ask(&scene), 2);
    registry_drop_wish(&scene.steward.registry, 0);
    registry_drop_wish(&scene.steward.registry, 0);
    assert_int_equal(ask(&scene), 0); /* answered, in this epoch */
    tear_down(&scene);
}

/* A gate refused it for a moment's lag. */
static void it_is_asked_for_again_when_it_is_ready_once_more(void **state)
{
    (void)state;
    struct scene scene;
    struct err err;
    set_up(&scene);
    struct version *version = &scene.steward.registry.versions[0];
    assert_int_equal(ask(&scene), 1);
    registry_drop_wish(&scene.steward.registry, 0);
    assert_true(version_fall_back(&scene.steward, version, "too much waits", &err));
    assert_int_equal(version->state, VERSION_CATCHING_UP);
    assert_int_equal(ask(&scene), 1);
    tear_down(&scene);
}

static void what_a_person_took_back_is_not_asked_for_by_the_next_leader(void **state)
{
    (void)state;
    struct scene scene;
    struct err err;
    set_up(&scene);
    struct registry *registry = &scene.steward.registry;
    struct config config = {.name = S("test")};
    struct command command = {.config = &config, .docs = scene.agent.docs, .by = "a person"};
    assert_int_equal(ask(&scene), 1);
    char *id = strdup(registry->wishes[0].id);
    struct cancel_command cancel = {.command = &command, .family = &scene.family_config, .id = id};
    assert_true(cancel_command_run(&cancel, &err));
    assert_int_equal(cancel.outcome, CANCEL_DONE);
    steward_forget_notes(&scene.steward);
    registry_fini(registry);
    assert_true(registry_load(scene.agent.docs, "test", "docs", registry, &err));
    assert_int_equal(ask(&scene), 0);
    assert_true(cancel_command_run(&cancel, &err));
    assert_int_equal(cancel.outcome, CANCEL_REFUSED);
    assert_string_equal(cancel.reason, "it was refused already: it was withdrawn by a person");
    free(id);
    tear_down(&scene);
}

static void it_is_asked_for_as_soon_as_there_is_room(void **state)
{
    (void)state;
    struct scene scene;
    set_up(&scene);
    struct registry *registry = &scene.steward.registry;
    for (int i = 0; i < ROOM; i++) {
        char id[17], by[17];
        snprintf(id, sizeof id, "%016d", i);
        snprintf(by, sizeof by, "person %d", i);
        struct registry_wish wish = {.kind = S(WISH_VERIFY), .label = S("v2"), .by = by, .id = id};
        assert_true(registry_add_wish(registry, &wish));
    }
    assert_int_equal(ask(&scene), ROOM);
    registry_drop_wish(registry, 0);
    assert_int_equal(ask(&scene), ROOM);
    assert_string_equal(registry->wishes[ROOM - 1].kind, WISH_CUTOVER);
    tear_down(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_asked_for_once_in_each_epoch),
        cmocka_unit_test(it_is_asked_for_again_when_it_is_ready_once_more),
        cmocka_unit_test(what_a_person_took_back_is_not_asked_for_by_the_next_leader),
        cmocka_unit_test(it_is_asked_for_as_soon_as_there_is_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
