/* SPDX-License-Identifier: Apache-2.0 */
/* Rows in MongoDB: reads, counts and marks. The conditional writes are in ledger_mongo_write.c. */
#include "state/ledger_mongo.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "state/doc.h"
#include "state/majority.h"

/* Of the keys named in one command. */
#define READ_KEYS ((size_t)1000)
#define READ_KEY_BYTES (8 * MIB)

struct ledger_mongo *ledger_mongo_of(struct ledger *ledger)
{
    return (struct ledger_mongo *)ledger;
}

mongoc_collection_t *ledger_mongo_collection(struct ledger_mongo *self, mongoc_client_t *client)
{
    return mongoc_client_get_collection(client, self->database, self->base.collection);
}

bool ledger_mongo_err(const struct ledger_mongo *self, const bson_error_t *error, const char *what,
                      struct err *err)
{
    (void)mongo_err(err, error, what);
    return err_prefix(err, "%s", self->base.collection);
}

/* --- read ------------------------------------------------------------------------------------- */

struct lookup {
    const char *const *keys;
    struct ledger_row *rows;
    size_t *order; /* indexes into `keys`, by key: a key may stand there twice */
    size_t count;
};

static int by_key(const void *a, const void *b, void *context)
{
    const struct lookup *lookup = context;
    return strcmp(lookup->keys[*(const size_t *)a], lookup->keys[*(const size_t *)b]);
}

static size_t lookup_first(const struct lookup *lookup, const char *key)
{
    size_t low = 0;
    size_t high = lookup->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(lookup->keys[lookup->order[middle]], key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void lookup_fill(struct lookup *lookup, const bson_t *doc, struct arena *arena)
{
    struct ledger_row row;
    ledger_row_decode(doc, ledger_mongo_now(doc), arena, &row);
    if (!row.key)
        return;
    for (size_t i = lookup_first(lookup, row.key); i < lookup->count; i++) {
        if (strcmp(lookup->keys[lookup->order[i]], row.key) != 0)
            return;
        lookup->rows[lookup->order[i]] = row;
    }
}

int64_t ledger_mongo_now(const bson_t *doc)
{
    struct doc_reader reader = doc_reader_of(doc, "ledger");
    return doc_date(&reader, "now");
}

/* [{$match: {_id: {$in: keys}}}, {$addFields: {now: "$$NOW"}}] */
static bson_t *read_pipeline(const char *const *keys, size_t count)
{
    bson_t in = BSON_INITIALIZER;
    for (size_t i = 0; i < count; i++) {
        char text[16];
        const char *key;
        bson_uint32_to_string((uint32_t)i, &key, text, sizeof(text));
        BSON_APPEND_UTF8(&in, key, keys[i]);
    }
    bson_t *pipeline =
        BCON_NEW("pipeline", "[", "{", "$match", "{", "_id", "{", "$in", BCON_ARRAY(&in), "}", "}",
                 "}", "{", "$addFields", "{", "now", BCON_UTF8("$$NOW"), "}", "}", "]");
    bson_destroy(&in);
    return pipeline;
}

static bool read_slice(struct ledger_mongo *self, struct lookup *lookup, struct arena *arena,
                       struct err *err)
{
    CLEANUP(mongo_client_release) struct mongo_client c = mongo_client_of(self->pool);
    CLEANUP(mongoc_collection_destroyp)
    mongoc_collection_t *collection = ledger_mongo_collection(self, c.client);
    CLEANUP(bson_destroyp) bson_t *pipeline = read_pipeline(lookup->keys, lookup->count);
    CLEANUP(mongoc_cursor_destroyp)
    mongoc_cursor_t *cursor = majority_aggregate(collection, pipeline);
    const bson_t *doc;
    bson_error_t error;
    while (mongoc_cursor_next(cursor, &doc))
        lookup_fill(lookup, doc, arena);
    return !mongoc_cursor_error(cursor, &error) || ledger_mongo_err(self, &error, "reading", err);
}

static bool ledger_mongo_read(struct ledger *ledger, const char *const *keys, size_t count,
                              struct arena *arena, struct ledger_row *rows, struct err *err)
{
    size_t *order = bson_malloc(count * sizeof(*order));
    bool ok = true;
    for (size_t done = 0, size = 0; ok && done < count; done += size) {
        size_t bytes = 0;
        for (size = 0; size < READ_KEYS && done + size < count && bytes < READ_KEY_BYTES; size++) {
            bytes += strlen(keys[done + size]);
            order[size] = size;
        }
        struct lookup lookup = {
            .keys = keys + done, .rows = rows + done, .order = order, .count = size};
        qsort_r(order, size, sizeof(*order), by_key, &lookup);
        ok = read_slice(ledger_mongo_of(ledger), &lookup, arena, err);
    }
    bson_free(order);
    return ok;
}

/* --- count ------------------------------------------------------------------------------------ */

/* Up to so many rows are counted at once, in half a second; in the order of the keys it takes six times as
 * long, but as little at a time as one likes. */
#define COUNT_WHOLE INT64_C(500000)
#define COUNT_PART INT64_C(50000)

/* By state. */
static bson_t *count_stage(void)
{
    return BCON_NEW("$group", "{", "_id", BCON_UTF8("$state"), "rows", "{", "$sum", BCON_INT32(1),
                    "}", "chunks", "{", "$sum", "{", "$size", "{", "$ifNull", "[",
                    BCON_UTF8("$chunks"), "[", "]", "]", "}", "}", "}", "texts", "{", "$sum", "{",
                    "$cond", "[", "{", "$gt", "[", BCON_UTF8("$chunks"), "[", "]", "]", "}",
                    BCON_INT32(1), BCON_INT32(0), "]", "}", "}", "skipped", "{", "$sum", "{",
                    "$cond", "[", BCON_UTF8("$skipped"), BCON_INT32(1), BCON_INT32(0), "]", "}",
                    "}", "last", "{", "$max", BCON_UTF8("$_id"), "}", "}");
}

/* In one pass over the rows: the only answer whose cost grows with the ledger. */
static bson_t *count_pipeline(void)
{
    CLEANUP(bson_destroyp) bson_t *stage = count_stage();
    return BCON_NEW("pipeline", "[", BCON_DOCUMENT(stage), "]");
}

static bson_t *part_pipeline(const char *after, int64_t limit)
{
    CLEANUP(bson_destroyp) bson_t *stage = count_stage();
    return BCON_NEW("pipeline", "[", "{", "$match", "{", "_id", "{", "$gt", BCON_UTF8(after), "}",
                    "}", "}", "{", "$sort", "{", "_id", BCON_INT32(1), "}", "}", "{", "$limit",
                    BCON_INT64(limit), "}", BCON_DOCUMENT(stage), "]");
}

/* Adds it; returns the rows. */
static int64_t count_group(const bson_t *group, struct ledger_counts *out)
{
    struct doc_reader reader = doc_reader_of(group, "ledger");
    const char *state = doc_peek(&reader, "_id");
    int64_t rows = doc_int(&reader, "rows", 0);
    if (!state)
        return rows;
    if (strcmp(state, ledger_state_text(LEDGER_DONE)) == 0) {
        out->documents += rows;
        out->chunks += doc_int(&reader, "chunks", 0);
        out->texts += doc_int(&reader, "texts", 0);
    } else if (strcmp(state, ledger_state_text(LEDGER_DELETED)) == 0) {
        out->tombstones += rows;
    } else if (strcmp(state, ledger_state_text(LEDGER_QUARANTINED)) == 0) {
        int64_t skipped = doc_int(&reader, "skipped", 0);
        out->skipped += skipped;
        out->quarantined += rows - skipped;
    }
    return rows;
}

static bool count_by_index(struct ledger_mongo *self, mongoc_collection_t *collection,
                           const char *field, int64_t *out, struct err *err)
{
    CLEANUP(bson_destroyp) bson_t *filter = ledger_mongo_has(field);
    CLEANUP(bson_destroyp)
    bson_t *pipeline = BCON_NEW("pipeline", "[", "{", "$match", BCON_DOCUMENT(filter), "}", "{",
                                "$count", BCON_UTF8("rows"), "}", "]");
    CLEANUP(mongoc_cursor_destroyp)
    mongoc_cursor_t *cursor = majority_aggregate_all(collection, pipeline);
    const bson_t *doc;
    bson_error_t error;
    *out = mongoc_cursor_next(cursor, &doc) ? doc_counter(doc, "rows") : 0;
    return !mongoc_cursor_error(cursor, &error) || ledger_mongo_err(self, &error, "counting", err);
}

static bool count_marks(struct ledger_mongo *self, mongoc_collection_t *collection,
                        struct ledger_counts *out, struct err *err)
{
    return count_by_index(self, collection, INTENT_FIELD, &out->intents, err) &&
           count_by_index(self, collection, REPAIR_FIELD, &out->repairs, err);
}

static bool count_whole(struct ledger_mongo *self, mongoc_collection_t *collection,
                        struct ledger_counts *out, struct err *err)
{
    CLEANUP(bson_destroyp) bson_t *pipeline = count_pipeline();
    CLEANUP(mongoc_cursor_destroyp)
    mongoc_cursor_t *cursor = majority_aggregate_all(collection, pipeline);
    const bson_t *group;
    bson_error_t error;
    while (mongoc_cursor_next(cursor, &group))
        (void)count_group(group, out);
    if (mongoc_cursor_error(cursor, &error))
        return ledger_mongo_err(self, &error, "counting", err);
    return count_marks(self, collection, out, err);
}

static bool ledger_mongo_count(struct ledger *ledger, struct ledger_counts *out, struct err *err)
{
    struct ledger_mongo *self = ledger_mongo_of(ledger);
    CLEANUP(mongo_client_release) struct mongo_client c = mongo_client_of(self->pool);
    CLEANUP(mongoc_collection_destroyp)
    mongoc_collection_t *collection = ledger_mongo_collection(self, c.client);
    return count_whole(self, collection, out, err);
}

static void note_last(const bson_t *group, char **last)
{
    struct doc_reader reader = doc_reader_of(group, "ledger");
    const char *key = doc_peek(&reader, "last");
    if (!key || (*last && strcmp(key, *last) <= 0))
        return;
    bson_free(*last);
    *last = bson_strdup(key);
}

static bool count_next(struct ledger_mongo *self, mongoc_collection_t *collection,
                       struct ledger_tally *tally, struct err *err)
{
    struct ledger_counts counts = tally->counts;
    int64_t limit = tally->at_once > 0 ? tally->at_once : COUNT_PART;
    CLEANUP(bson_destroyp)
    bson_t *pipeline = part_pipeline(tally->after ? tally->after : "", limit);
    CLEANUP(mongoc_cursor_destroyp)
    mongoc_cursor_t *cursor = majority_aggregate(collection, pipeline);
    const bson_t *group;
    bson_error_t error;
    char *last = NULL;
    int64_t rows = 0;
    while (mongoc_cursor_next(cursor, &group)) {
        rows += count_group(group, &counts);
        note_last(group, &last);
    }
    bool ended = rows < limit;
    bool ok = mongoc_cursor_error(cursor, &error) ? ledger_mongo_err(self, &error, "counting", err)
              : ended                             ? count_marks(self, collection, &counts, err)
                                                  : true;
    if (!ok) {
        bson_free(last);
        return false;
    }
    tally->counts = counts;
    tally->done = ended;
    if (last) {
        bson_free(tally->after);
        tally->after = last;
    }
    return true;
}

static bool ledger_mongo_count_part(struct ledger *ledger, struct ledger_tally *tally,
                                    struct err *err)
{
    struct ledger_mongo *self = ledger_mongo_of(ledger);
    CLEANUP(mongo_client_release) struct mongo_client c = mongo_client_of(self->pool);
    CLEANUP(mongoc_collection_destroyp)
    mongoc_collection_t *collection = ledger_mongo_collection(self, c.client);
    struct ledger_counts counts = {0};
    bson_error_t error;
    if (tally->after)
        return count_next(self, collection, tally, err);
    int64_t most = tally->at_once > 0 ? tally->at_once : COUNT_WHOLE;
    int64_t rows = mongoc_collection_estimated_document_count(collection, NULL, NULL, NULL, &error);
    if (rows < 0)
        return ledger_mongo_err(self, &error, "counting", err);
    if (rows > most)
        return count_next(self, collection, tally, err);
    if (!count_whole(self, collection, &counts, err))
        return false;
    tally->counts = counts;
    tally->done = true;
    return true;
}

/* --- scan, repairs ---------------------------------------------------------------------------- */

static bool ledger_mongo_scan(struct ledger *ledger, struct ledger_page *page, struct err *err)
{
    struct ledger_mongo *self = ledger_mongo_of(ledger);
    CLEANUP(mongo_client_release) struct mongo_client c = mongo_client_of(self->pool);
    CLEANUP(mongoc_collection_destroyp)
    mongoc_collection_t *collection = ledger_mongo_collection(self, c.client);
    CLEANUP(bson_destroyp)
    bson_t *pipeline =
        BCON_NEW("pipeline", "[", "{", "$match", "{", "_id", "{", "$gt", BCON_UTF8(page->after),
                 "}", "}", "}", "{", "$sort", "{", "_id", BCON_INT32(1), "}", "}", "{", "$limit",
                 BCON_INT64((int64_t)page->limit), "}", "{", "$addFields", "{", "now",
                 BCON_UTF8("$$NOW"), "}", "}", "]");
    CLEANUP(mongoc_cursor_destroyp)
    mongoc_cursor_t *cursor = majority_aggregate(collection, pipeline);
    const bson_t *doc;
    bson_error_t error;
    while (page->count < page->limit && mongoc_cursor_next(cursor, &doc))
        ledger_row_decode(doc, ledger_mongo_now(doc), page->arena, &page->rows[page->count++]);
    return !mongoc_cursor_error(cursor, &error) || ledger_mongo_err(self, &error, "scanning", err);
}

/* Oldest marks first, so that one that is set again goes to the end of the queue. */
static bool ledger_mongo_repairs(struct ledger *ledger, size_t limit, struct arena *arena,
                                 struct ledger_marked *marks, size_t *count, struct err *err)
{
    struct ledger_mongo *self = ledger_mongo_of(ledger);
    CLEANUP(mongo_client_release) struct mongo_client c = mongo_client_of(self->pool);
    CLEANUP(mongoc_collection_destroyp)
    mongoc_collection_t *collection = ledger_mongo_collection(self, c.client);
    CLEANUP(bson_destroyp) bson_t *filter = ledger_mongo_has(REPAIR_FIELD);
    CLEANUP(bson_destroyp)
    bson_t *pipeline = BCON_NEW(
        "pipeline", "[", "{", "$match", BCON_DOCUMENT(filter), "}", "{", "$sort", "{", REPAIR_FIELD,
        BCON_INT32(1), "}", "}", "{", "$limit", BCON_INT64((int64_t)limit), "}", "{", "$project",
        "{", "gen", BCON_INT32(1), "ver", BCON_INT32(1), "repair", BCON_INT32(1), "}", "}", "]");
    CLEANUP(mongoc_cursor_destroyp)
    mongoc_cursor_t *cursor = majority_aggregate(collection, pipeline);
    const bson_t *doc;
    bson_error_t error;
    while (*count < limit && mongoc_cursor_next(cursor, &doc)) {
        struct ledger_row row;
        ledger_row_decode(doc, 0, arena, &row);
        if (row.key)
            marks[(*count)++] = (struct ledger_marked){
                .key = row.key, .gen = row.gen, .ver = row.ver, .mark_ms = row.repair_ms};
    }
    return !mongoc_cursor_error(cursor, &error) || ledger_mongo_err(self, &error, "repairs", err);
}

/* --- open, drop, close ------------------------------------------------------------------------ */

bson_t *ledger_mongo_has(const char *field)
{
    /* the form that is known to imply the index's own `$exists` and needs no fetch to decide */
    return BCON_NEW(field, "{", "$gte", BCON_DATE_TIME(0), "}");
}

/* All but that of the contents are partial: rows at rest stand in none of them. */
static bson_t *index_command(const char *collection)
{
    return BCON_NEW("createIndexes", BCON_UTF8(collection), "indexes", "[",
                    /* found by ledger_repairs(), counted by ledger_count() */
                    "{", "name", BCON_UTF8("repair"), "key", "{", REPAIR_FIELD, BCON_INT32(1), "}",
                    "partialFilterExpression", "{", REPAIR_FIELD, "{", "$exists", BCON_BOOL(true),
                    "}", "}", "}",
                    /* counted by ledger_count() */
                    "{", "name", BCON_UTF8("intent"), "key", "{", INTENT_FIELD, BCON_INT32(1), "}",
                    "partialFilterExpression", "{", INTENT_FIELD, "{", "$exists", BCON_BOOL(true),
                    "}", "}", "}",
                    /* for ledger_scan_aged(): one for each of its states */
                    "{", "name", BCON_UTF8("aside"), "key", "{", "state", BCON_INT32(1), "at",
                    BCON_INT32(1), "_id", BCON_INT32(1), "}", "partialFilterExpression", "{",
                    "state", BCON_UTF8("quarantined"), "}", "}", "{", "name",
                    BCON_UTF8("tombstone"), "key", "{", "state", BCON_INT32(1), "at", BCON_INT32(1),
                    "_id", BCON_INT32(1), "}", "partialFilterExpression", "{", "state",
                    BCON_UTF8("deleted"), "}", "}",
                    /* for ledger_find_contents(): one entry per chunk */
                    "{", "name", BCON_UTF8("content"), "key", "{", "chunks", BCON_INT32(1), "}",
                    "sparse", BCON_BOOL(true), "}", "]");
}

static bson_t *source_index_command(const char *collection)
{
    return BCON_NEW("createIndexes", BCON_UTF8(collection), "indexes", "[",
                    /* for ledger_find_sources() */
                    "{", "name", BCON_UTF8("source"), "key", "{", "sid", BCON_INT32(1), "}",
                    "sparse", BCON_BOOL(true), "}", "]");
}

static bool ledger_mongo_index(struct ledger_mongo *self, bson_t *wanted, struct err *err)
{
    CLEANUP(mongo_client_release) struct mongo_client c = mongo_client_of(self->pool);
    CLEANUP(bson_destroyp) bson_t *command = wanted;
    CLEANUP(bson_destroyp) bson_t *opts = bson_new();
    bson_error_t error;
    majority_put_write(opts);
    return mongoc_client_write_command_with_opts(c.client, self->database, command, opts, NULL,
                                                 &error) ||
           ledger_mongo_err(self, &error, "creating indexes", err);
}

static bool ledger_mongo_drop(struct ledger *ledger, struct err *err)
{
    struct ledger_mongo *self = ledger_mongo_of(ledger);
    CLEANUP(mongo_client_release) struct mongo_client c = mongo_client_of(self->pool);
    CLEANUP(mongoc_collection_destroyp)
    mongoc_collection_t *collection = ledger_mongo_collection(self, c.client);
    CLEANUP(bson_destroyp) bson_t *opts = bson_new();
    bson_error_t error;
    majority_put_write(opts);
    return mongoc_collection_drop_with_opts(collection, opts, &error) ||
           error.code == MONGO_NAMESPACE_NOT_FOUND ||
           ledger_mongo_err(self, &error, "dropping", err);
}

static void ledger_mongo_close(struct ledger *ledger)
{
    struct ledger_mongo *self = ledger_mongo_of(ledger);
    bson_free(self->database);
    bson_free(self->base.collection);
    bson_free(self->base.owner);
    bson_free(self);
}

static const struct ledger_ops ledger_mongo_ops = {
    .name = "mongo",
    .read = ledger_mongo_read,
    .begin = ledger_mongo_begin,
    .finish = ledger_mongo_finish,
    .count = ledger_mongo_count,
    .count_part = ledger_mongo_count_part,
    .scan = ledger_mongo_scan,
    .count_behind = ledger_mongo_count_behind,
    .scan_behind = ledger_mongo_scan_behind,
    .mark = ledger_mongo_mark,
    .repairs = ledger_mongo_repairs,
    .scan_aged = ledger_mongo_scan_aged,
    .skip = ledger_mongo_skip,
    .expire = ledger_mongo_expire,
    .find_contents = ledger_mongo_find_contents,
    .draw = ledger_mongo_draw,
    .find_sources = ledger_mongo_find_sources,
    .drop = ledger_mongo_drop,
    .close = ledger_mongo_close,
};

bool ledger_mongo_open(const struct ledger_options *options, struct ledger **out, struct err *err)
{
    struct ledger_mongo *self = bson_malloc0(sizeof(*self));
    self->base.ops = &ledger_mongo_ops;
    self->base.collection = bson_strdup_printf("%s.ledger.%s", options->name, options->build_id);
    self->base.owner = bson_strdup(options->owner);
    self->pool = options->pool;
    self->database = bson_strdup(options->database);
    if (ledger_mongo_index(self, index_command(self->base.collection), err) &&
        (!options->by_source ||
         ledger_mongo_index(self, source_index_command(self->base.collection), err))) {
        *out = &self->base;
        return true;
    }
    ledger_mongo_close(&self->base);
    return false;
}
