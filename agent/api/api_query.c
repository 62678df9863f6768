/* SPDX-License-Identifier: Apache-2.0 */
/* A search, with the embedder that built what is searched. */
#include <stdlib.h>

#include "agent/api/api.h"
#include "agent/api/query.h"
#include "sinks/where.h"

#define TEXT_MAX 100000
#define K_MAX 1000

static void run(const struct query_request *query, struct serve_reply *reply)
{
    struct err err;
    CLEANUP(cJSON_Deletep) cJSON *answer = NULL;
    if (query_run(query, &answer, &err))
        serve_json(reply, 200, answer);
    else if (err.action == ERR_REJECT && (err.domain == ERR_DATA || err.domain == ERR_EMBED))
        serve_problem(reply, 422, err.text); /* it is the text that cannot be searched for */
    else
        api_fail(reply, &err);
}

void api_query(const struct serve_request *request, const struct serve_parts *parts,
               struct serve_reply *reply)
{
    struct err err;
    struct api_place place;
    CLEANUP(cJSON_Deletep) cJSON *body = NULL;
    const cJSON *where = NULL;
    struct query_request query = {.k = 10, .pool = request->agent->queries};
    const struct api_member members[] = {
        {"text", API_TEXT, true, &query.text, 0, TEXT_MAX},
        {"k", API_INT, false, &query.k, 1, K_MAX},
        {"label", API_TEXT, false, &query.label, 0, 0},
        {"where", API_OBJECT, false, &where, 0, 0},
    };
    if (!api_take_body(request, members, ARRAY_LEN(members), &body, reply) ||
        !api_take_arguments(request, "", reply) || !api_enter_family(request, parts, &place, reply))
        return;
    if (where && !where_check(where, &err)) {
        api_fail(reply, &err);
        return;
    }
    if (query.label && !api_has_version(&place, query.label, reply))
        return;
    char *conditions = where ? json_print(where) : NULL;
    query.config = place.command.config;
    query.docs = place.command.docs;
    query.family = place.family->name;
    query.where = conditions;
    run(&query, reply);
    free(conditions);
}
