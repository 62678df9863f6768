/* SPDX-License-Identifier: Apache-2.0 */
/* An item made ready for the work log: a document projected to what its family uses, as key and value.
 * Belongs to one thread. */
#pragma once

#include "agent/family.h"
#include "base/buf.h"
#include "cdc/item.h"

struct encoding {
    struct buf key;
    struct buf value;
    enum item_op op;    /* REREAD where an UPSERT cannot be carried */
    bool key_too_large; /* another stands in for it: workers set the document aside */
};

struct encoding_input {
    const struct family *family;
    enum item_op op;
    const bson_iter_t *id;
    const bson_t *doc; /* UPSERT: as read, not projected yet */
    size_t ver_size;
    int64_t max_size; /* of a record in its topic; 0: not known */
};

void encoding_init(struct encoding *encoding);
void encoding_fini(struct encoding *encoding);
/* Replaces what was encoded before. */
bool encoding_make(struct encoding *encoding, const struct encoding_input *input, struct err *err)
    MUST_USE;
/* The record's key, value and op; the rest stays as it is. Valid until the next encoding_make(). */
void encoding_put(const struct encoding *encoding, struct record *record);
