/* SPDX-License-Identifier: Apache-2.0 */
#include "embed/reply.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/sha256.h"
#include "base/text.h"
#include "embed/embedder.h"

/* Of a provider's own words in our error texts. */
#define WORDS_MAX 200

static bool bad_reply(struct err *err, const char *why)
{
    return err_set(err, ERR_RETRY, ERR_EMBED, EMBED_BAD_REPLY, "the server's reply %s", why);
}

static bool wrong_dims(const struct embed_reply *reply, size_t dims, struct err *err)
{
    return err_set(err, ERR_FATAL, ERR_EMBED, EMBED_WRONG_DIMS,
                   "the model gives %zu dimensions, the configuration says %zu", dims, reply->dims);
}

static bool read_array(const struct embed_reply *reply, const cJSON *array, float *vector,
                       struct err *err)
{
    size_t dims = 0;
    const cJSON *number = NULL;
    cJSON_ArrayForEach(number, array)
    {
        double value = number->valuedouble;
        int64_t integer = 0;
        if (!cJSON_IsNumber(number)) { /* an integer beyond 2^53 is kept as text */
            if (!json_int(number, &integer))
                return bad_reply(err, "holds a vector of something else than numbers");
            value = (double)integer;
        }
        if (dims < reply->dims)
            vector[dims] = (float)value;
        dims++;
    }
    return dims == reply->dims || wrong_dims(reply, dims, err);
}

static float little_endian_float(const unsigned char *bytes)
{
    uint32_t bits = (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
                    (uint32_t)bytes[3] << 24;
    float number = 0;
    memcpy(&number, &bits, sizeof number);
    return number;
}

static bool read_base64(const struct embed_reply *reply, const char *text, float *vector,
                        struct err *err)
{
    size_t length = strlen(text);
    CLEANUP(buf_fini) struct buf bytes = BUF_INIT(length + 4);
    if (!base64_decode(&bytes, text, length) || bytes.size % 4 != 0)
        return bad_reply(err, "holds a vector that is not base64 of floats");
    if (bytes.size / 4 != reply->dims)
        return wrong_dims(reply, bytes.size / 4, err);
    for (size_t i = 0; i < reply->dims; i++)
        vector[i] = little_endian_float((const unsigned char *)bytes.data + 4 * i);
    return true;
}

static bool read_vector(const struct embed_reply *reply, const cJSON *node, float *vector,
                        struct err *err)
{
    if (cJSON_IsString(node))
        return read_base64(reply, node->valuestring, vector, err);
    if (cJSON_IsArray(node))
        return read_array(reply, node, vector, err);
    return bad_reply(err, "has no vector where one should be");
}

static cJSON *parse_object(const struct embed_reply *reply, struct err *err)
{
    cJSON *object = json_parse(reply->body, reply->size, NULL);
    if (!cJSON_IsObject(object)) {
        cJSON_Delete(object);
        bad_reply(err, "is not a JSON object");
        return NULL;
    }
    return object;
}

/* The array `name`, one element for each text. */
static const cJSON *array_of(const struct embed_reply *reply, const cJSON *object, const char *name,
                             struct err *err)
{
    const cJSON *array = json_get(object, name);
    if (!cJSON_IsArray(array)) {
        bad_reply(err, "holds no list of vectors");
        return NULL;
    }
    size_t count = (size_t)cJSON_GetArraySize(array);
    if (count != reply->count) {
        err_set(err, ERR_RETRY, ERR_EMBED, EMBED_BAD_REPLY,
                "the server gave %zu vectors for %zu texts", count, reply->count);
        return NULL;
    }
    return array;
}

/* Most servers number their vectors; where one does not, the order is that of the texts. */
static bool read_index(const struct embed_reply *reply, const cJSON *element, size_t position,
                       size_t *out, struct err *err)
{
    int64_t index = (int64_t)position;
    if (json_get(element, "index") && !json_get_int(element, "index", &index))
        return bad_reply(err, "numbers its vectors with something else than integers");
    if (index < 0 || (size_t)index >= reply->count)
        return bad_reply(err, "numbers a vector beyond the texts asked for");
    *out = (size_t)index;
    return true;
}

static bool read_data(const struct embed_reply *reply, const cJSON *data, bool *seen,
                      float *vectors, struct err *err)
{
    size_t position = 0;
    const cJSON *element = NULL;
    cJSON_ArrayForEach(element, data)
    {
        size_t index = 0;
        if (!read_index(reply, element, position++, &index, err))
            return false;
        if (seen[index])
            return bad_reply(err, "numbers two vectors alike");
        seen[index] = true;
        if (!read_vector(reply, json_get(element, "embedding"), vectors + index * reply->dims, err))
            return false;
    }
    return true;
}

bool embed_reply_openai(const struct embed_reply *reply, float *vectors, struct err *err)
{
    CLEANUP(cJSON_Deletep) cJSON *object = parse_object(reply, err);
    const cJSON *data = object ? array_of(reply, object, "data", err) : NULL;
    if (!data)
        return false;
    bool *seen = calloc(reply->count + 1, sizeof *seen);
    if (!seen)
        abort();
    bool ok = read_data(reply, data, seen, vectors, err);
    free(seen);
    return ok;
}

bool embed_reply_ollama(const struct embed_reply *reply, float *vectors, struct err *err)
{
    CLEANUP(cJSON_Deletep) cJSON *object = parse_object(reply, err);
    const cJSON *embeddings = object ? array_of(reply, object, "embeddings", err) : NULL;
    if (!embeddings)
        return false;
    const cJSON *element = NULL;
    cJSON_ArrayForEach(element, embeddings)
    {
        if (!read_vector(reply, element, vectors, err))
            return false;
        vectors += reply->dims;
    }
    return true;
}

static bool same_model(const char *listed, const char *model)
{
    size_t length = strlen(model);
    if (strncmp(listed, model, length) != 0)
        return false;
    return listed[length] == '\0' ||
           (!strchr(model, ':') && strcmp(listed + length, ":latest") == 0);
}

bool embed_reply_digest(const struct embed_reply *reply, const char *model, char *out,
                        struct err *err)
{
    CLEANUP(cJSON_Deletep) cJSON *object = parse_object(reply, err);
    if (!object)
        return false;
    const cJSON *element = NULL;
    cJSON_ArrayForEach(element, json_get(object, "models"))
    {
        const char *name = NULL;
        const char *digest = NULL;
        if (!json_get_string(element, "name", &name) || !same_model(name, model))
            continue;
        if (!json_get_string(element, "digest", &digest) || strlen(digest) >= 128)
            return bad_reply(err, "gives the model no digest");
        memcpy(out, digest, strlen(digest) + 1);
        return true;
    }
    return err_set(err, ERR_FATAL, ERR_EMBED, EMBED_MODEL_MISSING,
                   "the server has no model \"%s\": pull it first", model);
}

/* What a failed request said. */
struct complaint {
    char words[WORDS_MAX + 4];
    char code[64]; /* the provider's type and code, in lower case */
    char lower[WORDS_MAX + 4];
};

static void lower_copy(char *out, size_t size, const char *text)
{
    size_t i = 0;
    for (; text[i] && i + 1 < size; i++)
        out[i] = (char)tolower((unsigned char)text[i]);
    out[i] = '\0';
}

static const char *words_of(const cJSON *body, const cJSON *error)
{
    const char *words = NULL;
    if (cJSON_IsString(error))
        return error->valuestring;
    if (json_get_string(error, "message", &words) || json_get_string(body, "message", &words) ||
        json_get_string(body, "detail", &words))
        return words;
    return NULL;
}

static void read_complaint(const struct embed_reply *reply, struct complaint *out)
{
    *out = (struct complaint){0};
    CLEANUP(cJSON_Deletep) cJSON *body = json_parse(reply->body, reply->size, NULL);
    const cJSON *error = json_get(body, "error");
    const char *words = words_of(body, error);
    const char *type = "";
    const char *code = "";
    (void)!json_get_string(error, "type", &type);
    (void)!json_get_string(error, "code", &code);
    char both[sizeof out->code];
    snprintf(both, sizeof both, "%.30s %.30s", type, code);
    lower_copy(out->code, sizeof out->code, both);
    if (words)
        text_tidy(words, strlen(words), reply->secret, out->words, sizeof out->words);
    else
        text_tidy(reply->body, reply->size, reply->secret, out->words, sizeof out->words);
    lower_copy(out->lower, sizeof out->lower, out->words);
}

static bool contains_any(const char *text, const char *const *needles)
{
    for (; *needles; needles++) {
        if (strstr(text, *needles))
            return true;
    }
    return false;
}

/* As OpenAI, Ollama, llama.cpp, vLLM, TEI, Infinity and Voyage word it. */
static bool speaks_of_size(const struct complaint *complaint)
{
    static const char *const needles[] = {"context length",
                                          "context size",
                                          "context window",
                                          "max context",
                                          "too large to process",
                                          "too long",
                                          "too many tokens",
                                          "too many inputs",
                                          "maximum input length",
                                          "input length",
                                          "batch size",
                                          "must have less than",
                                          "maximum request size",
                                          "max allowed tokens",
                                          "larger than the max",
                                          "payload too large",
                                          "token limit",
                                          "maximum length",
                                          "maximum number of tokens",
                                          "length limit exceeded",
                                          NULL};
    return contains_any(complaint->lower, needles) ||
           strstr(complaint->code, "context_length_exceeded");
}

static bool speaks_of_money(const struct complaint *complaint)
{
    static const char *const needles[] = {"insufficient_quota",
                                          "credit_balance_exhausted",
                                          "spend_limit_exceeded",
                                          "usage_limit_exceeded",
                                          "billing",
                                          NULL};
    return contains_any(complaint->code, needles);
}

static bool speaks_of_numbers(const struct complaint *complaint)
{
    static const char *const needles[] = {"nan or inf", "unsupported value: nan",
                                          "unsupported value: +inf", "unsupported value: -inf",
                                          NULL};
    return contains_any(complaint->lower, needles);
}

struct verdict {
    enum err_action action;
    enum err_domain domain;
    int64_t code;
    const char *meaning;
};

static struct verdict judge_size(const struct embed_reply *reply)
{
    if (reply->count > 1)
        return (struct verdict){ERR_RETRY, ERR_EMBED, EMBED_TOO_MANY,
                                "more than the server takes at once"};
    return (struct verdict){ERR_REJECT, ERR_EMBED, EMBED_TOO_LONG, "longer than the model takes"};
}

static struct verdict judge_limit(const struct complaint *complaint)
{
    if (speaks_of_money(complaint))
        return (struct verdict){ERR_FATAL, ERR_EMBED, EMBED_QUOTA, "quota exhausted"};
    return (struct verdict){ERR_RETRY, ERR_EMBED, EMBED_RATE_LIMITED, "rate limited"};
}

static struct verdict judge(const struct embed_reply *reply, const struct complaint *complaint)
{
    int status = reply->status;
    switch (status) {
    case 401:
    case 403:
        return (struct verdict){ERR_FATAL, ERR_EMBED, EMBED_AUTH, "not allowed"};
    case 402:
        return (struct verdict){ERR_FATAL, ERR_EMBED, EMBED_QUOTA, "quota exhausted"};
    case 404:
        return (struct verdict){ERR_FATAL, ERR_EMBED, EMBED_MODEL_MISSING,
                                "no such model, or not the right URL"};
    case 408:
    case 409:
    case 424:
    case 425:
        return (struct verdict){ERR_RETRY, ERR_HTTP, status, "try again"};
    case 413:
        return judge_size(reply);
    case 429:
        return judge_limit(complaint);
    default:
        break;
    }
    bool server = status >= 500;
    if ((status == 400 || status == 422 || status == 500) && speaks_of_size(complaint))
        return judge_size(reply);
    if ((status == 400 || status == 422 || status == 500) && speaks_of_numbers(complaint))
        return (struct verdict){ERR_REJECT, ERR_EMBED, EMBED_BAD_VECTOR, "no finite vector"};
    if (status == 400 || status == 422)
        return (struct verdict){ERR_REJECT, ERR_EMBED, EMBED_REFUSED, "refused"};
    return (struct verdict){server ? ERR_RETRY : ERR_FATAL, ERR_HTTP, status,
                            server ? "the server failed" : "not an embedding server's answer"};
}

bool embed_reply_error(const struct embed_reply *reply, struct err *err)
{
    struct complaint complaint;
    read_complaint(reply, &complaint);
    struct verdict verdict = judge(reply, &complaint);
    return err_set(err, verdict.action, verdict.domain, verdict.code, "%s (HTTP %d%s%s)",
                   verdict.meaning, reply->status, complaint.words[0] ? ": " : "", complaint.words);
}
