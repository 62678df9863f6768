/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/plan/pass.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/text.h"
#include "embed/chunk.h"

#define MOST_ASKED ((size_t)1000)

void pass_init(struct pass *pass, const struct pass_options *options)
{
    *pass = (struct pass){.options = *options,
                          .contents = contents_new(options->most_slots),
                          .arena = arena_new(LIMIT_ARENA_SIZE),
                          .raw = BUF_INIT(LIMIT_ITEM_SIZE),
                          .text = BUF_INIT(LIMIT_ITEM_SIZE)};
}

void pass_fini(struct pass *pass)
{
    contents_free(pass->contents);
    arena_free(pass->arena);
    buf_fini(&pass->raw);
    buf_fini(&pass->text);
    free(pass->texts);
}

/* --- the round ---------------------------------------------------------------------------------- */

/* Takes the texts out that need not be bought. */
static bool drop_reusable(struct pass *pass, struct err *err)
{
    if (pass->options.donors->count == 0 || pass->text_count == 0)
        return true;
    struct sha256 *fps = calloc(pass->text_count, sizeof *fps);
    bool *found = calloc(pass->text_count, sizeof *found);
    if (!fps || !found)
        abort();
    for (size_t i = 0; i < pass->text_count; i++)
        fps[i] = pass->texts[i].fp;
    bool ok = donors_find(pass->options.donors, fps, pass->text_count, found, err);
    size_t left = 0;
    for (size_t i = 0; ok && i < pass->text_count; i++) {
        if (found[i])
            contents_set_reusable(pass->contents, &fps[i]);
        else
            pass->texts[left++] = pass->texts[i];
    }
    if (ok)
        pass->text_count = left;
    free(fps);
    free(found);
    return ok;
}

/* As the embedder itself cuts them into requests, of which the last may be counted as part of one. */
static void pack(struct pass *pass, bool part)
{
    const struct embedder *embedder = pass->options.embedder;
    struct embed_text *texts = calloc(pass->text_count + 1, sizeof *texts);
    if (!texts)
        abort();
    for (size_t i = 0; i < pass->text_count; i++)
        texts[i] = (struct embed_text){.size = pass->texts[i].size};
    for (size_t at = 0, taken; at < pass->text_count; at += taken) {
        taken = embedder_part(embedder, texts + at, pass->text_count - at);
        bool last = at + taken == pass->text_count;
        size_t most = embedder->limits.texts;
        pass->requests += part && last && taken < most ? (double)taken / (double)most : 1;
    }
    free(texts);
}

static bool end_round(struct pass *pass, bool part, struct err *err)
{
    if (!drop_reusable(pass, err))
        return false;
    if (contents_are_whole(pass->contents)) { /* else some of the round's texts are not known */
        pack(pass, part);
        pass->packed += (int64_t)pass->text_count;
    }
    pass->text_count = 0;
    pass->round_chunks = 0;
    return true;
}

/* The documents before it may fill the batch, or the round. */
static bool begin_document(struct pass *pass, const bson_t *doc, size_t chunks, struct err *err)
{
    bool batch_ends =
        pass->batch_documents == pass->options.batch_documents ||
        (pass->batch_documents > 0 && pass->batch_bytes + doc->len > LIMIT_BATCH_SIZE);
    bool round_ends = pass->round_chunks > 0 && pass->round_chunks + chunks > LIMIT_ROUND_CHUNKS;
    if ((batch_ends || round_ends) && !end_round(pass, false, err))
        return false;
    if (batch_ends)
        pass->batch_documents = pass->batch_bytes = 0;
    pass->batch_documents++;
    pass->batch_bytes += doc->len;
    return true;
}

static void add_text(struct pass *pass, const struct sha256 *fp, size_t size)
{
    if (pass->text_count == pass->text_capacity) {
        pass->text_capacity = pass->text_capacity ? 2 * pass->text_capacity : MOST_ASKED;
        pass->texts = realloc(pass->texts, pass->text_capacity * sizeof *pass->texts);
        if (!pass->texts)
            abort();
    }
    pass->texts[pass->text_count++] = (struct round_text){.fp = *fp, .size = size};
}

/* --- documents ---------------------------------------------------------------------------------- */

/* Welford's: exact enough for any number of them. */
static void note_spread(struct pass *pass, double characters)
{
    double before = characters - pass->mean;
    pass->mean += before / (double)pass->read;
    pass->squares += before * (characters - pass->mean);
}

static bool read_text(struct pass *pass, const bson_t *doc)
{
    const struct embed_config *embed = pass->options.embed;
    const char *source_id;
    struct err ignored;
    buf_clear(&pass->raw);
    buf_clear(&pass->text);
    if (!shape_source_id(pass->options.shape, doc, pass->arena, &source_id, &ignored) ||
        !document_text(doc, embed->text_fields, embed->text_field_count, &pass->raw, &ignored))
        return false;
    normalize_text(&embed->normalize, buf_str(&pass->raw), pass->raw.size, &pass->text);
    return !pass->text.overflow;
}

/* A round that is full is ended, as that of a long document is, piece by piece. */
static bool take_chunks(struct pass *pass, const struct chunk_list *list, struct err *err)
{
    const char *prefix = pass->options.embed->document_prefix;
    size_t prefix_size = strlen(prefix), prefix_characters = text_length(prefix, prefix_size);
    double characters = 0;
    for (size_t i = 0; i < list->count; i++) {
        const struct chunk_span *span = &list->spans[i];
        const char *text = buf_str(&pass->text) + span->start;
        struct contents_item item = {.fp = content_fp(text, span->size),
                                     .characters =
                                         prefix_characters + text_length(text, span->size),
                                     .document = (uint32_t)pass->documents};
        characters += (double)item.characters;
        if (pass->round_chunks == LIMIT_ROUND_CHUNKS && !end_round(pass, false, err))
            return false;
        pass->round_chunks++;
        if (contents_add(pass->contents, &item) == CONTENT_NEW)
            add_text(pass, &item.fp, prefix_size + span->size);
    }
    note_spread(pass, characters);
    return true;
}

bool pass_take(struct pass *pass, const bson_t *doc, struct err *err)
{
    struct chunk_list list = {0};
    pass->read++;
    if (!shape_matches(pass->options.shape, doc)) {
        note_spread(pass, 0);
        return true;
    }
    arena_reset(pass->arena);
    pass->documents++;
    bool has_text = read_text(pass, doc);
    if (has_text)
        chunk_text(&pass->options.embed->chunk, buf_str(&pass->text), pass->text.size, pass->arena,
                   &list);
    if (!has_text || list.count > LIMIT_CHUNKS_PER_DOCUMENT) {
        pass->set_aside++;
        list.count = 0;
    } else if (list.count == 0) {
        pass->empty++;
    }
    pass->chunks += (int64_t)list.count;
    return begin_document(pass, doc, list.count, err) && take_chunks(pass, &list, err);
}

bool pass_end(struct pass *pass, bool part, struct err *err)
{
    return end_round(pass, part, err);
}
