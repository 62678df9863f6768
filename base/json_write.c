/* SPDX-License-Identifier: Apache-2.0 */
/* Prints cJSON nodes. cJSON's own printer takes doubles that differ in the last bit for equal. */
#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/json_number.h"
#include "base/text.h"

/* The text of a tree is as large as the tree, which is in memory already. */
#define TEXT_SIZE_MAX (SIZE_MAX / 4)

static void put_escaped(struct buf *out, unsigned char c)
{
    static const char plain[] = "\"\\\b\f\n\r\t";
    static const char letters[] = "\"\\bfnrt";
    const char *at = c ? strchr(plain, c) : NULL;
    if (at)
        buf_append(out, (const char[]){'\\', letters[at - plain]}, 2);
    else
        buf_printf(out, "\\u%04x", c);
}

/* Sixteen bytes that are compared at once; the compilers' own form of vector instructions. */
typedef uint8_t bytes16 __attribute__((vector_size(16)));

#define EACH(byte)                                                                                 \
    (bytes16)                                                                                      \
    {                                                                                              \
        byte, byte, byte, byte, byte, byte, byte, byte, byte, byte, byte, byte, byte, byte, byte,  \
            byte                                                                                   \
    }

/* True when one of the bytes is a control character, a quote or a backslash; else they are added to
 * those seen. */
static bool has_special(const char *text, bytes16 *seen)
{
    bytes16 bytes;
    memcpy(&bytes, text, sizeof bytes);
    bytes16 special = (bytes16)(bytes < EACH(0x20)) | (bytes16)(bytes == EACH('"')) |
                      (bytes16)(bytes == EACH('\\'));
    uint64_t halves[2];
    memcpy(halves, &special, sizeof halves);
    if (halves[0] | halves[1])
        return true;
    *seen |= bytes;
    return false;
}

static bool is_ascii(bytes16 bytes)
{
    uint64_t halves[2];
    memcpy(halves, &bytes, sizeof halves);
    return ((halves[0] | halves[1]) & UINT64_C(0x8080808080808080)) == 0;
}

size_t json_plain_length(const char *text, size_t size, bool *foreign)
{
    bytes16 seen = EACH(0);
    size_t at = 0;
    while (size - at >= sizeof seen && !has_special(text + at, &seen))
        at += sizeof seen;
    bool ascii = is_ascii(seen);
    for (; at < size; at++) {
        unsigned char c = (unsigned char)text[at];
        if (c < 0x20 || c == '"' || c == '\\')
            break;
        ascii = ascii && c < 0x80;
    }
    *foreign = *foreign || !ascii;
    return at;
}

/* The frequent case: nothing to be escaped or repaired. */
static bool write_plain(struct buf *out, const char *text, size_t size)
{
    bool foreign = false;
    if (json_plain_length(text, size, &foreign) != size || foreign)
        return false;
    char *added = buf_extend(out, size + 2);
    if (!added)
        return true;
    added[0] = '"';
    memcpy(added + 1, text, size);
    added[size + 1] = '"';
    return true;
}

void json_write_string(struct buf *out, const char *text, size_t size)
{
    if (write_plain(out, text, size))
        return;
    bool valid = text_is_utf8(text, size);
    bool foreign = false;
    buf_putc(out, '"');
    for (size_t at = 0; at < size;) {
        size_t length = json_plain_length(text + at, size - at, &foreign);
        if (valid)
            buf_append(out, text + at, length);
        else
            text_append_valid(out, text + at, length);
        at += length;
        if (at < size)
            put_escaped(out, (unsigned char)text[at++]);
    }
    buf_putc(out, '"');
}

static void write_double(struct buf *out, double number)
{
    char text[JSON_NUMBER_TEXT_SIZE] = "null"; /* JSON has no infinity */
    if (isfinite(number))
        json_number_format(number, text);
    buf_puts(out, text);
}

static void write_c_string(struct buf *out, const char *string)
{
    if (string)
        json_write_string(out, string, strlen(string));
    else
        buf_puts(out, "null");
}

void json_write_value(struct buf *out, const struct value *value)
{
    switch (value->type) {
    case VALUE_NULL:
        buf_puts(out, "null");
        break;
    case VALUE_BOOL:
        buf_puts(out, value->as.boolean ? "true" : "false");
        break;
    case VALUE_INT:
        buf_printf(out, "%" PRId64, value->as.integer);
        break;
    case VALUE_DOUBLE:
        write_double(out, value->as.number);
        break;
    case VALUE_STRING:
        write_c_string(out, value->as.string);
        break;
    }
}

/* Order of UTF-16 code units, on UTF-8: as the bytes, but that U+E000..U+FFFF (lead bytes EE, EF)
 * come behind the pairs of surrogates D800..DFFF that stand for everything above (F0..F4). */
static int compare_utf16(const char *left, const char *right)
{
    while (*left && *left == *right) {
        left++;
        right++;
    }
    unsigned char a = (unsigned char)*left;
    unsigned char b = (unsigned char)*right;
    bool pair_a = a >= 0xF0;
    bool pair_b = b >= 0xF0;
    if (pair_a != pair_b && a >= 0xEE && b >= 0xEE)
        return pair_a ? -1 : 1;
    return a - b;
}

static int compare_members(const void *left, const void *right)
{
    const cJSON *const *a = left;
    const cJSON *const *b = right;
    return compare_utf16((*a)->string, (*b)->string);
}

static void write_node(struct buf *out, const cJSON *node, bool sorted);

static void write_member(struct buf *out, const cJSON *item, bool sorted)
{
    assert(item->string);
    json_write_string(out, item->string, strlen(item->string));
    buf_putc(out, ':');
    write_node(out, item, sorted);
}

static void write_sorted(struct buf *out, const cJSON *object)
{
    size_t count = 0;
    for (const cJSON *item = object->child; item; item = item->next)
        count++;
    const cJSON **members = calloc(count + 1, sizeof *members);
    if (!members)
        abort();
    size_t i = 0;
    for (const cJSON *item = object->child; item; item = item->next)
        members[i++] = item;
    qsort(members, count, sizeof *members, compare_members);
    for (i = 0; i < count; i++) {
        if (i)
            buf_putc(out, ',');
        write_member(out, members[i], true);
    }
    free(members);
}

static void write_children(struct buf *out, const cJSON *node, bool sorted)
{
    bool is_object = cJSON_IsObject(node);
    for (const cJSON *item = node->child; item; item = item->next) {
        if (item != node->child)
            buf_putc(out, ',');
        if (is_object)
            write_member(out, item, sorted);
        else
            write_node(out, item, sorted);
    }
}

static void write_node(struct buf *out, const cJSON *node, bool sorted)
{
    switch (node->type & 0xff) {
    case cJSON_False:
        buf_puts(out, "false");
        break;
    case cJSON_True:
        buf_puts(out, "true");
        break;
    case cJSON_Number:
        write_double(out, node->valuedouble);
        break;
    case cJSON_Raw:
        buf_puts(out, node->valuestring);
        break;
    case cJSON_String:
        write_c_string(out, node->valuestring);
        break;
    case cJSON_Array:
        buf_putc(out, '[');
        write_children(out, node, sorted);
        buf_putc(out, ']');
        break;
    case cJSON_Object:
        buf_putc(out, '{');
        if (sorted)
            write_sorted(out, node);
        else
            write_children(out, node, sorted);
        buf_putc(out, '}');
        break;
    default:
        buf_puts(out, "null");
    }
}

static char *print(const cJSON *node, bool sorted)
{
    CLEANUP(buf_fini) struct buf out = BUF_INIT(TEXT_SIZE_MAX);
    write_node(&out, node, sorted);
    return buf_take(&out, NULL);
}

char *json_print(const cJSON *node)
{
    return print(node, false);
}

char *json_canonical(const cJSON *node)
{
    return print(node, true);
}
