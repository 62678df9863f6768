/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/plan/pass.h"

#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "support/test.h"

#define BATCH 10
#define TEXTS 4

static const char *const fields[] = {"text"};

struct fixture {
    struct shape *shape;
    struct embedder *embedder;
    struct embed_config embed;
    struct donors donors;
    struct pass pass;
};

static void begin(struct fixture *fixture, size_t max_chars)
{
    struct err err;
    *fixture =
        (struct fixture){.embed = {.document_prefix = "é: ",
                                   .chunk = {.strategy = CHUNKER_FIXED, .max_chars = max_chars},
                                   .text_fields = fields,
                                   .text_field_count = 1}};
    struct shape_options shape = {.database = "shop",
                                  .collection = "articles",
                                  .filter = "{\"draft\": {\"$ne\": true}}",
                                  .id_field = "_id",
                                  .text_fields = fields,
                                  .text_field_count = 1};
    struct embedder_options embedder = {
        .name = "test", .driver = "hash", .dims = 8, .max_batch = TEXTS};
    assert_true(shape_new(&shape, &fixture->shape, &err));
    assert_true(embedder_open(&embedder, &fixture->embedder, &err));
    struct pass_options pass = {.shape = fixture->shape,
                                .embed = &fixture->embed,
                                .embedder = fixture->embedder,
                                .donors = &fixture->donors,
                                .batch_documents = BATCH,
                                .most_slots = 1 << 12};
    pass_init(&fixture->pass, &pass);
}

static void end(struct fixture *fixture)
{
    pass_fini(&fixture->pass);
    embedder_close(fixture->embedder);
    shape_free(fixture->shape);
}

static void take(struct fixture *fixture, int id, const char *text, bool draft)
{
    struct err err;
    bson_t *doc =
        BCON_NEW("_id", BCON_INT32(id), "text", BCON_UTF8(text), "draft", BCON_BOOL(draft));
    assert_true(pass_take(&fixture->pass, doc, &err));
    bson_destroy(doc);
}

static struct contents_sum finish(struct fixture *fixture, bool part)
{
    struct err err;
    struct contents_sum sum;
    assert_true(pass_end(&fixture->pass, part, &err));
    contents_sum(fixture->pass.contents, 1, &sum);
    return sum;
}

static void what_is_sent_is_counted_with_its_prefix(void **state)
{
    (void)state;
    struct fixture fixture;
    begin(&fixture, 100);
    take(&fixture, 1, "grün", false);
    take(&fixture, 2, "grün", false);
    take(&fixture, 3, "a draft", true);
    take(&fixture, 4, "", false);
    take(&fixture, 5, "data:image/png;base64,AAAA", false);
    struct contents_sum sum = finish(&fixture, false);
    assert_true(sum.to_buy == 1 && sum.characters == 7);
    assert_int_equal(fixture.pass.read, 5);
    assert_int_equal(fixture.pass.documents, 4);
    assert_int_equal(fixture.pass.chunks, 2);
    assert_int_equal(fixture.pass.empty, 1);
    assert_int_equal(fixture.pass.set_aside, 1);
    end(&fixture);
}

static void requests_end_with_their_batch(void **state)
{
    (void)state;
    struct fixture fixture;
    char text[32];
    begin(&fixture, 100);
    for (int i = 0; i < 3 * BATCH; i++) {
        snprintf(text, sizeof text, "text %d", i);
        take(&fixture, i, text, false);
    }
    (void)finish(&fixture, false);
    assert_int_equal(fixture.pass.packed, 3 * BATCH);
    assert_true(fixture.pass.requests == 9); /* 4, 4 and 2 of each batch */
    end(&fixture);
}

static void of_a_sample_the_last_request_counts_in_part(void **state)
{
    (void)state;
    struct fixture fixture;
    char text[32];
    begin(&fixture, 100);
    for (int i = 0; i < 6; i++) {
        snprintf(text, sizeof text, "text %d", i);
        take(&fixture, i, text, false);
    }
    (void)finish(&fixture, true);
    assert_true(fixture.pass.requests == 1.5);
    end(&fixture);
}

static void what_was_bought_for_an_earlier_batch_is_in_no_request(void **state)
{
    (void)state;
    struct fixture fixture;
    char text[32];
    begin(&fixture, 100);
    for (int i = 0; i < 3 * BATCH; i++) {
        snprintf(text, sizeof text, "text %d", i % TEXTS);
        take(&fixture, i, text, false);
    }
    struct contents_sum sum = finish(&fixture, false);
    assert_true(sum.to_buy == TEXTS && fixture.pass.requests == 1);
    assert_int_equal(fixture.pass.chunks, 3 * BATCH);
    end(&fixture);
}

static void a_long_document_is_bought_piece_by_piece(void **state)
{
    (void)state;
    struct fixture fixture;
    enum { CHUNKS = 2500, SIZE = 8 };
    static char text[CHUNKS * SIZE + 1];
    for (int i = 0; i < CHUNKS; i++)
        snprintf(text + i * SIZE, SIZE + 1, "%0*d", SIZE, i);
    begin(&fixture, SIZE);
    take(&fixture, 1, text, false);
    (void)finish(&fixture, false);
    assert_int_equal(fixture.pass.chunks, CHUNKS);
    assert_true(fixture.pass.requests == 250 + 250 + 125);
    assert_int_equal(fixture.pass.text_count, 0);
    assert_true(fixture.pass.text_capacity <= LIMIT_ROUND_CHUNKS);
    end(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_sent_is_counted_with_its_prefix),
        cmocka_unit_test(requests_end_with_their_batch),
        cmocka_unit_test(of_a_sample_the_last_request_counts_in_part),
        cmocka_unit_test(what_was_bought_for_an_earlier_batch_is_in_no_request),
        cmocka_unit_test(a_long_document_is_bought_piece_by_piece),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
