/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/http/events.h"

#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/api/serve_routes.h"
#include "agent/config/config_values.h"
#include "agent/http/events_diff.h"
#include "agent/status/status.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"

#define STATUS_EVERY_MS 1000
#define HEARTBEAT_MS 15000
#define CLOSED_EVERY_MS 1000
/* Of a client that lost its connection. */
#define RETRY "retry: 2000\n\n"
/* Changes that are kept for a client that was away or is slow. */
#define CHANGES_MAX 256
/* libmicrohttpd copies at most so much at a time. */
#define BLOCK_SIZE 1024

/* One event as it is sent. */
struct message {
    size_t uses; /* under the lock */
    size_t size;
    char text[];
};

/* An event of which only the newest counts. */
struct newest {
    struct message *message; /* NULL: none yet */
    uint64_t number;         /* of the messages that were here */
    int64_t made_ms;         /* when it was last made, also where it was the same again */
};

struct listener {
    struct events *events;
    struct MHD_Connection *connection;
    struct listener *previous, *next;
    int socket;
    struct message *message; /* being sent; NULL: none */
    size_t sent;
    int64_t since_ms;
    int64_t last_ms;         /* when something was sent last */
    uint64_t status, health; /* the numbers of those that it got */
    uint64_t change;         /* the next for it */
    bool resumes;            /* `change` is where it was before */
    bool greeted;            /* it has a status */
    bool asleep;             /* suspended */
    bool ended;
};

struct events {
    struct agent *agent;
    char boot[17]; /* of this process' life: numbers of another one's mean nothing */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct listener *first;
    size_t count;
    struct newest status, health;
    cJSON *last; /* the status that the newest message tells of; the thread's */
    struct message *changes[CHANGES_MAX];
    uint64_t next; /* number of the next change, from 1 */
    struct message *retry, *heartbeat;
    int64_t closed_ms;
    bool stopping, started, ended;
    pthread_t thread;
};

static struct message *message_of(const char *text, size_t size)
{
    struct message *message = malloc(sizeof *message + size);
    if (!message)
        abort();
    *message = (struct message){.uses = 1, .size = size};
    memcpy(message->text, text, size);
    return message;
}

/* With the lock held, as all below that have no other word. */
static void message_drop(struct message *message)
{
    if (message && --message->uses == 0)
        free(message);
}

/* With `id` the client can say later that it had all changes up to here. */
static struct message *event_of(struct events *events, const char *name, const cJSON *data, bool id)
{
    CLEANUP(buf_fini) struct buf text = BUF_INIT(SERVE_REPLY_MAX);
    char *json = json_print(data); /* in one line */
    if (id)
        buf_printf(&text, "id: %s-%" PRIu64 "\n", events->boot, events->next - 1);
    buf_printf(&text, "event: %s\ndata: ", name);
    buf_puts(&text, json);
    buf_puts(&text, "\n\n");
    free(json);
    return message_of(text.data, text.size);
}

static void wake(struct listener *listener)
{
    if (!listener->asleep)
        return;
    listener->asleep = false;
    MHD_resume_connection(listener->connection);
}

static void wake_all(struct events *events)
{
    for (struct listener *at = events->first; at; at = at->next)
        wake(at);
}

static bool is_same(const struct message *a, const struct message *b)
{
    return a && a->size == b->size && memcmp(a->text, b->text, a->size) == 0;
}

static void renew(struct events *events, struct newest *newest, const char *name, const cJSON *data,
                  int64_t made_ms)
{
    struct message *message = event_of(events, name, data, newest == &events->status);
    newest->made_ms = made_ms;
    if (is_same(newest->message, message)) {
        message_drop(message);
        return;
    }
    message_drop(newest->message);
    newest->message = message;
    newest->number++;
}

static void add_change(void *context, const char *name, const cJSON *data)
{
    struct events *events = context;
    struct message **place = &events->changes[events->next % CHANGES_MAX];
    events->next++;
    message_drop(*place);
    *place = event_of(events, name, data, true);
}

static void publish_status(struct events *events, cJSON *status, int64_t made_ms)
{
    if (events->last)
        events_diff(events->last, status, add_change, events);
    cJSON_Delete(events->last);
    events->last = status;
    renew(events, &events->status, "status", status, made_ms);
}

static void publish_problem(struct events *events, const struct err *err, int64_t made_ms)
{
    CLEANUP(cJSON_Deletep) cJSON *problem = json_object();
    json_add_string(problem, "title", "Service Unavailable");
    json_add_int(problem, "status", 503);
    json_add_string(problem, "detail", err->text);
    renew(events, &events->status, "problem", problem, made_ms);
}

/* Without the lock for as long as MongoDB takes. */
static void look(struct events *events, int64_t now_ms)
{
    struct err err;
    cJSON *status = NULL;
    struct agent *agent = events->agent;
    struct status_request request = {
        .config = agent->config, .docs = agent->docs, .pool = agent->pool, .health = agent->health};
    char reason[HEALTH_REASON_SIZE];
    pthread_mutex_unlock(&events->lock);
    bool ok = !serve_state_is_closed(agent, reason)
                  ? status_json(&request, &status, &err)
                  : err_set(&err, ERR_RETRY, ERR_MONGO, 0, "%s", reason);
    pthread_mutex_lock(&events->lock);
    if (ok)
        publish_status(events, status, now_ms);
    else
        publish_problem(events, &err, now_ms);
    wake_all(events);
}

static void *watch(void *argument)
{
    struct events *events = argument;
    log_set_thread("events");
    pthread_mutex_lock(&events->lock);
    while (!events->stopping) {
        if (events->count == 0) {
            pthread_cond_wait(&events->changed, &events->lock);
            continue;
        }
        int64_t now_ms = clock_mono_ms(), next_ms = now_ms + STATUS_EVERY_MS;
        look(events, now_ms);
        while (!events->stopping && (now_ms = clock_mono_ms()) < next_ms)
            clock_wait(&events->changed, &events->lock, next_ms - now_ms);
    }
    events->ended = true;
    pthread_cond_broadcast(&events->changed);
    pthread_mutex_unlock(&events->lock);
    return NULL;
}

struct events *events_start(struct agent *agent)
{
    static const char heartbeat[] = ": heartbeat\n\n";
    struct events *events = calloc(1, sizeof *events);
    events->agent = agent;
    events->next = 1;
    random_hex(events->boot, (sizeof events->boot - 1) / 2);
    events->retry = message_of(RETRY, sizeof RETRY - 1);
    events->heartbeat = message_of(heartbeat, sizeof heartbeat - 1);
    pthread_mutex_init(&events->lock, NULL);
    clock_cond_init(&events->changed);
    events->started = pthread_create(&events->thread, NULL, watch, events) == 0;
    return events;
}

/* What a listener is sent next; NULL: nothing for now. */
static struct message *next_message(struct listener *listener)
{
    struct events *events = listener->events;
    if (listener->health != events->health.number) {
        listener->health = events->health.number;
        return events->health.message;
    }
    if (!listener->greeted) {
        /* not the one that was left when the last listener went, an hour ago */
        if (!events->status.message ||
            events->status.made_ms < listener->since_ms - STATUS_EVERY_MS)
            return NULL;
        listener->greeted = true;
        if (!listener->resumes)
            listener->change = events->next;
    }
    uint64_t oldest = events->next > CHANGES_MAX ? events->next - CHANGES_MAX : 1;
    if (listener->change < oldest)
        listener->change = oldest;
    if (listener->change < events->next)
        return events->changes[listener->change++ % CHANGES_MAX];
    if (listener->status != events->status.number) {
        listener->status = events->status.number;
        return events->status.message;
    }
    if (clock_mono_ms() - listener->last_ms >= HEARTBEAT_MS)
        return events->heartbeat;
    return NULL;
}

static void begin_message(struct listener *listener, struct message *message)
{
    if (!message)
        return;
    message->uses++;
    listener->message = message;
    listener->sent = 0;
    listener->last_ms = clock_mono_ms();
}

static ssize_t send_some(struct listener *listener, char *out, size_t max)
{
    struct message *message = listener->message;
    size_t size = message->size - listener->sent;
    size = size < max ? size : max;
    memcpy(out, message->text + listener->sent, size);
    listener->sent += size;
    if (listener->sent == message->size) {
        listener->message = NULL;
        message_drop(message);
    }
    return (ssize_t)size;
}

static ssize_t on_read(void *context, uint64_t at, char *out, size_t max)
{
    (void)at;
    struct listener *listener = context;
    struct events *events = listener->events;
    ssize_t size = 0;
    pthread_mutex_lock(&events->lock);
    if (!listener->message)
        begin_message(listener, next_message(listener));
    if (events->stopping || listener->ended) {
        size = MHD_CONTENT_READER_END_OF_STREAM;
    } else if (listener->message) {
        size = send_some(listener, out, max);
    } else {
        listener->asleep = true;
        MHD_suspend_connection(listener->connection);
    }
    pthread_mutex_unlock(&events->lock);
    return size;
}

static void on_free(void *context)
{
    struct listener *listener = context;
    struct events *events = listener->events;
    pthread_mutex_lock(&events->lock);
    message_drop(listener->message);
    if (listener->previous)
        listener->previous->next = listener->next;
    else
        events->first = listener->next;
    if (listener->next)
        listener->next->previous = listener->previous;
    events->count--;
    pthread_mutex_unlock(&events->lock);
    free(listener);
}

/* "<boot>-<number>": what it had, where that was this process. */
static void resume_after(struct listener *listener, const char *last_id)
{
    const struct events *events = listener->events;
    int64_t number;
    size_t size = strlen(events->boot);
    if (last_id && strncmp(last_id, events->boot, size) == 0 && last_id[size] == '-' &&
        config_value_int(last_id + size + 1, &number) && number >= 0 &&
        (uint64_t)number < events->next) {
        listener->change = (uint64_t)number + 1;
        listener->resumes = true;
    }
}

static void make_health(struct events *events, int64_t now_ms)
{
    CLEANUP(cJSON_Deletep) cJSON *health = health_json(events->agent->health);
    renew(events, &events->health, "health", health, now_ms);
}

struct MHD_Response *events_listen(struct events *events, struct MHD_Connection *connection,
                                   const char *last_id)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct listener *listener = calloc(1, sizeof *listener);
    *listener = (struct listener){.events = events,
                                  .connection = connection,
                                  .socket = info->connect_fd,
                                  .since_ms = clock_mono_ms()};
    struct MHD_Response *response =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK_SIZE, on_read, listener, on_free);
    if (!response) {
        free(listener);
        return NULL;
    }
    pthread_mutex_lock(&events->lock);
    resume_after(listener, last_id);
    if (events->count == 0)
        make_health(events, listener->since_ms);
    begin_message(listener, events->retry);
    listener->next = events->first;
    if (listener->next)
        listener->next->previous = listener;
    events->first = listener;
    if (events->count++ == 0)
        pthread_cond_signal(&events->changed);
    pthread_mutex_unlock(&events->lock);
    return response;
}

/* libmicrohttpd does not look at a suspended connection. */
static void end_closed(struct events *events)
{
    for (struct listener *at = events->first; at; at = at->next) {
        struct pollfd socket = {.fd = at->socket, .events = POLLRDHUP};
        if (at->asleep && poll(&socket, 1, 0) > 0 && socket.revents) {
            at->ended = true;
            wake(at);
        }
    }
}

void events_tick(struct events *events, int64_t now_ms)
{
    pthread_mutex_lock(&events->lock);
    uint64_t health = events->health.number;
    if (events->count > 0)
        make_health(events, now_ms);
    for (struct listener *at = events->first; at; at = at->next) {
        if (health != events->health.number || now_ms - at->last_ms >= HEARTBEAT_MS)
            wake(at);
    }
    if (now_ms - events->closed_ms >= CLOSED_EVERY_MS) {
        events->closed_ms = now_ms;
        end_closed(events);
    }
    pthread_mutex_unlock(&events->lock);
}

void events_stop(struct events *events)
{
    pthread_mutex_lock(&events->lock);
    events->stopping = true;
    wake_all(events);
    pthread_cond_broadcast(&events->changed);
    pthread_mutex_unlock(&events->lock);
}

bool events_join(struct events *events, int64_t ms)
{
    int64_t until = clock_mono_ms() + ms;
    pthread_mutex_lock(&events->lock);
    for (int64_t now; events->started && !events->ended && (now = clock_mono_ms()) < until;)
        clock_wait(&events->changed, &events->lock, until - now);
    bool ended = events->ended || !events->started;
    pthread_mutex_unlock(&events->lock);
    return ended;
}

void events_free(struct events *events)
{
    if (!events)
        return;
    if (events->started)
        pthread_join(events->thread, NULL);
    message_drop(events->status.message);
    message_drop(events->health.message);
    message_drop(events->retry);
    message_drop(events->heartbeat);
    for (size_t i = 0; i < CHANGES_MAX; i++)
        message_drop(events->changes[i]);
    cJSON_Delete(events->last);
    pthread_mutex_destroy(&events->lock);
    pthread_cond_destroy(&events->changed);
    free(events);
}
