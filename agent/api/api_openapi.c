/* SPDX-License-Identifier: Apache-2.0 */
/* The description of the calls, with what only a running agent knows: its version, and the names that its
 * configuration has. */
#include "agent/api/api_openapi.h"

#include <string.h>

#include "agent/api/api.h"

static void replace(cJSON *object, const char *name, cJSON *item)
{
    cJSON_DeleteItemFromObject(object, name);
    json_add(object, name, item);
}

static cJSON *member(cJSON *object, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(object, name);
}

static void name_embedders(const struct config *config, cJSON *schemas)
{
    cJSON *names = json_array();
    for (size_t i = 0; i < config->embedder_count; i++)
        json_append(names, cJSON_CreateString(config->embedders[i].name));
    replace(member(schemas, "EmbedderName"), "enum", names);
}

static void name_stores(const struct config *config, cJSON *schemas)
{
    cJSON *names = json_array();
    for (size_t i = 0; i < config->store_count; i++)
        json_append(names, cJSON_CreateString(config->stores[i].name));
    replace(member(schemas, "StoreName"), "enum", names);
}

void api_openapi(const struct serve_request *request, const struct serve_parts *parts,
                 struct serve_reply *reply)
{
    (void)parts;
    struct err err;
    CLEANUP(cJSON_Deletep)
    cJSON *document = json_parse(api_openapi_text, strlen(api_openapi_text), &err);
    if (!api_take_arguments(request, "", reply))
        return;
    if (!document) {
        serve_problem(reply, 500, err.text);
        return;
    }
    cJSON *schemas = member(member(document, "components"), "schemas");
    replace(member(document, "info"), "version", cJSON_CreateString(VECTAIL_VERSION));
    name_embedders(request->agent->config, schemas);
    name_stores(request->agent->config, schemas);
    serve_json(reply, 200, document);
}
