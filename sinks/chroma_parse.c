/* SPDX-License-Identifier: Apache-2.0 */
#include "sinks/chroma_parse.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/limits.h"

static bool bad_reply(struct err *err, const char *what)
{
    return err_set(err, ERR_RETRY, ERR_DATA, 0, "Chroma's reply has no usable %s", what);
}

bool chroma_parse_preflight(const struct chroma_reply *reply, struct chroma_preflight *out,
                            struct err *err)
{
    CLEANUP(cJSON_Deletep) cJSON *object = json_parse(reply->body, reply->size, NULL);
    int64_t batch = 0;
    *out = (struct chroma_preflight){0};
    if (!json_get_int(object, "max_batch_size", &batch) || batch < 1)
        return bad_reply(err, "max_batch_size");
    out->max_batch_size = (size_t)batch;
    (void)!json_get_bool(object, "supports_base64_encoding", &out->base64); /* newer servers only */
    return true;
}

/* False for what metadata cannot hold: lists and objects, which others may have written. */
static bool read_value(const cJSON *node, struct arena *arena, struct value *out)
{
    int64_t integer = 0;
    if (cJSON_IsString(node))
        *out = value_string(arena_strdup(arena, node->valuestring));
    else if (cJSON_IsBool(node))
        *out = value_bool(cJSON_IsTrue(node));
    else if (json_int(node, &integer))
        *out = value_int(integer);
    else if (cJSON_IsNumber(node))
        *out = value_double(node->valuedouble);
    else
        return false;
    return true;
}

/* Null and nonsense give no fields. */
static size_t read_fields(const cJSON *object, struct arena *arena, struct field **out)
{
    size_t count = 0;
    *out = NULL;
    if (!cJSON_IsObject(object) || !object->child)
        return 0;
    *out = arena_alloc_array(arena, (size_t)cJSON_GetArraySize(object), sizeof **out);
    const cJSON *member = NULL;
    cJSON_ArrayForEach(member, object)
    {
        struct field *field = &(*out)[count];
        if (!read_value(member, arena, &field->value))
            continue;
        field->name = arena_strdup(arena, member->string);
        count++;
    }
    return count;
}

static bool copy_text(char *out, size_t size, const char *text)
{
    size_t length = strlen(text);
    if (length == 0 || length >= size)
        return false;
    memcpy(out, text, length + 1);
    return true;
}

/* Where the space stands: the configuration, and for collections of old the metadata. */
static const char *space_of(const cJSON *object)
{
    const cJSON *configuration = json_get(object, "configuration_json");
    const char *space = NULL;
    if (json_get_string(json_get(configuration, "hnsw"), "space", &space) ||
        json_get_string(json_get(configuration, "spann"), "space", &space) ||
        json_get_string(json_get(object, "metadata"), "hnsw:space", &space))
        return space;
    return "l2"; /* Chroma's default */
}

static bool read_collection(const cJSON *object, struct arena *arena, struct sink_collection *out,
                            struct err *err)
{
    *out = (struct sink_collection){0};
    const char *text = NULL;
    int64_t dims = 0;
    if (!json_get_string(object, "id", &text) || !copy_text(out->id, sizeof out->id, text))
        return bad_reply(err, "collection id");
    if (!json_get_string(object, "name", &text) || !copy_text(out->name, sizeof out->name, text))
        return bad_reply(err, "collection name");
    if (!copy_text(out->distance, sizeof out->distance, space_of(object)))
        return bad_reply(err, "distance");
    const cJSON *dimension = json_get(object, "dimension");
    if (dimension && !cJSON_IsNull(dimension) &&
        (!json_int(dimension, &dims) || dims < 0 || dims > INT32_MAX))
        return bad_reply(err, "dimension");
    out->dims = (size_t)dims;
    out->metadata_count = read_fields(json_get(object, "metadata"), arena, &out->metadata);
    return true;
}

bool chroma_parse_collection(const struct chroma_reply *reply, struct arena *arena,
                             struct sink_collection *out, struct err *err)
{
    CLEANUP(cJSON_Deletep) cJSON *object = json_parse(reply->body, reply->size, NULL);
    return read_collection(object, arena, out, err);
}

bool chroma_parse_list(const struct chroma_reply *reply, struct arena *arena,
                       struct sink_collection **out, size_t *count, struct err *err)
{
    CLEANUP(cJSON_Deletep) cJSON *array = json_parse(reply->body, reply->size, NULL);
    *count = 0;
    if (!cJSON_IsArray(array))
        return bad_reply(err, "list of collections");
    *out = arena_alloc_array(arena, (size_t)cJSON_GetArraySize(array) + 1, sizeof **out);
    const cJSON *element = NULL;
    cJSON_ArrayForEach(element, array)
    {
        if (!read_collection(element, arena, &(*out)[*count], err))
            return false;
        (*count)++;
    }
    return true;
}

bool chroma_parse_count(const struct chroma_reply *reply, int64_t *out, struct err *err)
{
    CLEANUP(cJSON_Deletep) cJSON *number = json_parse(reply->body, reply->size, NULL);
    return (json_int(number, out) && *out >= 0) || bad_reply(err, "count");
}

/* The arrays of a get, side by side. A part that was not asked for is null. */
struct columns {
    const cJSON *ids;
    const cJSON *vectors;
    const cJSON *texts;
    const cJSON *metadatas;
    const cJSON *distances;
    size_t count;
};

static bool read_column(const cJSON *array, size_t count, const cJSON **out, const char *name,
                        struct err *err)
{
    *out = NULL;
    if (!array || cJSON_IsNull(array))
        return true;
    if (!cJSON_IsArray(array) || (size_t)cJSON_GetArraySize(array) != count)
        return bad_reply(err, name);
    *out = array->child;
    return true;
}

/* In a query's reply each column is a list of lists, one for each vector asked about. */
#define NOT_NESTED (-1)
static const cJSON *column_of(const cJSON *object, const char *name, int list)
{
    const cJSON *column = json_get(object, name);
    return list != NOT_NESTED && cJSON_IsArray(column) ? cJSON_GetArrayItem(column, list) : column;
}

static bool read_columns(const cJSON *object, int list, struct columns *out, struct err *err)
{
    const cJSON *ids = column_of(object, "ids", list);
    if (!cJSON_IsArray(ids))
        return bad_reply(err, "ids");
    out->ids = ids->child;
    out->count = (size_t)cJSON_GetArraySize(ids);
    return read_column(column_of(object, "embeddings", list), out->count, &out->vectors,
                       "embeddings", err) &&
           read_column(column_of(object, "documents", list), out->count, &out->texts, "documents",
                       err) &&
           read_column(column_of(object, "metadatas", list), out->count, &out->metadatas,
                       "metadatas", err) &&
           read_column(column_of(object, "distances", list), out->count, &out->distances,
                       "distances", err);
}

static void columns_next(struct columns *columns)
{
    const cJSON **parts[] = {&columns->ids, &columns->vectors, &columns->texts, &columns->metadatas,
                             &columns->distances};
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        *parts[i] = *parts[i] ? (*parts[i])->next : NULL;
}

/* A number that is not finite comes as null: it stays visible as NaN. */
static bool read_vector(const cJSON *array, struct arena *arena, struct sink_record *out,
                        struct err *err)
{
    if (!cJSON_IsArray(array))
        return bad_reply(err, "embeddings");
    size_t dims = (size_t)cJSON_GetArraySize(array);
    float *vector = arena_alloc_array(arena, dims + 1, sizeof *vector);
    size_t at = 0;
    const cJSON *number = NULL;
    cJSON_ArrayForEach(number, array)
    {
        int64_t integer = 0;
        if (cJSON_IsNumber(number))
            vector[at++] = (float)number->valuedouble;
        else if (json_int(number, &integer))
            vector[at++] = (float)integer;
        else
            vector[at++] = NAN;
    }
    out->vector = vector;
    out->dims = dims;
    return true;
}

static bool read_record(const struct columns *columns, struct arena *arena, struct sink_record *out,
                        struct err *err)
{
    if (!cJSON_IsString(columns->ids))
        return bad_reply(err, "id");
    out->id = arena_strdup(arena, columns->ids->valuestring);
    if (columns->vectors && !cJSON_IsNull(columns->vectors) &&
        !read_vector(columns->vectors, arena, out, err))
        return false;
    if (columns->texts && cJSON_IsString(columns->texts))
        out->text = arena_strdup(arena, columns->texts->valuestring);
    struct field *fields = NULL;
    out->metadata_count = read_fields(columns->metadatas, arena, &fields);
    out->metadata = fields;
    return true;
}

bool chroma_parse_records(const struct chroma_reply *reply, struct arena *arena,
                          struct sink_record **out, size_t *count, struct err *err)
{
    CLEANUP(cJSON_Deletep) cJSON *object = json_parse(reply->body, reply->size, NULL);
    struct columns columns = {0};
    *count = 0;
    if (!read_columns(object, NOT_NESTED, &columns, err))
        return false;
    *out = arena_alloc_array(arena, columns.count + 1, sizeof **out);
    for (size_t i = 0; i < columns.count; i++, columns_next(&columns)) {
        if (!read_record(&columns, arena, &(*out)[i], err))
            return false;
    }
    *count = columns.count;
    return true;
}

/* Of the vector that was asked about at this place. */
static bool read_matches(const cJSON *object, int list, struct arena *arena,
                         struct sink_matches *out, struct err *err)
{
    struct columns columns = {0};
    out->count = 0;
    if (!read_columns(object, list, &columns, err))
        return false;
    out->items = arena_alloc_array(arena, columns.count + 1, sizeof *out->items);
    for (size_t i = 0; i < columns.count; i++, columns_next(&columns)) {
        struct sink_match *match = &out->items[i];
        if (!read_record(&columns, arena, &match->record, err))
            return false;
        if (!columns.distances || !cJSON_IsNumber(columns.distances))
            return bad_reply(err, "distances");
        match->distance = columns.distances->valuedouble;
    }
    out->count = columns.count;
    return true;
}

bool chroma_parse_matches(const struct chroma_reply *reply, struct arena *arena,
                          struct sink_matches *out, size_t count, struct err *err)
{
    CLEANUP(cJSON_Deletep) cJSON *object = json_parse(reply->body, reply->size, NULL);
    for (size_t i = 0; i < count; i++) {
        if (!read_matches(object, (int)i, arena, &out[i], err))
            return false;
    }
    return true;
}
