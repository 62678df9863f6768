/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "agent/cli/cmd_check.h"
#include "agent/family.h"
#include "base/arena.h"
#include "base/limits.h"
#include "base/mongo.h"
#include "cdc/document.h"

#define SAMPLE_SIZE 100
#define SAMPLE_TIME_MS ((int64_t)10000)

struct sample {
    const struct config_family *config;
    const struct shape *shape;
    size_t documents;
    size_t foreign;  /* of them */
    char first[512]; /* what is wrong with the first */
};

static void look_at(struct sample *sample, const bson_t *doc)
{
    const struct config_family *config = sample->config;
    const char *problem = NULL;
    if (!shape_matches(sample->shape, doc))
        return;
    sample->documents++;
    const char *field = document_foreign_field(doc, (const char *const *)config->text.items,
                                               config->text.count, &problem);
    if (!field || sample->foreign++ > 0)
        return;
    struct err err;
    const char *id = "?";
    CLEANUP(arena_freep) struct arena *arena = arena_new(MIB);
    if (!shape_source_id(sample->shape, doc, arena, &id, &err))
        id = "?";
    snprintf(sample->first, sizeof sample->first, "the text field '%s' of document %.200s holds %s",
             field, id, problem);
}

/* By chance: the oldest documents need not be like the others, nor the newest. */
static bool read_sample(struct sample *sample, mongoc_client_t *client, struct err *err)
{
    bson_error_t error;
    const bson_t *doc;
    CLEANUP(bson_destroyp)
    bson_t *pipeline =
        BCON_NEW("pipeline", "[", "{", "$sample", "{", "size", BCON_INT32(SAMPLE_SIZE), "}", "}",
                 "{", "$project", BCON_DOCUMENT(shape_projection(sample->shape)), "}", "]");
    CLEANUP(bson_destroyp) bson_t *options = BCON_NEW("maxTimeMS", BCON_INT64(SAMPLE_TIME_MS));
    CLEANUP(mongoc_collection_destroyp)
    mongoc_collection_t *collection = mongoc_client_get_collection(
        client, sample->config->source.database, sample->config->source.collection);
    CLEANUP(mongoc_cursor_destroyp)
    mongoc_cursor_t *cursor =
        mongoc_collection_aggregate(collection, MONGOC_QUERY_NONE, pipeline, options, NULL);
    while (mongoc_cursor_next(cursor, &doc))
        look_at(sample, doc);
    return !mongoc_cursor_error(cursor, &error) || mongo_err(err, &error, "$sample");
}

void check_sample(struct checks *checks, const struct config *config,
                  const struct config_family *family, mongoc_client_t *client)
{
    struct err err;
    char what[512];
    CLEANUP(family_freep) struct family *made = NULL;
    struct sample sample = {.config = family};
    snprintf(what, sizeof what, "text of family %s", family->name);
    if (!family_new(config, family, NULL, &made, &err)) {
        check_note(checks, false, what, "%s", err.text);
        return;
    }
    sample.shape = made->shape;
    if (!read_sample(&sample, client, &err))
        check_note(checks, false, what, "%s", err.text);
    else if (sample.foreign > 0)
        check_note(checks, false, what,
                   "family %s: %s (as %zu of %zu documents looked at do): no vector can stand for "
                   "it; name other fields in `text`, or leave such documents out by the filter",
                   family->name, sample.first, sample.foreign, sample.documents);
    else
        check_note(checks, true, what, "%zu documents looked at hold text", sample.documents);
}
