/* SPDX-License-Identifier: Apache-2.0 */
/* The short way back from an item's JSON to BSON: reads what cdc/item.c writes of the frequent types, in a
 * few times less time than libbson. Where anything else stands nothing is said, and libbson decides. */
#include "cdc/item_read.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/limits.h"
#include "base/text.h"

/* libbson decides about what is nested deeper. */
#define MOST_DEPTH 64
/* Of a number as text. */
#define NUMBER_SIZE 40

struct reader {
    const char *at;
    const char *end;
    struct buf unescaped; /* the last string that had escapes */
    int depth;
};

struct span {
    const char *text;
    size_t size;
};

static bool take(struct reader *reader, const char *literal)
{
    size_t size = strlen(literal);
    if ((size_t)(reader->end - reader->at) < size || memcmp(reader->at, literal, size) != 0)
        return false;
    reader->at += size;
    return true;
}

static bool is_next(const struct reader *reader, char c)
{
    return reader->at < reader->end && *reader->at == c;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* What stands behind a backslash; of \u only the characters that are controls. */
static bool take_escape(struct reader *reader)
{
    static const char NAMES[] = "\"\\/bfnrt";
    static const char CHARACTERS[] = "\"\\/\b\f\n\r\t";
    const char *name = reader->at < reader->end && *reader->at ? strchr(NAMES, *reader->at) : NULL;
    if (name) {
        buf_putc(&reader->unescaped, CHARACTERS[name - NAMES]);
        reader->at++;
        return true;
    }
    if (!take(reader, "u00") || reader->end - reader->at < 2)
        return false;
    int high = hex_digit(reader->at[0]), low = hex_digit(reader->at[1]);
    if (high < 0 || high > 1 || low < 0 || (high == 0 && low == 0))
        return false;
    buf_putc(&reader->unescaped, (char)(16 * high + low));
    reader->at += 2;
    return true;
}

static bool take_escaped(struct reader *reader, size_t plain, bool foreign, struct span *out)
{
    struct buf *text = &reader->unescaped;
    buf_clear(text);
    for (;;) {
        buf_append(text, reader->at, plain);
        reader->at += plain;
        if (take(reader, "\""))
            break;
        if (!take(reader, "\\") || !take_escape(reader))
            return false;
        plain = json_plain_length(reader->at, (size_t)(reader->end - reader->at), &foreign);
    }
    *out = (struct span){.text = buf_str(text), .size = text->size};
    return !text->overflow && (!foreign || text_is_utf8(out->text, out->size));
}

/* A string whose first quote is taken already; valid until the next one. */
static bool take_text(struct reader *reader, struct span *out)
{
    bool foreign = false;
    size_t plain = json_plain_length(reader->at, (size_t)(reader->end - reader->at), &foreign);
    const char *begin = reader->at;
    if (begin + plain == reader->end || begin[plain] != '"')
        return take_escaped(reader, plain, foreign, out);
    *out = (struct span){.text = begin, .size = plain};
    reader->at = begin + plain + 1;
    return !foreign || text_is_utf8(begin, plain);
}

/* Of a field: one that begins with a $ belongs to a value of another type. */
static bool take_name(struct reader *reader, struct span *out)
{
    bool foreign = false;
    if (!take(reader, "\""))
        return false;
    size_t plain = json_plain_length(reader->at, (size_t)(reader->end - reader->at), &foreign);
    *out = (struct span){.text = reader->at, .size = plain};
    reader->at += plain;
    return take(reader, "\":") && (plain == 0 || out->text[0] != '$') &&
           (!foreign || text_is_utf8(out->text, plain));
}

/* A whole number as it is written by whoever writes it shortest. */
static bool take_whole(struct reader *reader, int64_t least, int64_t most, int64_t *out)
{
    char text[NUMBER_SIZE];
    size_t size = 0;
    char *end;
    bool negative = is_next(reader, '-');
    size_t digits = negative ? 1 : 0;
    while (reader->at + size < reader->end && size < 20 &&
           ((reader->at[size] >= '0' && reader->at[size] <= '9') || (size == 0 && negative))) {
        text[size] = reader->at[size];
        size++;
    }
    if (size <= digits || size >= 20 || (text[digits] == '0' && (size > 1)))
        return false; /* of 19 digits it may be too large; libbson decides */
    text[size] = '\0';
    *out = strtoll(text, &end, 10);
    reader->at += size;
    return size - digits < 19 && *out >= least && *out <= most;
}

static bool take_double(struct reader *reader, double *out)
{
    char text[NUMBER_SIZE];
    size_t size = 0;
    char *end;
    while (reader->at + size < reader->end && size + 1 < sizeof text && reader->at[size] &&
           strchr("0123456789+-.e", reader->at[size])) {
        text[size] = reader->at[size];
        size++;
    }
    text[size] = '\0';
    reader->at += size;
    *out = strtod(text, &end); /* as libbson does */
    /* what comes near to the ends of the range is libbson's */
    return size > 0 && *end == '\0' && *out >= -1e300 && *out <= 1e300 &&
           (*out >= 1e-300 || *out <= -1e-300 || strcmp(text, "0.0") == 0);
}

static bool take_oid(struct reader *reader, bson_oid_t *out)
{
    if (reader->end - reader->at < 24)
        return false;
    for (size_t i = 0; i < sizeof out->bytes; i++) {
        int high = hex_digit(reader->at[2 * i]), low = hex_digit(reader->at[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        out->bytes[i] = (uint8_t)(16 * high + low);
    }
    reader->at += 24;
    return true;
}

/* {"$type": ...} */
static bool take_typed(struct reader *reader, bson_t *out, const struct span *name)
{
    int64_t whole;
    double number;
    bson_oid_t oid;
    int size = (int)name->size;
    if (take(reader, "{\"$numberInt\":\""))
        return take_whole(reader, INT32_MIN, INT32_MAX, &whole) && take(reader, "\"}") &&
               bson_append_int32(out, name->text, size, (int32_t)whole);
    if (take(reader, "{\"$numberLong\":\""))
        return take_whole(reader, INT64_MIN, INT64_MAX, &whole) && take(reader, "\"}") &&
               bson_append_int64(out, name->text, size, whole);
    if (take(reader, "{\"$date\":{\"$numberLong\":\""))
        return take_whole(reader, INT64_MIN, INT64_MAX, &whole) && take(reader, "\"}}") &&
               bson_append_date_time(out, name->text, size, whole);
    if (take(reader, "{\"$numberDouble\":\""))
        return take_double(reader, &number) && take(reader, "\"}") &&
               bson_append_double(out, name->text, size, number);
    if (take(reader, "{\"$oid\":\""))
        return take_oid(reader, &oid) && take(reader, "\"}") &&
               bson_append_oid(out, name->text, size, &oid);
    return false;
}

static bool take_members(struct reader *reader, bson_t *out);
static bool take_elements(struct reader *reader, bson_t *out);

static bool take_document(struct reader *reader, bson_t *out, const struct span *name)
{
    bson_t inside;
    if (reader->end - reader->at > 2 && reader->at[1] == '"' && reader->at[2] == '$')
        return take_typed(reader, out, name);
    if (!bson_append_document_begin(out, name->text, (int)name->size, &inside))
        return false;
    bool ok = take_members(reader, &inside);
    return bson_append_document_end(out, &inside) && ok;
}

static bool take_array(struct reader *reader, bson_t *out, const struct span *name)
{
    bson_t inside;
    if (!bson_append_array_begin(out, name->text, (int)name->size, &inside))
        return false;
    bool ok = take_elements(reader, &inside);
    return bson_append_array_end(out, &inside) && ok;
}

static bool take_value(struct reader *reader, bson_t *out, const struct span *name)
{
    struct span text;
    int size = (int)name->size;
    if (is_next(reader, '{'))
        return take_document(reader, out, name);
    if (is_next(reader, '['))
        return take_array(reader, out, name);
    if (take(reader, "\""))
        return take_text(reader, &text) &&
               bson_append_utf8(out, name->text, size, text.text, (int)text.size);
    if (take(reader, "true"))
        return bson_append_bool(out, name->text, size, true);
    if (take(reader, "false"))
        return bson_append_bool(out, name->text, size, false);
    return take(reader, "null") && bson_append_null(out, name->text, size);
}

static bool take_members(struct reader *reader, bson_t *out)
{
    if (!take(reader, "{") || ++reader->depth > MOST_DEPTH)
        return false;
    for (bool first = true; !is_next(reader, '}'); first = false) {
        struct span name;
        if ((!first && !take(reader, ",")) || !take_name(reader, &name) ||
            !take_value(reader, out, &name))
            return false;
    }
    reader->at++;
    reader->depth--;
    return true;
}

static bool take_elements(struct reader *reader, bson_t *out)
{
    if (!take(reader, "[") || ++reader->depth > MOST_DEPTH)
        return false;
    for (uint32_t i = 0; !is_next(reader, ']'); i++) {
        char text[16];
        const char *key;
        size_t size = bson_uint32_to_string(i, &key, text, sizeof text);
        struct span name = {.text = key, .size = size};
        if ((i > 0 && !take(reader, ",")) || !take_value(reader, out, &name))
            return false;
    }
    reader->at++;
    reader->depth--;
    return true;
}

bson_t *item_read(const char *json, size_t size)
{
    if (size > LIMIT_ITEM_SIZE)
        return NULL;
    struct reader reader = {.at = json, .end = json + size, .unescaped = BUF_INIT(LIMIT_ITEM_SIZE)};
    bson_t *doc = bson_sized_new(size);
    bool ok = take_members(&reader, doc) && reader.at == reader.end;
    buf_fini(&reader.unescaped);
    if (ok)
        return doc;
    bson_destroy(doc);
    return NULL;
}
