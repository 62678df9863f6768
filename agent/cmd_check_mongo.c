/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "agent/cmd.h"
#include "agent/cmd_check.h"
#include "base/clock.h"
#include "base/mongo.h"

struct probe {
    struct checks *checks;
    mongoc_client_t *client;
    struct docstore *docs;
    char nonce[17];
};

static const char *text_in(const bson_t *doc, const char *name)
{
    bson_iter_t iter;
    return bson_iter_init_find(&iter, doc, name) && BSON_ITER_HOLDS_UTF8(&iter)
               ? bson_iter_utf8(&iter, NULL)
               : NULL;
}

/* True when the server answers at all. */
static bool check_server(struct probe *probe)
{
    CLEANUP(bson_destroyp) bson_t *hello = BCON_NEW("hello", BCON_INT32(1));
    CLEANUP(bson_destroyp) bson_t *build = BCON_NEW("buildInfo", BCON_INT32(1));
    bson_t said, built; /* the driver fills both, whatever happens */
    bson_error_t error;
    if (!mongoc_client_command_simple(probe->client, "admin", hello, NULL, &said, &error)) {
        bson_destroy(&said);
        check_note(probe->checks, false, "mongodb", "%s", error.message);
        return false;
    }
    (void)mongoc_client_command_simple(probe->client, "admin", build, NULL, &built, NULL);
    const char *set = text_in(&said, "setName"), *message = text_in(&said, "msg");
    const char *version = text_in(&built, "version");
    bool sharded = message && strcmp(message, "isdbgrid") == 0;
    if (!set && !sharded)
        check_note(probe->checks, false, "mongodb",
                   "MongoDB %s is a standalone server, which has no change streams: make it a "
                   "replica set (one member will do: mongod --replSet rs0, then rs.initiate())",
                   version ? version : "?");
    else
        check_note(probe->checks, true, "mongodb", "MongoDB %s, %s%s", version ? version : "?",
                   sharded ? "a sharded cluster" : "replica set ", sharded ? "" : set);
    bson_destroy(&said);
    bson_destroy(&built);
    return true;
}

static void check_find(struct probe *probe, const struct config_family *family)
{
    char what[512];
    bson_error_t error;
    const bson_t *doc;
    CLEANUP(bson_destroyp) bson_t *all = bson_new();
    CLEANUP(bson_destroyp) bson_t *options = BCON_NEW("limit", BCON_INT64(1));
    CLEANUP(mongoc_collection_destroyp)
    mongoc_collection_t *collection = mongoc_client_get_collection(
        probe->client, family->source.database, family->source.collection);
    CLEANUP(mongoc_cursor_destroyp)
    mongoc_cursor_t *cursor = mongoc_collection_find_with_opts(collection, all, options, NULL);
    snprintf(what, sizeof what, "find in %s.%s", family->source.database,
             family->source.collection);
    bool found = mongoc_cursor_next(cursor, &doc);
    if (mongoc_cursor_error(cursor, &error))
        check_note(probe->checks, false, what, "%s", error.message);
    else
        check_note(probe->checks, true, what, "%s",
                   found ? "allowed" : "allowed; the collection is empty or not there yet");
}

static void check_stream(struct probe *probe, const char *name)
{
    char what[512];
    bson_error_t error;
    const bson_t *doc;
    CLEANUP(bson_destroyp) bson_t *all = bson_new();
    CLEANUP(bson_destroyp) bson_t *options = BCON_NEW("maxAwaitTimeMS", BCON_INT64(1));
    mongoc_database_t *database = mongoc_client_get_database(probe->client, name);
    mongoc_change_stream_t *stream = mongoc_database_watch(database, all, options);
    snprintf(what, sizeof what, "change stream on %s", name);
    (void)mongoc_change_stream_next(stream, &doc);
    if (mongoc_change_stream_error_document(stream, &error, &doc))
        check_note(probe->checks, false, what, "%s", error.message);
    else
        check_note(probe->checks, true, what, "allowed");
    mongoc_change_stream_destroy(stream);
    mongoc_database_destroy(database);
}

/* Writes a document of its own and removes it again. */
static void check_state(struct probe *probe, const struct config *config)
{
    struct err err;
    char what[512], id[64];
    CLEANUP(bson_destroyp) bson_t *set = BCON_NEW("at", BCON_DATE_TIME(clock_wall_ms()));
    snprintf(what, sizeof what, "read and write in %s", config->mongodb.state_database);
    snprintf(id, sizeof id, "check/%s", probe->nonce);
    struct doc_ref ref = {.collection = "checks", .id = id, .counter = "rev"};
    bson_t *doc = NULL;
    bool ok = docstore_note(probe->docs, &ref, set, NULL, &err) &&
              docstore_load(probe->docs, &ref, &doc, NULL, &err) &&
              docstore_remove(probe->docs, &ref, &err);
    bson_destroy(doc);
    check_note(probe->checks, ok, what, "%s", ok ? "allowed" : err.text);
}

/* An update that matches nothing needs the privilege and changes nothing. */
static void check_alias(struct probe *probe, const struct config_family *family)
{
    char what[512];
    bson_error_t error;
    CLEANUP(bson_destroyp) bson_t *none = BCON_NEW("_id", BCON_UTF8(probe->nonce));
    CLEANUP(bson_destroyp) bson_t *update = BCON_NEW("$set", "{", "epoch", BCON_INT64(0), "}");
    CLEANUP(mongoc_collection_destroyp)
    mongoc_collection_t *collection = mongoc_client_get_collection(
        probe->client, family->alias.database, family->alias.collection);
    snprintf(what, sizeof what, "write in %s.%s", family->alias.database, family->alias.collection);
    bool ok = mongoc_collection_update_one(collection, none, update, NULL, NULL, &error);
    check_note(probe->checks, ok, what, "%s", ok ? "allowed" : error.message);
}

static bool is_new_source(const struct config *config, size_t index)
{
    for (size_t i = 0; i < index; i++) {
        if (strcmp(config->families[i].source.database, config->families[index].source.database) ==
            0)
            return false;
    }
    return true;
}

static bool is_new_alias(const struct config *config, size_t index)
{
    const struct config_family *family = &config->families[index];
    for (size_t i = 0; i < index; i++) {
        if (strcmp(config->families[i].alias.database, family->alias.database) == 0 &&
            strcmp(config->families[i].alias.collection, family->alias.collection) == 0)
            return false;
    }
    return true;
}

static void check_families(struct probe *probe, const struct config *config)
{
    for (size_t i = 0; i < config->family_count; i++) {
        check_find(probe, &config->families[i]);
        if (is_new_source(config, i))
            check_stream(probe, config->families[i].source.database);
        if (is_new_alias(config, i))
            check_alias(probe, &config->families[i]);
    }
}

void check_mongo(struct checks *checks, const struct config *config)
{
    struct err err;
    struct cmd_state state;
    if (!cmd_open_state(config, &state, &err)) {
        check_note(checks, false, "mongodb", "%s", err.text);
        return;
    }
    struct mongo_client client = mongo_client_of(state.pool);
    struct probe probe = {.checks = checks, .client = client.client, .docs = state.docs};
    random_hex(probe.nonce, 8);
    if (check_server(&probe)) {
        check_state(&probe, config);
        check_families(&probe, config);
    }
    mongo_client_release(&client);
    cmd_close_state(&state);
}
