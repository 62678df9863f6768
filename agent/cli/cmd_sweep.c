/* SPDX-License-Identifier: Apache-2.0 */
/* sweep: what a gap has left over, from ledger and checkpoint; and the word of a person. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/cli/cmd.h"
#include "agent/commands/sweep_command.h"

static int64_t int_of(const cJSON *entry, const char *name)
{
    int64_t number = 0;
    (void)!json_get_int(entry, name, &number);
    return number;
}

static void print_version(const cJSON *entry)
{
    const char *label = "", *state = "";
    (void)!json_get_string(entry, "label", &label);
    (void)!json_get_string(entry, "state", &state);
    printf("version %s: ", label);
    if (strcmp(state, "none") == 0) {
        printf("nothing to sweep, it is whole in generation %" PRId64 "\n",
               int_of(entry, "swept_generation"));
        return;
    }
    if (cJSON_IsTrue(json_get(entry, "comparison"))) {
        printf(
            "%s; it was away for longer than worklog.retention, and is compared with the source: "
            "%" PRId64 " of %" PRId64 " documents are gone, %" PRId64 " may go without asking\n",
            state, int_of(entry, "candidates"), int_of(entry, "documents"), int_of(entry, "limit"));
        return;
    }
    printf("%s; generation %" PRId64 " has not brought %" PRId64 " of %" PRId64
           " documents, %" PRId64 " may go without asking\n",
           state, int_of(entry, "generation"), int_of(entry, "candidates"),
           int_of(entry, "documents"), int_of(entry, "limit"));
    if (strcmp(state, "waiting") == 0)
        printf(
            "  the source is still being read or applied: the number falls until that is done\n");
    const cJSON *key;
    cJSON_ArrayForEach(key, json_get(entry, "examples")) printf("  %s\n", key->valuestring);
}

static void print_look(const struct sweep_command *look, bool as_json)
{
    if (as_json) {
        CLEANUP(cJSON_Deletep) cJSON *reply = sweep_command_json(look);
        cmd_print_json(reply);
        return;
    }
    const cJSON *entry;
    cJSON_ArrayForEach(entry, look->versions) print_version(entry);
    if (cJSON_GetArraySize(look->versions) == 0)
        printf("family %s has no version that is fed\n", look->family->name);
    if (look->stopped > 0)
        printf("Each of them is read once more before anything is erased. To let it go on:\n"
               "vectail sweep %s --confirm\n",
               look->family->name);
    else if (look->confirm && look->confirmed == 0)
        printf("there is nothing to confirm\n");
}

static int run_sweep(struct sweep_command *look, bool as_json)
{
    struct err err;
    if (!sweep_command_run(look, &err))
        return cmd_fail(&err);
    print_look(look, as_json);
    return look->stopped > 0 ? CLI_REFUSED : CLI_DONE;
}

int cmd_sweep(const struct cli_args *args)
{
    struct err err;
    struct cmd_state state;
    char by[160];
    CLEANUP(config_freep) struct config *config = cmd_load_config(args);
    struct sweep_command look = {.confirm = cli_has(args, FLAG_CONFIRM)};
    look.family = config ? cmd_family(config, args->words[0]) : NULL;
    if (!look.family)
        return CLI_USAGE;
    cmd_who(by, sizeof by);
    if (!cmd_open_state(config, &state, &err))
        return cmd_fail(&err);
    struct command command = cmd_command(config, &state, by);
    look.command = &command;
    int code = run_sweep(&look, args->json);
    sweep_command_fini(&look);
    cmd_close_state(&state);
    return code;
}
