/* SPDX-License-Identifier: Apache-2.0 */
/* Classifies what embedding servers answer when they do not answer with vectors. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/text.h"
#include "embed/embedder.h"
#include "embed/reply.h"

/* Of a provider's own words in our error texts. */
#define WORDS_MAX 200
/* Words that would stop a lane are looked for at the beginning only: some servers quote the text
 * that they refuse. */
#define HEAD_MAX 120

/* What a failed request said. */
struct complaint {
    char words[WORDS_MAX + 4];
    char code[128]; /* the provider's type, code and param, in lower case */
    char lower[WORDS_MAX + 4];
    char head[HEAD_MAX];
};

static void lower_copy(char *out, size_t size, const char *text)
{
    size_t i = 0;
    for (; text[i] && i + 1 < size; i++)
        out[i] = (char)tolower((unsigned char)text[i]);
    out[i] = '\0';
}

/* FastAPI lists what is wrong, and repeats the whole input beside it. */
static const char *words_of_detail(const cJSON *body)
{
    const cJSON *detail = json_get(body, "detail");
    const char *words = NULL;
    (void)!json_get_string(cJSON_IsArray(detail) ? detail->child : detail, "msg", &words);
    return cJSON_IsString(detail) ? detail->valuestring : words;
}

static const char *words_of(const cJSON *body, const cJSON *error)
{
    const char *words = NULL;
    if (cJSON_IsString(error))
        return error->valuestring;
    if (json_get_string(error, "message", &words) || json_get_string(body, "message", &words))
        return words;
    return words_of_detail(body);
}

/* Of a proxy's page the title says it all; any other text is taken as it is. */
static void tidy_page(const struct embed_reply *reply, char *out, size_t size)
{
    const char *text = reply->body;
    size_t length = reply->size;
    const char *title = memmem(text, length, "<title>", 7);
    const char *end = title ? memmem(title, length - (size_t)(title - text), "</title>", 8) : NULL;
    if (end) {
        text = title + 7;
        length = (size_t)(end - text);
    }
    text_tidy(text, length, reply->secrets, out, size);
}

static void read_complaint(const struct embed_reply *reply, struct complaint *out)
{
    *out = (struct complaint){0};
    CLEANUP(cJSON_Deletep) cJSON *body = json_parse(reply->body, reply->size, NULL);
    const cJSON *error = json_get(body, "error");
    const cJSON *holder = cJSON_IsObject(error) ? error : body;
    const char *words = words_of(body, error);
    const char *type = "", *code = "", *param = "";
    (void)!json_get_string(holder, "type", &type);
    (void)!json_get_string(holder, "code", &code);
    (void)!json_get_string(holder, "param", &param);
    char all[sizeof out->code];
    snprintf(all, sizeof all, "%.40s %.40s %.40s", type, code, param);
    lower_copy(out->code, sizeof out->code, all);
    if (words)
        text_tidy(words, strlen(words), reply->secrets, out->words, sizeof out->words);
    else
        tidy_page(reply, out->words, sizeof out->words);
    lower_copy(out->lower, sizeof out->lower, out->words);
    lower_copy(out->head, sizeof out->head, out->words);
}

static bool contains_any(const char *text, const char *const *needles)
{
    for (; *needles; needles++) {
        if (strstr(text, *needles))
            return true;
    }
    return false;
}

/* As OpenAI, Azure, Ollama, llama.cpp, vLLM, TEI, Infinity, Voyage, Cohere, Mistral, Gemini and
 * DashScope word it. */
static bool speaks_of_one_text(const struct complaint *complaint)
{
    static const char *const needles[] = {"context length",
                                          "context size",
                                          "context window",
                                          "max context",
                                          "too large to process",
                                          "too big compared",
                                          "maximum input length",
                                          "maximum model length",
                                          "input length",
                                          "must have less than",
                                          "string should have at most",
                                          "larger than the max",
                                          "maximum length",
                                          "max length",
                                          NULL};
    static const char *const codes[] = {"context_length_exceeded", "string_above_max_length", NULL};
    return contains_any(complaint->lower, needles) || contains_any(complaint->code, codes);
}

static bool speaks_of_the_request(const struct complaint *complaint)
{
    static const char *const needles[] = {"too many tokens",
                                          "too many input",
                                          "too long",
                                          "request too large",
                                          "tokens per request",
                                          "maximum number of tokens",
                                          "max allowed tokens",
                                          "batch size",
                                          "should have at most",
                                          "texts must be at most",
                                          "can be in one batch",
                                          "maximum request size",
                                          "payload too large",
                                          "token limit",
                                          "length limit exceeded",
                                          NULL};
    return contains_any(complaint->lower, needles) ||
           strstr(complaint->code, "max_tokens_per_request");
}

/* Ollama's server lost the process that holds the model: 0.6.5 does so over texts a little longer
 * than the context, and over those that it has cut itself. */
static bool speaks_of_a_crash(const struct complaint *complaint)
{
    return (strstr(complaint->lower, "do embedding request") &&
            (strstr(complaint->lower, "eof") || strstr(complaint->lower, "connection reset"))) ||
           strstr(complaint->lower, "model runner has unexpectedly stopped");
}

static bool speaks_of_money(const struct complaint *complaint)
{
    static const char *const codes[] = {"insufficient_quota",
                                        "credit_balance_exhausted",
                                        "spend_limit_exceeded",
                                        "usage_limit_exceeded",
                                        "billing",
                                        NULL};
    return contains_any(complaint->code, codes);
}

static bool speaks_of_numbers(const struct complaint *complaint)
{
    static const char *const needles[] = {"nan or inf",
                                          "unsupported value: nan",
                                          "unsupported value: +inf",
                                          "unsupported value: -inf",
                                          "not json compliant",
                                          NULL};
    return contains_any(complaint->lower, needles);
}

static bool speaks_of_key(const struct complaint *complaint)
{
    static const char *const needles[] = {"api key not valid", "invalid api key",
                                          "incorrect api key", "api key expired", NULL};
    return contains_any(complaint->head, needles) || strstr(complaint->code, "invalid_api_key");
}

static bool speaks_of_model(const struct complaint *complaint)
{
    static const char *const needles[] = {"model not found",
                                          "model does not exist",
                                          "invalid model",
                                          "unknown model",
                                          "no models loaded",
                                          "not support embedding",
                                          "not a valid model",
                                          "not support the embedding",
                                          "pooling type",
                                          "is not supported. supported models",
                                          NULL};
    static const char *const codes[] = {"model_not_found", "invalid_model", NULL};
    return contains_any(complaint->head, needles) || contains_any(complaint->code, codes);
}

static bool speaks_of_dimensions(const struct complaint *complaint)
{
    static const char *const needles[] = {"specifying dimensions", "matryoshka", "'dimensions'",
                                          "output_dimension", NULL};
    return contains_any(complaint->head, needles) || strstr(complaint->code, "dimension");
}

static bool speaks_of_encoding(const struct complaint *complaint)
{
    return strstr(complaint->head, "encoding_format") || strstr(complaint->code, "encoding_format");
}

struct verdict {
    enum err_action action;
    enum err_domain domain;
    int64_t code;
    const char *meaning;
};

static const struct verdict out_of_money = {ERR_FATAL, ERR_EMBED, EMBED_QUOTA, "quota exhausted"};
static const struct verdict not_allowed = {ERR_FATAL, ERR_EMBED, EMBED_AUTH, "not allowed"};
static const struct verdict no_model = {ERR_FATAL, ERR_EMBED, EMBED_MODEL_MISSING,
                                        "no such model, or not the right URL"};

static const struct verdict one_too_long = {ERR_REJECT, ERR_EMBED, EMBED_TOO_LONG,
                                            "longer than the model takes"};

static struct verdict judge_request(const struct embed_reply *reply)
{
    if (reply->count == 1)
        return one_too_long;
    return (struct verdict){ERR_RETRY, ERR_EMBED, EMBED_TOO_MANY,
                            "more than the server takes at once"};
}

/* A request over the whole budget of a minute will never pass it, however long one waits. */
static struct verdict judge_limit(const struct embed_reply *reply,
                                  const struct complaint *complaint)
{
    if (strstr(complaint->lower, "request too large"))
        return judge_request(reply);
    return (struct verdict){ERR_RETRY, ERR_EMBED, EMBED_RATE_LIMITED, "rate limited"};
}

/* 400 and 422 say no more than that something is wrong with the request, and so does 500 where a
 * server does not tell its own failures from the client's. */
static struct verdict judge_words(const struct embed_reply *reply,
                                  const struct complaint *complaint)
{
    if (speaks_of_one_text(complaint))
        return one_too_long;
    if (speaks_of_the_request(complaint))
        return judge_request(reply);
    if (speaks_of_numbers(complaint))
        return (struct verdict){ERR_REJECT, ERR_EMBED, EMBED_BAD_VECTOR, "no finite vector"};
    if (reply->status == 500 && speaks_of_a_crash(complaint))
        return (struct verdict){ERR_REJECT, ERR_EMBED, EMBED_TOO_LONG,
                                "more than the server's model survives"};
    if (reply->status == 500)
        return (struct verdict){ERR_RETRY, ERR_HTTP, 500, "the server failed"};
    if (speaks_of_key(complaint))
        return not_allowed;
    if (speaks_of_model(complaint))
        return no_model;
    if (speaks_of_dimensions(complaint))
        return (struct verdict){ERR_FATAL, ERR_EMBED, EMBED_WRONG_DIMS,
                                "the model does not take \"dimensions\""};
    if (speaks_of_encoding(complaint))
        return (struct verdict){ERR_FATAL, ERR_HTTP, reply->status,
                                "the server does not take \"encoding_format\""};
    return (struct verdict){ERR_REJECT, ERR_EMBED, EMBED_REFUSED, "refused"};
}

static struct verdict judge(const struct embed_reply *reply, const struct complaint *complaint)
{
    int status = reply->status;
    if (status >= 400 && status < 500 && speaks_of_money(complaint))
        return out_of_money;
    switch (status) {
    case 400:
    case 422:
    case 500:
        return judge_words(reply, complaint);
    case 401:
    case 403:
        return speaks_of_model(complaint) ? no_model : not_allowed;
    case 402:
        return out_of_money;
    case 404:
        return no_model;
    case 408:
    case 409:
    case 424:
    case 425:
        return (struct verdict){ERR_RETRY, ERR_HTTP, status, "try again"};
    case 413:
        return speaks_of_one_text(complaint) ? one_too_long : judge_request(reply);
    case 429:
        return judge_limit(reply, complaint);
    case 501:
        return no_model;
    default:
        break;
    }
    if (status >= 500)
        return (struct verdict){ERR_RETRY, ERR_HTTP, status, "the server failed"};
    return (struct verdict){ERR_FATAL, ERR_HTTP, status, "not an embedding server's answer"};
}

bool embed_reply_error(const struct embed_reply *reply, struct err *err)
{
    struct complaint complaint;
    read_complaint(reply, &complaint);
    struct verdict verdict = judge(reply, &complaint);
    return err_set(err, verdict.action, verdict.domain, verdict.code, "%s (HTTP %d%s%s)",
                   verdict.meaning, reply->status, complaint.words[0] ? ": " : "", complaint.words);
}

bool embed_reply_is_crash(const struct embed_reply *reply)
{
    struct complaint complaint;
    if (reply->status != 500)
        return false;
    read_complaint(reply, &complaint);
    return speaks_of_a_crash(&complaint);
}
