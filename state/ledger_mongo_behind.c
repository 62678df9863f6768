/* SPDX-License-Identifier: Apache-2.0 */
/* What a generation has not touched: for the sweep of missed deletes. */
#include "state/doc.h"
#include "state/ledger_mongo.h"
#include "state/majority.h"

/* Rows of documents that the store may hold something of. */
static bson_t *may_be_held(void)
{
    return BCON_NEW("$or", "[", "{", "state", "{", "$in", "[",
                    BCON_UTF8(ledger_state_text(LEDGER_DONE)),
                    BCON_UTF8(ledger_state_text(LEDGER_QUARANTINED)), "]", "}", "}", "{",
                    INTENT_FIELD, "{", "$gte", BCON_DATE_TIME(0), "}", "}", "]");
}

bool ledger_mongo_count_behind(struct ledger *ledger, int64_t gen, struct ledger_behind *out,
                               struct err *err)
{
    struct ledger_mongo *self = ledger_mongo_of(ledger);
    CLEANUP(mongo_client_release) struct mongo_client c = mongo_client_of(self->pool);
    CLEANUP(mongoc_collection_destroyp)
    mongoc_collection_t *collection = ledger_mongo_collection(self, c.client);
    CLEANUP(bson_destroyp) bson_t *held = may_be_held();
    CLEANUP(bson_destroyp)
    bson_t *pipeline = BCON_NEW(
        "pipeline", "[", "{", "$match", BCON_DOCUMENT(held), "}", "{", "$group", "{", "_id",
        BCON_NULL, "documents", "{", "$sum", BCON_INT32(1), "}", "behind", "{", "$sum", "{",
        "$cond", "[", "{", "$lt", "[", "{", "$ifNull", "[", BCON_UTF8("$gen"), BCON_INT64(0), "]",
        "}", BCON_INT64(gen), "]", "}", BCON_INT32(1), BCON_INT32(0), "]", "}", "}", "}", "}", "]");
    CLEANUP(mongoc_cursor_destroyp)
    mongoc_cursor_t *cursor = majority_aggregate_all(collection, pipeline);
    const bson_t *doc;
    bson_error_t error;
    if (mongoc_cursor_next(cursor, &doc)) {
        out->documents = doc_counter(doc, "documents");
        out->behind = doc_counter(doc, "behind");
    }
    return !mongoc_cursor_error(cursor, &error) || ledger_mongo_err(self, &error, "counting", err);
}

static bson_t *page_pipeline(const struct ledger_behind_page *page)
{
    /* a row that has only an intent so far has no generation */
    return BCON_NEW("pipeline", "[", "{", "$match", "{", "_id", "{", "$gt", BCON_UTF8(page->after),
                    "}", "}", "}", "{", "$sort", "{", "_id", BCON_INT32(1), "}", "}", "{", "$limit",
                    BCON_INT64((int64_t)page->limit), "}", "{", "$project", "{", "behind", "{",
                    "$and", "[", "{", "$lt", "[", "{", "$ifNull", "[", BCON_UTF8("$gen"),
                    BCON_INT64(0), "]", "}", BCON_INT64(page->gen), "]", "}", "{", "$or", "[", "{",
                    "$in", "[", BCON_UTF8("$state"), "[", BCON_UTF8(ledger_state_text(LEDGER_DONE)),
                    BCON_UTF8(ledger_state_text(LEDGER_QUARANTINED)), "]", "]", "}", "{", "$gt",
                    "[", BCON_UTF8("$" INTENT_FIELD), BCON_NULL, "]", "}", "]", "}", "]", "}", "}",
                    "}", "]");
}

bool ledger_mongo_scan_behind(struct ledger *ledger, struct ledger_behind_page *page,
                              struct err *err)
{
    struct ledger_mongo *self = ledger_mongo_of(ledger);
    CLEANUP(mongo_client_release) struct mongo_client c = mongo_client_of(self->pool);
    CLEANUP(mongoc_collection_destroyp)
    mongoc_collection_t *collection = ledger_mongo_collection(self, c.client);
    CLEANUP(bson_destroyp) bson_t *pipeline = page_pipeline(page);
    CLEANUP(mongoc_cursor_destroyp)
    mongoc_cursor_t *cursor = majority_aggregate(collection, pipeline);
    const bson_t *doc;
    bson_error_t error;
    while (page->count < page->limit && mongoc_cursor_next(cursor, &doc)) {
        struct doc_reader reader = doc_reader_of(doc, "ledger");
        const char *key = doc_peek(&reader, "_id");
        if (!key)
            continue;
        page->last = arena_strdup(page->arena, key);
        if (doc_bool(&reader, "behind"))
            page->keys[page->count++] = page->last;
    }
    return !mongoc_cursor_error(cursor, &error) || ledger_mongo_err(self, &error, "scanning", err);
}
