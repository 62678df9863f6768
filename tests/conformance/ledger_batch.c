/* SPDX-License-Identifier: Apache-2.0 */
/* Many rows: counts, scans, large batches and races over both back ends of the ledger, what only a
 * real server can show, and one seeded sequence of operations after which both hold the same. */
#include "conformance/ledger_fixture.h"

/* What a count in parts says is what one pass says, wherever a part ends. */
static void check_parts(struct fixture *fixture, const struct ledger_counts *whole, int64_t rows)
{
    for (int64_t at_once = 0; at_once <= rows + 1; at_once++) {
        struct ledger_tally tally = {.at_once = at_once};
        struct err err;
        for (int64_t calls = 0; !tally.done && calls <= rows; calls++) {
            if (!ledger_count_part(fixture->ledger, &tally, &err))
                fail_msg("%s", err.text);
        }
        assert_true(tally.done);
        assert_memory_equal(&tally.counts, whole, sizeof *whole);
        ledger_tally_fini(&tally);
    }
}

static void the_counts_are_those_of_the_rows(void **state)
{
    struct fixture *fixture = *state;
    struct ledger_counts counts;
    struct err err;
    assert_true(ledger_count(fixture->ledger, &counts, &err));
    assert_int_equal(counts.documents, 0);
    for (int i = 0; i < 20; i++) {
        char *key = arena_printf(fixture->arena, "\"%02d\"", i);
        struct ledger_row row = row_of(fixture, key, 1, "82AA", (size_t)i % 4);
        row.state = i < 12 ? LEDGER_DONE : i < 17 ? LEDGER_DELETED : LEDGER_QUARANTINED;
        apply(fixture, &row);
        if (i % 5 == 0)
            mark_one(fixture, key, "audit");
    }
    for (int i = 10; i < 25; i += 5) {
        char *key = arena_printf(fixture->arena, "\"%02d\"", i);
        struct ledger_row was = read_one(fixture, key);
        struct ledger_write write = {.was = &was, .row = row_of(fixture, key, 2, "82BB", 1)};
        assert_true(begin_one(fixture->ledger, &write));
    }
    assert_true(ledger_count(fixture->ledger, &counts, &err));
    assert_int_equal(counts.documents, 12);
    assert_int_equal(counts.chunks, 18);
    assert_int_equal(counts.texts, 9);
    assert_int_equal(counts.tombstones, 5);
    assert_int_equal(counts.quarantined, 3);
    assert_int_equal(counts.repairs, 4);
    assert_int_equal(counts.intents, 3);
    check_parts(fixture, &counts, 22);
}

static void a_scan_gives_every_row_once_in_key_order(void **state)
{
    struct fixture *fixture = *state;
    const char *keys[] = {"\"b\"", "{\"$oid\":\"aa\"}", "\"a\"", "\"\xc3\xa9\"", "1", "\"B\""};
    const char *sorted[] = {"\"B\"", "\"a\"", "\"b\"", "\"\xc3\xa9\"", "1", "{\"$oid\":\"aa\"}"};
    const char *after = "";
    size_t seen = 0;
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        struct ledger_row row = row_of(fixture, keys[i], 1, "82AA", 1);
        apply(fixture, &row);
    }
    for (;;) {
        struct ledger_row *rows;
        struct err err;
        size_t count;
        assert_true(ledger_scan(fixture->ledger, after, 4, fixture->arena, &rows, &count, &err));
        if (count == 0)
            break;
        for (size_t i = 0; i < count; i++) {
            assert_true(seen < ARRAY_LEN(sorted));
            assert_string_equal(rows[i].key, sorted[seen++]);
            assert_int_equal(rows[i].chunk_count, 1);
        }
        after = rows[count - 1].key;
    }
    assert_int_equal(seen, ARRAY_LEN(sorted));
}

/* 20 rows of 24 000 chunks: each intent and each row is over 1 MiB, a batch over 16 MiB. */
static void rows_of_a_mebibyte_are_written_in_one_batch(void **state)
{
    struct fixture *fixture = *state;
    enum { count = 20, chunks = 24000 };
    const char *keys[count];
    struct ledger_row rows[count];
    struct ledger_write writes[count];
    struct err err;
    for (int i = 0; i < count; i++)
        keys[i] = arena_printf(fixture->arena, "\"%d\"", i);
    assert_true(ledger_read(fixture->ledger, keys, count, fixture->arena, rows, &err));
    for (int i = 0; i < count; i++)
        writes[i] = (struct ledger_write){.was = &rows[i],
                                          .row = row_of(fixture, keys[i], i, "82AA", chunks)};
    struct ledger_begin begin = {.intents = writes, .intent_count = count, .valid_ms = VALID_MS};
    if (!ledger_begin(fixture->ledger, &begin, &err) ||
        !ledger_finish(fixture->ledger, writes, count, &err) ||
        !ledger_read(fixture->ledger, keys, count, fixture->arena, rows, &err))
        fail_msg("%s", err.text);
    for (int i = 0; i < count; i++) {
        assert_false(writes[i].lost);
        writes[i].row.exists = true;
        assert_same_row(&rows[i], &writes[i].row);
    }
}

static void a_batch_of_thousands_is_split_and_its_losers_still_named(void **state)
{
    struct fixture *fixture = *state;
    const size_t count = 2500;
    struct arena *arena = fixture->arena;
    const char **keys = arena_alloc_array(arena, count, sizeof(*keys));
    struct ledger_row *rows = arena_alloc_array(arena, count, sizeof(*rows));
    struct ledger_write *writes = arena_alloc_array(arena, count, sizeof(*writes));
    struct ledger_counts counts;
    struct err err;
    for (size_t i = 0; i < count; i++)
        keys[i] = arena_printf(arena, "%zu", i);
    assert_true(ledger_read(fixture->ledger, keys, count, arena, rows, &err));
    const size_t changed[] = {0, 999, 1000, 2499};
    for (size_t i = 0; i < ARRAY_LEN(changed); i++) {
        struct ledger_row row = row_of(fixture, keys[changed[i]], 1, "82AA", 1);
        apply(fixture, &row);
    }
    for (size_t i = 0; i < count; i++)
        writes[i] =
            (struct ledger_write){.was = &rows[i], .row = row_of(fixture, keys[i], 2, "82BB", 2)};
    struct ledger_begin begin = {.intents = writes, .intent_count = count, .valid_ms = VALID_MS};
    assert_true(ledger_begin(fixture->ledger, &begin, &err));
    assert_true(ledger_finish(fixture->ledger, writes, count, &err));
    size_t lost = 0;
    for (size_t i = 0; i < count; i++)
        lost += writes[i].lost ? 1 : 0;
    assert_int_equal(lost, ARRAY_LEN(changed));
    for (size_t i = 0; i < ARRAY_LEN(changed); i++)
        assert_true(writes[changed[i]].lost);
    assert_true(ledger_count(fixture->ledger, &counts, &err));
    assert_int_equal(counts.documents, count);
    assert_int_equal(counts.chunks, 2 * count - ARRAY_LEN(changed));
}

static void keys_as_long_as_allowed_are_read_and_written_by_the_hundred(void **state)
{
    struct fixture *fixture = *state;
    enum { count = 300 };
    const char *keys[count];
    struct ledger_row rows[count];
    struct ledger_write writes[count];
    struct err err;
    for (int i = 0; i < count; i++) {
        char *key = arena_alloc(fixture->arena, LIMIT_KEY_SIZE);
        memset(key, 'x', LIMIT_KEY_SIZE - 1);
        snprintf(key, 8, "%07d", i);
        key[7] = 'x';
        keys[i] = key;
    }
    assert_true(ledger_read(fixture->ledger, keys, count, fixture->arena, rows, &err));
    for (int i = 0; i < count; i++) {
        writes[i] =
            (struct ledger_write){.was = &rows[i], .row = row_of(fixture, keys[i], 1, "82AA", 1)};
        writes[i].row.source_id = NULL;
    }
    struct ledger_begin begin = {.raises = writes, .raise_count = count};
    if (!ledger_begin(fixture->ledger, &begin, &err) ||
        !ledger_read(fixture->ledger, keys, count, fixture->arena, rows, &err))
        fail_msg("%s", err.text);
    for (int i = 0; i < count; i++)
        assert_true(rows[i].exists && strcmp(rows[i].key, keys[i]) == 0);
}

static void states_are_ordered_by_generation_and_then_by_bytes(void **state)
{
    (void)state;
    assert_true(ledger_compare(1, "82FF", 2, "82AA") < 0);
    assert_true(ledger_compare(2, "82AA", 1, "82FF") > 0);
    assert_true(ledger_compare(1, "82AA", 1, "82AB") < 0);
    assert_true(ledger_compare(1, "82AA", 1, "82AA00") < 0);
    assert_true(ledger_compare(1, "82AA", 1, "82AA") == 0);
    assert_true(ledger_compare(1, "\xff", 1, "a") > 0);
}

/* --- races ------------------------------------------------------------------------------------ */

struct race {
    struct fixture *fixture;
    bool mongo;
    pthread_barrier_t barrier;
    _Atomic int next;
    _Atomic int won;
    _Atomic int failed;
};

static void *race_begin(void *context)
{
    struct race *race = context;
    char owner[16];
    int me = atomic_fetch_add(&race->next, 1);
    snprintf(owner, sizeof(owner), "owner %d", me);
    struct ledger *ledger = open_as(race->fixture, race->mongo, owner);
    struct ledger_row was = {.key = "\"a\"", .ver = ""};
    struct ledger_write write = {.was = &was, .row = {.key = "\"a\"", .ver = "82AA"}};
    write.row.intent.gen = 1;
    random_hex(write.row.intent.id, 16);
    struct ledger_begin begin = {.intents = &write, .intent_count = 1, .valid_ms = VALID_MS};
    struct err err;
    pthread_barrier_wait(&race->barrier);
    if (!ledger_begin(ledger, &begin, &err))
        atomic_fetch_add(&race->failed, 1);
    else if (!write.lost)
        atomic_fetch_add(&race->won, 1);
    ledger_close(ledger);
    return NULL;
}

static void *race_mark(void *context)
{
    struct race *race = context;
    struct ledger *ledger = open_as(race->fixture, race->mongo, "owner");
    const char *keys[] = {"\"x\"", "\"y\"", "\"z\""};
    struct err err;
    pthread_barrier_wait(&race->barrier);
    if (!ledger_mark(ledger, keys, ARRAY_LEN(keys), "audit", &err))
        atomic_fetch_add(&race->failed, 1);
    ledger_close(ledger);
    return NULL;
}

static void run_race(struct race *race, void *(*run)(void *))
{
    pthread_t threads[THREADS];
    pthread_barrier_init(&race->barrier, NULL, THREADS);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run, race), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&race->barrier);
    assert_int_equal(race->failed, 0);
}

static void race_over(void **state, bool mongo)
{
    struct race race = {.fixture = *state, .mongo = mongo};
    const char **keys;
    run_race(&race, race_begin);
    assert_int_equal(race.won, 1);
    run_race(&race, race_mark);
    assert_int_equal(marked(race.fixture, 10, &keys), 3);
}

static void of_eight_first_intents_exactly_one_wins_in_memory(void **state)
{
    race_over(state, false);
}

static void of_eight_first_intents_exactly_one_wins_on_the_server(void **state)
{
    race_over(state, true);
}

/* --- what only a real server has -------------------------------------------------------------- */

static bool begin_fails(struct fixture *fixture, struct ledger_write *write, struct err *err)
{
    struct ledger_begin begin = {.intents = write, .intent_count = 1, .valid_ms = VALID_MS};
    return !ledger_begin(fixture->ledger, &begin, err);
}

static void a_write_of_unknown_outcome_asks_to_begin_again_with_a_read(void **state)
{
    struct fixture *fixture = *state;
    struct ledger_row absent = read_one(fixture, "\"a\"");
    struct ledger_write write = {.was = &absent, .row = row_of(fixture, "\"a\"", 1, "82AA", 1)};
    struct err err;
    assert_true(mongod_fail(&mongod, "update", 2, "\"closeConnection\": true"));
    assert_true(begin_fails(fixture, &write, &err));
    assert_int_equal(err.action, ERR_RETRY);
    assert_true(mongod_fail(&mongod, "update", 1,
                            "\"writeConcernError\": {\"code\": 64, \"errmsg\": \"injected\"}"));
    assert_true(begin_fails(fixture, &write, &err));
    assert_int_equal(err.action, ERR_RETRY);
    mongod_heal(&mongod);
    mark_one(fixture, "\"z\"", "a majority write: what came before it is visible too");
    struct ledger_row was = read_one(fixture, "\"a\""); /* it was applied all the same */
    assert_string_equal(was.intent.id, write.row.intent.id);
    struct ledger_write again = {.was = &was, .row = row_of(fixture, "\"a\"", 1, "82AA", 1)};
    assert_true(begin_one(fixture->ledger, &again));
    assert_true(mongod_fail(&mongod, "update", 1,
                            "\"writeConcernError\": {\"code\": 64, \"errmsg\": \"injected\"}"));
    assert_false(ledger_finish(fixture->ledger, &again, 1, &err));
    assert_int_equal(err.action, ERR_RETRY);
    mongod_heal(&mongod);
    mark_one(fixture, "\"z\"", "again");
    assert_int_equal(read_one(fixture, "\"a\"").state, LEDGER_DONE);
}

static void a_missing_privilege_is_fatal(void **state)
{
    struct fixture *fixture = *state;
    struct ledger_row absent = read_one(fixture, "\"a\"");
    struct ledger_write write = {.was = &absent, .row = row_of(fixture, "\"a\"", 1, "82AA", 1)};
    struct err err;
    assert_true(mongod_fail(&mongod, "update", 1, "\"errorCode\": 13"));
    assert_true(begin_fails(fixture, &write, &err));
    assert_int_equal(err.action, ERR_FATAL);
    mongod_heal(&mongod);
}

/* --- memory and mongo hold the same ----------------------------------------------------------- */

#define TWIN_KEYS 12
#define TWIN_STEPS 400

static uint64_t twin_seed;

static size_t pick(size_t below)
{
    twin_seed = twin_seed * 6364136223846793005u + 1442695040888963407u;
    return (size_t)((twin_seed >> 33) % below);
}

struct twins {
    struct fixture *side[2];
    struct ledger_write open[2][TWIN_KEYS]; /* the last intent begun for each key */
    char keys[TWIN_KEYS][8];
};

static void twin_row(struct twins *twins, size_t key, struct ledger_write *out)
{
    static const enum ledger_state states[] = {LEDGER_DONE, LEDGER_DONE, LEDGER_DELETED,
                                               LEDGER_QUARANTINED};
    char ver[8];
    snprintf(ver, sizeof(ver), "82%02zu", pick(100));
    *out =
        (struct ledger_write){.row = row_of(twins->side[0], twins->keys[key], (int64_t)pick(3) + 1,
                                            arena_strdup(twins->side[0]->arena, ver), pick(4))};
    out->row.state = states[pick(ARRAY_LEN(states))];
    out->row.reason = out->row.state == LEDGER_QUARANTINED ? "$reason" : NULL;
}

/* `stale` reads nothing: the write is conditional on a row that may long have changed. */
static void twin_write(struct twins *twins, size_t key, bool raise, bool stale)
{
    struct ledger_write write;
    bool lost[2];
    twin_row(twins, key, &write);
    for (int s = 0; s < 2; s++) {
        struct fixture *fixture = twins->side[s];
        struct ledger_row *was = arena_alloc(fixture->arena, sizeof(*was));
        *was = stale ? (struct ledger_row){.key = write.row.key, .ver = ""}
                     : read_one(fixture, write.row.key);
        struct ledger_write mine = write;
        mine.was = was;
        lost[s] = raise ? !raise_one(fixture->ledger, &mine) : !begin_one(fixture->ledger, &mine);
        if (!raise && !lost[s])
            twins->open[s][key] = mine;
    }
    assert_int_equal(lost[0], lost[1]);
}

static void twin_finish(struct twins *twins, size_t key)
{
    if (!twins->open[0][key].row.key)
        return;
    bool won = finish_one(twins->side[0]->ledger, &twins->open[0][key]);
    assert_int_equal(finish_one(twins->side[1]->ledger, &twins->open[1][key]), won);
    twins->open[0][key] = twins->open[1][key] = (struct ledger_write){.was = NULL};
}

static int64_t twin_skip(struct fixture *fixture, const char *key)
{
    struct err err;
    int64_t changed;
    assert_true(ledger_skip(fixture->ledger, &key, 1, &changed, &err));
    return changed;
}

static int64_t twin_expire(struct fixture *fixture, const char *key)
{
    struct ledger_row row = read_one(fixture, key);
    struct err err;
    int64_t removed = 0;
    assert_true(row.state != LEDGER_DELETED ||
                ledger_expire(fixture->ledger, &row, 1, &removed, &err));
    return removed;
}

static void twin_step(struct twins *twins)
{
    size_t key = pick(TWIN_KEYS);
    switch (pick(11)) {
    case 0:
    case 1:
    case 2:
        twin_write(twins, key, false, false);
        break;
    case 3:
        twin_write(twins, key, pick(2) == 0, true);
        break;
    case 4:
        twin_write(twins, key, true, false);
        break;
    case 5:
        mark_one(twins->side[0], twins->keys[key], "audit");
        mark_one(twins->side[1], twins->keys[key], "audit");
        break;
    case 6:
        assert_true(twin_skip(twins->side[0], twins->keys[key]) ==
                    twin_skip(twins->side[1], twins->keys[key]));
        break;
    case 7:
        assert_true(twin_expire(twins->side[0], twins->keys[key]) ==
                    twin_expire(twins->side[1], twins->keys[key]));
        break;
    default:
        twin_finish(twins, key);
    }
}

static void assert_twins_equal(struct twins *twins)
{
    struct ledger_counts counts[2];
    struct ledger_row *rows[2];
    size_t count[2];
    struct err err;
    for (int s = 0; s < 2; s++) {
        struct fixture *fixture = twins->side[s];
        assert_true(ledger_count(fixture->ledger, &counts[s], &err));
        assert_true(
            ledger_scan(fixture->ledger, "", 100, fixture->arena, &rows[s], &count[s], &err));
    }
    assert_memory_equal(&counts[0], &counts[1], sizeof(counts[0]));
    assert_int_equal(count[0], count[1]);
    for (size_t i = 0; i < count[0]; i++)
        assert_same_row(&rows[0][i], &rows[1][i]);
}

static void both_back_ends_hold_the_same_after_any_sequence(void **state)
{
    (void)state;
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): no other thread sets any */
    const char *given = getenv("VECTAIL_TEST_SEED");
    twin_seed = given ? strtoull(given, NULL, 10) : 20250812;
    print_message("seed %llu\n", (unsigned long long)twin_seed);
    struct twins twins = {.keys = {""}};
    void *memory = &use_memory;
    void *mongo = &use_mongo;
    set_up(&memory);
    set_up(&mongo);
    twins.side[0] = memory;
    twins.side[1] = mongo;
    for (size_t i = 0; i < TWIN_KEYS; i++)
        snprintf(twins.keys[i], sizeof(twins.keys[i]), "\"%zu\"", i);
    for (int i = 0; i < TWIN_STEPS; i++) {
        twin_step(&twins);
        if (i % 20 == 0)
            assert_twins_equal(&twins);
    }
    assert_twins_equal(&twins);
    tear_down(&memory);
    tear_down(&mongo);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(the_counts_are_those_of_the_rows),
        BOTH(a_scan_gives_every_row_once_in_key_order),
        BOTH(rows_of_a_mebibyte_are_written_in_one_batch),
        BOTH(a_batch_of_thousands_is_split_and_its_losers_still_named),
        BOTH(keys_as_long_as_allowed_are_read_and_written_by_the_hundred),
        cmocka_unit_test(states_are_ordered_by_generation_and_then_by_bytes),
        MEMORY(of_eight_first_intents_exactly_one_wins_in_memory),
        MONGO(of_eight_first_intents_exactly_one_wins_on_the_server),
        MONGO(a_write_of_unknown_outcome_asks_to_begin_again_with_a_read),
        MONGO(a_missing_privilege_is_fatal),
        cmocka_unit_test(both_back_ends_hold_the_same_after_any_sequence),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
