/* SPDX-License-Identifier: Apache-2.0 */
/* Resume tokens, as the `_data` string: hexadecimal KeyString whose byte order is the order of
 * events. Bytes 1 to 8 after the leading 82 are the cluster time: (seconds, ordinal). Source:
 * MongoDB's src/mongo/db/pipeline/resume_token.cpp; measured against 6.0. */
/* A token is written as its `_data` and, where the server gives some, its `_typeBits` in hexadecimal
 * behind a colon: what is needed to go on after a key that holds a number other than an int32. Only
 * `_data` orders events. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

struct cluster_time {
    uint32_t seconds;
    uint32_t ordinal;
};

/* False when it has not the shape of a token: such a one would silently start a stream at "now". */
bool token_time(const char *token, struct cluster_time *out) MUST_USE;
/* A high-water mark: no event's, but all before it have been delivered. It lacks the collection's
 * UUID, with which an event's token is more than twice as long. */
bool token_is_mark(const char *token);
/* Length of its `_data`. */
size_t token_data_size(const char *token);
/* Its `_typeBits` in hexadecimal; NULL: none. */
const char *token_type_bits(const char *token);
int cluster_time_compare(struct cluster_time a, struct cluster_time b);
/* One ordinal earlier; there is nothing before zero. */
struct cluster_time cluster_time_before(struct cluster_time time);
