/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "agent/api/query.h"
#include "base/json.h"

/* Worth a warning. */
#define BEHIND_MS 10000

static void warn(cJSON *warnings, const char *text)
{
    json_append(warnings, cJSON_CreateString(text));
}

static bool is_true(const cJSON *object, const char *name)
{
    return cJSON_IsTrue(json_get(object, name));
}

/* Nothing is known of what is in it but that nobody of ours has put it there. */
static void judge_adopted(const char *role, cJSON *out)
{
    cJSON *warnings = json_array();
    warn(warnings, "the version was adopted: it is not written by vectail, and what has changed in "
                   "the source since it was made is not in it");
    json_add_null(out, "lag_ms");
    json_add_string(out, "state", role);
    json_add_bool(out, "complete", false);
    json_add(out, "warnings", warnings);
}

void query_judge(const cJSON *family, const cJSON *version, cJSON *out)
{
    const char *state = "", *role = "", *reason = NULL;
    int64_t lag_ms = -1, quarantined = 0, generation = 0, swept = 0;
    double progress = 0;
    (void)!json_get_string(family, "state", &state);
    (void)!json_get_string(version, "state", &role);
    if (is_true(version, "external")) {
        judge_adopted(role, out);
        return;
    }
    cJSON *warnings = json_array();
    (void)!json_get_double(version, "progress", &progress);
    (void)!json_get_int(version, "quarantined", &quarantined);
    (void)!json_get_int(family, "generation", &generation);
    (void)!json_get_int(version, "swept_generation", &swept);
    bool unknown = !json_get_int(version, "lag_ms", &lag_ms);
    bool filling = progress < 1;
    bool paused = is_true(version, "paused");
    bool unswept = swept < generation;
    bool whole = strcmp(state, "streaming") == 0;
    if (!is_true(family, "agent_running"))
        warn(warnings, "no agent is running: later changes of the source are missing");
    else if (unknown)
        warn(warnings, "how far the index is behind is not known");
    if (lag_ms > BEHIND_MS)
        warn(warnings, "the index is some seconds behind the source: see `vectail status`");
    if (filling)
        warn(warnings, "the version is still being filled");
    if (!whole)
        warn(warnings, "the family's source is not being followed as it should: see its state");
    if (quarantined > 0)
        warn(warnings, "some documents are set aside");
    if (unswept)
        warn(warnings, "documents that were deleted during a gap may still be found: the sweep for "
                       "them is not over");
    if (paused)
        warn(warnings, "the version is paused");
    if (json_get_string(version, "reason", &reason))
        warn(warnings, reason);
    bool is_complete = whole && !filling && !unswept && !paused && !unknown && quarantined == 0;
    if (lag_ms < 0)
        json_add_null(out, "lag_ms");
    else
        json_add_int(out, "lag_ms", lag_ms);
    json_add_string(out, "state", role);
    json_add_bool(out, "complete", is_complete);
    json_add(out, "warnings", warnings);
}
