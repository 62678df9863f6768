/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/serve/health.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"

struct condition {
    char *component;
    char *reason; /* NULL: works */
    int64_t since_ms;
    bool expected; /* only not begun yet */
};

struct health {
    pthread_mutex_t lock;
    struct condition *conditions;
    size_t count;
};

struct health *health_new(void)
{
    struct health *health = calloc(1, sizeof *health);
    pthread_mutex_init(&health->lock, NULL);
    return health;
}

void health_free(struct health *health)
{
    if (!health)
        return;
    for (size_t i = 0; i < health->count; i++) {
        free(health->conditions[i].component);
        free(health->conditions[i].reason);
    }
    free(health->conditions);
    pthread_mutex_destroy(&health->lock);
    free(health);
}

static struct condition *condition_of(struct health *health, const char *component)
{
    for (size_t i = 0; i < health->count; i++) {
        if (strcmp(health->conditions[i].component, component) == 0)
            return &health->conditions[i];
    }
    health->conditions =
        realloc(health->conditions, (health->count + 1) * sizeof *health->conditions);
    struct condition *added = &health->conditions[health->count++];
    *added = (struct condition){.component = strdup(component)};
    return added;
}

void health_expect(struct health *health, const char *component)
{
    pthread_mutex_lock(&health->lock);
    struct condition *condition = condition_of(health, component);
    free(condition->reason);
    condition->reason = strdup("starting");
    condition->since_ms = clock_wall_ms();
    condition->expected = true;
    pthread_mutex_unlock(&health->lock);
}

bool health_set(struct health *health, const char *component, const char *reason)
{
    pthread_mutex_lock(&health->lock);
    struct condition *condition = condition_of(health, component);
    bool changed = (reason == NULL) != (condition->reason == NULL) ||
                   (reason && strcmp(reason, condition->reason) != 0);
    bool was_well = condition->reason == NULL, was_expected = condition->expected;
    condition->expected = false;
    if (changed) {
        free(condition->reason);
        condition->reason = reason ? strdup(reason) : NULL;
        if (was_well || !reason)
            condition->since_ms = clock_wall_ms();
    }
    pthread_mutex_unlock(&health->lock);
    if (changed && reason)
        log_warn("health.waiting", LOG_STR("component", component), LOG_STR("reason", reason));
    else if (changed && !was_expected)
        log_info("health.recovered", LOG_STR("component", component));
    return changed;
}

bool health_is_ready(struct health *health)
{
    bool ready = true;
    pthread_mutex_lock(&health->lock);
    for (size_t i = 0; i < health->count; i++)
        ready = ready && health->conditions[i].reason == NULL;
    pthread_mutex_unlock(&health->lock);
    return ready;
}

cJSON *health_json(struct health *health)
{
    cJSON *object = json_object();
    cJSON *reasons = json_array();
    json_add_bool(object, "ready", health_is_ready(health));
    pthread_mutex_lock(&health->lock);
    for (size_t i = 0; i < health->count; i++) {
        const struct condition *condition = &health->conditions[i];
        if (!condition->reason)
            continue;
        char since[32];
        clock_format(condition->since_ms, since);
        cJSON *entry = json_object();
        json_add_string(entry, "component", condition->component);
        json_add_string(entry, "reason", condition->reason);
        json_add_string(entry, "since", since);
        json_append(reasons, entry);
    }
    pthread_mutex_unlock(&health->lock);
    json_add(object, "reasons", reasons);
    return object;
}
