/* SPDX-License-Identifier: Apache-2.0 */
/* A sample of contents, off the index on `chunks`: fingerprints lie there in an order that has nothing to
 * do with the documents, so that neighbours from anywhere on are as good as drawn. */
#include <string.h>

#include "state/doc.h"
#include "state/ledger_mongo.h"
#include "state/majority.h"

/* Where one text fills page after page, or all of a few long rows is wanted, of which a page brings one
 * content each. */
#define MOST_PAGES 256

/* Of each row the lowest of its contents from `from` on, and its place; `busy`: with an intent or a mark. No
 * sort is asked for: the rows come as the index has them, each once, at that content. */
static bson_t *page_pipeline(const struct sha256 *from, size_t limit)
{
    bson_t fp = BSON_INITIALIZER;
    BSON_APPEND_BINARY(&fp, "fp", BSON_SUBTYPE_BINARY, from->bytes, SHA256_SIZE);
    bson_iter_t iter;
    bson_t *pipeline = NULL;
    if (bson_iter_init_find(&iter, &fp, "fp"))
        pipeline =
            BCON_NEW("pipeline", "[", "{", "$match", "{", "chunks", "{", "$gte", BCON_ITER(&iter),
                     "}", "}", "}", "{", "$limit", BCON_INT64((int64_t)limit), "}", "{", "$project",
                     "{", "sid", BCON_INT32(1), "state", BCON_INT32(1), "gen", BCON_INT32(1), "ver",
                     BCON_INT32(1), "halved", BCON_INT32(1), "busy", "{", "$or", "[", "{", "$ne",
                     "[", "{", "$type", BCON_UTF8("$intent"), "}", BCON_UTF8("missing"), "]", "}",
                     "{", "$ne", "[", "{", "$type", BCON_UTF8("$repair"), "}", BCON_UTF8("missing"),
                     "]", "}", "]", "}", "hit", "{", "$let", "{", "vars", "{", "fp", "{", "$min",
                     "{", "$filter", "{", "input", BCON_UTF8("$chunks"), "cond", "{", "$gte", "[",
                     BCON_UTF8("$$this"), BCON_ITER(&iter), "]", "}", "}", "}", "}", "}", "in", "{",
                     "fp", BCON_UTF8("$$fp"), "at", "{", "$indexOfArray", "[", BCON_UTF8("$chunks"),
                     BCON_UTF8("$$fp"), "]", "}", "}", "}", "}", "}", "}", "]");
    bson_destroy(&fp);
    return pipeline;
}

static bool read_hit(const bson_t *doc, struct ledger_place *place, struct sha256 *fp)
{
    struct doc_reader reader = doc_reader_of(doc, "ledger"), hit;
    bson_iter_t iter;
    bson_subtype_t subtype;
    uint32_t size = 0;
    const uint8_t *data = NULL;
    if (!doc_child(&reader, "hit", &hit) || !bson_iter_init(&iter, doc) ||
        !bson_iter_find_descendant(&iter, "hit.fp", &iter) || !BSON_ITER_HOLDS_BINARY(&iter))
        return false;
    bson_iter_binary(&iter, &subtype, &size, &data);
    if (size != SHA256_SIZE)
        return false;
    memcpy(fp->bytes, data, SHA256_SIZE);
    place->index = (size_t)doc_int(&hit, "at", 0);
    return true;
}

struct sampling {
    struct ledger_sample *sample;
    struct sha256 next; /* the lowest that has not been looked at */
    bool any;           /* `next` is of a row */
    bool wrapped;       /* from the beginning, up to where it began */
};

/* They come in order: of one that many rows hold the first that is fit is taken. */
static bool is_wanted(const struct sampling *sampling, const struct sha256 *fp)
{
    const struct ledger_sample *sample = sampling->sample;
    if (sampling->wrapped && memcmp(fp->bytes, sample->from->bytes, SHA256_SIZE) >= 0)
        return false;
    return sample->count < sample->limit &&
           (sample->count == 0 || !sha256_equal(&sample->places[sample->count - 1].fp, fp));
}

static void take_row(struct sampling *sampling, const bson_t *doc)
{
    struct ledger_sample *sample = sampling->sample;
    struct doc_reader reader = doc_reader_of(doc, "ledger");
    struct ledger_place place = {0};
    const char *state = doc_peek(&reader, "state"), *key = doc_peek(&reader, "_id");
    const char *source_id = doc_peek(&reader, "sid"), *ver = doc_peek(&reader, "ver");
    if (!key || !read_hit(doc, &place, &place.fp))
        return;
    sampling->next = place.fp;
    sampling->any = true;
    bool fit = state && strcmp(state, ledger_state_text(LEDGER_DONE)) == 0 &&
               !doc_bool(&reader, "busy") && source_id && ver;
    if (!fit || !is_wanted(sampling, &place.fp))
        return;
    place.key = arena_strdup(sample->arena, key);
    place.source_id = arena_strdup(sample->arena, source_id);
    place.ver = arena_strdup(sample->arena, ver);
    place.gen = doc_int(&reader, "gen", 0);
    place.halved = doc_bool(&reader, "halved");
    sample->places[sample->count++] = place;
}

static bool read_page(struct ledger_mongo *self, struct sampling *sampling, struct err *err)
{
    size_t limit = sampling->sample->limit + 16;
    CLEANUP(mongo_client_release) struct mongo_client c = mongo_client_of(self->pool);
    CLEANUP(mongoc_collection_destroyp)
    mongoc_collection_t *collection = ledger_mongo_collection(self, c.client);
    CLEANUP(bson_destroyp) bson_t *pipeline = page_pipeline(&sampling->next, limit);
    CLEANUP(mongoc_cursor_destroyp)
    mongoc_cursor_t *cursor = majority_aggregate(collection, pipeline);
    const bson_t *doc;
    bson_error_t error;
    sampling->any = false;
    while (mongoc_cursor_next(cursor, &doc))
        take_row(sampling, doc);
    return !mongoc_cursor_error(cursor, &error) ||
           ledger_mongo_err(self, &error, "drawing a sample", err);
}

/* Behind the last one; false: there is none. */
static bool raise_fp(struct sha256 *fp)
{
    for (size_t i = SHA256_SIZE; i-- > 0;) {
        if (++fp->bytes[i] != 0)
            return true;
    }
    return false;
}

bool ledger_mongo_draw(struct ledger *ledger, struct ledger_sample *sample, struct err *err)
{
    struct sampling sampling = {.sample = sample, .next = *sample->from};
    for (int pages = 0; sample->count < sample->limit && pages < MOST_PAGES; pages++) {
        if (!read_page(ledger_mongo_of(ledger), &sampling, err))
            return false;
        if (sampling.any && raise_fp(&sampling.next))
            continue;
        if (sampling.wrapped)
            return true;
        sampling.wrapped = true;
        sampling.next = (struct sha256){0};
    }
    return true;
}
