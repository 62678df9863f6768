/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/status/status_steps.h"

#include "agent/steward/wish.h"
#include "base/clock.h"

void status_add_time(cJSON *entry, const char *name, int64_t ms)
{
    char text[32];
    if (ms > 0)
        clock_format(ms, text);
    json_add_string(entry, name, ms > 0 ? text : NULL);
}

static cJSON *step_entry(const struct registry_step *step)
{
    cJSON *entry = json_object();
    json_add_string(entry, "kind", step->kind);
    json_add_string(entry, "label", step->label);
    json_add_string(entry, "why", step->why);
    json_add_string(entry, "owner", step->owner);
    status_add_time(entry, "since", step->since_ms);
    json_add_string(entry, "wish", step->wish);
    return entry;
}

static cJSON *wish_entry(const struct registry *registry, const struct registry_wish *wish)
{
    cJSON *entry = json_object();
    json_add_string(entry, "wish", wish->id);
    json_add_string(entry, "kind", wish->kind);
    json_add_string(entry, "label", wish->label);
    json_add_string(entry, "by", wish->by);
    json_add_string(entry, "reason", wish->reason);
    status_add_time(entry, "at", wish->at_ms);
    json_add_bool(entry, "begun", wish_is_begun(registry, wish));
    return entry;
}

void status_add_steps(cJSON *family, const struct registry *registry)
{
    cJSON *wishes = json_array();
    for (size_t i = 0; registry && i < registry->wish_count; i++) {
        if (registry->wishes[i].id && wish_is_of_person(registry->wishes[i].kind))
            json_append(wishes, wish_entry(registry, &registry->wishes[i]));
    }
    if (registry && registry->step.kind)
        json_add(family, "step", step_entry(&registry->step));
    else
        json_add_null(family, "step");
    json_add(family, "wishes", wishes);
}

void status_add_times(cJSON *entry, const struct version *version)
{
    status_add_time(entry, "created_at", version->created_ms);
    status_add_time(entry, "state_at", version->state_ms);
    status_add_time(entry, "verified_at", version->verified_ms);
    status_add_time(entry, "keep_until", version->keep_until_ms);
    json_add_bool(entry, "external", version->external);
    json_add_string(entry, "from", version->from);
    json_add_bool(entry, "no_reuse", version->no_reuse);
}
