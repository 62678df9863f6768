/* SPDX-License-Identifier: Apache-2.0 */
#include "cdc/source_line.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/background.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/mongo.h"

#define STEP_MS 100
#define LOOK_MS 1000
#define AWAY_MS 20000
/* Ending a cursor is a courtesy: the server's own time-out does it, too. */
#define KILL_MS 2000
/* What was asked for ahead comes soon, if at all; without it the cursor could not be ended. */
#define QUIET_MS 1000
/* A series goes on while less than this waits to be taken: enough to keep a server busy, and little
 * beside a single reply, which may have 16 MiB. */
#define AHEAD_REPLIES 8
#define AHEAD_SIZE (4 * MIB)

struct answer {
    bson_t reply;
    bson_error_t error;
    bool ok;
};

struct source_line {
    struct mongo_client client;
    mongoc_client_session_t *session;
    uint32_t server_id;
    char *database;
    struct background *background;
    bson_t command; /* of the series, while it has not ended */
    line_more *more;

    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t arrived;
    struct answer answers[AHEAD_REPLIES]; /* not yet taken, a ring */
    size_t first;
    size_t count;
    size_t size;  /* of their replies */
    bool calling; /* the thread is at work */
    bool paused;  /* the series goes on when there is room */
    bool closing; /* no further call */
};

static void forget_answers(struct source_line *line)
{
    for (; line->count > 0; line->count--) {
        bson_destroy(&line->answers[line->first].reply);
        line->first = (line->first + 1) % AHEAD_REPLIES;
    }
    line->size = 0;
}

static void line_free(void *context)
{
    struct source_line *line = context;
    forget_answers(line);
    bson_destroy(&line->command);
    if (line->session)
        mongoc_client_session_destroy(line->session);
    mongo_client_release(&line->client);
    pthread_cond_destroy(&line->arrived);
    pthread_mutex_destroy(&line->lock);
    free(line->database);
    free(line);
}

static struct source_line *line_new(void)
{
    struct source_line *line = calloc(1, sizeof *line);
    clock_cond_init(&line->arrived);
    pthread_mutex_init(&line->lock, NULL);
    bson_init(&line->command);
    return line;
}

bool line_open(mongoc_client_pool_t *pool, const char *database, struct source_line **out,
               struct err *err)
{
    struct source_line *line = line_new();
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

static void call(struct source_line *line, struct answer *answer)
{
    bson_t opts = BSON_INITIALIZER;
    answer->ok = mongoc_client_session_append(line->session, &opts, &answer->error);
    bson_append_int32(&opts, "serverId", -1, (int32_t)line->server_id);
    if (answer->ok)
        answer->ok =
            mongoc_client_command_with_opts(line->client.client, line->database, &line->command,
                                            NULL, &opts, &answer->reply, &answer->error);
    else
        bson_init(&answer->reply);
    bson_destroy(&opts);
}

static bool has_room(const struct source_line *line)
{
    return line->count < AHEAD_REPLIES && line->size < AHEAD_SIZE;
}

/* Under the lock; takes the answer. */
static void push(struct source_line *line, struct answer *answer)
{
    struct answer *slot = &line->answers[(line->first + line->count) % AHEAD_REPLIES];
    slot->error = answer->error;
    slot->ok = answer->ok;
    bson_steal(&slot->reply, &answer->reply);
    line->count++;
    line->size += slot->reply.len;
}

/* The thread: calls until the series ends or has run ahead far enough. */
static void run_series(void *context)
{
    struct source_line *line = context;
    for (bool again = true; again;) {
        struct answer answer = {.ok = false};
        call(line, &answer);
        bool more = answer.ok && line->more && line->more(&answer.reply);
        pthread_mutex_lock(&line->lock);
        push(line, &answer);
        more = more && !line->closing;
        again = more && has_room(line);
        line->paused = more && !again;
        line->calling = again;
        pthread_cond_signal(&line->arrived);
        pthread_mutex_unlock(&line->lock);
    }
}

static void start_series(struct source_line *line)
{
    background_wait(line->background); /* that of the previous one is at its end */
    line->calling = true;
    line->paused = false;
    background_begin(line->background, run_series, line);
}

void line_begin(struct source_line *line, bson_t *command, line_more *more)
{
    assert(!line_is_calling(line));
    bson_destroy(&line->command);
    bson_steal(&line->command, command);
    line->more = more;
    start_series(line);
}

bool line_is_calling(struct source_line *line)
{
    pthread_mutex_lock(&line->lock);
    bool calling = line->calling || line->paused || line->count > 0;
    pthread_mutex_unlock(&line->lock);
    return calling;
}

/* False when there is no reply after `ms`. */
static bool await_ms(struct source_line *line, int64_t ms)
{
    struct timespec until = clock_deadline(ms);
    bool late = false;
    pthread_mutex_lock(&line->lock);
    while (line->count == 0 && !late)
        late = pthread_cond_timedwait(&line->arrived, &line->lock, &until) == ETIMEDOUT;
    bool arrived = line->count > 0;
    pthread_mutex_unlock(&line->lock);
    return arrived;
}

/* By the pool's own look at the servers, every few seconds. One that does not answer it will not answer
 * a call either, however long that may take. */
static bool is_away(struct source_line *line)
{
    CLEANUP(mongo_client_release) struct mongo_client client = mongo_client_of(line->client.pool);
    mongoc_server_description_t *server =
        mongoc_client_get_server_description(client.client, line->server_id);
    bool away = !server || strcmp(mongoc_server_description_type(server), "Unknown") == 0;
    if (server)
        mongoc_server_description_destroy(server);
    return away;
}

/* True when there is a reply. */
static bool await(struct source_line *line, const struct line_wait *wait, struct err *err)
{
    int64_t begun_ms = clock_mono_ms(), known_ms = begun_ms, looked_ms = begun_ms;
    while (!await_ms(line, STEP_MS)) {
        int64_t now_ms = clock_mono_ms(), waited_ms = now_ms - begun_ms;
        if (now_ms - looked_ms >= LOOK_MS) {
            looked_ms = now_ms;
            known_ms = is_away(line) ? known_ms : now_ms;
        }
        if (now_ms - known_ms >= AWAY_MS)
            return err_set(err, ERR_RETRY, ERR_STATE, 0, "change stream: the server is away");
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
    if (!await(line, wait, err)) {
        bson_init(reply);
        return false;
    }
    pthread_mutex_lock(&line->lock);
    struct answer *answer = &line->answers[line->first];
    bool ok = answer->ok;
    bson_error_t error = answer->error;
    bson_steal(reply, &answer->reply);
    line->first = (line->first + 1) % AHEAD_REPLIES;
    line->count--;
    line->size -= reply->len;
    bool go_on = line->paused && has_room(line);
    pthread_mutex_unlock(&line->lock);
    if (go_on)
        start_series(line);
    /* on this thread: it is the one that gives the client back */
    return ok || mongo_err(err, &error, "change stream");
}

static void kill_cursor(struct source_line *line, int64_t cursor_id)
{
    bson_t command = BSON_INITIALIZER, cursors, reply;
    struct err ignored;
    bson_append_utf8(&command, "killCursors", -1, "$cmd.aggregate", -1);
    bson_append_array_begin(&command, "cursors", -1, &cursors);
    bson_append_int64(&cursors, "0", 1, cursor_id);
    bson_append_array_end(&command, &cursors);
    line_begin(line, &command, NULL);
    (void)!line_end(line, &(struct line_wait){.ms = KILL_MS}, &reply, &ignored);
    bson_destroy(&reply);
}

/* No further call; true when none is under way. */
static bool hang_up(struct source_line *line, int64_t wait_ms)
{
    pthread_mutex_lock(&line->lock);
    line->closing = true;
    line->paused = false;
    pthread_mutex_unlock(&line->lock);
    return background_wait_ms(line->background, wait_ms);
}

void line_close(struct source_line *line, int64_t cursor_id)
{
    if (!line)
        return;
    bool is_free = hang_up(line, cursor_id != 0 ? QUIET_MS : 0);
    if (is_free && cursor_id != 0) {
        forget_answers(line);
        kill_cursor(line, cursor_id);
        is_free = background_wait_ms(line->background, 0);
    }
    if (!is_free) {
        background_abandon(line->background, line_free, line);
        return;
    }
    background_free(line->background);
    line_free(line);
}
