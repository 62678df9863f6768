/* SPDX-License-Identifier: Apache-2.0 */
#include "sinks/sink.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "sinks/drivers.h"
#include "sinks/where.h"

const struct sink_ops *const sink_registry[] = {&chroma_sink, &memory_sink, &null_sink, NULL};

bool sink_open(const struct sink_options *options, struct sink **out, struct err *err)
{
    assert(options->name && options->driver);
    for (size_t i = 0; sink_registry[i]; i++) {
        if (strcmp(sink_registry[i]->name, options->driver) != 0)
            continue;
        if (!sink_registry[i]->open(options, out, err))
            return err_prefix(err, "store %s", options->name);
        assert((*out)->limits.max_records > 0 && (*out)->limits.max_ids > 0);
        return true;
    }
    return err_set(err, ERR_FATAL, ERR_CONFIG, 0, "store %s: there is no driver \"%s\"",
                   options->name, options->driver);
}

size_t sink_writers(const char *driver)
{
    for (size_t i = 0; sink_registry[i]; i++) {
        if (strcmp(sink_registry[i]->name, driver) == 0)
            return sink_registry[i]->writers;
    }
    return 1;
}

void sink_set_counts(struct sink *sink, struct sink_counts *counts)
{
    sink->counts = counts;
}

/* The end of a request: see sink_counted(). */
#define COUNTED(op, ok) sink_counted(sink->counts, SINK_OP_##op, ok, err)

bool sink_connect(struct sink *sink, struct err *err)
{
    return COUNTED(CONNECT, sink->ops->connect(sink, err));
}

bool sink_find(struct sink *sink, const char *name, struct arena *arena, bool *found,
               struct sink_collection *out, struct err *err)
{
    *found = false;
    return COUNTED(FIND, sink->ops->find(sink, name, arena, found, out, err));
}

bool sink_find_id(struct sink *sink, const char *id, struct arena *arena, bool *found,
                  struct sink_collection *out, struct err *err)
{
    *found = false;
    return COUNTED(FIND, sink->ops->find_id(sink, id, arena, found, out, err));
}

static void print_value(const struct value *value, char *out, size_t size)
{
    switch (value->type) {
    case VALUE_NULL:
        snprintf(out, size, "nothing");
        return;
    case VALUE_BOOL:
        snprintf(out, size, "%s", value->as.boolean ? "true" : "false");
        return;
    case VALUE_INT:
        snprintf(out, size, "%" PRId64, value->as.integer);
        return;
    case VALUE_DOUBLE:
        snprintf(out, size, "%.17g", value->as.number);
        return;
    case VALUE_STRING:
        snprintf(out, size, "\"%s\"", value->as.string);
        return;
    }
}

static bool same_value(const struct value *a, const struct value *b)
{
    if (a->type != b->type)
        return false;
    if (a->type == VALUE_STRING)
        return strcmp(a->as.string, b->as.string) == 0;
    return a->type == VALUE_INT && a->as.integer == b->as.integer;
}

static struct value value_of(const struct sink_collection *collection, const char *name)
{
    for (size_t i = 0; i < collection->metadata_count; i++) {
        if (strcmp(collection->metadata[i].name, name) == 0)
            return collection->metadata[i].value;
    }
    return value_null();
}

static bool differs(const struct sink_spec *spec, const char *what, const struct value *wanted,
                    const struct value *held, struct err *err)
{
    char want[128];
    char have[128];
    print_value(wanted, want, sizeof want);
    print_value(held, have, sizeof have);
    return err_set(err, ERR_FATAL, ERR_STATE, 0,
                   "collection %s is not what it should be: %s is %s in the store, expected %s",
                   spec->name, what, have, want);
}

static bool check_spec(const struct sink_spec *spec, const struct sink_collection *held,
                       struct err *err)
{
    if (strcmp(spec->distance, held->distance) != 0) {
        struct value wanted = value_string(spec->distance);
        struct value found = value_string(held->distance);
        return differs(spec, "distance", &wanted, &found, err);
    }
    if (held->dims != 0 && held->dims != spec->dims) {
        struct value wanted = value_int((int64_t)spec->dims);
        struct value found = value_int((int64_t)held->dims);
        return differs(spec, "dims", &wanted, &found, err);
    }
    for (size_t i = 0; i < spec->metadata_count; i++) {
        const struct field *field = &spec->metadata[i];
        struct value found = value_of(held, field->name);
        if (!same_value(&field->value, &found))
            return differs(spec, field->name, &field->value, &found, err);
    }
    return true;
}

bool sink_ensure(struct sink *sink, const struct sink_spec *spec, struct arena *arena,
                 struct sink_collection *out, struct err *err)
{
    assert(spec->dims > 0);
    bool found = false;
    if (!sink_find(sink, spec->name, arena, &found, out, err))
        return false;
    if (!found && !COUNTED(CREATE, sink->ops->create(sink, spec, arena, out, err))) {
        /* Another process may have been faster, or the answer to our own request was lost. */
        if (!sink_find(sink, spec->name, arena, &found, out, NULL) || !found)
            return false;
    }
    return check_spec(spec, out, err);
}

bool sink_drop(struct sink *sink, const char *name, struct err *err)
{
    return COUNTED(DROP, sink->ops->drop(sink, name, err));
}

/* Stores say in their own ways that a name is taken, Chroma as an error of the server: what is there
 * tells. So it tells that a request whose answer was lost was carried out. */
bool sink_rename(struct sink *sink, const char *id, const char *name, struct arena *arena,
                 struct err *err)
{
    struct err refused = {0};
    struct sink_collection held, own;
    bool found = false, known = false;
    if (sink_counted(sink->counts, SINK_OP_RENAME, sink->ops->rename(sink, id, name, &refused),
                     &refused))
        return true;
    bool looked = refused.action != ERR_CANCEL && refused.code != 404 &&
                  sink_find(sink, name, arena, &found, &held, NULL);
    if (looked && found && strcmp(held.id, id) == 0)
        return true;
    if (looked && found && sink_find_id(sink, id, arena, &known, &own, NULL) && known)
        return err_set(err, ERR_FATAL, ERR_HTTP, 409,
                       "collection %s cannot be named %s: collection %s has that name", own.name,
                       name, held.id);
    if (err)
        *err = refused;
    return err_prefix(err, "collection %s", name);
}

bool sink_list(struct sink *sink, struct arena *arena, struct sink_collection **out, size_t *count,
               struct err *err)
{
    *out = NULL;
    *count = 0;
    return COUNTED(LIST, sink->ops->list(sink, arena, out, count, err));
}

/* Of a request, beside its records. */
#define REQUEST_SIZE ((size_t)1024)

/* Upper bound of a text's size as a JSON string. */
static size_t string_size(const char *text)
{
    size_t size = 3;
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c < 0x20)
            size += 6;
        else if (*c >= 0x80)
            size += 3; /* an invalid byte becomes U+FFFD */
        else
            size += *c == '"' || *c == '\\' ? 2 : 1;
    }
    return size;
}

/* Upper bound of what a record takes in a request, whatever form the store takes numbers in. */
static size_t record_size(const struct sink_record *record)
{
    size_t size = 16 + string_size(record->id) + 16 * record->dims;
    if (record->text)
        size += string_size(record->text);
    for (size_t i = 0; i < record->metadata_count; i++) {
        const struct field *field = &record->metadata[i];
        size += string_size(field->name) + 32;
        if (field->value.type == VALUE_STRING)
            size += string_size(field->value.as.string);
    }
    return size;
}

/* No byte of a text takes more in JSON. */
#define LONGEST_ESCAPE ((size_t)6)

/* A bound far above record_size(), for which no text is read byte by byte. */
static size_t rough_size(const struct sink_record *record)
{
    size_t bytes = strlen(record->id) + (record->text ? strlen(record->text) : 0);
    for (size_t i = 0; i < record->metadata_count; i++) {
        const struct field *field = &record->metadata[i];
        bytes += strlen(field->name);
        if (field->value.type == VALUE_STRING)
            bytes += strlen(field->value.as.string);
    }
    return 32 + 16 * record->dims + 64 * record->metadata_count + LONGEST_ESCAPE * bytes;
}

/* Mostly all fit by far. */
static bool fit_roughly(const struct sink *sink, const struct sink_record *records, size_t count)
{
    size_t size = REQUEST_SIZE;
    for (size_t i = 0; i < count && size <= sink->limits.max_body_size; i++)
        size += rough_size(&records[i]);
    return size <= sink->limits.max_body_size;
}

size_t sink_part(const struct sink *sink, const struct sink_record *records, size_t count)
{
    size_t size = REQUEST_SIZE;
    size_t part = 0;
    size_t most = count < sink->limits.max_records ? count : sink->limits.max_records;
    if (fit_roughly(sink, records, most))
        return most;
    while (part < most) {
        size += record_size(&records[part]);
        if (part > 0 && size > sink->limits.max_body_size)
            break;
        part++;
    }
    return part;
}

bool sink_upsert(struct sink *sink, const char *collection, const struct sink_record *records,
                 size_t count, struct err *err)
{
    for (size_t i = 0; i < count; i++)
        assert(records[i].id && records[i].id[0] && records[i].vector && records[i].dims > 0);
    while (count > 0) {
        size_t part = sink_part(sink, records, count);
        if (!COUNTED(UPSERT, sink->ops->upsert(sink, collection, records, part, err)))
            return false;
        records += part;
        count -= part;
    }
    return true;
}

bool sink_update(struct sink *sink, const char *collection, const struct sink_record *records,
                 size_t count, struct err *err)
{
    for (size_t i = 0; i < count; i++)
        assert(records[i].id && records[i].id[0]);
    while (count > 0) {
        size_t part = sink_part(sink, records, count);
        if (!COUNTED(UPDATE, sink->ops->update(sink, collection, records, part, err)))
            return false;
        records += part;
        count -= part;
    }
    return true;
}

static size_t ids_part(const struct sink *sink, size_t count)
{
    return count < sink->limits.max_ids ? count : sink->limits.max_ids;
}

bool sink_erase(struct sink *sink, const char *collection, const char *const *ids, size_t count,
                struct err *err)
{
    while (count > 0) {
        size_t part = ids_part(sink, count);
        if (!COUNTED(ERASE, sink->ops->erase(sink, collection, ids, part, err)))
            return false;
        ids += part;
        count -= part;
    }
    return true;
}

bool sink_count(struct sink *sink, const char *collection, int64_t *out, struct err *err)
{
    *out = 0;
    return COUNTED(COUNT_RECORDS, sink->ops->count(sink, collection, out, err));
}

/* wide: the parameters of its slot */ /* NOLINTNEXTLINE(readability-function-size) */
bool sink_scan(struct sink *sink, const char *collection, size_t offset, unsigned include,
               struct arena *arena, struct sink_record **out, size_t *count, struct err *err)
{
    *out = NULL;
    *count = 0;
    return COUNTED(SCAN,
                   sink->ops->scan(sink, collection, offset, include, arena, out, count, err));
}

/* wide: the parameters of its slot */ /* NOLINTNEXTLINE(readability-function-size) */
bool sink_fetch(struct sink *sink, const char *collection, const char *const *ids, size_t id_count,
                unsigned include, struct arena *arena, struct sink_record **out, size_t *count,
                struct err *err)
{
    *out = NULL;
    *count = 0;
    if (id_count == 0)
        return true;
    if (id_count <= sink->limits.max_ids)
        return COUNTED(FETCH, sink->ops->fetch(sink, collection, ids, id_count, include, arena, out,
                                               count, err));
    *out = arena_alloc_array(arena, id_count, sizeof **out);
    while (id_count > 0) {
        size_t part = ids_part(sink, id_count);
        struct sink_record *records = NULL;
        size_t found = 0;
        if (!COUNTED(FETCH, sink->ops->fetch(sink, collection, ids, part, include, arena, &records,
                                             &found, err)))
            return false;
        assert(found <= part);
        if (found > 0)
            memcpy(*out + *count, records, found * sizeof *records);
        *count += found;
        ids += part;
        id_count -= part;
    }
    return true;
}

/* wide: the parameters of its slot */ /* NOLINTNEXTLINE(readability-function-size) */
bool sink_query(struct sink *sink, const char *collection, const struct sink_query *query,
                struct arena *arena, struct sink_match **out, size_t *count, struct err *err)
{
    assert(query->vector && query->dims > 0);
    *out = NULL;
    *count = 0;
    if (query->where) {
        CLEANUP(cJSON_Deletep)
        cJSON *where = json_parse(query->where, strlen(query->where), err);
        if (!where || !where_check(where, err))
            return false;
    }
    if (query->k == 0)
        return true;
    return COUNTED(QUERY, sink->ops->query(sink, collection, query->vector, query->dims, query->k,
                                           query->where, arena, out, count, err));
}

/* Vectors of one request: its answer has `k` records for each, and what is asked is printed as numbers. */
#define QUERIES_PER_REQUEST ((size_t)50)
#define QUERY_FLOATS ((size_t)1 << 18)

static size_t queries_part(const struct sink_queries *queries)
{
    size_t part = QUERY_FLOATS / queries->dims;
    if (part > QUERIES_PER_REQUEST)
        part = QUERIES_PER_REQUEST;
    if (part > queries->count)
        part = queries->count;
    return part > 0 ? part : 1;
}

static bool query_part(struct sink *sink, const char *collection,
                       const struct sink_queries *queries, struct arena *arena,
                       struct sink_matches *out, struct err *err)
{
    if (sink->ops->query_each)
        return COUNTED(QUERY, sink->ops->query_each(sink, collection, queries, arena, out, err));
    for (size_t i = 0; i < queries->count; i++) {
        if (!COUNTED(QUERY,
                     sink->ops->query(sink, collection, queries->vectors[i], queries->dims,
                                      queries->k, NULL, arena, &out[i].items, &out[i].count, err)))
            return false;
        for (size_t m = 0; m < out[i].count; m++)
            out[i].items[m].record.text = NULL;
    }
    return true;
}

bool sink_query_each(struct sink *sink, const char *collection, const struct sink_queries *queries,
                     struct arena *arena, struct sink_matches **out, struct err *err)
{
    assert(queries->dims > 0);
    *out = arena_alloc_array(arena, queries->count + 1, sizeof **out);
    struct sink_queries rest = *queries;
    for (size_t part, at = 0; queries->k > 0 && at < queries->count; at += part) {
        rest.vectors = queries->vectors + at;
        rest.count = queries->count - at;
        rest.count = part = queries_part(&rest);
        if (!query_part(sink, collection, &rest, arena, *out + at, err))
            return false;
    }
    return true;
}

void sink_set_guard(struct sink *sink, http_may_send *may_send, void *context)
{
    sink->may_send = may_send;
    sink->guard_context = context;
    if (sink->http)
        http_set_guard(sink->http, may_send, context);
}

void sink_interrupt(struct sink *sink)
{
    sink->ops->interrupt(sink);
}

void sink_close(struct sink *sink)
{
    if (sink)
        sink->ops->close(sink);
}
