/* SPDX-License-Identifier: Apache-2.0 */
/* Document store, lease, registry and alias: one suite over every back end of docstore, and what
 * only a real server can show. */
#include <pthread.h>
#include <stdatomic.h>

#include "conformance/mongod.h"
#include "state/alias.h"
#include "state/checkpoint.h"
#include "state/registry.h"
#include "support/test.h"

#define THREADS 8
#define DEADLINE_MS 20000

static struct mongod mongod;
static struct docstore *stores[2]; /* memory, mongo */

static struct docstore *store_of(void **state)
{
    return *(struct docstore **)*state;
}

/* --- helpers ---------------------------------------------------------------------------------- */

static struct doc_ref ref_of(const char *id)
{
    return (struct doc_ref){.collection = "documents", .id = id, .counter = "rev"};
}

static enum doc_swap swap(struct docstore *store, const char *id, int64_t expected, int number)
{
    struct doc_ref ref = ref_of(id);
    struct err err;
    enum doc_swap outcome = DOC_LOST;
    bson_t *doc = BCON_NEW("number", BCON_INT32(number));
    bool ok = docstore_swap(store, &ref, expected, doc, &outcome, &err);
    bson_destroy(doc);
    if (!ok)
        fail_msg("%s", err.text);
    return outcome;
}

static int64_t number_at(struct docstore *store, const char *id, const char *path)
{
    struct doc_ref ref = ref_of(id);
    struct err err;
    bson_t *doc = NULL;
    bson_iter_t iter;
    bson_iter_t found;
    assert_true(docstore_load(store, &ref, &doc, NULL, &err));
    int64_t number = doc && bson_iter_init(&iter, doc) &&
                             bson_iter_find_descendant(&iter, path, &found)
                         ? bson_iter_as_int64(&found)
                         : -1;
    bson_destroy(doc);
    return number;
}

/* Notes are written with w:1; what a majority read sees is behind that until a majority write. */
static void settle(struct docstore *store)
{
    struct doc_ref ref = ref_of("nobody");
    struct err err;
    assert_true(docstore_remove(store, &ref, &err));
}

static void put_raw(struct docstore *store, const char *collection, const char *id,
                    const char *json)
{
    struct doc_ref ref = {.collection = collection, .id = id, .counter = "rev"};
    struct err err;
    bson_error_t error;
    bson_t *doc = bson_new_from_json((const uint8_t *)json, -1, &error);
    assert_non_null(doc);
    assert_true(docstore_note(store, &ref, doc, NULL, &err));
    bson_destroy(doc);
    settle(store);
}

static char *as_json(struct docstore *store, const char *collection, const char *id)
{
    struct doc_ref ref = {.collection = collection, .id = id, .counter = "rev"};
    struct err err;
    bson_t *doc = NULL;
    assert_true(docstore_load(store, &ref, &doc, NULL, &err));
    assert_non_null(doc);
    char *json = bson_as_relaxed_extended_json(doc, NULL);
    bson_destroy(doc);
    return json;
}

/* --- docstore --------------------------------------------------------------------------------- */

static void a_missing_document_counts_as_zero(void **state)
{
    struct docstore *store = store_of(state);
    struct doc_ref ref = ref_of("missing");
    struct err err;
    bson_t *doc = NULL;
    assert_true(docstore_load(store, &ref, &doc, NULL, &err));
    assert_null(doc);
    assert_int_equal(swap(store, "missing", 1, 1), DOC_LOST);
    assert_int_equal(swap(store, "missing", 0, 2), DOC_WON);
    assert_int_equal(number_at(store, "missing", "number"), 2);
    assert_int_equal(number_at(store, "missing", "rev"), 1);
}

static void a_stale_counter_loses_and_changes_nothing(void **state)
{
    struct docstore *store = store_of(state);
    assert_int_equal(swap(store, "stale", 0, 1), DOC_WON);
    assert_int_equal(swap(store, "stale", 1, 2), DOC_WON);
    assert_int_equal(swap(store, "stale", 0, 3), DOC_LOST);
    assert_int_equal(swap(store, "stale", 1, 3), DOC_LOST);
    assert_int_equal(swap(store, "stale", 7, 3), DOC_LOST);
    assert_int_equal(number_at(store, "stale", "number"), 2);
}

static void a_document_without_its_counter_counts_as_zero(void **state)
{
    struct docstore *store = store_of(state);
    put_raw(store, "documents", "by-hand", "{\"number\": 1}");
    assert_int_equal(swap(store, "by-hand", 1, 2), DOC_LOST);
    assert_int_equal(swap(store, "by-hand", 0, 2), DOC_WON);
    assert_int_equal(number_at(store, "by-hand", "rev"), 1);
    put_raw(store, "documents", "null", "{\"rev\": null}");
    assert_int_equal(swap(store, "null", 0, 2), DOC_WON);
    put_raw(store, "documents", "zero", "{\"rev\": 0.0}");
    assert_int_equal(swap(store, "zero", 0, 2), DOC_WON);
}

static void a_counter_from_a_shell_is_a_double_and_still_counts(void **state)
{
    struct docstore *store = store_of(state);
    put_raw(store, "documents", "double", "{\"rev\": 3.0}");
    assert_int_equal(swap(store, "double", 0, 2), DOC_LOST);
    assert_int_equal(swap(store, "double", 3, 2), DOC_WON);
    assert_int_equal(number_at(store, "double", "rev"), 4);
}

static void the_counter_stands_where_its_place_was_left(void **state)
{
    struct docstore *store = store_of(state);
    struct doc_ref ref = ref_of("order");
    struct err err;
    enum doc_swap outcome;
    bson_t *doc = BCON_NEW("a", BCON_INT32(1), "rev", BCON_INT32(99), "b", BCON_INT32(2));
    assert_true(docstore_swap(store, &ref, 0, doc, &outcome, &err));
    bson_destroy(doc);
    char *json = as_json(store, "documents", "order");
    assert_string_equal(json, "{ \"_id\" : \"order\", \"a\" : 1, \"rev\" : 1, \"b\" : 2 }");
    bson_free(json);
    assert_int_equal(swap(store, "order", 1, 3), DOC_WON);
    json = as_json(store, "documents", "order");
    assert_string_equal(json, "{ \"_id\" : \"order\", \"rev\" : 2, \"number\" : 3 }");
    bson_free(json);
}

static void a_load_tells_the_server_s_clock_with_and_without_a_document(void **state)
{
    struct docstore *store = store_of(state);
    struct err err;
    bson_t *doc = NULL;
    int64_t wall_ms = clock_wall_ms();
    assert_int_equal(swap(store, "clock", 0, 1), DOC_WON);
    const char *ids[] = {"clock", "no clock"};
    for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
        struct doc_ref ref = ref_of(ids[i]);
        int64_t now_ms = 0;
        assert_true(docstore_load(store, &ref, &doc, &now_ms, &err));
        assert_true(now_ms > wall_ms - 60000 && now_ms < wall_ms + 60000);
        assert_int_equal(doc != NULL, i == 0);
        bson_destroy(doc);
    }
}

static void a_list_holds_what_begins_with_the_prefix_in_order(void **state)
{
    struct docstore *store = store_of(state);
    const char *ids[] = {"ducks/b", "ducks/a", "duck", "ducks.x/a", "ducks/", "ducks0", "e"};
    for (size_t i = 0; i < ARRAY_LEN(ids); i++)
        put_raw(store, "listed", ids[i], "{\"x\": 1}");
    struct err err;
    bson_t **docs;
    size_t count;
    assert_true(docstore_list(store, "listed", "ducks/", &docs, &count, &err));
    const char *expected[] = {"ducks/", "ducks/a", "ducks/b"};
    assert_int_equal(count, ARRAY_LEN(expected));
    for (size_t i = 0; i < count; i++) {
        bson_iter_t iter;
        assert_true(bson_iter_init_find(&iter, docs[i], "_id"));
        assert_string_equal(bson_iter_utf8(&iter, NULL), expected[i]);
    }
    docstore_list_free(docs, count);
    assert_true(docstore_list(store, "nothing", "", &docs, &count, &err));
    assert_int_equal(count, 0);
    docstore_list_free(docs, count);
}

static void a_removed_document_is_gone_and_may_be_removed_again(void **state)
{
    struct docstore *store = store_of(state);
    struct doc_ref ref = ref_of("removed");
    struct err err;
    assert_int_equal(swap(store, "removed", 0, 1), DOC_WON);
    assert_true(docstore_remove(store, &ref, &err));
    assert_true(docstore_remove(store, &ref, &err));
    assert_int_equal(number_at(store, "removed", "number"), -1);
    assert_int_equal(swap(store, "removed", 0, 2), DOC_WON);
}

static void a_note_sets_and_adds(void **state)
{
    struct docstore *store = store_of(state);
    struct doc_ref ref = ref_of("note");
    struct err err;
    bson_t *set = BCON_NEW("owner", BCON_UTF8("a"));
    bson_t *add = BCON_NEW("items", BCON_INT64(5), "share", BCON_DOUBLE(0.5));
    assert_true(docstore_note(store, &ref, NULL, NULL, &err));
    assert_int_equal(number_at(store, "note", "items"), -1);
    for (int i = 0; i < 3; i++)
        assert_true(docstore_note(store, &ref, set, add, &err));
    assert_true(docstore_note(store, &ref, NULL, add, &err));
    assert_true(docstore_note(store, &ref, set, NULL, &err));
    settle(store);
    char *json = as_json(store, "documents", "note");
    assert_non_null(strstr(json, "\"owner\" : \"a\""));
    assert_non_null(strstr(json, "\"items\" : 20"));
    assert_non_null(strstr(json, "\"share\" : 2.0"));
    bson_free(json);
    bson_destroy(set);
    bson_destroy(add);
}

/* --- races ------------------------------------------------------------------------------------ */

struct race {
    struct docstore *store;
    char id[64];
    int64_t expected;
    pthread_barrier_t barrier;
    _Atomic int next;
    _Atomic int won;
    _Atomic int failed;
    char *identities[THREADS];
    struct lease *leases[THREADS];
};

static void run_race(struct race *race, void *(*run)(void *))
{
    pthread_t threads[THREADS];
    race->next = 0;
    race->won = 0;
    race->failed = 0;
    pthread_barrier_init(&race->barrier, NULL, THREADS);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run, race), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&race->barrier);
    assert_int_equal(race->failed, 0);
}

static void *race_swap(void *context)
{
    struct race *race = context;
    struct doc_ref ref = ref_of(race->id);
    struct err err;
    enum doc_swap outcome;
    int me = atomic_fetch_add(&race->next, 1);
    bson_t *doc = BCON_NEW("number", BCON_INT32(me));
    pthread_barrier_wait(&race->barrier);
    if (!docstore_swap(race->store, &ref, race->expected, doc, &outcome, &err))
        atomic_fetch_add(&race->failed, 1);
    else if (outcome == DOC_WON)
        atomic_fetch_add(&race->won, 1);
    bson_destroy(doc);
    return NULL;
}

static void of_eight_writers_at_one_counter_exactly_one_wins(void **state)
{
    struct race race = {.store = store_of(state), .id = "race"};
    for (; race.expected < 10; race.expected++) {
        run_race(&race, race_swap);
        assert_int_equal(race.won, 1);
        assert_int_equal(number_at(race.store, "race", "rev"), race.expected + 1);
    }
}

static void *race_identity(void *context)
{
    struct race *race = context;
    struct err err;
    int me = atomic_fetch_add(&race->next, 1);
    pthread_barrier_wait(&race->barrier);
    if (!docstore_identity(race->store, race->id, &race->identities[me], &err))
        atomic_fetch_add(&race->failed, 1);
    return NULL;
}

static void the_identity_is_made_once(void **state)
{
    struct race race = {.store = store_of(state), .id = "ducks"};
    struct err err;
    char *other = NULL;
    run_race(&race, race_identity);
    assert_int_equal(strlen(race.identities[0]), 32);
    for (int i = 1; i < THREADS; i++)
        assert_string_equal(race.identities[i], race.identities[0]);
    assert_true(docstore_identity(race.store, "geese", &other, &err));
    assert_string_not_equal(other, race.identities[0]);
    free(other);
    for (int i = 0; i < THREADS; i++)
        free(race.identities[i]);
}

/* --- lease ------------------------------------------------------------------------------------ */

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

/* --- what is refused -------------------------------------------------------------------------- */

static void assert_refused(const struct err *err, const char *word)
{
    assert_int_equal(err->action, ERR_FATAL);
    assert_int_equal(err->domain, ERR_STATE);
    if (!strstr(err->text, word))
        fail_msg("'%s' does not speak of %s", err->text, word);
}

static void what_a_newer_build_wrote_is_refused_by_name(void **state)
{
    struct docstore *store = store_of(state);
    struct lease_options options = {.id = "newer", .holder = "a", .ttl_ms = 1000};
    struct checkpoint checkpoint;
    struct registry registry;
    enum lease_outcome outcome;
    struct lease *lease;
    char *state_id;
    struct err err;
    put_raw(store, "captures", "newer", "{\"schema\": 2, \"holder\": null}");
    assert_false(lease_take(store, &options, &lease, &checkpoint, &outcome, &err));
    assert_refused(&err, "newer vectail (schema 2");
    put_raw(store, "families", "ducks/newer", "{\"schema\": 2}");
    assert_false(registry_load(store, "ducks", "newer", &registry, &err));
    assert_refused(&err, "ducks/newer");
    put_raw(store, "identity", "newer", "{\"schema\": 2, \"state_id\": \"x\"}");
    assert_false(docstore_identity(store, "newer", &state_id, &err));
    assert_refused(&err, "newer vectail");
}

static void a_document_that_makes_no_sense_is_refused_and_its_lease_not_taken(void **state)
{
    struct docstore *store = store_of(state);
    struct lease_options options = {.id = "odd", .holder = "a", .ttl_ms = 1000};
    struct checkpoint checkpoint;
    struct registry registry;
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
    put_raw(store, "families", "ducks/odd",
            "{\"name\": \"ducks\", \"family\": \"odd\", \"versions\": [{\"label\": \"v1\"}]}");
    assert_false(registry_load(store, "ducks", "odd", &registry, &err));
    assert_refused(&err, "build_id");
    size_t count;
    struct registry *all;
    assert_false(registry_list(store, "ducks", &all, &count, &err));
    struct doc_ref ref = {.collection = "families", .id = "ducks/odd", .counter = "rev"};
    assert_true(docstore_remove(store, &ref, &err));
}

/* --- registry --------------------------------------------------------------------------------- */

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
    struct version *version = registry_add_version(registry, "v1");
    version->collection = bson_strdup("messages__v1__nomic");
    version->embed = bson_strdup("{\"driver\": \"ollama\", \"dims\": 768, \"big\": 9007199254740993,"
                                 " \"share\": 1.0, \"stopwords\": [], \"digest\": null}");
    version->dims = 768;
    version->state = VERSION_BACKFILLING;
    version->seeded = true;
    version->reason = bson_strdup("filling");
    registry->step = (struct registry_step){.kind = bson_strdup("promoting"),
                                            .label = bson_strdup("v1"),
                                            .owner = bson_strdup("pod-a"),
                                            .since_ms = 12345};
    registry_note(registry, &(struct registry_event){.at_ms = 99, .what = (char *)(uintptr_t)"created",
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
    const struct version *version = registry_version(&loaded, "v1");
    assert_string_equal(version->build_id, saved.versions[0].build_id);
    assert_string_equal(version->embed,
                        "{ \"driver\" : \"ollama\", \"dims\" : 768, \"big\" : 9007199254740993, "
                        "\"share\" : 1.0, \"stopwords\" : [  ], \"digest\" : null }");
    assert_int_equal(version->state, VERSION_BACKFILLING);
    assert_int_equal(version->dims, 768);
    assert_true(version->seeded && !version->paused);
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

/* --- faults that only a real server has ------------------------------------------------------- */

static struct docstore *mongo_store(void)
{
    return stores[1];
}

static bool swap_fails(const char *id, int64_t expected, struct err *err)
{
    struct doc_ref ref = ref_of(id);
    enum doc_swap outcome;
    bson_t *doc = BCON_NEW("number", BCON_INT32(5));
    bool ok = docstore_swap(mongo_store(), &ref, expected, doc, &outcome, err);
    bson_destroy(doc);
    return !ok;
}

#define WRITE_CONCERN_ERROR "\"writeConcernError\": {\"code\": 64, \"errmsg\": \"injected\"}"
#define CLOSED "\"closeConnection\": true"

static void a_swap_survives_a_lost_connection(void **state)
{
    (void)state;
    assert_true(mongod_fail(&mongod, "findAndModify", 1, CLOSED));
    assert_int_equal(swap(mongo_store(), "closed once", 0, 1), DOC_WON);
    mongod_heal(&mongod);
}

static void a_swap_that_was_never_applied_asks_to_be_tried_again(void **state)
{
    struct err err;
    (void)state;
    assert_true(mongod_fail(&mongod, "findAndModify", 2, CLOSED));
    assert_true(swap_fails("closed twice", 0, &err));
    assert_int_equal(err.action, ERR_RETRY);
    assert_int_equal(err.domain, ERR_MONGO);
    mongod_heal(&mongod);
    assert_int_equal(swap(mongo_store(), "closed twice", 0, 1), DOC_WON);
}

static void a_swap_applied_before_a_write_concern_error_has_won(void **state)
{
    (void)state;
    for (int64_t expected = 0; expected < 3; expected++) {
        assert_true(mongod_fail(&mongod, "findAndModify", 1, WRITE_CONCERN_ERROR));
        assert_int_equal(swap(mongo_store(), "unsure", expected, (int)expected), DOC_WON);
    }
    mongod_heal(&mongod);
    assert_int_equal(number_at(mongo_store(), "unsure", "rev"), 3);
}

static void a_swap_that_lost_has_lost_whatever_the_write_concern_says(void **state)
{
    (void)state;
    assert_int_equal(swap(mongo_store(), "unsure loser", 0, 1), DOC_WON);
    assert_int_equal(swap(mongo_store(), "unsure loser", 1, 2), DOC_WON);
    assert_true(mongod_fail(&mongod, "findAndModify", 1, WRITE_CONCERN_ERROR));
    assert_int_equal(swap(mongo_store(), "unsure loser", 1, 9), DOC_LOST);
    assert_true(mongod_fail(&mongod, "findAndModify", 1, WRITE_CONCERN_ERROR));
    assert_int_equal(swap(mongo_store(), "unsure loser", 0, 9), DOC_LOST);
    mongod_heal(&mongod);
    assert_int_equal(number_at(mongo_store(), "unsure loser", "number"), 2);
}

static void a_missing_privilege_is_fatal_and_not_read_back(void **state)
{
    struct err err;
    (void)state;
    assert_true(mongod_fail(&mongod, "findAndModify", 1, "\"errorCode\": 13"));
    assert_true(swap_fails("forbidden", 0, &err));
    assert_int_equal(err.action, ERR_FATAL);
    mongod_heal(&mongod);
}

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

/* --- the suite -------------------------------------------------------------------------------- */

static int open_all(void **state)
{
    (void)state;
    if (!mongod_open(&mongod))
        return -1;
    stores[0] = docstore_memory_new();
    stores[1] = docstore_mongo_new(mongod.pool, mongod.database);
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    docstore_free(stores[0]);
    docstore_free(stores[1]);
    mongod_close(&mongod);
    return 0;
}

/* each test over memory and over mongo */
#define BOTH(test)                                                                                 \
    {"over memory: " #test, test, NULL, NULL, &stores[0]},                                         \
    {                                                                                              \
        "over mongo: " #test, test, NULL, NULL, &stores[1]                                         \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(a_missing_document_counts_as_zero),
        BOTH(a_stale_counter_loses_and_changes_nothing),
        BOTH(a_document_without_its_counter_counts_as_zero),
        BOTH(a_counter_from_a_shell_is_a_double_and_still_counts),
        BOTH(the_counter_stands_where_its_place_was_left),
        BOTH(a_load_tells_the_server_s_clock_with_and_without_a_document),
        BOTH(a_list_holds_what_begins_with_the_prefix_in_order),
        BOTH(a_removed_document_is_gone_and_may_be_removed_again),
        BOTH(a_note_sets_and_adds),
        BOTH(of_eight_writers_at_one_counter_exactly_one_wins),
        BOTH(the_identity_is_made_once),
        BOTH(a_free_lease_is_won_and_then_held),
        BOTH(a_released_lease_is_free_at_once_and_its_term_is_not_used_again),
        BOTH(of_eight_takers_exactly_one_wins_and_terms_strictly_increase),
        BOTH(a_zombie_s_save_and_renewal_lose),
        BOTH(a_lease_that_ran_out_unnoticed_is_extended_by_the_next_save),
        BOTH(a_holder_that_takes_its_own_lease_again_begins_a_new_term),
        BOTH(a_write_of_its_own_that_arrives_late_does_not_cost_the_lease),
        BOTH(a_checkpoint_comes_back_whole_to_the_next_holder_and_survives_renewals),
        BOTH(one_thread_saves_while_another_renews),
        BOTH(what_a_newer_build_wrote_is_refused_by_name),
        BOTH(a_document_that_makes_no_sense_is_refused_and_its_lease_not_taken),
        BOTH(a_family_nobody_wrote_down_is_empty),
        BOTH(a_family_comes_back_as_it_was_saved),
        BOTH(of_two_savers_of_a_family_the_later_loses),
        BOTH(a_list_holds_the_families_of_one_deployment),
        BOTH(an_embed_config_that_is_no_json_is_rejected_before_anything_is_written),
        BOTH(an_alias_is_written_as_readers_know_it),
        BOTH(a_flip_changes_target_and_previous_together_and_only_once),
        BOTH(an_alias_without_an_epoch_counts_as_zero),
        cmocka_unit_test(a_swap_survives_a_lost_connection),
        cmocka_unit_test(a_swap_that_was_never_applied_asks_to_be_tried_again),
        cmocka_unit_test(a_swap_applied_before_a_write_concern_error_has_won),
        cmocka_unit_test(a_swap_that_lost_has_lost_whatever_the_write_concern_says),
        cmocka_unit_test(a_missing_privilege_is_fatal_and_not_read_back),
        cmocka_unit_test(a_lease_outlives_a_failed_save_and_is_kept_by_the_next),
        cmocka_unit_test(a_lease_taken_under_a_write_concern_error_is_won),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
