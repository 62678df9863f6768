/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/serve_routes.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "agent/api/api.h"
#include "agent/api/query_pool.h"
#include "agent/api/serve_alias.h"
#include "agent/dashboard/dashboard.h"
#include "agent/metrics/serve_metrics_answer.h"
#include "agent/status/health.h"
#include "agent/status/status.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/sha256.h"

void serve_json(struct serve_reply *reply, int status, const cJSON *json)
{
    char *text = json_print(json);
    reply->status = status;
    reply->content_type = "application/json";
    buf_puts(&reply->body, text);
    buf_putc(&reply->body, '\n');
    free(text);
}

static const char *title_of(int status)
{
    switch (status) {
    case 400:
        return "Bad Request";
    case 401:
        return "Unauthorized";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 409:
        return "Conflict";
    case 413:
        return "Content Too Large";
    case 415:
        return "Unsupported Media Type";
    case 422:
        return "Unprocessable Content";
    case 429:
        return "Too Many Requests";
    case 502:
        return "Bad Gateway";
    case 501:
        return "Not Implemented";
    case 503:
        return "Service Unavailable";
    default:
        return "Internal Server Error";
    }
}

void serve_problem_with(struct serve_reply *reply, int status, const char *detail, cJSON *members)
{
    CLEANUP(cJSON_Deletep) cJSON *problem = json_object();
    json_add_string(problem, "type", "about:blank");
    json_add_string(problem, "title", title_of(status));
    json_add_int(problem, "status", status);
    json_add_string(problem, "detail", detail);
    while (members && members->child) {
        cJSON *member = cJSON_DetachItemViaPointer(members, members->child);
        json_add(problem, member->string, member);
    }
    cJSON_Delete(members);
    buf_clear(&reply->body);
    serve_json(reply, status, problem);
    reply->content_type = "application/problem+json";
}

void serve_problem(struct serve_reply *reply, int status, const char *detail)
{
    serve_problem_with(reply, status, detail, NULL);
}

void serve_unavailable(struct serve_reply *reply, const char *detail)
{
    serve_problem(reply, 503, detail);
    serve_add_header(reply, "Retry-After", "1");
}

static void answer_alive(const struct serve_request *request, const struct serve_parts *parts,
                         struct serve_reply *reply)
{
    (void)parts;
    CLEANUP(cJSON_Deletep) cJSON *health = health_json(request->agent->health);
    serve_json(reply, 200, health);
}

static void answer_ready(const struct serve_request *request, const struct serve_parts *parts,
                         struct serve_reply *reply)
{
    (void)parts;
    CLEANUP(cJSON_Deletep) cJSON *health = health_json(request->agent->health);
    serve_json(reply, cJSON_IsTrue(json_get(health, "ready")) ? 200 : 503, health);
}

bool serve_state_is_closed(struct agent *agent, char reason[static HEALTH_REASON_SIZE])
{
    if (!atomic_load(&agent->awaits_state))
        return false;
    if (!health_reason(agent->health, "start", reason))
        snprintf(reason, HEALTH_REASON_SIZE, "starting");
    return true;
}

static bool load_status(const struct serve_request *request, const char *family, cJSON **out,
                        struct err *err)
{
    struct agent *agent = request->agent;
    char reason[HEALTH_REASON_SIZE];
    /* nobody is kept waiting for what is known not to answer */
    if (health_reason(agent->health, "mongodb", reason) || serve_state_is_closed(agent, reason))
        return err_set(err, ERR_RETRY, ERR_MONGO, 0, "%s", reason);
    struct status_request wanted = {.config = agent->config,
                                    .docs = agent->docs,
                                    .pool = agent->pool,
                                    .family = family,
                                    .health = agent->health};
    return status_json(&wanted, out, err);
}

static void answer_metrics(const struct serve_request *request, const struct serve_parts *parts,
                           struct serve_reply *reply)
{
    (void)parts;
    CLEANUP(cJSON_Deletep) cJSON *status = NULL;
    /* without the state database the process still says what it knows of itself */
    (void)!load_status(request, NULL, &status, NULL);
    metrics_answer(request, status, reply);
}

static cJSON *status_or_problem(const struct serve_request *request, const char *family,
                                struct serve_reply *reply)
{
    struct err err;
    cJSON *status = NULL;
    if (load_status(request, family, &status, &err))
        return status;
    if (err.action == ERR_REJECT)
        serve_problem(reply, 404, err.text);
    else
        serve_unavailable(reply, err.text);
    return NULL;
}

static void answer_status(const struct serve_request *request, const struct serve_parts *parts,
                          struct serve_reply *reply)
{
    (void)parts;
    CLEANUP(cJSON_Deletep) cJSON *status = status_or_problem(request, NULL, reply);
    if (status)
        serve_json(reply, 200, status);
}

static void answer_family(const struct serve_request *request, const struct serve_parts *parts,
                          struct serve_reply *reply)
{
    CLEANUP(cJSON_Deletep) cJSON *status = status_or_problem(request, parts->items[0], reply);
    if (status)
        serve_json(reply, 200, status_family(status, parts->items[0]));
}

static void answer_version(const struct serve_request *request, const struct serve_parts *parts,
                           struct serve_reply *reply)
{
    CLEANUP(cJSON_Deletep) cJSON *status = status_or_problem(request, parts->items[0], reply);
    if (!status)
        return;
    const cJSON *family = status_family(status, parts->items[0]);
    const cJSON *version = status_version(family, parts->items[1]);
    char detail[SERVE_PART_SIZE * 2 + 64];
    snprintf(detail, sizeof detail, "family %s has no version '%s'", parts->items[0],
             parts->items[1]);
    if (version)
        serve_json(reply, 200, version);
    else
        serve_problem(reply, 404, detail);
}

static void answer_alias(const struct serve_request *request, const struct serve_parts *parts,
                         struct serve_reply *reply)
{
    serve_alias(request, parts->items[0], reply);
}

static void answer_events(const struct serve_request *request, const struct serve_parts *parts,
                          struct serve_reply *reply)
{
    (void)request;
    (void)parts;
    reply->status = 200;
    reply->later = SERVE_EVENTS;
}

/* Calls that have nothing to do with the state. */
static bool is_open(serve_answer *answer)
{
    return answer == api_openapi || answer == dashboard_config || answer == answer_events;
}

struct route {
    const char *method;
    const char *pattern;  /* {}: a name */
    serve_answer *answer; /* NULL: not built yet */
};

#define FAMILY "/v1/families/{}"
#define VERSION "/v1/families/{}/versions/{}"

static const struct route routes[] = {
    {"GET", "/healthz", answer_alive},
    {"GET", "/readyz", answer_ready},
    {"GET", "/metrics", answer_metrics},
    {"GET", "/v1/status", answer_status},
    {"GET", "/v1/families", answer_status},
    {"GET", FAMILY, answer_family},
    {"GET", VERSION, answer_version},
    {"GET", "/", dashboard_answer},
    {"GET", "/dashboard/{}", dashboard_answer},
    {"GET", "/v1/config", dashboard_config},
    {"GET", FAMILY "/history", dashboard_history},
    {"GET", VERSION "/verification", dashboard_verification},
    {"GET", "/v1/openapi.json", api_openapi},
    {"GET", "/v1/events", answer_events},
    {"POST", "/v1/gc", api_gc},
    {"POST", FAMILY ":rollback", api_rollback},
    {"POST", FAMILY ":plan", api_plan},
    {"POST", FAMILY ":sweep", api_sweep},
    {"POST", FAMILY ":audit", api_audit_family},
    {"POST", FAMILY ":pause", api_pause_family},
    {"POST", FAMILY ":resume", api_resume_family},
    {"DELETE", FAMILY, api_remove},
    {"GET", "/v1/jobs/{}", api_job},
    {"POST", "/v1/jobs/{}:cancel", api_cancel_job},
    {"POST", FAMILY ":adopt", api_adopt},
    {"POST", FAMILY ":partitions", api_partitions},
    {"GET", FAMILY "/wishes/{}", api_wish},
    {"DELETE", FAMILY "/wishes/{}", api_cancel},
    {"GET", FAMILY "/alias", answer_alias},
    {"POST", FAMILY "/query", api_query},
    {"GET", FAMILY "/quarantine", api_quarantine},
    {"POST", FAMILY "/quarantine:retry", api_retry},
    {"POST", FAMILY "/quarantine:skip", api_skip},
    {"POST", FAMILY "/versions", api_create},
    {"DELETE", VERSION, api_drop},
    {"POST", VERSION ":verify", api_verify},
    {"POST", VERSION ":cutover", api_cutover},
    {"POST", VERSION ":pause", api_pause},
    {"POST", VERSION ":resume", api_resume},
    {"POST", VERSION ":audit", api_audit},
};

bool serve_route_at(size_t index, const char **method, const char **pattern)
{
    if (index >= ARRAY_LEN(routes))
        return false;
    *method = routes[index].method;
    *pattern = routes[index].pattern;
    return true;
}

static bool matches(const char *pattern, const char *path, struct serve_parts *parts)
{
    parts->count = 0;
    while (*pattern) {
        if (pattern[0] != '{') {
            if (*pattern++ != *path++)
                return false;
            continue;
        }
        size_t length = strcspn(path, "/:");
        if (length == 0 || length >= SERVE_PART_SIZE)
            return false;
        snprintf(parts->items[parts->count++], SERVE_PART_SIZE, "%.*s", (int)length, path);
        path += length;
        pattern += 2;
    }
    return *path == '\0';
}

/* Compares digests, so that neither content nor length shows in the time it takes. */
bool serve_is_authorized(const struct serve_request *request)
{
    static const char scheme[] = "Bearer ";
    if (!request->token)
        return true;
    if (!request->authorization ||
        strncasecmp(request->authorization, scheme, sizeof scheme - 1) != 0)
        return false;
    const char *given = request->authorization + sizeof scheme - 1;
    struct sha256 a = sha256_of(given, strlen(given));
    struct sha256 b = sha256_of(request->token, strlen(request->token));
    unsigned difference = 0;
    for (size_t i = 0; i < SHA256_SIZE; i++)
        difference |= (unsigned)(a.bytes[i] ^ b.bytes[i]);
    return difference == 0;
}

static void allow(struct serve_reply *reply, const char *method)
{
    size_t used = strlen(reply->allow);
    snprintf(reply->allow + used, sizeof reply->allow - used, "%s%s", used ? ", " : "", method);
    if (strcmp(method, "GET") == 0)
        allow(reply, "HEAD");
}

static void answer_route(const struct route *route, const struct serve_request *request,
                         const struct serve_parts *parts, struct serve_reply *reply)
{
    char reason[HEALTH_REASON_SIZE];
    bool is_call = strncmp(route->pattern, "/v1/", 4) == 0 && !is_open(route->answer);
    if (is_call && serve_state_is_closed(request->agent, reason))
        serve_unavailable(reply, reason);
    else
        route->answer(request, parts, reply);
}

/* Whatever stands in the path is repeated as plain letters at most. */
static void put_plain(const char *text, size_t most, struct buf *out)
{
    for (size_t i = 0; text[i] && i < most; i++)
        buf_putc(out, text[i] > ' ' && text[i] <= '~' ? text[i] : '?');
    if (strlen(text) > most)
        buf_puts(out, "...");
}

static void refuse_route(const struct serve_request *request, struct serve_reply *reply)
{
    CLEANUP(buf_fini) struct buf detail = BUF_INIT(KIB);
    bool known = reply->allow[0] != '\0';
    buf_puts(&detail, known ? "" : "there is no path ");
    put_plain(request->path, 200, &detail);
    if (known) {
        buf_printf(&detail, " takes %s, not ", reply->allow);
        put_plain(request->method, 20, &detail);
    } else {
        buf_puts(&detail, ": /v1/openapi.json lists those that there are");
    }
    serve_problem(reply, known ? 405 : 404, buf_str(&detail));
}

/* NULL: there is none. */
static const struct route *find(const struct serve_request *request, struct serve_parts *parts)
{
    const char *method = strcmp(request->method, "HEAD") == 0 ? "GET" : request->method;
    for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
        if (strcmp(routes[i].method, method) == 0 &&
            matches(routes[i].pattern, request->path, parts))
            return &routes[i];
    }
    return NULL;
}

static void refuse_method(const struct serve_request *request, struct serve_reply *reply)
{
    struct serve_parts parts;
    for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
        if (matches(routes[i].pattern, request->path, &parts))
            allow(reply, routes[i].method);
    }
    refuse_route(request, reply);
}

static void route_method(const struct serve_request *request, struct serve_reply *reply)
{
    struct serve_parts parts;
    const struct route *route = find(request, &parts);
    if (!route)
        refuse_method(request, reply);
    else
        answer_route(route, request, &parts, reply);
}

size_t serve_route_count(void)
{
    return ARRAY_LEN(routes);
}

size_t serve_route_of(const struct serve_request *request)
{
    struct serve_parts parts;
    const struct route *route = find(request, &parts);
    return route ? (size_t)(route - routes) : ARRAY_LEN(routes);
}

const char *serve_argument(const struct serve_request *request, const char *name)
{
    for (size_t i = 0; i < request->argument_count; i++)
        if (strcmp(request->arguments[i].name, name) == 0)
            return request->arguments[i].value;
    return NULL;
}

void serve_reply_init(struct serve_reply *reply)
{
    *reply = (struct serve_reply){.body = BUF_INIT(SERVE_REPLY_MAX)};
}

void serve_add_header(struct serve_reply *reply, const char *name, const char *format, ...)
{
    va_list arguments;
    assert(reply->header_count < SERVE_HEADERS_MAX);
    struct serve_header *header = &reply->headers[reply->header_count++];
    header->name = name;
    va_start(arguments, format);
    int size = vsnprintf(header->value, sizeof header->value, format, arguments);
    va_end(arguments);
    assert(size >= 0 && (size_t)size < sizeof header->value);
}

bool serve_is_quick(const struct serve_request *request)
{
    const char *path = request->path;
    return strcmp(path, "/v1/events") == 0 ||
           (strncmp(path, "/v1", 3) != 0 && strcmp(path, "/metrics") != 0);
}

static enum serve_turn turn_of(const struct route *route, const struct serve_request *request)
{
    if (route->answer == api_query)
        return SERVE_QUERY;
    if (route->answer == answer_alias) /* who waits for it is parked */
        return SERVE_BRIEF;
    bool is_job = route->answer == api_plan || route->answer == api_audit ||
                  route->answer == api_audit_family;
    return is_job || serve_argument(request, "wait") ? SERVE_WAITING : SERVE_BRIEF;
}

size_t serve_group_count(const struct config *config, enum serve_turn turn)
{
    return turn == SERVE_QUERY && config->embedder_count > 0 ? config->embedder_count : 1;
}

/* Of the version that is asked. What is wrong with the body is said when it is its turn. */
static size_t embedder_of(const struct serve_request *request, const char *family)
{
    struct err err;
    struct query_target target = {.family = family};
    CLEANUP(cJSON_Deletep)
    cJSON *body = request->body ? json_parse(request->body, request->body_size, &err) : NULL;
    (void)!json_get_string(body, "label", &target.label);
    return query_pool_embedder(request->agent->queries, &target);
}

struct serve_place serve_place_of(const struct serve_request *request)
{
    struct serve_parts parts;
    const struct route *route = find(request, &parts);
    struct serve_place place = {.turn = route ? turn_of(route, request) : SERVE_BRIEF};
    if (place.turn == SERVE_QUERY)
        place.group = embedder_of(request, parts.items[0]);
    return place;
}

void serve_route(const struct serve_request *request, struct serve_reply *reply)
{
    serve_reply_init(reply);
    if (strncmp(request->path, "/v1", 3) == 0 && !serve_is_authorized(request))
        serve_problem(reply, 401, "this call needs the header Authorization: Bearer <token>");
    else if (request->too_large)
        serve_problem(reply, 413, "a body may have 1 MiB at most");
    else
        route_method(request, reply);
    if (reply->body.overflow)
        serve_problem(reply, 500, "the answer is too large");
}
