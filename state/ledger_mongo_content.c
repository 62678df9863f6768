/* SPDX-License-Identifier: Apache-2.0 */
/* Where a content lies: the ledger, by its index on `chunks`, is the table. */
#include <string.h>

#include "state/doc.h"
#include "state/ledger_mongo.h"
#include "state/majority.h"

/* Contents named in one command: 50 kB of it. */
#define CONTENTS ((size_t)1000)
/* Rows looked at per content. A text that a million rows hold must not cost a million looks where
 * all of them are marked; one that is not found is only bought again. */
#define CANDIDATES 16

static void contents_array(const struct sha256 *fps, size_t count, bson_t *out)
{
    for (size_t i = 0; i < count; i++) {
        char text[16];
        const char *key;
        bson_uint32_to_string((uint32_t)i, &key, text, sizeof(text));
        BSON_APPEND_BINARY(out, key, BSON_SUBTYPE_BINARY, fps[i].bytes, SHA256_SIZE);
    }
}

/* One row of any is unfolded into the contents, and each is joined with one row that holds it: the
 * answer has one small document per content that was found, however many rows hold it and however
 * long they are. ($in with a projection would bring every row of a text that many share.) */
static bson_t *contents_pipeline(const char *collection, const struct sha256 *fps, size_t count)
{
    bson_t array = BSON_INITIALIZER;
    contents_array(fps, count, &array);
    bson_t *pipeline = BCON_NEW(
        "pipeline", "[", "{", "$limit", BCON_INT32(1), "}", "{", "$project", "{", "_id",
        BCON_INT32(0), "fp", "{", "$literal", BCON_ARRAY(&array), "}", "}", "}", "{", "$unwind",
        "{", "path", BCON_UTF8("$fp"), "includeArrayIndex", BCON_UTF8("i"), "}", "}", "{",
        "$lookup", "{", "from", BCON_UTF8(collection), "localField", BCON_UTF8("fp"),
        "foreignField", BCON_UTF8("chunks"), "let", "{", "fp", BCON_UTF8("$fp"), "}", "pipeline",
        "[", "{", "$limit", BCON_INT32(CANDIDATES), "}", "{", "$match", "{", "state",
        BCON_UTF8(ledger_state_text(LEDGER_DONE)), "intent", "{", "$exists", BCON_BOOL(false), "}",
        "repair", "{", "$exists", BCON_BOOL(false), "}", "}", "}", "{", "$limit", BCON_INT32(1),
        "}", "{", "$project", "{", "_id", BCON_INT32(0), "sid", BCON_INT32(1), "at", "{",
        "$indexOfArray", "[", BCON_UTF8("$chunks"), BCON_UTF8("$$fp"), "]", "}", "}", "}", "]",
        "as", BCON_UTF8("rows"), "}", "}", "{", "$match", "{", "rows.sid", "{", "$exists",
        BCON_BOOL(true), "}", "}", "}", "{", "$project", "{", "i", BCON_INT32(1), "rows",
        BCON_INT32(1), "}", "}", "]");
    bson_destroy(&array);
    return pipeline;
}

static void take_donor(const bson_t *doc, size_t count, struct arena *arena,
                       struct ledger_donor *out)
{
    struct doc_reader reader = doc_reader_of(doc, "ledger");
    int64_t index = doc_int(&reader, "i", -1);
    size_t rows = 0;
    bson_iter_t iter;
    if (index < 0 || index >= (int64_t)count || !doc_elements(&reader, "rows", &iter, &rows) ||
        !bson_iter_next(&iter))
        return;
    struct doc_reader row = doc_reader_at(&iter, "ledger");
    const char *source_id = doc_peek(&row, "sid");
    int64_t at = doc_int(&row, "at", -1);
    if (!source_id || at < 0)
        return;
    out[index] = (struct ledger_donor){
        .source_id = arena_strdup(arena, source_id), .index = (size_t)at, .found = true};
}

static bool find_slice(struct ledger_mongo *self, const struct sha256 *fps, size_t count,
                       struct arena *arena, struct ledger_donor *out, struct err *err)
{
    CLEANUP(mongo_client_release) struct mongo_client c = mongo_client_of(self->pool);
    CLEANUP(mongoc_collection_destroyp)
    mongoc_collection_t *collection = ledger_mongo_collection(self, c.client);
    CLEANUP(bson_destroyp)
    bson_t *pipeline = contents_pipeline(self->base.collection, fps, count);
    CLEANUP(mongoc_cursor_destroyp)
    mongoc_cursor_t *cursor = majority_aggregate(collection, pipeline);
    const bson_t *doc;
    bson_error_t error;
    while (mongoc_cursor_next(cursor, &doc))
        take_donor(doc, count, arena, out);
    return !mongoc_cursor_error(cursor, &error) ||
           ledger_mongo_err(self, &error, "finding contents", err);
}

bool ledger_mongo_find_contents(struct ledger *ledger, const struct sha256 *fps, size_t count,
                                struct arena *arena, struct ledger_donor *out, struct err *err)
{
    for (size_t done = 0, size = 0; done < count; done += size) {
        size = count - done < CONTENTS ? count - done : CONTENTS;
        if (!find_slice(ledger_mongo_of(ledger), fps + done, size, arena, out + done, err))
            return false;
    }
    return true;
}
