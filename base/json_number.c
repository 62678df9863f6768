/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json_number.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* 0.digits * 10^point: what ECMA-262 calls s, k and n. */
struct decimal {
    char digits[20];
    int count;
    int point;
};

static bool reads_back(const struct decimal *decimal, double number)
{
    char text[40];
    snprintf(text, sizeof text, "0.%se%d", decimal->digits, decimal->point);
    return strtod(text, NULL) == number;
}

/* The decimal with `count` digits that is nearest to the number. */
static struct decimal round_to(double number, int count)
{
    char text[40];
    snprintf(text, sizeof text, "%.*e", count - 1, number);
    struct decimal decimal = {.count = count};
    char *exponent = strchr(text, 'e');
    decimal.digits[0] = text[0];
    if (count > 1)
        memcpy(decimal.digits + 1, text + 2, (size_t)(count - 1));
    decimal.point = (int)strtol(exponent + 1, NULL, 10) + 1;
    return decimal;
}

/* The next larger decimal with as many digits; false when there is none with this exponent. */
static bool increment(struct decimal *decimal)
{
    for (int i = decimal->count - 1; i >= 0; i--) {
        if (decimal->digits[i] != '9') {
            decimal->digits[i]++;
            return true;
        }
        decimal->digits[i] = '0';
    }
    return false;
}

static struct decimal shortest(double number)
{
    /* Any decimal of up to DBL_DIG digits survives the way through a normal double, so that a
     * shorter one would show as zeros at the end. Not so for subnormal ones. */
    int first = number < DBL_MIN ? 1 : DBL_DIG;
    for (int count = first; count < DBL_DECIMAL_DIG; count++) {
        struct decimal decimal = round_to(number, count);
        if (reads_back(&decimal, number))
            return decimal;
        /* Below a power of two doubles are twice as dense as above it: the nearest decimal may lie
         * outside of what reads back while its upper neighbour lies inside (2^-44). */
        if (increment(&decimal) && reads_back(&decimal, number))
            return decimal;
    }
    return round_to(number, DBL_DECIMAL_DIG);
}

static void append_exponential(const struct decimal *decimal, char *out)
{
    int exponent = decimal->point - 1;
    snprintf(out, JSON_NUMBER_TEXT_SIZE - 1, "%c%s%se%c%d", decimal->digits[0],
             decimal->count > 1 ? "." : "", decimal->digits + 1, exponent < 0 ? '-' : '+',
             abs(exponent));
}

static void append_positional(const struct decimal *decimal, char *out)
{
    static const char zeros[] = "00000000000000000000";
    const size_t size = JSON_NUMBER_TEXT_SIZE - 1;
    if (decimal->point <= 0)
        snprintf(out, size, "0.%.*s%s", -decimal->point, zeros, decimal->digits);
    else if (decimal->point >= decimal->count)
        snprintf(out, size, "%s%.*s", decimal->digits, decimal->point - decimal->count, zeros);
    else
        snprintf(out, size, "%.*s.%s", decimal->point, decimal->digits,
                 decimal->digits + decimal->point);
}

void json_number_format(double number, char out[static JSON_NUMBER_TEXT_SIZE])
{
    assert(isfinite(number));
    if (fpclassify(number) == FP_ZERO) {
        memcpy(out, "0", 2);
        return;
    }
    if (number < 0)
        *out++ = '-';
    struct decimal decimal = shortest(fabs(number));
    while (decimal.count > 1 && decimal.digits[decimal.count - 1] == '0')
        decimal.digits[--decimal.count] = '\0';
    if (decimal.point > 21 || decimal.point < -5)
        append_exponential(&decimal, out);
    else
        append_positional(&decimal, out);
}
