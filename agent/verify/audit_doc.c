/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/verify/audit_doc.h"

#include <string.h>

#include "agent/lane/task.h"
#include "base/limits.h"
#include "cdc/key.h"

/* A chunk is cut in two as often as this, at most: by then it is one character. */
#define MOST_HALVINGS 40

void audit_key(const bson_iter_t *id, struct buf *out)
{
    buf_clear(out);
    key_encode(id, out);
    if (!out->overflow && out->size <= LIMIT_KEY_SIZE)
        return;
    buf_clear(out);
    key_stand_in(id, out);
}

/* --- the chunks ------------------------------------------------------------------------------- */

struct halves {
    const struct ledger_row *row;
    size_t at; /* the row's next chunk */
};

/* Is the span the row's next chunk, or are its halves the next ones? */
static bool take_span(struct halves *halves, const char *text, size_t size, int depth)
{
    struct sha256 fp = content_fp(text, size);
    if (halves->at < halves->row->chunk_count &&
        sha256_equal(&fp, &halves->row->chunks[halves->at])) {
        halves->at++;
        return true;
    }
    size_t cut = depth > 0 ? chunk_halve(text, size) : 0;
    return cut > 0 && take_span(halves, text, cut, depth - 1) &&
           take_span(halves, text + cut, size - cut, depth - 1);
}

/* The row's chunks are those of the text, some of them in halves. */
static bool is_halved(const struct ledger_row *row, const struct chunk_list *list, const char *text)
{
    struct halves halves = {.row = row};
    if (row->state != LEDGER_DONE || !row->halved)
        return false;
    for (size_t i = 0; i < list->count; i++) {
        if (!take_span(&halves, text + list->spans[i].start, list->spans[i].size, MOST_HALVINGS))
            return false;
    }
    return halves.at == row->chunk_count;
}

static void expect_chunks(const struct audit_rules *rules, const struct buf *text,
                          const struct ledger_row *row, const struct audit_memory *memory,
                          struct audit_doc *out)
{
    struct chunk_list list;
    chunk_text(&rules->embed.chunk, buf_str(text), text->size, memory->scratch, &list);
    if (list.count > LIMIT_CHUNKS_PER_DOCUMENT) {
        out->reject = "it has too many chunks";
        return;
    }
    bool halved = is_halved(row, &list, buf_str(text));
    out->chunk_count = halved ? row->chunk_count : list.count;
    out->chunks = arena_alloc_array(memory->results, out->chunk_count + 1, sizeof *out->chunks);
    for (size_t i = 0; i < out->chunk_count; i++)
        out->chunks[i] = halved
                             ? row->chunks[i]
                             : content_fp(buf_str(text) + list.spans[i].start, list.spans[i].size);
}

static size_t strings_size(const struct field *fields, size_t count)
{
    size_t size = 0;
    for (size_t i = 0; i < count; i++) {
        size += strlen(fields[i].name) + 32;
        if (fields[i].value.type == VALUE_STRING)
            size += strlen(fields[i].value.as.string);
    }
    return size;
}

void audit_expect(const struct audit_rules *rules, const bson_t *bson, const struct ledger_row *row,
                  const struct audit_memory *memory, struct audit_doc *out)
{
    struct err err;
    CLEANUP(buf_fini) struct buf raw = BUF_INIT(LIMIT_ITEM_SIZE);
    CLEANUP(buf_fini) struct buf text = BUF_INIT(LIMIT_ITEM_SIZE);
    struct arena *arena = memory->results;
    *out = (struct audit_doc){.present = true};
    arena_reset(memory->scratch);
    if (key_is_stand_in(row->key, strlen(row->key))) {
        out->reject = "its _id is larger than 64 KiB";
        return;
    }
    if (!shape_source_id(rules->shape, bson, arena, &out->source_id, &err) ||
        !document_text(bson, rules->embed.text_fields, rules->embed.text_field_count, &raw, &err)) {
        out->reject = arena_strdup(arena, err.text);
        return;
    }
    shape_read_metadata(rules->shape, bson, arena, &out->metadata, &out->metadata_count);
    out->metadata_size = strings_size(out->metadata, out->metadata_count);
    out->meta_fp = document_meta_fp(out->metadata, out->metadata_count);
    normalize_text(&rules->embed.normalize, buf_str(&raw), raw.size, &text);
    if (text.overflow) {
        out->reject = "the normalised text is too large";
        return;
    }
    out->text_size = text.size;
    out->doc_fp = document_fp(out->source_id, buf_str(&text), text.size, &out->meta_fp);
    expect_chunks(rules, &text, row, memory, out);
}

/* --- record ids ------------------------------------------------------------------------------- */

struct chunk_state { /* of a document: by the source, by the row, by an intent */
    const char *source_id;
    const struct sha256 *chunks;
    size_t count;
};

static struct chunk_state state_of_doc(const struct audit_doc *doc)
{
    if (!doc->present || doc->reject)
        return (struct chunk_state){0};
    return (struct chunk_state){doc->source_id, doc->chunks, doc->chunk_count};
}

static struct chunk_state state_of_row(const struct ledger_row *row)
{
    return row->state == LEDGER_DONE && row->source_id
               ? (struct chunk_state){row->source_id, row->chunks, row->chunk_count}
               : (struct chunk_state){0};
}

static struct chunk_state state_of_intent(const struct ledger_row *row)
{
    return row->has_intent && row->intent.source_id
               ? (struct chunk_state){row->intent.source_id, row->intent.chunks,
                                      row->intent.chunk_count}
               : (struct chunk_state){0};
}

/* The record of chunk `index` of `one` is one of `other` as well. */
static bool shares(const struct audit_rules *rules, const struct chunk_state *one, size_t index,
                   const struct chunk_state *other)
{
    return other->source_id && index < other->count &&
           strcmp(one->source_id, other->source_id) == 0 &&
           (!rules->content_ids ||
            memcmp(one->chunks[index].bytes, other->chunks[index].bytes, 4) == 0);
}

const char **audit_unexpected_ids(const struct audit_rules *rules, const struct audit_doc *doc,
                                  const struct ledger_row *row, struct arena *arena, size_t *count)
{
    const struct chunk_state wanted = state_of_doc(doc);
    const struct chunk_state held = state_of_row(row), intended = state_of_intent(row);
    const char **ids = arena_alloc_array(arena, held.count + intended.count + 1, sizeof *ids);
    *count = 0;
    for (size_t i = 0; i < held.count; i++) {
        if (!shares(rules, &held, i, &wanted))
            ids[(*count)++] =
                record_id(arena, rules->content_ids, held.source_id, i, &held.chunks[i]);
    }
    for (size_t i = 0; i < intended.count; i++) {
        if (!shares(rules, &intended, i, &wanted) && !shares(rules, &intended, i, &held))
            ids[(*count)++] =
                record_id(arena, rules->content_ids, intended.source_id, i, &intended.chunks[i]);
    }
    return ids;
}

/* Cuts ":<digits>" off the end of the first `size` bytes; false when there is none. */
static bool cut_index(const char *id, size_t *size, size_t *index)
{
    size_t at = *size;
    *index = 0;
    while (at > 0 && id[at - 1] >= '0' && id[at - 1] <= '9')
        at--;
    size_t digits = *size - at;
    if (at == 0 || id[at - 1] != ':' || digits == 0 || digits > 9 || (digits > 1 && id[at] == '0'))
        return false;
    for (size_t i = at; i < *size; i++)
        *index = *index * 10 + (size_t)(id[i] - '0');
    *size = at - 1;
    return true;
}

bool audit_split_id(const struct audit_rules *rules, const char *id, struct arena *arena,
                    const char **source_id, size_t *index)
{
    size_t size = strlen(id);
    if (rules->content_ids) {
        if (size < 10 || id[size - 9] != ':' || strspn(id + size - 8, "0123456789abcdef") < 8)
            return false;
        size -= 9;
    }
    if (!cut_index(id, &size, index) || size == 0)
        return false;
    *source_id = arena_memdup(arena, id, size);
    return true;
}

static bool state_has(const struct audit_rules *rules, const struct chunk_state *state,
                      const char *id, struct arena *arena)
{
    const char *source_id;
    size_t index;
    return state->source_id && audit_split_id(rules, id, arena, &source_id, &index) &&
           index < state->count && strcmp(source_id, state->source_id) == 0 &&
           strcmp(record_id(arena, rules->content_ids, source_id, index, &state->chunks[index]),
                  id) == 0;
}

bool audit_doc_has(const struct audit_rules *rules, const struct audit_doc *doc, const char *id,
                   struct arena *arena)
{
    const struct chunk_state state = state_of_doc(doc);
    return state_has(rules, &state, id, arena);
}

bool audit_row_has(const struct audit_rules *rules, const struct ledger_row *row, const char *id,
                   struct arena *arena)
{
    const struct chunk_state held = state_of_row(row), intended = state_of_intent(row);
    return state_has(rules, &held, id, arena) || state_has(rules, &intended, id, arena);
}
