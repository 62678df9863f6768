/* SPDX-License-Identifier: Apache-2.0 */
#include "embed/reply.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "embed/embedder.h"
#include "support/test.h"

static struct embed_reply reply_of(int status, const char *body, size_t count, size_t dims)
{
    return (struct embed_reply){
        .status = status, .body = body, .size = strlen(body), .count = count, .dims = dims};
}

static bool is_near(float a, double b)
{
    return fabs((double)a - b) < 1e-6;
}

static void openai_gives_base64_or_numbers_in_any_order(void **state)
{
    (void)state;
    float v[4] = {0};
    struct err err = {0};
    /* AACAPwAAAEA= is 1.0, 2.0 */
    struct embed_reply reply = reply_of(200,
                                        "{\"data\":[{\"index\":1,\"embedding\":[3,4.5]},{\"index\":"
                                        "0,\"embedding\":\"AACAPwAAAEA=\"}]}",
                                        2, 2);
    assert_true(embed_reply_openai(&reply, v, &err));
    assert_true(is_near(v[0], 1) && is_near(v[1], 2) && is_near(v[2], 3) && is_near(v[3], 4.5));
}

static void openai_without_numbers_keeps_the_order(void **state)
{
    (void)state;
    float v[2] = {0};
    struct err err = {0};
    struct embed_reply reply =
        reply_of(200, "{\"data\":[{\"embedding\":[1]},{\"embedding\":[2]}]}", 2, 1);
    assert_true(embed_reply_openai(&reply, v, &err));
    assert_true(is_near(v[0], 1) && is_near(v[1], 2));
}

static void a_reply_that_makes_no_sense_is_tried_again(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "",
        "null",
        "[]",
        "{}",
        "{\"data\":{}}",
        "{\"data\":[]}",
        "{\"data\":[{\"index\":0,\"embedding\":[1]}]}",
        "{\"data\":[{\"index\":0,\"embedding\":[1]},{\"index\":0,\"embedding\":[1]}]}",
        "{\"data\":[{\"index\":0,\"embedding\":[1]},{\"index\":2,\"embedding\":[1]}]}",
        "{\"data\":[{\"index\":0,\"embedding\":[1]},{\"index\":-1,\"embedding\":[1]}]}",
        "{\"data\":[{\"index\":0,\"embedding\":[1]},{\"index\":\"1\",\"embedding\":[1]}]}",
        "{\"data\":[{\"index\":0,\"embedding\":[1]},{\"index\":1}]}",
        "{\"data\":[{\"index\":0,\"embedding\":[1]},{\"index\":1,\"embedding\":[\"x\"]}]}",
        "{\"data\":[{\"index\":0,\"embedding\":[1]},{\"index\":1,\"embedding\":\"%%\"}]}",
        "{\"data\":[{\"index\":0,\"embedding\":[1]},{\"index\":1,\"embedding\":\"AAAA\"}]}",
        "{\"data\":[1,2]}",
    };
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        float v[2];
        struct err err = {0};
        struct embed_reply reply = reply_of(200, bodies[i], 2, 1);
        assert_false(embed_reply_openai(&reply, v, &err));
        assert_int_equal(err.action, ERR_RETRY);
        assert_int_equal(err.code, EMBED_BAD_REPLY);
    }
}

static void other_dimensions_are_named_both(void **state)
{
    (void)state;
    float v[4];
    struct err err = {0};
    struct embed_reply reply =
        reply_of(200, "{\"data\":[{\"index\":0,\"embedding\":[1,2,3,4,5]}]}", 1, 4);
    assert_false(embed_reply_openai(&reply, v, &err));
    assert_int_equal(err.action, ERR_FATAL);
    assert_int_equal(err.code, EMBED_WRONG_DIMS);
    assert_non_null(strstr(err.text, "5 dimensions"));
    assert_non_null(strstr(err.text, "says 4"));
    reply = reply_of(200, "{\"data\":[{\"index\":0,\"embedding\":\"AACAPwAAAEA=\"}]}", 1, 4);
    assert_false(embed_reply_openai(&reply, v, &err));
    assert_int_equal(err.code, EMBED_WRONG_DIMS);
    reply = reply_of(200, "{\"embeddings\":[[1]]}", 1, 4);
    assert_false(embed_reply_ollama(&reply, v, &err));
    assert_int_equal(err.code, EMBED_WRONG_DIMS);
}

static void ollama_gives_lists_in_order(void **state)
{
    (void)state;
    float v[4] = {0};
    struct err err = {0};
    struct embed_reply reply =
        reply_of(200, "{\"model\":\"m\",\"embeddings\":[[1,9007199254740993],[3,4]]}", 2, 2);
    assert_true(embed_reply_ollama(&reply, v, &err));
    assert_true(is_near(v[0], 1) && v[1] > 9e15f && is_near(v[2], 3) && is_near(v[3], 4));
    reply = reply_of(200, "{\"embeddings\":[[1,2]]}", 2, 2);
    assert_false(embed_reply_ollama(&reply, v, &err));
    assert_non_null(strstr(err.text, "1 vectors for 2 texts"));
}

struct refusal {
    int status;
    const char *body;
    size_t count;
    enum err_action action;
    int64_t code; /* of ERR_EMBED; 0: of ERR_HTTP, the status */
};

/* The words are the servers' own. */
static const struct refusal refusals[] = {
    {401, "{\"error\":{\"message\":\"Incorrect API key provided\",\"code\":\"invalid_api_key\"}}",
     1, ERR_FATAL, EMBED_AUTH},
    {403, "", 1, ERR_FATAL, EMBED_AUTH},
    {402, "{}", 1, ERR_FATAL, EMBED_QUOTA},
    {404, "{\"error\":\"model \\\"x\\\" not found, try pulling it first\"}", 1, ERR_FATAL,
     EMBED_MODEL_MISSING},
    {429,
     "{\"error\":{\"message\":\"Rate limit reached\",\"type\":\"requests\",\"code\":"
     "\"rate_limit_exceeded\"}}",
     1, ERR_RETRY, EMBED_RATE_LIMITED},
    {429,
     "{\"error\":{\"message\":\"You exceeded your current quota\",\"type\":"
     "\"insufficient_quota\",\"code\":\"insufficient_quota\"}}",
     1, ERR_FATAL, EMBED_QUOTA},
    {429, "{\"error\":{\"message\":\"x\",\"type\":\"t\",\"code\":\"org_spend_limit_exceeded\"}}", 1,
     ERR_FATAL, EMBED_QUOTA},
    {429, "overloaded", 4, ERR_RETRY, EMBED_RATE_LIMITED},
    {400,
     "{\"error\":{\"message\":\"This model's maximum context length is 8192 tokens, however "
     "you requested 9000 tokens\",\"type\":\"invalid_request_error\",\"code\":null}}",
     1, ERR_REJECT, EMBED_TOO_LONG},
    {400, "{\"error\":{\"message\":\"This model's maximum context length is 8192 tokens\"}}", 2,
     ERR_RETRY, EMBED_TOO_MANY},
    {400, "{\"error\":\"the input length exceeds the context length\"}", 1, ERR_REJECT,
     EMBED_TOO_LONG},
    {500,
     "{\"error\":{\"code\":500,\"message\":\"input (548 tokens) is too large to process. "
     "increase the physical batch size (current batch size: 512)\"}}",
     1, ERR_REJECT, EMBED_TOO_LONG},
    {413, "Payload too large", 8, ERR_RETRY, EMBED_TOO_MANY},
    {413, "Payload too large", 1, ERR_REJECT, EMBED_TOO_LONG},
    {422,
     "{\"error\":\"batch size 64 > maximum allowed batch size 32\",\"error_type\":"
     "\"Validation\"}",
     64, ERR_RETRY, EMBED_TOO_MANY},
    {422, "{\"error\":\"`inputs` must have less than 512 tokens. Given: 600\"}", 1, ERR_REJECT,
     EMBED_TOO_LONG},
    {400, "{\"error\":\"embedding contains NaN or Inf values\"}", 1, ERR_REJECT, EMBED_BAD_VECTOR},
    {500, "{\"error\":\"failed to encode response: json: unsupported value: NaN\"}", 1, ERR_REJECT,
     EMBED_BAD_VECTOR},
    {400, "{\"detail\":\"bad input\"}", 1, ERR_REJECT, EMBED_REFUSED},
    {422, "{\"detail\":[{\"msg\":\"field required\"}]}", 3, ERR_REJECT, EMBED_REFUSED},
    {408, "", 1, ERR_RETRY, 0},
    {409, "", 1, ERR_RETRY, 0},
    {424, "", 1, ERR_RETRY, 0},
    {500, "oops", 1, ERR_RETRY, 0},
    {503, "{\"error\":\"server busy, please try again.  maximum pending requests exceeded\"}", 1,
     ERR_RETRY, 0},
    {301, "", 1, ERR_FATAL, 0},
    {405, "", 1, ERR_FATAL, 0},
};

static void refusals_are_told_apart(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
        const struct refusal *refusal = &refusals[i];
        struct err err = {0};
        struct embed_reply reply = reply_of(refusal->status, refusal->body, refusal->count, 3);
        assert_false(embed_reply_error(&reply, &err));
        if (err.action != refusal->action ||
            err.code != (refusal->code ? refusal->code : refusal->status))
            fail_msg("%d %s: %s, code %d", refusal->status, refusal->body,
                     err_action_name(err.action), (int)err.code);
        assert_int_equal(err.domain, refusal->code ? ERR_EMBED : ERR_HTTP);
    }
}

static void the_providers_words_are_kept_short_and_without_the_key(void **state)
{
    (void)state;
    char body[2000];
    snprintf(body, sizeof body,
             "{\"error\":{\"message\":\"key sk-secret is\\nnot known: %01000d\"}}", 7);
    struct embed_reply reply = reply_of(401, body, 1, 3);
    reply.secret = "sk-secret";
    struct err err = {0};
    assert_false(embed_reply_error(&reply, &err));
    assert_null(strstr(err.text, "sk-secret"));
    assert_non_null(strstr(err.text, "key *** is not known"));
    assert_true(strlen(err.text) < 260);
    reply = reply_of(502, "<html>sk-secret</html>", 1, 3);
    reply.secret = "sk-secret";
    assert_false(embed_reply_error(&reply, &err));
    assert_non_null(strstr(err.text, "<html>***</html>"));
}

static void ollamas_digest_is_found_by_name(void **state)
{
    (void)state;
    const char *tags =
        "{\"models\":[{\"name\":\"nomic:v2\",\"digest\":\"aa\"},"
        "{\"name\":\"nomic:latest\",\"digest\":\"bb\"},{\"name\":\"x\",\"digest\":7}]}";
    struct embed_reply reply = reply_of(200, tags, 0, 3);
    char digest[128];
    struct err err = {0};
    assert_true(embed_reply_digest(&reply, "nomic", digest, &err));
    assert_string_equal(digest, "bb");
    assert_true(embed_reply_digest(&reply, "nomic:v2", digest, &err));
    assert_string_equal(digest, "aa");
    assert_false(embed_reply_digest(&reply, "nomi", digest, &err));
    assert_int_equal(err.code, EMBED_MODEL_MISSING);
    assert_false(embed_reply_digest(&reply, "x", digest, &err));
    assert_int_equal(err.code, EMBED_BAD_REPLY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(openai_gives_base64_or_numbers_in_any_order),
        cmocka_unit_test(openai_without_numbers_keeps_the_order),
        cmocka_unit_test(a_reply_that_makes_no_sense_is_tried_again),
        cmocka_unit_test(other_dimensions_are_named_both),
        cmocka_unit_test(ollama_gives_lists_in_order),
        cmocka_unit_test(refusals_are_told_apart),
        cmocka_unit_test(the_providers_words_are_kept_short_and_without_the_key),
        cmocka_unit_test(ollamas_digest_is_found_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
