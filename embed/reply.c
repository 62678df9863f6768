/* SPDX-License-Identifier: Apache-2.0 */
#include "embed/reply.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/sha256.h"
#include "base/text.h"
#include "embed/embedder.h"

static bool bad_reply(struct err *err, const char *why)
{
    return err_set(err, ERR_RETRY, ERR_EMBED, EMBED_BAD_REPLY, "the server's reply %s", why);
}

static bool wrong_dims(const struct embed_reply *reply, size_t dims, struct err *err)
{
    return err_set(err, ERR_FATAL, ERR_EMBED, EMBED_WRONG_DIMS,
                   "the model gives %zu dimensions, the configuration says %zu%s", dims,
                   reply->dims,
                   reply->dims_asked ? "; these were asked for, it ignores \"dimensions\"" : "");
}

/* What is no number becomes one that no vector may hold: the text it came for is refused, and only
 * that one. */
static void spoil(float *vector, size_t dims)
{
    for (size_t i = 0; i < dims; i++)
        vector[i] = NAN;
}

/* JSON has no NaN: servers write null or a word. */
static bool is_no_number(const cJSON *node)
{
    static const char *const words[] = {"NaN", "Infinity", "-Infinity"};
    for (size_t i = 0; cJSON_IsString(node) && i < ARRAY_LEN(words); i++) {
        if (strcmp(node->valuestring, words[i]) == 0)
            return true;
    }
    return cJSON_IsNull(node);
}

static bool read_number(const cJSON *node, float *out)
{
    int64_t integer = 0;
    if (cJSON_IsNumber(node))
        *out = (float)node->valuedouble;
    else if (json_int(node, &integer)) /* one beyond 2^53 is kept as text */
        *out = (float)integer;
    else if (is_no_number(node))
        *out = NAN;
    else
        return false;
    return true;
}

static bool read_array(const struct embed_reply *reply, const cJSON *array, float *vector,
                       struct err *err)
{
    size_t dims = 0;
    const cJSON *node = NULL;
    cJSON_ArrayForEach(node, array)
    {
        float number = 0;
        if (!read_number(node, &number))
            return bad_reply(err, "holds a vector of something else than numbers");
        if (dims < reply->dims)
            vector[dims] = number;
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
    if (cJSON_IsNull(node) || (cJSON_IsArray(node) && !node->child)) {
        spoil(vector, reply->dims);
        return true;
    }
    if (cJSON_IsString(node))
        return read_base64(reply, node->valuestring, vector, err);
    if (cJSON_IsArray(node))
        return read_array(reply, node, vector, err);
    return bad_reply(err, "has no vector where one should be");
}

/* Python's encoder writes NaN, Infinity and -Infinity as they are: they become null. */
static void append_without_words(struct buf *out, const char *text, size_t size)
{
    static const char *const words[] = {"-Infinity", "Infinity", "NaN"};
    bool quoted = false;
    for (size_t at = 0; at < size;) {
        size_t skip = 0;
        for (size_t i = 0; !quoted && skip == 0 && i < ARRAY_LEN(words); i++) {
            size_t length = strlen(words[i]);
            if (size - at >= length && memcmp(text + at, words[i], length) == 0)
                skip = length;
        }
        if (skip > 0) {
            buf_puts(out, "null");
            at += skip;
            continue;
        }
        if (quoted && text[at] == '\\' && at + 1 < size)
            buf_putc(out, text[at++]);
        else if (text[at] == '"')
            quoted = !quoted;
        buf_putc(out, text[at++]);
    }
}

static cJSON *parse_leniently(const struct embed_reply *reply)
{
    cJSON *object = json_parse(reply->body, reply->size, NULL);
    if (object)
        return object;
    CLEANUP(buf_fini) struct buf text = BUF_INIT(2 * reply->size + 1);
    append_without_words(&text, reply->body, reply->size);
    return text.overflow ? NULL : json_parse(buf_str(&text), text.size, NULL);
}

/* Gateways answer 200 with an error inside, and the status they mean as its code. */
static bool is_disguised_error(const struct embed_reply *reply, const cJSON *object,
                               struct err *err)
{
    const cJSON *error = json_get(object, "error");
    if (!cJSON_IsObject(error) && !cJSON_IsString(error))
        return false;
    int64_t code = 0;
    struct embed_reply meant = *reply;
    meant.status = 500;
    if (json_get_int(error, "code", &code) && code >= 400 && code < 600)
        meant.status = (int)code;
    embed_reply_error(&meant, err);
    return true;
}

static cJSON *parse_object(const struct embed_reply *reply, struct err *err)
{
    cJSON *object = parse_leniently(reply);
    if (!cJSON_IsObject(object))
        bad_reply(err, "is not a JSON object");
    else if (!is_disguised_error(reply, object, err))
        return object;
    cJSON_Delete(object);
    return NULL;
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
