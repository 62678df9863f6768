/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/config/config_values.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <arpa/inet.h>

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool one_of(const char *text, const char *const *words)
{
    for (; *words; words++) {
        if (strcmp(text, *words) == 0)
            return true;
    }
    return false;
}

/* [-+]?[0-9]+, 0o[0-7]+, 0x[0-9a-fA-F]+ */
static bool looks_like_int(const char *text)
{
    if (strncmp(text, "0x", 2) == 0)
        return text[2] && text[2 + strspn(text + 2, "0123456789abcdefABCDEF")] == '\0';
    if (strncmp(text, "0o", 2) == 0)
        return text[2] && text[2 + strspn(text + 2, "01234567")] == '\0';
    text += text[0] == '-' || text[0] == '+';
    return text[0] && text[strspn(text, "0123456789")] == '\0';
}

/* [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)? */
static bool looks_like_float(const char *text)
{
    static const char *const words[] = {".inf",  ".Inf",  ".INF",  "-.inf", "-.Inf",
                                        "-.INF", "+.inf", "+.Inf", "+.INF", ".nan",
                                        ".NaN",  ".NAN",  NULL};
    if (one_of(text, words))
        return true;
    text += text[0] == '-' || text[0] == '+';
    size_t whole = strspn(text, "0123456789");
    text += whole;
    if (text[0] == '.') {
        size_t part = strspn(text + 1, "0123456789");
        if (whole + part == 0)
            return false;
        text += 1 + part;
    } else if (whole == 0) {
        return false;
    }
    if (text[0] == '\0')
        return true;
    if (text[0] != 'e' && text[0] != 'E')
        return false;
    text += 1;
    text += text[0] == '-' || text[0] == '+';
    return text[0] && text[strspn(text, "0123456789")] == '\0';
}

enum config_kind config_value_kind(const char *text)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
    bool flag = false;
    if (one_of(text, nulls))
        return KIND_NULL;
    if (config_value_bool(text, &flag))
        return KIND_BOOL;
    if (looks_like_int(text))
        return KIND_INT;
    return looks_like_float(text) ? KIND_FLOAT : KIND_TEXT;
}

bool config_value_bool(const char *text, bool *out)
{
    static const char *const yes[] = {"true", "True", "TRUE", NULL};
    static const char *const no[] = {"false", "False", "FALSE", NULL};
    *out = one_of(text, yes);
    return *out || one_of(text, no);
}

bool config_value_int(const char *text, int64_t *out)
{
    if (!looks_like_int(text))
        return false;
    int base = 10;
    if (text[0] == '0' && (text[1] == 'x' || text[1] == 'o')) {
        base = text[1] == 'x' ? 16 : 8;
        text += 2;
    }
    errno = 0;
    *out = strtoll(text, NULL, base);
    return errno == 0;
}

bool config_value_number(const char *text, double *out)
{
    int64_t integer = 0;
    if (config_value_int(text, &integer)) {
        *out = (double)integer;
        return true;
    }
    if (!looks_like_float(text))
        return false;
    char *end = NULL;
    *out = strtod(text, &end);
    return *end == '\0' && isfinite(*out);
}

struct unit {
    const char *name;
    int64_t factor;
};

/* The largest first, for writing. */
static const struct unit durations[] = {
    {"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}, {NULL, 0},
};
static const struct unit sizes[] = {
    {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"", 1}, {NULL, 0},
};

static bool with_unit(const char *text, const struct unit *units, int64_t *out)
{
    if (!is_digit(text[0]))
        return false;
    char *end = NULL;
    errno = 0;
    int64_t number = strtoll(text, &end, 10);
    if (errno != 0)
        return false;
    for (; units->name; units++) {
        if (strcmp(units->name, end) == 0)
            return !__builtin_mul_overflow(number, units->factor, out);
    }
    *out = 0;
    return number == 0 && *end == '\0';
}

bool config_value_duration(const char *text, int64_t *out_ms)
{
    return with_unit(text, durations, out_ms);
}

bool config_value_size(const char *text, int64_t *out_bytes)
{
    return with_unit(text, sizes, out_bytes);
}

static void write_with_unit(struct buf *out, int64_t number, const struct unit *units,
                            const char *zero)
{
    if (number == 0) {
        buf_puts(out, zero);
        return;
    }
    while (number % units->factor != 0)
        units++;
    buf_printf(out, "%" PRId64 "%s", number / units->factor, units->name);
}

void config_value_write_duration(struct buf *out, int64_t ms)
{
    write_with_unit(out, ms, durations, "0s");
}

void config_value_write_size(struct buf *out, int64_t bytes)
{
    write_with_unit(out, bytes, sizes, "0");
}

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

bool config_value_is_name(const char *text)
{
    if (strspn(text, LETTERS DIGITS) == 0)
        return false;
    return text[strspn(text, LETTERS DIGITS "._-")] == '\0';
}

bool config_value_is_database(const char *text)
{
    return text[0] && text[strcspn(text, "/\\. \"$*<>:|?")] == '\0';
}

bool config_value_is_field(const char *text)
{
    for (;;) {
        size_t length = strcspn(text, ".");
        if (length == 0 || text[0] == '$')
            return false;
        if (text[length] == '\0')
            return true;
        text += length + 1;
    }
}

bool config_value_address(const char *text, struct config_address *out)
{
    const char *colon = strrchr(text, ':');
    if (!colon)
        return false;
    const char *host = text;
    size_t length = (size_t)(colon - text);
    if (length > 2 && host[0] == '[' && host[length - 1] == ']') {
        host += 1;
        length -= 2;
    } else if (memchr(host, ':', length) || host[0] == '[') {
        return false;
    }
    if (length == 0 || length >= sizeof(out->host) || host[strcspn(host, " \t/")] != '\0')
        return false;
    int64_t port = 0;
    if (colon[1 + strspn(colon + 1, DIGITS)] != '\0' || !config_value_int(colon + 1, &port) ||
        port < 1 || port > 65535)
        return false;
    memcpy(out->host, host, length);
    out->host[length] = '\0';
    out->port = (unsigned)port;
    return true;
}

bool config_value_is_loopback(const struct config_address *address)
{
    struct in_addr four;
    struct in6_addr six;
    if (inet_pton(AF_INET, address->host, &four) == 1)
        return ntohl(four.s_addr) >> 24 == 127;
    if (inet_pton(AF_INET6, address->host, &six) == 1)
        return IN6_IS_ADDR_LOOPBACK(&six);
    return strcasecmp(address->host, "localhost") == 0;
}
