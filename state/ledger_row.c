/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "state/doc.h"
#include "state/ledger_ops.h"

static const char *const state_texts[] = {
    [LEDGER_NONE] = "none",
    [LEDGER_DONE] = "done",
    [LEDGER_DELETED] = "deleted",
    [LEDGER_QUARANTINED] = "quarantined",
};

const char *ledger_state_text(enum ledger_state state)
{
    return state_texts[state];
}

static void put_digest(bson_t *doc, const char *name, const struct sha256 *digest)
{
    BSON_APPEND_BINARY(doc, name, BSON_SUBTYPE_BINARY, digest->bytes, SHA256_SIZE);
}

bool ledger_digest_is_zero(const struct sha256 *digest)
{
    static const struct sha256 zero;
    return memcmp(digest, &zero, sizeof(zero)) == 0;
}

static void put_chunks(bson_t *doc, const struct sha256 *chunks, size_t count)
{
    bson_t array;
    if (count == 0)
        return;
    BSON_APPEND_ARRAY_BEGIN(doc, "chunks", &array);
    for (size_t i = 0; i < count; i++) {
        char text[16];
        const char *key;
        bson_uint32_to_string((uint32_t)i, &key, text, sizeof(text));
        put_digest(&array, key, &chunks[i]);
    }
    bson_append_array_end(doc, &array);
}

static void put_meta_keys(bson_t *doc, const char *const *keys, size_t count)
{
    bson_t array;
    if (count == 0)
        return;
    BSON_APPEND_ARRAY_BEGIN(doc, "keys", &array);
    for (size_t i = 0; i < count; i++) {
        char text[16];
        const char *key;
        bson_uint32_to_string((uint32_t)i, &key, text, sizeof(text));
        BSON_APPEND_UTF8(&array, key, keys[i]);
    }
    bson_append_array_end(doc, &array);
}

void ledger_row_encode(const struct ledger_row *row, bson_t *out)
{
    doc_put_int(out, "gen", row->gen);
    doc_put_text(out, "ver", row->ver ? row->ver : "");
    doc_put_int(out, "off", row->offset);
    doc_put_text(out, "state", ledger_state_text(row->state));
    if (row->source_id)
        doc_put_text(out, "sid", row->source_id);
    if (!ledger_digest_is_zero(&row->doc_fp))
        put_digest(out, "doc_fp", &row->doc_fp);
    if (!ledger_digest_is_zero(&row->meta_fp))
        put_digest(out, "meta_fp", &row->meta_fp);
    put_chunks(out, row->chunks, row->chunk_count);
    put_meta_keys(out, row->meta_keys, row->meta_key_count);
    if (row->halved)
        BSON_APPEND_BOOL(out, "halved", true);
    if (row->reason)
        doc_put_text(out, "reason", row->reason);
}

void ledger_intent_encode(const struct ledger_intent *intent, const char *owner, bson_t *out)
{
    doc_put_text(out, "id", intent->id);
    doc_put_text(out, "owner", owner);
    doc_put_int(out, "gen", intent->gen);
    doc_put_text(out, "ver", intent->ver ? intent->ver : "");
    if (intent->source_id)
        doc_put_text(out, "sid", intent->source_id);
    put_chunks(out, intent->chunks, intent->chunk_count);
}

static char *text_in(struct arena *arena, const bson_iter_t *iter)
{
    uint32_t size = 0;
    const char *text = BSON_ITER_HOLDS_UTF8(iter) ? bson_iter_utf8(iter, &size) : NULL;
    return text ? arena_memdup(arena, text, size) : NULL;
}

static int64_t read_date(const bson_iter_t *iter)
{
    return BSON_ITER_HOLDS_DATE_TIME(iter) ? bson_iter_date_time(iter) : 0;
}

static bool digest_at(const bson_iter_t *iter, struct sha256 *out)
{
    bson_subtype_t subtype;
    uint32_t size = 0;
    const uint8_t *data = NULL;
    if (BSON_ITER_HOLDS_BINARY(iter))
        bson_iter_binary(iter, &subtype, &size, &data);
    if (!data || size != SHA256_SIZE)
        return false;
    memcpy(out->bytes, data, SHA256_SIZE);
    return true;
}

/* Counts first: the elements are small and the arena cannot grow an array. */
static size_t elements_of(const bson_iter_t *iter, bson_iter_t *child)
{
    size_t count = 0;
    bson_iter_t counting;
    if (!BSON_ITER_HOLDS_ARRAY(iter) || !bson_iter_recurse(iter, &counting) ||
        !bson_iter_recurse(iter, child))
        return 0;
    while (bson_iter_next(&counting))
        count++;
    return count;
}

static struct sha256 *read_chunks(const bson_iter_t *iter, struct arena *arena, size_t *count)
{
    bson_iter_t child;
    size_t length = elements_of(iter, &child);
    struct sha256 *chunks = length ? arena_alloc_array(arena, length, sizeof(*chunks)) : NULL;
    *count = 0;
    while (*count < length && bson_iter_next(&child) && digest_at(&child, &chunks[*count]))
        (*count)++;
    return chunks;
}

static void read_meta_keys(const bson_iter_t *iter, struct arena *arena, struct ledger_row *out)
{
    bson_iter_t child;
    size_t length = elements_of(iter, &child);
    const char **keys = length ? arena_alloc_array(arena, length, sizeof(*keys)) : NULL;
    size_t count = 0;
    while (count < length && bson_iter_next(&child)) {
        keys[count] = text_in(arena, &child);
        count += keys[count] ? 1 : 0;
    }
    out->meta_keys = keys;
    out->meta_key_count = count;
}

static void read_intent_field(const bson_iter_t *iter, struct arena *arena, int64_t now_ms,
                              struct ledger_intent *out)
{
    const char *name = bson_iter_key(iter);
    if (strcmp(name, "id") == 0 && BSON_ITER_HOLDS_UTF8(iter))
        bson_strncpy(out->id, bson_iter_utf8(iter, NULL), sizeof(out->id));
    else if (strcmp(name, "owner") == 0)
        out->owner = text_in(arena, iter);
    else if (strcmp(name, "gen") == 0)
        out->gen = bson_iter_as_int64(iter);
    else if (strcmp(name, "ver") == 0)
        out->ver = text_in(arena, iter);
    else if (strcmp(name, "sid") == 0)
        out->source_id = text_in(arena, iter);
    else if (strcmp(name, "chunks") == 0)
        out->chunks = read_chunks(iter, arena, &out->chunk_count);
    else if (strcmp(name, "until") == 0 && BSON_ITER_HOLDS_DATE_TIME(iter))
        out->wait_ms = bson_iter_date_time(iter) - now_ms;
}

static void read_intent(const bson_iter_t *iter, struct arena *arena, int64_t now_ms,
                        struct ledger_row *out)
{
    bson_iter_t child;
    if (!BSON_ITER_HOLDS_DOCUMENT(iter) || !bson_iter_recurse(iter, &child))
        return;
    out->has_intent = true;
    while (bson_iter_next(&child))
        read_intent_field(&child, arena, now_ms, &out->intent);
}

static void read_repair(const bson_iter_t *iter, struct arena *arena, struct ledger_row *out)
{
    bson_iter_t child;
    out->repair = true;
    if (!BSON_ITER_HOLDS_DOCUMENT(iter) || !bson_iter_recurse(iter, &child))
        return;
    while (bson_iter_next(&child)) {
        if (strcmp(bson_iter_key(&child), "at") == 0)
            out->repair_ms = read_date(&child);
        else if (strcmp(bson_iter_key(&child), "reason") == 0)
            out->repair_reason = text_in(arena, &child);
    }
}

static enum ledger_state read_state(const bson_iter_t *iter)
{
    const char *text = BSON_ITER_HOLDS_UTF8(iter) ? bson_iter_utf8(iter, NULL) : "";
    for (size_t i = 0; i < ARRAY_LEN(state_texts); i++)
        if (strcmp(text, state_texts[i]) == 0)
            return (enum ledger_state)i;
    return LEDGER_NONE;
}

static bool read_number_or_digest(const bson_iter_t *iter, struct ledger_row *out)
{
    const char *name = bson_iter_key(iter);
    if (strcmp(name, "gen") == 0)
        out->gen = bson_iter_as_int64(iter);
    else if (strcmp(name, "off") == 0)
        out->offset = bson_iter_as_int64(iter);
    else if (strcmp(name, "state") == 0)
        out->state = read_state(iter);
    else if (strcmp(name, "at") == 0)
        out->at_ms = read_date(iter);
    else if (strcmp(name, "since") == 0)
        out->since_ms = read_date(iter);
    else if (strcmp(name, "halved") == 0)
        out->halved = bson_iter_as_bool(iter);
    else if (strcmp(name, "skipped") == 0)
        out->skipped = bson_iter_as_bool(iter);
    else if (strcmp(name, "doc_fp") == 0)
        (void)digest_at(iter, &out->doc_fp);
    else if (strcmp(name, "meta_fp") == 0)
        (void)digest_at(iter, &out->meta_fp);
    else
        return false;
    return true;
}

static void read_field(const bson_iter_t *iter, struct arena *arena, int64_t now_ms,
                       struct ledger_row *out)
{
    const char *name = bson_iter_key(iter);
    if (read_number_or_digest(iter, out))
        return;
    if (strcmp(name, "_id") == 0)
        out->key = text_in(arena, iter);
    else if (strcmp(name, "ver") == 0)
        out->ver = text_in(arena, iter);
    else if (strcmp(name, "sid") == 0)
        out->source_id = text_in(arena, iter);
    else if (strcmp(name, "chunks") == 0)
        out->chunks = read_chunks(iter, arena, &out->chunk_count);
    else if (strcmp(name, "keys") == 0)
        read_meta_keys(iter, arena, out);
    else if (strcmp(name, "reason") == 0)
        out->reason = text_in(arena, iter);
    else if (strcmp(name, "intent") == 0)
        read_intent(iter, arena, now_ms, out);
    else if (strcmp(name, "repair") == 0)
        read_repair(iter, arena, out);
}

void ledger_row_decode(const bson_t *doc, int64_t now_ms, struct arena *arena,
                       struct ledger_row *out)
{
    bson_iter_t iter;
    *out = (struct ledger_row){.exists = true, .ver = ""};
    for (bool more = bson_iter_init(&iter, doc); more && bson_iter_next(&iter);)
        read_field(&iter, arena, now_ms, out);
    if (!out->ver)
        out->ver = "";
}
