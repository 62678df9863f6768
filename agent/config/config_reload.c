/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/config/config_reload.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"

#define MAX_PATH 512

/* What takes effect at once. */
static bool is_live(const char *path)
{
    return strcmp(path, "log.level") == 0;
}

static void report(const char *path, int *changes)
{
    ++*changes;
    if (is_live(path))
        log_info("config.reload.applied", LOG_STR("key", path));
    else
        log_warn("config.reload.restart_needed", LOG_STR("key", path));
}

/* Names each member that is not the same in both; objects are looked into. */
static void compare(const cJSON *before, const cJSON *after, const char *path, int *changes)
{
    if (!cJSON_IsObject(before) || !cJSON_IsObject(after)) {
        if (!cJSON_Compare(before, after, true))
            report(path, changes);
        return;
    }
    char below[MAX_PATH];
    const cJSON *member;
    cJSON_ArrayForEach(member, after)
    {
        snprintf(below, sizeof below, "%s%s%s", path, path[0] ? "." : "", member->string);
        const cJSON *old = json_get(before, member->string);
        if (old)
            compare(old, member, below, changes);
        else
            report(below, changes);
    }
    cJSON_ArrayForEach(member, before)
    {
        snprintf(below, sizeof below, "%s%s%s", path, path[0] ? "." : "", member->string);
        if (!json_get(after, member->string))
            report(below, changes);
    }
}

void config_reload(const struct config *running)
{
    struct config_mistakes mistakes = {0};
    CLEANUP(config_freep) struct config *config = config_load(running->file, &mistakes);
    for (size_t i = 0; i < mistakes.count; i++)
        log_error("config.reload.mistake", LOG_STR("mistake", mistakes.items[i]));
    config_mistakes_fini(&mistakes);
    if (!config)
        return;
    CLEANUP(cJSON_Deletep) cJSON *before = config_json(running);
    CLEANUP(cJSON_Deletep) cJSON *after = config_json(config);
    int changes = 0;
    compare(before, after, "", &changes);
    log_set_level(config->log_level);
    log_info("config.reloaded", LOG_INT("changes", changes));
}
