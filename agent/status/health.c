/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/status/health.h"

#include <pthread.h>
#include <stdio.h>
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
    bool is_idle;  /* a server that the process is ready without */
    bool is_borne; /* the process is ready in spite of the reason */
    bool is_known; /* something was said of it */
    char *kind;    /* of a server; NULL: it is none */
    char *address;
};

struct health {
    pthread_mutex_t lock;
    struct condition *conditions;
    size_t count;
    bool hushed;
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
        free(health->conditions[i].kind);
        free(health->conditions[i].address);
    }
    free(health->conditions);
    pthread_mutex_destroy(&health->lock);
    free(health);
}

void health_hush(struct health *health)
{
    health->hushed = true;
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

static bool set(struct health *health, const char *component, const char *reason, bool is_borne)
{
    pthread_mutex_lock(&health->lock);
    struct condition *condition = condition_of(health, component);
    bool changed = (reason == NULL) != (condition->reason == NULL) ||
                   (reason && strcmp(reason, condition->reason) != 0);
    bool was_well = condition->reason == NULL, was_expected = condition->expected;
    if (changed) {
        free(condition->reason);
        condition->reason = reason ? strdup(reason) : NULL;
    }
    if (!condition->is_known || (changed && (was_well || !reason)))
        condition->since_ms = clock_wall_ms();
    condition->expected = false;
    condition->is_borne = is_borne;
    condition->is_known = true;
    pthread_mutex_unlock(&health->lock);
    if (health->hushed)
        return changed;
    if (changed && reason)
        log_warn("health.waiting", LOG_STR("component", component), LOG_STR("reason", reason));
    else if (changed && !was_expected)
        log_info("health.recovered", LOG_STR("component", component));
    return changed;
}

bool health_set(struct health *health, const char *component, const char *reason)
{
    return set(health, component, reason, false);
}

bool health_note(struct health *health, const char *component, const char *reason)
{
    return set(health, component, reason, true);
}

static bool blocks(const struct condition *condition)
{
    return condition->reason && !condition->is_idle && !condition->is_borne;
}

bool health_is_ready(struct health *health)
{
    bool ready = true;
    pthread_mutex_lock(&health->lock);
    for (size_t i = 0; i < health->count; i++)
        ready = ready && !blocks(&health->conditions[i]);
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
        json_add_bool(entry, "blocks", blocks(condition));
        json_append(reasons, entry);
    }
    pthread_mutex_unlock(&health->lock);
    json_add(object, "reasons", reasons);
    return object;
}

void health_add_server(struct health *health, const struct health_server *server)
{
    pthread_mutex_lock(&health->lock);
    struct condition *condition = condition_of(health, server->component);
    condition->is_idle = !server->needed;
    free(condition->kind);
    free(condition->address);
    condition->kind = strdup(server->kind);
    condition->address = strdup(server->address);
    pthread_mutex_unlock(&health->lock);
}

static cJSON *server_json(const struct condition *condition)
{
    char since[32];
    cJSON *entry = json_object();
    clock_format(condition->since_ms, since);
    json_add_string(entry, "server", condition->component);
    json_add_string(entry, "kind", condition->kind);
    json_add_string(entry, "address", condition->address);
    json_add_bool(entry, "needed", !condition->is_idle);
    if (condition->is_known)
        json_add_bool(entry, "up", condition->reason == NULL);
    else
        json_add_null(entry, "up");
    json_add_string(entry, "since", condition->is_known ? since : NULL);
    json_add_string(entry, "reason", condition->reason);
    return entry;
}

cJSON *health_servers_json(struct health *health)
{
    cJSON *servers = json_array();
    pthread_mutex_lock(&health->lock);
    for (size_t i = 0; i < health->count; i++) {
        if (health->conditions[i].kind)
            json_append(servers, server_json(&health->conditions[i]));
    }
    pthread_mutex_unlock(&health->lock);
    return servers;
}

bool health_reason(struct health *health, const char *component,
                   char out[static HEALTH_REASON_SIZE])
{
    bool found = false;
    pthread_mutex_lock(&health->lock);
    for (size_t i = 0; i < health->count; i++) {
        const struct condition *condition = &health->conditions[i];
        if (!condition->reason || strcmp(condition->component, component) != 0)
            continue;
        snprintf(out, HEALTH_REASON_SIZE, "%s", condition->reason);
        found = true;
    }
    pthread_mutex_unlock(&health->lock);
    return found;
}
