/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/commands/lane_command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/steward/feed.h"
#include "cdc/scan.h"

static bool set_paused(struct registry *registry, void *context)
{
    struct lane_command *lane = context;
    cJSON_Delete(lane->versions);
    lane->versions = json_array();
    lane->known =
        !lane->label || command_live_version(registry, lane->label, &lane->unknown) != NULL;
    for (size_t i = 0; i < registry->version_count; i++) {
        struct version *version = &registry->versions[i];
        if (!version_is_fed(version) || (lane->label && strcmp(version->label, lane->label) != 0))
            continue;
        if (version->paused == lane->pause)
            continue;
        version->paused = lane->pause;
        json_append(lane->versions, cJSON_CreateString(version->label));
        struct registry_event event = {.what = command_lend(lane->pause ? "paused" : "resumed"),
                                       .label = version->label,
                                       .by = command_lend(lane->command->by)};
        registry_note(registry, &event);
    }
    return cJSON_GetArraySize(lane->versions) > 0;
}

static bool apply(struct lane_command *lane, struct err *err)
{
    struct registry_update update = {.name = lane->command->config->name,
                                     .family = lane->family->name,
                                     .change = set_paused,
                                     .context = lane};
    if (!registry_apply(lane->command->docs, &update, err))
        return false;
    if (!lane->known)
        *err = lane->unknown;
    return lane->known;
}

bool lane_command_pause(struct lane_command *lane, struct err *err)
{
    lane->pause = true;
    return apply(lane, err);
}

/* --- resume ------------------------------------------------------------------------------------- */

static bool find_places(struct lane_command *lane, struct err *err)
{
    struct registry registry;
    bool memory = lane->command->config->worklog.driver == WORKLOG_MEMORY;
    if (!registry_load(lane->command->docs, lane->command->config->name, lane->family->name,
                       &registry, err))
        return false;
    lane->places = calloc(registry.version_count + 1, sizeof *lane->places);
    lane->count = memory ? 0 : 1;
    for (size_t i = 0; memory && i < registry.version_count; i++) {
        const struct version *version = &registry.versions[i];
        if (version_is_fed(version))
            lane->places[lane->count++] = (struct lane_place){
                .label = strdup(version->label), .build_id = strdup(version->build_id)};
    }
    registry_fini(&registry);
    return true;
}

static bool load_place(const struct lane_command *lane, const struct lane_place *place,
                       struct feed_view *view, struct err *err)
{
    struct feed_place at = {lane->command->config, lane->command->docs, lane->family,
                            place->build_id};
    return feed_view_load(&at, view, err);
}

static bool add_wishes(struct registry *registry, void *context)
{
    struct lane_command *lane = context;
    bool any = false;
    for (size_t i = 0; i < lane->count; i++) {
        struct registry_wish wish = {.kind = command_lend(WISH_RESUME),
                                     .label = lane->places[i].label,
                                     .gen = lane->places[i].gen,
                                     .by = command_lend(lane->command->by),
                                     .reason = command_lend("a person lets the family go on")};
        if (lane->places[i].wished)
            any = registry_add_wish(registry, &wish) || any;
    }
    return any;
}

static bool find_stopped(struct lane_command *lane, bool *any, struct err *err)
{
    *any = false;
    for (size_t i = 0; i < lane->count; i++) {
        CLEANUP(feed_view_fini) struct feed_view view = {0};
        if (!load_place(lane, &lane->places[i], &view, err))
            return false;
        lane->places[i].gen = view.gen;
        lane->places[i].wished = view.known && feed_is_stopped(&view);
        *any = *any || lane->places[i].wished;
    }
    return true;
}

/* REJECT: it was stopped, and has no source to go on with. */
static bool wish_generations(struct lane_command *lane, struct err *err)
{
    const struct config_family *family = lane->family;
    bool exists = true;
    if (!find_stopped(lane, &lane->read_anew, err))
        return false;
    if (!lane->read_anew)
        return true;
    struct scan_options source = {.pool = lane->command->pool,
                                  .database = family->source.database,
                                  .collection = family->source.collection};
    if (!scan_exists(&source, &exists, err))
        return false;
    if (!exists)
        return err_set(err, ERR_REJECT, ERR_STATE, 0,
                       "there is no collection %s.%s to go on with: restore or create it first; "
                       "what is served stays",
                       family->source.database, family->source.collection);
    struct registry_update update = {.name = lane->command->config->name,
                                     .family = family->name,
                                     .change = add_wishes,
                                     .context = lane};
    return registry_apply(lane->command->docs, &update, err);
}

bool lane_command_resume(struct lane_command *lane, struct err *err)
{
    lane->pause = false;
    if (!lane->label && (!find_places(lane, err) || !wish_generations(lane, err)))
        return false;
    return apply(lane, err);
}

bool lane_command_has_begun(const struct lane_command *lane, bool *done, struct err *err)
{
    *done = true;
    for (size_t i = 0; i < lane->count; i++) {
        CLEANUP(feed_view_fini) struct feed_view view = {0};
        if (!lane->places[i].wished)
            continue;
        if (!load_place(lane, &lane->places[i], &view, err))
            return false;
        *done = *done && view.gen > lane->places[i].gen;
    }
    return true;
}

/* --- what came of it ---------------------------------------------------------------------------- */

cJSON *lane_command_json(const struct lane_command *lane)
{
    cJSON *reply = json_object();
    json_add_string(reply, "family", lane->family->name);
    json_add(reply, lane->pause ? "paused" : "resumed", cJSON_Duplicate(lane->versions, true));
    if (!lane->pause)
        json_add_bool(reply, "read_anew", lane->read_anew);
    return reply;
}

void lane_command_fini(struct lane_command *lane)
{
    for (size_t i = 0; i < lane->count; i++) {
        free(lane->places[i].label);
        free(lane->places[i].build_id);
    }
    free(lane->places);
    cJSON_Delete(lane->versions);
}
