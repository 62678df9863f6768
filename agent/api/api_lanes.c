/* SPDX-License-Identifier: Apache-2.0 */
/* :pause and :resume of a family or a version. */
#include "agent/api/api.h"
#include "agent/commands/lane_command.h"

static void run(const struct serve_request *request, const struct serve_parts *parts, bool pause,
                struct serve_reply *reply)
{
    struct err err;
    struct api_place place;
    if (!api_take_nothing(request, reply) || !api_take_arguments(request, "", reply) ||
        !api_enter_family(request, parts, &place, reply))
        return;
    struct lane_command lane = {.command = &place.command,
                                .family = place.family,
                                .label = parts->count > 1 ? parts->items[1] : NULL};
    if (pause ? lane_command_pause(&lane, &err) : lane_command_resume(&lane, &err)) {
        CLEANUP(cJSON_Deletep) cJSON *json = lane_command_json(&lane);
        serve_json(reply, 202, json); /* the lanes obey within a second or so */
    } else {
        api_fail(reply, &err);
    }
    lane_command_fini(&lane);
}

void api_pause_family(const struct serve_request *request, const struct serve_parts *parts,
                      struct serve_reply *reply)
{
    run(request, parts, true, reply);
}

void api_resume_family(const struct serve_request *request, const struct serve_parts *parts,
                       struct serve_reply *reply)
{
    run(request, parts, false, reply);
}

void api_pause(const struct serve_request *request, const struct serve_parts *parts,
               struct serve_reply *reply)
{
    if (api_find_version(request, parts, reply))
        run(request, parts, true, reply);
}

void api_resume(const struct serve_request *request, const struct serve_parts *parts,
                struct serve_reply *reply)
{
    if (api_find_version(request, parts, reply))
        run(request, parts, false, reply);
}
