/* SPDX-License-Identifier: Apache-2.0 */
#include "cdc/source.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mongo.h"
#include "cdc/oplog.h"
#include "cdc/scan.h"
#include "cdc/source_event.h"
#include "cdc/source_line.h"

#define BATCH_EVENTS 1000
#define FUTURE_TOLERANCE_S 10
/* A batch of so many events means that there is more: the next one is asked for at once, so that the
 * server works on it while this one is worked on here. */
#define AHEAD_EVENTS 200
/* Openings at one token that the server has cut, soon, before it is the event that is taken for the
 * cause. */
#define MAX_CUTS 3
#define CUT_MS 30000
#define CODE_TOO_LARGE 10334
/* How long the server may take over its own time to answer with the next batch. */
#define NEXT_MS 30000
#define QUIET_MS 1000

struct source {
    mongoc_client_pool_t *pool;
    mongoc_client_pool_t *line_pool;
    char *database;
    struct event_sources sources;
    char hash[SHA256_TEXT_SIZE];

    line_cancelled *cancelled;
    void *context;
    struct source_line *line; /* while the stream is open: the cursor lives in its session */
    int64_t cursor_id;
    int64_t opening_ms; /* monotonic: when the last opening was sent */
    int cuts;           /* openings at `cut_token` in a row that lost their connection */
    char *cut_token;
    char *token; /* of the last batch */
    bson_t reply;
    struct source_event *events;
    size_t capacity;
};

/* Only source collections, but also what replaces or removes one: a rename onto a source carries it
 * in `to`, dropDatabase and invalidate carry no collection at all. */
static void append_match(const struct source *source, bson_t *stage)
{
    bson_t match, either, branch, path, in;
    static const char *const paths[] = {"ns.coll", "to.coll"};
    bson_append_document_begin(stage, "$match", -1, &match);
    bson_append_array_begin(&match, "$or", -1, &either);
    for (uint32_t p = 0; p < 2; p++) {
        bson_append_document_begin(&either, p == 0 ? "0" : "1", 1, &branch);
        bson_append_document_begin(&branch, paths[p], -1, &path);
        bson_append_array_begin(&path, "$in", -1, &in);
        for (size_t i = 0; i < source->sources.count; i++) {
            char buffer[16];
            const char *index;
            bson_uint32_to_string((uint32_t)i, &index, buffer, sizeof buffer);
            bson_append_utf8(&in, index, -1, source->sources.collections[i], -1);
        }
        bson_append_array_end(&path, &in);
        bson_append_document_end(&branch, &path);
        bson_append_document_end(&either, &branch);
    }
    bson_append_document_begin(&either, "2", 1, &branch);
    bson_append_document_begin(&branch, "operationType", -1, &path);
    bson_append_array_begin(&path, "$in", -1, &in);
    bson_append_utf8(&in, "0", 1, "dropDatabase", -1);
    bson_append_utf8(&in, "1", 1, "invalidate", -1);
    bson_append_array_end(&path, &in);
    bson_append_document_end(&branch, &path);
    bson_append_document_end(&either, &branch);
    bson_append_array_end(&match, &either);
    bson_append_document_end(stage, &match);
}

static void append_project(bson_t *stage, bool skinny)
{
    bson_t project;
    bson_append_document_begin(stage, "$project", -1, &project);
    if (skinny) {
        static const char *const kept[] = {"ns",          "to",      "documentKey", "operationType",
                                           "clusterTime", "wallTime"};
        for (size_t i = 0; i < ARRAY_LEN(kept); i++)
            bson_append_int32(&project, kept[i], -1, 1);
    } else {
        bson_append_int32(&project, "updateDescription", -1, 0);
    }
    bson_append_document_end(stage, &project);
}

static unsigned hex_digit(char digit)
{
    return digit <= '9' ? (unsigned)(digit - '0') : ((unsigned)digit | 0x20u) - 'a' + 10;
}

static void append_type_bits(bson_t *token, const char *hex)
{
    if (!hex)
        return;
    size_t size = strlen(hex) / 2;
    uint8_t *bits = malloc(size + 1);
    for (size_t i = 0; i < size; i++)
        bits[i] = (uint8_t)(hex_digit(hex[2 * i]) << 4 | hex_digit(hex[2 * i + 1]));
    bson_append_binary(token, "_typeBits", -1, BSON_SUBTYPE_BINARY, bits, (uint32_t)size);
    free(bits);
}

static void append_start(bson_t *stage, const struct source_start *start)
{
    bson_t stream, token;
    bson_append_document_begin(stage, "$changeStream", -1, &stream);
    if (!start->skinny)
        bson_append_utf8(&stream, "fullDocument", -1, "updateLookup", -1);
    if (start->token) {
        bson_append_document_begin(&stream, "startAfter", -1, &token);
        bson_append_utf8(&token, "_data", -1, start->token, (int)token_data_size(start->token));
        append_type_bits(&token, token_type_bits(start->token));
        bson_append_document_end(&stream, &token);
    } else if (start->time) {
        bson_append_timestamp(&stream, "startAtOperationTime", -1, start->time->seconds,
                              start->time->ordinal);
    }
    bson_append_document_end(stage, &stream);
}

static void append_pipeline(const struct source *source, const struct source_start *start,
                            bson_t *command)
{
    bson_t pipeline, stage;
    bson_append_array_begin(command, "pipeline", -1, &pipeline);
    bson_append_document_begin(&pipeline, "0", 1, &stage);
    append_start(&stage, start);
    bson_append_document_end(&pipeline, &stage);
    bson_append_document_begin(&pipeline, "1", 1, &stage);
    append_match(source, &stage);
    bson_append_document_end(&pipeline, &stage);
    bson_append_document_begin(&pipeline, "2", 1, &stage);
    append_project(&stage, start->skinny);
    bson_append_document_end(&pipeline, &stage);
    bson_append_array_end(command, &pipeline);
}

static void hash_pipeline(struct source *source)
{
    bson_t command = BSON_INITIALIZER;
    struct source_start start = {0};
    append_pipeline(source, &start, &command);
    struct sha256 digest = sha256_of(bson_get_data(&command), command.len);
    sha256_format(&digest, source->hash);
    bson_destroy(&command);
}

static int compare_strings(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

struct source *source_new(const struct source_options *options)
{
    struct source *source = calloc(1, sizeof *source);
    source->pool = options->pool;
    source->line_pool = options->line_pool ? options->line_pool : options->pool;
    source->database = strdup(options->database);
    source->sources.collections =
        calloc(options->collection_count + 1, sizeof *source->sources.collections);
    source->sources.count = options->collection_count;
    for (size_t i = 0; i < options->collection_count; i++)
        source->sources.collections[i] = strdup(options->collections[i]);
    /* the hash must not depend on the order in the configuration */
    qsort(source->sources.collections, source->sources.count, sizeof *source->sources.collections,
          compare_strings);
    bson_init(&source->reply);
    source->cancelled = options->cancelled;
    source->context = options->context;
    hash_pipeline(source);
    return source;
}

void source_free(struct source *source)
{
    if (!source)
        return;
    source_stop(source);
    for (size_t i = 0; i < source->sources.count; i++)
        free(source->sources.collections[i]);
    free(source->sources.collections);
    free(source->database);
    free(source->cut_token);
    free(source->token);
    free(source->events);
    bson_destroy(&source->reply);
    free(source);
}

const char *source_pipeline_hash(const struct source *source)
{
    return source->hash;
}

static bool has_more(const bson_t *reply)
{
    bson_iter_t iter, cursor, event;
    int64_t cursor_id = 0;
    size_t count = 0;
    if (!bson_iter_init_find(&iter, reply, "cursor") || !bson_iter_recurse(&iter, &cursor))
        return false;
    while (bson_iter_next(&cursor)) {
        if (strcmp(bson_iter_key(&cursor), "id") == 0)
            cursor_id = bson_iter_as_int64(&cursor);
        if (!BSON_ITER_HOLDS_ARRAY(&cursor) || !bson_iter_recurse(&cursor, &event))
            continue;
        while (count < AHEAD_EVENTS && bson_iter_next(&event))
            count++;
    }
    return cursor_id != 0 && count >= AHEAD_EVENTS;
}

static void begin_next(struct source *source, int64_t await_ms)
{
    bson_t command = BSON_INITIALIZER;
    bson_append_int64(&command, "getMore", -1, source->cursor_id);
    bson_append_utf8(&command, "collection", -1, "$cmd.aggregate", -1);
    bson_append_int32(&command, "batchSize", -1, BATCH_EVENTS);
    bson_append_int64(&command, "maxTimeMS", -1, await_ms);
    line_begin(source->line, &command, has_more);
}

/* The reply of the call under way replaces the previous one. */
static bool end_call(struct source *source, int64_t ms, int64_t quiet_ms, struct err *err)
{
    struct line_wait wait = {
        .ms = ms, .quiet_ms = quiet_ms, .cancelled = source->cancelled, .context = source->context};
    bson_destroy(&source->reply);
    return line_end(source->line, &wait, &source->reply, err);
}

void source_stop(struct source *source)
{
    line_close(source->line, source->cursor_id);
    source->line = NULL;
    source->cursor_id = 0;
}

bool source_cluster_time(struct source *source, struct cluster_time *out, struct err *err)
{
    return scan_cluster_time(source->pool, source->database, out, err);
}

/* A history that is another's is nothing the server complains of: it goes on from that time. */
static bool check_history(struct source *source, struct cluster_time time, struct err *err)
{
    enum oplog_answer answer;
    if (!oplog_ask(source->pool, time, &answer, err))
        return false;
    if (answer == OPLOG_LOST)
        return err_set(err, ERR_RETRY, ERR_STATE, 286,
                       "the stored resume token is older than the oplog");
    if (answer == OPLOG_OTHER)
        return err_set(err, ERR_RETRY, ERR_STATE, 286,
                       "the oplog reaches back to the stored resume token's time, but has nothing "
                       "of that time: another cluster, or a restored backup");
    return true;
}

/* Of a token, or of the time of one of another pipeline. */
static bool check_start(struct source *source, const struct source_start *start, struct err *err)
{
    struct cluster_time time, now;
    if (start->token && !token_time(start->token, &time))
        return err_set(err, ERR_RETRY, ERR_STATE, 286, "the stored resume token '%.40s' is none",
                       start->token);
    if (!start->token)
        time = *start->time;
    if (!source_cluster_time(source, &now, err))
        return false;
    if (now.seconds > 0 && time.seconds > now.seconds + FUTURE_TOLERANCE_S)
        return err_set(err, ERR_RETRY, ERR_STATE, 286,
                       "the stored resume token lies %u s ahead of the cluster's time: "
                       "another cluster, or a restored backup",
                       time.seconds - now.seconds);
    return check_history(source, time, err);
}

/* Room for the events of a list, made before any is read: a document's view points into itself and
 * cannot be moved. libbson aligns its iterators more than malloc() does. */
static void make_room(struct source *source, const bson_iter_t *list)
{
    bson_iter_t element = *list;
    size_t count = 0;
    while (bson_iter_next(&element))
        count++;
    count *= 2; /* a rename of one source onto another is two */
    if (count <= source->capacity)
        return;
    free(source->events);
    source->events = aligned_alloc(_Alignof(struct source_event), count * sizeof *source->events);
    source->capacity = count;
}

static bool read_events(struct source *source, const bson_iter_t *list, struct source_batch *batch,
                        struct err *err)
{
    bson_iter_t element;
    if (!bson_iter_recurse(list, &element))
        return true;
    make_room(source, &element);
    batch->events = source->events;
    while (bson_iter_next(&element)) {
        bson_iter_t fields;
        if (!bson_iter_recurse(&element, &fields))
            return err_set(err, ERR_RETRY, ERR_DATA, 0, "change stream: an event is no document");
        if (!event_read(&fields, &source->sources, batch, err))
            return false;
    }
    return true;
}

static void keep_token(struct source *source, const struct source_event *of,
                       struct source_batch *batch)
{
    free(source->token);
    source->token = source_event_token(of);
    batch->token = source->token;
}

static bool read_reply(struct source *source, struct source_batch *batch, struct err *err)
{
    bson_iter_t iter, cursor;
    struct source_event last = {0};
    *batch = (struct source_batch){0};
    if (!bson_iter_init_find(&iter, &source->reply, "cursor") || !bson_iter_recurse(&iter, &cursor))
        return err_set(err, ERR_RETRY, ERR_DATA, 0, "change stream: a reply without a cursor");
    while (bson_iter_next(&cursor)) {
        const char *name = bson_iter_key(&cursor);
        if (strcmp(name, "id") == 0)
            source->cursor_id = bson_iter_as_int64(&cursor);
        else if (strcmp(name, "postBatchResumeToken") == 0)
            event_read_token(&cursor, &last);
        else if ((strcmp(name, "firstBatch") == 0 || strcmp(name, "nextBatch") == 0) &&
                 !read_events(source, &cursor, batch, err))
            return false;
    }
    if (!last.ver && batch->count > 0)
        last = batch->events[batch->count - 1];
    if (last.ver)
        keep_token(source, &last, batch);
    if (!batch->token)
        return err_set(err, ERR_FATAL, ERR_DATA, 0,
                       "change stream: the server gives no post-batch resume token");
    if (bson_iter_init_find(&iter, &source->reply, "operationTime") &&
        BSON_ITER_HOLDS_TIMESTAMP(&iter))
        bson_iter_timestamp(&iter, &batch->cluster_time.seconds, &batch->cluster_time.ordinal);
    batch->closed = source->cursor_id == 0;
    return true;
}

static void begin_open(struct source *source, const struct source_start *start)
{
    bson_t command = BSON_INITIALIZER, child;
    bson_append_int32(&command, "aggregate", -1, 1);
    append_pipeline(source, start, &command);
    bson_append_document_begin(&command, "cursor", -1, &child);
    bson_append_int32(&child, "batchSize", -1, BATCH_EVENTS);
    bson_append_document_end(&command, &child);
    bson_append_document_begin(&command, "readConcern", -1, &child);
    bson_append_utf8(&child, "level", -1, "majority", -1);
    bson_append_document_end(&command, &child);
    line_begin(source->line, &command, NULL);
}

/* An event that just fits, in a reply that does not, makes the server close the connection, at every
 * opening, and say nothing. It has answered a moment ago, when the token was checked. */
static void judge_cut(struct source *source, const struct source_start *start, struct err *err)
{
    bool cut = err->domain == ERR_MONGO && err->code == MONGOC_ERROR_STREAM_SOCKET;
    bool soon = clock_mono_ms() - source->opening_ms < CUT_MS;
    if (!cut || !soon || !start->token || start->skinny) {
        source->cuts = 0;
        return;
    }
    if (!source->cut_token || strcmp(source->cut_token, start->token) != 0) {
        free(source->cut_token);
        source->cut_token = strdup(start->token);
        source->cuts = 0;
    }
    if (++source->cuts < MAX_CUTS)
        return;
    source->cuts = 0;
    err_set(err, ERR_RETRY, ERR_MONGO, CODE_TOO_LARGE,
            "change stream: %d openings in a row were cut off by a server that answers otherwise: "
            "an event that is too large for a reply",
            MAX_CUTS);
}

static bool finish_open(struct source *source, const struct source_start *start,
                        struct source_batch *batch, struct err *err)
{
    struct err why = {0};
    if (end_call(source, SOURCE_OPEN_MS, 0, &why) && read_reply(source, batch, &why)) {
        source->cuts = 0;
        return true;
    }
    judge_cut(source, start, &why);
    source_stop(source);
    if (err)
        *err = why;
    return false;
}

bool source_open(struct source *source, const struct source_start *start,
                 struct source_batch *batch, struct err *err)
{
    source_stop(source);
    if ((start->token || start->time) && !check_start(source, start, err))
        return false;
    if (!line_open(source->line_pool, source->database, &source->line, err))
        return false;
    source->opening_ms = clock_mono_ms();
    begin_open(source, start);
    return finish_open(source, start, batch, err);
}

bool source_next(struct source *source, int64_t await_ms, struct source_batch *batch,
                 struct err *err)
{
    if (!source->line || source->cursor_id == 0)
        return err_set(err, ERR_RETRY, ERR_STATE, 0, "change stream: not open");
    if (!line_is_calling(source->line))
        begin_next(source, await_ms);
    if (!end_call(source, await_ms + NEXT_MS, await_ms + QUIET_MS, err) ||
        !read_reply(source, batch, err)) {
        line_close(source->line, 0);
        source->line = NULL;
        source->cursor_id = 0;
        return false;
    }
    return true;
}

enum source_fault source_fault(const struct err *err)
{
    if (err->domain == ERR_KAFKA) /* its numbers mean other things */
        return SOURCE_FAULT_REOPEN;
    switch (err->code) {
    case 286:
        return SOURCE_FAULT_HISTORY_LOST;
    case 136:
        return SOURCE_FAULT_OVERTAKEN;
    case 280:
        return SOURCE_FAULT_UNKNOWN_TOKEN;
    case CODE_TOO_LARGE:
        return SOURCE_FAULT_TOO_LARGE;
    default:
        return err->action == ERR_FATAL ? SOURCE_FAULT_REFUSED : SOURCE_FAULT_REOPEN;
    }
}
