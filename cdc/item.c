/* SPDX-License-Identifier: Apache-2.0 */
/* The value of an upsert. The frequent types of canonical extended JSON are written here, far
 * faster than by libbson, which writes the rare ones. Read back they are by cdc/item_read.c.
 * Format: github.com/mongodb/specifications, source/extended-json/extended-json.md, version 2.1. */
#include "cdc/item.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/mongo.h"
#include "base/text.h"
#include "cdc/item_read.h"

/* libbson reads no more than 98 levels of JSON, of which a value of extended JSON takes up to
 * three. What is nested deeper is refused, and so travels as a re-read item. */
#define MAX_DEPTH 94

static const char PREFIX[] = "{\"doc\": ";
#define PREFIX_SIZE (sizeof(PREFIX) - 1)

static const char *const OP_NAMES[] = {
    [ITEM_UPSERT] = "upsert",
    [ITEM_DELETE] = "delete",
    [ITEM_REREAD] = "reread",
};

const char *item_op_name(enum item_op op)
{
    return OP_NAMES[op];
}

bool item_op_parse(const char *name, enum item_op *out)
{
    for (size_t i = 0; i < ARRAY_LEN(OP_NAMES); i++) {
        if (strcmp(OP_NAMES[i], name) == 0) {
            *out = (enum item_op)i;
            return true;
        }
    }
    return false;
}

/* Where a value stands: how deep, and what is kept of the fields in it (NULL: all). */
struct place {
    const struct projection *kept;
    int depth;
};

static bool put_document(struct buf *out, bson_iter_t *iter, struct place place, struct err *err);
static bool put_array(struct buf *out, bson_iter_t *iter, struct place place, struct err *err);

static bool refuse(struct err *err, const char *why, const char *key)
{
    return err_set(err, ERR_REJECT, ERR_DATA, 0, "document: %s at \"%.100s\"", why, key);
}

static void put_escaped(struct buf *out, unsigned char c)
{
    static const char DIGITS[] = "0123456789abcdef";
    char escape[6] = {'\\', 'u', '0', '0', DIGITS[c >> 4], DIGITS[c & 15]};
    switch (c) {
    case '"':
    case '\\':
        escape[1] = (char)c;
        break;
    case '\n':
        escape[1] = 'n';
        break;
    case '\t':
        escape[1] = 't';
        break;
    case '\r':
        escape[1] = 'r';
        break;
    default:
        buf_append(out, escape, 6);
        return;
    }
    buf_append(out, escape, 2);
}

/* A string literal with `after` behind it; what has nothing to be escaped is written in one piece. */
static bool put_text(struct buf *out, const char *text, size_t size, const char *after)
{
    bool foreign = false;
    size_t length = json_plain_length(text, size, &foreign);
    buf_putc(out, '"');
    buf_append(out, text, length);
    for (size_t at = length; at < size;) {
        put_escaped(out, (unsigned char)text[at++]);
        length = json_plain_length(text + at, size - at, &foreign);
        buf_append(out, text + at, length);
        at += length;
    }
    buf_puts(out, after);
    return !foreign || text_is_utf8(text, size);
}

static void put_double(struct buf *out, double number)
{
    char text[40] = "NaN";
    if (isinf(number))
        snprintf(text, sizeof(text), "%sInfinity", number < 0 ? "-" : "");
    else if (!isnan(number))
        snprintf(text, sizeof(text), "%.17g", number);
    buf_puts(out, "{\"$numberDouble\":\"");
    buf_puts(out, text);
    if (isfinite(number) && !strpbrk(text, ".e"))
        buf_puts(out, ".0");
    buf_puts(out, "\"}");
}

static void put_long(struct buf *out, const char *before, int64_t number, const char *after)
{
    buf_puts(out, before);
    buf_putint(out, number);
    buf_puts(out, after);
}

static void put_oid(struct buf *out, const bson_oid_t *oid)
{
    buf_puts(out, "{\"$oid\":\"");
    buf_puthex(out, oid->bytes, sizeof(oid->bytes));
    buf_puts(out, "\"}");
}

/* By way of a document with this one value, as libbson writes it: { "v" : VALUE } */
static bool put_rare(struct buf *out, const bson_iter_t *iter, struct err *err)
{
    static const char BEFORE[] = "{ \"v\" : ";
    static const char AFTER[] = " }";
    bson_t one = BSON_INITIALIZER;
    size_t size = 0;
    char *text = NULL;
    if (bson_append_iter(&one, "v", 1, iter))
        text = bson_as_canonical_extended_json(&one, &size);
    bson_destroy(&one);
    size_t around = sizeof(BEFORE) - 1 + sizeof(AFTER) - 1;
    bool whole = text && size > around && memcmp(text, BEFORE, sizeof(BEFORE) - 1) == 0;
    if (whole)
        buf_append(out, text + sizeof(BEFORE) - 1, size - around);
    bson_free(text);
    return whole || refuse(err, "a value that cannot be written", bson_iter_key(iter));
}

static bool put_nested(struct buf *out, const bson_iter_t *iter, struct place place,
                       struct err *err)
{
    bson_iter_t inside;
    if (place.depth >= MAX_DEPTH)
        return refuse(err, "nested too deeply", bson_iter_key(iter));
    if (!bson_iter_recurse(iter, &inside))
        return refuse(err, "damaged BSON", bson_iter_key(iter));
    place.depth++;
    if (bson_iter_type(iter) == BSON_TYPE_ARRAY)
        return put_array(out, &inside, place, err);
    return put_document(out, &inside, place, err);
}

static bool put_value(struct buf *out, const bson_iter_t *iter, struct place place, struct err *err)
{
    uint32_t size = 0;
    const char *text = NULL;
    switch (bson_iter_type(iter)) {
    case BSON_TYPE_UTF8:
        text = bson_iter_utf8(iter, &size);
        return put_text(out, text, size, "\"") || refuse(err, "invalid UTF-8", bson_iter_key(iter));
    case BSON_TYPE_DOCUMENT:
    case BSON_TYPE_ARRAY:
        return put_nested(out, iter, place, err);
    case BSON_TYPE_INT32:
        put_long(out, "{\"$numberInt\":\"", bson_iter_int32(iter), "\"}");
        return true;
    case BSON_TYPE_INT64:
        put_long(out, "{\"$numberLong\":\"", bson_iter_int64(iter), "\"}");
        return true;
    case BSON_TYPE_DATE_TIME:
        put_long(out, "{\"$date\":{\"$numberLong\":\"", bson_iter_date_time(iter), "\"}}");
        return true;
    case BSON_TYPE_DOUBLE:
        put_double(out, bson_iter_double(iter));
        return true;
    case BSON_TYPE_OID:
        put_oid(out, bson_iter_oid(iter));
        return true;
    case BSON_TYPE_BOOL:
        buf_puts(out, bson_iter_bool(iter) ? "true" : "false");
        return true;
    case BSON_TYPE_NULL:
        buf_puts(out, "null");
        return true;
    default:
        return put_rare(out, iter, err);
    }
}

/* A name with a $ would be taken for a type when the JSON is read. */
static bool put_name(struct buf *out, const bson_iter_t *iter, struct err *err)
{
    const char *key = bson_iter_key(iter);
    if (key[0] == '$')
        return refuse(err, "a name that begins with $", key);
    return put_text(out, key, bson_iter_key_len(iter), "\":") ||
           refuse(err, "a name that is not valid UTF-8", "");
}

/* Whether the value is kept, and what of the fields in it. A scalar below a longer path is not, and
 * arrays are gone into: what holds for an array holds for each of its elements. */
static bool is_kept(const bson_iter_t *iter, bool named, struct place *place)
{
    if (!place->kept)
        return true;
    if (named)
        place->kept = projection_below(place->kept, bson_iter_key(iter), bson_iter_key_len(iter));
    if (!place->kept)
        return false;
    if (projection_is_whole(place->kept)) {
        place->kept = NULL;
        return true;
    }
    return BSON_ITER_HOLDS_DOCUMENT(iter) || BSON_ITER_HOLDS_ARRAY(iter);
}

static bool put_members(struct buf *out, bson_iter_t *iter, bool named, struct place place,
                        struct err *err)
{
    for (bool first = true; bson_iter_next(iter);) {
        struct place below = place;
        if (!is_kept(iter, named, &below))
            continue;
        if (!first)
            buf_putc(out, ',');
        first = false;
        if (named && !put_name(out, iter, err))
            return false;
        if (!put_value(out, iter, below, err))
            return false;
        if (out->overflow)
            return refuse(err, "too large", bson_iter_key(iter));
    }
    /* libbson stops at what it cannot read as if it were the end. */
    return iter->err_off == 0 || refuse(err, "damaged BSON", "");
}

static bool put_document(struct buf *out, bson_iter_t *iter, struct place place, struct err *err)
{
    buf_putc(out, '{');
    if (!put_members(out, iter, true, place, err))
        return false;
    buf_putc(out, '}');
    return true;
}

static bool put_array(struct buf *out, bson_iter_t *iter, struct place place, struct err *err)
{
    buf_putc(out, '[');
    if (!put_members(out, iter, false, place, err))
        return false;
    buf_putc(out, ']');
    return true;
}

bool item_encode_doc(const bson_t *doc, const struct projection *kept, struct buf *out,
                     struct err *err)
{
    bson_iter_t iter;
    struct place top = {.kept = kept, .depth = 1};
    if (!bson_iter_init(&iter, doc))
        return refuse(err, "damaged BSON", "");
    buf_append(out, PREFIX, PREFIX_SIZE);
    if (!put_document(out, &iter, top, err))
        return false;
    buf_putc(out, '}');
    return !out->overflow || refuse(err, "too large", "");
}

/* The bytes of the document inside {"doc": ...}, which any writer of JSON may space otherwise. */
static bool find_doc(const char *value, size_t size, const char **doc, size_t *doc_size)
{
    static const char *const TOKENS[] = {"{", "\"doc\"", ":"};
    static const char SPACE[] = " \t\r\n";
    size_t at = 0;
    for (size_t i = 0; i < ARRAY_LEN(TOKENS); i++) {
        size_t length = strlen(TOKENS[i]);
        while (at < size && value[at] && strchr(SPACE, value[at]))
            at++;
        if (size - at < length || memcmp(value + at, TOKENS[i], length) != 0)
            return false;
        at += length;
    }
    size_t end = size;
    while (end > at && value[end - 1] && strchr(SPACE, value[end - 1]))
        end--;
    while (at < end && value[at] && strchr(SPACE, value[at]))
        at++;
    /* The least is {} and the brace that closes the value. */
    if (end - at < 3 || value[end - 1] != '}' || value[at] != '{')
        return false;
    *doc = value + at;
    *doc_size = end - 1 - at;
    return true;
}

bool item_decode_doc(const char *value, size_t size, bson_t **doc, struct err *err)
{
    *doc = NULL;
    const char *json = NULL;
    size_t json_size = 0;
    if (!value || !find_doc(value, size, &json, &json_size))
        return err_set(err, ERR_REJECT, ERR_DATA, 0, "item: the value is not {\"doc\": ...}");
    bson_error_t error = {0};
    *doc = item_read(json, json_size);
    if (*doc)
        return true;
    *doc = bson_new_from_json((const uint8_t *)json, (ssize_t)json_size, &error);
    if (!*doc)
        return err_set(err, ERR_REJECT, ERR_DATA, 0, "item: %s", error.message);
    return true;
}
