/* SPDX-License-Identifier: Apache-2.0 */
#include "cdc/number.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The exact decimal expansion of a double has at most 767 significant digits. */
#define MAX_DIGITS 800

/* A number as sign, digits without leading or trailing zeros, and the exponent of the first digit:
 * 0.d1d2d3... * 10^exponent. Zero has no digits. */
struct decimal {
    int class; /* -2 NaN, -1 -infinity, 0 finite, 1 +infinity */
    bool negative;
    int exponent;
    size_t count;
    char digits[MAX_DIGITS];
};

static void decimal_trim(struct decimal *d)
{
    size_t zeros = 0;
    while (zeros < d->count && d->digits[zeros] == '0')
        zeros++;
    memmove(d->digits, d->digits + zeros, d->count - zeros);
    d->count -= zeros;
    d->exponent -= (int)zeros;
    while (d->count > 0 && d->digits[d->count - 1] == '0')
        d->count--;
    if (d->count == 0) {
        d->exponent = 0;
        d->negative = false;
    }
}

/* Reads "-1.25E+3", "12", "Infinity", "NaN": what printf and libbson write. */
static void decimal_parse(const char *text, struct decimal *d)
{
    *d = (struct decimal){.negative = text[0] == '-'};
    text += text[0] == '-' || text[0] == '+';
    if (text[0] == 'N' || text[0] == 'n') {
        d->class = -2;
        return;
    }
    if (text[0] == 'I' || text[0] == 'i') {
        d->class = d->negative ? -1 : 1;
        return;
    }
    bool point = false;
    for (; *text && *text != 'E' && *text != 'e'; text++) {
        if (*text == '.') {
            point = true;
            continue;
        }
        if (d->count < MAX_DIGITS)
            d->digits[d->count++] = *text;
        if (!point)
            d->exponent++;
    }
    if (*text)
        d->exponent += (int)strtoll(text + 1, NULL, 10);
    decimal_trim(d);
}

static void decimal_of_double(double number, struct decimal *d)
{
    char text[MAX_DIGITS + 16];
    snprintf(text, sizeof text, "%.770e", number);
    decimal_parse(text, d);
}

static void decimal_of(const bson_iter_t *iter, struct decimal *d)
{
    char text[64];
    switch (bson_iter_type(iter)) {
    case BSON_TYPE_DOUBLE:
        decimal_of_double(bson_iter_double(iter), d);
        return;
    case BSON_TYPE_DECIMAL128: {
        bson_decimal128_t decimal;
        bson_iter_decimal128(iter, &decimal);
        bson_decimal128_to_string(&decimal, text);
        break;
    }
    default:
        snprintf(text, sizeof text, "%lld", (long long)bson_iter_as_int64(iter));
    }
    decimal_parse(text, d);
}

static int magnitude_compare(const struct decimal *a, const struct decimal *b)
{
    if (a->count == 0 || b->count == 0)
        return (a->count > 0) - (b->count > 0);
    if (a->exponent != b->exponent)
        return a->exponent < b->exponent ? -1 : 1;
    size_t common = a->count < b->count ? a->count : b->count;
    int order = memcmp(a->digits, b->digits, common);
    if (order != 0)
        return order;
    return (a->count > b->count) - (a->count < b->count);
}

static int decimal_compare(const struct decimal *a, const struct decimal *b)
{
    if (a->class != 0 || b->class != 0)
        return (a->class > b->class) - (a->class < b->class);
    if (a->negative != b->negative)
        return a->negative ? -1 : 1;
    int order = magnitude_compare(a, b);
    return a->negative ? -order : order;
}

bool number_is(const bson_iter_t *iter)
{
    switch (bson_iter_type(iter)) {
    case BSON_TYPE_INT32:
    case BSON_TYPE_INT64:
    case BSON_TYPE_DOUBLE:
    case BSON_TYPE_DECIMAL128:
        return true;
    default:
        return false;
    }
}

static bool is_integer_type(const bson_iter_t *iter)
{
    return BSON_ITER_HOLDS_INT32(iter) || BSON_ITER_HOLDS_INT64(iter);
}

int number_compare(const bson_iter_t *a, const bson_iter_t *b)
{
    if (is_integer_type(a) && is_integer_type(b)) {
        int64_t x = bson_iter_as_int64(a), y = bson_iter_as_int64(b);
        return (x > y) - (x < y);
    }
    if (BSON_ITER_HOLDS_DOUBLE(a) && BSON_ITER_HOLDS_DOUBLE(b)) {
        double x = bson_iter_double(a), y = bson_iter_double(b);
        if (!isnan(x) && !isnan(y))
            return (x > y) - (x < y);
    }
    struct decimal x, y;
    decimal_of(a, &x);
    decimal_of(b, &y);
    return decimal_compare(&x, &y);
}

static bool double_as_int(double number, int64_t *out)
{
    /* 2^63 itself is outside; the comparison is false for NaN too */
    if (!(number >= -9223372036854775808.0 && number < 9223372036854775808.0))
        return false;
    if (number != trunc(number))
        return false;
    *out = (int64_t)number;
    return true;
}

static bool decimal_as_int(const struct decimal *d, int64_t *out)
{
    if (d->class != 0 || d->exponent > 19 || (int)d->count > d->exponent)
        return false;
    uint64_t magnitude = 0;
    for (int i = 0; i < d->exponent; i++) {
        uint64_t digit = (size_t)i < d->count ? (uint64_t)(d->digits[i] - '0') : 0;
        if (__builtin_mul_overflow(magnitude, 10, &magnitude) ||
            __builtin_add_overflow(magnitude, digit, &magnitude))
            return false;
    }
    if (magnitude > (uint64_t)INT64_MAX + (d->negative ? 1 : 0))
        return false;
    *out = d->negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
    return true;
}

bool number_as_int(const bson_iter_t *iter, int64_t *out)
{
    if (is_integer_type(iter)) {
        *out = bson_iter_as_int64(iter);
        return true;
    }
    if (BSON_ITER_HOLDS_DOUBLE(iter))
        return double_as_int(bson_iter_double(iter), out);
    struct decimal d;
    decimal_of(iter, &d);
    return decimal_as_int(&d, out);
}

bool number_decimal_as_double(const bson_iter_t *iter, double *out)
{
    bson_decimal128_t decimal;
    char text[BSON_DECIMAL128_STRING];
    bson_iter_decimal128(iter, &decimal);
    bson_decimal128_to_string(&decimal, text);
    struct decimal exact, rounded;
    decimal_parse(text, &exact);
    if (exact.class != 0)
        *out = exact.class == -2 ? (double)NAN : exact.class * (double)INFINITY;
    else
        *out = strtod(text, NULL);
    decimal_of_double(*out, &rounded);
    return decimal_compare(&exact, &rounded) == 0;
}

bson_decimal128_t number_decimal_normal(const bson_iter_t *iter)
{
    bson_decimal128_t decimal;
    struct decimal d;
    bson_iter_decimal128(iter, &decimal);
    decimal_of(iter, &d);
    if (d.class != 0)
        return decimal;
    char text[64];
    snprintf(text, sizeof text, "%s%.*sE%d", d.negative ? "-" : "", (int)d.count, d.digits,
             d.exponent - (int)d.count);
    if (d.count == 0)
        snprintf(text, sizeof text, "0");
    bson_decimal128_from_string(text, &decimal);
    return decimal;
}
