/* SPDX-License-Identifier: Apache-2.0 */
#include "cdc/source_line.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/background.h"
#include "base/clock.h"
#include "base/mongo.h"

#define STEP_MS 100
/* Ending a cursor is a courtesy: the server's own time-out does it, too. */
#define KILL_MS 2000

struct source_line {
    struct mongo_client client;
    mongoc_client_session_t *session;
    uint32_t server_id;
    char *database;
    struct background *background;
    bool calling;
    /* of the call: the thread's own until it is waited for */
    bson_t command;
    bson_t reply;
    bson_error_t error;
    bool ok;
};

static void line_free(void *context)
{
    struct source_line *line = context;
    if (line->calling) {
        bson_destroy(&line->command);
        bson_destroy(&line->reply);
    }
    if (line->session)
        mongoc_client_session_destroy(line->session);
    mongo_client_release(&line->client);
    free(line->database);
    free(line);
}

bool line_open(mongoc_client_pool_t *pool, const char *database, struct source_line **out,
               struct err *err)
{
    struct source_line *line = calloc(1, sizeof *line);
    bson_error_t error;
    line->client = mongo_client_of(pool);
    line->database = strdup(database);
    line->session = mongoc_client_start_session(line->client.client, NULL, &error);
    mongoc_server_description_t *server =
        line->session ? mongoc_client_select_server(line->client.client, false, NULL, &error)
                      : NULL;
    if (!server) {
        line_free(line);
        return mongo_err(err, &error, "change stream");
    }
    line->server_id = mongoc_server_description_id(server);
    mongoc_server_description_destroy(server);
    line->background = background_new();
    *out = line;
    return true;
}

static void call(void *context)
{
    struct source_line *line = context;
    bson_t opts = BSON_INITIALIZER;
    line->ok = mongoc_client_session_append(line->session, &opts, &line->error);
    bson_append_int32(&opts, "serverId", -1, (int32_t)line->server_id);
    if (line->ok)
        line->ok =
            mongoc_client_command_with_opts(line->client.client, line->database, &line->command,
                                            NULL, &opts, &line->reply, &line->error);
    else
        bson_init(&line->reply);
    bson_destroy(&opts);
}

void line_begin(struct source_line *line, bson_t *command)
{
    assert(!line->calling);
    bson_steal(&line->command, command);
    line->calling = true;
    background_begin(line->background, call, line);
}

bool line_is_calling(const struct source_line *line)
{
    return line->calling;
}

/* True when the call has ended. */
static bool await(struct source_line *line, const struct line_wait *wait, struct err *err)
{
    int64_t begun_ms = clock_mono_ms();
    while (!background_wait_ms(line->background, STEP_MS)) {
        int64_t waited_ms = clock_mono_ms() - begun_ms;
        if (waited_ms >= wait->ms)
            return err_set(err, ERR_RETRY, ERR_STATE, 0,
                           "change stream: the server has not answered for %" PRId64 " s",
                           waited_ms / 1000);
        if (wait->cancelled && waited_ms >= wait->quiet_ms && wait->cancelled(wait->context))
            return err_set(err, ERR_CANCEL, ERR_STATE, 0, "change stream: stopping");
    }
    return true;
}

bool line_end(struct source_line *line, const struct line_wait *wait, bson_t *reply,
              struct err *err)
{
    assert(line->calling);
    if (!await(line, wait, err)) {
        bson_init(reply);
        return false;
    }
    line->calling = false;
    bson_destroy(&line->command);
    bson_steal(reply, &line->reply);
    /* on this thread: it is the one that gives the client back */
    return line->ok || mongo_err(err, &line->error, "change stream");
}

static void kill_cursor(struct source_line *line, int64_t cursor_id)
{
    bson_t command = BSON_INITIALIZER, cursors, reply;
    struct err ignored;
    bson_append_utf8(&command, "killCursors", -1, "$cmd.aggregate", -1);
    bson_append_array_begin(&command, "cursors", -1, &cursors);
    bson_append_int64(&cursors, "0", 1, cursor_id);
    bson_append_array_end(&command, &cursors);
    line_begin(line, &command);
    (void)!line_end(line, &(struct line_wait){.ms = KILL_MS}, &reply, &ignored);
    bson_destroy(&reply);
}

void line_close(struct source_line *line, int64_t cursor_id)
{
    if (!line)
        return;
    if (cursor_id != 0 && !line->calling)
        kill_cursor(line, cursor_id);
    if (line->calling) {
        background_abandon(line->background, line_free, line);
        return;
    }
    background_free(line->background);
    line_free(line);
}
