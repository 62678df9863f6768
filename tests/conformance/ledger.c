/* SPDX-License-Identifier: Apache-2.0 */
/* The ledger: one suite over both back ends, what only a real server can show, and one seeded
 * sequence of operations after which both hold the same. */
#include <pthread.h>
#include <stdatomic.h>

#include "base/limits.h"
#include "conformance/mongod.h"
#include "state/ledger.h"
#include "support/test.h"

#define THREADS 8
#define VALID_MS 60000

static struct mongod mongod;
static bool use_memory = false; /* what set_up() is given: whether to use the server */
static bool use_mongo = true;

/* --- helpers ---------------------------------------------------------------------------------- */

/* What one test works with: a ledger of its own, an arena, and another owner of the same rows. */
struct fixture {
    struct ledger *ledger;
    struct ledger *other;
    struct arena *arena;
    char build_id[17];
    char *collection;
};

static struct ledger *open_as(const struct fixture *fixture, bool mongo, const char *owner)
{
    struct ledger_options options = {.pool = mongo ? mongod.pool : NULL,
                                     .database = mongod.database,
                                     .name = "ducks",
                                     .build_id = fixture->build_id,
                                     .owner = owner};
    struct ledger *ledger = NULL;
    struct err err;
    if (!ledger_open(&options, &ledger, &err))
        fail_msg("%s", err.text);
    return ledger;
}

static int set_up(void **state)
{
    bool mongo = *(bool *)*state;
    struct fixture *fixture = bson_malloc0(sizeof(*fixture));
    random_hex(fixture->build_id, 8);
    fixture->collection = bson_strdup_printf("ducks.ledger.%s", fixture->build_id);
    fixture->ledger = open_as(fixture, mongo, "pod-a");
    fixture->other = open_as(fixture, mongo, "pod-b");
    fixture->arena = arena_new(LIMIT_ARENA_SIZE);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    struct err err;
    assert_true(ledger_drop(fixture->ledger, &err));
    ledger_close(fixture->ledger);
    ledger_close(fixture->other);
    arena_free(fixture->arena);
    bson_free(fixture->collection);
    bson_free(fixture);
    return 0;
}

static struct ledger_row read_one(struct fixture *fixture, const char *key)
{
    struct ledger_row row;
    struct err err;
    if (!ledger_read(fixture->ledger, &key, 1, fixture->arena, &row, &err))
        fail_msg("%s", err.text);
    return row;
}

static struct sha256 *digests(struct fixture *fixture, size_t count, int seed)
{
    struct sha256 *chunks = arena_alloc_array(fixture->arena, count + 1, sizeof(*chunks));
    for (size_t i = 0; i < count; i++) {
        memset(chunks[i].bytes, seed, SHA256_SIZE);
        memcpy(chunks[i].bytes, &i, sizeof(i));
    }
    return chunks;
}

static struct ledger_row row_of(struct fixture *fixture, const char *key, int64_t gen,
                                const char *ver, size_t chunks)
{
    struct ledger_row row = {.key = key,
                             .state = LEDGER_DONE,
                             .gen = gen,
                             .ver = ver,
                             .source_id = key,
                             .chunk_count = chunks};
    row.chunks = digests(fixture, chunks, (int)gen);
    row.doc_fp = sha256_of(ver, strlen(ver));
    row.meta_fp = sha256_of(key, strlen(key));
    row.intent = (struct ledger_intent){.gen = gen,
                                        .ver = arena_strdup(fixture->arena, ver),
                                        .source_id = arena_strdup(fixture->arena, key),
                                        .chunks = row.chunks,
                                        .chunk_count = chunks};
    random_hex(row.intent.id, 16);
    return row;
}

/* False: lost. */
static bool begin_one(struct ledger *ledger, struct ledger_write *write)
{
    struct ledger_begin begin = {.intents = write, .intent_count = 1, .valid_ms = VALID_MS};
    struct err err;
    if (!ledger_begin(ledger, &begin, &err))
        fail_msg("%s", err.text);
    return !write->lost;
}

static bool raise_one(struct ledger *ledger, struct ledger_write *write)
{
    struct ledger_begin begin = {.raises = write, .raise_count = 1};
    struct err err;
    if (!ledger_begin(ledger, &begin, &err))
        fail_msg("%s", err.text);
    return !write->lost;
}

static bool finish_one(struct ledger *ledger, struct ledger_write *write)
{
    struct err err;
    if (!ledger_finish(ledger, write, 1, &err))
        fail_msg("%s", err.text);
    return !write->lost;
}

/* Reads, begins and finishes; the row must be free to take. */
static void apply(struct fixture *fixture, const struct ledger_row *row)
{
    struct ledger_row was = read_one(fixture, row->key);
    struct ledger_write write = {.was = &was, .row = *row};
    assert_true(begin_one(fixture->ledger, &write));
    assert_true(finish_one(fixture->ledger, &write));
}

static void mark_one(struct fixture *fixture, const char *key, const char *reason)
{
    struct err err;
    if (!ledger_mark(fixture->ledger, &key, 1, reason, &err))
        fail_msg("%s", err.text);
}

static size_t marked(struct fixture *fixture, size_t limit, const char ***keys)
{
    struct err err;
    size_t count;
    if (!ledger_repairs(fixture->ledger, limit, fixture->arena, keys, &count, &err))
        fail_msg("%s", err.text);
    return count;
}

static void assert_same_text(const char *a, const char *b)
{
    if (!a || !b)
        assert_true(a == b);
    else
        assert_string_equal(a, b);
}

static void assert_same_chunks(const struct sha256 *a, const struct sha256 *b, size_t count)
{
    if (count)
        assert_memory_equal(a, b, count * sizeof(*a));
}

static void assert_same_row(const struct ledger_row *a, const struct ledger_row *b)
{
    assert_int_equal(a->exists, b->exists);
    assert_string_equal(a->key, b->key);
    assert_int_equal(a->state, b->state);
    assert_true(a->gen == b->gen && a->offset == b->offset);
    assert_same_text(a->ver, b->ver);
    assert_same_text(a->source_id, b->source_id);
    assert_memory_equal(&a->doc_fp, &b->doc_fp, SHA256_SIZE);
    assert_memory_equal(&a->meta_fp, &b->meta_fp, SHA256_SIZE);
    assert_int_equal(a->chunk_count, b->chunk_count);
    assert_same_chunks(a->chunks, b->chunks, a->chunk_count);
    assert_int_equal(a->meta_key_count, b->meta_key_count);
    for (size_t i = 0; i < a->meta_key_count; i++)
        assert_string_equal(a->meta_keys[i], b->meta_keys[i]);
    assert_same_text(a->reason, b->reason);
    assert_int_equal(a->repair, b->repair);
    assert_int_equal(a->has_intent, b->has_intent);
    if (!a->has_intent)
        return;
    assert_string_equal(a->intent.id, b->intent.id);
    assert_same_text(a->intent.owner, b->intent.owner);
    assert_same_text(a->intent.ver, b->intent.ver);
    assert_same_text(a->intent.source_id, b->intent.source_id);
    assert_true(a->intent.gen == b->intent.gen);
    assert_int_equal(a->intent.chunk_count, b->intent.chunk_count);
    assert_same_chunks(a->intent.chunks, b->intent.chunks, a->intent.chunk_count);
}

/* --- over both back ends ---------------------------------------------------------------------- */

static void a_key_never_seen_has_no_row(void **state)
{
    struct ledger_row row = read_one(*state, "\"nobody\"");
    assert_false(row.exists);
    assert_int_equal(row.state, LEDGER_NONE);
    assert_string_equal(row.key, "\"nobody\"");
    assert_string_equal(row.ver, "");
    assert_false(row.has_intent || row.repair);
}

static void a_finished_row_comes_back_whole(void **state)
{
    struct fixture *fixture = *state;
    const char *const keys[] = {"author", "$weird", "created_at"};
    struct ledger_row row = row_of(fixture, "\"a\"", 3, "82AA", 2);
    row.offset = 1LL << 41;
    row.source_id = "$a";
    row.meta_keys = keys;
    row.meta_key_count = ARRAY_LEN(keys);
    apply(fixture, &row);
    struct ledger_row read = read_one(fixture, "\"a\"");
    row.exists = true;
    assert_same_row(&read, &row);
}

static void an_intent_keeps_the_row_and_tells_what_it_was_about_to_write(void **state)
{
    struct fixture *fixture = *state;
    struct ledger_row row = row_of(fixture, "\"a\"", 1, "82AA", 2);
    apply(fixture, &row);
    struct ledger_row was = read_one(fixture, "\"a\"");
    struct ledger_write write = {.was = &was, .row = row_of(fixture, "\"a\"", 2, "82BB", 3)};
    assert_true(begin_one(fixture->ledger, &write));
    struct ledger_row read = read_one(fixture, "\"a\"");
    assert_true(read.has_intent);
    assert_string_equal(read.intent.owner, "pod-a");
    assert_true(read.intent.wait_ms > 0 && read.intent.wait_ms <= VALID_MS);
    write.row.intent.owner = arena_strdup(fixture->arena, "pod-a");
    row.exists = true;
    row.has_intent = true;
    row.intent = write.row.intent;
    assert_same_row(&read, &row);
}

static void a_new_row_with_an_intent_alone_is_in_no_state(void **state)
{
    struct fixture *fixture = *state;
    struct ledger_row was = read_one(fixture, "\"a\"");
    struct ledger_write write = {.was = &was, .row = row_of(fixture, "\"a\"", 1, "82AA", 1)};
    assert_true(begin_one(fixture->ledger, &write));
    struct ledger_row read = read_one(fixture, "\"a\"");
    assert_true(read.exists && read.has_intent);
    assert_int_equal(read.state, LEDGER_NONE);
    assert_string_equal(read.ver, "");
    write = (struct ledger_write){.was = &read, .row = row_of(fixture, "\"a\"", 1, "82BB", 1)};
    assert_true(begin_one(fixture->ledger, &write));
    assert_true(finish_one(fixture->ledger, &write));
}

static void a_key_asked_twice_is_answered_twice(void **state)
{
    struct fixture *fixture = *state;
    struct ledger_row row = row_of(fixture, "\"b\"", 1, "82AA", 1);
    apply(fixture, &row);
    const char *keys[] = {"\"b\"", "\"c\"", "\"b\"", "\"a\""};
    struct ledger_row rows[4];
    struct err err;
    assert_true(ledger_read(fixture->ledger, keys, 4, fixture->arena, rows, &err));
    assert_true(rows[0].exists && rows[2].exists);
    assert_false(rows[1].exists || rows[3].exists);
    assert_string_equal(rows[2].key, "\"b\"");
}

static void a_writer_that_read_an_older_state_loses(void **state)
{
    struct fixture *fixture = *state;
    struct ledger_row absent = read_one(fixture, "\"a\"");
    struct ledger_row first = row_of(fixture, "\"a\"", 1, "82AA", 1);
    apply(fixture, &first);
    struct ledger_row old = read_one(fixture, "\"a\"");
    struct ledger_row second = row_of(fixture, "\"a\"", 1, "82BB", 1);
    apply(fixture, &second);
    const struct ledger_row *stale[] = {&absent, &old};
    for (size_t i = 0; i < ARRAY_LEN(stale); i++) {
        struct ledger_write write = {.was = stale[i],
                                     .row = row_of(fixture, "\"a\"", 9, "82FF", 1)};
        assert_false(begin_one(fixture->ledger, &write));
        assert_false(raise_one(fixture->ledger, &write));
    }
    struct ledger_row read = read_one(fixture, "\"a\"");
    assert_string_equal(read.ver, "82BB");
    assert_false(read.has_intent);
}

static void another_generation_of_the_same_version_is_another_state(void **state)
{
    struct fixture *fixture = *state;
    struct ledger_row row = row_of(fixture, "\"a\"", 2, "82AA", 1);
    apply(fixture, &row);
    struct ledger_row was = read_one(fixture, "\"a\"");
    was.gen = 1;
    struct ledger_write write = {.was = &was, .row = row_of(fixture, "\"a\"", 3, "82AA", 1)};
    assert_false(begin_one(fixture->ledger, &write));
}

static void of_two_owners_intents_the_later_takes_over_and_the_first_cannot_finish(void **state)
{
    struct fixture *fixture = *state;
    struct ledger_row absent = read_one(fixture, "\"a\"");
    struct ledger_write first = {.was = &absent, .row = row_of(fixture, "\"a\"", 1, "82AA", 1)};
    struct ledger_write blind = {.was = &absent, .row = row_of(fixture, "\"a\"", 1, "82BB", 1)};
    assert_true(begin_one(fixture->ledger, &first));
    assert_false(begin_one(fixture->other, &blind)); /* it has not seen the first's intent */
    struct ledger_row seen = read_one(fixture, "\"a\"");
    struct ledger_write second = {.was = &seen, .row = row_of(fixture, "\"a\"", 1, "82BB", 2)};
    assert_true(begin_one(fixture->other, &second));
    assert_false(finish_one(fixture->ledger, &first));
    seen = read_one(fixture, "\"a\"");
    assert_string_equal(seen.intent.owner, "pod-b");
    assert_int_equal(seen.state, LEDGER_NONE);
    assert_true(finish_one(fixture->other, &second));
    assert_false(finish_one(fixture->ledger, &first));
    seen = read_one(fixture, "\"a\"");
    assert_string_equal(seen.ver, "82BB");
    assert_false(seen.has_intent);
}

static void a_batch_tells_which_of_its_writes_lost(void **state)
{
    struct fixture *fixture = *state;
    enum { count = 7 };
    const char *keys[count] = {"1", "2", "3", "4", "5", "6", "7"};
    struct ledger_row rows[count];
    struct ledger_write writes[count];
    struct err err;
    assert_true(ledger_read(fixture->ledger, keys, count, fixture->arena, rows, &err));
    for (int i = 0; i < count; i += 3) { /* 1, 4 and 7 change behind the batch's back */
        struct ledger_row row = row_of(fixture, keys[i], 1, "82AA", 1);
        apply(fixture, &row);
    }
    for (int i = 0; i < count; i++)
        writes[i] =
            (struct ledger_write){.was = &rows[i], .row = row_of(fixture, keys[i], 2, "82BB", 1)};
    struct ledger_begin begin = {.intents = writes,
                                 .intent_count = 4,
                                 .valid_ms = VALID_MS,
                                 .raises = writes + 4,
                                 .raise_count = 3};
    assert_true(ledger_begin(fixture->ledger, &begin, &err));
    for (int i = 0; i < count; i++)
        assert_int_equal(writes[i].lost, i % 3 == 0);
    assert_true(ledger_finish(fixture->ledger, writes, 4, &err));
    for (int i = 0; i < 4; i++)
        assert_int_equal(writes[i].lost, i % 3 == 0);
    for (int i = 0; i < count; i++)
        assert_int_equal(read_one(fixture, keys[i]).gen, i % 3 == 0 ? 1 : 2);
}

static void a_finish_never_makes_a_row_anew(void **state)
{
    struct fixture *fixture = *state;
    struct err err;
    struct ledger_row absent = read_one(fixture, "\"a\"");
    struct ledger_write write = {.was = &absent, .row = row_of(fixture, "\"a\"", 1, "82AA", 1)};
    assert_true(begin_one(fixture->ledger, &write));
    assert_true(ledger_drop(fixture->ledger, &err));
    assert_false(finish_one(fixture->ledger, &write));
    assert_false(read_one(fixture, "\"a\"").exists);
}

static void a_finish_told_twice_is_lost_the_second_time_or_the_same(void **state)
{
    struct fixture *fixture = *state;
    struct ledger_row absent = read_one(fixture, "\"a\"");
    struct ledger_write write = {.was = &absent, .row = row_of(fixture, "\"a\"", 1, "82AA", 1)};
    assert_true(begin_one(fixture->ledger, &write));
    assert_true(finish_one(fixture->ledger, &write));
    (void)finish_one(fixture->ledger, &write);
    struct ledger_row read = read_one(fixture, "\"a\"");
    assert_string_equal(read.ver, "82AA");
}

static void a_deleted_and_a_quarantined_row_hold_no_chunks(void **state)
{
    struct fixture *fixture = *state;
    struct ledger_row row = row_of(fixture, "\"a\"", 1, "82AA", 3);
    apply(fixture, &row);
    row = (struct ledger_row){.key = "\"a\"", .state = LEDGER_DELETED, .gen = 1, .ver = "82BB"};
    random_hex(row.intent.id, 16);
    apply(fixture, &row);
    row.exists = true;
    struct ledger_row read = read_one(fixture, "\"a\"");
    assert_same_row(&read, &row);
    row.state = LEDGER_QUARANTINED;
    row.reason = "the provider refuses it";
    row.ver = "82CC";
    apply(fixture, &row);
    read = read_one(fixture, "\"a\"");
    assert_same_row(&read, &row);
}

static void a_mark_makes_a_missing_row_and_is_cleared_by_a_finish(void **state)
{
    struct fixture *fixture = *state;
    const char **keys;
    mark_one(fixture, "\"a\"", "audit");
    struct ledger_row read = read_one(fixture, "\"a\"");
    assert_true(read.exists && read.repair);
    assert_int_equal(read.state, LEDGER_NONE);
    assert_int_equal(marked(fixture, 10, &keys), 1);
    assert_string_equal(keys[0], "\"a\"");
    struct ledger_row row = row_of(fixture, "\"a\"", 1, "82AA", 1);
    apply(fixture, &row);
    assert_false(read_one(fixture, "\"a\"").repair);
    assert_int_equal(marked(fixture, 10, &keys), 0);
}

static void a_mark_set_after_the_read_outlives_the_finish(void **state)
{
    struct fixture *fixture = *state;
    for (int i = 0; i < 2; i++) { /* unmarked, then marked at the time of the read */
        struct ledger_row was = read_one(fixture, "\"a\"");
        assert_int_equal(was.repair, i == 1);
        struct ledger_write write = {.was = &was, .row = row_of(fixture, "\"a\"", 1, "82AA", 1)};
        assert_true(begin_one(fixture->ledger, &write));
        mark_one(fixture, "\"a\"", "audit");
        assert_true(finish_one(fixture->ledger, &write));
        assert_true(read_one(fixture, "\"a\"").repair);
    }
    struct ledger_row row = row_of(fixture, "\"a\"", 1, "82AA", 1);
    apply(fixture, &row);
    assert_false(read_one(fixture, "\"a\"").repair);
}

static void a_raise_keeps_mark_and_intent(void **state)
{
    struct fixture *fixture = *state;
    struct ledger_row absent = read_one(fixture, "\"a\"");
    struct ledger_write write = {.was = &absent, .row = row_of(fixture, "\"a\"", 1, "82AA", 1)};
    assert_true(begin_one(fixture->ledger, &write));
    mark_one(fixture, "\"a\"", "audit");
    struct ledger_row was = read_one(fixture, "\"a\"");
    struct ledger_write raise = {.was = &was, .row = row_of(fixture, "\"a\"", 1, "82BB", 1)};
    assert_true(raise_one(fixture->ledger, &raise));
    struct ledger_row read = read_one(fixture, "\"a\"");
    assert_string_equal(read.ver, "82BB");
    assert_true(read.repair && read.has_intent);
    assert_string_equal(read.intent.id, write.row.intent.id);
}

static void repairs_come_oldest_first_and_a_second_mark_goes_to_the_end(void **state)
{
    struct fixture *fixture = *state;
    const char *in_order[] = {"\"c\"", "\"a\"", "\"b\""};
    const char **keys;
    for (size_t i = 0; i < ARRAY_LEN(in_order); i++) {
        int64_t before_ms = clock_wall_ms();
        mark_one(fixture, in_order[i], "audit");
        while (clock_wall_ms() == before_ms) /* marks of one millisecond have no order */
            ;
    }
    assert_int_equal(marked(fixture, 10, &keys), 3);
    for (size_t i = 0; i < ARRAY_LEN(in_order); i++)
        assert_string_equal(keys[i], in_order[i]);
    mark_one(fixture, "\"c\"", "again");
    assert_int_equal(marked(fixture, 2, &keys), 2);
    assert_string_equal(keys[0], "\"a\"");
    assert_string_equal(keys[1], "\"b\"");
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
    assert_int_equal(counts.tombstones, 5);
    assert_int_equal(counts.quarantined, 3);
    assert_int_equal(counts.repairs, 4);
    assert_int_equal(counts.intents, 3);
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
        assert_true(
            ledger_scan(fixture->ledger, after, 4, fixture->arena, &rows, &count, &err));
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

/* Of the winning plan, as JSON. */
static char *explain(struct fixture *fixture, const char *pipeline)
{
    bson_error_t error;
    bson_t reply;
    char *json = bson_strdup_printf("{\"explain\": {\"aggregate\": \"%s\", \"pipeline\": %s,"
                                    " \"cursor\": {}}, \"verbosity\": \"executionStats\"}",
                                    fixture->collection, pipeline);
    bson_t *command = bson_new_from_json((const uint8_t *)json, -1, &error);
    assert_non_null(command);
    assert_true(mongod_run(&mongod, mongod.database, command, &reply));
    bson_free(json);
    json = bson_as_relaxed_extended_json(&reply, NULL);
    bson_destroy(&reply);
    bson_destroy(command);
    return json;
}

static void assert_plan(struct fixture *fixture, const char *pipeline, const char *index,
                        const char *examined)
{
    char *json = explain(fixture, pipeline);
    if (!strstr(json, index) || !strstr(json, examined) || strstr(json, "COLLSCAN"))
        fail_msg("the plan of %s: %s", pipeline, json);
    bson_free(json);
}

#define SINCE_EVER "{\"$gte\": {\"$date\": \"1970-01-01T00:00:00Z\"}}"

static void repairs_intents_and_quarantine_are_found_by_their_partial_indexes(void **state)
{
    struct fixture *fixture = *state;
    for (int i = 0; i < 200; i++) {
        char *key = arena_printf(fixture->arena, "%d", i);
        struct ledger_row row = row_of(fixture, key, 1, "82AA", 1);
        row.state = i % 50 == 0 ? LEDGER_QUARANTINED : LEDGER_DONE;
        apply(fixture, &row);
        if (i % 40 == 0)
            mark_one(fixture, key, "audit");
    }
    struct ledger_row was = read_one(fixture, "7");
    struct ledger_write write = {.was = &was, .row = row_of(fixture, "7", 2, "82BB", 1)};
    assert_true(begin_one(fixture->ledger, &write));
    assert_plan(fixture,
                "[{\"$match\": {\"repair.at\": " SINCE_EVER "}}, {\"$sort\": {\"repair.at\": 1}},"
                " {\"$limit\": 3}, {\"$project\": {\"_id\": 1}}]",
                "\"indexName\" : \"repair\"", "\"totalKeysExamined\" : 3,");
    assert_plan(fixture,
                "[{\"$match\": {\"repair.at\": " SINCE_EVER "}}, {\"$count\": \"rows\"}]",
                "\"indexName\" : \"repair\"", "\"totalDocsExamined\" : 0,");
    assert_plan(fixture,
                "[{\"$match\": {\"intent.until\": " SINCE_EVER "}}, {\"$count\": \"rows\"}]",
                "\"indexName\" : \"intent\"", "\"totalDocsExamined\" : 0,");
    assert_plan(fixture, "[{\"$match\": {\"state\": \"quarantined\"}}, {\"$sort\": {\"at\": 1}}]",
                "\"indexName\" : \"quarantined\"", "\"totalKeysExamined\" : 4,");
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
    *out = (struct ledger_write){
        .row = row_of(twins->side[0], twins->keys[key], (int64_t)pick(3) + 1,
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

static void twin_step(struct twins *twins)
{
    size_t key = pick(TWIN_KEYS);
    switch (pick(8)) {
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
        assert_true(ledger_scan(fixture->ledger, "", 100, fixture->arena, &rows[s], &count[s],
                                &err));
    }
    assert_memory_equal(&counts[0], &counts[1], sizeof(counts[0]));
    assert_int_equal(count[0], count[1]);
    for (size_t i = 0; i < count[0]; i++)
        assert_same_row(&rows[0][i], &rows[1][i]);
}

static void both_back_ends_hold_the_same_after_any_sequence(void **state)
{
    (void)state;
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

/* --- the suite -------------------------------------------------------------------------------- */

static int open_all(void **state)
{
    (void)state;
    return mongod_open(&mongod) ? 0 : -1;
}

static int close_all(void **state)
{
    (void)state;
    mongod_close(&mongod);
    return 0;
}

#define MEMORY(test) {"over memory: " #test, test, set_up, tear_down, &use_memory}
#define MONGO(test) {"over mongo: " #test, test, set_up, tear_down, &use_mongo}

int main(void)
{
    const struct CMUnitTest tests[] = {
        MEMORY(a_key_never_seen_has_no_row),
        MONGO(a_key_never_seen_has_no_row),
        MEMORY(a_finished_row_comes_back_whole),
        MONGO(a_finished_row_comes_back_whole),
        MEMORY(an_intent_keeps_the_row_and_tells_what_it_was_about_to_write),
        MONGO(an_intent_keeps_the_row_and_tells_what_it_was_about_to_write),
        MEMORY(a_new_row_with_an_intent_alone_is_in_no_state),
        MONGO(a_new_row_with_an_intent_alone_is_in_no_state),
        MEMORY(a_key_asked_twice_is_answered_twice),
        MONGO(a_key_asked_twice_is_answered_twice),
        MEMORY(a_writer_that_read_an_older_state_loses),
        MONGO(a_writer_that_read_an_older_state_loses),
        MEMORY(another_generation_of_the_same_version_is_another_state),
        MONGO(another_generation_of_the_same_version_is_another_state),
        MEMORY(of_two_owners_intents_the_later_takes_over_and_the_first_cannot_finish),
        MONGO(of_two_owners_intents_the_later_takes_over_and_the_first_cannot_finish),
        MEMORY(a_batch_tells_which_of_its_writes_lost),
        MONGO(a_batch_tells_which_of_its_writes_lost),
        MEMORY(a_finish_never_makes_a_row_anew),
        MONGO(a_finish_never_makes_a_row_anew),
        MEMORY(a_finish_told_twice_is_lost_the_second_time_or_the_same),
        MONGO(a_finish_told_twice_is_lost_the_second_time_or_the_same),
        MEMORY(a_deleted_and_a_quarantined_row_hold_no_chunks),
        MONGO(a_deleted_and_a_quarantined_row_hold_no_chunks),
        MEMORY(a_mark_makes_a_missing_row_and_is_cleared_by_a_finish),
        MONGO(a_mark_makes_a_missing_row_and_is_cleared_by_a_finish),
        MEMORY(a_mark_set_after_the_read_outlives_the_finish),
        MONGO(a_mark_set_after_the_read_outlives_the_finish),
        MEMORY(a_raise_keeps_mark_and_intent),
        MONGO(a_raise_keeps_mark_and_intent),
        MEMORY(repairs_come_oldest_first_and_a_second_mark_goes_to_the_end),
        MONGO(repairs_come_oldest_first_and_a_second_mark_goes_to_the_end),
        MEMORY(the_counts_are_those_of_the_rows),
        MONGO(the_counts_are_those_of_the_rows),
        MEMORY(a_scan_gives_every_row_once_in_key_order),
        MONGO(a_scan_gives_every_row_once_in_key_order),
        MEMORY(rows_of_a_mebibyte_are_written_in_one_batch),
        MONGO(rows_of_a_mebibyte_are_written_in_one_batch),
        MEMORY(a_batch_of_thousands_is_split_and_its_losers_still_named),
        MONGO(a_batch_of_thousands_is_split_and_its_losers_still_named),
        MEMORY(keys_as_long_as_allowed_are_read_and_written_by_the_hundred),
        MONGO(keys_as_long_as_allowed_are_read_and_written_by_the_hundred),
        cmocka_unit_test(states_are_ordered_by_generation_and_then_by_bytes),
        MEMORY(of_eight_first_intents_exactly_one_wins_in_memory),
        MONGO(of_eight_first_intents_exactly_one_wins_on_the_server),
        MONGO(a_write_of_unknown_outcome_asks_to_begin_again_with_a_read),
        MONGO(a_missing_privilege_is_fatal),
        MONGO(repairs_intents_and_quarantine_are_found_by_their_partial_indexes),
        cmocka_unit_test(both_back_ends_hold_the_same_after_any_sequence),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
