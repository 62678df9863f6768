/* SPDX-License-Identifier: Apache-2.0 */
/* What the embedders behind HTTP make of a server that misbehaves: for each way the outcome of the
 * call, of the text that met it, and of those that travelled with it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance/doubles/embedding_server.h"
#include "embed/embedder.h"
#include "support/test.h"

#define DIMS 16
#define SECRET "sk-secret"
#define OK (-1)

static struct embedding_server *server;

enum { OPENAI = 1, OLLAMA = 2, BOTH = 3 };

struct fault {
    const char *text;
    unsigned drivers;
    int action; /* enum err_action, or OK */
    enum err_domain domain;
    int64_t code;       /* 0: any */
    bool others;        /* those of the same request are done */
    uint32_t delay_ms;  /* at most this, and at least a second less; 0: none */
    const char *words;  /* in the error's text */
    int64_t timeout_ms; /* 0: long */
};

#define GOOD OK, ERR_EMBED, 0, true, 0, NULL, 0
#define BAD_REPLY(words) ERR_RETRY, ERR_EMBED, EMBED_BAD_REPLY, false, 0, words, 0
#define BAD_VECTOR ERR_REJECT, ERR_EMBED, EMBED_BAD_VECTOR, true, 0, "the vector of text 1", 0
#define BROKEN(words) ERR_RETRY, ERR_CURL, 0, false, 0, words, 0
#define STOPS(code, words) ERR_FATAL, ERR_EMBED, code, false, 0, words, 0

static const struct fault faults[] = {
    /* the server has had enough */
    {"!rate", BOTH, ERR_RETRY, ERR_EMBED, EMBED_RATE_LIMITED, false, 7000, "slow down", 0},
    {"!rate-date", BOTH, ERR_RETRY, ERR_EMBED, EMBED_RATE_LIMITED, false, 30000, "slow down", 0},
    {"!rate-ms", BOTH, ERR_RETRY, ERR_EMBED, EMBED_RATE_LIMITED, false, 1500, "slow down", 0},
    {"!rate-bare", BOTH, ERR_RETRY, ERR_EMBED, EMBED_RATE_LIMITED, false, 0, "overloaded", 0},
    {"!error-200", BOTH, ERR_RETRY, ERR_EMBED, EMBED_RATE_LIMITED, false, 0, "slow down", 0},
    {"!busy", BOTH, ERR_RETRY, ERR_HTTP, 503, false, 0, "server busy", 0},
    {"!page", BOTH, ERR_RETRY, ERR_HTTP, 500, false, 0, "HTTP 500: 500 Internal Server Error)", 0},
    /* somebody must change something */
    {"!quota", BOTH, ERR_FATAL, ERR_EMBED, EMBED_QUOTA, false, 7000, "no money", 0},
    {"!auth", BOTH, STOPS(EMBED_AUTH, "Incorrect API key provided: ***")},
    {"!forbidden", BOTH, STOPS(EMBED_AUTH, "403 Forbidden")},
    {"!missing", BOTH, STOPS(EMBED_MODEL_MISSING, "model not found")},
    {"!moved", BOTH, ERR_FATAL, ERR_HTTP, 301, false, 0, "not an embedding server", 0},
    {"!longer", BOTH, STOPS(EMBED_WRONG_DIMS, "gives 17 dimensions, the configuration says 16")},
    {"!base64-shorter", OPENAI, STOPS(EMBED_WRONG_DIMS, "gives 15 dimensions")},
    /* of three texts one is refused: which, the server does not say */
    {"!refuse", BOTH, ERR_REJECT, ERR_EMBED, EMBED_REFUSED, false, 0, "not this one", 0},
    {"!long", BOTH, ERR_REJECT, ERR_EMBED, EMBED_TOO_LONG, false, 0, "exceeds the context", 0},
    {"!crash", BOTH, ERR_REJECT, ERR_EMBED, EMBED_TOO_LONG, false, 0, "survives", 0},
    {"!large", BOTH, ERR_RETRY, ERR_EMBED, EMBED_TOO_MANY, false, 0, "Payload too large", 0},
    /* the vector says which */
    {"!null", BOTH, BAD_VECTOR},
    {"!no-numbers", BOTH, BAD_VECTOR},
    {"!nulls", BOTH, BAD_VECTOR},
    {"!nan", BOTH, BAD_VECTOR},
    {"!nan-base64", BOTH, BAD_VECTOR},
    {"!infinity", BOTH, BAD_VECTOR},
    {"!overflow", BOTH, BAD_VECTOR},
    {"!zero", BOTH, BAD_VECTOR},
    /* no list of vectors for these texts */
    {"!garbage", BOTH, BAD_REPLY("is not a JSON object")},
    {"!empty", BOTH, BAD_REPLY("is not a JSON object")},
    {"!cut-json", BOTH, BAD_REPLY("is not a JSON object")},
    {"!nothing", BOTH, BAD_REPLY("0 vectors for 3 texts")},
    {"!fewer", BOTH, BAD_REPLY("2 vectors for 3 texts")},
    {"!more", BOTH, BAD_REPLY("4 vectors for 3 texts")},
    {"!twice", OPENAI, BAD_REPLY("numbers two vectors alike")},
    {"!beyond", OPENAI, BAD_REPLY("beyond the texts")},
    {"!words", BOTH, BAD_REPLY("something else than numbers")},
    {"!base64-cut", BOTH, BAD_REPLY("not base64 of floats")},
    {"!base64-bad", BOTH, BAD_REPLY("not base64 of floats")},
    {"!huge", BOTH, BAD_REPLY("the reply is larger than")},
    /* the connection */
    {"!slow", BOTH, ERR_RETRY, ERR_CURL, 28, false, 0, "timed out", 500},
    {"!slow-half", BOTH, ERR_RETRY, ERR_CURL, 28, false, 0, "timed out", 500},
    {"!reset", BOTH, BROKEN("")},
    {"!half", BOTH, BROKEN("")},
    {"!chunked-half", BOTH, BROKEN("")},
    {"!gzip-broken", BOTH, BROKEN("")},
    {"!no-http", BOTH, BROKEN("")},
    {"!chunked", BOTH, GOOD},
    {"!gzip", BOTH, GOOD},
    {"!close", BOTH, GOOD},
    {"!hang-up", BOTH, GOOD},
};

static struct embedder *opened(const char *driver, const char *url, int64_t timeout_ms)
{
    const struct embedder_options options = {
        .name = "test",
        .driver = driver,
        .url = url,
        .model = "test",
        .api_key = SECRET,
        .dims = DIMS,
        .max_batch = 3,
        .timeout_ms = timeout_ms ? timeout_ms : 60000,
        .max_in_flight = 2,
    };
    struct embedder *embedder = NULL;
    struct err err = {0};
    if (!embedder_open(&options, &embedder, &err))
        fail_msg("%s: %s", driver, err.text);
    return embedder;
}

static struct embed_text text_of(const char *text)
{
    return (struct embed_text){text, strlen(text)};
}

static void check_error(const char *driver, const struct fault *fault, const struct err *err)
{
    if ((int)err->action != fault->action || err->domain != fault->domain ||
        (fault->code && err->code != fault->code))
        fail_msg("%s, %s: %s %s %d: %s", driver, fault->text, err_action_name(err->action),
                 err_domain_name(err->domain), (int)err->code, err->text);
    if (!strstr(err->text, fault->words) || strstr(err->text, SECRET) || strstr(err->text, "<html"))
        fail_msg("%s, %s: %s", driver, fault->text, err->text);
    if (err->retry_after_ms > fault->delay_ms || err->retry_after_ms + 1000 <= fault->delay_ms)
        fail_msg("%s, %s: retry after %u ms", driver, fault->text, err->retry_after_ms);
}

/* Two requests, of which the first meets the fault; then all is well again. */
static void check_fault(const char *driver, const struct fault *fault)
{
    CLEANUP(embedder_closep)
    struct embedder *embedder =
        opened(driver, embedding_server_url(server, driver), fault->timeout_ms);
    struct embed_text texts[] = {text_of("one"),  text_of(fault->text), text_of("three"),
                                 text_of("four"), text_of("five"),      text_of("six")};
    float vectors[6 * DIMS] = {0}, good[6 * DIMS] = {0};
    bool done[6] = {false};
    struct err err = {0};
    bool ok = embedder_embed(embedder, texts, 6, vectors, done, &err);
    if (ok != (fault->action == OK))
        fail_msg("%s, %s: %s", driver, fault->text, ok ? "no error" : err.text);
    if (!ok)
        check_error(driver, fault, &err);
    for (size_t i = 0; i < 6; i++) {
        bool expected = i == 1 ? fault->action == OK : i > 2 || fault->others;
        if (done[i] != expected)
            fail_msg("%s, %s: text %zu is %sdone", driver, fault->text, i, done[i] ? "" : "not ");
    }
    texts[1] = text_of("two");
    if (!embedder_embed(embedder, texts, 6, good, NULL, &err))
        fail_msg("%s, after %s: %s", driver, fault->text, err.text);
    for (size_t i = 0; i < 6; i++) {
        if (i != 1 && done[i] && memcmp(vectors + i * DIMS, good + i * DIMS, sizeof(float[DIMS])))
            fail_msg("%s, %s: text %zu was given another vector", driver, fault->text, i);
    }
}

static void check_driver(const char *driver, unsigned flag)
{
    for (size_t i = 0; i < ARRAY_LEN(faults); i++) {
        if (faults[i].drivers & flag)
            check_fault(driver, &faults[i]);
    }
}

static void openai_survives_every_fault(void **state)
{
    (void)state;
    check_driver("openai", OPENAI);
}

static void ollama_survives_every_fault(void **state)
{
    (void)state;
    check_driver("ollama", OLLAMA);
}

static void a_text_alone_is_told_what_is_wrong_with_it(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t code;
    } cases[] = {{"!long", EMBED_TOO_LONG},
                 {"!large", EMBED_TOO_LONG},
                 {"!crash", EMBED_TOO_LONG},
                 {"!refuse", EMBED_REFUSED}};
    static const char *const drivers[] = {"openai", "ollama"};
    for (size_t d = 0; d < ARRAY_LEN(drivers); d++) {
        CLEANUP(embedder_closep)
        struct embedder *embedder = opened(drivers[d], embedding_server_url(server, drivers[d]), 0);
        embedder_limit(embedder, 1, 0);
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
            const struct embed_text texts[] = {text_of("a"), text_of(cases[i].text), text_of("b")};
            float vectors[3 * DIMS];
            bool done[3] = {false};
            struct err err = {0};
            assert_false(embedder_embed(embedder, texts, 3, vectors, done, &err));
            assert_int_equal(err.action, ERR_REJECT);
            assert_int_equal(err.code, cases[i].code);
            assert_true(done[0] && !done[1] && done[2]);
        }
    }
}

static void a_text_that_was_served_while_the_model_died_is_not_blamed(void **state)
{
    (void)state;
    static const char *const drivers[] = {"openai", "ollama"};
    for (size_t d = 0; d < ARRAY_LEN(drivers); d++) {
        CLEANUP(embedder_closep)
        struct embedder *embedder = opened(drivers[d], embedding_server_url(server, drivers[d]), 0);
        embedder_limit(embedder, 1, 0);
        const struct embed_text texts[] = {text_of("a"), text_of("!crash-once"), text_of("b")};
        float vectors[3 * DIMS] = {0};
        bool done[3] = {false};
        struct err err = {0};
        if (!embedder_embed(embedder, texts, 3, vectors, done, &err))
            fail_msg("%s: %s", drivers[d], err.text);
        assert_true(done[0] && done[1] && done[2]);
        assert_int_equal(embedder->stats.requests, 4);
    }
}

static void a_server_that_is_not_there_is_tried_again(void **state)
{
    (void)state;
    static const char *const drivers[] = {"openai", "ollama"};
    struct embedding_server *gone = embedding_server_start(DIMS);
    char urls[2][128];
    for (size_t d = 0; d < 2; d++)
        snprintf(urls[d], sizeof urls[d], "%s", embedding_server_url(gone, drivers[d]));
    embedding_server_stop(gone);
    for (size_t d = 0; d < 2; d++) {
        CLEANUP(embedder_closep) struct embedder *embedder = opened(drivers[d], urls[d], 0);
        const struct embed_text text = text_of("a");
        float vector[DIMS];
        bool done = true;
        struct err err = {0};
        assert_false(embedder_embed(embedder, &text, 1, vector, &done, &err));
        assert_int_equal(err.action, ERR_RETRY);
        assert_int_equal(err.domain, ERR_CURL);
        assert_false(done);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(openai_survives_every_fault),
        cmocka_unit_test(ollama_survives_every_fault),
        cmocka_unit_test(a_text_alone_is_told_what_is_wrong_with_it),
        cmocka_unit_test(a_text_that_was_served_while_the_model_died_is_not_blamed),
        cmocka_unit_test(a_server_that_is_not_there_is_tried_again),
    };
    struct err err = {0};
    if (!http_global_init(&err))
        return 1;
    server = embedding_server_start(DIMS);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    embedding_server_stop(server);
    return failed;
}
