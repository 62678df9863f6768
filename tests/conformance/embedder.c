/* SPDX-License-Identifier: Apache-2.0 */
/* What every embedder must do, run over all of embedder_registry. Those behind HTTP talk to a
 * server inside this process; its texts beginning with "!" make it misbehave; all
 * the ways in which it can are in embedder_faults.c. */
#include "embed/embedder.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance/doubles/embedding_server.h"
#include "support/test.h"

#define DIMS 64

static const char *driver; /* of the run */
static struct embedding_server *server;

static struct embedder_options options_of(const char *name)
{
    return (struct embedder_options){
        .name = "test",
        .driver = name,
        .url = embedding_server_url(server, name),
        .model = "test",
        .api_key = "sk-secret",
        .dims = DIMS,
        .max_batch = 8,
        .timeout_ms = 20000,
        .max_in_flight = 4,
    };
}

static int open_one(void **state)
{
    const struct embedder_options options = options_of(driver);
    struct embedder *embedder = NULL;
    struct err err = {0};
    if (!embedder_open(&options, &embedder, &err))
        fail_msg("%s: %s", driver, err.text);
    *state = embedder;
    return 0;
}

static int close_one(void **state)
{
    embedder_close(*state);
    return 0;
}

static void embed_all(struct embedder *embedder, const struct embed_text *texts, size_t count,
                      float *vectors)
{
    struct err err = {0};
    if (!embedder_embed(embedder, texts, count, vectors, NULL, &err))
        fail_msg("%s: %s", driver, err.text);
}

static bool is_remote(const struct embedder *embedder)
{
    return embedder->http != NULL;
}

#define MANY 101

static void gives_each_of_many_texts_its_vector_in_order(void **state)
{
    char words[MANY][32];
    struct embed_text texts[MANY];
    float *vectors = calloc(MANY * DIMS, sizeof *vectors);
    for (size_t i = 0; i < MANY; i++) {
        snprintf(words[i], sizeof words[i], "text number %zu", i);
        texts[i] = (struct embed_text){words[i], strlen(words[i])};
    }
    embed_all(*state, texts, MANY, vectors);
    for (size_t i = 0; i < MANY; i++) {
        float alone[DIMS];
        embed_all(*state, &texts[i], 1, alone);
        for (size_t j = 0; j < DIMS; j++)
            assert_true(fabsf(alone[j] - vectors[i * DIMS + j]) < 1e-6f);
    }
    free(vectors);
}

static void tells_texts_apart(void **state)
{
    static const struct embed_text texts[] = {{"ducks on a pond", 15}, {"interest rates", 14}};
    float vectors[2 * DIMS];
    embed_all(*state, texts, 2, vectors);
    assert_memory_not_equal(vectors, vectors + DIMS, DIMS * sizeof *vectors);
}

static void takes_any_text(void **state)
{
    static const char *const texts[] = {"\"quoted\" \\ and \n line",
                                        "\x01\x1f control",
                                        "日本語 👩‍👩‍👧‍👦",
                                        "x",
                                        "   spaced   ",
                                        "{\"input\": [1]}",
                                        "…"};
    float vectors[DIMS];
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        const struct embed_text text = {texts[i], strlen(texts[i])};
        embed_all(*state, &text, 1, vectors);
    }
}

static void takes_large_texts_among_small_ones(void **state)
{
    size_t size = 400000;
    char *large = malloc(size);
    assert_non_null(large);
    for (size_t i = 0; i < size; i++)
        large[i] = (char)(i % 7 == 0 ? ' ' : 'a' + (int)(i % 23));
    const struct embed_text texts[] = {{"a", 1}, {large, size}, {large, size - 9}, {"b", 1}};
    float vectors[4 * DIMS];
    embed_all(*state, texts, 4, vectors);
    free(large);
}

static void no_texts_are_no_error(void **state)
{
    struct err err = {0};
    assert_true(embedder_embed(*state, NULL, 0, NULL, NULL, &err));
}

static void counts_texts_and_characters(void **state)
{
    struct embedder *embedder = *state;
    const struct embed_text texts[] = {{"äöü", 6}, {"abcd", 4}};
    float vectors[2 * DIMS];
    embed_all(embedder, texts, 2, vectors);
    assert_int_equal(embedder->stats.texts, 2);
    assert_int_equal(embedder->stats.characters, 7);
    assert_int_equal(embedder->stats.requests, 1);
}

static void has_a_digest_that_stays(void **state)
{
    char one[128];
    char two[128];
    struct err err = {0};
    assert_true(embedder_digest(*state, one, &err));
    assert_true(embedder_digest(*state, two, &err));
    assert_string_equal(one, two);
    if (strcmp(driver, "ollama") == 0)
        assert_string_equal(one, "0123abcd");
}

static void refuses_to_work_once_interrupted(void **state)
{
    const struct embed_text text = {"a", 1};
    float vector[DIMS];
    struct err err = {0};
    embedder_interrupt(*state);
    assert_false(embedder_embed(*state, &text, 1, vector, NULL, &err));
    assert_int_equal(err.action, ERR_CANCEL);
}

static void dims_out_of_range_are_refused(void **state)
{
    (void)state;
    static const size_t wrong[] = {0, 65537};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        struct embedder_options options = options_of(driver);
        struct embedder *embedder = NULL;
        struct err err = {0};
        options.dims = wrong[i];
        assert_false(embedder_open(&options, &embedder, &err));
        assert_int_equal(err.action, ERR_FATAL);
        assert_int_equal(err.domain, ERR_CONFIG);
    }
}

static void of_several_failures_the_worst_is_reported(void **state)
{
    if (!is_remote(*state))
        return;
    struct embed_text texts[32];
    float *vectors = calloc(32 * DIMS, sizeof *vectors);
    struct err err = {0};
    for (size_t i = 0; i < 32; i++)
        texts[i] = (struct embed_text){"fine", 4};
    texts[1] = (struct embed_text){"!busy", 5};
    texts[9] = (struct embed_text){"!refuse", 7};
    assert_false(embedder_embed(*state, texts, 32, vectors, NULL, &err));
    assert_int_equal(err.code, EMBED_REFUSED);
    assert_int_equal(embedder_trouble(*state)->code, 503);
    texts[17] = (struct embed_text){"!quota", 6};
    texts[25] = (struct embed_text){"!rate", 5};
    assert_false(embedder_embed(*state, texts, 32, vectors, NULL, &err));
    assert_int_equal(err.code, EMBED_QUOTA);
    free(vectors);
}

static void what_was_bought_is_kept_when_other_requests_fail(void **state)
{
    if (!is_remote(*state))
        return;
    struct embed_text texts[32];
    float *vectors = calloc(32 * DIMS, sizeof *vectors);
    bool done[32] = {false};
    struct err err = {0};
    for (size_t i = 0; i < 32; i++)
        texts[i] = (struct embed_text){"fine", 4};
    texts[9] = (struct embed_text){"!busy", 5}; /* of the second of four requests */
    assert_false(embedder_embed(*state, texts, 32, vectors, done, &err));
    assert_int_equal(err.code, 503);
    for (size_t i = 0; i < 32; i++) {
        assert_int_equal(done[i], i < 8 || i >= 16);
        if (done[i])
            assert_memory_equal(vectors + i * DIMS, vectors, DIMS * sizeof *vectors);
    }
    free(vectors);
}

/* Of 101 requests, as many as a round takes are out before the first answer is seen. */
static void a_rejected_text_stops_nothing_and_a_failing_server_stops_the_rest(void **state)
{
    if (!is_remote(*state))
        return;
    struct embedder *embedder = *state;
    struct embed_text texts[MANY];
    float *vectors = calloc(MANY * DIMS, sizeof *vectors);
    bool done[MANY] = {false};
    struct err err = {0};
    embedder_limit(embedder, 1, 0);
    for (size_t i = 0; i < MANY; i++)
        texts[i] = (struct embed_text){"fine", 4};
    texts[3] = (struct embed_text){"!refuse", 7};
    assert_false(embedder_embed(embedder, texts, MANY, vectors, done, &err));
    assert_int_equal(err.code, EMBED_REFUSED);
    for (size_t i = 0; i < MANY; i++)
        assert_int_equal(done[i], i != 3);
    texts[5] = (struct embed_text){"!rate", 5};
    uint64_t before = embedder->stats.requests;
    assert_false(embedder_embed(embedder, texts, MANY, vectors, done, &err));
    assert_int_equal(err.code, EMBED_REFUSED);
    assert_int_equal(err.retry_after_ms, 7000);
    assert_true(embedder->stats.requests - before < MANY);
    for (size_t i = 0; i < MANY; i++)
        assert_int_equal(done[i], i < embedder->stats.requests - before && i != 3 && i != 5);
    free(vectors);
}

static void other_dimensions_than_configured_are_fatal(void **state)
{
    if (!is_remote(*state))
        return;
    struct embedder_options options = options_of(driver);
    options.dims = DIMS + 1;
    CLEANUP(embedder_closep) struct embedder *embedder = NULL;
    const struct embed_text text = {"a", 1};
    float vector[DIMS + 1];
    struct err err = {0};
    assert_true(embedder_open(&options, &embedder, &err));
    assert_false(embedder_embed(embedder, &text, 1, vector, NULL, &err));
    assert_int_equal(err.action, ERR_FATAL);
    assert_int_equal(err.code, EMBED_WRONG_DIMS);
}

static int run_suite(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(gives_each_of_many_texts_its_vector_in_order, open_one,
                                        close_one),
        cmocka_unit_test_setup_teardown(tells_texts_apart, open_one, close_one),
        cmocka_unit_test_setup_teardown(takes_any_text, open_one, close_one),
        cmocka_unit_test_setup_teardown(takes_large_texts_among_small_ones, open_one, close_one),
        cmocka_unit_test_setup_teardown(no_texts_are_no_error, open_one, close_one),
        cmocka_unit_test_setup_teardown(counts_texts_and_characters, open_one, close_one),
        cmocka_unit_test_setup_teardown(has_a_digest_that_stays, open_one, close_one),
        cmocka_unit_test_setup_teardown(refuses_to_work_once_interrupted, open_one, close_one),
        cmocka_unit_test(dims_out_of_range_are_refused),
        cmocka_unit_test_setup_teardown(of_several_failures_the_worst_is_reported, open_one,
                                        close_one),
        cmocka_unit_test_setup_teardown(what_was_bought_is_kept_when_other_requests_fail, open_one,
                                        close_one),
        cmocka_unit_test_setup_teardown(
            a_rejected_text_stops_nothing_and_a_failing_server_stops_the_rest, open_one, close_one),
        cmocka_unit_test_setup_teardown(other_dimensions_than_configured_are_fatal, open_one,
                                        close_one),
    };
    return cmocka_run_group_tests_name(driver, tests, NULL, NULL);
}

static void an_unknown_driver_is_refused(void **state)
{
    (void)state;
    struct embedder_options options = options_of("telepathy");
    struct embedder *embedder = NULL;
    struct err err = {0};
    assert_false(embedder_open(&options, &embedder, &err));
    assert_int_equal(err.domain, ERR_CONFIG);
    assert_non_null(strstr(err.text, "telepathy"));
    embedder_close(NULL);
}

int main(void)
{
    const struct CMUnitTest registry[] = {cmocka_unit_test(an_unknown_driver_is_refused)};
    struct err err = {0};
    if (!http_global_init(&err))
        return 1;
    server = embedding_server_start(DIMS);
    int failed = cmocka_run_group_tests_name("registry", registry, NULL, NULL);
    for (size_t i = 0; embedder_registry[i]; i++) {
        driver = embedder_registry[i]->name;
        failed += run_suite();
    }
    embedding_server_stop(server);
    return failed;
}
