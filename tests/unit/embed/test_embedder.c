/* SPDX-License-Identifier: Apache-2.0 */
/* What embedder.c does for all drivers: parts, limits, and which texts are done. */
#include "embed/embedder.h"

#include <math.h>
#include <string.h>

#include "support/test.h"

#define DIMS 2

/* A driver whose vectors and failure are given. */
struct fake {
    struct embedder base;
    const float *vectors;
    size_t done; /* the first ones */
    bool fails;
    struct err err;
};

static bool fake_embed(struct embedder *embedder, const struct embed_text *texts, size_t count,
                       float *vectors, bool *done, struct err *err)
{
    const struct fake *fake = (const struct fake *)embedder;
    (void)texts;
    memcpy(vectors, fake->vectors, count * DIMS * sizeof *vectors);
    for (size_t i = 0; i < count; i++)
        done[i] = i < fake->done;
    if (fake->fails)
        *err = fake->err;
    return !fake->fails;
}

static const struct embedder_ops fake_ops = {.name = "fake", .embed = fake_embed};

static struct fake fake_of(const float *vectors, size_t done)
{
    return (struct fake){
        .base = {.ops = &fake_ops, .dims = DIMS, .most = {4, 100}, .limits = {4, 100}},
        .vectors = vectors,
        .done = done};
}

static size_t part_of(const struct fake *fake, const size_t *sizes, size_t count)
{
    struct embed_text texts[16];
    for (size_t i = 0; i < count; i++)
        texts[i] = (struct embed_text){"", sizes[i]};
    return embedder_part(&fake->base, texts, count);
}

static void a_part_is_bounded_by_texts_and_by_bytes(void **state)
{
    (void)state;
    struct fake fake = fake_of(NULL, 0);
    static const size_t small[] = {1, 1, 1, 1, 1, 1};
    assert_int_equal(part_of(&fake, small, 0), 0);
    assert_int_equal(part_of(&fake, small, 1), 1);
    assert_int_equal(part_of(&fake, small, 4), 4);
    assert_int_equal(part_of(&fake, small, 6), 4);
    static const size_t exact[] = {50, 50, 1};
    assert_int_equal(part_of(&fake, exact, 3), 2);
    static const size_t over[] = {50, 51, 1};
    assert_int_equal(part_of(&fake, over, 3), 1);
    static const size_t empty_behind[] = {100, 0};
    assert_int_equal(part_of(&fake, empty_behind, 2), 1);
}

static void a_text_larger_than_a_part_travels_alone(void **state)
{
    (void)state;
    struct fake fake = fake_of(NULL, 0);
    static const size_t first[] = {5000, 1};
    assert_int_equal(part_of(&fake, first, 2), 1);
    static const size_t behind[] = {1, 1, 5000};
    assert_int_equal(part_of(&fake, behind, 3), 2);
    static const size_t huge[] = {1, SIZE_MAX};
    assert_int_equal(part_of(&fake, huge, 2), 1);
}

static void a_limit_that_was_learned_lowers_the_parts_and_can_be_lifted(void **state)
{
    (void)state;
    struct fake fake = fake_of(NULL, 0);
    static const size_t sizes[] = {10, 10, 10, 10, 10};
    embedder_limit(&fake.base, 2, 0);
    assert_int_equal(part_of(&fake, sizes, 5), 2);
    embedder_limit(&fake.base, 0, 35);
    assert_int_equal(part_of(&fake, sizes, 5), 3);
    embedder_limit(&fake.base, 1, 1);
    assert_int_equal(part_of(&fake, sizes, 5), 1);
    embedder_limit(&fake.base, 1000, 100000); /* never above what is configured */
    assert_int_equal(part_of(&fake, sizes, 5), 4);
    embedder_limit(&fake.base, 0, 0);
    assert_int_equal(part_of(&fake, sizes, 5), 4);
}

static const struct embed_text three[] = {{"a", 1}, {"b", 1}, {"c", 1}};

static void what_came_is_done_although_the_call_fails(void **state)
{
    (void)state;
    static const float vectors[] = {1, 0, 0, 1, 0, 0};
    struct fake fake = fake_of(vectors, 2);
    fake.fails = true;
    err_set(&fake.err, ERR_RETRY, ERR_EMBED, EMBED_RATE_LIMITED, "slow down");
    float out[3 * DIMS] = {0};
    bool done[3] = {false, false, true};
    struct err err = {0};
    assert_false(embedder_embed(&fake.base, three, 3, out, done, &err));
    assert_int_equal(err.code, EMBED_RATE_LIMITED);
    assert_true(done[0] && done[1] && !done[2]);
    assert_true(out[0] == 1 && out[3] == 1);
    assert_false(embedder_embed(&fake.base, three, 3, out, NULL, NULL));
}

static void a_vector_that_is_no_good_leaves_the_others_done(void **state)
{
    (void)state;
    static const float bad[] = {NAN, INFINITY, -INFINITY, 0};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        const float vectors[] = {1, 0, bad[i], 0, 0, -1};
        struct fake fake = fake_of(vectors, 3);
        float out[3 * DIMS] = {0};
        bool done[3] = {false};
        struct err err = {0};
        assert_false(embedder_embed(&fake.base, three, 3, out, done, &err));
        assert_int_equal(err.action, ERR_REJECT);
        assert_int_equal(err.code, EMBED_BAD_VECTOR);
        assert_true(done[0] && !done[1] && done[2]);
    }
}

static void a_failure_that_decides_more_hides_a_bad_vector_and_keeps_the_longest_delay(void **state)
{
    (void)state;
    static const float vectors[] = {0, 0, 1, 1, 1, 1};
    struct fake fake = fake_of(vectors, 3);
    float out[3 * DIMS] = {0};
    bool done[3] = {false};
    struct err err = {0};
    fake.fails = true;
    err_set(&fake.err, ERR_FATAL, ERR_EMBED, EMBED_QUOTA, "no money");
    assert_false(embedder_embed(&fake.base, three, 3, out, done, &err));
    assert_int_equal(err.code, EMBED_QUOTA);
    err_set(&fake.err, ERR_RETRY, ERR_EMBED, EMBED_RATE_LIMITED, "slow down");
    fake.err.retry_after_ms = 7000;
    assert_false(embedder_embed(&fake.base, three, 3, out, done, &err));
    assert_int_equal(err.code, EMBED_BAD_VECTOR);
    assert_int_equal(err.retry_after_ms, 7000);
    assert_true(!done[0] && done[1] && done[2]);
    assert_int_equal(embedder_trouble(&fake.base)->code, EMBED_RATE_LIMITED);
    assert_int_equal(embedder_trouble(&fake.base)->retry_after_ms, 7000);
}

static void what_is_no_fault_of_the_server_is_no_trouble(void **state)
{
    (void)state;
    static const float vectors[] = {1, 1, 1, 1, 1, 1};
    static const struct err harmless[] = {
        {.action = ERR_REJECT, .domain = ERR_EMBED, .code = EMBED_REFUSED},
        {.action = ERR_RETRY, .domain = ERR_EMBED, .code = EMBED_TOO_MANY},
        {.action = ERR_CANCEL, .domain = ERR_CURL},
    };
    struct fake fake = fake_of(vectors, 3);
    float out[3 * DIMS] = {0};
    struct err err = {0};
    fake.fails = true;
    for (size_t i = 0; i < ARRAY_LEN(harmless); i++) {
        err_set(&fake.err, ERR_RETRY, ERR_HTTP, 503, "busy");
        assert_false(embedder_embed(&fake.base, three, 3, out, NULL, &err));
        assert_int_equal(embedder_trouble(&fake.base)->code, 503);
        fake.err = harmless[i];
        assert_false(embedder_embed(&fake.base, three, 3, out, NULL, &err));
        assert_null(embedder_trouble(&fake.base));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_part_is_bounded_by_texts_and_by_bytes),
        cmocka_unit_test(a_text_larger_than_a_part_travels_alone),
        cmocka_unit_test(a_limit_that_was_learned_lowers_the_parts_and_can_be_lifted),
        cmocka_unit_test(what_came_is_done_although_the_call_fails),
        cmocka_unit_test(a_vector_that_is_no_good_leaves_the_others_done),
        cmocka_unit_test(
            a_failure_that_decides_more_hides_a_bad_vector_and_keeps_the_longest_delay),
        cmocka_unit_test(what_is_no_fault_of_the_server_is_no_trouble),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
