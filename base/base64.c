/* SPDX-License-Identifier: Apache-2.0 */
#include "base/sha256.h"

#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(struct buf *out, const void *data, size_t size)
{
    const uint8_t *bytes = data;
    for (size_t i = 0; i < size; i += 3) {
        size_t rest = size - i;
        uint32_t group = (uint32_t)bytes[i] << 16;
        if (rest > 1)
            group |= (uint32_t)bytes[i + 1] << 8;
        if (rest > 2)
            group |= bytes[i + 2];
        const char text[4] = {
            alphabet[group >> 18],
            alphabet[group >> 12 & 63],
            rest > 1 ? alphabet[group >> 6 & 63] : '=',
            rest > 2 ? alphabet[group & 63] : '=',
        };
        buf_append(out, text, sizeof text);
    }
}

static int digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+')
        return 62;
    return c == '/' ? 63 : -1;
}

/* Four digits, of which the last `padding` ones are '='. The bits that padding throws away must be
 * zero: otherwise two texts would stand for the same bytes. */
static bool decode_group(struct buf *out, const char *text, size_t padding)
{
    uint32_t group = 0;
    for (size_t i = 0; i < 4; i++) {
        int value = i < 4 - padding ? digit(text[i]) : 0;
        if (value < 0)
            return false;
        group = group << 6 | (uint32_t)value;
    }
    if (padding && (group & (padding == 1 ? 0xffU : 0xffffU)))
        return false;
    const uint8_t bytes[3] = {(uint8_t)(group >> 16), (uint8_t)(group >> 8), (uint8_t)group};
    buf_append(out, bytes, 3 - padding);
    return true;
}

bool base64_decode(struct buf *out, const char *text, size_t length)
{
    if (length % 4 != 0)
        return false;
    size_t padding = 0;
    if (length && text[length - 1] == '=')
        padding = text[length - 2] == '=' ? 2 : 1;
    for (size_t i = 0; i < length; i += 4) {
        if (!decode_group(out, text + i, i + 4 == length ? padding : 0))
            return false;
    }
    return true;
}
