/* SPDX-License-Identifier: Apache-2.0 */
#include "cdc/document.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/json_number.h"
#include "base/limits.h"
#include "base/text.h"
#include "cdc/filter.h"
#include "cdc/item.h"
#include "cdc/key.h"
#include "cdc/path.h"

struct mapping {
    char *name;
    char **paths;
    size_t path_count;
};

struct shape {
    char *id_field;
    struct filter *filter;
    struct mapping *mappings;
    size_t mapping_count;
    struct projection *projection;
    bson_t *command; /* projection for find */
    char fp[SHA256_TEXT_SIZE];
};

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

struct path_list {
    const char **items;
    size_t count;
};

static void add_path(const char *path, void *context)
{
    struct path_list *list = context;
    list->items = realloc(list->items, (list->count + 1) * sizeof *list->items);
    list->items[list->count++] = path;
}

static void collect_paths(const struct shape_options *options, const struct filter *filter,
                          struct path_list *list)
{
    add_path("_id", list);
    add_path(options->id_field, list);
    filter_paths(filter, add_path, list);
    for (size_t i = 0; i < options->metadata_count; i++) {
        for (size_t p = 0; p < options->metadata[i].path_count; p++)
            add_path(options->metadata[i].paths[p], list);
    }
    for (size_t i = 0; i < options->text_field_count; i++)
        add_path(options->text_fields[i], list);
    qsort(list->items, list->count, sizeof *list->items, compare_names);
}

static cJSON *metadata_json(const struct shape_options *options)
{
    cJSON *all = json_object();
    for (size_t i = 0; i < options->metadata_count; i++) {
        cJSON *paths = json_array();
        for (size_t p = 0; p < options->metadata[i].path_count; p++)
            json_append(paths, cJSON_CreateString(options->metadata[i].paths[p]));
        json_add(all, options->metadata[i].name, paths);
    }
    return all;
}

static void fingerprint(const struct shape_options *options, const struct path_list *list,
                        char *out)
{
    CLEANUP(cJSON_Deletep) cJSON *object = json_object();
    json_add_string(object, "database", options->database);
    json_add_string(object, "collection", options->collection);
    json_add_string(object, "filter", options->filter);
    json_add_string(object, "id_field", options->id_field);
    json_add(object, "metadata", metadata_json(options));
    cJSON *fields = json_array();
    for (size_t i = 0; i < list->count; i++) {
        if (i == 0 || strcmp(list->items[i], list->items[i - 1]) != 0)
            json_append(fields, cJSON_CreateString(list->items[i]));
    }
    json_add(object, "fields", fields);
    char *canonical = json_canonical(object);
    struct sha256 digest = sha256_of(canonical, strlen(canonical));
    sha256_format(&digest, out);
    free(canonical);
}

static void copy_mappings(struct shape *shape, const struct shape_options *options)
{
    shape->mapping_count = options->metadata_count;
    shape->mappings = calloc(options->metadata_count + 1, sizeof *shape->mappings);
    for (size_t i = 0; i < options->metadata_count; i++) {
        const struct shape_metadata *from = &options->metadata[i];
        struct mapping *to = &shape->mappings[i];
        to->name = strdup(from->name);
        to->paths = calloc(from->path_count + 1, sizeof *to->paths);
        to->path_count = from->path_count;
        for (size_t p = 0; p < from->path_count; p++)
            to->paths[p] = strdup(from->paths[p]);
    }
}

bool shape_new(const struct shape_options *options, struct shape **out, struct err *err)
{
    CLEANUP(shape_freep) struct shape *shape = calloc(1, sizeof *shape);
    if (!filter_compile(options->filter, &shape->filter, err))
        return false;
    shape->id_field = strdup(options->id_field);
    copy_mappings(shape, options);
    struct path_list list = {0};
    collect_paths(options, shape->filter, &list);
    shape->projection = projection_new();
    for (size_t i = 0; i < list.count; i++)
        projection_add(shape->projection, list.items[i]);
    shape->command = bson_new();
    projection_command(shape->projection, shape->command);
    fingerprint(options, &list, shape->fp);
    free(list.items);
    *out = TAKE(shape);
    return true;
}

void shape_free(struct shape *shape)
{
    if (!shape)
        return;
    for (size_t i = 0; i < shape->mapping_count; i++) {
        for (size_t p = 0; p < shape->mappings[i].path_count; p++)
            free(shape->mappings[i].paths[p]);
        free(shape->mappings[i].paths);
        free(shape->mappings[i].name);
    }
    free(shape->mappings);
    filter_free(shape->filter);
    projection_free(shape->projection);
    bson_destroy(shape->command);
    free(shape->id_field);
    free(shape);
}

const char *shape_fp(const struct shape *shape)
{
    return shape->fp;
}

bool shape_encode(const struct shape *shape, const bson_t *doc, struct buf *out, struct err *err)
{
    return item_encode_doc(doc, shape->projection, out, err);
}

const bson_t *shape_projection(const struct shape *shape)
{
    return shape->command;
}

const bson_t *shape_filter(const struct shape *shape)
{
    return filter_document(shape->filter);
}

bool shape_matches(const struct shape *shape, const bson_t *doc)
{
    return filter_matches(shape->filter, doc);
}

bool shape_source_id(const struct shape *shape, const bson_t *doc, struct arena *arena,
                     const char **out, struct err *err)
{
    bson_iter_t value;
    if (!path_find(doc, shape->id_field, &value) || BSON_ITER_HOLDS_NULL(&value) ||
        BSON_ITER_HOLDS_ARRAY(&value))
        return err_set(err, ERR_REJECT, ERR_DATA, 0, "the id field '%s' is missing, null or a list",
                       shape->id_field);
    CLEANUP(buf_fini) struct buf id = BUF_INIT(LIMIT_KEY_SIZE);
    key_source_id(&value, &id);
    if (id.overflow)
        return err_set(err, ERR_REJECT, ERR_DATA, 0, "the id field '%s' is longer than %zu bytes",
                       shape->id_field, LIMIT_KEY_SIZE);
    *out = arena_memdup(arena, buf_str(&id), id.size);
    return true;
}

/* A list or sub-document as relaxed extended JSON. libbson has no such form for a list: it is cut
 * out of {"": list}. */
static const char *json_text(const bson_iter_t *iter, struct arena *arena)
{
    bson_t wrapped = BSON_INITIALIZER;
    size_t size;
    bson_append_iter(&wrapped, "", 0, iter);
    char *json = bson_as_relaxed_extended_json(&wrapped, &size);
    static const char head[] = "{ \"\" : ", tail[] = " }";
    const char *copy = "";
    if (json)
        copy = arena_memdup(arena, json + sizeof head - 1,
                            size - (sizeof head - 1) - (sizeof tail - 1));
    bson_free(json);
    bson_destroy(&wrapped);
    return copy;
}

static const char *date_text(const bson_iter_t *iter, struct arena *arena)
{
    char text[32];
    clock_format(bson_iter_date_time(iter), text);
    return arena_strdup(arena, text);
}

static const char *decimal_text(const bson_iter_t *iter, struct arena *arena)
{
    bson_decimal128_t decimal;
    char text[BSON_DECIMAL128_STRING];
    bson_iter_decimal128(iter, &decimal);
    bson_decimal128_to_string(&decimal, text);
    return arena_strdup(arena, text);
}

static const char *key_text(const bson_iter_t *iter, struct arena *arena)
{
    CLEANUP(buf_fini) struct buf text = BUF_INIT(LIMIT_ITEM_SIZE);
    key_source_id(iter, &text);
    return arena_memdup(arena, buf_str(&text), text.size);
}

/* A value ends at its first NUL: one inside becomes U+FFFD rather than the end. */
static const char *without_nul(const char *text, size_t size, struct arena *arena)
{
    if (!memchr(text, 0, size))
        return arena_memdup(arena, text, size);
    CLEANUP(buf_fini) struct buf kept = BUF_INIT(size * 3);
    for (size_t i = 0; i < size; i++) {
        if (text[i])
            buf_putc(&kept, text[i]);
        else
            buf_puts(&kept, "\xef\xbf\xbd");
    }
    return arena_memdup(arena, buf_str(&kept), kept.size);
}

/* VALUE_NULL for what has no value. */
static struct value read_value(const bson_iter_t *iter, struct arena *arena)
{
    switch (bson_iter_type(iter)) {
    case BSON_TYPE_BOOL:
        return value_bool(bson_iter_bool(iter));
    case BSON_TYPE_INT32:
    case BSON_TYPE_INT64:
        return value_int(bson_iter_as_int64(iter));
    case BSON_TYPE_DOUBLE: {
        double number = bson_iter_double(iter);
        return isfinite(number) ? value_double(number) : value_null();
    }
    case BSON_TYPE_UTF8: {
        uint32_t size;
        const char *text = bson_iter_utf8(iter, &size);
        return value_string(without_nul(text, size, arena));
    }
    case BSON_TYPE_DATE_TIME:
        return value_string(date_text(iter, arena));
    case BSON_TYPE_DECIMAL128:
        return value_string(decimal_text(iter, arena));
    case BSON_TYPE_ARRAY:
    case BSON_TYPE_DOCUMENT:
        return value_string(json_text(iter, arena));
    case BSON_TYPE_NULL:
    case BSON_TYPE_UNDEFINED:
        return value_null();
    default:
        return value_string(key_text(iter, arena));
    }
}

struct entry {
    struct field field;
    size_t order; /* of two with one name the first counts */
};

struct field_list {
    struct entry *items;
    size_t count;
    size_t capacity;
    struct arena *arena;
};

static void add_field(struct field_list *list, const char *name, struct value value)
{
    if (value.type == VALUE_NULL)
        return;
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? list->capacity * 2 : 16;
        struct entry *items = arena_alloc_array(list->arena, capacity, sizeof *items);
        if (list->count > 0)
            memcpy(items, list->items, list->count * sizeof *items);
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->count] = (struct entry){.field = {name, value}, .order = list->count};
    list->count++;
}

static bool is_reserved(const char *name)
{
    static const char *const reserved[] = {"source_id", "chunk_id",   "family",         "version",
                                           "config_fp", "content_fp", "chroma:document"};
    for (size_t i = 0; i < ARRAY_LEN(reserved); i++) {
        if (strcmp(name, reserved[i]) == 0)
            return true;
    }
    return name[0] == '\0' || name[0] == '$' || name[0] == '#';
}

/* A name goes to the store and to the ledger: what is not UTF-8 in it is replaced. */
static const char *valid_text(const char *text, struct arena *arena)
{
    size_t size = strlen(text);
    if (text_is_utf8(text, size))
        return arena_memdup(arena, text, size);
    CLEANUP(buf_fini) struct buf valid = BUF_INIT(LIMIT_ITEM_SIZE);
    text_append_valid(&valid, text, size);
    return arena_memdup(arena, buf_str(&valid), valid.size);
}

static void add_subdocument(const bson_t *doc, const char *path, struct field_list *list)
{
    bson_iter_t value, field;
    if (!path_find(doc, path, &value) || !BSON_ITER_HOLDS_DOCUMENT(&value) ||
        !bson_iter_recurse(&value, &field))
        return;
    while (bson_iter_next(&field)) {
        bool scalar = !BSON_ITER_HOLDS_DOCUMENT(&field) && !BSON_ITER_HOLDS_ARRAY(&field);
        if (scalar && !is_reserved(bson_iter_key(&field)))
            add_field(list, valid_text(bson_iter_key(&field), list->arena),
                      read_value(&field, list->arena));
    }
}

static int compare_entries(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int order = strcmp(x->field.name, y->field.name);
    return order != 0 ? order : (x->order > y->order) - (x->order < y->order);
}

/* The first path that leads to a value. */
static void add_mapped(const bson_t *doc, const struct mapping *mapping, struct field_list *list)
{
    bson_iter_t found;
    struct value value = value_null();
    for (size_t p = 0; value.type == VALUE_NULL && p < mapping->path_count; p++) {
        if (path_find(doc, mapping->paths[p], &found))
            value = read_value(&found, list->arena);
    }
    add_field(list, mapping->name, value);
}

static void take_fields(struct field_list *list, struct field **out, size_t *count)
{
    if (list->count > 0)
        qsort(list->items, list->count, sizeof *list->items, compare_entries);
    *out = arena_alloc_array(list->arena, list->count + 1, sizeof **out);
    *count = 0;
    for (size_t i = 0; i < list->count; i++) {
        if (i == 0 || strcmp(list->items[i].field.name, list->items[i - 1].field.name) != 0)
            (*out)[(*count)++] = list->items[i].field;
    }
}

void shape_read_metadata(const struct shape *shape, const bson_t *doc, struct arena *arena,
                         struct field **out, size_t *count)
{
    struct field_list list = {.arena = arena};
    /* what is mapped by name goes before "*" */
    for (size_t i = 0; i < shape->mapping_count; i++) {
        if (strcmp(shape->mappings[i].name, "*") != 0)
            add_mapped(doc, &shape->mappings[i], &list);
    }
    for (size_t i = 0; i < shape->mapping_count; i++) {
        const struct mapping *mapping = &shape->mappings[i];
        for (size_t p = 0; strcmp(mapping->name, "*") == 0 && p < mapping->path_count; p++)
            add_subdocument(doc, mapping->paths[p], &list);
    }
    take_fields(&list, out, count);
}

static void append_part(struct buf *out, const char *text, size_t size, const char *separator)
{
    if (size == 0)
        return;
    if (out->size > 0)
        buf_puts(out, separator);
    buf_append(out, text, size);
}

static const char binary_data[] = "binary data";

/* How far into a data URL its media type and parameters may reach. */
#define DATA_URL_HEAD 256

static bool begins_with(const char *text, size_t size, const char *prefix)
{
    size_t length = strlen(prefix);
    return size >= length && strncasecmp(text, prefix, length) == 0;
}

/* RFC 2397: "data:" type "/" subtype parameters [";base64"] ",". A sentence has a space before. */
static bool is_data_url(const char *text, size_t size)
{
    static const char *const kinds[] = {"data:image/", "data:audio/", "data:video/"};
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (begins_with(text, size, kinds[i]))
            return true;
    }
    if (!begins_with(text, size, "data:"))
        return false;
    size_t end = 5;
    while (end < size && end < DATA_URL_HEAD && (unsigned char)text[end] > ' ' && text[end] != ',')
        end++;
    static const char last[] = ";base64";
    return end < size && text[end] == ',' && end >= sizeof last - 1 &&
           strncasecmp(text + end - (sizeof last - 1), last, sizeof last - 1) == 0;
}

const char *document_text_problem(const char *text, size_t size)
{
    size_t at = 0;
    while (at < size && strchr(" \t\r\n", text[at]) && text[at])
        at++;
    if (begins_with(text + at, size - at, "img:"))
        return "a reference to an image (img:)";
    return is_data_url(text + at, size - at) ? "a file as a data URL" : NULL;
}

/* The text of a scalar; otherwise returns what it is that nobody wrote as text. */
static const char *append_scalar(const bson_iter_t *iter, struct buf *out, const char *separator)
{
    static const char no_text[] = "something that is no text";
    char text[64] = "";
    switch (bson_iter_type(iter)) {
    case BSON_TYPE_UTF8: {
        uint32_t size;
        const char *string = bson_iter_utf8(iter, &size);
        const char *problem = document_text_problem(string, size);
        if (!problem)
            append_part(out, string, size, separator);
        return problem;
    }
    case BSON_TYPE_NULL:
    case BSON_TYPE_UNDEFINED:
        return NULL;
    case BSON_TYPE_BINARY:
        return binary_data;
    case BSON_TYPE_INT32:
    case BSON_TYPE_INT64:
        snprintf(text, sizeof text, "%" PRId64, bson_iter_as_int64(iter));
        break;
    case BSON_TYPE_DOUBLE:
        if (!isfinite(bson_iter_double(iter)))
            return no_text;
        json_number_format(bson_iter_double(iter), text);
        break;
    case BSON_TYPE_DECIMAL128: {
        bson_decimal128_t decimal;
        bson_iter_decimal128(iter, &decimal);
        bson_decimal128_to_string(&decimal, text);
        break;
    }
    case BSON_TYPE_BOOL:
        snprintf(text, sizeof text, "%s", bson_iter_bool(iter) ? "true" : "false");
        break;
    case BSON_TYPE_DATE_TIME: {
        char date[32];
        clock_format(bson_iter_date_time(iter), date);
        snprintf(text, sizeof text, "%s", date);
        break;
    }
    default:
        return no_text;
    }
    append_part(out, text, strlen(text), separator);
    return NULL;
}

static const char *append_list(const bson_iter_t *list, struct buf *out)
{
    bson_iter_t element;
    const char *separator = "\n\n";
    if (!bson_iter_recurse(list, &element))
        return "a broken list";
    while (bson_iter_next(&element)) {
        size_t before = out->size;
        const char *problem = append_scalar(&element, out, separator);
        if (problem)
            return problem;
        if (out->size > before)
            separator = "\n";
    }
    return NULL;
}

static const char *foreign_value(const bson_iter_t *value)
{
    uint32_t size;
    if (BSON_ITER_HOLDS_BINARY(value))
        return binary_data;
    if (!BSON_ITER_HOLDS_UTF8(value))
        return NULL;
    const char *text = bson_iter_utf8(value, &size);
    return document_text_problem(text, size);
}

const char *document_foreign_field(const bson_t *doc, const char *const *fields, size_t count,
                                   const char **problem)
{
    for (size_t i = 0; i < count; i++) {
        bson_iter_t value, element;
        if (!path_find(doc, fields[i], &value))
            continue;
        *problem = foreign_value(&value);
        if (BSON_ITER_HOLDS_ARRAY(&value) && bson_iter_recurse(&value, &element)) {
            while (!*problem && bson_iter_next(&element))
                *problem = foreign_value(&element);
        }
        if (*problem)
            return fields[i];
    }
    return NULL;
}

bool document_text(const bson_t *doc, const char *const *fields, size_t count, struct buf *out,
                   struct err *err)
{
    for (size_t i = 0; i < count; i++) {
        bson_iter_t value;
        if (!path_find(doc, fields[i], &value))
            continue;
        const char *problem = BSON_ITER_HOLDS_ARRAY(&value) ? append_list(&value, out)
                                                            : append_scalar(&value, out, "\n\n");
        if (problem)
            return err_set(err, ERR_REJECT, ERR_DATA, 0, "the text field '%s' holds %s", fields[i],
                           problem);
    }
    if (out->overflow)
        return err_set(err, ERR_REJECT, ERR_DATA, 0, "the text is larger than %zu bytes",
                       out->max_size);
    return true;
}

struct sha256 document_meta_fp(const struct field *metadata, size_t count)
{
    struct sha256_stream *stream = sha256_stream_new();
    for (size_t i = 0; i < count; i++) {
        const struct value *value = &metadata[i].value;
        CLEANUP(buf_fini) struct buf scalar = BUF_INIT(JSON_NUMBER_TEXT_SIZE);
        const char *text = value->as.string;
        if (value->type != VALUE_STRING) {
            json_write_value(&scalar, value);
            text = buf_str(&scalar);
        }
        /* each part with its NUL, and the type: 1 is not "1" */
        const uint8_t type = (uint8_t)value->type;
        sha256_stream_update(stream, metadata[i].name, strlen(metadata[i].name) + 1);
        sha256_stream_update(stream, &type, sizeof type);
        sha256_stream_update(stream, text, strlen(text) + 1);
    }
    return sha256_stream_finish(stream);
}

struct sha256 document_fp(const char *source_id, const char *text, size_t text_size,
                          const struct sha256 *meta_fp)
{
    struct sha256_stream *stream = sha256_stream_new();
    sha256_stream_update(stream, source_id, strlen(source_id) + 1);
    sha256_stream_update(stream, meta_fp->bytes, sizeof meta_fp->bytes);
    sha256_stream_update(stream, text, text_size);
    return sha256_stream_finish(stream);
}
