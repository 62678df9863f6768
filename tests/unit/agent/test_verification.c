/* SPDX-License-Identifier: Apache-2.0 */
/* Who holds the one place for the verification of a whole version. */
#include "agent/steward/steward_state.h"
#include "support/test.h"

#define S(text) ((char[]){text})
#define WAIT_MS 20000

static char name[] = "test", docs[] = "docs", state_id[] = "0123";

struct scene {
    struct config config;
    struct config_family family_config;
    struct family family;
    struct agent agent;
    struct steward steward;
    struct version *filling, *other;
};

/* The registry is not written down: a verification that is begun ends at once, as its build is not found. */
static void set_up(struct scene *scene)
{
    *scene = (struct scene){.config = {.name = name}};
    scene->config.worklog.driver = WORKLOG_MEMORY;
    scene->family_config = (struct config_family){.name = docs};
    scene->family = (struct family){.name = docs, .config = &scene->family_config};
    scene->agent = (struct agent){.docs = docstore_memory_new(),
                                  .holder = "a test",
                                  .config = &scene->config,
                                  .state_id = state_id};
    scene->steward = (struct steward){.agent = &scene->agent, .family = &scene->family};
    struct registry *registry = &scene->steward.registry;
    *registry = (struct registry){.name = strdup("test"), .family = strdup("docs")};
    (void)registry_add_version(registry, "v1");
    (void)registry_add_version(registry, "v2");
    scene->filling = &registry->versions[0];
    scene->filling->state = VERSION_ACTIVE;
    scene->filling->filling = true;
    scene->filling->embedder = strdup("none");
    scene->other = &registry->versions[1];
    scene->other->state = VERSION_VERIFYING;
    scene->other->embedder = strdup("none");
}

static void tear_down(struct scene *scene)
{
    verification_forget(&scene->steward);
    registry_fini(&scene->steward.registry);
    docstore_free(scene->agent.docs);
}

static bool is_at(const struct scene *scene, const struct version *version)
{
    const struct verify_job *job = scene->steward.verifying[false];
    return job && strcmp(verify_job_build(job), version->build_id) == 0;
}

static void begin(struct scene *scene)
{
    struct verify_report report;
    struct err err;
    const struct verify_report *made;
    assert_int_equal(verification_step(&scene->steward, scene->filling, false, &report, &err),
                     VERIFICATION_RUNNING);
    int64_t until_ms = clock_mono_ms() + WAIT_MS;
    while (verify_job_look(scene->steward.verifying[false], &made, &err) == VERIFY_RUNNING &&
           clock_mono_ms() < until_ms)
        clock_sleep_ms(1);
}

static void what_the_filling_version_does_not_come_for_keeps_no_other_from_it(void **state)
{
    (void)state;
    struct scene scene;
    struct verify_report report;
    struct err err;
    set_up(&scene);
    begin(&scene);
    assert_int_equal(verification_step(&scene.steward, scene.other, false, &report, &err),
                     VERIFICATION_RUNNING);
    assert_true(is_at(&scene, scene.filling)); /* it may come for it */
    verification_leave(&scene.steward, scene.other);
    assert_true(is_at(&scene, scene.filling)); /* it is not that one's */
    verification_leave(&scene.steward, scene.filling);
    assert_false(verification_is_running(&scene.steward));
    assert_int_equal(verification_step(&scene.steward, scene.other, false, &report, &err),
                     VERIFICATION_RUNNING);
    assert_true(is_at(&scene, scene.other));
    tear_down(&scene);
}

static void what_a_person_asked_for_is_not_left(void **state)
{
    (void)state;
    struct scene scene;
    struct registry_wish wish = {
        .kind = S(WISH_VERIFY), .label = S("v1"), .id = S("0123456789abcdef")};
    set_up(&scene);
    begin(&scene);
    assert_true(registry_add_wish(&scene.steward.registry, &wish));
    verification_leave(&scene.steward, scene.filling);
    assert_true(is_at(&scene, scene.filling));
    tear_down(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_filling_version_does_not_come_for_keeps_no_other_from_it),
        cmocka_unit_test(what_a_person_asked_for_is_not_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
