/* SPDX-License-Identifier: Apache-2.0 */
#include "state/embeddings.h"

#include <string.h>

#include "base/limits.h"
#include "base/mongo.h"
#include "state/doc.h"
#include "state/majority.h"

/* In the first stage of the definition: whose it is. */
#define MARK "vectail embeddings"
#define OURS MARK " 1"
/* Has no documents and is never made: what the unions begin with. */
#define NOTHING "embeddings.none"

#define MONGO_UNAUTHORIZED 13
#define MONGO_NAMESPACE_EXISTS 48

/* What a ledger's row says of each of its chunks; `document` and `source_id` are plain renames, so that
 * a filter on them goes by the ledger's indexes. A row without chunks that is worth a word has one
 * document without a chunk. A $match behind the $unwind would do as well, but explain with
 * executionStats makes MongoDB 6.0.5 crash over it. */
static const char row_stages[] =
    "[{\"$match\": {\"$or\": [{\"state\": \"done\", \"chunks.0\": {\"$exists\": true}},"
    "                         {\"state\": \"quarantined\"}, {\"intent\": {\"$exists\": true}},"
    "                         {\"repair\": {\"$exists\": true}}]}},"
    " {\"$project\": {\"_id\": 0, \"document\": \"$_id\", \"source_id\": \"$sid\","
    "  \"status\": {\"$switch\": {\"branches\": ["
    "   {\"case\": {\"$gt\": [\"$intent\", null]}, \"then\": \"pending\"},"
    "   {\"case\": {\"$eq\": [\"$state\", \"quarantined\"]}, \"then\": \"error\"},"
    "   {\"case\": {\"$gt\": [\"$repair\", null]}, \"then\": \"pending\"}], \"default\": "
    "\"done\"}},"
    "  \"reason\": {\"$switch\": {\"branches\": ["
    "   {\"case\": {\"$gt\": [\"$intent\", null]}, \"then\": \"being written\"},"
    "   {\"case\": {\"$eq\": [\"$state\", \"quarantined\"]}, \"then\": \"$reason\"},"
    "   {\"case\": {\"$gt\": [\"$repair\", null]}, \"then\": \"$repair.reason\"}],"
    "   \"default\": null}},"
    "  \"skipped\": {\"$eq\": [\"$skipped\", true]},"
    "  \"updated_at\": {\"$max\": [\"$at\", \"$intent.at\", \"$repair.at\"]},"
    "  \"content_fp\": {\"$let\": {"
    "   \"vars\": {\"own\": {\"$ifNull\": [\"$chunks\", []]},"
    "              \"next\": {\"$ifNull\": [\"$intent.chunks\", []]}},"
    "   \"in\": {\"$switch\": {\"branches\": ["
    "    {\"case\": {\"$ne\": [\"$$next\", []]}, \"then\": \"$$next\"},"
    "    {\"case\": {\"$ne\": [\"$$own\", []]}, \"then\": \"$$own\"}], \"default\": [null]}}}}}},"
    " {\"$unwind\": {\"path\": \"$content_fp\", \"includeArrayIndex\": \"chunk\"}}]";

struct part {
    bson_t *stages; /* of the whole view */
    uint32_t count;
    const char *name; /* of the deployment */
    const char *family;
};

static void put_literal(bson_t *set, const char *name, const char *text)
{
    bson_t literal;
    bson_append_document_begin(set, name, -1, &literal);
    doc_put_text(&literal, "$literal", text);
    bson_append_document_end(set, &literal);
}

/* Record ids of the scheme `content` end with what a pipeline cannot make: eight hex digits of bytes. */
static bool goes_by_content(struct doc_reader *version)
{
    struct doc_reader embed;
    const char *scheme = doc_child(version, "embed", &embed) ? doc_peek(&embed, "id_scheme") : NULL;
    return scheme && strcmp(scheme, "content") == 0;
}

/* {$set: {...}}: what is the same for all rows of one ledger, and what is made of the rest. */
static void put_constants(bson_t *stage, const struct part *part, struct doc_reader *version)
{
    bson_t set, id, build;
    bson_append_document_begin(stage, "$set", -1, &set);
    bson_append_document_begin(&set, "_id", -1, &id);
    bson_append_document_begin(&id, "build", -1, &build);
    doc_put_text(&build, "$literal", doc_peek(version, "build_id"));
    bson_append_document_end(&id, &build);
    doc_put_text(&id, "document", "$document");
    doc_put_text(&id, "chunk", "$chunk");
    bson_append_document_end(&set, &id);
    put_literal(&set, "deployment", part->name);
    put_literal(&set, "family", part->family);
    put_literal(&set, "version", doc_peek(version, "label"));
    put_literal(&set, "collection", doc_peek(version, "collection"));
    put_literal(&set, "embedder", doc_peek(version, "embedder"));
    put_literal(&set, "config_fp", doc_peek(version, "config_fp"));
    bson_t *chunk = BCON_NEW("chunk", "{", "$cond", "[", "{", "$eq", "[", BCON_UTF8("$content_fp"),
                             BCON_NULL, "]", "}", BCON_NULL, BCON_UTF8("$chunk"), "]", "}");
    bson_t *record =
        BCON_NEW("id", "{", "$cond", "[", "{", "$eq", "[", BCON_UTF8("$content_fp"), BCON_NULL, "]",
                 "}", BCON_NULL, "{", "$concat", "[", BCON_UTF8("$source_id"), BCON_UTF8(":"), "{",
                 "$toString", BCON_UTF8("$chunk"), "}", "]", "}", "]", "}");
    bson_concat(&set, chunk);
    if (goes_by_content(version))
        doc_put_text(&set, "id", NULL);
    else
        bson_concat(&set, record);
    bson_append_document_end(stage, &set);
    bson_destroy(chunk);
    bson_destroy(record);
}

static void copy_stages(const bson_t *from, bson_t *to)
{
    bson_iter_t iter;
    for (bool more = bson_iter_init(&iter, from); more && bson_iter_next(&iter);)
        bson_append_value(to, bson_iter_key(&iter), -1, bson_iter_value(&iter));
}

/* {$unionWith: {coll: <the ledger>, pipeline: [...]}} */
static void put_version(struct part *part, struct doc_reader *version)
{
    const char *build_id = doc_peek(version, "build_id");
    bson_t stage, with, pipeline, set;
    bson_error_t error;
    char text[16];
    const char *key;
    if (!build_id)
        return;
    bson_t *rows = bson_new_from_json((const uint8_t *)row_stages, -1, &error);
    char *ledger = bson_strdup_printf("%s.ledger.%s", part->name, build_id);
    bson_uint32_to_string(part->count++, &key, text, sizeof text);
    bson_append_document_begin(part->stages, key, -1, &stage);
    bson_append_document_begin(&stage, "$unionWith", -1, &with);
    doc_put_text(&with, "coll", ledger);
    bson_append_array_begin(&with, "pipeline", -1, &pipeline);
    copy_stages(rows, &pipeline);
    bson_uint32_to_string(bson_count_keys(rows), &key, text, sizeof text);
    bson_append_document_begin(&pipeline, key, -1, &set);
    put_constants(&set, part, version);
    bson_append_document_end(&pipeline, &set);
    bson_append_array_end(&with, &pipeline);
    bson_append_document_end(&stage, &with);
    bson_append_document_end(part->stages, &stage);
    bson_free(ledger);
    bson_destroy(rows);
}

/* A lane keeps it in step: of what is retired the ledger only says how it was. */
static bool is_live(struct doc_reader *version)
{
    static const char *const live[] = {"backfilling", "catching_up", "verifying",
                                       "ready",       "active",      "previous"};
    const char *state = doc_peek(version, "state");
    for (size_t i = 0; state && !doc_bool(version, "external") && i < ARRAY_LEN(live); i++) {
        if (strcmp(state, live[i]) == 0)
            return true;
    }
    return false;
}

static void put_family(struct part *part, const bson_t *registry)
{
    struct doc_reader reader = doc_reader_of(registry, "families");
    bson_iter_t versions;
    size_t count = 0;
    part->name = doc_peek(&reader, "name");
    part->family = doc_peek(&reader, "family");
    if (!part->name || !part->family || !doc_elements(&reader, "versions", &versions, &count))
        return;
    while (bson_iter_next(&versions)) {
        struct doc_reader version = doc_reader_at(&versions, "version");
        if (is_live(&version))
            put_version(part, &version);
    }
}

static bool failed(struct err *err, const bson_error_t *error, const char *what)
{
    (void)mongo_err(err, error, what);
    return err_prefix(err, "the view " EMBEDDINGS_VIEW);
}

/* *out: the stages, as an array. */
static bool define(mongoc_client_t *client, const char *database, bson_t *out, struct err *err)
{
    CLEANUP(mongoc_collection_destroyp)
    mongoc_collection_t *families = mongoc_client_get_collection(client, database, "families");
    CLEANUP(bson_destroyp)
    bson_t *pipeline =
        BCON_NEW("pipeline", "[", "{", "$sort", "{", "_id", BCON_INT32(1), "}", "}", "]");
    CLEANUP(mongoc_cursor_destroyp)
    mongoc_cursor_t *cursor = majority_aggregate(families, pipeline);
    struct part part = {.stages = out, .count = 1};
    const bson_t *registry;
    bson_error_t error;
    BCON_APPEND(out, "0", "{", "$match", "{", "$comment", BCON_UTF8(OURS), "}", "}");
    while (mongoc_cursor_next(cursor, &registry))
        put_family(&part, registry);
    return !mongoc_cursor_error(cursor, &error) || failed(err, &error, "reading registries");
}

enum presence { ABSENT, OURS_AS_WANTED, OURS_BUT_OTHER, SOMETHING_ELSE, UNKNOWN };

static enum presence presence_of(const bson_t *info, const bson_t *wanted)
{
    struct doc_reader reader = doc_reader_of(info, EMBEDDINGS_VIEW), options;
    const char *type = doc_peek(&reader, "type");
    bson_iter_t iter, mark;
    if (!type || strcmp(type, "view") != 0 || !doc_child(&reader, "options", &options))
        return SOMETHING_ELSE;
    CLEANUP(bson_destroyp) bson_t *pipeline = doc_copy(&options, "pipeline");
    if (!pipeline || !bson_iter_init(&iter, pipeline) ||
        !bson_iter_find_descendant(&iter, "0.$match.$comment", &mark) ||
        !BSON_ITER_HOLDS_UTF8(&mark) ||
        strncmp(bson_iter_utf8(&mark, NULL), MARK, sizeof MARK - 1) != 0)
        return SOMETHING_ELSE;
    return bson_equal(pipeline, wanted) ? OURS_AS_WANTED : OURS_BUT_OTHER;
}

/* UNKNOWN where the user may not list collections. */
static bool look(mongoc_database_t *database, const bson_t *wanted, enum presence *out,
                 struct err *err)
{
    CLEANUP(bson_destroyp)
    bson_t *opts = BCON_NEW("filter", "{", "name", BCON_UTF8(EMBEDDINGS_VIEW), "}");
    CLEANUP(mongoc_cursor_destroyp)
    mongoc_cursor_t *cursor = mongoc_database_find_collections_with_opts(database, opts);
    const bson_t *info;
    bson_error_t error;
    *out = ABSENT;
    if (mongoc_cursor_next(cursor, &info))
        *out = presence_of(info, wanted);
    if (!mongoc_cursor_error(cursor, &error))
        return true;
    *out = UNKNOWN;
    return error.code == MONGO_UNAUTHORIZED || failed(err, &error, "listing collections");
}

/* `create` or `collMod`. */
static bool write_view(mongoc_database_t *database, const char *command, const bson_t *pipeline,
                       bson_error_t *error)
{
    CLEANUP(bson_destroyp) bson_t *opts = bson_new();
    CLEANUP(bson_destroyp)
    bson_t *wanted = BCON_NEW(command, BCON_UTF8(EMBEDDINGS_VIEW), "viewOn", BCON_UTF8(NOTHING),
                              "pipeline", BCON_ARRAY(pipeline));
    majority_put_write(opts);
    return mongoc_database_write_command_with_opts(database, wanted, opts, NULL, error);
}

/* In one step where the user may; else it is away for a moment. Known to be our view: nothing is lost. */
static bool replace_view(mongoc_database_t *database, const bson_t *pipeline, bson_error_t *error)
{
    CLEANUP(bson_destroyp) bson_t *drop = BCON_NEW("drop", BCON_UTF8(EMBEDDINGS_VIEW));
    if (write_view(database, "collMod", pipeline, error))
        return true;
    return error->code == MONGO_UNAUTHORIZED &&
           mongoc_database_write_command_with_opts(database, drop, NULL, NULL, error) &&
           write_view(database, "create", pipeline, error);
}

/* Never over what is there: whose that is must be known first. */
static bool make_view(mongoc_database_t *database, const bson_t *pipeline, enum presence present,
                      struct err *err)
{
    bson_error_t error;
    if (write_view(database, "create", pipeline, &error))
        return true;
    if (error.code != MONGO_NAMESPACE_EXISTS)
        return failed(err, &error, "making it");
    if (present == ABSENT) /* another process was faster */
        return err_set(err, ERR_RETRY, ERR_STATE, 0,
                       "the view " EMBEDDINGS_VIEW " was made by another process meanwhile");
    return err_set(
        err, ERR_REJECT, ERR_STATE, 0,
        "there is a collection or view %s." EMBEDDINGS_VIEW
        ", and without the privilege listCollections vectail cannot tell whose it is: it "
        "is left as it is",
        mongoc_database_get_name(database));
}

bool embeddings_keep(mongoc_client_pool_t *pool, const char *database,
                     enum embeddings_outcome *outcome, struct err *err)
{
    CLEANUP(mongo_client_release) struct mongo_client c = mongo_client_of(pool);
    bson_t wanted = BSON_INITIALIZER;
    bson_error_t error;
    enum presence present = UNKNOWN;
    mongoc_database_t *place = mongoc_client_get_database(c.client, database);
    bool ok = define(c.client, database, &wanted, err) && look(place, &wanted, &present, err);
    *outcome = EMBEDDINGS_SAME;
    if (ok && present == SOMETHING_ELSE)
        ok = err_set(err, ERR_REJECT, ERR_STATE, 0,
                     "%s." EMBEDDINGS_VIEW " is not vectail's view: it is left alone, and there is "
                     "none",
                     database);
    else if (ok && present == OURS_BUT_OTHER) {
        ok = replace_view(place, &wanted, &error) || failed(err, &error, "making it");
        *outcome = EMBEDDINGS_REPLACED;
    } else if (ok && present != OURS_AS_WANTED) {
        ok = make_view(place, &wanted, present, err);
        *outcome = EMBEDDINGS_MADE;
    }
    mongoc_database_destroy(place);
    bson_destroy(&wanted);
    return ok;
}
