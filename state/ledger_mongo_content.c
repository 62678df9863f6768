/* SPDX-License-Identifier: Apache-2.0 */
/* Where a content lies: the ledger, by its index on `chunks`, is the table. */
#include <stdlib.h>
#include <string.h>

#include "state/doc.h"
#include "state/ledger_mongo.h"
#include "state/majority.h"

/* Contents named in one command: 100 kB of it. */
#define CONTENTS ((size_t)1000)
/* Rows that one command brings, per content. */
#define ROWS_PER_CONTENT 2
/* A row of up to so many chunks is brought whole; of a longer one only what was asked for. */
#define SHORT_ROW 16
/* Rows looked at per content where many hold the same. A text that a million rows hold must not cost a
 * million looks where all of them are marked; one that is not found is only bought again. */
#define CANDIDATES 16

struct question {
    const struct sha256 *fps;
    size_t count;
    size_t *order; /* indexes into `fps`, by content */
    struct arena *arena;
    struct ledger_donor *out;
    size_t rows; /* that were brought */
};

static int by_content(const void *a, const void *b, void *context)
{
    const struct question *question = context;
    return memcmp(question->fps[*(const size_t *)a].bytes, question->fps[*(const size_t *)b].bytes,
                  SHA256_SIZE);
}

static void contents_array(const struct question *question, bson_t *out)
{
    for (size_t i = 0; i < question->count; i++) {
        char text[16];
        const char *key;
        bson_uint32_to_string((uint32_t)i, &key, text, sizeof(text));
        BSON_APPEND_BINARY(out, key, BSON_SUBTYPE_BINARY, question->fps[i].bytes, SHA256_SIZE);
    }
}

/* --- all at once ------------------------------------------------------------------------------ */

/* {sid, chunks} of a short row, {sid, hits: [{fp, at}]} of a long one */
static bson_t *rows_pipeline(const struct question *question)
{
    bson_t fps = BSON_INITIALIZER;
    contents_array(question, &fps);
    bson_t *pipeline = BCON_NEW(
        "pipeline", "[", "{", "$match", "{", "chunks", "{", "$in", BCON_ARRAY(&fps), "}", "state",
        BCON_UTF8(ledger_state_text(LEDGER_DONE)), "intent", "{", "$exists", BCON_BOOL(false), "}",
        "repair", "{", "$exists", BCON_BOOL(false), "}", "}", "}", "{", "$limit",
        BCON_INT64((int64_t)(question->count * ROWS_PER_CONTENT)), "}", "{", "$project", "{", "_id",
        BCON_INT32(0), "sid", BCON_INT32(1), "chunks", "{", "$cond", "[", "{", "$lte", "[", "{",
        "$size", BCON_UTF8("$chunks"), "}", BCON_INT32(SHORT_ROW), "]", "}", BCON_UTF8("$chunks"),
        "[", "]", "]", "}", "hits", "{", "$cond", "[", "{", "$lte", "[", "{", "$size",
        BCON_UTF8("$chunks"), "}", BCON_INT32(SHORT_ROW), "]", "}", "[", "]", "{", "$map", "{",
        "input", "{", "$setIntersection", "[", BCON_UTF8("$chunks"), "{", "$literal",
        BCON_ARRAY(&fps), "}", "]", "}", "in", "{", "fp", BCON_UTF8("$$this"), "at", "{",
        "$indexOfArray", "[", BCON_UTF8("$chunks"), BCON_UTF8("$$this"), "]", "}", "}", "}", "}",
        "]", "}", "}", "}", "]");
    bson_destroy(&fps);
    return pipeline;
}

static bool content_under(const bson_iter_t *iter, struct sha256 *out)
{
    bson_subtype_t subtype;
    uint32_t size = 0;
    const uint8_t *data = NULL;
    if (BSON_ITER_HOLDS_BINARY(iter))
        bson_iter_binary(iter, &subtype, &size, &data);
    if (size != SHA256_SIZE)
        return false;
    memcpy(out->bytes, data, SHA256_SIZE);
    return true;
}

static size_t first_asked(const struct question *question, const struct sha256 *fp)
{
    size_t low = 0;
    size_t high = question->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (memcmp(question->fps[question->order[middle]].bytes, fp->bytes, SHA256_SIZE) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The row holds `fp` at `place`: an answer wherever that was asked for, and not answered yet. */
static void answer(struct question *question, const struct sha256 *fp, const char *source_id,
                   size_t place)
{
    for (size_t i = first_asked(question, fp); i < question->count; i++) {
        size_t asked = question->order[i];
        if (memcmp(question->fps[asked].bytes, fp->bytes, SHA256_SIZE) != 0)
            return;
        if (!question->out[asked].found)
            question->out[asked] =
                (struct ledger_donor){.source_id = arena_strdup(question->arena, source_id),
                                      .index = place,
                                      .found = true};
    }
}

static void take_short_row(struct question *question, bson_iter_t *chunks, const char *source_id)
{
    struct sha256 fp;
    for (size_t place = 0; bson_iter_next(chunks); place++)
        if (content_under(chunks, &fp))
            answer(question, &fp, source_id, place);
}

static void take_long_row(struct question *question, bson_iter_t *hits, const char *source_id)
{
    while (bson_iter_next(hits)) {
        struct doc_reader reader = doc_reader_at(hits, "ledger");
        int64_t place = doc_int(&reader, "at", -1);
        bson_iter_t child;
        struct sha256 fp;
        if (place >= 0 && bson_iter_recurse(hits, &child) && bson_iter_find(&child, "fp") &&
            content_under(&child, &fp))
            answer(question, &fp, source_id, (size_t)place);
    }
}

static void take_row(struct question *question, const bson_t *doc)
{
    struct doc_reader reader = doc_reader_of(doc, "ledger");
    const char *source_id = doc_peek(&reader, "sid");
    bson_iter_t iter;
    size_t count;
    question->rows++;
    if (!source_id)
        return;
    if (doc_elements(&reader, "chunks", &iter, &count))
        take_short_row(question, &iter, source_id);
    if (doc_elements(&reader, "hits", &iter, &count))
        take_long_row(question, &iter, source_id);
}

/* --- one by one ------------------------------------------------------------------------------- */

/* One row of any is unfolded into the contents, and each is joined with one row that holds it: the
 * answer has one small document per content that was found, however many rows hold it. */
static bson_t *join_pipeline(const char *collection, const struct question *question)
{
    bson_t array = BSON_INITIALIZER;
    contents_array(question, &array);
    bson_t *pipeline =
        BCON_NEW("pipeline", "[", "{", "$match", "{", "_id", "{", "$gt", BCON_UTF8(""), "}", "}",
                 "}", "{", "$limit", BCON_INT32(1), "}", "{", "$project", "{", "_id", BCON_INT32(0),
                 "fp", "{", "$literal", BCON_ARRAY(&array), "}", "}", "}", "{", "$unwind", "{",
                 "path", BCON_UTF8("$fp"), "includeArrayIndex", BCON_UTF8("i"), "}", "}", "{",
                 "$lookup", "{", "from", BCON_UTF8(collection), "localField", BCON_UTF8("fp"),
                 "foreignField", BCON_UTF8("chunks"), "let", "{", "fp", BCON_UTF8("$fp"), "}",
                 "pipeline", "[", "{", "$limit", BCON_INT32(CANDIDATES), "}", "{", "$match", "{",
                 "state", BCON_UTF8(ledger_state_text(LEDGER_DONE)), "intent", "{", "$exists",
                 BCON_BOOL(false), "}", "repair", "{", "$exists", BCON_BOOL(false), "}", "}", "}",
                 "{", "$limit", BCON_INT32(1), "}", "{", "$project", "{", "_id", BCON_INT32(0),
                 "sid", BCON_INT32(1), "at", "{", "$indexOfArray", "[", BCON_UTF8("$chunks"),
                 BCON_UTF8("$$fp"), "]", "}", "}", "}", "]", "as", BCON_UTF8("rows"), "}", "}", "{",
                 "$match", "{", "rows.sid", "{", "$exists", BCON_BOOL(true), "}", "}", "}", "{",
                 "$project", "{", "i", BCON_INT32(1), "rows", BCON_INT32(1), "}", "}", "]");
    bson_destroy(&array);
    return pipeline;
}

static void take_join(struct question *question, const bson_t *doc)
{
    struct doc_reader reader = doc_reader_of(doc, "ledger");
    int64_t index = doc_int(&reader, "i", -1);
    size_t rows = 0;
    bson_iter_t iter;
    if (index < 0 || index >= (int64_t)question->count ||
        !doc_elements(&reader, "rows", &iter, &rows) || !bson_iter_next(&iter))
        return;
    struct doc_reader row = doc_reader_at(&iter, "ledger");
    const char *source_id = doc_peek(&row, "sid");
    int64_t at = doc_int(&row, "at", -1);
    if (!source_id || at < 0)
        return;
    question->out[index] = (struct ledger_donor){
        .source_id = arena_strdup(question->arena, source_id), .index = (size_t)at, .found = true};
}

/* --- asking ----------------------------------------------------------------------------------- */

typedef void take_answer(struct question *question, const bson_t *doc);

static bool ask(struct ledger_mongo *self, struct question *question, const bson_t *pipeline,
                take_answer *take, struct err *err)
{
    CLEANUP(mongo_client_release) struct mongo_client c = mongo_client_of(self->pool);
    CLEANUP(mongoc_collection_destroyp)
    mongoc_collection_t *collection = ledger_mongo_collection(self, c.client);
    CLEANUP(mongoc_cursor_destroyp)
    mongoc_cursor_t *cursor = majority_aggregate(collection, pipeline);
    const bson_t *doc;
    bson_error_t error;
    while (mongoc_cursor_next(cursor, &doc))
        take(question, doc);
    return !mongoc_cursor_error(cursor, &error) ||
           ledger_mongo_err(self, &error, "finding contents", err);
}

/* A text that many rows hold may have taken all the room: the others are asked for one by one. That
 * takes ten times as long. */
static bool ask_again(struct ledger_mongo *self, const struct question *all, struct err *err)
{
    struct sha256 *fps = arena_alloc_array(all->arena, all->count, sizeof(*fps));
    struct ledger_donor *found = arena_alloc_array(all->arena, all->count, sizeof(*found));
    size_t *places = arena_alloc_array(all->arena, all->count, sizeof(*places));
    struct question rest = {.fps = fps, .arena = all->arena, .out = found};
    for (size_t i = 0; i < all->count; i++) {
        if (all->out[i].found)
            continue;
        places[rest.count] = i;
        found[rest.count] = (struct ledger_donor){0};
        fps[rest.count++] = all->fps[i];
    }
    if (rest.count == 0)
        return true;
    CLEANUP(bson_destroyp) bson_t *pipeline = join_pipeline(self->base.collection, &rest);
    if (!ask(self, &rest, pipeline, take_join, err))
        return false;
    for (size_t i = 0; i < rest.count; i++)
        all->out[places[i]] = found[i];
    return true;
}

static bool find_slice(struct ledger_mongo *self, struct question *question, struct err *err)
{
    CLEANUP(bson_destroyp) bson_t *pipeline = rows_pipeline(question);
    for (size_t i = 0; i < question->count; i++)
        question->order[i] = i;
    qsort_r(question->order, question->count, sizeof(*question->order), by_content, question);
    if (!ask(self, question, pipeline, take_row, err))
        return false;
    return question->rows < question->count * ROWS_PER_CONTENT || ask_again(self, question, err);
}

bool ledger_mongo_find_contents(struct ledger *ledger, const struct sha256 *fps, size_t count,
                                struct arena *arena, struct ledger_donor *out, struct err *err)
{
    size_t *order = arena_alloc_array(arena, count < CONTENTS ? count : CONTENTS, sizeof(*order));
    for (size_t done = 0, size = 0; done < count; done += size) {
        size = count - done < CONTENTS ? count - done : CONTENTS;
        struct question question = {
            .fps = fps + done, .count = size, .order = order, .arena = arena, .out = out + done};
        if (!find_slice(ledger_mongo_of(ledger), &question, err))
            return false;
    }
    return true;
}

/* [{$match: {$or: [{sid: {$in: ids}}, {intent.sid: {$in: ids}, intent.at: {$gte: ...}}]}}, ...]: each half
 * has its index. */
static bson_t *sources_pipeline(const struct ledger_sources *sources)
{
    CLEANUP(bson_destroyp) bson_t *ids = bson_new();
    for (size_t i = 0; i < sources->count; i++) {
        char text[16];
        const char *key;
        bson_uint32_to_string((uint32_t)i, &key, text, sizeof(text));
        BSON_APPEND_UTF8(ids, key, sources->ids[i]);
    }
    return BCON_NEW("pipeline", "[", "{", "$match", "{", "$or", "[", "{", "sid", "{", "$in",
                    BCON_ARRAY(ids), "}", "}", "{", "intent.sid", "{", "$in", BCON_ARRAY(ids), "}",
                    INTENT_FIELD, "{", "$gte", BCON_DATE_TIME(0), "}", "}", "]", "}", "}", "{",
                    "$project", "{", "sid", BCON_INT32(1), "intent.sid", BCON_INT32(1), "}", "}",
                    "]");
}

bool ledger_mongo_find_sources(struct ledger *ledger, struct ledger_sources *sources,
                               struct err *err)
{
    struct ledger_mongo *self = ledger_mongo_of(ledger);
    CLEANUP(mongo_client_release) struct mongo_client c = mongo_client_of(self->pool);
    CLEANUP(mongoc_collection_destroyp)
    mongoc_collection_t *collection = ledger_mongo_collection(self, c.client);
    CLEANUP(bson_destroyp) bson_t *pipeline = sources_pipeline(sources);
    CLEANUP(mongoc_cursor_destroyp)
    mongoc_cursor_t *cursor = majority_aggregate(collection, pipeline);
    const bson_t *doc;
    bson_error_t error;
    while (mongoc_cursor_next(cursor, &doc)) {
        struct doc_reader reader = doc_reader_of(doc, "ledger");
        const char *key = doc_peek(&reader, "_id");
        bson_iter_t iter, sid;
        if (!key)
            continue;
        ledger_sources_add(sources, key, doc_peek(&reader, "sid"));
        if (bson_iter_init(&iter, doc) && bson_iter_find_descendant(&iter, "intent.sid", &sid) &&
            BSON_ITER_HOLDS_UTF8(&sid))
            ledger_sources_add(sources, key, bson_iter_utf8(&sid, NULL));
    }
    return !mongoc_cursor_error(cursor, &error) ||
           ledger_mongo_err(self, &error, "finding source ids", err);
}
