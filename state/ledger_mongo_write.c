/* SPDX-License-Identifier: Apache-2.0 */
/* The conditional writes of the mongo ledger: raw `update` commands, one entry per row.
 *
 * A filter of the _id alone is found without planning a query, which costs the server more than the
 * write itself. So that the row must still be as it was read is not asked by the filter but by the
 * update, a pipeline that otherwise leaves the row as it is. The reply says how many rows have
 * changed: where those are fewer than were sent, the rows are read again and tell which entries lost.
 * Times are the server's own; every value in a pipeline stands under $literal.
 */
#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "state/doc.h"
#include "state/ledger_mongo.h"
#include "state/majority.h"

/* Of one command; a command is a document and must stay below 16 MiB. */
#define COMMAND_ENTRIES 1000u
#define COMMAND_BYTES (12 * MIB)
#define MARK_TRIES 3

struct batch {
    struct ledger_mongo *ledger;
    mongoc_client_t *client;
    bson_t command;
    bson_t updates; /* open array inside `command` */
    uint32_t count;
    size_t bytes;
    bool *lost[COMMAND_ENTRIES]; /* where each entry's fate is told */
    int64_t changed;             /* rows, by all commands sent */
};

static void batch_open(struct batch *batch)
{
    bson_init(&batch->command);
    BSON_APPEND_UTF8(&batch->command, "update", batch->ledger->base.collection);
    BSON_APPEND_BOOL(&batch->command, "ordered", false);
    BSON_APPEND_ARRAY_BEGIN(&batch->command, "updates", &batch->updates);
    batch->count = 0;
    batch->bytes = 0;
}

/* A result that would pass 16 MiB: no repetition helps. */
static bool is_too_large(uint32_t code)
{
    return code == 10334 || code == 17419 || code == 17420;
}

static bool batch_error(struct batch *batch, const bson_iter_t *iter, struct err *err)
{
    struct doc_reader reader = doc_reader_at(iter, "writeErrors");
    int64_t index = doc_int(&reader, "index", -1);
    int64_t code = doc_int(&reader, "code", 0);
    const char *text = doc_peek(&reader, "errmsg");
    if (index < 0 || index >= (int64_t)batch->count)
        return err_set(err, ERR_RETRY, ERR_MONGO, code, "%s: an error without an entry",
                       batch->ledger->base.collection);
    if (code == MONGO_DUPLICATE_KEY) {
        *batch->lost[index] = true;
        return true;
    }
    return err_set(err, is_too_large((uint32_t)code) ? ERR_REJECT : ERR_RETRY, ERR_MONGO, code,
                   "%s: writing a row: %s", batch->ledger->base.collection, text ? text : "");
}

static bool batch_reply(struct batch *batch, const bson_t *reply, struct err *err)
{
    struct doc_reader reader = doc_reader_of(reply, "update");
    bson_iter_t iter;
    size_t count;
    batch->changed += doc_int(&reader, "nModified", 0);
    if (doc_elements(&reader, "upserted", &iter, &count))
        batch->changed += (int64_t)count;
    if (!doc_elements(&reader, "writeErrors", &iter, &count))
        return true;
    while (bson_iter_next(&iter))
        if (!batch_error(batch, &iter, err))
            return false;
    return true;
}

/* Sends what there is and opens the next command. After a failure without a reply anything may have
 * been applied: the caller begins again with ledger_read(). */
static bool batch_send(struct batch *batch, struct err *err)
{
    bson_append_array_end(&batch->command, &batch->updates);
    bool ok = true;
    if (batch->count > 0) {
        CLEANUP(bson_destroyp) bson_t *opts = bson_new();
        bson_t reply;
        bson_error_t error;
        majority_put_write(opts);
        ok = mongoc_client_write_command_with_opts(batch->client, batch->ledger->database,
                                                   &batch->command, opts, &reply, &error);
        ok = ok ? batch_reply(batch, &reply, err)
                : ledger_mongo_err(batch->ledger, &error, "writing rows", err);
        bson_destroy(&reply);
    }
    bson_destroy(&batch->command);
    batch_open(batch);
    return ok;
}

static bool batch_add(struct batch *batch, const bson_t *entry, bool *lost, struct err *err)
{
    char text[16];
    const char *key;
    if (batch->count == COMMAND_ENTRIES ||
        (batch->count > 0 && batch->bytes + entry->len > COMMAND_BYTES)) {
        if (!batch_send(batch, err))
            return false;
    }
    bson_uint32_to_string(batch->count, &key, text, sizeof(text));
    BSON_APPEND_DOCUMENT(&batch->updates, key, entry);
    batch->lost[batch->count++] = lost;
    batch->bytes += entry->len + sizeof(text);
    return true;
}

static bool batch_close(struct batch *batch, bool ok, struct err *err)
{
    ok = ok && batch_send(batch, err);
    bson_append_array_end(&batch->command, &batch->updates);
    bson_destroy(&batch->command);
    return ok;
}

/* --- entries ---------------------------------------------------------------------------------- */

static bson_t *entry_new(const char *key)
{
    bson_t *entry = bson_new();
    BCON_APPEND(entry, "q", "{", "_id", BCON_UTF8(key), "}");
    return entry;
}

/* {$eq: [{$type: path}, "missing"]} */
static bson_t *is_missing(const char *path)
{
    return BCON_NEW("$eq", "[", "{", "$type", BCON_UTF8(path), "}", BCON_UTF8("missing"), "]");
}

static bson_t *is_text(const char *path, const char *text)
{
    return BCON_NEW("$eq", "[", BCON_UTF8(path), "{", "$literal", BCON_UTF8(text), "}", "]");
}

static bson_t *is_digest(const char *path, const struct sha256 *digest)
{
    return BCON_NEW("$eq", "[", BCON_UTF8(path),
                    BCON_BIN(BSON_SUBTYPE_BINARY, digest->bytes, SHA256_SIZE), "]");
}

static void put_and(bson_t *all, uint32_t *count, bson_t *condition)
{
    char text[16];
    const char *key;
    bson_uint32_to_string((*count)++, &key, text, sizeof text);
    BSON_APPEND_DOCUMENT(all, key, condition);
    bson_destroy(condition);
}

static pthread_once_t unwritten_once = PTHREAD_ONCE_INIT;
static bson_t *unwritten;

static void make_unwritten(void)
{
    CLEANUP(bson_destroyp) bson_t *all = bson_new();
    uint32_t count = 0;
    put_and(all, &count, is_missing("$gen"));
    put_and(all, &count, is_missing("$intent"));
    unwritten = BCON_NEW("$and", BCON_ARRAY(all));
}

/* The row is at most marked. The same for all of them, and most rows are written for the first time. */
static bson_t *is_unwritten(void)
{
    if (pthread_once(&unwritten_once, make_unwritten) != 0)
        abort();
    return bson_copy(unwritten);
}

/* The stored row still has the state and the intent of `was`. (gen, ver) is not enough: a document may be
 * read again at the same one, with another content. */
static bson_t *is_as_read(const struct ledger_row *was)
{
    bool written = was && was->state != LEDGER_NONE;
    bool begun = was && was->has_intent;
    if (!written && !begun)
        return is_unwritten();
    CLEANUP(bson_destroyp) bson_t *all = bson_new();
    uint32_t count = 0;
    if (written) {
        put_and(all, &count, BCON_NEW("$eq", "[", BCON_UTF8("$gen"), BCON_INT64(was->gen), "]"));
        put_and(all, &count, is_text("$ver", was->ver));
        put_and(all, &count, is_text("$state", ledger_state_text(was->state)));
        if (!ledger_digest_is_zero(&was->doc_fp))
            put_and(all, &count, is_digest("$doc_fp", &was->doc_fp));
    } else {
        put_and(all, &count, is_missing("$gen"));
    }
    put_and(all, &count, begun ? is_text("$intent.id", was->intent.id) : is_missing("$intent"));
    return BCON_NEW("$and", BCON_ARRAY(all));
}

/* u: [{$replaceWith: {$cond: [condition, changed, "$$ROOT"]}}]. Consumes both. */
static void put_update(bson_t *entry, bson_t *condition, bson_t *changed)
{
    BCON_APPEND(entry, "u", "[", "{", "$replaceWith", "{", "$cond", "[", BCON_DOCUMENT(condition),
                BCON_DOCUMENT(changed), BCON_UTF8("$$ROOT"), "]", "}", "}", "]");
    bson_destroy(condition);
    bson_destroy(changed);
}

/* A row that is gone meanwhile is as good as one that has changed. */
static void put_upsert(bson_t *entry, const struct ledger_row *was)
{
    BSON_APPEND_BOOL(entry, "upsert", !was || !was->exists);
}

/* {$mergeObjects: [row, {intent: {$mergeObjects: [intent, {at, until}]}}]} */
static bson_t *entry_of_intent(const struct ledger_mongo *self, const struct ledger_write *write,
                               int64_t valid_ms)
{
    bson_t intent = BSON_INITIALIZER;
    bson_t *entry = entry_new(write->row.key);
    ledger_intent_encode(&write->row.intent, self->base.owner, &intent);
    put_update(entry, is_as_read(write->was),
               BCON_NEW("$mergeObjects", "[", BCON_UTF8("$$ROOT"), "{", "intent", "{",
                        "$mergeObjects", "[", "{", "$literal", BCON_DOCUMENT(&intent), "}", "{",
                        "at", BCON_UTF8("$$NOW"), "until", "{", "$add", "[", BCON_UTF8("$$NOW"),
                        BCON_INT64(valid_ms), "]", "}", "}", "]", "}", "}", "]"));
    put_upsert(entry, write->was);
    bson_destroy(&intent);
    return entry;
}

/* {$literal: the finished row} */
static bson_t *literal_of(const struct ledger_row *row)
{
    bson_t *literal = bson_new();
    bson_t doc;
    BSON_APPEND_DOCUMENT_BEGIN(literal, "$literal", &doc);
    BSON_APPEND_UTF8(&doc, "_id", row->key);
    ledger_row_encode(row, &doc);
    bson_append_document_end(literal, &doc);
    return literal;
}

/* Of a document that was set aside before: since when, and where the reason is the same, that a person
 * does without it. */
static bson_t *aside_of(const struct ledger_row *row)
{
    if (row->state != LEDGER_QUARANTINED)
        return bson_new();
    bson_t *was_aside = BCON_NEW("$eq", "[", BCON_UTF8("$state"),
                                 BCON_UTF8(ledger_state_text(LEDGER_QUARANTINED)), "]");
    bson_t *aside =
        BCON_NEW("$mergeObjects", "[", "{", "since", "{", "$cond", "[", BCON_DOCUMENT(was_aside),
                 "{", "$ifNull", "[", BCON_UTF8("$since"), BCON_UTF8("$at"), BCON_UTF8("$$NOW"),
                 "]", "}", BCON_UTF8("$$NOW"), "]", "}", "}", "{", "$cond", "[", "{", "$and", "[",
                 BCON_DOCUMENT(was_aside), "{", "$eq", "[", BCON_UTF8("$reason"), "{", "$literal",
                 BCON_UTF8(row->reason ? row->reason : ""), "}", "]", "}", "]", "}", "{", "skipped",
                 BCON_UTF8("$skipped"), "}", "{", "$literal", "{", "}", "}", "]", "}", "]");
    bson_destroy(was_aside);
    return aside;
}

/* {$mergeObjects: [row, {at}, kept, aside]} */
static bson_t *replacement_of(const struct ledger_row *row, const bson_t *kept)
{
    bson_t *literal = literal_of(row);
    bson_t *aside = aside_of(row);
    bson_t *merged =
        BCON_NEW("$mergeObjects", "[", BCON_DOCUMENT(literal), "{", "at", BCON_UTF8("$$NOW"), "}",
                 BCON_DOCUMENT(kept), BCON_DOCUMENT(aside), "]");
    bson_destroy(literal);
    bson_destroy(aside);
    return merged;
}

/* {$mergeObjects: [row, {gen, ver, off}]}: `at` stays, as what it tells of a row at rest is when its state
 * was entered, and it costs the server a fifth of the write. */
static bson_t *place_of(const struct ledger_row *row)
{
    return BCON_NEW("$mergeObjects", "[", BCON_UTF8("$$ROOT"), "{", "gen", BCON_INT64(row->gen),
                    "ver", "{", "$literal", BCON_UTF8(row->ver), "}", "off",
                    BCON_INT64(row->offset), "}", "]");
}

static bson_t *entry_of_raise(const struct ledger_write *write)
{
    bson_t *entry = entry_new(write->row.key);
    if (write->same) {
        put_update(entry, is_as_read(write->was), place_of(&write->row));
        return entry;
    }
    /* a path to nothing adds no field */
    bson_t *kept = BCON_NEW("intent", BCON_UTF8("$intent"), "repair", BCON_UTF8("$repair"));
    put_update(entry, is_as_read(write->was), replacement_of(&write->row, kept));
    put_upsert(entry, write->was);
    bson_destroy(kept);
    return entry;
}

/* The mark that `was` had is cleared; a later one stays. */
static bson_t *kept_by_finish(const struct ledger_row *was)
{
    if (!was)
        return bson_new();
    if (!was->repair)
        return BCON_NEW("repair", BCON_UTF8("$repair"));
    return BCON_NEW("$cond", "[", "{", "$gt", "[", BCON_UTF8("$" REPAIR_FIELD),
                    BCON_DATE_TIME(was->repair_ms), "]", "}", "{", "repair", BCON_UTF8("$repair"),
                    "}", "{", "$literal", "{", "}", "}", "]");
}

/* Not an upsert: a row whose intent is gone must not be made anew. */
static bson_t *entry_of_finish(const struct ledger_write *write)
{
    bson_t *entry = entry_new(write->row.key);
    bson_t *kept = kept_by_finish(write->was);
    put_update(entry, is_text("$intent.id", write->row.intent.id),
               replacement_of(&write->row, kept));
    bson_destroy(kept);
    return entry;
}

/* Each mark is later than the one before it, so that clearing one never clears the next. */
static bson_t *entry_of_mark(const char *key, const char *reason)
{
    bson_t *entry = entry_new(key);
    BCON_APPEND(entry, "u", "[", "{", "$set", "{", "repair", "{", "$mergeObjects", "[", "{",
                "$literal", "{", "reason", BCON_UTF8(reason), "}", "}", "{", "at", "{", "$max", "[",
                BCON_UTF8("$$NOW"), "{", "$add", "[", BCON_UTF8("$" REPAIR_FIELD), BCON_INT32(1),
                "]", "}", "]", "}", "}", "]", "}", "}", "}", "]");
    BSON_APPEND_BOOL(entry, "upsert", true);
    return entry;
}

/* --- operations ------------------------------------------------------------------------------- */

static bool batch_take(struct batch *batch, bson_t *entry, bool *lost, struct err *err)
{
    bool ok = batch_add(batch, entry, lost, err);
    bson_destroy(entry);
    return ok;
}

static bool is_at(const struct ledger_row *stored, const struct ledger_row *row)
{
    return stored->exists && stored->state == row->state && stored->offset == row->offset &&
           sha256_equal(&stored->doc_fp, &row->doc_fp) &&
           ledger_compare(stored->gen, stored->ver, row->gen, row->ver) == 0;
}

static bool has_begun(const struct ledger_row *stored, const struct ledger_row *row)
{
    return stored->has_intent && strcmp(stored->intent.id, row->intent.id) == 0;
}

static bool is_finished(const struct ledger_row *stored, const struct ledger_row *row)
{
    return is_at(stored, row) && !stored->has_intent;
}

/* Fewer rows were changed than were sent: which ones, only the rows can tell. */
static bool find_lost(struct ledger *ledger, struct ledger_write *writes, size_t count,
                      bool (*is_won)(const struct ledger_row *, const struct ledger_row *),
                      struct err *err)
{
    if (count == 0)
        return true;
    CLEANUP(arena_freep) struct arena *arena = arena_new(LIMIT_ARENA_SIZE);
    const char **keys = arena_alloc_array(arena, count, sizeof(*keys));
    struct ledger_row *rows = arena_alloc_array(arena, count, sizeof(*rows));
    for (size_t i = 0; i < count; i++)
        keys[i] = writes[i].row.key;
    if (!ledger_read(ledger, keys, count, arena, rows, err))
        return false;
    for (size_t i = 0; i < count; i++)
        writes[i].lost = !is_won(&rows[i], &writes[i].row);
    return true;
}

static bool begin_all(struct ledger_mongo *self, struct ledger_begin *begin, int64_t *changed,
                      struct err *err)
{
    CLEANUP(mongo_client_release) struct mongo_client c = mongo_client_of(self->pool);
    struct batch batch = {.ledger = self, .client = c.client};
    bool ok = true;
    batch_open(&batch);
    for (size_t i = 0; ok && i < begin->intent_count; i++) {
        struct ledger_write *write = &begin->intents[i];
        ok = batch_take(&batch, entry_of_intent(self, write, begin->valid_ms), &write->lost, err);
    }
    for (size_t i = 0; ok && i < begin->raise_count; i++) {
        struct ledger_write *write = &begin->raises[i];
        ok = batch_take(&batch, entry_of_raise(write), &write->lost, err);
    }
    ok = batch_close(&batch, ok, err);
    *changed = batch.changed;
    return ok;
}

bool ledger_mongo_begin(struct ledger *ledger, struct ledger_begin *begin, struct err *err)
{
    int64_t changed = 0;
    if (!begin_all(ledger_mongo_of(ledger), begin, &changed, err))
        return false;
    return changed == (int64_t)(begin->intent_count + begin->raise_count) ||
           (find_lost(ledger, begin->intents, begin->intent_count, has_begun, err) &&
            find_lost(ledger, begin->raises, begin->raise_count, is_at, err));
}

bool ledger_mongo_finish(struct ledger *ledger, struct ledger_write *writes, size_t count,
                         struct err *err)
{
    struct ledger_mongo *self = ledger_mongo_of(ledger);
    struct batch batch = {.ledger = self};
    {
        CLEANUP(mongo_client_release) struct mongo_client c = mongo_client_of(self->pool);
        bool ok = true;
        batch.client = c.client;
        batch_open(&batch);
        for (size_t i = 0; ok && i < count; i++)
            ok = batch_take(&batch, entry_of_finish(&writes[i]), &writes[i].lost, err);
        if (!batch_close(&batch, ok, err))
            return false;
    }
    return batch.changed == (int64_t)count || find_lost(ledger, writes, count, is_finished, err);
}

static bool mark_once(struct ledger_mongo *self, const char *const *keys, size_t count,
                      const char *reason, bool *raced, struct err *err)
{
    CLEANUP(mongo_client_release) struct mongo_client c = mongo_client_of(self->pool);
    struct batch batch = {.ledger = self, .client = c.client};
    bool ok = true;
    batch_open(&batch);
    for (size_t i = 0; ok && i < count; i++)
        ok = batch_take(&batch, entry_of_mark(keys[i], reason), raced, err);
    return batch_close(&batch, ok, err);
}

/* Two upserts of one missing row may race: the loser meets a duplicate key and asks again. */
bool ledger_mongo_mark(struct ledger *ledger, const char *const *keys, size_t count,
                       const char *reason, struct err *err)
{
    bool raced = true;
    for (int try = 0; try < MARK_TRIES && raced; try++) {
        raced = false;
        if (!mark_once(ledger_mongo_of(ledger), keys, count, reason, &raced, err))
            return false;
    }
    return !raced || err_set(err, ERR_RETRY, ERR_MONGO, MONGO_DUPLICATE_KEY,
                             "%s: marking raced with another", ledger->collection);
}
