/* SPDX-License-Identifier: Apache-2.0 */
/* What gc asks an agent to remove. */
#include "agent/commands/gc_command.h"
#include "agent/steward/wish.h"
#include "support/test.h"

#define S(text) ((char[]){text})

static struct registry a_registry(size_t versions)
{
    struct registry registry = {.name = strdup("test"), .family = strdup("docs")};
    for (size_t i = 0; i < versions; i++) {
        char label[24];
        snprintf(label, sizeof label, "v%zu", i + 1);
        registry_add_version(&registry, label)->state = VERSION_RETIRED;
    }
    return registry;
}

static struct collect_entry entry_of(const struct version *version)
{
    return (struct collect_entry){
        .label = version->label, .build_id = version->build_id, .drop = true};
}

static void it_means_the_build_that_it_looked_at(void **state)
{
    (void)state;
    struct registry registry = a_registry(1);
    struct collect_entry entry = entry_of(&registry.versions[0]);
    struct gc_ask ask = {.entry = &entry, .by = "a test"};
    struct wish_args args;
    struct err err;
    assert_true(gc_command_ask(&registry, &ask));
    assert_int_equal(ask.outcome, GC_ASKED);
    assert_true(wish_args_decode(&registry.wishes[0], &args, &err));
    assert_string_equal(args.build_id, registry.versions[0].build_id);
    wish_args_fini(&args);
    assert_false(gc_command_ask(&registry, &ask)); /* it stands already */
    assert_int_equal(ask.outcome, GC_ASKED);
    assert_int_equal(registry.wish_count, 1);
    registry_fini(&registry);
}

static void another_build_of_the_label_is_not_asked_for(void **state)
{
    (void)state;
    struct registry registry = a_registry(1);
    char *build_id = strdup(registry.versions[0].build_id);
    struct collect_entry entry = {.label = S("v1"), .build_id = build_id, .drop = true};
    struct gc_ask ask = {.entry = &entry, .by = "a test"};
    registry.versions[0].state = VERSION_DROPPED;
    assert_false(gc_command_ask(&registry, &ask));
    assert_int_equal(ask.outcome, GC_CHANGED);
    registry_add_version(&registry, "v1")->state = VERSION_RETIRED;
    assert_false(gc_command_ask(&registry, &ask));
    assert_int_equal(ask.outcome, GC_CHANGED);
    registry.versions[0].state = VERSION_PREVIOUS;
    registry.version_count = 1; /* gone back to */
    assert_false(gc_command_ask(&registry, &ask));
    assert_int_equal(ask.outcome, GC_CHANGED);
    assert_int_equal(registry.wish_count, 0);
    registry.version_count = 2;
    registry_fini(&registry);
    free(build_id);
}

static void what_there_is_no_room_for_is_not_called_asked(void **state)
{
    (void)state;
    enum { VERSIONS = 12, ROOM = 10 };
    struct registry registry = a_registry(VERSIONS);
    int asked = 0;
    for (size_t i = 0; i < VERSIONS; i++) {
        struct collect_entry entry = entry_of(&registry.versions[i]);
        struct gc_ask ask = {.entry = &entry, .by = "a test"};
        assert_true(gc_command_ask(&registry, &ask) == (i < ROOM));
        assert_int_equal(ask.outcome, i < ROOM ? GC_ASKED : GC_NO_ROOM);
        asked += ask.outcome == GC_ASKED;
    }
    assert_int_equal(asked, registry.wish_count);
    registry_fini(&registry);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_means_the_build_that_it_looked_at),
        cmocka_unit_test(another_build_of_the_label_is_not_asked_for),
        cmocka_unit_test(what_there_is_no_room_for_is_not_called_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
