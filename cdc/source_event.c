/* SPDX-License-Identifier: Apache-2.0 */
#include "cdc/source_event.h"

#include <stdlib.h>
#include <string.h>

static bool is_source(const struct event_sources *sources, const char *collection)
{
    for (size_t i = 0; collection && i < sources->count; i++) {
        if (strcmp(sources->collections[i], collection) == 0)
            return true;
    }
    return false;
}

/* What of an event's fields its kind follows from. */
struct event_names {
    const char *type;
    const char *from; /* ns.coll */
    const char *to;   /* to.coll */
    bool has_key;
    bool has_shard_key;
};

static const char *text_of(const bson_iter_t *field)
{
    return BSON_ITER_HOLDS_UTF8(field) ? bson_iter_utf8(field, NULL) : NULL;
}

/* The text of a field of the document that `field` holds. */
static const char *text_below(const bson_iter_t *field, const char *name)
{
    bson_iter_t child;
    if (!bson_iter_recurse(field, &child) || !bson_iter_find(&child, name))
        return NULL;
    return text_of(&child);
}

static bool read_document(const bson_iter_t *field, bson_t *out)
{
    const uint8_t *data;
    uint32_t size;
    if (!BSON_ITER_HOLDS_DOCUMENT(field))
        return false;
    bson_iter_document(field, &size, &data);
    return bson_init_static(out, data, size);
}

/* {_data: "...", _typeBits: BinData}: the latter only where `_data` does not say it all. */
void event_read_token(const bson_iter_t *token, struct source_event *out)
{
    bson_iter_t part;
    bson_subtype_t subtype;
    if (!bson_iter_recurse(token, &part))
        return;
    while (bson_iter_next(&part)) {
        if (strcmp(bson_iter_key(&part), "_data") == 0 && BSON_ITER_HOLDS_UTF8(&part))
            out->ver = bson_iter_utf8(&part, NULL);
        else if (strcmp(bson_iter_key(&part), "_typeBits") == 0 && BSON_ITER_HOLDS_BINARY(&part))
            bson_iter_binary(&part, &subtype, &out->type_bits_size, &out->type_bits);
    }
}

char *source_event_token(const struct source_event *event)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t size = strlen(event->ver), at = size;
    char *token = malloc(size + 2 + 2 * (size_t)event->type_bits_size);
    memcpy(token, event->ver, size);
    if (event->type_bits_size > 0)
        token[at++] = ':';
    for (uint32_t i = 0; i < event->type_bits_size; i++) {
        token[at++] = digits[event->type_bits[i] >> 4];
        token[at++] = digits[event->type_bits[i] & 15];
    }
    token[at] = '\0';
    return token;
}

/* Of a sharded collection the key of a document has more fields than `_id`. One that moves to another
 * shard, since its shard key has changed, is deleted there and inserted here at one cluster time, and
 * the two come in the order of their keys: only the source knows what is true, so it is read again. */
static bool has_shard_key(const bson_iter_t *document_key)
{
    bson_iter_t field;
    return bson_iter_recurse(document_key, &field) && bson_iter_next(&field) &&
           bson_iter_next(&field);
}

static void read_key(const bson_iter_t *field, struct event_names *names, struct source_event *out)
{
    names->has_key = bson_iter_recurse(field, &out->id) && bson_iter_find(&out->id, "_id");
    names->has_shard_key = has_shard_key(field);
}

static void read_field(const bson_iter_t *field, struct event_names *names,
                       struct source_event *out)
{
    const char *name = bson_iter_key(field);
    if (strcmp(name, "_id") == 0)
        event_read_token(field, out);
    else if (strcmp(name, "operationType") == 0)
        names->type = text_of(field);
    else if (strcmp(name, "ns") == 0)
        names->from = text_below(field, "coll");
    else if (strcmp(name, "to") == 0)
        names->to = text_below(field, "coll");
    else if (strcmp(name, "wallTime") == 0 && BSON_ITER_HOLDS_DATE_TIME(field))
        out->time_ms = bson_iter_date_time(field);
    else if (strcmp(name, "documentKey") == 0)
        read_key(field, names, out);
    else if (strcmp(name, "fullDocument") == 0)
        out->has_document = read_document(field, &out->full_document);
}

static void read_kind(const struct event_sources *sources, const struct event_names *names,
                      struct source_event *out)
{
    out->kind = SOURCE_OTHER;
    out->type = names->type;
    if (!names->type)
        return;
    out->collection = names->from;
    if (strcmp(names->type, "insert") == 0 || strcmp(names->type, "replace") == 0 ||
        strcmp(names->type, "update") == 0) {
        out->kind = SOURCE_UPSERT;
    } else if (strcmp(names->type, "delete") == 0) {
        out->kind = SOURCE_DELETE;
    } else if (strcmp(names->type, "drop") == 0) {
        out->kind = SOURCE_DROPPED;
    } else if (strcmp(names->type, "dropDatabase") == 0) {
        out->kind = SOURCE_DROPPED;
        out->collection = NULL;
    } else if (strcmp(names->type, "rename") == 0) {
        out->kind = is_source(sources, names->to) ? SOURCE_REPLACED : SOURCE_DROPPED;
        if (out->kind == SOURCE_REPLACED)
            out->collection = names->to;
    } else if (strcmp(names->type, "invalidate") == 0) {
        out->kind = SOURCE_INVALIDATE;
    }
}

/* One pass over the fields, for there are very many events. */
bool event_read(bson_iter_t *fields, const struct event_sources *sources,
                struct source_batch *batch, struct err *err)
{
    struct source_event *out = &batch->events[batch->count++];
    struct event_names names = {0};
    out->type = out->collection = out->ver = NULL;
    out->type_bits = NULL;
    out->type_bits_size = 0;
    out->has_document = false;
    out->time_ms = 0;
    while (bson_iter_next(fields))
        read_field(fields, &names, out);
    read_kind(sources, &names, out);
    if (!out->ver)
        return err_set(err, ERR_RETRY, ERR_DATA, 0, "change stream: an event without a token");
    if (!names.has_key && (out->kind == SOURCE_UPSERT || out->kind == SOURCE_DELETE))
        return err_set(err, ERR_RETRY, ERR_DATA, 0, "change stream: an event without a key");
    if (out->kind == SOURCE_DELETE && names.has_shard_key)
        out->kind = SOURCE_UPSERT;
    /* the old name of what was renamed onto a source may be one, too */
    if (out->kind == SOURCE_REPLACED && is_source(sources, names.from))
        batch->events[batch->count++] = (struct source_event){.kind = SOURCE_DROPPED,
                                                              .type = "rename",
                                                              .collection = names.from,
                                                              .ver = out->ver,
                                                              .type_bits = out->type_bits,
                                                              .type_bits_size = out->type_bits_size,
                                                              .time_ms = out->time_ms};
    return true;
}
