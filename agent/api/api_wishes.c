/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that leave a wish: 202 with it, or 409 with why it is refused. Like the command without --wait they
 * wait a moment for the answer, because an agent looks once a second. */
#include <string.h>

#include "agent/api/api.h"
#include "agent/commands/cancel_command.h"
#include "agent/commands/wish_command.h"
#include "agent/verify/report.h"
#include "base/clock.h"
#include "cdc/worklog.h"

#define MOMENT_MS 3000
#define LOOK_MS 100

/* The gates of the version's last verification, where one of them failed. */
static bool add_gates(const struct wish_command *wish, cJSON *members, struct err *err)
{
    struct registry registry;
    struct verify_report report;
    bool found = false;
    if (!registry_load(wish->command->docs, wish->command->config->name, wish->family->name,
                       &registry, err))
        return false;
    const struct version *version = registry_version(&registry, wish->label);
    bool ok = !version || verify_report_load(wish->command->docs, wish->command->config->name,
                                             version->build_id, &found, &report, err);
    registry_fini(&registry);
    if (ok && found && !report.ok) {
        CLEANUP(cJSON_Deletep) cJSON *json = verify_report_json(&report);
        json_add(members, "gates", cJSON_DetachItemFromObject(json, "gates"));
    }
    return ok;
}

static bool is_about_gates(const struct wish_command *wish)
{
    return wish->label &&
           (strcmp(wish->kind, WISH_CUTOVER) == 0 || strcmp(wish->kind, WISH_VERIFY) == 0);
}

static void answer_refused(const struct wish_command *wish, struct serve_reply *reply)
{
    struct err err;
    cJSON *members = json_object();
    json_add(members, "wish", wish_command_json(wish));
    if (is_about_gates(wish) && !add_gates(wish, members, &err)) {
        cJSON_Delete(members);
        api_fail(reply, &err);
        return;
    }
    serve_problem_with(reply, 409, wish->reason, members);
}

static void answer_outcome(const struct wish_command *wish, struct serve_reply *reply)
{
    if (wish->outcome == WISH_REFUSED || wish->outcome == WISH_FAILED) {
        answer_refused(wish, reply);
        return;
    }
    CLEANUP(cJSON_Deletep) cJSON *json = wish_command_json(wish);
    serve_json(reply, *wish->id ? 202 : 200, json);
    if (*wish->id)
        serve_add_header(reply, "Location", "/v1/families/%s/wishes/%s", wish->family->name,
                         wish->id);
}

/* The wish stands whatever happens meanwhile: an error of looking is no error of the call. */
static void wait_for_answer(struct agent *agent, struct wish_command *wish, int64_t wait_ms)
{
    struct err err;
    int64_t until_ms = clock_mono_ms() + wait_ms;
    while (wish->outcome == WISH_PENDING && wish_command_look(wish, NULL, &err) &&
           wish->outcome == WISH_PENDING && !wish->leaderless && clock_mono_ms() < until_ms &&
           agent_sleep(agent, LOOK_MS))
        ;
}

/* What is asked of a family, or of a version of it. */
static void submit(const struct serve_request *request, struct wish_command *wish,
                   const struct serve_parts *parts, struct serve_reply *reply)
{
    struct err err;
    struct api_place place;
    int64_t wait_ms = MOMENT_MS;
    if (!api_enter_family(request, parts, &place, reply) ||
        !api_take_wait(request, &wait_ms, reply))
        return;
    wish->command = &place.command;
    wish->family = place.family;
    if (!wish_command_check(wish, &err) || !wish_command_submit(wish, &err)) {
        api_fail(reply, &err);
        return;
    }
    wait_for_answer(request->agent, wish, wait_ms);
    answer_outcome(wish, reply);
}

void api_create(const struct serve_request *request, const struct serve_parts *parts,
                struct serve_reply *reply)
{
    CLEANUP(cJSON_Deletep) cJSON *body = NULL;
    struct wish_command wish = {.kind = WISH_CREATE};
    const struct api_member members[] = {
        {"label", API_TEXT, true, &wish.label, 0, 0},
        {"embedder", API_TEXT, true, &wish.ask.embedder, 0, 0},
        {"store", API_TEXT, false, &wish.ask.store, 0, 0},
        {"from", API_TEXT, false, &wish.ask.from, 0, 0},
        {"no_reuse", API_BOOL, false, &wish.ask.no_reuse, 0, 0},
    };
    if (api_take_body(request, members, ARRAY_LEN(members), &body, reply))
        submit(request, &wish, parts, reply);
}

void api_verify(const struct serve_request *request, const struct serve_parts *parts,
                struct serve_reply *reply)
{
    struct wish_command wish = {.kind = WISH_VERIFY, .label = parts->items[1]};
    if (api_take_nothing(request, reply) && api_find_version(request, parts, reply))
        submit(request, &wish, parts, reply);
}

void api_cutover(const struct serve_request *request, const struct serve_parts *parts,
                 struct serve_reply *reply)
{
    CLEANUP(cJSON_Deletep) cJSON *body = NULL;
    struct wish_command wish = {.kind = WISH_CUTOVER, .label = parts->items[1]};
    const struct api_member members[] = {
        {"force", API_BOOL, false, &wish.ask.force, 0, 0},
        {"empty_live", API_BOOL, false, &wish.ask.empty_live, 0, 0},
        {"reason", API_TEXT, false, &wish.why, 0, 0},
    };
    if (!api_take_body(request, members, ARRAY_LEN(members), &body, reply))
        return;
    if ((wish.ask.force || wish.ask.empty_live) && !wish.why)
        serve_problem(reply, 400,
                      "force and empty_live need reason: it is written down who did it, and why");
    else if (api_find_version(request, parts, reply))
        submit(request, &wish, parts, reply);
}

void api_drop(const struct serve_request *request, const struct serve_parts *parts,
              struct serve_reply *reply)
{
    struct wish_command wish = {.kind = WISH_DROP, .label = parts->items[1]};
    if (api_take_nothing(request, reply) && api_find_version(request, parts, reply))
        submit(request, &wish, parts, reply);
}

void api_rollback(const struct serve_request *request, const struct serve_parts *parts,
                  struct serve_reply *reply)
{
    struct wish_command wish = {.kind = WISH_ROLLBACK};
    if (api_take_nothing(request, reply))
        submit(request, &wish, parts, reply);
}

void api_adopt(const struct serve_request *request, const struct serve_parts *parts,
               struct serve_reply *reply)
{
    CLEANUP(cJSON_Deletep) cJSON *body = NULL;
    struct wish_command wish = {.kind = WISH_ADOPT};
    const struct api_member members[] = {
        {"target", API_TEXT, true, &wish.ask.target, 0, 0},
        {"embedder", API_TEXT, true, &wish.ask.embedder, 0, 0},
        {"store", API_TEXT, false, &wish.ask.store, 0, 0},
    };
    if (api_take_body(request, members, ARRAY_LEN(members), &body, reply))
        submit(request, &wish, parts, reply);
}

void api_partitions(const struct serve_request *request, const struct serve_parts *parts,
                    struct serve_reply *reply)
{
    CLEANUP(cJSON_Deletep) cJSON *body = NULL;
    struct wish_command wish = {.kind = WISH_PARTITIONS};
    const struct api_member members[] = {
        {"count", API_INT, true, &wish.ask.count, 1, WORKLOG_MAX_PARTITIONS},
    };
    if (api_take_body(request, members, ARRAY_LEN(members), &body, reply))
        submit(request, &wish, parts, reply);
}

/* What came of a wish, as it stands. */
static bool find_wish(const struct api_place *place, const char *id, cJSON **json,
                      struct serve_reply *reply)
{
    struct err err;
    bool found = false;
    struct wish_look look = {&place->command, place->family, id};
    if (!wish_look_json(&look, &found, json, &err))
        api_fail(reply, &err);
    else if (!found)
        serve_problem(reply, 404, "the family knows no such wish, or not any more");
    return *json != NULL;
}

void api_wish(const struct serve_request *request, const struct serve_parts *parts,
              struct serve_reply *reply)
{
    struct api_place place;
    CLEANUP(cJSON_Deletep) cJSON *json = NULL;
    if (api_take_arguments(request, "", reply) && api_enter_family(request, parts, &place, reply) &&
        find_wish(&place, parts->items[1], &json, reply))
        serve_json(reply, 200, json);
}

void api_cancel(const struct serve_request *request, const struct serve_parts *parts,
                struct serve_reply *reply)
{
    struct err err;
    struct api_place place;
    CLEANUP(cJSON_Deletep) cJSON *json = NULL;
    if (!api_take_nothing(request, reply) || !api_take_arguments(request, "", reply) ||
        !api_enter_family(request, parts, &place, reply))
        return;
    struct cancel_command cancel = {
        .command = &place.command, .family = place.family, .id = parts->items[1]};
    if (!cancel_command_run(&cancel, &err))
        api_fail(reply, &err);
    else if (cancel.outcome != CANCEL_DONE)
        serve_problem(reply, cancel.outcome == CANCEL_REFUSED ? 409 : 404, cancel.reason);
    else if (find_wish(&place, cancel.id, &json, reply))
        serve_json(reply, 200, json);
}
