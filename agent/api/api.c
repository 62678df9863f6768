/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/api.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "agent/config/config_options.h"
#include "agent/config/config_values.h"

#define RETRY_AFTER_S 5u
/* Each that waits holds one of few handlers. */
#define WAIT_MAX_MS 10000

static bool refuse(struct serve_reply *reply, const char *format, ...) PRINTF_LIKE(2, 3);

static bool refuse(struct serve_reply *reply, const char *format, ...)
{
    char detail[512];
    va_list list;
    va_start(list, format);
    vsnprintf(detail, sizeof detail, format, list);
    va_end(list);
    serve_problem(reply, 400, detail);
    return false;
}

/* --- bodies --------------------------------------------------------------------------------------- */

static bool is_json(const char *content_type)
{
    static const char json[] = "application/json";
    size_t length = sizeof json - 1;
    if (!content_type || strncasecmp(content_type, json, length) != 0)
        return false;
    return strchr("; \t", content_type[length]) != NULL; /* the end counts as one of them */
}

static int64_t characters_of(const char *text)
{
    int64_t count = 0;
    for (; *text; text++)
        count += ((unsigned char)*text & 0xC0) != 0x80;
    return count;
}

static bool take_text(const struct api_member *member, const cJSON *node, struct serve_reply *reply)
{
    int64_t most = member->max ? member->max : API_TEXT_MAX;
    if (!cJSON_IsString(node))
        return refuse(reply, "%s: must be a string", member->name);
    int64_t characters = characters_of(node->valuestring);
    if (characters < 1 || characters > most)
        return refuse(reply, "%s: must have 1 to %" PRId64 " characters, has %" PRId64,
                      member->name, most, characters);
    *(const char **)member->out = node->valuestring;
    return true;
}

static bool take_int(const struct api_member *member, const cJSON *node, struct serve_reply *reply)
{
    int64_t number = 0;
    if (!json_int(node, &number) || number < member->min || number > member->max)
        return refuse(reply, "%s: must be an integer from %" PRId64 " to %" PRId64, member->name,
                      member->min, member->max);
    *(int64_t *)member->out = number;
    return true;
}

static bool take_member(const struct api_member *member, const cJSON *node,
                        struct serve_reply *reply)
{
    switch (member->type) {
    case API_TEXT:
        return take_text(member, node, reply);
    case API_INT:
        return take_int(member, node, reply);
    case API_BOOL:
        if (!cJSON_IsBool(node))
            return refuse(reply, "%s: must be true or false", member->name);
        *(bool *)member->out = cJSON_IsTrue(node);
        return true;
    case API_OBJECT:
        if (!cJSON_IsObject(node))
            return refuse(reply, "%s: must be an object", member->name);
        *(const cJSON **)member->out = node;
        return true;
    }
    return false;
}

static bool refuse_unknown(const char *name, const struct api_member *members, size_t count,
                           struct serve_reply *reply)
{
    const char *nearest = NULL;
    size_t least = SIZE_MAX;
    for (size_t i = 0; i < count; i++) {
        size_t distance = config_distance_of(name, members[i].name);
        if (distance < least) {
            least = distance;
            nearest = members[i].name;
        }
    }
    if (nearest)
        return refuse(reply, "%.100s: unknown member; did you mean %s?", name, nearest);
    return refuse(reply, "%.100s: unknown member", name);
}

static bool take_members(const cJSON *object, const struct api_member *members, size_t count,
                         struct serve_reply *reply)
{
    const cJSON *node;
    cJSON_ArrayForEach(node, object)
    {
        size_t i = 0;
        while (i < count && strcmp(members[i].name, node->string) != 0)
            i++;
        if (i == count)
            return refuse_unknown(node->string, members, count, reply);
        if (json_get(object, node->string) != node)
            return refuse(reply, "%s: stands there twice", node->string);
        if (!take_member(&members[i], node, reply))
            return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (members[i].required && !json_get(object, members[i].name))
            return refuse(reply, "%s: is missing", members[i].name);
    }
    return true;
}

bool api_take_body(const struct serve_request *request, const struct api_member *members,
                   size_t count, cJSON **body, struct serve_reply *reply)
{
    struct err err;
    *body = NULL;
    if (!request->body || request->body_size == 0)
        return take_members(NULL, members, count, reply);
    if (!is_json(request->content_type)) {
        serve_problem(reply, 415, "the body must be JSON: Content-Type: application/json");
        return false;
    }
    *body = json_parse(request->body, request->body_size, &err);
    if (!*body)
        return refuse(reply, "the body is no JSON: %s", err.text);
    if (cJSON_IsObject(*body))
        return take_members(*body, members, count, reply);
    return refuse(reply, "the body must be a JSON object");
}

bool api_take_nothing(const struct serve_request *request, struct serve_reply *reply)
{
    CLEANUP(cJSON_Deletep) cJSON *body = NULL;
    return api_take_body(request, NULL, 0, &body, reply);
}

/* Whether the blank-separated names have it. */
static bool is_among(const char *names, const char *name)
{
    size_t length = strlen(name);
    const char *at = length > 0 ? names : NULL;
    for (; at && (at = strstr(at, name)); at++) {
        bool begins = at == names || at[-1] == ' ';
        if (begins && (at[length] == ' ' || at[length] == '\0'))
            return true;
    }
    return false;
}

bool api_take_arguments(const struct serve_request *request, const char *names,
                        struct serve_reply *reply)
{
    for (size_t i = 0; i < request->argument_count; i++) {
        const char *name = request->arguments[i].name;
        if (!is_among(names, name))
            return refuse(reply, "%.100s: unknown argument; this call takes %s", name,
                          *names ? names : "none");
        if (serve_argument(request, name) != request->arguments[i].value)
            return refuse(reply, "%s: stands there twice", name);
    }
    return true;
}

bool api_take_text(const struct serve_request *request, const char *name, const char **out,
                   struct serve_reply *reply)
{
    *out = serve_argument(request, name);
    int64_t characters = *out ? characters_of(*out) : 1;
    return (characters >= 1 && characters <= API_TEXT_MAX) ||
           refuse(reply, "%s: must have 1 to %d characters", name, API_TEXT_MAX);
}

bool api_take_wait(const struct serve_request *request, int64_t *wait_ms, struct serve_reply *reply)
{
    const char *text = serve_argument(request, "wait");
    if (!api_take_arguments(request, "wait", reply))
        return false;
    if (!text)
        return true;
    bool has_unit = *text && strchr("sm", text[strlen(text) - 1]);
    if (has_unit && config_value_duration(text, wait_ms) && *wait_ms >= 0 &&
        *wait_ms <= WAIT_MAX_MS)
        return true;
    return refuse(reply, "wait: must be a duration from 0s to 10s, like 500ms or 5s");
}

/* --- answers -------------------------------------------------------------------------------------- */

void api_enter(const struct serve_request *request, struct api_place *place)
{
    struct agent *agent = request->agent;
    snprintf(place->by, sizeof place->by, "HTTP at %s", agent->holder);
    place->family = NULL;
    place->command = (struct command){.config = agent->config,
                                      .pool = agent->pool,
                                      .docs = agent->docs,
                                      .by = place->by,
                                      .limiters = agent->limiters};
}

bool api_enter_family(const struct serve_request *request, const struct serve_parts *parts,
                      struct api_place *place, struct serve_reply *reply)
{
    struct err err;
    api_enter(request, place);
    place->family = command_family(place->command.config, parts->items[0], &err);
    if (!place->family)
        serve_problem(reply, 404, err.text);
    return place->family != NULL;
}

bool api_has_version(const struct api_place *place, const char *label, struct serve_reply *reply)
{
    struct err err;
    struct registry registry;
    if (!registry_load(place->command.docs, place->command.config->name, place->family->name,
                       &registry, &err)) {
        api_fail(reply, &err);
        return false;
    }
    bool found = command_version(&registry, label, &err);
    registry_fini(&registry);
    if (!found)
        serve_problem(reply, 404, err.text);
    return found;
}

bool api_find_version(const struct serve_request *request, const struct serve_parts *parts,
                      struct serve_reply *reply)
{
    struct api_place place;
    return api_enter_family(request, parts, &place, reply) &&
           api_has_version(&place, parts->items[1], reply);
}

void api_fail(struct serve_reply *reply, const struct err *err)
{
    int status = err->domain == ERR_CONFIG || err->domain == ERR_STATE ? 500 : 502;
    if (err->action == ERR_REJECT)
        status = err->domain == ERR_CONFIG ? 422 : 409;
    else if (err->action == ERR_RETRY || err->action == ERR_CANCEL)
        status = 503;
    serve_problem(reply, status, err->text);
    if (status == 503)
        serve_add_header(reply, "Retry-After", "%u",
                         err->retry_after_ms ? (err->retry_after_ms + 999) / 1000 : RETRY_AFTER_S);
}
