/* SPDX-License-Identifier: Apache-2.0 */
/* BSON values in MongoDB's order: by type first, then by value. */
#pragma once

#include <bson/bson.h>
#include <stdbool.h>

/* True when the two belong to one type for comparison (all numbers are one). */
bool value_comparable(const bson_iter_t *a, const bson_iter_t *b);
/* < 0, 0, > 0 over all types, without a collation. */
int value_compare(const bson_iter_t *a, const bson_iter_t *b);
