/* SPDX-License-Identifier: Apache-2.0 */
#include "embed/fingerprint.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/limits.h"

static const char *const form_names[] = {
    [TEXT_FORM_NONE] = "none", [TEXT_FORM_NFC] = "nfc", [TEXT_FORM_NFKC] = "nfkc", NULL};
static const char *const strategy_names[] = {
    [CHUNKER_RECURSIVE] = "recursive", [CHUNKER_FIXED] = "fixed", [CHUNKER_NONE] = "none", NULL};

struct sha256 content_fp(const char *chunk, size_t size)
{
    return sha256_of(chunk, size);
}

static cJSON *strings_json(const char *const *strings, size_t count)
{
    cJSON *array = json_array();
    for (size_t i = 0; i < count; i++) {
        cJSON *item = cJSON_CreateString(strings[i]);
        if (!item)
            abort();
        json_append(array, item);
    }
    return array;
}

static cJSON *normalize_json(const struct normalize_options *normalize)
{
    cJSON *object = json_object();
    json_add_string(object, "unicode", form_names[normalize->form]);
    json_add_bool(object, "trim", normalize->trim);
    json_add_bool(object, "lowercase", normalize->lowercase);
    json_add(object, "stopwords", strings_json(normalize->stopwords, normalize->stopword_count));
    return object;
}

static cJSON *chunk_json(const struct chunk_options *chunk)
{
    cJSON *object = json_object();
    json_add_string(object, "strategy", strategy_names[chunk->strategy]);
    json_add_int(object, "max_chars", (int64_t)chunk->max_chars);
    json_add_int(object, "overlap_chars", (int64_t)chunk->overlap_chars);
    json_add_int(object, "version", CHUNKER_VERSION);
    return object;
}

/* Only where it differs from what most have: the fingerprints of all others stay what they were before
 * there was such a member. */
static void add_request(cJSON *object, const struct embed_config *config)
{
    if (config->send_dimensions)
        json_add_bool(object, "send_dimensions", true);
    if (config->extra)
        json_add_string(object, "extra", config->extra);
}

cJSON *embed_config_json(const struct embed_config *config)
{
    cJSON *object = json_object();
    json_add_string(object, "driver", config->driver);
    json_add_string(object, "model", config->model ? config->model : "");
    json_add_string(object, "digest", config->digest ? config->digest : "");
    json_add_int(object, "dims", (int64_t)config->dims);
    add_request(object, config);
    json_add_string(object, "distance", config->distance);
    json_add(object, "normalize", normalize_json(&config->normalize));
    json_add_string(object, "document_prefix",
                    config->document_prefix ? config->document_prefix : "");
    json_add_string(object, "query_prefix", config->query_prefix ? config->query_prefix : "");
    json_add(object, "chunk", chunk_json(&config->chunk));
    json_add_string(object, "id_scheme", config->id_scheme);
    json_add(object, "text", strings_json(config->text_fields, config->text_field_count));
    json_add_string(object, "input_format", EMBED_INPUT_FORMAT);
    json_add_string(object, "unicode_version", text_unicode_version());
    return object;
}

static bool bad_member(const char *name, struct err *err)
{
    return err_set(err, ERR_FATAL, ERR_STATE, 0,
                   "the embed config has no \"%s\" that this build understands", name);
}

static bool read_string(const cJSON *object, const char *name, const char **out, struct err *err)
{
    return json_get_string(object, name, out) || bad_member(name, err);
}

static bool read_bool(const cJSON *object, const char *name, bool *out, struct err *err)
{
    return json_get_bool(object, name, out) || bad_member(name, err);
}

static bool read_size(const cJSON *object, const char *name, int64_t min, size_t *out,
                      struct err *err)
{
    int64_t number = 0;
    if (!json_get_int(object, name, &number) || number < min || number > INT32_MAX)
        return bad_member(name, err);
    *out = (size_t)number;
    return true;
}

/* The position of the member's text among `names`, which end with NULL. */
static bool read_choice(const cJSON *object, const char *name, const char *const *names,
                        unsigned *out, struct err *err)
{
    const char *text = NULL;
    if (!json_get_string(object, name, &text))
        return bad_member(name, err);
    for (*out = 0; names[*out]; (*out)++) {
        if (strcmp(names[*out], text) == 0)
            return true;
    }
    return bad_member(name, err);
}

struct string_list {
    const char *const *items;
    size_t count;
};

static bool read_strings(const cJSON *object, const char *name, struct arena *arena,
                         struct string_list *out, struct err *err)
{
    const cJSON *array = json_get(object, name);
    if (!cJSON_IsArray(array))
        return bad_member(name, err);
    size_t count = (size_t)cJSON_GetArraySize(array);
    const char **items = arena_alloc_array(arena, count + 1, sizeof *items);
    size_t at = 0;
    const cJSON *item = NULL;
    cJSON_ArrayForEach(item, array)
    {
        if (!cJSON_IsString(item))
            return bad_member(name, err);
        items[at++] = item->valuestring;
    }
    *out = (struct string_list){items, count};
    return true;
}

static bool read_normalize(const cJSON *object, struct arena *arena, struct normalize_options *out,
                           struct err *err)
{
    const cJSON *normalize = json_get(object, "normalize");
    struct string_list stopwords = {0};
    if (!cJSON_IsObject(normalize))
        return bad_member("normalize", err);
    unsigned form = 0;
    if (!read_choice(normalize, "unicode", form_names, &form, err) ||
        !read_bool(normalize, "trim", &out->trim, err) ||
        !read_bool(normalize, "lowercase", &out->lowercase, err) ||
        !read_strings(normalize, "stopwords", arena, &stopwords, err))
        return err_prefix(err, "normalize");
    out->form = (enum text_form)form;
    out->stopwords = stopwords.items;
    out->stopword_count = stopwords.count;
    return true;
}

static bool read_chunk(const cJSON *object, struct chunk_options *out, struct err *err)
{
    const cJSON *chunk = json_get(object, "chunk");
    if (!cJSON_IsObject(chunk))
        return bad_member("chunk", err);
    unsigned strategy = 0;
    if (!read_choice(chunk, "strategy", strategy_names, &strategy, err) ||
        !read_size(chunk, "max_chars", 1, &out->max_chars, err) ||
        !read_size(chunk, "overlap_chars", 0, &out->overlap_chars, err))
        return err_prefix(err, "chunk");
    if (out->overlap_chars >= out->max_chars)
        return bad_member("chunk.overlap_chars", err);
    out->strategy = (enum chunk_strategy)strategy;
    return true;
}

static bool read_model(const cJSON *object, struct embed_config *out, struct err *err)
{
    static const char *const distances[] = {"cosine", "l2", "ip", NULL};
    static const char *const id_schemes[] = {"position", "content", NULL};
    unsigned choice = 0;
    if (!read_string(object, "driver", &out->driver, err) ||
        !read_string(object, "model", &out->model, err) ||
        !read_string(object, "digest", &out->digest, err) ||
        !read_size(object, "dims", 1, &out->dims, err) ||
        !read_string(object, "distance", &out->distance, err) ||
        !read_choice(object, "distance", distances, &choice, err) ||
        !read_string(object, "document_prefix", &out->document_prefix, err) ||
        !read_string(object, "query_prefix", &out->query_prefix, err) ||
        !read_string(object, "id_scheme", &out->id_scheme, err) ||
        !read_choice(object, "id_scheme", id_schemes, &choice, err))
        return false;
    return out->dims <= LIMIT_VECTOR_DIMS || bad_member("dims", err);
}

static bool read_request(const cJSON *object, struct embed_config *out, struct err *err)
{
    if (json_get(object, "send_dimensions") &&
        !read_bool(object, "send_dimensions", &out->send_dimensions, err))
        return false;
    return !json_get(object, "extra") || read_string(object, "extra", &out->extra, err);
}

bool embed_config_read(const cJSON *object, struct arena *arena, struct embed_config *out,
                       struct err *err)
{
    *out = (struct embed_config){0};
    struct string_list fields = {0};
    if (!cJSON_IsObject(object))
        return err_set(err, ERR_FATAL, ERR_STATE, 0, "the embed config is not an object");
    if (!read_model(object, out, err) || !read_request(object, out, err) ||
        !read_normalize(object, arena, &out->normalize, err) ||
        !read_chunk(object, &out->chunk, err) || !read_strings(object, "text", arena, &fields, err))
        return false;
    out->text_fields = fields.items;
    out->text_field_count = fields.count;
    return true;
}

void config_fp(const cJSON *object, char out[static SHA256_TEXT_SIZE])
{
    char *canonical = json_canonical(object);
    struct sha256 digest = sha256_of(canonical, strlen(canonical));
    sha256_format(&digest, out);
    free(canonical);
}

struct sha256 embedding_fp(const struct embed_config *config)
{
    CLEANUP(cJSON_Deletep) cJSON *object = json_object();
    json_add_string(object, "driver", config->driver);
    json_add_string(object, "model", config->model ? config->model : "");
    json_add_string(object, "digest", config->digest ? config->digest : "");
    json_add_int(object, "dims", (int64_t)config->dims);
    json_add_string(object, "document_prefix",
                    config->document_prefix ? config->document_prefix : "");
    add_request(object, config);
    json_add_string(object, "input_format", EMBED_INPUT_FORMAT);
    char *canonical = json_canonical(object);
    struct sha256 fp = sha256_of(canonical, strlen(canonical));
    free(canonical);
    return fp;
}
