/* SPDX-License-Identifier: Apache-2.0 */
/* Leases and checkpoints: one suite over both back ends of docstore, and what only a real server
 * can show. */
#include "conformance/state_fixture.h"
#include "state/checkpoint.h"

static struct lease *try_take(struct docstore *store, const char *id, const char *holder,
                              int64_t ttl_ms)
{
    struct lease_options options = {.id = id, .holder = holder, .ttl_ms = ttl_ms};
    struct checkpoint checkpoint;
    enum lease_outcome outcome;
    struct lease *lease = NULL;
    struct err err;
    if (!lease_take(store, &options, &lease, &checkpoint, &outcome, &err))
        fail_msg("%s", err.text);
    assert_int_equal(outcome == LEASE_WON, lease != NULL);
    checkpoint_fini(&checkpoint);
    return lease;
}

static struct lease *take(struct docstore *store, const char *id, const char *holder)
{
    struct lease *lease = try_take(store, id, holder, 60000);
    assert_non_null(lease);
    return lease;
}

static void a_free_lease_is_won_and_then_held(void **state)
{
    struct docstore *store = store_of(state);
    CLEANUP(lease_freep) struct lease *lease = take(store, "free", "a");
    assert_int_equal(lease_term(lease), 1);
    assert_true(lease_is_held(lease));
    assert_null(try_take(store, "free", "b", 60000));

    struct checkpoint checkpoint;
    struct lease_info info;
    struct err err;
    bool found;
    assert_true(checkpoint_load(store, "free", &found, &checkpoint, &info, &err));
    assert_true(found && info.valid);
    assert_string_equal(info.holder, "a");
    assert_int_equal(info.term, 1);
    assert_null(checkpoint.token);
    lease_info_fini(&info);
    assert_true(checkpoint_load(store, "unknown", &found, &checkpoint, &info, &err));
    assert_false(found);
    assert_null(info.holder);
}

static void a_released_lease_is_free_at_once_and_its_term_is_not_used_again(void **state)
{
    struct docstore *store = store_of(state);
    struct checkpoint checkpoint = {.token = NULL};
    struct err err;
    CLEANUP(lease_freep) struct lease *first = take(store, "released", "a");
    lease_release(first);
    assert_false(lease_is_held(first));
    assert_false(lease_save(first, &checkpoint, &err));
    assert_int_equal(err.action, ERR_CANCEL);
    CLEANUP(lease_freep) struct lease *second = take(store, "released", "b");
    assert_int_equal(lease_term(second), 2);
    lease_release(first); /* a second time: must not free what another holds */
    assert_null(try_take(store, "released", "c", 60000));
}

static void *race_lease(void *context)
{
    struct race *race = context;
    char holder[16];
    int me = atomic_fetch_add(&race->next, 1);
    snprintf(holder, sizeof(holder), "holder %d", me);
    struct lease_options options = {.id = race->id, .holder = holder, .ttl_ms = 60000};
    struct checkpoint checkpoint;
    enum lease_outcome outcome;
    struct err err;
    pthread_barrier_wait(&race->barrier);
    if (!lease_take(race->store, &options, &race->leases[me], &checkpoint, &outcome, &err))
        atomic_fetch_add(&race->failed, 1);
    else if (outcome == LEASE_WON)
        atomic_fetch_add(&race->won, 1);
    checkpoint_fini(&checkpoint);
    return NULL;
}

static void of_eight_takers_exactly_one_wins_and_terms_strictly_increase(void **state)
{
    struct race race = {.store = store_of(state), .id = "lease race"};
    for (int64_t round = 1; round <= 10; round++) {
        run_race(&race, race_lease);
        assert_int_equal(race.won, 1);
        for (int i = 0; i < THREADS; i++) {
            if (!race.leases[i])
                continue;
            assert_int_equal(lease_term(race.leases[i]), round);
            lease_release(race.leases[i]);
            lease_free(race.leases[i]);
            race.leases[i] = NULL;
        }
    }
}

static void a_zombie_s_save_and_renewal_lose(void **state)
{
    struct docstore *store = store_of(state);
    struct checkpoint checkpoint = {.token_time = 1};
    struct err err;
    CLEANUP(lease_freep) struct lease *zombie = try_take(store, "zombie", "a", 1);
    CLEANUP(lease_freep) struct lease *heir = NULL;
    assert_non_null(zombie);
    int64_t deadline_ms = clock_mono_ms() + DEADLINE_MS;
    while (!heir && clock_mono_ms() < deadline_ms)
        heir = try_take(store, "zombie", "b", 60000);
    assert_non_null(heir);
    assert_false(lease_is_held(zombie));
    assert_int_equal(lease_term(heir), lease_term(zombie) + 1);
    assert_false(lease_save(zombie, &checkpoint, &err));
    assert_int_equal(err.action, ERR_CANCEL);
    assert_int_equal(err.domain, ERR_STATE);
    assert_false(lease_renew(zombie, &err));
    assert_int_equal(err.action, ERR_CANCEL);
    lease_release(zombie);
    assert_true(lease_save(heir, &checkpoint, &err));
}

static void a_lease_that_ran_out_unnoticed_is_extended_by_the_next_save(void **state)
{
    struct docstore *store = store_of(state);
    struct checkpoint checkpoint = {.token_time = 1};
    struct err err;
    CLEANUP(lease_freep) struct lease *lease = try_take(store, "overslept", "a", 2);
    assert_non_null(lease);
    int64_t deadline_ms = clock_mono_ms() + DEADLINE_MS;
    while (lease_is_held(lease) && clock_mono_ms() < deadline_ms)
        ;
    assert_false(lease_is_held(lease));
    assert_true(lease_save(lease, &checkpoint, &err));
}

static void a_holder_that_takes_its_own_lease_again_begins_a_new_term(void **state)
{
    struct docstore *store = store_of(state);
    struct err err;
    CLEANUP(lease_freep) struct lease *before = take(store, "own", "a");
    CLEANUP(lease_freep) struct lease *after = take(store, "own", "a");
    assert_int_equal(lease_term(after), lease_term(before) + 1);
    assert_false(lease_renew(before, &err));
    assert_true(lease_renew(after, &err));
}

static void a_write_of_its_own_that_arrives_late_does_not_cost_the_lease(void **state)
{
    struct docstore *store = store_of(state);
    struct checkpoint checkpoint = {.token_time = 7};
    struct doc_ref ref = {.collection = "captures", .id = "late", .counter = "rev"};
    struct err err;
    bson_t *doc = NULL;
    enum doc_swap outcome;
    CLEANUP(lease_freep) struct lease *lease = take(store, "late", "a");
    assert_true(docstore_load(store, &ref, &doc, NULL, &err));
    assert_true(docstore_swap(store, &ref, 1, doc, &outcome, &err));
    assert_int_equal(outcome, DOC_WON);
    bson_destroy(doc);
    assert_true(lease_save(lease, &checkpoint, &err));
    assert_true(lease_is_held(lease));
}

static bson_t *typed(const char *json)
{
    bson_error_t error;
    bson_t *doc = bson_new_from_json((const uint8_t *)json, -1, &error);
    assert_non_null(doc);
    return doc;
}

static void fill(struct checkpoint *checkpoint)
{
    checkpoint->token = bson_strdup("826B01683A000000072B0229296E04");
    checkpoint->token_time = 4000000000u;
    checkpoint->pipeline_hash = bson_strdup("sha256:aa");
    struct checkpoint_family *family = checkpoint_add(checkpoint, "messages");
    family->gen = INT64_MAX;
    family->t0 = bson_strdup("82AA");
    family->family_fp = bson_strdup("sha256:bb");
    family->state = FAMILY_SNAPSHOT;
    family->partitions = 2;
    family->start_offsets = bson_malloc0(2 * sizeof(int64_t));
    family->start_offsets[1] = 1LL << 40;
    family->range_count = 2;
    family->ranges = bson_malloc0(2 * sizeof(*family->ranges));
    family->ranges[0].max = typed("{\"_id\": {\"$minKey\": 1}}");
    family->ranges[0].done = true;
    family->ranges[1].min = typed("{\"_id\": {\"$minKey\": 1}}");
    family->ranges[1].cursor = typed("{\"_id\": {\"a\": {\"$numberLong\": \"1\"}, \"b\": 1.0}}");
    family->ranges[1].rows = 17;
    family->total_rows = 4000;
    family = checkpoint_add(checkpoint, "users");
    family->state = FAMILY_GAP;
    family->reason = bson_strdup("history lost");
    family->partitions = 1;
    family->end_offsets = bson_malloc0(sizeof(int64_t));
}

static void assert_filled(struct checkpoint *checkpoint)
{
    assert_string_equal(checkpoint->token, "826B01683A000000072B0229296E04");
    assert_true(checkpoint->token_time == 4000000000u);
    assert_int_equal(checkpoint->family_count, 2);
    struct checkpoint_family *family = checkpoint_find(checkpoint, "messages");
    assert_true(family->gen == INT64_MAX);
    assert_string_equal(family->t0, "82AA");
    assert_string_equal(family->family_fp, "sha256:bb");
    assert_int_equal(family->state, FAMILY_SNAPSHOT);
    assert_int_equal(family->partitions, 2);
    assert_true(family->start_offsets[1] == 1LL << 40);
    assert_null(family->end_offsets);
    assert_int_equal(family->range_count, 2);
    assert_true(family->ranges[0].done);
    assert_null(family->ranges[0].min);
    assert_null(family->ranges[0].cursor);
    bson_t *cursor = typed("{\"_id\": {\"a\": {\"$numberLong\": \"1\"}, \"b\": 1.0}}");
    assert_true(bson_equal(family->ranges[1].cursor, cursor));
    bson_destroy(cursor);
    assert_int_equal(family->ranges[1].rows, 17);
    assert_int_equal(family->total_rows, 4000);
    family = checkpoint_find(checkpoint, "users");
    assert_int_equal(family->state, FAMILY_GAP);
    assert_string_equal(family->reason, "history lost");
    assert_null(family->start_offsets);
    assert_int_equal(family->end_offsets[0], 0);
    assert_int_equal(family->total_rows, -1);
    assert_null(checkpoint_find(checkpoint, "nobody"));
}

static void a_checkpoint_comes_back_whole_to_the_next_holder_and_survives_renewals(void **state)
{
    struct docstore *store = store_of(state);
    struct lease_options options = {.id = "whole", .holder = "b", .ttl_ms = 60000};
    struct checkpoint checkpoint = {.token = NULL};
    struct lease_info info;
    struct lease *next = NULL;
    enum lease_outcome outcome;
    struct err err;
    bool found;
    struct lease *lease = take(store, "whole", "a");
    fill(&checkpoint);
    assert_true(lease_save(lease, &checkpoint, &err));
    checkpoint_fini(&checkpoint);
    assert_true(checkpoint_load(store, "whole", &found, &checkpoint, &info, &err));
    assert_filled(&checkpoint);
    int64_t saved_ms = info.saved_ms;
    assert_true(saved_ms > clock_wall_ms() - 60000);
    checkpoint_fini(&checkpoint);
    lease_info_fini(&info);
    assert_true(lease_renew(lease, &err));
    lease_release(lease);
    lease_free(lease);
    assert_true(lease_take(store, &options, &next, &checkpoint, &outcome, &err));
    assert_int_equal(outcome, LEASE_WON);
    assert_filled(&checkpoint);
    checkpoint_fini(&checkpoint);
    assert_true(checkpoint_load(store, "whole", &found, &checkpoint, &info, &err));
    assert_int_equal(info.saved_ms, saved_ms);
    checkpoint_fini(&checkpoint);
    lease_info_fini(&info);
    lease_free(next);
}

/* Put back under the one that holds it: term and holder are the same as ever. */
static void a_lease_whose_document_was_restored_is_lost(void **state)
{
    struct docstore *store = store_of(state);
    struct doc_ref ref = {.collection = "captures", .id = "restored", .counter = "rev"};
    struct err err;
    enum doc_swap outcome;
    bson_t *before = NULL;
    struct lease *lease = take(store, "restored", "a");
    assert_true(docstore_load(store, &ref, &before, NULL, &err));
    int64_t taken = lease_rev(lease);
    assert_int_equal(lease_found_rev(lease), taken - 1);
    assert_true(lease_renew(lease, &err));
    assert_true(lease_renew(lease, &err));
    assert_int_equal(lease_rev(lease), taken + 2);
    assert_true(docstore_remove(store, &ref, &err));
    bson_t restored = BSON_INITIALIZER;
    bson_copy_to_excluding_noinit(before, &restored, "_id", NULL);
    assert_true(docstore_swap(store, &ref, 0, &restored, &outcome, &err));
    assert_int_equal(outcome, DOC_WON);
    assert_false(lease_renew(lease, &err));
    assert_int_equal(err.action, ERR_CANCEL);
    assert_int_equal(lease_rev(lease), taken + 2); /* as far as it had come */
    bson_destroy(&restored);
    bson_destroy(before);
    lease_free(lease);
}

struct keeping {
    struct lease *lease;
    _Atomic bool failed;
};

static void *renew_many(void *context)
{
    struct keeping *keeping = context;
    struct err err;
    for (int i = 0; i < 50; i++)
        if (!lease_renew(keeping->lease, &err))
            atomic_store(&keeping->failed, true);
    return NULL;
}

static void one_thread_saves_while_another_renews(void **state)
{
    struct checkpoint checkpoint = {.token_time = 1};
    struct keeping keeping = {.lease = take(store_of(state), "shared", "a")};
    struct err err;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, renew_many, &keeping), 0);
    for (int i = 0; i < 50; i++) {
        checkpoint.token_time++;
        assert_true(lease_save(keeping.lease, &checkpoint, &err));
        assert_true(lease_is_held(keeping.lease));
    }
    pthread_join(thread, NULL);
    assert_false(keeping.failed);
    lease_free(keeping.lease);
}

static void a_lease_of_a_newer_build_is_refused_by_name(void **state)
{
    struct docstore *store = store_of(state);
    struct lease_options options = {.id = "newer", .holder = "a", .ttl_ms = 1000};
    struct checkpoint checkpoint;
    enum lease_outcome outcome;
    struct lease *lease;
    struct err err;
    put_raw(store, "captures", "newer", "{\"schema\": 2, \"holder\": null}");
    assert_false(lease_take(store, &options, &lease, &checkpoint, &outcome, &err));
    assert_refused(&err, "newer vectail (schema 2");
}

static void a_checkpoint_that_makes_no_sense_is_refused_and_its_lease_not_taken(void **state)
{
    struct docstore *store = store_of(state);
    struct lease_options options = {.id = "odd", .holder = "a", .ttl_ms = 1000};
    struct checkpoint checkpoint;
    enum lease_outcome outcome;
    struct lease *lease;
    struct err err;
    put_raw(store, "captures", "odd",
            "{\"schema\": 1, \"term\": 4, \"checkpoint\": {\"token\": 7}}");
    assert_false(lease_take(store, &options, &lease, &checkpoint, &outcome, &err));
    assert_refused(&err, "token");
    put_raw(store, "captures", "odd",
            "{\"checkpoint\": {\"families\": [{\"family\": \"f\", \"state\": \"flying\"}]}}");
    assert_false(lease_take(store, &options, &lease, &checkpoint, &outcome, &err));
    assert_refused(&err, "state");
    assert_null(lease);
}

/* --- faults that only a real server has ------------------------------------------------------- */

static void a_lease_outlives_a_failed_save_and_is_kept_by_the_next(void **state)
{
    struct checkpoint checkpoint = {.token_time = 3};
    struct err err;
    (void)state;
    CLEANUP(lease_freep) struct lease *lease = take(mongo_store(), "shaken", "a");
    assert_true(mongod_fail(&mongod, "findAndModify", 2, CLOSED));
    assert_false(lease_save(lease, &checkpoint, &err));
    assert_int_equal(err.action, ERR_RETRY);
    assert_true(lease_is_held(lease));
    assert_true(mongod_fail(&mongod, "findAndModify", 1, WRITE_CONCERN_ERROR));
    assert_true(lease_save(lease, &checkpoint, &err));
    mongod_heal(&mongod);
    assert_true(lease_renew(lease, &err));
}

static void a_lease_taken_under_a_write_concern_error_is_won(void **state)
{
    (void)state;
    assert_true(mongod_fail(&mongod, "findAndModify", 1, WRITE_CONCERN_ERROR));
    CLEANUP(lease_freep) struct lease *lease = take(mongo_store(), "unsure lease", "a");
    mongod_heal(&mongod);
    assert_null(try_take(mongo_store(), "unsure lease", "b", 60000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(a_free_lease_is_won_and_then_held),
        BOTH(a_released_lease_is_free_at_once_and_its_term_is_not_used_again),
        BOTH(of_eight_takers_exactly_one_wins_and_terms_strictly_increase),
        BOTH(a_zombie_s_save_and_renewal_lose),
        BOTH(a_lease_that_ran_out_unnoticed_is_extended_by_the_next_save),
        BOTH(a_holder_that_takes_its_own_lease_again_begins_a_new_term),
        BOTH(a_write_of_its_own_that_arrives_late_does_not_cost_the_lease),
        BOTH(a_lease_whose_document_was_restored_is_lost),
        BOTH(a_checkpoint_comes_back_whole_to_the_next_holder_and_survives_renewals),
        BOTH(one_thread_saves_while_another_renews),
        BOTH(a_lease_of_a_newer_build_is_refused_by_name),
        BOTH(a_checkpoint_that_makes_no_sense_is_refused_and_its_lease_not_taken),
        cmocka_unit_test(a_lease_outlives_a_failed_save_and_is_kept_by_the_next),
        cmocka_unit_test(a_lease_taken_under_a_write_concern_error_is_won),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
