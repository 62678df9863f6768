/* SPDX-License-Identifier: Apache-2.0 */
/* BSON numbers as MongoDB compares them: by value, across int32, int64, double and decimal128. */
#pragma once

#include <bson/bson.h>
#include <stdbool.h>
#include <stdint.h>

/* True for the four numeric types. */
bool number_is(const bson_iter_t *iter);

/* < 0, 0, > 0; exact. NaN equals NaN and sorts before every other number. */
int number_compare(const bson_iter_t *a, const bson_iter_t *b);

/* The exact integer a number stands for; false when it is none, or not in the range of int64_t. */
bool number_as_int(const bson_iter_t *iter, int64_t *out);

/* True when a decimal128 has exactly the value of the double *out. */
bool number_decimal_as_double(const bson_iter_t *iter, double *out);

/* The decimal128 of the same value without trailing zeros: 0.10 and 0.1 give the same bits. */
bson_decimal128_t number_decimal_normal(const bson_iter_t *iter);
