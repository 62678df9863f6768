/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a record's value, and as BSON: what is decoded can be encoded, and is the same when
 * decoded again, unless it is refused. */
#include <assert.h>
#include <stdint.h>

#include "base/limits.h"
#include "base/mongo.h"
#include "cdc/item.h"
#include "cdc/item_read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_round_trip(const bson_t *doc)
{
    struct err err;
    CLEANUP(buf_fini) struct buf first = BUF_INIT(LIMIT_ITEM_SIZE);
    CLEANUP(buf_fini) struct buf second = BUF_INIT(LIMIT_ITEM_SIZE);
    CLEANUP(bson_destroyp) bson_t *back = NULL;
    if (!item_encode_doc(doc, NULL, &first, &err) ||
        !item_decode_doc(first.data, first.size, &back, &err))
        return;
    bool again = item_encode_doc(back, NULL, &second, &err);
    assert(again);
    /* Compared as text: a NaN may have other bits. */
    assert(first.size == second.size && memcmp(first.data, second.data, first.size) == 0);
}

/* The short way reads nothing otherwise than the long one. */
static void check_short_way(const char *json, size_t size)
{
    CLEANUP(bson_destroyp) bson_t *fast = item_read(json, size);
    if (!fast)
        return;
    CLEANUP(bson_destroyp)
    bson_t *slow = bson_new_from_json((const uint8_t *)json, (ssize_t)size, NULL);
    assert(slow && bson_equal(fast, slow));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err;
    check_short_way((const char *)data, size);
    bson_t raw;
    CLEANUP(bson_destroyp) bson_t *doc = NULL;
    if (item_decode_doc((const char *)data, size, &doc, &err))
        check_round_trip(doc);
    if (bson_init_static(&raw, data, size))
        check_round_trip(&raw);
    return 0;
}
