/* SPDX-License-Identifier: Apache-2.0 */
/* remove: a family that the file does not have any more is forgotten. */
#include <stdio.h>

#include "agent/cli/cmd.h"
#include "agent/commands/remove_command.h"

/* Those that are removed go without saying. */
static void print_groups(const struct config *config, const struct removal *removal)
{
    if (!removal->groups_why[0])
        return;
    printf("Consumer groups stay until Kafka forgets them (%s): kafka-consumer-groups.sh "
           "--bootstrap-server %s --delete",
           removal->groups_why, config->worklog.brokers);
    for (size_t i = 0; i < removal->group_count; i++) {
        if (!removal->groups[i].removed)
            printf(" --group %s", removal->groups[i].name);
    }
    printf("\n");
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
    print_groups(config, removal);
}

static int tell(const struct remove_command *remove, bool as_json)
{
    const struct removal *removal = &remove->removal;
    if (as_json) {
        CLEANUP(cJSON_Deletep) cJSON *reply = remove_command_json(remove);
        cmd_print_json(reply);
    } else if (!removal->refused) {
        print_text(remove->command->config, removal, &remove->remains);
    }
    if (removal->refused)
        fprintf(stderr, "vectail: %s%s\n", removal->unknown ? "" : "refused: ", removal->reason);
    return removal->unknown ? CLI_USAGE : removal->refused ? CLI_REFUSED : CLI_DONE;
}

int cmd_remove(const struct cli_args *args)
{
    struct err err;
    struct cmd_state state;
    char by[160];
    CLEANUP(config_freep) struct config *config = cmd_load_config(args);
    if (!config)
        return CLI_USAGE;
    if (!cmd_open_state(config, &state, &err))
        return cmd_fail(&err);
    cmd_who(by, sizeof by);
    struct command command = cmd_command(config, &state, by);
    struct remove_command remove = {.command = &command,
                                    .family = args->words[0],
                                    .drop_collections = cli_has(args, FLAG_DROP_COLLECTIONS)};
    int code = remove_command_run(&remove, &err) ? tell(&remove, args->json) : cmd_fail(&err);
    remove_command_fini(&remove);
    cmd_close_state(&state);
    return code;
}
