/* SPDX-License-Identifier: Apache-2.0 */
/* cancel: takes a wish back. */
#include <stdio.h>

#include "agent/cli/cmd.h"
#include "agent/commands/cancel_command.h"
#include "agent/commands/wish_command.h"

static bool print_wish(const struct cancel_command *cancel, struct err *err)
{
    CLEANUP(cJSON_Deletep) cJSON *json = NULL;
    struct wish_look look = {cancel->command, cancel->family, cancel->id};
    bool found = false;
    if (!wish_look_json(&look, &found, &json, err))
        return false;
    if (found)
        cmd_print_json(json);
    return true;
}

static int tell(const struct cancel_command *cancel, bool as_json)
{
    static const int codes[] = {
        [CANCEL_DONE] = CLI_DONE, [CANCEL_REFUSED] = CLI_REFUSED, [CANCEL_UNKNOWN] = CLI_USAGE};
    struct err err;
    if (as_json && !print_wish(cancel, &err))
        return cmd_fail(&err);
    if (cancel->outcome != CANCEL_DONE)
        fprintf(stderr, "vectail: %s%s\n", cancel->outcome == CANCEL_REFUSED ? "refused: " : "",
                cancel->reason);
    else if (!as_json)
        printf("The wish is withdrawn, and whoever waits for it is told.\n");
    return codes[cancel->outcome];
}

int cmd_cancel(const struct cli_args *args)
{
    struct err err;
    struct cmd_state state;
    char by[160];
    CLEANUP(config_freep) struct config *config = cmd_load_config(args);
    const struct config_family *family = config ? cmd_family(config, args->words[0]) : NULL;
    if (!family)
        return CLI_USAGE;
    if (!cmd_open_state(config, &state, &err))
        return cmd_fail(&err);
    cmd_who(by, sizeof by);
    struct command command = cmd_command(config, &state, by);
    struct cancel_command cancel = {.command = &command, .family = family, .id = args->words[1]};
    int code = cancel_command_run(&cancel, &err) ? tell(&cancel, args->json) : cmd_fail(&err);
    cmd_close_state(&state);
    return code;
}
