/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/dashboard/dashboard.h"

#include <stdlib.h>
#include <string.h>

#include "agent/api/api.h"
#include "agent/config/config_values.h"
#include "agent/status/history.h"
#include "agent/verify/report.h"
#include "base/clock.h"
#include "base/json.h"
#include "state/registry.h"

/* Nothing from another host, nothing inline, no frame around it. */
static const char policy[] =
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

static const struct dashboard_file *file_of(const char *name)
{
    for (size_t i = 0; i < dashboard_file_count; i++) {
        if (strcmp(dashboard_files[i].name, name) == 0)
            return &dashboard_files[i];
    }
    return NULL;
}

void dashboard_answer(const struct serve_request *request, const struct serve_parts *parts,
                      struct serve_reply *reply)
{
    const struct dashboard_file *file = file_of(parts->count ? parts->items[0] : "index.html");
    if (!file) {
        serve_problem(reply, 404, "the dashboard has no such file");
        return;
    }
    bool known = request->if_none_match && strcmp(request->if_none_match, file->etag) == 0;
    reply->status = known ? 304 : 200;
    reply->content_type = file->content_type;
    serve_add_header(reply, "ETag", "%s", file->etag);
    serve_add_header(reply, "Cache-Control", "no-cache"); /* kept, and asked about each time */
    serve_add_header(reply, "Content-Security-Policy", "%s", policy);
    if (!known)
        buf_append(&reply->body, file->data, file->size);
}

void dashboard_config(const struct serve_request *request, const struct serve_parts *parts,
                      struct serve_reply *reply)
{
    (void)parts;
    if (!api_take_arguments(request, "", reply))
        return;
    CLEANUP(cJSON_Deletep) cJSON *json = config_json(request->agent->config);
    serve_json(reply, 200, json);
}

/* --- a family's last hour ------------------------------------------------------------------------ */

static cJSON *events_json(const struct registry *registry)
{
    cJSON *events = json_array();
    for (size_t i = 0; i < registry->event_count; i++) {
        const struct registry_event *event = &registry->events[i];
        char at[32];
        clock_format(event->at_ms, at);
        cJSON *entry = json_object();
        json_add_string(entry, "at", at);
        json_add_string(entry, "what", event->what);
        json_add_string(entry, "label", event->label);
        json_add_string(entry, "by", event->by);
        json_add_string(entry, "reason", event->reason);
        json_add_string(entry, "wish", event->wish);
        json_add_bool(entry, "refused", event->refused);
        json_append(events, entry);
    }
    return events;
}

/* False after answering. */
static bool take_since(const struct serve_request *request, int64_t *out, struct serve_reply *reply)
{
    const char *text = serve_argument(request, "since");
    *out = 0;
    if (!api_take_arguments(request, "since", reply))
        return false;
    if (!text || (config_value_int(text, out) && *out >= 0))
        return true;
    serve_problem(reply, 400, "since: must be a time in milliseconds since 1970");
    return false;
}

void dashboard_history(const struct serve_request *request, const struct serve_parts *parts,
                       struct serve_reply *reply)
{
    struct err err;
    struct registry registry;
    int64_t since_ms;
    struct agent *agent = request->agent;
    const char *family = parts->items[0];
    if (!take_since(request, &since_ms, reply))
        return;
    if (!registry_load(agent->docs, agent->config->name, family, &registry, &err)) {
        serve_unavailable(reply, err.text);
        return;
    }
    if (registry.rev == 0 && !config_family_of(agent->config, family)) {
        serve_problem(reply, 404, "there is no family of that name");
    } else {
        CLEANUP(cJSON_Deletep) cJSON *json = json_object();
        json_add_string(json, "family", family);
        json_add(json, "figures", history_json(agent->history, family, since_ms));
        json_add(json, "events", events_json(&registry));
        serve_json(reply, 200, json);
    }
    registry_fini(&registry);
}

/* --- the last verification ------------------------------------------------------------------------ */

/* False after answering. free(). */
static bool find_build(const struct serve_request *request, const struct serve_parts *parts,
                       char **build_id, struct serve_reply *reply)
{
    struct err err;
    struct registry registry;
    struct agent *agent = request->agent;
    if (!registry_load(agent->docs, agent->config->name, parts->items[0], &registry, &err)) {
        serve_unavailable(reply, err.text);
        return false;
    }
    const struct version *version = command_version(&registry, parts->items[1], &err);
    *build_id = version ? strdup(version->build_id) : NULL;
    registry_fini(&registry);
    if (!*build_id)
        serve_problem(reply, 404, err.text);
    return *build_id != NULL;
}

void dashboard_verification(const struct serve_request *request, const struct serve_parts *parts,
                            struct serve_reply *reply)
{
    struct err err;
    char *build_id;
    bool found = false;
    struct agent *agent = request->agent;
    if (!api_take_arguments(request, "", reply) || !find_build(request, parts, &build_id, reply))
        return;
    struct verify_report *report = calloc(1, sizeof *report);
    if (!report)
        abort();
    if (!verify_report_load(agent->docs, agent->config->name, build_id, &found, report, &err)) {
        serve_unavailable(reply, err.text);
    } else if (!found) {
        serve_problem(reply, 404, "the version was not verified yet");
    } else {
        CLEANUP(cJSON_Deletep) cJSON *json = verify_report_json(report);
        serve_json(reply, 200, json);
    }
    free(report);
    free(build_id);
}
