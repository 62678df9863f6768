/* SPDX-License-Identifier: Apache-2.0 */
/* What is set aside and what is deleted, by age: to be shown, tried again, skipped, or forgotten. */
#include <string.h>

#include "base/limits.h"
#include "state/doc.h"
#include "state/ledger_mongo.h"
#include "state/majority.h"

/* Of one command. */
#define COMMAND_ENTRIES ((size_t)1000)
#define COMMAND_BYTES (8 * MIB)

/* The first bound is the index's; the rest only parts rows of one millisecond. */
static bson_t *page_pipeline(const struct ledger_aged_page *page)
{
    return BCON_NEW(
        "pipeline", "[", "{", "$match", "{", "state", BCON_UTF8(ledger_state_text(page->state)),
        "at", "{", "$gte", BCON_DATE_TIME(page->after_ms), "}", "$or", "[", "{", "at", "{", "$gt",
        BCON_DATE_TIME(page->after_ms), "}", "}", "{", "_id", "{", "$gt",
        BCON_UTF8(page->after_key), "}", "}", "]", "}", "}", "{", "$sort", "{", "at", BCON_INT32(1),
        "_id", BCON_INT32(1), "}", "}", "{", "$limit", BCON_INT64((int64_t)page->limit), "}", "{",
        "$addFields", "{", "now", BCON_UTF8("$$NOW"), "}", "}", "]");
}

bool ledger_mongo_scan_aged(struct ledger *ledger, struct ledger_aged_page *page, struct err *err)
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
        page->now_ms = ledger_mongo_now(doc);
        ledger_row_decode(doc, page->now_ms, page->arena, &page->rows[page->count++]);
    }
    return !mongoc_cursor_error(cursor, &error) ||
           ledger_mongo_err(self, &error, "scanning by age", err);
}

/* --- commands of many entries that none depends on ---------------------------------------------- */

struct bulk {
    struct ledger_mongo *ledger;
    const char *verb;    /* "update", "delete" */
    const char *entries; /* "updates", "deletes" */
    const char *counted; /* of the reply */
    int64_t applied;
};

static bool bulk_run(struct bulk *bulk, const bson_t *entries, struct err *err)
{
    struct ledger_mongo *self = bulk->ledger;
    CLEANUP(mongo_client_release) struct mongo_client c = mongo_client_of(self->pool);
    CLEANUP(bson_destroyp) bson_t *opts = bson_new();
    CLEANUP(bson_destroyp)
    bson_t *command = BCON_NEW(bulk->verb, BCON_UTF8(self->base.collection), "ordered",
                               BCON_BOOL(false), bulk->entries, BCON_ARRAY(entries));
    bson_t reply;
    bson_error_t error;
    majority_put_write(opts);
    bool ok = mongoc_client_write_command_with_opts(c.client, self->database, command, opts, &reply,
                                                    &error);
    if (ok)
        bulk->applied += doc_counter(&reply, bulk->counted);
    bson_destroy(&reply);
    if (!ok)
        return ledger_mongo_err(self, &error, bulk->verb, err);
    return true;
}

typedef bson_t *bulk_entry(const void *items, size_t index);

static bool bulk_all(struct bulk *bulk, const void *items, size_t count, bulk_entry *entry_of,
                     struct err *err)
{
    for (size_t done = 0; done < count;) {
        CLEANUP(bson_destroyp) bson_t *entries = bson_new();
        size_t size = 0;
        for (; size < COMMAND_ENTRIES && done < count && entries->len < COMMAND_BYTES; size++) {
            char text[16];
            const char *key;
            bson_t *entry = entry_of(items, done++);
            bson_uint32_to_string((uint32_t)size, &key, text, sizeof(text));
            BSON_APPEND_DOCUMENT(entries, key, entry);
            bson_destroy(entry);
        }
        if (!bulk_run(bulk, entries, err))
            return false;
    }
    return true;
}

static bson_t *entry_of_skip(const void *items, size_t index)
{
    const char *const *keys = items;
    return BCON_NEW("q", "{", "_id", BCON_UTF8(keys[index]), "state",
                    BCON_UTF8(ledger_state_text(LEDGER_QUARANTINED)), "}", "u", "{", "$set", "{",
                    "skipped", BCON_BOOL(true), "}", "}");
}

bool ledger_mongo_skip(struct ledger *ledger, const char *const *keys, size_t count,
                       int64_t *changed, struct err *err)
{
    struct bulk bulk = {ledger_mongo_of(ledger), "update", "updates", "n", 0};
    bool ok = bulk_all(&bulk, keys, count, entry_of_skip, err);
    *changed = bulk.applied;
    return ok;
}

static bson_t *entry_of_expiry(const void *items, size_t index)
{
    const struct ledger_row *row = (const struct ledger_row *)items + index;
    return BCON_NEW("q", "{", "_id", BCON_UTF8(row->key), "state",
                    BCON_UTF8(ledger_state_text(LEDGER_DELETED)), "gen", BCON_INT64(row->gen),
                    "ver", BCON_UTF8(row->ver), "intent", "{", "$exists", BCON_BOOL(false), "}",
                    "repair", "{", "$exists", BCON_BOOL(false), "}", "}", "limit", BCON_INT32(1));
}

bool ledger_mongo_expire(struct ledger *ledger, const struct ledger_row *rows, size_t count,
                         int64_t *removed, struct err *err)
{
    struct bulk bulk = {ledger_mongo_of(ledger), "delete", "deletes", "n", 0};
    bool ok = bulk_all(&bulk, rows, count, entry_of_expiry, err);
    *removed = bulk.applied;
    return ok;
}
