/* SPDX-License-Identifier: Apache-2.0 */
/* A day's spend handed out in shares: one suite over both back ends of docstore. */
#include "state/spend.h"

#include "conformance/state_fixture.h"

#define CAP 1000

static struct spend_account account_of(const char *embedder)
{
    return (struct spend_account){.name = "ducks", .embedder = embedder, .per_day = CAP};
}

static int64_t take(struct docstore *store, const char *embedder, int64_t least, int64_t wanted)
{
    struct spend_account account = account_of(embedder);
    struct spend_share share;
    struct err err;
    if (!spend_take(store, &account, least, wanted, &share, &err))
        fail_msg("%s", err.text);
    assert_true(share.left_ms > 0 && share.left_ms <= 24 * 3600 * 1000);
    int64_t wall_ms = clock_wall_ms();
    assert_true(share.day >= (wall_ms - 60000) / (24 * 3600 * 1000));
    assert_true(share.day <= (wall_ms + 60000) / (24 * 3600 * 1000));
    return share.characters;
}

static int64_t used(struct docstore *store, const char *embedder)
{
    struct spend_account account = account_of(embedder);
    int64_t characters = -1;
    struct err err;
    assert_true(spend_used(store, &account, &characters, &err));
    return characters;
}

static void shares_end_with_the_cap(void **state)
{
    struct docstore *store = store_of(state);
    assert_int_equal(used(store, "a"), 0);
    assert_int_equal(take(store, "a", 1, 600), 600);
    assert_int_equal(take(store, "a", 1, 300), 300);
    assert_int_equal(take(store, "a", 101, 300), 0); /* less is left than is needed */
    assert_int_equal(take(store, "a", 100, 300), 100);
    assert_int_equal(take(store, "a", 1, 1), 0);
    assert_int_equal(used(store, "a"), CAP);
    assert_int_equal(take(store, "b", 1, 300), 300); /* another embedder's is its own */
}

static void what_is_given_back_can_be_taken_again(void **state)
{
    struct docstore *store = store_of(state);
    struct spend_account account = account_of("back");
    struct spend_share share;
    struct err err;
    assert_true(spend_take(store, &account, 1, CAP, &share, &err));
    assert_true(spend_give_back(store, &account, share.day, 400, &err));
    assert_int_equal(used(store, "back"), 600);
    assert_int_equal(take(store, "back", 1, CAP), 400);
    assert_true(spend_give_back(store, &account, share.day, 0, &err));
    assert_true(spend_give_back(store, &account, share.day - 7, 400, &err)); /* never written */
    assert_int_equal(used(store, "back"), CAP);
}

static void a_lower_cap_counts_at_once(void **state)
{
    struct docstore *store = store_of(state);
    struct spend_account account = account_of("lower");
    struct spend_share share;
    struct err err;
    assert_int_equal(take(store, "lower", 1, 600), 600);
    account.per_day = 500;
    assert_true(spend_take(store, &account, 1, 10, &share, &err));
    assert_int_equal(share.characters, 0);
}

static void a_document_that_makes_no_sense_is_fatal(void **state)
{
    struct docstore *store = store_of(state);
    struct spend_account account = account_of("mad");
    struct spend_share share;
    struct err err;
    char id[128], date[32];
    clock_format(clock_wall_ms(), date);
    snprintf(id, sizeof id, "ducks/mad/%.10s", date);
    put_raw(store, "spend", id, "{\"rev\": 3, \"schema\": 1, \"characters\": \"many\"}");
    assert_false(spend_take(store, &account, 1, 10, &share, &err));
    assert_refused(&err, "characters");
    put_raw(store, "spend", id, "{\"rev\": 3, \"schema\": 99, \"characters\": 1}");
    assert_false(spend_take(store, &account, 1, 10, &share, &err));
    assert_int_equal(err.action, ERR_FATAL);
}

static bool is_there(struct docstore *store, const char *id)
{
    struct doc_ref ref = {.collection = "spend", .id = id, .counter = "rev"};
    bson_t *doc = NULL;
    struct err err;
    assert_true(docstore_load(store, &ref, &doc, NULL, &err));
    bson_destroy(doc);
    return doc != NULL;
}

static void days_long_past_are_forgotten(void **state)
{
    struct docstore *store = store_of(state);
    static const char *const others[] = {"ducks/old/1/2024-08-12", "ducks/older/2024-08-12",
                                         "ducks/old/2999-01-01", "geese/old/2024-08-12"};
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        put_raw(store, "spend", others[i], "{\"characters\": 1}");
    put_raw(store, "spend", "ducks/old/2024-08-12", "{\"characters\": 1}");
    put_raw(store, "spend", "ducks/old/2024-08-13", "{\"characters\": 1}");
    assert_int_equal(take(store, "old", 1, 10), 10);
    assert_false(is_there(store, "ducks/old/2024-08-12"));
    assert_false(is_there(store, "ducks/old/2024-08-13"));
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        assert_true(is_there(store, others[i]));
}

/* Each takes shares of the same size until nothing is left: their writes look alike. */
static void *race_take(void *context)
{
    struct race *race = context;
    struct spend_account account = account_of("race");
    struct spend_share share;
    struct err err;
    pthread_barrier_wait(&race->barrier);
    do {
        if (!spend_take(race->store, &account, 1, 7, &share, &err)) {
            atomic_fetch_add(&race->failed, 1);
            break;
        }
        atomic_fetch_add(&race->won, (int)share.characters);
    } while (share.characters > 0);
    return NULL;
}

static void eight_processes_together_take_no_more_than_the_cap(void **state)
{
    struct race race = {.store = store_of(state)};
    run_race(&race, race_take);
    assert_int_equal(race.won, CAP);
    assert_int_equal(used(race.store, "race"), CAP);
}

static void a_share_whose_answer_was_lost_is_taken_once(void **state)
{
    (void)state;
    assert_true(mongod_fail(&mongod, "findAndModify", 1, WRITE_CONCERN_ERROR));
    assert_int_equal(take(mongo_store(), "lost answer", 1, 10), 10);
    assert_true(mongod_fail(&mongod, "findAndModify", 1, CLOSED));
    assert_int_equal(take(mongo_store(), "lost answer", 1, 10), 10);
    mongod_heal(&mongod);
    assert_int_equal(used(mongo_store(), "lost answer"), 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(shares_end_with_the_cap),
        BOTH(what_is_given_back_can_be_taken_again),
        BOTH(a_lower_cap_counts_at_once),
        BOTH(a_document_that_makes_no_sense_is_fatal),
        BOTH(days_long_past_are_forgotten),
        BOTH(eight_processes_together_take_no_more_than_the_cap),
        cmocka_unit_test(a_share_whose_answer_was_lost_is_taken_once),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
