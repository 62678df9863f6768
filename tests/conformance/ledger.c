/* SPDX-License-Identifier: Apache-2.0 */
/* Rows, intents and repair marks: one suite over both back ends of the ledger. */
#include "conformance/ledger_fixture.h"

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

/* A re-read has the (gen, ver) of what it follows, and brings what the source holds now. */
static void another_content_of_the_same_version_is_another_state(void **state)
{
    struct fixture *fixture = *state;
    struct ledger_row row = row_of(fixture, "\"a\"", 1, "82AA", 1);
    apply(fixture, &row);
    struct ledger_row was = read_one(fixture, "\"a\"");
    struct ledger_write write = {.was = &was, .row = row_of(fixture, "\"a\"", 1, "82BB", 1)};
    row.doc_fp.bytes[0] ^= 1;
    for (int i = 0; i < 2; i++) { /* another content, then none */
        apply(fixture, &row);
        assert_false(begin_one(fixture->ledger, &write));
        assert_false(raise_one(fixture->ledger, &write));
        row = (struct ledger_row){.key = row.key, .state = LEDGER_DELETED, .gen = 1, .ver = "82AA"};
        memset(row.intent.id, 'd', sizeof row.intent.id - 1);
        was = i == 0 ? read_one(fixture, "\"a\"") : was;
    }
    assert_int_equal(read_one(fixture, "\"a\"").state, LEDGER_DELETED);
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

/* What is written in one millisecond has no order. */
static void let_a_millisecond_end(void)
{
    int64_t now_ms = clock_wall_ms();
    while (clock_wall_ms() == now_ms)
        ;
}

static void repairs_come_oldest_first_and_a_second_mark_goes_to_the_end(void **state)
{
    struct fixture *fixture = *state;
    const char *in_order[] = {"\"c\"", "\"a\"", "\"b\""};
    const char **keys;
    for (size_t i = 0; i < ARRAY_LEN(in_order); i++) {
        mark_one(fixture, in_order[i], "audit");
        let_a_millisecond_end();
    }
    assert_int_equal(marked(fixture, 10, &keys), 3);
    for (size_t i = 0; i < ARRAY_LEN(in_order); i++)
        assert_string_equal(keys[i], in_order[i]);
    mark_one(fixture, "\"c\"", "again");
    assert_int_equal(marked(fixture, 2, &keys), 2);
    assert_string_equal(keys[0], "\"a\"");
    assert_string_equal(keys[1], "\"b\"");
}

static void under_a_new_owner_s_name_its_own_intents_are_a_stranger_s(void **state)
{
    struct fixture *fixture = *state;
    struct ledger_row absent = read_one(fixture, "\"a\"");
    struct ledger_write write = {.was = &absent, .row = row_of(fixture, "\"a\"", 1, "82AA", 1)};
    assert_true(begin_one(fixture->ledger, &write));
    ledger_set_owner(fixture->ledger, "pod-a/2");
    struct ledger_row was = read_one(fixture, "\"a\"");
    assert_string_equal(was.intent.owner, "pod-a");
    write = (struct ledger_write){.was = &was, .row = row_of(fixture, "\"a\"", 1, "82AA", 1)};
    assert_true(begin_one(fixture->ledger, &write));
    assert_string_equal(read_one(fixture, "\"a\"").intent.owner, "pod-a/2");
}

/* Begins an intent and leaves it open. */
static void leave_open(struct fixture *fixture, const char *key, int64_t gen)
{
    struct ledger_row was = read_one(fixture, key);
    struct ledger_write write = {.was = &was, .row = row_of(fixture, key, gen, "82AA", 1)};
    assert_true(begin_one(fixture->ledger, &write));
}

static void put_in_state(struct fixture *fixture, const char *key, int64_t gen,
                         enum ledger_state state)
{
    struct ledger_row row = row_of(fixture, key, gen, "82AA", 0);
    row.state = state;
    apply(fixture, &row);
}

static void fill_two_generations(struct fixture *fixture)
{
    put_in_state(fixture, "\"done, old\"", 1, LEDGER_DONE);
    put_in_state(fixture, "\"done, new\"", 2, LEDGER_DONE);
    put_in_state(fixture, "\"gone, old\"", 1, LEDGER_DELETED);
    put_in_state(fixture, "\"gone, new\"", 2, LEDGER_DELETED);
    put_in_state(fixture, "\"aside, old\"", 1, LEDGER_QUARANTINED);
    put_in_state(fixture, "\"aside, new\"", 2, LEDGER_QUARANTINED);
    leave_open(fixture, "\"intent, no row yet\"", 1);
    put_in_state(fixture, "\"gone, old, intent\"", 1, LEDGER_DELETED);
    leave_open(fixture, "\"gone, old, intent\"", 1);
    mark_one(fixture, "\"only a mark\"", "audit");
}

static void what_a_generation_has_not_touched_is_counted(void **state)
{
    struct fixture *fixture = *state;
    struct ledger_behind behind;
    struct err err;
    assert_true(ledger_count_behind(fixture->ledger, 2, &behind, &err));
    assert_int_equal(behind.documents, 0);
    fill_two_generations(fixture);
    assert_true(ledger_count_behind(fixture->ledger, 2, &behind, &err));
    assert_int_equal(behind.documents, 6);
    assert_int_equal(behind.behind, 4);
    assert_true(ledger_count_behind(fixture->ledger, 1, &behind, &err));
    assert_int_equal(behind.documents, 6);
    assert_int_equal(behind.behind, 1); /* the intent without a row */
    assert_true(ledger_count_behind(fixture->ledger, 3, &behind, &err));
    assert_int_equal(behind.behind, 6);
}

static void what_a_generation_has_not_touched_is_found_in_pages(void **state)
{
    static const char *const expected[] = {"\"aside, old\"", "\"done, old\"",
                                           "\"gone, old, intent\"", "\"intent, no row yet\""};
    struct fixture *fixture = *state;
    struct ledger_behind_page page = {.gen = 2, .after = "", .limit = 3, .arena = fixture->arena};
    struct err err;
    fill_two_generations(fixture);
    size_t seen = 0;
    int pages = 0;
    for (; pages < 9; pages++) {
        assert_true(ledger_scan_behind(fixture->ledger, &page, &err));
        if (!page.last)
            break;
        assert_true(page.count <= 3);
        for (size_t i = 0; i < page.count; i++)
            assert_string_equal(page.keys[i], expected[seen++]);
        page.after = page.last;
    }
    assert_int_equal(seen, ARRAY_LEN(expected));
    assert_int_equal(pages, 3); /* of 9 rows */
}

static struct ledger_aged_page aged(struct fixture *fixture, enum ledger_state state,
                                    const struct ledger_row *after, size_t limit)
{
    struct ledger_aged_page page = {.state = state,
                                    .after_ms = after ? after->at_ms : 0,
                                    .after_key = after ? after->key : "",
                                    .limit = limit,
                                    .arena = fixture->arena};
    struct err err;
    if (!ledger_scan_aged(fixture->ledger, &page, &err))
        fail_msg("%s", err.text);
    return page;
}

static void set_aside(struct fixture *fixture, const char *key, const char *ver, const char *reason)
{
    struct ledger_row row = row_of(fixture, key, 1, ver, 0);
    row.state = LEDGER_QUARANTINED;
    row.reason = reason;
    apply(fixture, &row);
}

static void what_is_set_aside_comes_in_pages_the_oldest_first(void **state)
{
    static const char *const in_order[] = {"\"c\"", "\"a\"", "\"d\"", "\"b\""};
    struct fixture *fixture = *state;
    size_t seen = 0;
    const struct ledger_row *after = NULL;
    put_in_state(fixture, "\"done\"", 1, LEDGER_DONE);
    put_in_state(fixture, "\"gone\"", 1, LEDGER_DELETED);
    for (size_t i = 0; i < ARRAY_LEN(in_order); i++) {
        set_aside(fixture, in_order[i], "82AA", "poison");
        let_a_millisecond_end();
    }
    for (;;) {
        struct ledger_aged_page page = aged(fixture, LEDGER_QUARANTINED, after, 3);
        if (page.count == 0)
            break;
        assert_true(page.now_ms >= page.rows[page.count - 1].at_ms);
        for (size_t i = 0; i < page.count; i++) {
            assert_true(seen < ARRAY_LEN(in_order));
            assert_string_equal(page.rows[i].key, in_order[seen++]);
            assert_string_equal(page.rows[i].reason, "poison");
        }
        after = &page.rows[page.count - 1];
    }
    assert_int_equal(seen, ARRAY_LEN(in_order));
}

/* Those of one write have the same time: their keys tell them apart. */
static void rows_of_one_moment_are_all_found_in_pages(void **state)
{
    enum { count = 50 };
    struct fixture *fixture = *state;
    struct ledger_row rows[count];
    struct ledger_write writes[count];
    const char *keys[count];
    struct err err;
    for (int i = 0; i < count; i++)
        keys[i] = arena_printf(fixture->arena, "\"%02d\"", i);
    assert_true(ledger_read(fixture->ledger, keys, count, fixture->arena, rows, &err));
    for (int i = 0; i < count; i++) {
        writes[i] =
            (struct ledger_write){.was = &rows[i], .row = row_of(fixture, keys[i], 1, "82AA", 0)};
        writes[i].row.state = LEDGER_DELETED;
    }
    struct ledger_begin begin = {.raises = writes, .raise_count = count};
    assert_true(ledger_begin(fixture->ledger, &begin, &err));
    size_t seen = 0;
    const struct ledger_row *after = NULL;
    for (struct ledger_aged_page page; (page = aged(fixture, LEDGER_DELETED, after, 7)).count > 0;
         seen += page.count)
        after = &page.rows[page.count - 1];
    assert_int_equal(seen, count);
}

static void what_is_skipped_counts_no_more_until_the_reason_changes(void **state)
{
    struct fixture *fixture = *state;
    const char *keys[] = {"\"a\"", "\"done\"", "\"nobody\""};
    struct ledger_counts counts;
    struct err err;
    int64_t changed;
    put_in_state(fixture, "\"done\"", 1, LEDGER_DONE);
    set_aside(fixture, "\"a\"", "82AA", "poison");
    set_aside(fixture, "\"b\"", "82AA", "poison");
    int64_t since_ms = read_one(fixture, "\"a\"").since_ms;
    assert_true(since_ms > 0);
    assert_true(ledger_skip(fixture->ledger, keys, ARRAY_LEN(keys), &changed, &err));
    assert_int_equal(changed, 1);
    assert_false(read_one(fixture, "\"done\"").skipped || read_one(fixture, "\"nobody\"").exists);
    assert_true(ledger_count(fixture->ledger, &counts, &err));
    assert_int_equal(counts.quarantined, 1);
    assert_int_equal(counts.skipped, 1);
    let_a_millisecond_end();
    set_aside(fixture, "\"a\"", "82BB", "poison"); /* tried again, in vain */
    struct ledger_row again = read_one(fixture, "\"a\"");
    assert_true(again.skipped);
    assert_int_equal(again.since_ms, since_ms);
    assert_true(again.at_ms > since_ms);
    set_aside(fixture, "\"a\"", "82CC", "too long");
    again = read_one(fixture, "\"a\"");
    assert_false(again.skipped);
    assert_int_equal(again.since_ms, since_ms);
    put_in_state(fixture, "\"a\"", 2, LEDGER_DONE);
    again = read_one(fixture, "\"a\"");
    assert_false(again.skipped || again.since_ms != 0);
}

static int64_t expire(struct fixture *fixture, const struct ledger_row *row)
{
    struct err err;
    int64_t removed;
    if (!ledger_expire(fixture->ledger, row, 1, &removed, &err))
        fail_msg("%s", err.text);
    return removed;
}

static void only_the_tombstone_that_was_read_is_removed(void **state)
{
    struct fixture *fixture = *state;
    const char *const keys[] = {"\"later\"", "\"back\"", "\"in work\"", "\"marked\"", "\"a\""};
    struct ledger_row rows[ARRAY_LEN(keys)];
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        put_in_state(fixture, keys[i], 1, LEDGER_DELETED);
        rows[i] = read_one(fixture, keys[i]);
    }
    put_in_state(fixture, keys[0], 2, LEDGER_DELETED);
    put_in_state(fixture, keys[1], 1, LEDGER_DONE); /* of the same (gen, ver) */
    leave_open(fixture, keys[2], 1);
    mark_one(fixture, keys[3], "audit");
    for (size_t i = 0; i + 1 < ARRAY_LEN(keys); i++) {
        assert_int_equal(expire(fixture, &rows[i]), 0);
        assert_true(read_one(fixture, keys[i]).exists);
    }
    assert_int_equal(expire(fixture, &rows[4]), 1);
    assert_false(read_one(fixture, keys[4]).exists);
    assert_int_equal(expire(fixture, &rows[4]), 0);
}

static void a_mark_tells_which_state_it_stands_on(void **state)
{
    struct fixture *fixture = *state;
    struct ledger_marked *marks;
    struct err err;
    size_t count;
    struct ledger_row row = row_of(fixture, "\"a\"", 3, "82AA", 1);
    apply(fixture, &row);
    mark_one(fixture, "\"a\"", "audit");
    mark_one(fixture, "\"none\"", "audit");
    assert_true(ledger_repairs(fixture->ledger, 9, fixture->arena, &marks, &count, &err));
    assert_int_equal(count, 2);
    const struct ledger_marked *a = strcmp(marks[0].key, "\"a\"") == 0 ? &marks[0] : &marks[1];
    const struct ledger_marked *none = a == &marks[0] ? &marks[1] : &marks[0];
    assert_int_equal(a->gen, 3);
    assert_string_equal(a->ver, "82AA");
    assert_int_equal(a->mark_ms, read_one(fixture, "\"a\"").repair_ms);
    assert_int_equal(none->gen, 0);
    assert_string_equal(none->ver, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(a_key_never_seen_has_no_row),
        BOTH(a_finished_row_comes_back_whole),
        BOTH(an_intent_keeps_the_row_and_tells_what_it_was_about_to_write),
        BOTH(a_new_row_with_an_intent_alone_is_in_no_state),
        BOTH(a_key_asked_twice_is_answered_twice),
        BOTH(a_writer_that_read_an_older_state_loses),
        BOTH(another_generation_of_the_same_version_is_another_state),
        BOTH(another_content_of_the_same_version_is_another_state),
        BOTH(of_two_owners_intents_the_later_takes_over_and_the_first_cannot_finish),
        BOTH(a_batch_tells_which_of_its_writes_lost),
        BOTH(a_finish_never_makes_a_row_anew),
        BOTH(a_finish_told_twice_is_lost_the_second_time_or_the_same),
        BOTH(a_deleted_and_a_quarantined_row_hold_no_chunks),
        BOTH(a_mark_makes_a_missing_row_and_is_cleared_by_a_finish),
        BOTH(a_mark_set_after_the_read_outlives_the_finish),
        BOTH(a_raise_keeps_mark_and_intent),
        BOTH(repairs_come_oldest_first_and_a_second_mark_goes_to_the_end),
        BOTH(under_a_new_owner_s_name_its_own_intents_are_a_stranger_s),
        BOTH(what_a_generation_has_not_touched_is_counted),
        BOTH(what_a_generation_has_not_touched_is_found_in_pages),
        BOTH(what_is_set_aside_comes_in_pages_the_oldest_first),
        BOTH(rows_of_one_moment_are_all_found_in_pages),
        BOTH(what_is_skipped_counts_no_more_until_the_reason_changes),
        BOTH(only_the_tombstone_that_was_read_is_removed),
        BOTH(a_mark_tells_which_state_it_stands_on),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
