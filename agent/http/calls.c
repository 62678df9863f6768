/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/http/calls.h"

#include <errno.h>
#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "agent/http/alias_waits.h"
#include "agent/http/call.h"
#include "agent/http/connections.h"
#include "agent/http/events.h"
#include "agent/http/handlers.h"
#include "agent/http/intake.h"
#include "agent/http/tls.h"
#include "agent/http/token.h"
#include "agent/http/traffic.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"

#define CONNECTIONS_MAX ((size_t)2048)
/* Of them, those that wait for an alias or listen to events: the others must find a place, too. */
#define PARKED_MAX ((int64_t)1536)
/* A client that takes nothing of its answer for so long is gone. */
#define STUCK_TIMEOUT_S 30
/* Of a connection: the request's line and headers must fit in half of it. */
#define CONNECTION_MEMORY (16 * KIB)
/* Of each kind of call, so that queries that hang keep nobody from a status or a way back; and of queries for
 * each embedder, so that those of one that hangs keep nobody from the others. */
#define HANDLERS ((size_t)8)
#define HANDLERS_MAX ((size_t)32) /* of one kind */
#define QUEUE_MAX 64
#define QUEUE_WAIT_MS 2000
/* Of all bodies that are coming in or are being handled. */
#define BODIES_SIZE_MAX (32 * MIB)
/* A body that is still coming so far beyond its limit is not read to its end. */
#define PATIENCE_SIZE (16 * MIB)
#define TICK_MS 250
/* How often it is looked whether the token or the certificate changed. */
#define REFRESH_MS 1000
#define STOP_THREADS_MS 700
#define STOP_ANSWERS_MS 200

struct calls {
    struct calls_options options;
    struct intake intake;
    struct MHD_Daemon *daemon;
    struct handlers *handlers[SERVE_TURNS];
    struct connections *connections;
    struct alias_waits *alias_waits;
    struct events *events;
    struct traffic *traffic; /* the agent's */
    size_t connections_max;
    int64_t parked_max;
    size_t bodies_size;   /* libmicrohttpd's thread only */
    _Atomic int64_t open; /* calls */
    _Atomic bool stopping;
    pthread_t clock;
    bool ticking;
};

void call_finish(struct call *call)
{
    call->stage = CALL_ANSWERED;
    MHD_resume_connection(call->connection);
}

static void put_problem(struct call *call, int status, const char *detail)
{
    serve_reply_init(&call->reply);
    if (status == 503)
        serve_unavailable(&call->reply, detail);
    else
        serve_problem(&call->reply, status, detail);
}

void call_refuse(struct call *call, int status, const char *detail)
{
    put_problem(call, status, detail);
    call_finish(call);
}

/* False: as many are parked as may be, and the reply says so. */
static bool may_park(struct call *call)
{
    struct calls *calls = call->calls;
    call->parked = true;
    if (atomic_fetch_add(&calls->traffic->parked, 1) < calls->parked_max)
        return true;
    serve_reply_init(&call->reply);
    serve_problem(&call->reply, 503, "too many clients wait for an alias or listen to events");
    serve_add_header(&call->reply, MHD_HTTP_HEADER_RETRY_AFTER, "5");
    return false;
}

/* In a handler. */
static void run_call(void *job)
{
    struct call *call = job;
    serve_route(&call->request, &call->reply);
    if (call->reply.later == SERVE_ALIAS && may_park(call))
        alias_waits_add(call->calls->alias_waits, call);
    else
        call_finish(call);
}

static void refuse_call(void *job, bool stopping)
{
    call_refuse(job, 503,
                stopping ? "the process is stopping"
                         : "other requests wait for a server that does not answer; try again");
}

static struct connection *connection_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

static void enter(struct call *call, enum connection_phase phase)
{
    connections_enter(call->calls->connections, connection_of(call->connection), phase);
}

static void add_headers(struct MHD_Response *response, const struct serve_reply *reply)
{
    if (reply->content_type)
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, reply->content_type);
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    if (reply->allow[0])
        MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, reply->allow);
    if (reply->status == 401)
        MHD_add_response_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE,
                                "Bearer realm=\"vectail\"");
    for (size_t i = 0; i < reply->header_count; i++)
        MHD_add_response_header(response, reply->headers[i].name, reply->headers[i].value);
    if (!MHD_get_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL))
        MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
}

static void count_answer(struct call *call, int status)
{
    traffic_count(call->calls->traffic, serve_route_of(&call->request), status,
                  clock_mono_us() - call->whole_us);
}

static enum MHD_Result send_events(struct call *call)
{
    const char *last_id =
        MHD_lookup_connection_value(call->connection, MHD_HEADER_KIND, "Last-Event-ID");
    struct MHD_Response *response = events_listen(call->calls->events, call->connection, last_id);
    if (!response)
        return MHD_NO;
    call->reply.content_type = "text/event-stream";
    add_headers(response, &call->reply);
    MHD_add_response_header(response, "X-Accel-Buffering", "no"); /* for nginx */
    enter(call, CONNECTION_BUSY);
    count_answer(call, MHD_HTTP_OK);
    enum MHD_Result result = MHD_queue_response(call->connection, MHD_HTTP_OK, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result send_reply(struct call *call)
{
    if (call->reply.later == SERVE_EVENTS && may_park(call))
        return send_events(call);
    size_t size;
    struct serve_reply *reply = &call->reply;
    char *body = buf_take(&reply->body, &size);
    struct MHD_Response *response =
        MHD_create_response_from_buffer(size, body, MHD_RESPMEM_MUST_FREE);
    if (!response) {
        free(body);
        return MHD_NO;
    }
    add_headers(response, reply);
    if (call->closes)
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    enter(call, CONNECTION_SENDING);
    count_answer(call, reply->status);
    enum MHD_Result result =
        MHD_queue_response(call->connection, (unsigned)reply->status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result send_problem(struct call *call, int status, const char *detail)
{
    put_problem(call, status, detail);
    return send_reply(call);
}

static enum MHD_Result send_refusal(struct call *call)
{
    const struct intake_refusal *refusal = &call->refusal;
    serve_reply_init(&call->reply);
    serve_problem(&call->reply, refusal->status, refusal->detail);
    call->closes = call->closes || refusal->ends;
    return send_reply(call);
}

static enum MHD_Result take_argument(void *context, enum MHD_ValueKind kind, const char *name,
                                     const char *value)
{
    (void)kind;
    struct call *call = context;
    struct serve_request *request = &call->request;
    if (request->argument_count == SERVE_ARGUMENTS_MAX) {
        call->refusal =
            (struct intake_refusal){.status = 400, .detail = "the URL has too many arguments"};
        return MHD_NO;
    }
    request->arguments[request->argument_count++] =
        (struct serve_argument){.name = name, .value = value ? value : ""};
    return MHD_YES;
}

static enum MHD_Result count_length(void *context, enum MHD_ValueKind kind, const char *name,
                                    const char *value)
{
    (void)kind;
    (void)value;
    struct intake_request *request = context;
    request->lengths += strcasecmp(name, MHD_HTTP_HEADER_CONTENT_LENGTH) == 0;
    return MHD_YES;
}

static const char *header(struct call *call, const char *name)
{
    return MHD_lookup_connection_value(call->connection, MHD_HEADER_KIND, name);
}

static void release_body(struct call *call)
{
    call->calls->bodies_size -= call->body.capacity;
    buf_fini(&call->body);
}

static enum MHD_Result answer_body(struct call *call)
{
    struct calls *calls = call->calls;
    call->whole_us = clock_mono_us();
    if (call->refusal.status)
        return send_refusal(call);
    struct serve_request *request = &call->request;
    request->too_large = call->size > SERVE_BODY_MAX;
    if (call->body.size > 0 && !request->too_large) {
        request->body = buf_str(&call->body);
        request->body_size = call->body.size;
    }
    if (request->too_large || serve_is_quick(request)) {
        serve_route(request, &call->reply);
        return send_reply(call);
    }
    if (atomic_load(&calls->stopping))
        return send_problem(call, 503, "the process is stopping");
    struct serve_place place = serve_place_of(request);
    struct handlers *handlers = calls->handlers[place.turn];
    if (!handlers_have_room(handlers, place.group))
        return send_problem(call, 503, "too many requests wait for an answer; try again");
    call->stage = CALL_AWAY;
    enter(call, CONNECTION_BUSY);
    MHD_suspend_connection(call->connection);
    handlers_put(handlers, call, place.group);
    return MHD_YES;
}

/* So that it need not be sent at all. */
static size_t announced(struct call *call)
{
    const char *length = header(call, MHD_HTTP_HEADER_CONTENT_LENGTH);
    return length ? strtoull(length, NULL, 10) : 0;
}

static void check_call(struct call *call)
{
    struct intake_request request = {
        .method = call->request.method,
        .path = call->request.path,
        .host = header(call, MHD_HTTP_HEADER_HOST),
        .origin = header(call, MHD_HTTP_HEADER_ORIGIN),
        .encoding = header(call, MHD_HTTP_HEADER_TRANSFER_ENCODING),
    };
    MHD_get_connection_values(call->connection, MHD_HEADER_KIND, count_length, &request);
    MHD_get_connection_values(call->connection, MHD_GET_ARGUMENT_KIND, take_argument, call);
    struct intake_refusal refusal = intake_check(&call->calls->intake, &request);
    if (refusal.ends || !call->refusal.status)
        call->refusal = refusal;
}

/* Whoever asks these has to be answered however many others there are. */
static bool is_probe(const char *path)
{
    return strcmp(path, "/healthz") == 0 || strcmp(path, "/readyz") == 0;
}

/* The headers are there. */
static enum MHD_Result begin_call(struct call *call, const char *path, const char *method)
{
    struct calls *calls = call->calls;
    call->stage = CALL_READING;
    call->whole_us = clock_mono_us();
    call->token = calls->options.token ? token_copy(calls->options.token) : NULL;
    call->request = (struct serve_request){
        .agent = calls->options.agent,
        .method = method,
        .path = path,
        .authorization = header(call, MHD_HTTP_HEADER_AUTHORIZATION),
        .accept = header(call, MHD_HTTP_HEADER_ACCEPT),
        .content_type = header(call, MHD_HTTP_HEADER_CONTENT_TYPE),
        .if_none_match = header(call, MHD_HTTP_HEADER_IF_NONE_MATCH),
        .token = call->token,
    };
    check_call(call);
    call->closes = connections_count(calls->connections) > calls->connections_max;
    if (call->closes && !is_probe(path))
        return send_problem(call, 503, "too many connections are open; try again");
    call->size = announced(call);
    if (call->refusal.ends || call->size > SERVE_BODY_MAX)
        return answer_body(call);
    call->size = 0;
    call->drops_body = call->refusal.status || !serve_is_authorized(&call->request);
    return MHD_YES;
}

static enum MHD_Result take_body(struct call *call, const char *data, size_t size)
{
    struct calls *calls = call->calls;
    call->size += size;
    if (call->size > SERVE_BODY_MAX) {
        release_body(call);
    } else if (!call->drops_body) {
        calls->bodies_size -= call->body.capacity;
        buf_append(&call->body, data, size);
        calls->bodies_size += call->body.capacity;
    }
    return call->size > PATIENCE_SIZE || calls->bodies_size > BODIES_SIZE_MAX ? MHD_NO : MHD_YES;
}

/* wide: libmicrohttpd's. NOLINTNEXTLINE(readability-function-size) */
static enum MHD_Result on_request(void *context, struct MHD_Connection *connection,
                                  const char *path, const char *method, const char *protocol,
                                  const char *data, size_t *size, void **state)
{
    (void)context;
    (void)connection;
    (void)protocol;
    struct call *call = *state;
    if (!call)
        return MHD_NO;
    if (call->stage == CALL_NEW)
        return begin_call(call, path, method);
    if (call->stage == CALL_ANSWERED)
        return send_reply(call);
    if (*size == 0)
        return answer_body(call);
    enum MHD_Result result = take_body(call, data, *size);
    *size = 0;
    return result;
}

/* The first line of a request, as it came. */
static void *on_line(void *context, const char *line, struct MHD_Connection *connection)
{
    struct calls *calls = context;
    const char *detail;
    struct call *call = calloc(1, sizeof *call);
    if (!call)
        return NULL;
    call->calls = calls;
    call->connection = connection;
    call->socket =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    call->body = BUF_INIT(SERVE_BODY_MAX);
    if (!intake_target(line, &detail))
        call->refusal = (struct intake_refusal){.status = 400, .detail = detail};
    atomic_fetch_add(&calls->open, 1);
    enter(call, CONNECTION_READING);
    return call;
}

static void on_end(void *context, struct MHD_Connection *connection, void **state,
                   enum MHD_RequestTerminationCode code)
{
    (void)connection;
    (void)code;
    struct calls *calls = context;
    struct call *call = *state;
    *state = NULL;
    if (!call)
        return;
    enter(call, CONNECTION_IDLE);
    if (call->parked)
        atomic_fetch_sub(&calls->traffic->parked, 1);
    release_body(call);
    buf_fini(&call->reply.body);
    free(call->token);
    free(call);
    atomic_fetch_sub(&calls->open, 1);
}

static void on_connection(void *context, struct MHD_Connection *connection, void **socket_context,
                          enum MHD_ConnectionNotificationCode code)
{
    struct calls *calls = context;
    log_set_thread("serve");
    tls_use_in_thread(calls->options.tls);
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        *socket_context = connections_add(calls->connections, info->connect_fd);
        atomic_fetch_add(&calls->traffic->connections, 1);
    } else if (*socket_context) {
        connections_remove(calls->connections, *socket_context);
        *socket_context = NULL;
        atomic_fetch_sub(&calls->traffic->connections, 1);
    }
}

static void refresh(struct calls *calls, int64_t now_ms)
{
    if (calls->options.token)
        token_refresh(calls->options.token);
    if (calls->options.tls)
        tls_refresh(calls->options.tls, now_ms);
}

static void *tick(void *argument)
{
    struct calls *calls = argument;
    int64_t refreshed_ms = clock_mono_ms();
    log_set_thread("serve");
    while (!atomic_load(&calls->stopping)) {
        int64_t now_ms = clock_mono_ms();
        size_t cut = connections_cut_slow(calls->connections, now_ms);
        atomic_fetch_add(&calls->traffic->cut, cut);
        if (cut > 0)
            log_info("serve.cut", LOG_INT("connections", (int64_t)cut));
        alias_waits_tick(calls->alias_waits, now_ms);
        events_tick(calls->events, now_ms);
        if (now_ms - refreshed_ms >= REFRESH_MS) {
            refreshed_ms = now_ms;
            refresh(calls, now_ms);
        }
        clock_sleep_ms(TICK_MS);
    }
    return NULL;
}

/* With TLS poll(): with epoll libmicrohttpd spins as long as a client lets it wait within the handshake.
 * What is suspended is in neither. */
static unsigned flags_of(bool tls)
{
    unsigned flags = MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC;
    return flags |
           (tls ? MHD_USE_POLL_INTERNAL_THREAD | MHD_USE_TLS : MHD_USE_EPOLL_INTERNAL_THREAD);
}

static bool start_daemon(struct calls *calls, struct err *err)
{
    unsigned connections = (unsigned)(calls->connections_max + CONNECTIONS_SPARE);
    /* libmicrohttpd wants a function in a pointer to void */
    union {
        gnutls_certificate_retrieve_function2 *function;
        void *pointer;
    } certificate = {.function = tls_certificate};
    struct MHD_OptionItem tls[] = {
        {MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t)TLS_PRIORITIES},
        {MHD_OPTION_HTTPS_CERT_CALLBACK, 0, certificate.pointer},
        {MHD_OPTION_END, 0, NULL},
    };
    struct MHD_OptionItem *more = calls->options.tls ? tls : &tls[2];
    calls->daemon = MHD_start_daemon(
        flags_of(calls->options.tls != NULL), 0, NULL, NULL, on_request, calls,
        MHD_OPTION_LISTEN_SOCKET, (MHD_socket)calls->options.socket, MHD_OPTION_CONNECTION_LIMIT,
        connections, MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)STUCK_TIMEOUT_S, MHD_OPTION_URI_LOG_CALLBACK,
        on_line, calls, MHD_OPTION_NOTIFY_COMPLETED, on_end, calls, MHD_OPTION_NOTIFY_CONNECTION,
        on_connection, calls, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_ARRAY, more,
        MHD_OPTION_END);
    return calls->daemon || err_set(err, ERR_FATAL, ERR_OS, errno, "libmicrohttpd does not start");
}

static void calls_free(struct calls *calls)
{
    for (size_t i = 0; i < SERVE_TURNS; i++)
        handlers_free(calls->handlers[i]);
    alias_waits_free(calls->alias_waits);
    events_free(calls->events);
    connections_free(calls->connections);
    free(calls);
}

static struct handlers *start_handlers(const struct config *config, enum serve_turn turn)
{
    size_t groups = serve_group_count(config, turn);
    size_t threads = HANDLERS * groups;
    struct handlers_options handlers = {.name = "serve",
                                        .threads = threads < HANDLERS_MAX ? threads : HANDLERS_MAX,
                                        .groups = groups,
                                        .group_max = HANDLERS,
                                        .queue_max = QUEUE_MAX,
                                        .wait_max_ms = QUEUE_WAIT_MS,
                                        .run = run_call,
                                        .refuse = refuse_call};
    return handlers_start(&handlers);
}

static void start_threads(struct calls *calls)
{
    struct agent *agent = calls->options.agent;
    for (size_t i = 0; i < SERVE_TURNS; i++)
        calls->handlers[i] = start_handlers(agent->config, (enum serve_turn)i);
    calls->alias_waits = alias_waits_start(agent->docs, agent->config);
    calls->events = events_start(agent);
}

/* False: one of them waits for some server. */
static bool stop_threads(struct calls *calls)
{
    int64_t until = clock_mono_ms() + STOP_THREADS_MS;
    alias_waits_stop(calls->alias_waits);
    events_stop(calls->events);
    bool ended = true;
    for (size_t i = 0; i < SERVE_TURNS; i++)
        (void)!handlers_stop(calls->handlers[i], 0); /* all are told before one is waited for */
    for (size_t i = 0; i < SERVE_TURNS; i++)
        ended &= handlers_stop(calls->handlers[i], until - clock_mono_ms());
    ended &= alias_waits_join(calls->alias_waits, until - clock_mono_ms());
    ended &= events_join(calls->events, until - clock_mono_ms());
    return ended;
}

struct calls *calls_start(const struct calls_options *options, struct err *err)
{
    struct calls *calls = calloc(1, sizeof *calls);
    calls->options = *options;
    calls->traffic = options->agent->traffic;
    calls->intake = (struct intake){.checks_host = !options->token,
                                    .listen = options->agent->config->serve.listen};
    calls->connections = connections_new();
    calls->connections_max = connections_may_open(CONNECTIONS_MAX);
    calls->parked_max = PARKED_MAX * (int64_t)calls->connections_max / (int64_t)CONNECTIONS_MAX;
    atomic_store(&calls->traffic->connections_max, (int64_t)calls->connections_max);
    start_threads(calls);
    if (!start_daemon(calls, err)) {
        (void)!stop_threads(calls); /* they have nothing to do */
        calls_free(calls);
        return NULL;
    }
    calls->ticking = pthread_create(&calls->clock, NULL, tick, calls) == 0;
    return calls;
}

/* Lets libmicrohttpd send what is answered. */
static void wait_for_answers(struct calls *calls)
{
    int64_t until = clock_mono_ms() + STOP_ANSWERS_MS;
    while (atomic_load(&calls->open) > 0 && clock_mono_ms() < until)
        clock_sleep_ms(10);
}

bool calls_stop(struct calls *calls)
{
    if (!calls)
        return true;
    atomic_store(&calls->stopping, true);
    MHD_socket socket = MHD_quiesce_daemon(calls->daemon);
    if (calls->ticking)
        pthread_join(calls->clock, NULL);
    bool ended = stop_threads(calls);
    wait_for_answers(calls);
    if (!ended)
        return false;
    MHD_stop_daemon(calls->daemon);
    if (socket != MHD_INVALID_SOCKET)
        close(socket);
    calls_free(calls);
    return true;
}
