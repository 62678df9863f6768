/* SPDX-License-Identifier: Apache-2.0 */
#include "state/registry.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "state/registry_doc.h"
#include "support/test.h"
#include "unit/server_clock.h"
#include "unit/state/mutate.h"

static void fill(struct registry *registry)
{
    *registry = (struct registry){.name = bson_strdup("ducks"), .family = bson_strdup("messages")};
    registry_add_version(registry, "v1")->embed = bson_strdup("{\"dims\": 2}");
    registry_add_version(registry, "v2")->state = VERSION_ACTIVE;
    registry->step.kind = bson_strdup("dropping");
    registry->rename = (struct registry_rename){.step = bson_strdup(RENAME_RENAMING),
                                                .live_name = bson_strdup("messages"),
                                                .live_id = bson_strdup("u-1"),
                                                .parking_name = bson_strdup("messages__v1"),
                                                .shadow_id = bson_strdup("u-2"),
                                                .shadow_name = bson_strdup("messages__v2"),
                                                .epoch = 6,
                                                .since_ms = 99};
    char what[] = "created";
    registry_note(registry, &(struct registry_event){.what = what});
}

static void a_label_built_again_gets_the_next_build_and_another_id(void **state)
{
    (void)state;
    struct registry registry = {.name = NULL};
    struct version *first = registry_add_version(&registry, "v1");
    assert_int_equal(first->build, 1);
    assert_int_equal(first->state, VERSION_PLANNED);
    assert_int_equal(first->verified_epoch, -1);
    assert_int_equal(strlen(first->build_id), 16);
    registry_add_version(&registry, "v2");
    struct version *again = registry_add_version(&registry, "v1");
    assert_int_equal(again->build, 2);
    assert_string_not_equal(again->build_id, registry.versions[0].build_id);
    assert_ptr_equal(registry_version(&registry, "v1"), again);
    assert_null(registry_version(&registry, "v3"));
    assert_int_equal(registry.held_count, 2);
    assert_true(registry_held(&registry, "v2"));
    registry_fini(&registry);
}

static void a_version_is_found_by_its_state(void **state)
{
    (void)state;
    struct registry registry;
    fill(&registry);
    assert_string_equal(registry_in_state(&registry, VERSION_ACTIVE)->label, "v2");
    assert_null(registry_in_state(&registry, VERSION_PREVIOUS));
    registry_fini(&registry);
}

static void what_a_person_asks_for_and_its_answer_are_read_back(void **state)
{
    (void)state;
    struct registry registry, back;
    struct err err;
    fill(&registry);
    char kind[] = WISH_CREATE, label[] = "v3", id[] = "a1", args[] = "{\"embedder\": \"nomic\"}";
    struct registry_wish wish = {.kind = kind, .label = label, .id = id, .args = args};
    assert_true(registry_add_wish(&registry, &wish));
    assert_false(registry_add_wish(&registry, &wish));
    char other[] = "a2", what[] = "create", reason[] = "no";
    wish.id = other;
    assert_true(registry_add_wish(&registry, &wish));
    registry_note(&registry, &(struct registry_event){
                                 .what = what, .wish = id, .refused = true, .reason = reason});
    registry.wishes[1].begun = true;
    registry.step.epoch = 7;
    registry.step.why = bson_strdup("cutover");
    registry.step.wish = bson_strdup("a0");
    registry.step.refused = bson_strdup("its collection is gone");
    registry.versions[0].proven = registry.versions[0].external = true;
    registry.versions[0].keep_until_ms = 1234;
    bson_t doc = BSON_INITIALIZER;
    assert_true(registry_encode(&registry, &doc, &err));
    assert_true(registry_decode(&doc, &back, &err));
    assert_string_equal(back.wishes[1].id, "a2");
    assert_true(back.wishes[1].begun && !back.wishes[0].begun);
    assert_non_null(strstr(back.wishes[0].args, "nomic"));
    assert_string_equal(back.events[1].wish, "a1");
    assert_true(back.events[1].refused);
    assert_int_equal(back.step.epoch, 7);
    assert_string_equal(back.step.why, "cutover");
    assert_string_equal(back.step.wish, "a0");
    assert_string_equal(back.step.refused, "its collection is gone");
    assert_true(back.versions[0].proven && back.versions[0].external);
    assert_int_equal(back.versions[0].keep_until_ms, 1234);
    bson_destroy(&doc);
    registry_fini(&registry);
    registry_fini(&back);
}

static bool survives(struct registry *registry, struct registry *back, struct err *err)
{
    bson_t doc = BSON_INITIALIZER;
    bool ok = registry_encode(registry, &doc, err) && registry_decode(&doc, back, err);
    bson_destroy(&doc);
    return ok;
}

static void an_exchange_of_names_is_read_back_whole_or_not_at_all(void **state)
{
    (void)state;
    struct registry registry, back;
    struct err err;
    fill(&registry);
    registry.versions[0].own_name = bson_strdup("messages__v1");
    assert_true(survives(&registry, &back, &err));
    assert_string_equal(back.versions[0].own_name, "messages__v1");
    assert_null(back.versions[1].own_name);
    assert_string_equal(back.rename.step, RENAME_RENAMING);
    assert_string_equal(back.rename.live_name, "messages");
    assert_string_equal(back.rename.live_id, "u-1");
    assert_string_equal(back.rename.parking_name, "messages__v1");
    assert_string_equal(back.rename.shadow_id, "u-2");
    assert_string_equal(back.rename.shadow_name, "messages__v2");
    assert_int_equal(back.rename.epoch, 6);
    assert_int_equal(back.rename.since_ms, 99);
    registry_fini(&back);
    bson_free(registry.rename.parking_name);
    registry.rename.parking_name = NULL; /* there is no name for the one that is to be parked */
    assert_false(survives(&registry, &back, &err));
    assert_int_equal(err.action, ERR_FATAL);
    assert_non_null(strstr(err.text, "rename"));
    bson_free(registry.rename.live_id);
    registry.rename.live_id = NULL; /* none is to be parked */
    assert_true(survives(&registry, &back, &err));
    registry_fini(&back);
    bson_free(registry.rename.step);
    registry.rename.step = NULL;
    assert_true(survives(&registry, &back, &err));
    assert_null(back.rename.step);
    registry_fini(&back);
    registry_fini(&registry);
}

static void only_the_last_hundred_events_are_kept(void **state)
{
    (void)state;
    struct registry registry = {.name = NULL};
    for (int i = 0; i < 250; i++) {
        char what[16];
        snprintf(what, sizeof(what), "event %d", i);
        registry_note(&registry, &(struct registry_event){.what = what});
    }
    assert_int_equal(registry.event_count, 100);
    assert_string_equal(registry.events[0].what, "event 150");
    assert_string_equal(registry.events[99].what, "event 249");
    assert_true(registry.events[99].at_ms > 0);
    registry_fini(&registry);
}

static void a_version_is_fed_from_its_first_backfill_to_the_end_of_its_rollback_window(void **state)
{
    (void)state;
    const bool fed[] = {false, false, true, true, true, true, true, true, false, false, false};
    for (size_t i = 0; i < ARRAY_LEN(fed); i++) {
        enum version_state parsed;
        struct version version = {.state = (enum version_state)i};
        assert_int_equal(version_is_fed(&version), fed[i]);
        version.external = true; /* not ours to feed */
        assert_false(version_is_fed(&version));
        assert_true(version_state_parse(version_state_name((enum version_state)i), &parsed));
        assert_int_equal(parsed, i);
    }
    enum version_state none;
    assert_false(version_state_parse("flying", &none));
}

static void whatever_value_is_of_another_type_decoding_ends_well(void **state)
{
    (void)state;
    struct registry registry;
    struct err err;
    int refused = 0;
    bson_t doc = BSON_INITIALIZER;
    fill(&registry);
    assert_true(registry_encode(&registry, &doc, &err));
    registry_fini(&registry);
    for (int target = 0;; target++) {
        bson_t *mutant = NULL;
        for (int kind = 0; kind < MUTATIONS; kind++) {
            mutant = mutate(&doc, target, kind);
            if (!mutant)
                break;
            if (!registry_decode(mutant, &registry, &err)) {
                assert_int_equal(err.action, ERR_FATAL);
                refused++;
            }
            registry_fini(&registry);
            bson_destroy(mutant);
        }
        if (!mutant)
            break;
    }
    assert_true(refused > 50);
    bson_destroy(&doc);
}

/* Asks for so many things; how many found room. */
static int ask(struct registry *registry, char *kind, char *by, int count)
{
    static unsigned asked;
    int added = 0;
    for (int i = 0; i < count; i++) {
        char id[17];
        snprintf(id, sizeof id, "%016x", ++asked);
        struct registry_wish wish = {.kind = kind, .by = by, .id = id};
        added += registry_add_wish(registry, &wish);
    }
    return added;
}

static void nobodys_backlog_keeps_others_from_asking_nor_an_agent_nor_the_way_back(void **state)
{
    (void)state;
    struct registry registry = {0};
    char verify[] = WISH_VERIFY, rollback[] = WISH_ROLLBACK, gap[] = WISH_GAP;
    char script[] = "a script", person[] = "a person", other[] = "another";
    assert_int_equal(ask(&registry, verify, script, 50), 10);
    assert_int_equal(ask(&registry, verify, person, 7), 7);
    assert_int_equal(ask(&registry, verify, other, 50), 3);
    assert_int_equal(ask(&registry, rollback, script, 50), 4);
    for (int64_t gen = 0; gen < 8; gen++)
        assert_true(registry_add_wish(&registry, &(struct registry_wish){.kind = gap, .gen = gen}));
    assert_false(registry_add_wish(&registry, &(struct registry_wish){.kind = gap, .gen = 9}));
    registry_fini(&registry);
}

#define SERVER_MS 1700000000000
#define HOUR_MS 3600000

static int64_t an_hour_ahead(void)
{
    return SERVER_MS + HOUR_MS;
}

static int64_t standing_still(void)
{
    return 1;
}

static void what_a_machine_with_a_wrong_clock_writes_is_dated_by_the_server(void **state)
{
    (void)state;
    static const struct clock_ops wrong = {.wall_ms = an_hour_ahead, .mono_us = standing_still};
    clock_use(&wrong);
    struct server server = server_at(SERVER_MS);
    struct registry registry;
    struct err err;
    char gap[] = WISH_GAP;
    assert_true(registry_load(&server.base, "ducks", "messages", &registry, &err));
    assert_int_equal(registry_now_ms(&registry), SERVER_MS);
    struct version *version = registry_add_version(&registry, "v1");
    assert_int_equal(version->created_ms, SERVER_MS);
    assert_int_equal(version->state_ms, SERVER_MS);
    registry_note(&registry, &(struct registry_event){.what = gap});
    assert_int_equal(registry.events[0].at_ms, SERVER_MS);
    assert_true(registry_add_wish(&registry, &(struct registry_wish){.kind = gap, .gen = 1}));
    assert_int_equal(registry.wishes[0].at_ms, SERVER_MS);
    registry_fini(&registry);
    server_fini(&server);
    clock_use(NULL);
}

static int64_t passed_us;

static int64_t by_hand(void)
{
    return passed_us;
}

/* An election passes before MongoDB says what time it is. */
static bool load_late(struct docstore *docs, const struct doc_ref *ref, bson_t **doc,
                      int64_t *now_ms, struct err *err)
{
    passed_us += 10000000;
    return server_load(docs, ref, doc, now_ms, err);
}

static void what_time_it_is_does_not_run_ahead_by_the_time_of_reading_it(void **state)
{
    (void)state;
    static const struct clock_ops clock = {.mono_us = by_hand};
    struct server server = server_at(SERVER_MS);
    struct docstore_ops late = *server.base.ops;
    struct registry registry;
    struct err err;
    late.load = load_late;
    server.base.ops = &late;
    clock_use(&clock);
    assert_true(registry_load(&server.base, "ducks", "messages", &registry, &err));
    assert_int_equal(registry_now_ms(&registry), SERVER_MS);
    registry_fini(&registry);
    server_fini(&server);
    clock_use(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_label_built_again_gets_the_next_build_and_another_id),
        cmocka_unit_test(a_version_is_found_by_its_state),
        cmocka_unit_test(what_a_person_asks_for_and_its_answer_are_read_back),
        cmocka_unit_test(an_exchange_of_names_is_read_back_whole_or_not_at_all),
        cmocka_unit_test(only_the_last_hundred_events_are_kept),
        cmocka_unit_test(
            a_version_is_fed_from_its_first_backfill_to_the_end_of_its_rollback_window),
        cmocka_unit_test(whatever_value_is_of_another_type_decoding_ends_well),
        cmocka_unit_test(what_a_machine_with_a_wrong_clock_writes_is_dated_by_the_server),
        cmocka_unit_test(what_time_it_is_does_not_run_ahead_by_the_time_of_reading_it),
        cmocka_unit_test(nobodys_backlog_keeps_others_from_asking_nor_an_agent_nor_the_way_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
