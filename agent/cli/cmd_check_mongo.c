/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "agent/cli/cmd.h"
#include "agent/cli/cmd_check.h"
#include "agent/cli/privileges.h"
#include "base/clock.h"
#include "base/mongo.h"
#include "cdc/topology.h"
#include "state/identity.h"

#define OPLOG "oplog.rs"

struct probe {
    struct checks *checks;
    mongoc_client_t *client;
    struct docstore *docs;
    struct privileges *privileges;
    char nonce[17];
};

/* Actions that are needed on one resource; collection "": the whole database. */
struct need {
    const char *what; /* of the outcome */
    const char *database;
    const char *collection;
    const char *const *actions; /* ends with NULL */
};

static const char *const STREAM_ACTIONS[] = {"find", "changeStream", NULL};
static const char *const STATE_ACTIONS[] = {
    "find",        "insert",         "update", "remove", "createCollection",
    "createIndex", "dropCollection", NULL};
static const char *const ALIAS_ACTIONS[] = {"find", "insert", "update", NULL};

/* Notes each of the privileges that the user lacks, one by one. True when there is none. */
static bool check_privileges(struct probe *probe, const struct need *need)
{
    bool all = true;
    for (const char *const *action = need->actions; *action; action++) {
        if (privileges_allow(probe->privileges, need->database, need->collection, *action))
            continue;
        all = false;
        check_note(probe->checks, false, need->what, "user %s lacks %s on %s%s%s%s",
                   privileges_user(probe->privileges), *action,
                   need->collection[0] ? "" : "database ", need->database,
                   need->collection[0] ? "." : "", need->collection);
    }
    return all;
}

static void note_try(struct probe *probe, const char *what, const char *done, const struct err *err)
{
    check_note(probe->checks, err == NULL, what, "%s", err ? err->text : done);
}

/* True when the server answers, has change streams and has taken us in. */
static bool check_server(struct probe *probe)
{
    struct err err;
    struct topology topology;
    CLEANUP(bson_destroyp) bson_t *build = BCON_NEW("buildInfo", BCON_INT32(1));
    bson_t built; /* the driver fills it, whatever happens */
    bson_iter_t version;
    char kind[256];
    bool ok = topology_load(probe->client, &topology, &err) && topology_check(&topology, &err) &&
              privileges_load(probe->client, &probe->privileges, &err);
    if (!ok) {
        note_try(probe, "mongodb", NULL, &err);
        return false;
    }
    (void)mongoc_client_command_simple(probe->client, "admin", build, NULL, &built, NULL);
    const char *number =
        bson_iter_init_find(&version, &built, "version") && BSON_ITER_HOLDS_UTF8(&version)
            ? bson_iter_utf8(&version, NULL)
            : "?";
    const char *user = privileges_user(probe->privileges);
    topology_write(&topology, kind, sizeof kind);
    check_note(probe->checks, true, "mongodb", "MongoDB %s, %s%s%s", number, kind,
               user ? ", as user " : ", without a user", user ? user : "");
    bson_destroy(&built);
    return true;
}

static bool try_find(struct probe *probe, const char *database, const char *name, bool *found,
                     struct err *err)
{
    bson_error_t error;
    const bson_t *doc;
    CLEANUP(bson_destroyp) bson_t *all = bson_new();
    CLEANUP(bson_destroyp)
    bson_t *options =
        BCON_NEW("limit", BCON_INT64(1), "projection", "{", "_id", BCON_INT32(1), "}");
    CLEANUP(mongoc_collection_destroyp)
    mongoc_collection_t *collection = mongoc_client_get_collection(probe->client, database, name);
    CLEANUP(mongoc_cursor_destroyp)
    mongoc_cursor_t *cursor = mongoc_collection_find_with_opts(collection, all, options, NULL);
    *found = mongoc_cursor_next(cursor, &doc);
    return !mongoc_cursor_error(cursor, &error) || mongo_err(err, &error, "find");
}

static void check_find(struct probe *probe, const struct config_family *family)
{
    char what[512];
    struct err err;
    bool found;
    snprintf(what, sizeof what, "find in %s.%s", family->source.database,
             family->source.collection);
    if (!try_find(probe, family->source.database, family->source.collection, &found, &err))
        note_try(probe, what, NULL, &err);
    else
        note_try(probe, what, found ? "allowed" : "allowed; the collection is empty or not there",
                 NULL);
}

static void check_stream(struct probe *probe, const char *name)
{
    char what[512];
    struct err err;
    bson_error_t error;
    const bson_t *doc;
    snprintf(what, sizeof what, "change stream on %s", name);
    struct need need = {
        .what = what, .database = name, .collection = "", .actions = STREAM_ACTIONS};
    if (!check_privileges(probe, &need))
        return;
    CLEANUP(bson_destroyp) bson_t *all = bson_new();
    CLEANUP(bson_destroyp) bson_t *options = BCON_NEW("maxAwaitTimeMS", BCON_INT64(1));
    mongoc_database_t *database = mongoc_client_get_database(probe->client, name);
    mongoc_change_stream_t *stream = mongoc_database_watch(database, all, options);
    (void)mongoc_change_stream_next(stream, &doc);
    bool failed = mongoc_change_stream_error_document(stream, &error, &doc);
    if (failed)
        (void)mongo_err(&err, &error, "change stream");
    note_try(probe, what, "allowed", failed ? &err : NULL);
    mongoc_change_stream_destroy(stream);
    mongoc_database_destroy(database);
}

static bool try_index(struct probe *probe, const char *database, struct err *err)
{
    bson_error_t error;
    CLEANUP(bson_destroyp)
    bson_t *command = BCON_NEW("createIndexes", "checks", "indexes", "[", "{", "key", "{", "at",
                               BCON_INT32(1), "}", "name", "at", "}", "]");
    return mongoc_client_write_command_with_opts(probe->client, database, command, NULL, NULL,
                                                 &error) ||
           mongo_err(err, &error, "creating an index");
}

/* Writes a document of its own and removes it again. */
static bool try_state(struct probe *probe, const char *database, struct err *err)
{
    char id[64];
    CLEANUP(bson_destroyp) bson_t *set = BCON_NEW("at", BCON_DATE_TIME(clock_wall_ms()));
    snprintf(id, sizeof id, "check/%s", probe->nonce);
    struct doc_ref ref = {.collection = "checks", .id = id, .counter = "rev"};
    bson_t *doc = NULL;
    bool ok = docstore_note(probe->docs, &ref, set, NULL, err) &&
              docstore_load(probe->docs, &ref, &doc, NULL, err) &&
              try_index(probe, database, err) && docstore_remove(probe->docs, &ref, err);
    bson_destroy(doc);
    return ok;
}

static void check_state(struct probe *probe, const struct config *config)
{
    const char *database = config->mongodb.state_database;
    char what[512];
    struct err err;
    snprintf(what, sizeof what, "read and write in %s", database);
    struct need need = {
        .what = what, .database = database, .collection = "", .actions = STATE_ACTIONS};
    if (!check_privileges(probe, &need))
        return;
    bool ok = identity_check(probe->docs, config->name, &err) && try_state(probe, database, &err);
    note_try(probe, what, "allowed", ok ? NULL : &err);
}

/* An update that matches nothing needs the privilege and changes nothing. That it may insert as
 * well is left to the list of privileges: trying would leave a document to those who read it. */
static bool try_alias(struct probe *probe, const struct config_family *family, struct err *err)
{
    bson_error_t error;
    bool found;
    CLEANUP(bson_destroyp) bson_t *none = BCON_NEW("_id", BCON_UTF8(probe->nonce));
    CLEANUP(bson_destroyp) bson_t *update = BCON_NEW("$set", "{", "epoch", BCON_INT64(0), "}");
    CLEANUP(mongoc_collection_destroyp)
    mongoc_collection_t *collection = mongoc_client_get_collection(
        probe->client, family->alias.database, family->alias.collection);
    return try_find(probe, family->alias.database, family->alias.collection, &found, err) &&
           (mongoc_collection_update_one(collection, none, update, NULL, NULL, &error) ||
            mongo_err(err, &error, "update"));
}

static void check_alias(struct probe *probe, const struct config_family *family)
{
    char what[512];
    struct err err;
    snprintf(what, sizeof what, "write in %s.%s", family->alias.database, family->alias.collection);
    struct need need = {.what = what,
                        .database = family->alias.database,
                        .collection = family->alias.collection,
                        .actions = ALIAS_ACTIONS};
    if (!check_privileges(probe, &need))
        return;
    note_try(probe, what, "allowed", try_alias(probe, family, &err) ? NULL : &err);
}

/* Nobody needs it: without it a figure is missing. */
static void check_oplog(struct probe *probe)
{
    struct err err = {.text = "there is none here"};
    bool found = false;
    if (try_find(probe, "local", OPLOG, &found, &err) && found)
        check_note(probe->checks, true, "find in local." OPLOG, "allowed");
    else
        check_remark(probe->checks, "find in local." OPLOG,
                     "not needed; without it nobody can say how long the history of changes "
                     "reaches back, nor warn before it is lost (%s)",
                     err.text);
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
        if (is_new_source(config, i))
            check_stream(probe, config->families[i].source.database);
        check_find(probe, &config->families[i]);
        check_sample(probe->checks, config, &config->families[i], probe->client);
        if (is_new_alias(config, i))
            check_alias(probe, &config->families[i]);
    }
}

void check_mongo(struct checks *checks, const struct config *config)
{
    struct err err;
    struct cmd_state state;
    if (!cmd_open_state_within(config, CMD_ANSWER_MS, &state, &err)) {
        check_note(checks, false, "mongodb", "%s", err.text);
        return;
    }
    struct mongo_client client = mongo_client_of(state.pool);
    struct probe probe = {.checks = checks, .client = client.client, .docs = state.docs};
    random_hex(probe.nonce, 8);
    if (check_server(&probe)) {
        check_state(&probe, config);
        check_families(&probe, config);
        check_oplog(&probe);
    }
    privileges_free(probe.privileges);
    mongo_client_release(&client);
    cmd_close_state(&state);
}
