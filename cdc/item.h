/* SPDX-License-Identifier: Apache-2.0 */
/* One unit of work: "document K is now this / is gone / must be re-read", and its record's form.
 *
 * Record: key = canonical extended JSON of `_id` with numbers normalised; headers gen (decimal), ver
 * (token), op (upsert, delete, reread), time (decimal milliseconds of the commit, absent for
 * snapshot rows), size (of a re-read whose document was looked at: its bytes); value {"doc": {...}} in canonical extended JSON, null (a tombstone) for a delete,
 * {} for a re-read.
 */
#pragma once

#include <bson/bson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "cdc/path.h"

enum item_op { ITEM_UPSERT, ITEM_DELETE, ITEM_REREAD };
const char *item_op_name(enum item_op op);
bool item_op_parse(const char *name, enum item_op *out) MUST_USE;

struct record {
    const char *key;
    size_t key_size;
    const char *value; /* NULL: tombstone */
    size_t value_size;
    enum item_op op;
    int64_t gen;
    const char *ver;
    int64_t time_ms; /* commit time at the source; 0: unknown */
    int64_t size;    /* of a re-read: about how many bytes the document has; 0: unknown */
};

/* The value of a re-read. */
#define REREAD_VALUE "{}"
#define REREAD_VALUE_SIZE (sizeof REREAD_VALUE - 1)

/* Appends the value of an upsert: of what the projection keeps of the document, in the document's
 * order; NULL: all of it. */
bool item_encode_doc(const bson_t *doc, const struct projection *kept, struct buf *out,
                     struct err *err) MUST_USE;
/* The document of an upsert's value; the caller destroys it. REJECT, DATA when it is not one. */
bool item_decode_doc(const char *value, size_t size, bson_t **doc, struct err *err) MUST_USE;
