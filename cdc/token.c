/* SPDX-License-Identifier: Apache-2.0 */
#include "cdc/token.h"

#include <stdlib.h>
#include <string.h>

static bool read_hex32(const char *text, uint32_t *out)
{
    char digits[9];
    memcpy(digits, text, 8);
    digits[8] = '\0';
    *out = (uint32_t)strtoul(digits, NULL, 16);
    return strspn(digits, "0123456789ABCDEFabcdef") == 8;
}

bool token_time(const char *token, struct cluster_time *out)
{
    if (strlen(token) < 18 || strncmp(token, "82", 2) != 0)
        return false;
    return read_hex32(token + 2, &out->seconds) && read_hex32(token + 10, &out->ordinal);
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
    return (struct cluster_time){time.seconds - 1, UINT32_MAX};
}
