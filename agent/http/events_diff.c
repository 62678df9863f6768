/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/http/events_diff.h"

#include <stdbool.h>
#include <string.h>

#include "base/json.h"

struct diff {
    events_found *found;
    void *context;
    const char *family;
};

/* The entry of `array` whose member `key` is that of `entry`. */
static const cJSON *twin(const cJSON *array, const char *key, const cJSON *entry)
{
    const char *wanted, *name;
    const cJSON *at;
    if (!json_get_string(entry, key, &wanted))
        return NULL;
    cJSON_ArrayForEach(at, array)
    {
        if (json_get_string(at, key, &name) && strcmp(name, wanted) == 0)
            return at;
    }
    return NULL;
}

static bool same(const cJSON *before, const cJSON *after, const char *member)
{
    const cJSON *a = json_get(before, member), *b = json_get(after, member);
    return (!a && !b) || (a && b && cJSON_Compare(a, b, true));
}

/* A copy of a member; null where there is none. */
static void copy(cJSON *out, const char *name, const cJSON *object, const char *member)
{
    const cJSON *item = json_get(object, member);
    if (item)
        json_add(out, name, cJSON_Duplicate(item, true));
    else
        json_add_null(out, name);
}

static void diff_version(const struct diff *diff, const cJSON *before, const cJSON *after)
{
    static const char *const names[] = {"label", "build_id", "collection"};
    const cJSON *either = after ? after : before;
    if (before && after && same(before, after, "state") && same(before, after, "paused") &&
        same(before, after, "reason"))
        return;
    CLEANUP(cJSON_Deletep) cJSON *data = json_object();
    json_add_string(data, "family", diff->family);
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        copy(data, names[i], either, names[i]);
    copy(data, "state", after, "state");
    copy(data, "previous_state", before, "state");
    copy(data, "paused", after, "paused");
    copy(data, "reason", after, "reason");
    diff->found(diff->context, "version", data);
}

static void diff_alias(const struct diff *diff, const cJSON *before, const cJSON *after)
{
    if (same(before, after, "epoch") && same(before, after, "target"))
        return;
    CLEANUP(cJSON_Deletep) cJSON *data = json_object();
    json_add_string(data, "family", diff->family);
    copy(data, "epoch", after, "epoch");
    copy(data, "target", after, "target");
    copy(data, "previous_target", before, "target");
    diff->found(diff->context, "alias", data);
}

static void diff_state(const struct diff *diff, const cJSON *before, const cJSON *after)
{
    if (before && after && same(before, after, "state") && same(before, after, "reason"))
        return;
    CLEANUP(cJSON_Deletep) cJSON *data = json_object();
    json_add_string(data, "family", diff->family);
    copy(data, "state", after, "state");
    copy(data, "previous_state", before, "state");
    copy(data, "reason", after, "reason");
    diff->found(diff->context, "family", data);
}

static void diff_family(struct diff *diff, const cJSON *before, const cJSON *after)
{
    const cJSON *old = json_get(before, "versions"), *new = json_get(after, "versions"), *at;
    if (!json_get_string(after ? after : before, "family", &diff->family))
        return;
    diff_state(diff, before, after);
    diff_alias(diff, json_get(before, "alias"), json_get(after, "alias"));
    cJSON_ArrayForEach(at, new)
    {
        diff_version(diff, twin(old, "build_id", at), at);
    }
    cJSON_ArrayForEach(at, old)
    {
        if (!twin(new, "build_id", at))
            diff_version(diff, at, NULL);
    }
}

void events_diff(const cJSON *before, const cJSON *after, events_found *found, void *context)
{
    struct diff diff = {.found = found, .context = context};
    const cJSON *old = json_get(before, "families"), *new = json_get(after, "families"), *at;
    cJSON_ArrayForEach(at, new)
    {
        diff_family(&diff, twin(old, "family", at), at);
    }
    cJSON_ArrayForEach(at, old)
    {
        if (!twin(new, "family", at))
            diff_family(&diff, at, NULL);
    }
}
