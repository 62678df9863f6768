/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/cli/cmd_check.h"

static const char *user_of(const struct config *config)
{
    for (size_t i = 0; i < config->worklog.properties.count; i++) {
        if (strcmp(config->worklog.properties.items[i].name, "sasl.username") == 0)
            return config->worklog.properties.items[i].value;
    }
    return NULL;
}

static bool is_refused(const struct worklog_permission *permission)
{
    return permission->failed.action == ERR_FATAL;
}

static void note_refusal(struct checks *checks, const char *what, const char *user,
                         const struct worklog_permission *permission)
{
    check_note(checks, false, what, "%s%s %s %s on %s %s: %s", user ? "user " : "the client",
               user ? user : "", is_refused(permission) ? "lacks" : "cannot use",
               permission->operation, permission->kind, permission->name, permission->failed.text);
}

/* True when there was none. */
static bool note_refusals(struct checks *checks, const char *what, const char *user,
                          const struct worklog_permissions *permissions)
{
    bool all = true;
    for (size_t i = 0; i < permissions->count; i++) {
        if (!permissions->items[i].granted)
            note_refusal(checks, what, user, &permissions->items[i]);
        all = all && permissions->items[i].granted;
    }
    return all;
}

/* Where vectail may not make topics, what is missing stands in the reason with the command. */
static void check_made_topic(struct checks *checks, struct worklog *log, const char *topic,
                             const char *what)
{
    struct err err;
    struct worklog_topic *found = calloc(1, sizeof *found);
    if (worklog_ensure(log, topic, found, &err))
        check_note(checks, true, what, "%d partitions; all that is needed is allowed",
                   found->partitions);
    else
        check_note(checks, false, what, "%s", err.text);
    free(found);
}

static void check_topic(struct checks *checks, struct worklog *log, const struct config *config,
                        const char *family)
{
    struct err err;
    char what[600], topic[512], group[512];
    snprintf(topic, sizeof topic, "%s.%s.%s", config->worklog.topic_prefix, config->name, family);
    snprintf(group, sizeof group, "%s.check", config->name);
    snprintf(what, sizeof what, "topic %s", topic);
    struct worklog_permissions *permissions = calloc(1, sizeof *permissions);
    bool asked = worklog_check(log, topic, group, permissions, &err);
    bool allowed = asked && note_refusals(checks, what, user_of(config), permissions);
    if (!asked)
        check_note(checks, false, what, "%s", err.text);
    else if (allowed && (permissions->topic_found || !config->worklog.create_topics))
        check_made_topic(checks, log, topic, what);
    else if (allowed)
        check_note(checks, true, what,
                   "the brokers answer; the topic will be made, and whether it may be read and "
                   "written shows once it is there");
    free(permissions);
}

void check_worklog(struct checks *checks, const struct config *config)
{
    struct err err;
    CLEANUP(worklog_closep) struct worklog *log = NULL;
    if (config->worklog.driver == WORKLOG_MEMORY) {
        check_note(checks, true, "worklog", "in memory: no Kafka is needed");
        return;
    }
    if (!agent_open_worklog(config, &log, &err)) {
        check_note(checks, false, "worklog", "%s", err.text);
        return;
    }
    for (size_t i = 0; i < config->family_count; i++)
        check_topic(checks, log, config, config->families[i].name);
}
