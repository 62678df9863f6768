/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/serve_alias.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/commands/command.h"
#include "agent/config/config_values.h"
#include "base/json.h"
#include "state/alias.h"

bool serve_alias_load(struct docstore *docs, const struct config_family *family, char **json,
                      int64_t *epoch, struct err *err)
{
    struct alias_ref ref = {.database = family->alias.database,
                            .collection = family->alias.collection,
                            .family = family->name};
    *epoch = 0;
    if (!alias_json(docs, &ref, json, err))
        return false;
    CLEANUP(cJSON_Deletep) cJSON *alias = *json ? json_parse(*json, strlen(*json), NULL) : NULL;
    if (alias && !json_get_int(alias, "epoch", epoch))
        *epoch = 0;
    return true;
}

void serve_alias_reply(struct serve_reply *reply, const char *family, const char *json)
{
    char text[512];
    serve_reply_init(reply);
    if (json) {
        reply->status = 200;
        reply->content_type = "application/json";
        buf_puts(&reply->body, json);
        buf_putc(&reply->body, '\n');
        return;
    }
    snprintf(text, sizeof text, "family %.256s has no alias document: no version is active yet",
             family);
    serve_problem(reply, 404, text);
}

/* False: *reply says what is wrong with the arguments. */
static bool read_arguments(const struct serve_request *request, struct serve_reply *reply)
{
    const char *epoch = serve_argument(request, "epoch");
    const char *wait = serve_argument(request, "wait");
    reply->wait_ms = epoch ? SERVE_WAIT_DEFAULT_MS : 0;
    if (epoch && (!config_value_int(epoch, &reply->epoch) || reply->epoch < 0)) {
        serve_problem(reply, 400, "epoch: must be a whole number, 0 or more");
        return false;
    }
    if (wait && (!config_value_duration(wait, &reply->wait_ms) || reply->wait_ms < 0 ||
                 reply->wait_ms > SERVE_WAIT_MAX_MS)) {
        serve_problem(reply, 400, "wait: must be a duration of 60s at most, as in 30s or 500ms");
        return false;
    }
    if (wait && !epoch) {
        serve_problem(reply, 400, "wait: needs epoch, that of the alias you know");
        return false;
    }
    return true;
}

void serve_alias(const struct serve_request *request, const char *family, struct serve_reply *reply)
{
    struct err err;
    char *json = NULL;
    int64_t epoch;
    const struct config_family *config = command_family(request->agent->config, family, &err);
    if (!config) {
        serve_problem(reply, 404, err.text);
        return;
    }
    if (!read_arguments(request, reply))
        return;
    if (reply->wait_ms > 0) {
        reply->family = config;
        reply->later = SERVE_ALIAS;
    } else if (serve_alias_load(request->agent->docs, config, &json, &epoch, &err)) {
        serve_alias_reply(reply, family, json);
    } else {
        serve_unavailable(reply, err.text);
    }
    free(json);
}
