/* SPDX-License-Identifier: Apache-2.0 */
/* The texts of a sample, made from the source as the version makes them: the store need not keep any, and
 * what it keeps would prove nothing. */
#include <stdlib.h>
#include <string.h>

#include "agent/verify/sample.h"
#include "base/limits.h"
#include "cdc/key.h"
#include "cdc/scan.h"
#include "embed/chunk.h"

/* Of ids that are asked for at once. */
#define ASK_SIZE (8 * MIB)
/* Of the texts of a part: what goes beyond is not compared. */
#define TEXTS_SIZE (64 * MIB)
/* A chunk is halved as often as this. */
#define MOST_HALVINGS 5
/* A document that changes is soon in the store. */
#define LOOKS 4

struct reading {
    struct sample *sample;
    struct sample_chunk **chunks; /* by key */
    size_t count;
    size_t size; /* of the texts so far */
};

static int compare_key(const void *a, const void *b)
{
    return strcmp((*(struct sample_chunk *const *)a)->place->key,
                  (*(struct sample_chunk *const *)b)->place->key);
}

struct span {
    const char *text;
    size_t size;
};

/* The text of this fingerprint, or, where chunks were cut in two, its part of it. */
static bool find_fp(struct span *span, const struct sha256 *wanted, int depth)
{
    struct sha256 fp = content_fp(span->text, span->size);
    if (sha256_equal(&fp, wanted))
        return true;
    size_t cut = depth > 0 ? chunk_halve(span->text, span->size) : 0;
    if (cut == 0)
        return false;
    struct span left = {span->text, cut}, right = {span->text + cut, span->size - cut};
    if (find_fp(&left, wanted, depth - 1))
        *span = left;
    else if (find_fp(&right, wanted, depth - 1))
        *span = right;
    else
        return false;
    return true;
}

static bool find_chunk(const struct ledger_place *place, const char *text,
                       const struct chunk_list *list, struct span *out)
{
    if (place->index < list->count) { /* mostly */
        *out =
            (struct span){text + list->spans[place->index].start, list->spans[place->index].size};
        if (find_fp(out, &place->fp, 0))
            return true;
    }
    for (size_t i = 0; i < list->count; i++) {
        *out = (struct span){text + list->spans[i].start, list->spans[i].size};
        if (find_fp(out, &place->fp, place->halved ? MOST_HALVINGS : 0))
            return true;
    }
    return false;
}

/* Its normalised text; false: it is not one that is embedded. */
static bool text_of(const struct verify *verify, const bson_t *doc, struct buf *out)
{
    CLEANUP(buf_fini) struct buf raw = BUF_INIT(LIMIT_ITEM_SIZE);
    struct err err;
    if (!shape_matches(verify->family->shape, doc) ||
        !document_text(doc, verify->embed.text_fields, verify->embed.text_field_count, &raw, &err))
        return false;
    normalize_text(&verify->embed.normalize, buf_str(&raw), raw.size, out);
    return !out->overflow;
}

static void keep_text(struct reading *reading, struct sample_chunk *chunk, const struct span *span)
{
    const char *prefix = reading->sample->verify->embed.document_prefix;
    size_t prefix_size = strlen(prefix), size = prefix_size + span->size;
    if (reading->size + size > TEXTS_SIZE)
        return;
    char *text = arena_alloc(reading->sample->arena, size + 1);
    memcpy(text, prefix, prefix_size);
    memcpy(text + prefix_size, span->text, span->size);
    chunk->text = text;
    chunk->text_size = size;
    reading->size += size;
}

static void take_document(struct reading *reading, const bson_t *doc)
{
    CLEANUP(buf_fini) struct buf key = BUF_INIT(LIMIT_KEY_SIZE), text = BUF_INIT(LIMIT_ITEM_SIZE);
    struct sample *sample = reading->sample;
    bson_iter_t id;
    if (!bson_iter_init_find(&id, doc, "_id"))
        return;
    key_encode(&id, &key);
    struct ledger_place place = {.key = buf_str(&key)};
    struct sample_chunk wanted = {.place = &place}, *asked = &wanted;
    struct sample_chunk **chunk = bsearch(&asked, reading->chunks, reading->count,
                                          sizeof(struct sample_chunk *), compare_key);
    if (!chunk || !text_of(sample->verify, doc, &text))
        return;
    /* once, however many of its chunks are in the sample: it may be of 15 MB */
    struct chunk_list list;
    arena_reset(sample->scratch);
    chunk_text(&sample->verify->embed.chunk, buf_str(&text), text.size, sample->scratch, &list);
    while (chunk > reading->chunks && compare_key(chunk - 1, chunk) == 0)
        chunk--;
    for (; chunk < reading->chunks + reading->count && strcmp((*chunk)->place->key, place.key) == 0;
         chunk++) {
        struct span span;
        (*chunk)->moved_text = !find_chunk((*chunk)->place, text.data, &list, &span);
        if (!(*chunk)->moved_text)
            keep_text(reading, *chunk, &span);
    }
}

static bool read_documents(struct reading *reading, const bson_t *const *ids, size_t count,
                           struct err *err)
{
    const struct verify *verify = reading->sample->verify;
    CLEANUP(scan_closep) struct scan *scan = NULL;
    struct scan_options options = {.pool = verify->options->pool,
                                   .database = verify->config->source.database,
                                   .collection = verify->config->source.collection,
                                   .projection = shape_projection(verify->family->shape)};
    if (!scan_cluster_time(options.pool, options.database, &options.since, err) ||
        !scan_open_ids(&options, ids, count, &scan, err))
        return false;
    for (const bson_t *doc;;) {
        if (!verify_go_on(reading->sample->verify, err) || !scan_next(scan, &doc, err))
            return false;
        if (!doc)
            return true;
        take_document(reading, doc);
    }
}

/* A command that names them all must not grow larger than a document may be. */
static bool read_by_key(struct reading *reading, struct err *err)
{
    bson_t **ids = calloc(reading->count + 1, sizeof *ids);
    size_t count = 0;
    bool ok = true;
    for (size_t i = 0; i < reading->count; i++) {
        const char *key = reading->chunks[i]->place->key;
        bool again = i > 0 && strcmp(key, reading->chunks[i - 1]->place->key) == 0;
        bson_t *id = again ? NULL : key_decode(key, strlen(key));
        if (id)
            ids[count++] = id;
    }
    for (size_t first = 0, end = 0; ok && first < count; first = end) {
        for (size_t size = 0; end < count && (end == first || size + ids[end]->len <= ASK_SIZE);
             end++)
            size += ids[end]->len;
        ok = read_documents(reading, (const bson_t *const *)ids + first, end - first, err);
    }
    for (size_t i = 0; i < count; i++)
        bson_destroy(ids[i]);
    free(ids);
    return ok;
}

/* What is SOUND and has no text yet; *left: how many there were. */
static bool read_missing(struct reading *reading, size_t *left, struct err *err)
{
    struct sample *sample = reading->sample;
    reading->count = 0;
    for (size_t i = 0; i < sample->count; i++) {
        struct sample_chunk *chunk = &sample->chunks[i];
        if (chunk->state != SAMPLE_SOUND || chunk->text)
            continue;
        chunk->moved_text = true; /* until its document says otherwise */
        reading->chunks[reading->count++] = chunk;
    }
    qsort(reading->chunks, reading->count, sizeof(struct sample_chunk *), compare_key);
    *left = reading->count;
    return read_by_key(reading, err);
}

static bool has_moved(const struct sample_chunk *chunk)
{
    return chunk->state == SAMPLE_SOUND && chunk->moved_text;
}

static bool any_moved(const struct sample *sample)
{
    bool any = false;
    for (size_t i = 0; i < sample->count; i++)
        any = any || has_moved(&sample->chunks[i]);
    return any;
}

bool sample_read_texts(struct sample *sample, struct err *err)
{
    struct reading reading = {.sample = sample,
                              .chunks = calloc(sample->count + 1, sizeof(struct sample_chunk *))};
    bool ok = true;
    for (int look = 0; ok && look < LOOKS; look++) {
        size_t left;
        ok = (look == 0 || verify_pause(sample->verify, err)) && read_missing(&reading, &left, err);
        if (!ok || left == 0 || !any_moved(sample))
            break;
        /* those that the lane has seen change as well say nothing; the others are read again */
        ok = sample_recheck(sample, has_moved, err);
    }
    free(reading.chunks);
    return ok;
}
