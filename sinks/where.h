/* SPDX-License-Identifier: Apache-2.0 */
/* What a search is narrowed by: one subset of conditions over metadata, the same for every store.
 *
 *     {"author": "ann"}                              the same as {"author": {"$eq": "ann"}}
 *     {"year": {"$gte": 2020, "$lt": 2024}}          several of one key: all of them
 *     {"author": "ann", "draft": false}              several keys: all of them
 *     {"$or": [{"a": 1}, {"$and": [...]}]}
 *
 * $eq $ne take text, a number or a bool; $gt $gte $lt $lte a number; $in $nin a list of values of one type.
 * A record without the key passes $ne and $nin, and nothing else. Pure; any thread.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "base/err.h"
#include "base/value.h"

/* Nested conditions, values of a list, and conditions altogether. */
#define WHERE_DEPTH_MAX 8
#define WHERE_LIST_MAX 1000
#define WHERE_CONDITIONS_MAX 200

/* REJECT, CONFIG with the key that is wrong and what it may be. */
bool where_check(const cJSON *where, struct err *err) MUST_USE;

/* Of a checked one: the same in the plainest form, which stores agree on: each object has one member, "$and"
 * or "$or" with two conditions at least, or a key with {"<operator>": value}. NULL: {}, which all pass. */
cJSON *where_plain(const cJSON *where) MUST_USE;

/* Whether a record with these fields passes a checked one. */
bool where_passes(const cJSON *where, const struct field *fields, size_t count);
