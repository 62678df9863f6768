/* SPDX-License-Identifier: Apache-2.0 */
/* remove: a family that the file does not have any more is forgotten. What is not ours to remove is told,
 * with the command that does it. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "agent/cli/cmd.h"
#include "agent/lane/lane.h"
#include "agent/steward/remove.h"
#include "base/json.h"

struct remains {
    char *topic; /* NULL: none, as with the work log memory */
    char *remove_topic;
    char *remove_alias; /* NULL: there is no alias document */
    char **groups;
    size_t group_count;
};

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
        remains.groups = calloc(registry->version_count + 1, sizeof *remains.groups);
        for (size_t i = 0; i < registry->version_count; i++) {
            const struct version *version = &registry->versions[i];
            if (!version->external)
                remains.groups[remains.group_count++] =
                    lane_group(config, registry->family, version);
        }
    }
    if (alias->database && (removal->alias.target || !removal->alias_read))
        remains.remove_alias =
            format("db.getSiblingDB('%s').getCollection('%s').deleteOne({_id: '%s'})",
                   alias->database, alias->collection, registry->family);
    return remains;
}

static void free_remains(struct remains *remains)
{
    for (size_t i = 0; i < remains->group_count; i++)
        free(remains->groups[i]);
    free(remains->groups);
    free(remains->topic);
    free(remains->remove_topic);
    free(remains->remove_alias);
}

static void print_text(const struct config *config, const struct removal *removal,
                       const struct remains *remains)
{
    for (size_t i = 0; i < removal->count; i++) {
        const struct removed_collection *entry = &removal->collections[i];
        printf("collection %s of version %s %s%s\n", entry->version->collection,
               entry->version->label, entry->dropped ? "is removed" : "stays: ", entry->why);
    }
    printf("family %s is forgotten\n", removal->registry.family);
    if (remains->remove_alias)
        printf("The alias document stays, once no reader needs it: %s\n", remains->remove_alias);
    if (remains->topic)
        printf("The topic stays: %s\n", remains->remove_topic);
    if (remains->group_count == 0)
        return;
    printf("So do its consumer groups, until Kafka forgets them: kafka-consumer-groups.sh "
           "--bootstrap-server %s --delete",
           config->worklog.brokers);
    for (size_t i = 0; i < remains->group_count; i++)
        printf(" --group %s", remains->groups[i]);
    printf("\n");
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

static void print_json(const char *family, const struct removal *removal,
                       const struct remains *remains)
{
    CLEANUP(cJSON_Deletep) cJSON *reply = json_object();
    cJSON *groups = json_array();
    json_add_string(reply, "family", family);
    json_add_bool(reply, "removed", !removal->refused);
    json_add_string(reply, "reason", removal->refused ? removal->reason : NULL);
    add_collections(reply, removal);
    json_add_int(reply, "ledgers", removal->ledgers);
    json_add_string(reply, "topic", remains->topic);
    for (size_t i = 0; i < remains->group_count; i++)
        json_append(groups, cJSON_CreateString(remains->groups[i]));
    json_add(reply, "groups", groups);
    json_add_string(reply, "remove_topic", remains->remove_topic);
    json_add_string(reply, "remove_alias", remains->remove_alias);
    cmd_print_json(reply);
}

static int tell(const struct cli_args *args, const struct config *config,
                const struct removal *removal)
{
    struct remains remains = {0};
    if (!removal->refused)
        remains = find_remains(config, removal);
    if (args->json)
        print_json(args->words[0], removal, &remains);
    else if (!removal->refused)
        print_text(config, removal, &remains);
    free_remains(&remains);
    if (removal->refused)
        fprintf(stderr, "vectail: refused: %s\n", removal->reason);
    return removal->refused ? CLI_REFUSED : CLI_DONE;
}

int cmd_remove(const struct cli_args *args)
{
    struct err err;
    struct cmd_state state;
    struct removal removal = {0};
    char *state_id = NULL;
    CLEANUP(config_freep) struct config *config = cmd_load_config(args);
    if (!config)
        return CLI_USAGE;
    if (!cmd_open_state(config, &state, &err))
        return cmd_fail(&err);
    struct removal_options options = {.config = config,
                                      .pool = state.pool,
                                      .docs = state.docs,
                                      .family = args->words[0],
                                      .drop_collections = cli_has(args, FLAG_DROP_COLLECTIONS)};
    bool ok = docstore_identity(state.docs, config->name, &state_id, &err);
    options.state_id = state_id;
    ok = ok && removal_run(&options, &removal, &err);
    int code = ok ? tell(args, config, &removal) : cmd_fail(&err);
    removal_fini(&removal);
    free(state_id);
    cmd_close_state(&state);
    return code;
}
