/* SPDX-License-Identifier: Apache-2.0 */
#include "cdc/key.h"

#include <string.h>

#include "base/json.h"
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

void key_encode(const bson_iter_t *iter, struct buf *out)
{
    if (BSON_ITER_HOLDS_UTF8(iter)) {
        uint32_t size;
        const char *text = bson_iter_utf8(iter, &size);
        json_write_string(out, text, size);
        return;
    }
    bson_t wrapped = BSON_INITIALIZER;
    append_normalized(&wrapped, "k", 1, iter);
    size_t size;
    char *json = bson_as_canonical_extended_json(&wrapped, &size);
    /* { "k" : VALUE } */
    static const char head[] = "{ \"k\" : ";
    if (json && size > sizeof head - 1 + 2)
        append_compact(out, json + sizeof head - 1, size - (sizeof head - 1) - 2);
    bson_free(json);
    bson_destroy(&wrapped);
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
        if (!is_ambiguous(text, size) && !memchr(text, 0, size)) {
            buf_append(out, text, size);
            return;
        }
    }
    key_encode(iter, out);
}

bson_t *key_decode(const char *key, size_t size)
{
    CLEANUP(buf_fini) struct buf json = BUF_INIT(size + 16);
    buf_puts(&json, "{\"_id\":");
    buf_append(&json, key, size);
    buf_puts(&json, "}");
    bson_error_t error;
    return bson_new_from_json((const uint8_t *)json.data, (ssize_t)json.size, &error);
}
