/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/capture/encoding.h"

#include "base/limits.h"
#include "cdc/key.h"

/* Of a record: its headers' names and numbers, and those of the batch that it travels in. */
#define RECORD_OVERHEAD 512

void encoding_init(struct encoding *encoding)
{
    *encoding =
        (struct encoding){.key = BUF_INIT(LIMIT_KEY_SIZE), .value = BUF_INIT(LIMIT_ITEM_SIZE)};
}

void encoding_fini(struct encoding *encoding)
{
    buf_fini(&encoding->key);
    buf_fini(&encoding->value);
}

/* The broker would refuse it, though only in its report (what it takes after compression is not
 * known before). */
static bool is_too_large(const struct encoding *encoding, const struct encoding_input *input)
{
    size_t size = encoding->key.size + input->ver_size + encoding->value.size + RECORD_OVERHEAD;
    return input->max_size > 0 && size > (size_t)input->max_size;
}

bool encoding_make(struct encoding *encoding, const struct encoding_input *input, struct err *err)
{
    buf_clear(&encoding->key);
    buf_clear(&encoding->value);
    key_encode(input->id, &encoding->key);
    encoding->key_too_large = encoding->key.overflow;
    encoding->op = input->op;
    if (encoding->key_too_large) {
        buf_clear(&encoding->key);
        key_stand_in(input->id, &encoding->key);
        encoding->op = input->op == ITEM_DELETE ? ITEM_DELETE : ITEM_REREAD;
    }
    if (encoding->op != ITEM_UPSERT)
        return true;
    struct err why = {0};
    bool ok = shape_encode(input->family->shape, input->doc, &encoding->value, &why);
    /* too large for an item or for the topic, or nothing that JSON can carry: the workers read it
     * themselves */
    if (encoding->value.overflow || (!ok && why.action == ERR_REJECT) ||
        is_too_large(encoding, input)) {
        encoding->op = ITEM_REREAD;
        return true;
    }
    if (!ok && err)
        *err = why;
    return ok;
}

void encoding_put(const struct encoding *encoding, struct record *record)
{
    record->key = encoding->key.data;
    record->key_size = encoding->key.size;
    record->op = encoding->op;
    record->value = encoding->op == ITEM_REREAD ? REREAD_VALUE : NULL;
    record->value_size = encoding->op == ITEM_REREAD ? REREAD_VALUE_SIZE : 0;
    if (encoding->op == ITEM_UPSERT) {
        record->value = encoding->value.data;
        record->value_size = encoding->value.size;
    }
}
