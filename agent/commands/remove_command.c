/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/commands/remove_command.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "agent/agent.h"
#include "state/identity.h"

static char *format(const char *format, ...) PRINTF_LIKE(1, 2);

static char *format(const char *format, ...)
{
    char *text = NULL;
    va_list list;
    va_start(list, format);
    if (vasprintf(&text, format, list) < 0)
        text = NULL;
    va_end(list);
    return text;
}

static struct remains find_remains(const struct config *config, const struct removal *removal)
{
    const struct registry *registry = &removal->registry;
    const struct alias_ref *alias = &removal->alias_at;
    struct remains remains = {0};
    if (config->worklog.driver == WORKLOG_KAFKA) {
        remains.topic =
            format("%s.%s.%s", config->worklog.topic_prefix, config->name, registry->family);
        remains.remove_topic = format("kafka-topics.sh --bootstrap-server %s --delete --topic %s",
                                      config->worklog.brokers, remains.topic);
    }
    if (alias->database && (removal->alias.target || !removal->alias_read))
        remains.remove_alias =
            format("db.getSiblingDB('%s').getCollection('%s').deleteOne({_id: '%s'})",
                   alias->database, alias->collection, registry->family);
    return remains;
}

static void free_remains(struct remains *remains)
{
    free(remains->topic);
    free(remains->remove_topic);
    free(remains->remove_alias);
}

bool remove_command_run(struct remove_command *remove, struct err *err)
{
    const struct command *command = remove->command;
    char *state_id = NULL;
    struct worklog *log = NULL;
    struct err closed;
    struct removal_options options = {.config = command->config,
                                      .pool = command->pool,
                                      .docs = command->docs,
                                      .limiters = command->limiters,
                                      .family = remove->family,
                                      .drop_collections = remove->drop_collections};
    bool kafka = command->config->worklog.driver == WORKLOG_KAFKA;
    bool ok = identity_load(command->docs, command->config->name, &state_id, err);
    if (ok && kafka && !agent_open_worklog(command->config, &log, &closed))
        options.log_why = closed.text;
    options.state_id = state_id;
    options.log = log;
    ok = ok && removal_run(&options, &remove->removal, err);
    if (ok && !remove->removal.refused)
        remove->remains = find_remains(command->config, &remove->removal);
    worklog_close(log);
    free(state_id);
    return ok;
}

static void add_collections(cJSON *reply, const struct removal *removal)
{
    cJSON *list = json_array();
    for (size_t i = 0; i < removal->count; i++) {
        const struct removed_collection *entry = &removal->collections[i];
        cJSON *item = json_object();
        json_add_string(item, "label", entry->version->label);
        json_add_string(item, "collection", entry->version->collection);
        json_add_string(item, "store", entry->version->store);
        json_add_bool(item, "dropped", entry->dropped);
        json_add_string(item, "reason", entry->why[0] ? entry->why : NULL);
        json_append(list, item);
    }
    json_add(reply, "collections", list);
}

static void add_groups(cJSON *reply, const struct removal *removal)
{
    cJSON *list = json_array();
    for (size_t i = 0; i < removal->group_count; i++) {
        const struct removed_group *group = &removal->groups[i];
        cJSON *item = json_object();
        json_add_string(item, "group", group->name);
        json_add_bool(item, "removed", group->removed);
        json_add_string(item, "reason", group->removed ? NULL : removal->groups_why);
        json_append(list, item);
    }
    json_add(reply, "groups", list);
}

cJSON *remove_command_json(const struct remove_command *remove)
{
    const struct removal *removal = &remove->removal;
    const struct remains *remains = &remove->remains;
    cJSON *reply = json_object();
    json_add_string(reply, "family", remove->family);
    json_add_bool(reply, "removed", !removal->refused);
    json_add_string(reply, "reason", removal->refused ? removal->reason : NULL);
    add_collections(reply, removal);
    add_groups(reply, removal);
    json_add_int(reply, "ledgers", removal->ledgers);
    json_add_string(reply, "topic", remains->topic);
    json_add_string(reply, "remove_topic", remains->remove_topic);
    json_add_string(reply, "remove_alias", remains->remove_alias);
    return reply;
}

void remove_command_fini(struct remove_command *remove)
{
    free_remains(&remove->remains);
    removal_fini(&remove->removal);
}
