/* SPDX-License-Identifier: Apache-2.0 */
/* gc, sweep and remove. */
#include "agent/api/api.h"
#include "agent/commands/gc_command.h"
#include "agent/commands/remove_command.h"
#include "agent/commands/sweep_command.h"
#include "agent/config/config_values.h"

void api_gc(const struct serve_request *request, const struct serve_parts *parts,
            struct serve_reply *reply)
{
    (void)parts;
    struct err err;
    struct api_place place;
    CLEANUP(cJSON_Deletep) cJSON *body = NULL;
    struct gc_command gc = {.command = &place.command};
    const struct api_member members[] = {{"dry_run", API_BOOL, false, &gc.dry_run, 0, 0}};
    if (!api_take_body(request, members, ARRAY_LEN(members), &body, reply) ||
        !api_take_arguments(request, "", reply))
        return;
    api_enter(request, &place);
    if (gc_command_run(&gc, &err)) {
        CLEANUP(cJSON_Deletep) cJSON *json = gc_command_json(&gc);
        serve_json(reply, gc.asked > 0 ? 202 : 200, json);
    } else {
        api_fail(reply, &err);
    }
    gc_command_fini(&gc);
}

void api_sweep(const struct serve_request *request, const struct serve_parts *parts,
               struct serve_reply *reply)
{
    struct err err;
    struct api_place place;
    CLEANUP(cJSON_Deletep) cJSON *body = NULL;
    struct sweep_command sweep = {.command = &place.command};
    const struct api_member members[] = {{"confirm", API_BOOL, false, &sweep.confirm, 0, 0}};
    if (!api_take_body(request, members, ARRAY_LEN(members), &body, reply) ||
        !api_take_arguments(request, "", reply) || !api_enter_family(request, parts, &place, reply))
        return;
    sweep.family = place.family;
    if (sweep_command_run(&sweep, &err)) {
        CLEANUP(cJSON_Deletep) cJSON *json = sweep_command_json(&sweep);
        serve_json(reply, sweep.confirmed > 0 ? 202 : 200, json);
    } else {
        api_fail(reply, &err);
    }
    sweep_command_fini(&sweep);
}

static void answer_removed(const struct remove_command *remove, struct serve_reply *reply)
{
    CLEANUP(cJSON_Deletep) cJSON *json = remove_command_json(remove);
    if (remove->removal.refused)
        serve_problem(reply, remove->removal.unknown ? 404 : 409, remove->removal.reason);
    else
        serve_json(reply, 200, json);
}

/* Of a family that the file does not have any more. */
void api_remove(const struct serve_request *request, const struct serve_parts *parts,
                struct serve_reply *reply)
{
    struct err err;
    struct api_place place;
    const char *drops = serve_argument(request, "drop_collections");
    struct remove_command remove = {.command = &place.command, .family = parts->items[0]};
    if (!api_take_nothing(request, reply) ||
        !api_take_arguments(request, "drop_collections", reply))
        return;
    if (drops && !config_value_bool(drops, &remove.drop_collections)) {
        serve_problem(reply, 400, "drop_collections: must be true or false");
        return;
    }
    api_enter(request, &place);
    if (remove_command_run(&remove, &err))
        answer_removed(&remove, reply);
    else
        api_fail(reply, &err);
    remove_command_fini(&remove);
}
