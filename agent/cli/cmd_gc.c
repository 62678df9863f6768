/* SPDX-License-Identifier: Apache-2.0 */
/* gc: what nobody needs any more is removed, or only shown. */
#include <stdio.h>

#include "agent/cli/cmd.h"
#include "agent/commands/gc_command.h"
#include "base/limits.h"

static void print_table(const struct gc_command *gc)
{
    CLEANUP(buf_fini) struct buf out = BUF_INIT(MIB);
    CLEANUP(cmd_table_freep) struct cmd_table *table = cmd_table_new(5);
    const char *const heads[] = {"FAMILY", "VERSION", "COLLECTION", "", "WHY"};
    for (size_t i = 0; i < ARRAY_LEN(heads); i++)
        cmd_table_put(table, heads[i], TONE_HEAD);
    for (size_t i = 0; i < gc->list.count; i++) {
        const struct collect_entry *entry = &gc->list.entries[i];
        cmd_table_put(table, entry->family, TONE_PLAIN);
        cmd_table_put(table, entry->label ? entry->label : "", TONE_PLAIN);
        cmd_table_put(table, entry->collection, TONE_PLAIN);
        cmd_table_put(table, entry->drop ? "goes" : "stays", entry->drop ? TONE_WARN : TONE_GOOD);
        cmd_table_put(table, entry->reason, TONE_PLAIN);
    }
    struct cmd_screen screen = cmd_screen_of();
    cmd_table_write(table, &screen, &out);
    fputs(buf_str(&out), stdout);
    if (gc->dry_run)
        return;
    if (gc->asked > 0)
        printf("a running agent removes %d version%s within the minute: `vectail status`\n",
               gc->asked, gc->asked == 1 ? "" : "s");
    if (gc->erased > 0)
        printf("%d collection%s that no registry knew %s removed\n", gc->erased,
               gc->erased == 1 ? "" : "s", gc->erased == 1 ? "is" : "are");
    if (gc->asked + gc->erased == 0)
        printf("there is nothing to remove\n");
}

static int run_gc(struct gc_command *gc, bool as_json)
{
    struct err err;
    if (!gc_command_run(gc, &err))
        return cmd_fail(&err);
    if (!as_json) {
        print_table(gc);
        return CLI_DONE;
    }
    CLEANUP(cJSON_Deletep) cJSON *reply = gc_command_json(gc);
    cmd_print_json(reply);
    return CLI_DONE;
}

int cmd_gc(const struct cli_args *args)
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
    struct gc_command gc = {.command = &command, .dry_run = cli_has(args, FLAG_DRY_RUN)};
    int code = run_gc(&gc, args->json);
    gc_command_fini(&gc);
    cmd_close_state(&state);
    return code;
}
