/* SPDX-License-Identifier: Apache-2.0 */
#include "cdc/key.h"

#include <string.h>

#include "base/json.h"
#include "base/limits.h"
#include "base/sha256.h"
#include "base/text.h"
#include "cdc/number.h"

static void append_children(const bson_iter_t *parent, bson_t *out);

static void append_normalized(bson_t *out, const char *name, int name_size, const bson_iter_t *iter)
{
    int64_t integer;
    double number;
    if (number_is(iter) && number_as_int(iter, &integer)) {
        bson_append_int64(out, name, name_size, integer);
    } else if (BSON_ITER_HOLDS_DECIMAL128(iter) && number_decimal_as_double(iter, &number)) {
        bson_append_double(out, name, name_size, number);
    } else if (BSON_ITER_HOLDS_DECIMAL128(iter)) {
        bson_decimal128_t decimal = number_decimal_normal(iter);
        bson_append_decimal128(out, name, name_size, &decimal);
    } else if (BSON_ITER_HOLDS_DOCUMENT(iter)) {
        bson_t child;
        bson_append_document_begin(out, name, name_size, &child);
        append_children(iter, &child);
        bson_append_document_end(out, &child);
    } else if (BSON_ITER_HOLDS_ARRAY(iter)) {
        bson_t child;
        bson_append_array_begin(out, name, name_size, &child);
        append_children(iter, &child);
        bson_append_array_end(out, &child);
    } else {
        bson_append_iter(out, name, name_size, iter);
    }
}

static void append_children(const bson_iter_t *parent, bson_t *out)
{
    bson_iter_t child;
    if (!bson_iter_recurse(parent, &child))
        return;
    while (bson_iter_next(&child))
        append_normalized(out, bson_iter_key(&child), (int)bson_iter_key_len(&child), &child);
}

/* libbson writes "{ \"a\" : 1 }": white space outside of strings goes. */
static void append_compact(struct buf *out, const char *json, size_t size)
{
    bool in_string = false;
    for (size_t i = 0; i < size; i++) {
        char c = json[i];
        if (in_string && c == '\\' && i + 1 < size) {
            buf_putc(out, c);
            c = json[++i];
        } else if (c == '"') {
            in_string = !in_string;
        } else if (!in_string && c == ' ') {
            continue;
        }
        buf_putc(out, c);
    }
}

/* What stands for a value that has no JSON: {"k": value}, normalised, in hexadecimal. */
static const char raw_head[] = "{\"$bson\":\"";
static const char raw_tail[] = "\"}";

static void append_raw(struct buf *out, const bson_t *wrapped)
{
    buf_puts(out, raw_head);
    buf_puthex(out, bson_get_data(wrapped), wrapped->len);
    buf_puts(out, raw_tail);
}

/* The frequent kinds of `_id`, far faster than by way of libbson; false for any other. */
static bool append_frequent(const bson_iter_t *iter, struct buf *out)
{
    int64_t integer;
    uint32_t size = 0;
    if (BSON_ITER_HOLDS_OID(iter)) {
        buf_puts(out, "{\"$oid\":\"");
        buf_puthex(out, bson_iter_oid(iter)->bytes, 12);
    } else if (BSON_ITER_HOLDS_UTF8(iter)) {
        const char *text = bson_iter_utf8(iter, &size);
        bool valid = text && text_is_utf8(text, size);
        if (valid)
            json_write_string(out, text, size);
        return valid;
    } else if (number_is(iter) && number_as_int(iter, &integer)) {
        buf_puts(out, "{\"$numberLong\":\"");
        buf_putint(out, integer);
    } else {
        return false;
    }
    buf_puts(out, "\"}");
    return true;
}

/* What libbson nests deeper than this it replaces by "...": two such values would have one name. */
#define MAX_DEPTH 90

static bool is_too_deep(const bson_iter_t *iter, int depth)
{
    bson_iter_t child;
    if (!BSON_ITER_HOLDS_DOCUMENT(iter) && !BSON_ITER_HOLDS_ARRAY(iter))
        return false;
    if (depth >= MAX_DEPTH)
        return true;
    if (!bson_iter_recurse(iter, &child))
        return false;
    while (bson_iter_next(&child)) {
        if (is_too_deep(&child, depth + 1))
            return true;
    }
    return false;
}

void key_encode(const bson_iter_t *iter, struct buf *out)
{
    if (append_frequent(iter, out))
        return;
    bson_t wrapped = BSON_INITIALIZER;
    append_normalized(&wrapped, "k", 1, iter);
    size_t size;
    char *json = is_too_deep(iter, 0) ? NULL : bson_as_canonical_extended_json(&wrapped, &size);
    /* { "k" : VALUE } */
    static const char head[] = "{ \"k\" : ";
    if (json)
        append_compact(out, json + sizeof head - 1, size - (sizeof head - 1) - 2);
    else
        append_raw(out, &wrapped);
    bson_free(json);
    bson_destroy(&wrapped);
}

/* Cannot be the key of a value: no field of an `_id` may begin with $. */
static const char stand_in_head[] = "{\"$large\":\"";
#define STAND_IN_SHOWN 80

void key_stand_in(const bson_iter_t *iter, struct buf *out)
{
    bson_t wrapped = BSON_INITIALIZER;
    char digest[SHA256_TEXT_SIZE];
    append_normalized(&wrapped, "k", 1, iter);
    struct sha256 sum = sha256_of(bson_get_data(&wrapped), wrapped.len);
    sha256_format(&sum, digest);
    bson_destroy(&wrapped);
    CLEANUP(buf_fini) struct buf whole = BUF_INIT(LIMIT_ITEM_SIZE * 4);
    key_encode(iter, &whole);
    size_t shown = whole.size < STAND_IN_SHOWN ? whole.size : STAND_IN_SHOWN;
    buf_puts(out, stand_in_head);
    buf_puts(out, digest);
    buf_puts(out, "\",\"begins\":");
    json_write_string(out, buf_str(&whole), shown);
    buf_puts(out, "}");
}

bool key_is_stand_in(const char *key, size_t size)
{
    size_t head = sizeof stand_in_head - 1;
    return size > head && memcmp(key, stand_in_head, head) == 0;
}

static bool is_hex24(const char *text, size_t size)
{
    return size == 24 && strspn(text, "0123456789abcdefABCDEF") >= 24;
}

/* Would a reader take this string for an ObjectId or for a value in JSON? */
static bool is_ambiguous(const char *text, size_t size)
{
    static const char *const literals[] = {"true", "false", "null"};
    if (size == 0 || is_hex24(text, size) || strchr("{[\"", text[0]))
        return true;
    for (size_t i = 0; i < ARRAY_LEN(literals); i++) {
        if (size == strlen(literals[i]) && memcmp(text, literals[i], size) == 0)
            return true;
    }
    return false;
}

void key_source_id(const bson_iter_t *iter, struct buf *out)
{
    if (BSON_ITER_HOLDS_OID(iter)) {
        char hex[25];
        bson_oid_to_string(bson_iter_oid(iter), hex);
        buf_puts(out, hex);
        return;
    }
    if (BSON_ITER_HOLDS_UTF8(iter)) {
        uint32_t size;
        const char *text = bson_iter_utf8(iter, &size);
        if (!is_ambiguous(text, size) && !memchr(text, 0, size) && text_is_utf8(text, size)) {
            buf_append(out, text, size);
            return;
        }
    }
    key_encode(iter, out);
}

void key_of_source_id(const char *source_id, struct buf *out)
{
    size_t size = strlen(source_id);
    if (is_hex24(source_id, size))
        buf_printf(out, "{\"$oid\":\"%s\"}", source_id);
    else if (is_ambiguous(source_id, size))
        buf_append(out, source_id, size);
    else
        json_write_string(out, source_id, size);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* NULL when `hex` is not what append_raw() writes. */
static bson_t *decode_raw(const char *hex, size_t size)
{
    CLEANUP(buf_fini) struct buf bytes = BUF_INIT(size);
    for (size_t i = 0; i + 1 < size; i += 2) {
        int high = hex_digit(hex[i]), low = hex_digit(hex[i + 1]);
        if (high < 0 || low < 0)
            return NULL;
        buf_putc(&bytes, (char)(high * 16 + low));
    }
    bson_t wrapped;
    bson_iter_t value;
    if (!bson_init_static(&wrapped, (const uint8_t *)buf_str(&bytes), bytes.size) ||
        !bson_validate(&wrapped, BSON_VALIDATE_NONE, NULL) ||
        !bson_iter_init_find(&value, &wrapped, "k"))
        return NULL;
    bson_t *id = bson_new();
    bson_append_iter(id, "_id", 3, &value);
    return id;
}

bson_t *key_decode(const char *key, size_t size)
{
    if (key_is_stand_in(key, size))
        return NULL;
    size_t head = sizeof raw_head - 1, tail = sizeof raw_tail - 1;
    if (size > head + tail && memcmp(key, raw_head, head) == 0)
        return decode_raw(key + head, size - head - tail);
    CLEANUP(buf_fini) struct buf json = BUF_INIT(size + 16);
    buf_puts(&json, "{\"_id\":");
    buf_append(&json, key, size);
    buf_puts(&json, "}");
    bson_error_t error;
    return bson_new_from_json((const uint8_t *)json.data, (ssize_t)json.size, &error);
}

uint64_t key_hash(const char *key, size_t size)
{
    uint64_t hash = 14695981039346656037u; /* FNV-1a */
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ (uint8_t)key[i]) * 1099511628211u;
    return hash;
}
