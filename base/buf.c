/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CAPACITY_MIN ((size_t)64)

void buf_fini(struct buf *buf)
{
    free(buf->data);
    *buf = BUF_INIT(buf->max_size);
}

void buf_clear(struct buf *buf)
{
    buf->size = 0;
    buf->overflow = false;
    if (buf->data)
        buf->data[0] = '\0';
}

/* Makes room for `size` more bytes and the NUL. */
static bool buf_reserve(struct buf *buf, size_t size)
{
    /* Once bytes are missing, later ones must not close the gap. */
    if (buf->overflow || size > buf->max_size || buf->size > buf->max_size - size) {
        buf->overflow = true;
        return false;
    }
    size_t needed = buf->size + size;
    if (buf->data && needed <= buf->capacity)
        return true;
    size_t capacity = buf->capacity ? buf->capacity : CAPACITY_MIN;
    while (capacity < needed)
        capacity = capacity > buf->max_size / 2 ? buf->max_size : capacity * 2;
    assert(capacity < SIZE_MAX);
    char *data = realloc(buf->data, capacity + 1);
    if (!data)
        abort();
    buf->data = data;
    buf->capacity = capacity;
    return true;
}

char *buf_extend(struct buf *buf, size_t size)
{
    if (!buf_reserve(buf, size))
        return NULL;
    char *added = buf->data + buf->size;
    buf->size += size;
    buf->data[buf->size] = '\0';
    return added;
}

void buf_append(struct buf *buf, const void *data, size_t size)
{
    char *added = buf_extend(buf, size);
    if (added && size)
        memcpy(added, data, size);
}

void buf_puts(struct buf *buf, const char *text)
{
    buf_append(buf, text, strlen(text));
}

void buf_putc(struct buf *buf, char c)
{
    buf_append(buf, &c, 1);
}

void buf_putint(struct buf *buf, int64_t number)
{
    char text[20];
    size_t at = sizeof text;
    uint64_t rest = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    do {
        text[--at] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest);
    if (number < 0)
        text[--at] = '-';
    buf_append(buf, text + at, sizeof text - at);
}

void buf_puthex(struct buf *buf, const void *data, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *bytes = data;
    char *added = buf_extend(buf, size * 2); /* what is in memory is not half of it */
    for (size_t i = 0; added && i < size; i++) {
        *added++ = digits[bytes[i] >> 4];
        *added++ = digits[bytes[i] & 15];
    }
}

void buf_printf(struct buf *buf, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    assert(length >= 0);
    char *added = buf_extend(buf, (size_t)length);
    if (added)
        vsnprintf(added, (size_t)length + 1, format, again);
    va_end(again);
}

char *buf_take(struct buf *buf, size_t *size)
{
    char *data = buf->data ? TAKE(buf->data) : calloc(1, 1);
    if (!data)
        abort();
    if (size)
        *size = buf->size;
    *buf = BUF_INIT(buf->max_size);
    return data;
}

const char *buf_str(const struct buf *buf)
{
    return buf->data ? buf->data : "";
}
