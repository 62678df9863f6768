/* SPDX-License-Identifier: Apache-2.0 */
/* Where a content already lies: one suite over both back ends of the ledger. */
#include "conformance/ledger_fixture.h"

static struct sha256 content(const char *text)
{
    return sha256_of(text, strlen(text));
}

/* A row that is done and holds the named contents. */
static struct ledger_row row_with(struct fixture *fixture, const char *key,
                                  const char *const *texts, size_t count)
{
    struct ledger_row row = row_of(fixture, key, 1, "82AA", count);
    for (size_t i = 0; i < count; i++)
        row.chunks[i] = content(texts[i]);
    return row;
}

static void put(struct fixture *fixture, const char *key, const char *const *texts, size_t count)
{
    struct ledger_row row = row_with(fixture, key, texts, count);
    apply(fixture, &row);
}

static void find(struct fixture *fixture, const struct sha256 *fps, size_t count,
                 struct ledger_donor *donors)
{
    struct err err;
    if (!ledger_find_contents(fixture->ledger, fps, count, fixture->arena, donors, &err))
        fail_msg("%s", err.text);
}

static struct ledger_donor find_one(struct fixture *fixture, const char *text)
{
    struct sha256 fp = content(text);
    struct ledger_donor donor;
    find(fixture, &fp, 1, &donor);
    return donor;
}

static void assert_donor(const struct ledger_donor *donor, const char *source_id, size_t index)
{
    assert_true(donor->found);
    assert_string_equal(donor->source_id, source_id);
    assert_int_equal(donor->index, index);
}

static void each_content_is_found_with_its_place(void **state)
{
    struct fixture *fixture = *state;
    const char *a[] = {"one", "two", "three"};
    const char *b[] = {"four", "two again"};
    struct sha256 fps[] = {content("three"), content("nowhere"), content("two again"),
                           content("one"), content("three")};
    struct ledger_donor donors[ARRAY_LEN(fps)];
    find(fixture, fps, ARRAY_LEN(fps), donors); /* of an empty ledger */
    for (size_t i = 0; i < ARRAY_LEN(fps); i++)
        assert_false(donors[i].found);
    put(fixture, "\"a\"", a, ARRAY_LEN(a));
    put(fixture, "\"b\"", b, ARRAY_LEN(b));
    find(fixture, fps, ARRAY_LEN(fps), donors);
    assert_donor(&donors[0], "\"a\"", 2);
    assert_false(donors[1].found);
    assert_donor(&donors[2], "\"b\"", 1);
    assert_donor(&donors[3], "\"a\"", 0);
    assert_donor(&donors[4], "\"a\"", 2); /* asked twice, answered twice */
}

static void a_row_in_work_or_marked_gives_nothing(void **state)
{
    struct fixture *fixture = *state;
    const char *texts[] = {"shared"};
    put(fixture, "\"a\"", texts, 1);
    struct ledger_row was = read_one(fixture, "\"a\"");
    struct ledger_write write = {.was = &was, .row = row_of(fixture, "\"a\"", 2, "82BB", 1)};
    assert_true(begin_one(fixture->ledger, &write));
    assert_false(find_one(fixture, "shared").found);
    put(fixture, "\"b\"", texts, 1);
    mark_one(fixture, "\"b\"", "audit");
    assert_false(find_one(fixture, "shared").found);
    put(fixture, "\"c\"", texts, 1);
    struct ledger_donor donor = find_one(fixture, "shared");
    assert_donor(&donor, "\"c\"", 0);
}

static void an_intent_s_contents_are_not_in_the_store_yet(void **state)
{
    struct fixture *fixture = *state;
    const char *texts[] = {"to be written"};
    struct ledger_row absent = read_one(fixture, "\"a\"");
    struct ledger_write write = {.was = &absent, .row = row_with(fixture, "\"a\"", texts, 1)};
    assert_true(begin_one(fixture->ledger, &write));
    assert_false(find_one(fixture, "to be written").found);
    assert_true(finish_one(fixture->ledger, &write));
    assert_true(find_one(fixture, "to be written").found);
}

static void a_content_that_an_edit_removed_is_not_found(void **state)
{
    struct fixture *fixture = *state;
    const char *before[] = {"kept", "removed"};
    const char *after[] = {"new", "kept"};
    put(fixture, "\"a\"", before, 2);
    struct ledger_row row = row_with(fixture, "\"a\"", after, 2);
    row.ver = "82BB";
    apply(fixture, &row);
    struct ledger_donor donor = find_one(fixture, "kept");
    assert_donor(&donor, "\"a\"", 1);
    assert_false(find_one(fixture, "removed").found);
}

/* More contents than one command names; one text that many rows hold brings one row. */
static void thousands_are_asked_at_once(void **state)
{
    enum { rows = 25, chunks = 100, count = rows * chunks };
    struct fixture *fixture = *state;
    struct sha256 *fps = arena_alloc_array(fixture->arena, count, sizeof(*fps));
    struct ledger_donor *donors = arena_alloc_array(fixture->arena, count, sizeof(*donors));
    for (int i = 0; i < rows; i++) {
        char *key = arena_printf(fixture->arena, "\"%02d\"", i);
        struct ledger_row row = row_of(fixture, key, 1, "82AA", chunks);
        for (int j = 0; j < chunks; j++)
            row.chunks[j] =
                content(j == 7 ? "in all" : arena_printf(fixture->arena, "%d/%d", i, j));
        memcpy(&fps[(size_t)i * chunks], row.chunks, chunks * sizeof(*fps));
        apply(fixture, &row);
    }
    find(fixture, fps, count, donors);
    for (size_t i = 0; i < count; i++) {
        assert_true(donors[i].found);
        assert_int_equal(donors[i].index, i % chunks);
        if (i % chunks != 7)
            assert_string_equal(donors[i].source_id,
                                arena_printf(fixture->arena, "\"%02zu\"", i / chunks));
    }
}

/* Far more rows hold one text than are brought at once: it does not hide the others. */
static void a_text_that_many_share_hides_no_other(void **state)
{
    enum { many = 60, others = 9 };
    struct fixture *fixture = *state;
    struct sha256 fps[1 + others];
    struct ledger_donor donors[1 + others];
    const char *shared[] = {"shared"};
    for (int i = 0; i < many; i++)
        put(fixture, arena_printf(fixture->arena, "\"many %02d\"", i), shared, 1);
    fps[0] = content(shared[0]);
    for (int i = 0; i < others; i++) {
        const char *texts[] = {"shared", arena_printf(fixture->arena, "other %d", i)};
        put(fixture, arena_printf(fixture->arena, "\"other %d\"", i), texts, 2);
        fps[1 + i] = content(texts[1]);
    }
    find(fixture, fps, 1 + others, donors);
    assert_true(donors[0].found);
    assert_int_equal(donors[0].index, 0);
    for (int i = 0; i < others; i++)
        assert_donor(&donors[1 + i], arena_printf(fixture->arena, "\"other %d\"", i), 1);
}

static void of_a_long_row_the_first_place_is_told(void **state)
{
    enum { chunks = 12000 };
    struct fixture *fixture = *state;
    struct ledger_row row = row_of(fixture, "\"long\"", 1, "82AA", chunks);
    struct sha256 fps[] = {content("near the end"), content("nowhere"), row.chunks[3]};
    struct ledger_donor donors[ARRAY_LEN(fps)];
    row.chunks[chunks - 2] = row.chunks[chunks - 1] = fps[0];
    apply(fixture, &row);
    find(fixture, fps, ARRAY_LEN(fps), donors);
    assert_donor(&donors[0], "\"long\"", chunks - 2);
    assert_false(donors[1].found);
    assert_donor(&donors[2], "\"long\"", 3);
}

static void rows_are_found_by_what_their_documents_are_called_and_were_about_to_be(void **state)
{
    struct fixture *fixture = *state;
    const char *texts[] = {"one"};
    put(fixture, "\"a\"", texts, 1);
    put(fixture, "\"b\"", texts, 1);
    struct ledger_row was = read_one(fixture, "\"b\"");
    struct ledger_row row = row_with(fixture, "\"b\"", texts, 1);
    struct ledger_write write = {.was = &was, .row = row};
    write.row.intent.source_id = arena_strdup(fixture->arena, "another");
    assert_true(begin_one(fixture->ledger, &write));
    struct ledger_row a = read_one(fixture, "\"a\"");
    const char *ids[] = {a.source_id, "another", "nobody's"};
    struct ledger_source *found;
    size_t count;
    struct err err;
    assert_true(ledger_find_sources(fixture->ledger, ids, ARRAY_LEN(ids), fixture->arena, &found,
                                    &count, &err));
    size_t seen = 0;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(found[i].source_id, "another") == 0)
            assert_string_equal(found[i].key, "\"b\"");
        seen += strcmp(found[i].key, "\"a\"") == 0 ? 1 : 10;
    }
    assert_in_range(seen, 11, 21); /* both rows may have been made with one source id */
    assert_true(
        ledger_find_sources(fixture->ledger, ids + 2, 1, fixture->arena, &found, &count, &err));
    assert_int_equal(count, 0);
}

/* --- drawing a sample ------------------------------------------------------------------------- */

static struct ledger_sample draw(struct fixture *fixture, const struct sha256 *from, size_t limit)
{
    struct ledger_sample sample = {.from = from, .limit = limit, .arena = fixture->arena};
    struct err err;
    if (!ledger_draw(fixture->ledger, &sample, &err))
        fail_msg("%s", err.text);
    return sample;
}

/* From `from` on, then from the beginning. */
static int by_distance(const void *a, const void *b, void *context)
{
    const struct sha256 *from = context;
    int below_a = memcmp(((const struct sha256 *)a)->bytes, from->bytes, SHA256_SIZE) < 0;
    int below_b = memcmp(((const struct sha256 *)b)->bytes, from->bytes, SHA256_SIZE) < 0;
    return below_a != below_b ? below_a - below_b
                              : memcmp(((const struct sha256 *)a)->bytes,
                                       ((const struct sha256 *)b)->bytes, SHA256_SIZE);
}

#define DRAWN_ROWS 40

static void a_sample_is_the_contents_from_anywhere_on(void **state)
{
    struct fixture *fixture = *state;
    struct sha256 all[3 * DRAWN_ROWS], from = content("anywhere");
    for (size_t i = 0; i < DRAWN_ROWS; i++) {
        char *key = arena_printf(fixture->arena, "\"%zu\"", i);
        const char *texts[3];
        for (size_t c = 0; c < 3; c++) {
            texts[c] = arena_printf(fixture->arena, "%zu/%zu", i, c);
            all[3 * i + c] = content(texts[c]);
        }
        put(fixture, key, texts, 3);
    }
    qsort_r(all, ARRAY_LEN(all), sizeof *all, by_distance, &from);
    /* a page brings one content of each row: neighbours of one document may be left out */
    struct ledger_sample few = draw(fixture, &from, 10);
    assert_true(sha256_equal(&few.places[0].fp, &all[0]));
    assert_int_equal(few.count, 10);
    for (size_t i = 0; i < few.count; i++) {
        const struct ledger_place *place = &few.places[i];
        struct ledger_row row = read_one(fixture, place->key);
        assert_true(sha256_equal(&row.chunks[place->index], &place->fp));
        assert_string_equal(place->source_id, row.source_id);
        assert_string_equal(place->ver, "82AA");
        assert_true(place->gen == 1 && !place->halved);
        assert_true(i == 0 || by_distance(&few.places[i - 1].fp, &place->fp, &from) < 0);
    }
    struct ledger_sample again = draw(fixture, &from, 10);
    assert_true(again.count == 10 && sha256_equal(&again.places[9].fp, &few.places[9].fp));
    struct sha256 other = content("elsewhere");
    struct ledger_sample another = draw(fixture, &other, 10);
    assert_false(sha256_equal(&another.places[0].fp, &few.places[0].fp));
    struct ledger_sample most = draw(fixture, &from, 1000);
    assert_in_range(most.count, DRAWN_ROWS, ARRAY_LEN(all));
}

static void of_one_long_document_many_contents_are_drawn(void **state)
{
    struct fixture *fixture = *state;
    const char *texts[300];
    struct sha256 from = content("anywhere");
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        texts[i] = arena_printf(fixture->arena, "part %zu", i);
    put(fixture, "\"long\"", texts, ARRAY_LEN(texts));
    struct ledger_sample sample = draw(fixture, &from, 200);
    assert_int_equal(sample.count, 200);
    for (size_t i = 0; i < sample.count; i++) {
        struct sha256 expected = content(texts[sample.places[i].index]);
        assert_true(sha256_equal(&sample.places[i].fp, &expected));
    }
}

static void a_text_that_many_share_is_drawn_once(void **state)
{
    struct fixture *fixture = *state;
    const char *shared[] = {"shared"}, *own[] = {"own"};
    struct sha256 from = content("shared");
    assert_int_equal(draw(fixture, &from, 5).count, 0); /* of an empty ledger */
    for (int i = 0; i < 60; i++)
        put(fixture, arena_printf(fixture->arena, "\"%02d\"", i), shared, 1);
    put(fixture, "\"x\"", own, 1);
    struct ledger_sample sample = draw(fixture, &from, 5);
    assert_int_equal(sample.count, 2);
    struct sha256 second = content("own");
    assert_true(sha256_equal(&sample.places[0].fp, &from));
    assert_true(sha256_equal(&sample.places[1].fp, &second));
}

static void what_is_in_work_or_marked_is_not_drawn(void **state)
{
    struct fixture *fixture = *state;
    const char *texts[] = {"one"}, *others[] = {"two"}, *kept[] = {"three"};
    struct sha256 from = {0};
    put(fixture, "\"a\"", texts, 1);
    put(fixture, "\"b\"", others, 1);
    put(fixture, "\"c\"", kept, 1);
    struct ledger_row was = read_one(fixture, "\"a\"");
    struct ledger_write write = {.was = &was, .row = row_of(fixture, "\"a\"", 2, "82BB", 1)};
    assert_true(begin_one(fixture->ledger, &write));
    mark_one(fixture, "\"b\"", "audit");
    struct ledger_sample sample = draw(fixture, &from, 5);
    assert_int_equal(sample.count, 1);
    assert_string_equal(sample.places[0].key, "\"c\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(each_content_is_found_with_its_place),
        BOTH(a_row_in_work_or_marked_gives_nothing),
        BOTH(an_intent_s_contents_are_not_in_the_store_yet),
        BOTH(a_content_that_an_edit_removed_is_not_found),
        BOTH(a_text_that_many_share_hides_no_other),
        BOTH(of_a_long_row_the_first_place_is_told),
        BOTH(thousands_are_asked_at_once),
        BOTH(a_sample_is_the_contents_from_anywhere_on),
        BOTH(of_one_long_document_many_contents_are_drawn),
        BOTH(a_text_that_many_share_is_drawn_once),
        BOTH(what_is_in_work_or_marked_is_not_drawn),
        BOTH(rows_are_found_by_what_their_documents_are_called_and_were_about_to_be),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
