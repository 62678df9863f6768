/* SPDX-License-Identifier: Apache-2.0 */
#include "cdc/token.h"

#include <stdlib.h>
#include <string.h>

static uint32_t read_hex32(const char *text)
{
    char digits[9];
    memcpy(digits, text, 8);
    digits[8] = '\0';
    return (uint32_t)strtoul(digits, NULL, 16);
}

/* 82, 16 digits of time, and a few of flags; with a UUID there are 60 at least. */
#define MARK_SIZE_MAX 44

bool token_is_mark(const char *token)
{
    return token_data_size(token) <= MARK_SIZE_MAX;
}

static bool is_hex(const char *text, size_t size)
{
    return size % 2 == 0 && strspn(text, "0123456789ABCDEFabcdef") >= size;
}

size_t token_data_size(const char *token)
{
    return strcspn(token, ":");
}

const char *token_type_bits(const char *token)
{
    const char *colon = strchr(token, ':');
    return colon && colon[1] ? colon + 1 : NULL;
}

bool token_time(const char *token, struct cluster_time *out)
{
    /* cut off or changed by hand, it would be refused by the server, or taken for another time */
    size_t size = token_data_size(token);
    const char *bits = token_type_bits(token);
    if (size < 18 || strncmp(token, "82", 2) != 0 || !is_hex(token, size) ||
        (bits ? !is_hex(bits, strlen(bits)) : token[size] != '\0'))
        return false;
    *out = (struct cluster_time){read_hex32(token + 2), read_hex32(token + 10)};
    return true;
}

int cluster_time_compare(struct cluster_time a, struct cluster_time b)
{
    if (a.seconds != b.seconds)
        return a.seconds < b.seconds ? -1 : 1;
    return (a.ordinal > b.ordinal) - (a.ordinal < b.ordinal);
}

struct cluster_time cluster_time_before(struct cluster_time time)
{
    if (time.ordinal > 0)
        return (struct cluster_time){time.seconds, time.ordinal - 1};
    if (time.seconds == 0)
        return time;
    return (struct cluster_time){time.seconds - 1, UINT32_MAX};
}
