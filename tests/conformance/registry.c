/* SPDX-License-Identifier: Apache-2.0 */
/* The registry of families, and the alias readers follow: one suite over both back ends of docstore. */
#include "state/registry.h"
#include "conformance/state_fixture.h"
#include "state/alias.h"

static void a_family_nobody_wrote_down_is_empty(void **state)
{
    struct registry registry;
    struct err err;
    assert_true(registry_load(store_of(state), "ducks", "nobody", &registry, &err));
    assert_int_equal(registry.rev, 0);
    assert_string_equal(registry.family, "nobody");
    assert_int_equal(registry.version_count, 0);
    registry_fini(&registry);
}

static void fill_registry(struct registry *registry)
{
    registry->source_database = bson_strdup("duck");
    registry->source_collection = bson_strdup("discord_messages");
    registry->alias_database = bson_strdup("readers");
    registry->alias_collection = bson_strdup("aliases");
    struct version *version = registry_add_version(registry, "v1");
    version->collection = bson_strdup("messages__v1__nomic");
    version->embed =
        bson_strdup("{\"driver\": \"ollama\", \"dims\": 768, \"big\": 9007199254740993,"
                    " \"share\": 1.0, \"stopwords\": [], \"digest\": null}");
    version->dims = 768;
    version->state = VERSION_BACKFILLING;
    version->seeded = true;
    version->seeded_gen = 4;
    version->unmerged_gen = 4;
    version->merged_to = bson_strdup("{\"$oid\":\"64\"}");
    version->reason = bson_strdup("filling");
    registry->step = (struct registry_step){.kind = bson_strdup("promoting"),
                                            .label = bson_strdup("v1"),
                                            .owner = bson_strdup("pod-a"),
                                            .since_ms = 12345};
    registry_note(registry, &(struct registry_event){.at_ms = 99,
                                                     .what = (char *)(uintptr_t) "created",
                                                     .label = version->label});
}

static void a_family_comes_back_as_it_was_saved(void **state)
{
    struct docstore *store = store_of(state);
    struct registry saved;
    struct registry loaded;
    enum doc_swap outcome;
    struct err err;
    assert_true(registry_load(store, "ducks", "messages", &saved, &err));
    fill_registry(&saved);
    assert_true(registry_save(store, &saved, &outcome, &err));
    assert_int_equal(outcome, DOC_WON);
    assert_int_equal(saved.rev, 1);
    assert_true(registry_load(store, "ducks", "messages", &loaded, &err));
    assert_int_equal(loaded.rev, 1);
    assert_string_equal(loaded.source_collection, "discord_messages");
    assert_string_equal(loaded.alias_database, "readers");
    assert_string_equal(loaded.alias_collection, "aliases");
    const struct version *version = registry_version(&loaded, "v1");
    assert_string_equal(version->build_id, saved.versions[0].build_id);
    assert_string_equal(version->embed,
                        "{ \"driver\" : \"ollama\", \"dims\" : 768, \"big\" : 9007199254740993, "
                        "\"share\" : 1.0, \"stopwords\" : [  ], \"digest\" : null }");
    assert_int_equal(version->state, VERSION_BACKFILLING);
    assert_int_equal(version->dims, 768);
    assert_true(version->seeded && !version->paused);
    assert_int_equal(version->seeded_gen, 4);
    assert_int_equal(version->unmerged_gen, 4);
    assert_string_equal(version->merged_to, "{\"$oid\":\"64\"}");
    assert_int_equal(version->verified_epoch, -1);
    assert_null(version->collection_id);
    assert_string_equal(loaded.step.kind, "promoting");
    assert_int_equal(loaded.step.since_ms, 12345);
    assert_int_equal(loaded.event_count, 1);
    assert_string_equal(loaded.events[0].what, "created");
    assert_null(loaded.events[0].by);
    assert_true(registry_held(&loaded, "v1"));
    assert_false(registry_held(&loaded, "v2"));
    registry_fini(&saved);
    registry_fini(&loaded);
}

#define TEXT(text) ((char *)(uintptr_t)(text))

static void a_wish_is_kept_until_it_is_dropped_and_not_added_twice(void **state)
{
    struct docstore *store = store_of(state);
    struct registry registry;
    enum doc_swap outcome;
    struct err err;
    struct registry_wish gap = {.kind = TEXT(WISH_GAP),
                                .label = TEXT("v1"),
                                .gen = 3,
                                .by = TEXT("pod-a"),
                                .reason = TEXT("offset 7 is gone"),
                                .at_ms = 12345};
    struct registry_wish resume = {.kind = TEXT(WISH_RESUME), .gen = 3, .by = TEXT("ada")};
    assert_true(registry_load(store, "ducks", "wishful", &registry, &err));
    registry_add_version(&registry, "v1")->swept_gen = 2;
    registry.versions[0].stopped_gen = 3;
    assert_true(registry_add_wish(&registry, &gap));
    assert_false(registry_add_wish(&registry, &gap));
    assert_true(registry_add_wish(&registry, &resume));
    assert_true(registry_save(store, &registry, &outcome, &err));
    registry_fini(&registry);

    assert_true(registry_load(store, "ducks", "wishful", &registry, &err));
    assert_int_equal(registry.versions[0].swept_gen, 2);
    assert_int_equal(registry.versions[0].stopped_gen, 3);
    assert_int_equal(registry.wish_count, 2);
    const struct registry_wish *found = registry_find_wish(&registry, WISH_GAP, "v1", 3);
    assert_non_null(found);
    assert_string_equal(found->by, "pod-a");
    assert_string_equal(found->reason, "offset 7 is gone");
    assert_int_equal(found->at_ms, 12345);
    assert_null(registry_find_wish(&registry, WISH_GAP, "v1", 4));
    assert_null(registry_find_wish(&registry, WISH_GAP, NULL, 3));
    registry_drop_wish(&registry, 0);
    assert_int_equal(registry.wish_count, 1);
    assert_non_null(registry_find_wish(&registry, WISH_RESUME, NULL, 3));
    assert_true(registry.wishes[0].at_ms > 0);
    registry_fini(&registry);
}

static void wishes_do_not_grow_without_end(void **state)
{
    (void)state;
    struct registry registry = {0};
    struct registry_wish wish = {.kind = TEXT(WISH_GAP)};
    for (wish.gen = 0; wish.gen < 32; wish.gen++)
        assert_true(registry_add_wish(&registry, &wish));
    assert_false(registry_add_wish(&registry, &wish));
    assert_int_equal(registry.wish_count, 32);
    registry_fini(&registry);
}

struct rivals {
    struct docstore *store;
    int left; /* how often another is faster */
};

static bool be_overtaken(struct registry *registry, void *context)
{
    struct rivals *rivals = context;
    struct registry other;
    enum doc_swap outcome;
    struct err err;
    struct registry_wish wish = {.kind = TEXT(WISH_RESUME), .gen = 1};
    if (rivals->left-- > 0) {
        assert_true(registry_load(rivals->store, "ducks", "overtaken", &other, &err));
        registry_note(&other, &(struct registry_event){.at_ms = 1, .what = TEXT("rival")});
        assert_true(registry_save(rivals->store, &other, &outcome, &err));
        registry_fini(&other);
    }
    return registry_add_wish(registry, &wish);
}

static void a_change_is_made_again_on_what_a_faster_one_has_written(void **state)
{
    struct rivals rivals = {.store = store_of(state), .left = 3};
    struct registry_update update = {
        .name = "ducks", .family = "overtaken", .change = be_overtaken, .context = &rivals};
    struct registry registry;
    struct err err;
    assert_true(registry_apply(rivals.store, &update, &err));
    assert_true(update.changed);
    assert_true(registry_apply(rivals.store, &update, &err));
    assert_false(update.changed);
    assert_true(registry_load(rivals.store, "ducks", "overtaken", &registry, &err));
    assert_int_equal(registry.event_count, 3);
    assert_int_equal(registry.wish_count, 1);
    assert_int_equal(registry.rev, 4);
    registry_fini(&registry);
}

static void of_two_savers_of_a_family_the_later_loses(void **state)
{
    struct docstore *store = store_of(state);
    struct registry first;
    struct registry second;
    enum doc_swap outcome;
    struct err err;
    assert_true(registry_load(store, "ducks", "contested", &first, &err));
    assert_true(registry_load(store, "ducks", "contested", &second, &err));
    assert_true(registry_save(store, &first, &outcome, &err));
    assert_int_equal(outcome, DOC_WON);
    assert_true(registry_save(store, &second, &outcome, &err));
    assert_int_equal(outcome, DOC_LOST);
    assert_int_equal(second.rev, 0);
    registry_fini(&first);
    registry_fini(&second);
}

static void a_list_holds_the_families_of_one_deployment(void **state)
{
    struct docstore *store = store_of(state);
    const char *names[][2] = {{"geese", "b"}, {"geese", "a"}, {"geese2", "c"}};
    struct registry registry;
    struct registry *all;
    enum doc_swap outcome;
    struct err err;
    size_t count;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        assert_true(registry_load(store, names[i][0], names[i][1], &registry, &err));
        assert_true(registry_save(store, &registry, &outcome, &err));
        registry_fini(&registry);
    }
    assert_true(registry_list(store, "geese", &all, &count, &err));
    assert_int_equal(count, 2);
    assert_string_equal(all[0].family, "a");
    assert_string_equal(all[1].family, "b");
    for (size_t i = 0; i < count; i++)
        registry_fini(&all[i]);
    free(all);
}

static void an_embed_config_that_is_no_json_is_rejected_before_anything_is_written(void **state)
{
    struct docstore *store = store_of(state);
    struct registry registry;
    enum doc_swap outcome;
    struct err err;
    assert_true(registry_load(store, "ducks", "bad-embed", &registry, &err));
    registry_add_version(&registry, "v1")->embed = bson_strdup("{\"a\": ");
    assert_false(registry_save(store, &registry, &outcome, &err));
    assert_int_equal(err.action, ERR_REJECT);
    registry_fini(&registry);
    assert_true(registry_load(store, "ducks", "bad-embed", &registry, &err));
    assert_int_equal(registry.rev, 0);
    registry_fini(&registry);
}

static void what_a_newer_build_wrote_is_refused_by_name(void **state)
{
    struct docstore *store = store_of(state);
    struct registry registry;
    struct err err;
    put_raw(store, "families", "ducks/newer", "{\"schema\": 2}");
    assert_false(registry_load(store, "ducks", "newer", &registry, &err));
    assert_refused(&err, "ducks/newer");
}

static void a_family_that_makes_no_sense_is_refused(void **state)
{
    struct docstore *store = store_of(state);
    struct registry registry;
    struct registry *all;
    struct err err;
    size_t count;
    put_raw(store, "families", "odd/odd",
            "{\"name\": \"odd\", \"family\": \"odd\", \"versions\": [{\"label\": \"v1\"}]}");
    assert_false(registry_load(store, "odd", "odd", &registry, &err));
    assert_refused(&err, "build_id");
    assert_false(registry_list(store, "odd", &all, &count, &err));
    assert_refused(&err, "build_id");
}

/* --- alias ------------------------------------------------------------------------------------ */

static struct alias_ref alias_ref_of(const char *family)
{
    return (struct alias_ref){
        .database = mongod.database, .collection = "collection_aliases", .family = family};
}

static void an_alias_is_written_as_readers_know_it(void **state)
{
    struct docstore *store = store_of(state);
    struct alias_ref ref = alias_ref_of("messages");
    struct alias alias;
    enum doc_swap outcome;
    struct err err;
    char *json;
    assert_true(alias_json(store, &ref, &json, &err));
    assert_null(json);
    assert_true(alias_load(store, &ref, &alias, &err));
    assert_null(alias.target);
    alias.target = bson_strdup("messages__v1");
    alias.embed = bson_strdup("{\"driver\": \"hash\", \"dims\": 256}");
    assert_true(alias_swap(store, &ref, &alias, &outcome, &err));
    assert_int_equal(outcome, DOC_WON);
    assert_int_equal(alias.epoch, 1);
    assert_true(alias_json(store, &ref, &json, &err));
    const char *expected = "{ \"_id\" : \"messages\", \"target\" : \"messages__v1\", \"embed\" : { "
                           "\"driver\" : \"hash\", \"dims\" : 256 }, \"epoch\" : 1, \"previous\" : "
                           "null, \"updated_at\" : { \"$date\" : \"";
    assert_memory_equal(json, expected, strlen(expected));
    free(json);
    alias_fini(&alias);
}

static void a_flip_changes_target_and_previous_together_and_only_once(void **state)
{
    struct docstore *store = store_of(state);
    struct alias_ref ref = alias_ref_of("flipped");
    struct alias stale;
    struct alias alias = {.target = bson_strdup("one"), .embed = bson_strdup("{\"dims\": 1}")};
    enum doc_swap outcome;
    struct err err;
    assert_true(alias_swap(store, &ref, &alias, &outcome, &err));
    assert_true(alias_load(store, &ref, &stale, &err));
    alias.previous_target = alias.target;
    alias.previous_embed = alias.embed;
    alias.target = bson_strdup("two");
    alias.embed = bson_strdup("{\"dims\": 2}");
    assert_true(alias_swap(store, &ref, &alias, &outcome, &err));
    assert_int_equal(outcome, DOC_WON);
    assert_true(alias_swap(store, &ref, &stale, &outcome, &err));
    assert_int_equal(outcome, DOC_LOST);
    alias_fini(&stale);
    alias_fini(&alias);
    assert_true(alias_load(store, &ref, &alias, &err));
    assert_int_equal(alias.epoch, 2);
    assert_string_equal(alias.target, "two");
    assert_string_equal(alias.previous_target, "one");
    assert_string_equal(alias.previous_embed, "{ \"dims\" : 1 }");
    assert_true(alias.updated_ms > 0);
    alias_fini(&alias);
}

static void an_alias_without_an_epoch_counts_as_zero(void **state)
{
    struct docstore *store = store_of(state);
    struct alias_ref ref = alias_ref_of("by-hand");
    struct doc_ref doc_ref = {.database = mongod.database,
                              .collection = "collection_aliases",
                              .id = "by-hand",
                              .counter = "epoch"};
    struct alias alias;
    enum doc_swap outcome;
    struct err err;
    bson_t *doc = BCON_NEW("target", BCON_UTF8("old"), "embed", "{", "fn", BCON_UTF8("x"), "}");
    assert_true(docstore_note(store, &doc_ref, doc, NULL, &err));
    settle(store);
    bson_destroy(doc);
    assert_true(alias_load(store, &ref, &alias, &err));
    assert_string_equal(alias.target, "old");
    assert_int_equal(alias.epoch, 0);
    assert_true(alias_swap(store, &ref, &alias, &outcome, &err));
    assert_int_equal(outcome, DOC_WON);
    assert_int_equal(alias.epoch, 1);
    alias_fini(&alias);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(a_family_nobody_wrote_down_is_empty),
        BOTH(a_family_comes_back_as_it_was_saved),
        BOTH(of_two_savers_of_a_family_the_later_loses),
        BOTH(a_wish_is_kept_until_it_is_dropped_and_not_added_twice),
        cmocka_unit_test(wishes_do_not_grow_without_end),
        BOTH(a_change_is_made_again_on_what_a_faster_one_has_written),
        BOTH(a_list_holds_the_families_of_one_deployment),
        BOTH(an_embed_config_that_is_no_json_is_rejected_before_anything_is_written),
        BOTH(what_a_newer_build_wrote_is_refused_by_name),
        BOTH(a_family_that_makes_no_sense_is_refused),
        BOTH(an_alias_is_written_as_readers_know_it),
        BOTH(a_flip_changes_target_and_previous_together_and_only_once),
        BOTH(an_alias_without_an_epoch_counts_as_zero),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
