/* SPDX-License-Identifier: Apache-2.0 */
/* When an agent's own audit mends nothing. */
#include "agent/capture/capture.h"
#include "agent/verify/audit_state.h"
#include "support/test.h"

#define GEN 3

static const struct audit_standing usual = {.state = FAMILY_STREAMING,
                                            .gen = GEN,
                                            .began_gen = GEN,
                                            .swept_gen = GEN,
                                            .source_exists = true};

static void objects(struct audit_standing standing, const char *why)
{
    const char *said = audit_guard_objects(&standing);
    if (!said || !strstr(said, why))
        fail_msg("'%s', not '%s'", said ? said : "nothing", why);
}

static void it_mends_while_source_and_generation_are_those_it_began_with(void **state)
{
    (void)state;
    assert_null(audit_guard_objects(&usual));
}

static void it_mends_nothing_of_a_source_that_is_gone_or_another_one(void **state)
{
    (void)state;
    struct audit_standing standing = usual;
    standing.state = FAMILY_SOURCE_DROPPED;
    objects(standing, "is gone");
    standing = usual;
    standing.source_exists = false; /* the capture has not seen it yet */
    objects(standing, "is gone");
    standing = usual;
    standing.state = FAMILY_GAP;
    objects(standing, "not streaming");
    standing = usual;
    standing.gen = standing.swept_gen = GEN + 1;
    objects(standing, "new generation");
}

static void it_mends_nothing_that_a_sweep_may_have_held_back(void **state)
{
    (void)state;
    struct audit_standing standing = usual;
    standing.swept_gen = GEN - 1;
    objects(standing, "read anew");
    standing = usual;
    standing.asks = true;
    objects(standing, "waits for a person");
}

struct scene {
    struct config config;
    struct config_family family;
    struct docstore *docs;
    struct audit_options options;
    struct audit audit;
};

static void note_family(struct scene *scene, enum family_state state)
{
    static char docs[] = "docs";
    struct lease_options options = {.id = "test/source", .holder = "a test", .ttl_ms = 60000};
    struct checkpoint checkpoint;
    struct lease *lease;
    enum lease_outcome outcome;
    struct err err;
    assert_true(lease_take(scene->docs, &options, &lease, &checkpoint, &outcome, &err));
    struct checkpoint_family *family = checkpoint_find(&checkpoint, docs);
    if (!family)
        family = checkpoint_add(&checkpoint, docs);
    family->gen = GEN;
    family->state = state;
    if (!lease_save(lease, &checkpoint, &err))
        fail_msg("%s", err.text);
    checkpoint_fini(&checkpoint);
    lease_free(lease);
}

static void note_stopped(struct scene *scene, struct registry *registry, int64_t stopped_gen)
{
    enum doc_swap outcome;
    struct err err;
    registry->versions[0].stopped_gen = stopped_gen;
    if (!registry_save(scene->docs, registry, &outcome, &err))
        fail_msg("%s", err.text);
    assert_int_equal(outcome, DOC_WON);
}

static void how_things_stand_is_what_checkpoint_and_registry_say_now(void **state)
{
    (void)state;
    static char name[] = "test", docs[] = "docs", source[] = "source";
    struct scene scene = {.config = {.name = name, .worklog.driver = WORKLOG_KAFKA},
                          .family = {.name = docs, .source.database = source},
                          .docs = docstore_memory_new()};
    struct registry registry = {.name = strdup(name), .family = strdup(docs)};
    struct version *version = registry_add_version(&registry, "v1");
    struct audit_standing standing;
    struct err err;
    version->state = VERSION_ACTIVE;
    version->embed = strdup("{}");
    version->swept_gen = GEN;
    scene.options = (struct audit_options){.config = &scene.config,
                                           .docs = scene.docs,
                                           .family = &scene.family,
                                           .version = version,
                                           .of_agent = true,
                                           .gen = GEN};
    scene.audit.options = &scene.options;
    note_family(&scene, FAMILY_STREAMING);
    note_stopped(&scene, &registry, 0);
    assert_true(audit_standing_load(&scene.audit, &standing, &err));
    assert_null(audit_guard_objects(&standing));
    note_stopped(&scene, &registry, GEN);
    assert_true(audit_standing_load(&scene.audit, &standing, &err));
    objects(standing, "waits for a person");
    note_family(&scene, FAMILY_SOURCE_DROPPED);
    assert_true(audit_standing_load(&scene.audit, &standing, &err));
    objects(standing, "is gone");
    registry_fini(&registry);
    docstore_free(scene.docs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_mends_while_source_and_generation_are_those_it_began_with),
        cmocka_unit_test(it_mends_nothing_of_a_source_that_is_gone_or_another_one),
        cmocka_unit_test(it_mends_nothing_that_a_sweep_may_have_held_back),
        cmocka_unit_test(how_things_stand_is_what_checkpoint_and_registry_say_now),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
