/* SPDX-License-Identifier: Apache-2.0 */
/* The ollama driver, and the openai driver at its other interface, against a real Ollama with a real
 * model (all-minilm: 384 dimensions, a context of 512 tokens): one that scripts/servers starts, or
 * VECTAIL_OLLAMA_URL. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/limits.h"
#include "embed/chunk.h"
#include "embed/embedder.h"
#include "support/test.h"

#define DIMS 384
#define SKIPPED 77

#define SERVERS "'" VECTAIL_SOURCE_DIR "/scripts/servers' "
#define SERVERS_WHERE " --dir '" VECTAIL_SERVERS_DIR "'"

static char ollama_url[256];
static char openai_url[300];
static const char *driver; /* of the run */

static struct embedder_options options_of(const char *name)
{
    return (struct embedder_options){
        .name = "test",
        .driver = name,
        .url = strcmp(name, "openai") == 0 ? openai_url : ollama_url,
        .model = "all-minilm",
        .dims = DIMS,
        .max_batch = 8,
        .timeout_ms = 120000, /* the model may have to be loaded, on a busy machine */
        .max_in_flight = 3,
    };
}

static struct embedder *opened(const struct embedder_options *options)
{
    struct embedder *embedder = NULL;
    struct err err = {0};
    if (!embedder_open(options, &embedder, &err))
        fail_msg("%s", err.text);
    return embedder;
}

static int open_one(void **state)
{
    const struct embedder_options options = options_of(driver);
    *state = opened(&options);
    return 0;
}

static int close_one(void **state)
{
    embedder_close(*state);
    return 0;
}

static struct embed_text text_of(const char *text)
{
    return (struct embed_text){text, strlen(text)};
}

static void embed_all(struct embedder *embedder, const struct embed_text *texts, size_t count,
                      float *vectors)
{
    struct err err = {0};
    if (!embedder_embed(embedder, texts, count, vectors, NULL, &err))
        fail_msg("%s: %s", driver, err.text);
}

static double cosine(const float *a, const float *b)
{
    double dot = 0, x = 0, y = 0;
    for (size_t i = 0; i < DIMS; i++) {
        dot += (double)a[i] * (double)b[i];
        x += (double)a[i] * (double)a[i];
        y += (double)b[i] * (double)b[i];
    }
    return dot / sqrt(x * y);
}

static void repeat(struct buf *out, const char *piece, size_t times)
{
    for (size_t i = 0; i < times; i++)
        buf_puts(out, piece);
}

/* --- tests --- */

#define MANY 30

static void gives_each_of_many_texts_its_vector_in_order(void **state)
{
    static float vectors[MANY * DIMS];
    static const char *const things[] = {"duck", "bank", "engine", "violin", "glacier"};
    char words[MANY][64];
    struct embed_text texts[MANY];
    for (size_t i = 0; i < MANY; i++) {
        snprintf(words[i], sizeof words[i], "text %zu is about a %s", i, things[i % 5]);
        texts[i] = text_of(words[i]);
    }
    embed_all(*state, texts, MANY, vectors);
    for (size_t i = 0; i < MANY; i++) {
        float alone[DIMS];
        embed_all(*state, &texts[i], 1, alone);
        assert_true(cosine(alone, vectors + i * DIMS) > 0.9999);
        if (i > 0)
            assert_true(cosine(alone, vectors + (i - 1) * DIMS) < 0.99);
    }
}

static void what_is_alike_is_near_and_a_prefix_counts(void **state)
{
    const struct embed_text texts[] = {text_of("A duck swims on the pond."),
                                       text_of("Waterfowl in a lake"),
                                       text_of("The central bank raised interest rates."),
                                       text_of("search_document: A duck swims on the pond.")};
    float v[4 * DIMS];
    embed_all(*state, texts, 4, v);
    assert_true(cosine(v, v + DIMS) > cosine(v, v + 2 * DIMS) + 0.2);
    assert_true(cosine(v, v + 3 * DIMS) < 0.999);
}

static void both_interfaces_give_the_same_vectors(void **state)
{
    const char *other = strcmp(driver, "openai") == 0 ? "ollama" : "openai";
    const struct embedder_options options = options_of(other);
    CLEANUP(embedder_closep) struct embedder *second = opened(&options);
    const struct embed_text text = text_of("A duck swims on the pond.");
    float a[DIMS], b[DIMS];
    embed_all(*state, &text, 1, a);
    embed_all(second, &text, 1, b);
    assert_true(cosine(a, b) > 0.99999);
}

static void a_model_that_is_missing_is_said_to_be(void **state)
{
    (void)state;
    struct embedder_options options = options_of(driver);
    options.model = "no-such-model";
    CLEANUP(embedder_closep) struct embedder *embedder = opened(&options);
    const struct embed_text text = text_of("a");
    float vector[DIMS];
    char digest[128];
    struct err err = {0};
    assert_false(embedder_embed(embedder, &text, 1, vector, NULL, &err));
    assert_int_equal(err.action, ERR_FATAL);
    assert_int_equal(err.code, EMBED_MODEL_MISSING);
    if (strcmp(driver, "ollama") == 0) {
        assert_false(embedder_digest(embedder, digest, &err));
        assert_int_equal(err.code, EMBED_MODEL_MISSING);
    }
}

static void the_digest_is_that_of_the_model_with_and_without_a_tag(void **state)
{
    char one[128], two[128];
    struct err err = {0};
    struct embedder_options options = options_of(driver);
    options.model = "all-minilm:latest";
    CLEANUP(embedder_closep) struct embedder *tagged = opened(&options);
    assert_true(embedder_digest(*state, one, &err));
    assert_true(embedder_digest(tagged, two, &err));
    assert_string_equal(one, two);
    assert_int_equal(strlen(one), strcmp(driver, "ollama") == 0 ? 64 : 0);
}

static void other_dimensions_are_fatal_and_both_are_named(void **state)
{
    (void)state;
    for (int asked = 0; asked < 2; asked++) {
        struct embedder_options options = options_of(driver);
        options.dims = 128;
        options.send_dimensions = asked;
        CLEANUP(embedder_closep) struct embedder *embedder = opened(&options);
        const struct embed_text text = text_of("a");
        float vector[128];
        struct err err = {0};
        /* a release that does as it is asked would be right as well */
        if (embedder_embed(embedder, &text, 1, vector, NULL, &err) && asked)
            return;
        assert_int_equal(err.action, ERR_FATAL);
        assert_int_equal(err.code, EMBED_WRONG_DIMS);
        assert_non_null(strstr(err.text, "gives 384 dimensions, the configuration says 128"));
        assert_int_equal(strstr(err.text, "ignores \"dimensions\"") != NULL, asked);
    }
}

/* The last word of a text that just fits changes its vector: nothing was cut. */
static void a_text_that_fits_is_not_cut(void **state)
{
    CLEANUP(buf_fini) struct buf one = BUF_INIT(MIB), two = BUF_INIT(MIB);
    repeat(&one, "duck ", 505);
    repeat(&two, "duck ", 505);
    buf_puts(&one, "bank");
    buf_puts(&two, "piano");
    const struct embed_text texts[] = {{one.data, one.size}, {two.data, two.size}};
    float v[2 * DIMS];
    embed_all(*state, texts, 2, v);
    assert_true(cosine(v, v + DIMS) < 0.99999);
}

static const struct {
    const char *piece;
    size_t times;
} long_texts[] = {
    {"duck ", 511}, /* with the two tokens that the model adds, one too many */
    {"duck ", 600},
    {"aGVsbG8", 1000}, /* one word, as of base64 */
    {"if (x[i]->y != NULL && *p++ == '\\\\') { return -1; }\n", 30},
    {"漢字", 400},
    {"a👩‍👩‍👧‍👦.", 300},
};

/* In one request with another text, or each in a request of its own, at the same time. The other may
 * have met the model's death: then it is not done, but it is not blamed either. */
static void embed_long(struct embedder *embedder, size_t which, bool together)
{
    CLEANUP(buf_fini) struct buf text = BUF_INIT(MIB);
    repeat(&text, long_texts[which].piece, long_texts[which].times);
    const struct embed_text texts[] = {text_of("a duck"), {text.data, text.size}};
    float vectors[2 * DIMS];
    bool done[2] = {false};
    struct err err = {0};
    embedder_limit(embedder, together ? 0 : 1, 0);
    assert_false(embedder_embed(embedder, texts, 2, vectors, done, &err));
    if (done[1] || err.action != ERR_REJECT || err.code != EMBED_TOO_LONG)
        fail_msg("%s, %zu of '%s': %s %d: %s", driver, long_texts[which].times,
                 long_texts[which].piece, err_action_name(err.action), (int)err.code, err.text);
    if (!done[0])
        embed_all(embedder, texts, 1, vectors);
}

static void a_text_that_is_too_long_is_rejected_and_never_cut(void **state)
{
    embed_long(*state, 0, true);
    for (size_t i = 0; i < ARRAY_LEN(long_texts); i++)
        embed_long(*state, i, false);
}

/* Embeds a text in as many halves of halves as that takes; returns how many. */
static size_t embed_in_halves(struct embedder *embedder, const char *text, size_t size)
{
    const struct embed_text one = {text, size};
    float vector[DIMS];
    struct err err = {0};
    if (embedder_embed(embedder, &one, 1, vector, NULL, &err))
        return 1;
    assert_int_equal(err.code, EMBED_TOO_LONG);
    size_t at = chunk_halve(text, size);
    assert_true(at > 0);
    return embed_in_halves(embedder, text, at) + embed_in_halves(embedder, text + at, size - at);
}

static void halves_of_what_is_too_long_fit_in_the_end(void **state)
{
    bool dies =
        strcmp(driver, "openai") == 0; /* each refusal costs that the model is loaded again */
    for (size_t i = dies ? 4 : 2; i < ARRAY_LEN(long_texts) - dies; i++) {
        CLEANUP(buf_fini) struct buf text = BUF_INIT(MIB);
        repeat(&text, long_texts[i].piece, long_texts[i].times);
        size_t parts = embed_in_halves(*state, text.data, text.size);
        assert_true(parts >= 2 && parts <= 32);
    }
}

/* --- the server --- */

static bool find_server(bool *started)
{
    const char *given = getenv("VECTAIL_OLLAMA_URL");
    char line[512] = "";
    if (given && *given) {
        snprintf(ollama_url, sizeof ollama_url, "%s", given);
        return true;
    }
    FILE *servers = popen(SERVERS "up ollama" SERVERS_WHERE, "r"); /* NOLINT(cert-env33-c) */
    while (servers && fgets(line, sizeof line, servers)) {
        const char *url = strstr(line, "http://");
        if (url)
            snprintf(ollama_url, sizeof ollama_url, "%.*s", (int)strcspn(url, " \t\r\n"), url);
    }
    *started = servers && pclose(servers) == 0;
    return *started && ollama_url[0];
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, open_one, close_one)

static int run_suite(void)
{
    const struct CMUnitTest tests[] = {
        TEST(gives_each_of_many_texts_its_vector_in_order),
        TEST(what_is_alike_is_near_and_a_prefix_counts),
        TEST(both_interfaces_give_the_same_vectors),
        TEST(a_model_that_is_missing_is_said_to_be),
        TEST(the_digest_is_that_of_the_model_with_and_without_a_tag),
        TEST(other_dimensions_are_fatal_and_both_are_named),
        TEST(a_text_that_fits_is_not_cut),
        TEST(a_text_that_is_too_long_is_rejected_and_never_cut),
        TEST(halves_of_what_is_too_long_fit_in_the_end),
    };
    return cmocka_run_group_tests_name(driver, tests, NULL, NULL);
}

static bool is_given(const char *name)
{
    const char *value = getenv(name);
    return value && *value;
}

int main(void)
{
    bool started = false;
    struct err err = {0};
    if (!http_global_init(&err))
        return 1;
    if (!is_given("VECTAIL_OLLAMA_URL") && !is_given("VECTAIL_OLLAMA") &&
        system("command -v go >/dev/null") != 0) { /* NOLINT(cert-env33-c) */
        fprintf(stderr, "no Go to compile Ollama with, and neither VECTAIL_OLLAMA nor "
                        "VECTAIL_OLLAMA_URL\n");
        return SKIPPED;
    }
    if (!find_server(&started)) {
        fprintf(stderr, "no Ollama to test against: scripts/servers could not start one\n");
        return 1;
    }
    snprintf(openai_url, sizeof openai_url, "%s/v1", ollama_url);
    driver = "ollama";
    int failed = run_suite();
    driver = "openai";
    failed += run_suite();
    if (started && system(SERVERS "down --wipe" SERVERS_WHERE " >&2") != 0) /* NOLINT */
        fprintf(stderr, "the Ollama of this test could not be stopped\n");
    return failed;
}
