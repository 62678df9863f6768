/* SPDX-License-Identifier: Apache-2.0 */
/* A real mongod with failpoints for one test program: the one that VECTAIL_TEST_MONGODB names, or a
 * private one made by scripts/servers and gone at the end. Without either the tests fail: a suite
 * that skipped the real server would prove nothing. */
#pragma once

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mongo.h"

/* The driver is not instrumented, so ThreadSanitizer cannot see how it synchronises. */
const char *__tsan_default_options(void); /* NOLINT: the sanitizer's own name */
__attribute__((weak)) const char *__tsan_default_options(void)
{
    return "ignore_noninstrumented_modules=1";
}

struct mongod {
    mongoc_client_pool_t *pool;
    char uri[512];
    char database[32];      /* of this run alone */
    char dir[PATH_MAX];     /* "" when the server is not ours */
    char servers[PATH_MAX]; /* scripts/servers */
};

static inline bool mongod_first_line(const char *command, char *line, size_t size)
{
    /* NOLINTNEXTLINE(cert-env33-c): the command is ours */
    FILE *pipe = popen(command, "r");
    bool got = pipe && fgets(line, (int)size, pipe);
    if (!pipe || pclose(pipe) != 0 || !got)
        return false;
    line[strcspn(line, "\r\n")] = '\0';
    return line[0] != '\0';
}

static inline bool mongod_launch(struct mongod *mongod)
{
    const char *slash = strrchr(__FILE__, '/');
    snprintf(mongod->servers, sizeof(mongod->servers), "%.*s/../../scripts/servers",
             slash ? (int)(slash - __FILE__) : 1, slash ? __FILE__ : ".");
    snprintf(mongod->dir, sizeof(mongod->dir), "mongod-XXXXXX");
    if (!mkdtemp(mongod->dir))
        return false;
    char *command = bson_strdup_printf(
        "'%s' up mongodb --test-commands --dir '%s' >&2 && '%s' address mongodb --dir '%s'",
        mongod->servers, mongod->dir, mongod->servers, mongod->dir);
    bool ok = mongod_first_line(command, mongod->uri, sizeof(mongod->uri));
    bson_free(command);
    return ok;
}

static inline bool mongod_open(struct mongod *mongod)
{
    struct err err;
    char random[13];
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): before any thread */
    const char *given = getenv("VECTAIL_TEST_MONGODB");
    *mongod = (struct mongod){0};
    mongo_global_init();
    random_hex(random, 6);
    snprintf(mongod->database, sizeof(mongod->database), "vectail_test_%s", random);
    if (given) {
        snprintf(mongod->uri, sizeof(mongod->uri), "%s", given);
    } else if (!mongod_launch(mongod)) {
        fprintf(stderr,
                "no MongoDB to test with: `%s up mongodb` failed; set "
                "VECTAIL_TEST_MONGODB to the URI of a replica set's primary that was "
                "started with enableTestCommands=1\n",
                mongod->servers);
        return false;
    }
    if (mongo_pool_open(mongod->uri, &mongod->pool, &err))
        return true;
    fprintf(stderr, "%s: %s\n", mongod->uri, err.text);
    return false;
}

static inline void mongod_close(struct mongod *mongod)
{
    if (mongod->pool) {
        CLEANUP(mongo_client_release) struct mongo_client c = mongo_client_of(mongod->pool);
        mongoc_database_t *database = mongoc_client_get_database(c.client, mongod->database);
        mongoc_database_drop(database, NULL);
        mongoc_database_destroy(database);
    }
    mongo_pool_close(mongod->pool);
    if (!mongod->dir[0])
        return;
    char *command = bson_strdup_printf("'%s' down --wipe --dir '%s' >&2 && rm -rf '%s'",
                                       mongod->servers, mongod->dir, mongod->dir);
    /* NOLINTNEXTLINE(cert-env33-c,concurrency-mt-unsafe): ours; no thread is left */
    if (system(command) != 0)
        fprintf(stderr, "%s: the server could not be stopped\n", mongod->dir);
    bson_free(command);
}

static inline bool mongod_run(struct mongod *mongod, const char *database, const bson_t *command,
                              bson_t *reply)
{
    CLEANUP(mongo_client_release) struct mongo_client c = mongo_client_of(mongod->pool);
    bson_error_t error;
    bool ok = mongoc_client_command_simple(c.client, database, command, NULL, reply, &error);
    if (!ok)
        fprintf(stderr, "%s\n", error.message);
    return ok;
}

/* The next `times` runs of `command` fail as `fault` (JSON members of failCommand's data) says. */
static inline bool mongod_fail(struct mongod *mongod, const char *command, int times,
                               const char *fault)
{
    char json[512];
    snprintf(json, sizeof(json),
             "{\"configureFailPoint\": \"failCommand\", \"mode\": {\"times\": %d},"
             " \"data\": {\"failCommands\": [\"%s\"], %s}}",
             times, command, fault);
    bson_error_t error;
    CLEANUP(bson_destroyp) bson_t *doc = bson_new_from_json((const uint8_t *)json, -1, &error);
    return doc && mongod_run(mongod, "admin", doc, NULL);
}

static inline bool mongod_heal(struct mongod *mongod)
{
    CLEANUP(bson_destroyp)
    bson_t *doc =
        BCON_NEW("configureFailPoint", BCON_UTF8("failCommand"), "mode", BCON_UTF8("off"));
    return mongod_run(mongod, "admin", doc, NULL);
}
