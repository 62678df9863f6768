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
     ERR_REJECT, EMBED_TOO_LONG},
    {500, "{\"error\":\"do embedding request: Post \\\"http://127.0.0.1:4/embedding\\\": EOF\"}", 1,
     ERR_REJECT, EMBED_TOO_LONG},
    {500,
     "{\"error\":{\"message\":\"do embedding request: Post \\\"http://127.0.0.1:4/embedding\\\": "
     "read: connection reset by peer\",\"type\":\"api_error\"}}",
     2, ERR_REJECT, EMBED_TOO_LONG},
    {500,
     "{\"error\":\"do embedding request: Post \\\"http://127.0.0.1:4/embedding\\\": dial tcp: "
     "connection refused\"}",
     1, ERR_RETRY, 0},
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
    {400,
     "{\"error\":{\"message\":\"Requested 453357 tokens, max 300000 tokens per request\",\"type\":"
     "\"max_tokens_per_request\",\"param\":null,\"code\":\"max_tokens_per_request\"}}",
     500, ERR_RETRY, EMBED_TOO_MANY},
    {400,
     "{\"error\":{\"message\":\"Too many inputs. The max number of inputs is 16.  We hope to "
     "increase the number of inputs per request soon.\",\"type\":\"invalid_request_error\"}}",
     26, ERR_RETRY, EMBED_TOO_MANY},
    {400,
     "{\"error\":{\"message\":\"Value error, batch size is invalid, it should not be larger than "
     "10.: input.contents\",\"code\":\"InvalidParameter\"}}",
     25, ERR_RETRY, EMBED_TOO_MANY},
    {422,
     "{\"detail\":[{\"type\":\"too_long\",\"loc\":[\"body\",\"input\"],\"msg\":\"List should have "
     "at most 2048 items after validation, not 3000\",\"input\":[\"a\"]}]}",
     3000, ERR_RETRY, EMBED_TOO_MANY},
    {400, "{\"message\":\"invalid request: total number of texts must be at most 96\"}", 97,
     ERR_RETRY, EMBED_TOO_MANY},
    {400, "{\"error\":{\"message\":\"at most 100 requests can be in one batch\"}}", 101, ERR_RETRY,
     EMBED_TOO_MANY},
    {429,
     "{\"error\":{\"message\":\"Request too large for text-embedding-3-small on tokens per min "
     "(TPM): Limit 40000, Requested 50000.\",\"code\":\"rate_limit_exceeded\"}}",
     50, ERR_RETRY, EMBED_TOO_MANY},
    {400,
     "{\"object\":\"error\",\"message\":\"This model's maximum context length is 512 tokens. "
     "However, you requested 1451 tokens in the input for embedding generation. Please reduce the "
     "length of the input.\",\"type\":\"BadRequestError\",\"param\":null,\"code\":400}",
     1, ERR_REJECT, EMBED_TOO_LONG},
    {400,
     "{\"error\":{\"message\":\"The decoder prompt (length 600) is longer than the maximum model "
     "length of 512.\",\"code\":400}}",
     1, ERR_REJECT, EMBED_TOO_LONG},
    {413,
     "{\"error\":\"Input validation error: `inputs` must have less than 512 tokens. Given: 514\","
     "\"error_type\":\"Validation\"}",
     1, ERR_REJECT, EMBED_TOO_LONG},
    {500,
     "{\"error\":{\"code\":500,\"message\":\"input is larger than the max context size. "
     "skipping\",\"type\":\"server_error\"}}",
     1, ERR_REJECT, EMBED_TOO_LONG},
    {400,
     "{\"error\":{\"code\":400,\"message\":\"the request exceeds the available context size. try "
     "increasing the context size\"}}",
     1, ERR_REJECT, EMBED_TOO_LONG},
    {500, "{\"error\":\"input length exceeds maximum context length\"}", 1, ERR_REJECT,
     EMBED_TOO_LONG},
    {400,
     "{\"error\":{\"code\":400,\"message\":\"API key not valid. Please pass a valid API key.\"}}",
     1, ERR_FATAL, EMBED_AUTH},
    {403,
     "{\"error\":{\"message\":\"Project `p` does not have access to model `m`\",\"code\":"
     "\"model_not_found\"}}",
     1, ERR_FATAL, EMBED_MODEL_MISSING},
    {400, "{\"object\":\"error\",\"message\":\"Invalid model: x\",\"type\":\"invalid_model\"}", 1,
     ERR_FATAL, EMBED_MODEL_MISSING},
    {400, "{\"error\":\"this model does not support embeddings\"}", 1, ERR_FATAL,
     EMBED_MODEL_MISSING},
    {501,
     "{\"error\":{\"code\":501,\"message\":\"This server does not support embeddings. Start it "
     "with `--embeddings`\"}}",
     1, ERR_FATAL, EMBED_MODEL_MISSING},
    {400, "{\"error\":{\"message\":\"This model does not support specifying dimensions.\"}}", 1,
     ERR_FATAL, EMBED_WRONG_DIMS},
    {400,
     "{\"message\":\"Model \\\"m\\\" does not support matryoshka representation, changing output "
     "dimensions will lead to poor results.\"}",
     1, ERR_FATAL, EMBED_WRONG_DIMS},
    {400, "{\"error\":{\"message\":\"Invalid value\",\"param\":\"encoding_format\"}}", 1, ERR_FATAL,
     0},
    {400,
     "{\"error\":{\"message\":\"Billing hard limit has been reached\",\"code\":"
     "\"billing_hard_limit_reached\"}}",
     1, ERR_FATAL, EMBED_QUOTA},
    {500, "{\"detail\":\"Out of range float values are not JSON compliant\"}", 1, ERR_REJECT,
     EMBED_BAD_VECTOR},
    /* what a server quotes of a document decides nothing */
    {400,
     "{\"error\":{\"message\":\"The input was refused by our moderation rules, which you can read "
     "on our pages; it begins with the following words: Invalid API key, what now?\"}}",
     1, ERR_REJECT, EMBED_REFUSED},
    {422,
     "{\"detail\":[{\"loc\":[\"body\"],\"msg\":\"Input should be a valid string\",\"input\":"
     "\"Invalid API key, batch size\"}]}",
     1, ERR_REJECT, EMBED_REFUSED},
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

static void numbers_that_are_none_are_read_as_such(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "{\"data\":[{\"embedding\":[1,2]},{\"embedding\":[null,1]}]}",
        "{\"data\":[{\"embedding\":[1,2]},{\"embedding\":[NaN,1]}],\"model\":\"NaN \\\"Infinity\"}",
        "{\"data\":[{\"embedding\":[1,2]},{\"embedding\":[Infinity,1]}]}",
        "{\"data\":[{\"embedding\":[1,2]},{\"embedding\":[-Infinity,1]}]}",
        "{\"data\":[{\"embedding\":[1,2]},{\"embedding\":[\"NaN\",1]}]}",
        "{\"data\":[{\"embedding\":[1,2]},{\"embedding\":[1e39,1]}]}",
        "{\"data\":[{\"embedding\":[1,2]},{\"embedding\":null}]}",
        "{\"data\":[{\"embedding\":[1,2]},{\"embedding\":[]}]}",
    };
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        float v[4] = {0};
        struct err err = {0};
        struct embed_reply reply = reply_of(200, bodies[i], 2, 2);
        if (!embed_reply_openai(&reply, v, &err))
            fail_msg("%s: %s", bodies[i], err.text);
        assert_true(is_near(v[0], 1) && is_near(v[1], 2));
        bool is_finite = isfinite(v[2]) && isfinite(v[3]);
        assert_false(is_finite);
    }
}

static void an_error_behind_status_200_is_one(void **state)
{
    (void)state;
    float v[2];
    struct err err = {0};
    struct embed_reply reply =
        reply_of(200, "{\"error\":{\"code\":429,\"message\":\"slow down\"}}", 2, 1);
    assert_false(embed_reply_openai(&reply, v, &err));
    assert_int_equal(err.code, EMBED_RATE_LIMITED);
    reply = reply_of(200, "{\"error\":\"the input length exceeds the context length\"}", 1, 1);
    assert_false(embed_reply_ollama(&reply, v, &err));
    assert_int_equal(err.code, EMBED_TOO_LONG);
    reply = reply_of(200, "{\"error\":{\"code\":200,\"message\":\"oops\"}}", 1, 1);
    assert_false(embed_reply_openai(&reply, v, &err));
    assert_int_equal(err.action, ERR_RETRY);
    reply = reply_of(200, "{\"error\":null,\"data\":[{\"embedding\":[1]}]}", 1, 1);
    assert_true(embed_reply_openai(&reply, v, &err));
}

static void dimensions_that_were_asked_for_are_said_to_be_ignored(void **state)
{
    (void)state;
    float v[4];
    struct err err = {0};
    struct embed_reply reply = reply_of(200, "{\"embeddings\":[[1,2,3,4,5]]}", 1, 4);
    assert_false(embed_reply_ollama(&reply, v, &err));
    assert_null(strstr(err.text, "ignores"));
    reply.dims_asked = true;
    assert_false(embed_reply_ollama(&reply, v, &err));
    assert_non_null(strstr(err.text, "ignores \"dimensions\""));
}

static void the_providers_words_are_kept_short_and_without_the_key(void **state)
{
    (void)state;
    char body[2000];
    snprintf(body, sizeof body,
             "{\"error\":{\"message\":\"key sk-secret is\\nnot known: %01000d\"}}", 7);
    const char *const secrets[] = {"another", "sk-secret", NULL};
    struct embed_reply reply = reply_of(401, body, 1, 3);
    reply.secrets = secrets;
    struct err err = {0};
    assert_false(embed_reply_error(&reply, &err));
    assert_null(strstr(err.text, "sk-secret"));
    assert_non_null(strstr(err.text, "key *** is not known"));
    assert_true(strlen(err.text) < 260);
    reply = reply_of(502, "<html>sk-secret</html>", 1, 3);
    reply.secrets = secrets;
    assert_false(embed_reply_error(&reply, &err));
    assert_non_null(strstr(err.text, "<html>***</html>"));
    reply = reply_of(502,
                     "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body><center><h1>"
                     "502 Bad Gateway</h1></center></body></html>",
                     1, 3);
    assert_false(embed_reply_error(&reply, &err));
    assert_string_equal(err.text, "the server failed (HTTP 502: 502 Bad Gateway)");
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
        cmocka_unit_test(numbers_that_are_none_are_read_as_such),
        cmocka_unit_test(an_error_behind_status_200_is_one),
        cmocka_unit_test(dimensions_that_were_asked_for_are_said_to_be_ignored),
        cmocka_unit_test(the_providers_words_are_kept_short_and_without_the_key),
        cmocka_unit_test(ollamas_digest_is_found_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
