/* SPDX-License-Identifier: Apache-2.0 */
/* Documents in MongoDB. What the server's answers to a compare-and-set mean was measured: one that
 * matches nothing is a success with n 0, a lost upsert race is a duplicate key, and after any other
 * error the write may have been applied, or be applied later. */
#include <string.h>

#include "state/doc.h"
#include "state/docstore_ops.h"
#include "state/majority.h"

#define READ_BACK_TRIES 3

struct docstore_mongo {
    struct docstore base;
    mongoc_client_pool_t *pool;
    char *database;
};

static mongoc_collection_t *docstore_mongo_collection(struct docstore *store,
                                                      mongoc_client_t *client, const char *database,
                                                      const char *name)
{
    struct docstore_mongo *self = (struct docstore_mongo *)store;
    return mongoc_client_get_collection(client, database ? database : self->database, name);
}

static struct mongo_client docstore_mongo_client(struct docstore *store)
{
    return mongo_client_of(((struct docstore_mongo *)store)->pool);
}

/* A missing document cannot say $$NOW; the server itself can. */
static bool docstore_mongo_now(mongoc_client_t *client, int64_t *now_ms, struct err *err)
{
    bson_t *hello = BCON_NEW("hello", BCON_INT32(1));
    bson_t reply;
    bson_error_t error;
    bool ok = mongoc_client_command_simple(client, "admin", hello, NULL, &reply, &error);
    bson_iter_t iter;
    if (!ok)
        (void)mongo_err(err, &error, "hello");
    else if (bson_iter_init_find(&iter, &reply, "localTime") && BSON_ITER_HOLDS_DATE_TIME(&iter))
        *now_ms = bson_iter_date_time(&iter);
    else
        ok = err_set(err, ERR_RETRY, ERR_MONGO, 0, "hello: the reply has no localTime");
    bson_destroy(&reply);
    bson_destroy(hello);
    return ok;
}

static bool docstore_mongo_load(struct docstore *store, const struct doc_ref *ref, bson_t **doc,
                                int64_t *now_ms, struct err *err)
{
    CLEANUP(mongo_client_release) struct mongo_client c = docstore_mongo_client(store);
    CLEANUP(mongoc_collection_destroyp)
    mongoc_collection_t *collection =
        docstore_mongo_collection(store, c.client, ref->database, ref->collection);
    CLEANUP(bson_destroyp)
    bson_t *pipeline = BCON_NEW("pipeline", "[", "{", "$match", "{", "_id", BCON_UTF8(ref->id), "}",
                                "}", "{", "$project", "{", "_id", BCON_INT32(0), "doc",
                                BCON_UTF8("$$ROOT"), "now", BCON_UTF8("$$NOW"), "}", "}", "]");
    CLEANUP(mongoc_cursor_destroyp)
    mongoc_cursor_t *cursor = majority_aggregate(collection, pipeline);
    const bson_t *row;
    bson_error_t error;
    if (mongoc_cursor_next(cursor, &row)) {
        struct doc_reader reader = doc_reader_of(row, ref->collection);
        *doc = doc_copy(&reader, "doc");
        if (now_ms)
            *now_ms = doc_date(&reader, "now");
        return doc_reader_check(&reader, err);
    }
    if (mongoc_cursor_error(cursor, &error)) {
        (void)mongo_err(err, &error, "reading");
        return err_prefix(err, "%s/%s", ref->collection, ref->id);
    }
    return !now_ms || docstore_mongo_now(c.client, now_ms, err);
}

/* After an unknown outcome: linearizable, because it waits until what it saw is majority committed,
 * our own write included. Without an answer the first error stands. */
static bool docstore_mongo_read_back(mongoc_collection_t *collection,
                                     const struct docstore_write *write, enum doc_swap *outcome)
{
    CLEANUP(bson_destroyp) bson_t *filter = BCON_NEW("_id", BCON_UTF8(write->ref->id));
    CLEANUP(bson_destroyp) bson_t *opts = BCON_NEW("limit", BCON_INT64(1));
    majority_put_read(opts, "linearizable");
    mongoc_read_prefs_t *primary = mongoc_read_prefs_new(MONGOC_READ_PRIMARY);
    bool known = false;
    bool answered = false;
    for (int try = 0; try < READ_BACK_TRIES && !answered; try++) {
        CLEANUP(mongoc_cursor_destroyp)
        mongoc_cursor_t *cursor =
            mongoc_collection_find_with_opts(collection, filter, opts, primary);
        const bson_t *doc = NULL;
        bson_error_t error;
        answered = mongoc_cursor_next(cursor, &doc) || !mongoc_cursor_error(cursor, &error);
        if (!answered || !doc)
            continue;
        bool equal = bson_equal(doc, write->doc);
        *outcome = equal ? DOC_WON : DOC_LOST;
        known = equal || doc_counter(doc, write->ref->counter) > write->expected;
    }
    mongoc_read_prefs_destroy(primary);
    return known;
}

static bson_t *docstore_mongo_condition(const struct docstore_write *write)
{
    const struct doc_ref *ref = write->ref;
    if (write->expected > 0)
        return BCON_NEW("_id", BCON_UTF8(ref->id), ref->counter, BCON_INT64(write->expected));
    /* null matches a missing field too; an upsert takes nothing from $in into the document */
    return BCON_NEW("_id", BCON_UTF8(ref->id), ref->counter, "{", "$in", "[", BCON_INT64(0),
                    BCON_NULL, "]", "}");
}

static bool docstore_mongo_find_and_modify(mongoc_collection_t *collection,
                                           const struct docstore_write *write, bson_t *reply,
                                           bson_error_t *error)
{
    CLEANUP(bson_destroyp) bson_t *condition = docstore_mongo_condition(write);
    CLEANUP(bson_destroyp) bson_t *fields = BCON_NEW("_id", BCON_INT32(1));
    CLEANUP(bson_destroyp) bson_t *extra = bson_new();
    majority_put_write(extra);
    mongoc_find_and_modify_opts_t *opts = mongoc_find_and_modify_opts_new();
    mongoc_find_and_modify_opts_set_update(opts, write->doc);
    mongoc_find_and_modify_opts_set_fields(opts, fields);
    mongoc_find_and_modify_opts_append(opts, extra);
    if (write->expected == 0)
        mongoc_find_and_modify_opts_set_flags(opts, MONGOC_FIND_AND_MODIFY_UPSERT);
    bool ok =
        mongoc_collection_find_and_modify_with_opts(collection, condition, opts, reply, error);
    mongoc_find_and_modify_opts_destroy(opts);
    return ok;
}

static int64_t docstore_mongo_modified(const bson_t *reply)
{
    struct doc_reader reader = doc_reader_of(reply, "findAndModify");
    struct doc_reader result;
    return doc_child(&reader, "lastErrorObject", &result) ? doc_int(&result, "n", 0) : 0;
}

static bool docstore_mongo_swap(struct docstore *store, const struct docstore_write *write,
                                enum doc_swap *outcome, struct err *err)
{
    CLEANUP(mongo_client_release) struct mongo_client c = docstore_mongo_client(store);
    CLEANUP(mongoc_collection_destroyp)
    mongoc_collection_t *collection =
        docstore_mongo_collection(store, c.client, write->ref->database, write->ref->collection);
    bson_t reply;
    bson_error_t error = {0};
    bool ok = docstore_mongo_find_and_modify(collection, write, &reply, &error);
    int64_t modified = docstore_mongo_modified(&reply);
    bson_destroy(&reply);
    if (ok) {
        *outcome = modified > 0 ? DOC_WON : DOC_LOST;
        return true;
    }
    if (error.code == MONGO_DUPLICATE_KEY) {
        *outcome = DOC_LOST;
        return true;
    }
    struct err first;
    (void)mongo_err(&first, &error, "compare-and-set");
    if (first.action != ERR_FATAL && docstore_mongo_read_back(collection, write, outcome))
        return true;
    if (err)
        *err = first;
    return false;
}

static bool docstore_mongo_list(struct docstore *store, const char *name, const char *prefix,
                                bson_t ***docs, size_t *count, struct err *err)
{
    CLEANUP(mongo_client_release) struct mongo_client c = docstore_mongo_client(store);
    CLEANUP(mongoc_collection_destroyp)
    mongoc_collection_t *collection = docstore_mongo_collection(store, c.client, NULL, name);
    CLEANUP(bson_destroyp)
    bson_t *pipeline =
        BCON_NEW("pipeline", "[", "{", "$match", "{", "_id", "{", "$gte", BCON_UTF8(prefix), "}",
                 "}", "}", "{", "$sort", "{", "_id", BCON_INT32(1), "}", "}", "]");
    CLEANUP(mongoc_cursor_destroyp)
    mongoc_cursor_t *cursor = majority_aggregate(collection, pipeline);
    const bson_t *doc;
    bson_iter_t iter;
    while (mongoc_cursor_next(cursor, &doc)) {
        /* in order of _id: the first that does not begin so is behind all that do */
        if (!bson_iter_init_find(&iter, doc, "_id") || !BSON_ITER_HOLDS_UTF8(&iter) ||
            strncmp(bson_iter_utf8(&iter, NULL), prefix, strlen(prefix)) != 0)
            return true;
        docstore_list_add(docs, count, doc);
    }
    bson_error_t error;
    return !mongoc_cursor_error(cursor, &error) || mongo_err(err, &error, name);
}

static bool docstore_mongo_remove(struct docstore *store, const struct doc_ref *ref,
                                  struct err *err)
{
    CLEANUP(mongo_client_release) struct mongo_client c = docstore_mongo_client(store);
    CLEANUP(mongoc_collection_destroyp)
    mongoc_collection_t *collection =
        docstore_mongo_collection(store, c.client, ref->database, ref->collection);
    CLEANUP(bson_destroyp) bson_t *filter = BCON_NEW("_id", BCON_UTF8(ref->id));
    CLEANUP(bson_destroyp) bson_t *opts = bson_new();
    majority_put_write(opts);
    bson_error_t error;
    if (mongoc_collection_delete_one(collection, filter, opts, NULL, &error))
        return true;
    (void)mongo_err(err, &error, "removing");
    return err_prefix(err, "%s/%s", ref->collection, ref->id);
}

static bool docstore_mongo_note(struct docstore *store, const struct doc_ref *ref,
                                const bson_t *set, const bson_t *add, struct err *err)
{
    CLEANUP(mongo_client_release) struct mongo_client c = docstore_mongo_client(store);
    CLEANUP(mongoc_collection_destroyp)
    mongoc_collection_t *collection =
        docstore_mongo_collection(store, c.client, ref->database, ref->collection);
    CLEANUP(bson_destroyp) bson_t *filter = BCON_NEW("_id", BCON_UTF8(ref->id));
    CLEANUP(bson_destroyp) bson_t *update = bson_new();
    /* an empty operator is refused by servers before 5.0 */
    if (set && !bson_empty(set))
        BSON_APPEND_DOCUMENT(update, "$set", set);
    if (add && !bson_empty(add))
        BSON_APPEND_DOCUMENT(update, "$inc", add);
    if (bson_empty(update))
        return true;
    CLEANUP(bson_destroyp)
    bson_t *opts =
        BCON_NEW("upsert", BCON_BOOL(true), "writeConcern", "{", "w", BCON_INT32(1), "}");
    bson_error_t error;
    if (mongoc_collection_update_one(collection, filter, update, opts, NULL, &error))
        return true;
    (void)mongo_err(err, &error, "noting");
    return err_prefix(err, "%s/%s", ref->collection, ref->id);
}

static void docstore_mongo_free(struct docstore *store)
{
    struct docstore_mongo *self = (struct docstore_mongo *)store;
    bson_free(self->database);
    bson_free(self);
}

static const struct docstore_ops docstore_mongo_ops = {
    .name = "mongo",
    .load = docstore_mongo_load,
    .swap = docstore_mongo_swap,
    .list = docstore_mongo_list,
    .remove = docstore_mongo_remove,
    .note = docstore_mongo_note,
    .free = docstore_mongo_free,
};

struct docstore *docstore_mongo_new(mongoc_client_pool_t *pool, const char *database)
{
    struct docstore_mongo *self = bson_malloc0(sizeof(*self));
    self->base.ops = &docstore_mongo_ops;
    self->pool = pool;
    self->database = bson_strdup(database);
    return &self->base;
}
