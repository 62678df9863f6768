/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "embed/embedder.h"
#include "support/test.h"
#include "unit/embed/random_text.h"

#define DIMS 256

static struct embedder *open_hash(const char *model, size_t dims)
{
    const struct embedder_options options = {
        .name = "test", .driver = "hash", .model = model, .dims = dims};
    struct embedder *embedder = NULL;
    struct err err = {0};
    if (!embedder_open(&options, &embedder, &err))
        fail_msg("%s", err.text);
    return embedder;
}

static void embed(struct embedder *embedder, const char *text, float *vector)
{
    const struct embed_text one = {text, strlen(text)};
    struct err err = {0};
    if (!embedder_embed(embedder, &one, 1, vector, NULL, &err))
        fail_msg("%s", err.text);
}

static double cosine(struct embedder *embedder, const char *a, const char *b)
{
    float x[DIMS];
    float y[DIMS];
    embed(embedder, a, x);
    embed(embedder, b, y);
    double product = 0;
    for (size_t i = 0; i < DIMS; i++)
        product += (double)x[i] * (double)y[i];
    return product;
}

static void texts_with_common_words_are_near(void **state)
{
    (void)state;
    CLEANUP(embedder_closep) struct embedder *hash = open_hash(NULL, DIMS);
    const char *ducks = "Ducks swim on the pond behind the old mill.";
    double same = cosine(hash, ducks, "ducks SWIM on the pond behind the old mill");
    double like = cosine(hash, ducks, "On the pond behind the mill, ducklings learn to swim.");
    double other = cosine(hash, ducks, "Interest rates rose again last quarter, analysts said.");
    assert_true(same > 0.999);
    assert_true(like > 0.4 && like < 0.95);
    assert_true(other < 0.25);
}

static void word_order_makes_a_difference(void **state)
{
    (void)state;
    CLEANUP(embedder_closep) struct embedder *hash = open_hash(NULL, DIMS);
    double turned = cosine(hash, "man bites dog", "dog bites man");
    assert_true(turned > 0.5 && turned < 0.99);
}

static void vectors_have_length_one_whatever_the_text(void **state)
{
    (void)state;
    static const size_t dims[] = {1, 2, 3, 256};
    for (size_t d = 0; d < ARRAY_LEN(dims); d++) {
        CLEANUP(embedder_closep) struct embedder *hash = open_hash(NULL, dims[d]);
        for (uint64_t seed = 0; seed < 500; seed++) {
            struct random_text random = {seed};
            CLEANUP(buf_fini) struct buf text = BUF_INIT(100000);
            random_fill(&random, random_below(&random, 60), &text);
            float vector[DIMS];
            embed(hash, buf_str(&text), vector);
            double norm = 0;
            for (size_t i = 0; i < dims[d]; i++)
                norm += (double)vector[i] * (double)vector[i];
            assert_true(fabs(norm - 1) < 1e-5);
        }
    }
}

static void texts_without_a_word_still_differ(void **state)
{
    (void)state;
    CLEANUP(embedder_closep) struct embedder *hash = open_hash(NULL, DIMS);
    assert_true(cosine(hash, "!!!", "!!!") > 0.99);
    assert_true(fabs(cosine(hash, "!!!", "???")) < 0.5);
    assert_true(cosine(hash, "", "") > 0.99);
}

/* The documented features of "ab", computed by hand: w"ab", c" ab", c"ab ". */
static uint64_t documented_hash(const char *feature)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (; *feature; feature++)
        hash = (hash ^ (unsigned char)*feature) * 0x100000001b3u;
    hash = (hash ^ (hash >> 30)) * 0xbf58476d1ce4e5b9u;
    hash = (hash ^ (hash >> 27)) * 0x94d049bb133111ebu;
    return hash ^ (hash >> 31);
}

static void is_what_its_description_says(void **state)
{
    (void)state;
    CLEANUP(embedder_closep) struct embedder *hash = open_hash(NULL, DIMS);
    static const struct {
        const char *feature;
        double weight;
    } features[] = {{"wab", 1}, {"c ab", 0.25}, {"cab ", 0.25}};
    double expected[DIMS] = {0};
    double norm = 0;
    for (size_t i = 0; i < ARRAY_LEN(features); i++) {
        uint64_t h = documented_hash(features[i].feature);
        expected[(h >> 1) % DIMS] += h & 1 ? -features[i].weight : features[i].weight;
    }
    for (size_t i = 0; i < DIMS; i++)
        norm += expected[i] * expected[i];
    float vector[DIMS];
    embed(hash, "AB", vector);
    for (size_t i = 0; i < DIMS; i++)
        assert_true(fabs((double)vector[i] - expected[i] / sqrt(norm)) < 1e-7);
}

static void repeats_count_less_than_once_each(void **state)
{
    (void)state;
    CLEANUP(embedder_closep) struct embedder *hash = open_hash(NULL, DIMS);
    double four = cosine(hash, "duck duck duck duck pond", "duck");
    double sixteen = cosine(hash,
                            "duck duck duck duck duck duck duck duck duck duck duck duck duck "
                            "duck duck duck pond",
                            "duck");
    assert_true(four > 0.6 && sixteen > four && sixteen < 0.999);
}

static void models_by_another_name_give_other_vectors(void **state)
{
    (void)state;
    CLEANUP(embedder_closep) struct embedder *one = open_hash("one", DIMS);
    CLEANUP(embedder_closep) struct embedder *two = open_hash("two", DIMS);
    float x[DIMS];
    float y[DIMS];
    embed(one, "the same words", x);
    embed(two, "the same words", y);
    assert_memory_not_equal(x, y, sizeof x);
}

static void counts_what_it_was_given(void **state)
{
    (void)state;
    CLEANUP(embedder_closep) struct embedder *hash = open_hash(NULL, DIMS);
    float vectors[2 * DIMS];
    const struct embed_text texts[] = {{"äö", 4}, {"abc", 3}};
    assert_true(embedder_embed(hash, texts, 2, vectors, NULL, NULL));
    assert_true(embedder_embed(hash, texts, 0, NULL, NULL, NULL));
    assert_int_equal(hash->stats.texts, 2);
    assert_int_equal(hash->stats.characters, 5);
    assert_int_equal(hash->stats.requests, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_with_common_words_are_near),
        cmocka_unit_test(word_order_makes_a_difference),
        cmocka_unit_test(vectors_have_length_one_whatever_the_text),
        cmocka_unit_test(texts_without_a_word_still_differ),
        cmocka_unit_test(is_what_its_description_says),
        cmocka_unit_test(repeats_count_less_than_once_each),
        cmocka_unit_test(models_by_another_name_give_other_vectors),
        cmocka_unit_test(counts_what_it_was_given),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
