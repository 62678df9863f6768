/* SPDX-License-Identifier: Apache-2.0 */
/* Names of documents: the record key of an `_id`, and the source id that readers see.
 *
 * Both use canonical extended JSON (MongoDB Extended JSON v2) without spaces and with numbers
 * normalised: 1, 1L, 1.0 and NumberDecimal("1") are one `_id` to MongoDB, so they are one here:
 * {"$numberLong":"1"}; a number that is no 64-bit integer is {"$numberDouble":...}, and only a
 * decimal that is no double stays {"$numberDecimal":...}, without trailing zeros. A value with a
 * string that is not UTF-8, or that is nested too deeply, has no JSON: it is {"$bson":"..."}, its BSON
 * in hex.
 */
#pragma once

#include <bson/bson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/* Appends the key of the value at `iter`. */
void key_encode(const bson_iter_t *iter, struct buf *out);

/* Appends what stands for a key that is too large to be carried: its SHA-256 and how it begins. It names
 * one value, but cannot be decoded. */
void key_stand_in(const bson_iter_t *iter, struct buf *out);
bool key_is_stand_in(const char *key, size_t size);

/* Appends the source id: a string as it is, an ObjectId as hex, anything else (and a string that
 * could be taken for one of those) as the key. */
void key_source_id(const bson_iter_t *iter, struct buf *out);

/* {"_id": value} of a key, for reading the document back by `_id`; NULL when it is not one. The caller
 * destroys it. */
bson_t *key_decode(const char *key, size_t size);

/* Appends the key of the `_id` that has this source id. Nothing that key_source_id() does not write makes
 * sense here. */
void key_of_source_id(const char *source_id, struct buf *out);

/* For tables of keys in memory; kept nowhere. */
uint64_t key_hash(const char *key, size_t size);
