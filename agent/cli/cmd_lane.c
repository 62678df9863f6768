/* SPDX-License-Identifier: Apache-2.0 */
/* pause and resume. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent/cli/cmd.h"
#include "agent/commands/lane_command.h"
#include "base/clock.h"

#define WAIT_MS 60000 /* unless --wait says how long */
#define LOOK_MS 250

void cmd_who(char *out, size_t size)
{
    char host[64] = "";
    (void)gethostname(host, sizeof host - 1);
    const char *user = getenv("USER"); /* NOLINT(concurrency-mt-unsafe): no threads change it */
    snprintf(out, size, "%s%scommand line on %s", user ? user : "", user ? ", " : "", host);
}

static void print_labels(const cJSON *versions, const char *what)
{
    const cJSON *label;
    cJSON_ArrayForEach(label, versions) printf("version %s %s\n", label->valuestring, what);
}

static void print_done(const struct lane_command *lane, bool as_json)
{
    const char *name = lane->family->name;
    if (as_json) {
        CLEANUP(cJSON_Deletep) cJSON *reply = lane_command_json(lane);
        cmd_print_json(reply);
        return;
    }
    print_labels(lane->versions, lane->pause ? "is paused" : "goes on");
    if (lane->read_anew)
        printf("family %s goes on: its source is read anew\n", name);
    else if (cJSON_GetArraySize(lane->versions) == 0 && lane->pause)
        printf("nothing of family %s is to be paused\n", name);
    else if (cJSON_GetArraySize(lane->versions) == 0)
        printf("nothing of family %s is paused or stopped\n", name);
}

/* Until the generations have begun. *done false: not in time. */
static bool wait_for_generations(const struct lane_command *lane, int64_t wait_ms, bool *done,
                                 struct err *err)
{
    int64_t until_ms = clock_mono_ms() + wait_ms;
    while (lane_command_has_begun(lane, done, err)) {
        if (*done || clock_mono_ms() >= until_ms)
            return true;
        clock_sleep_ms(LOOK_MS);
    }
    return false;
}

static int run_pause(struct lane_command *lane, const struct cli_args *args)
{
    struct err err;
    if (!lane_command_pause(lane, &err))
        return cmd_fail(&err);
    print_done(lane, args->json);
    return CLI_DONE;
}

static int run_resume(struct lane_command *lane, const struct cli_args *args)
{
    struct err err;
    int64_t wait_ms = args->wait_ms < 0 ? WAIT_MS : args->wait_ms;
    bool done = true;
    if (!lane_command_resume(lane, &err))
        return cmd_fail(&err);
    if (cli_has(args, FLAG_WAIT) && !wait_for_generations(lane, wait_ms, &done, &err))
        return cmd_fail(&err);
    if (!done)
        fprintf(stderr, "vectail: no agent has begun to read it in time\n");
    print_done(lane, args->json);
    return done ? CLI_DONE : CLI_TIMEOUT;
}

static int run(const struct cli_args *args,
               int (*carry_out)(struct lane_command *lane, const struct cli_args *args))
{
    struct err err;
    struct cmd_state state;
    char by[160];
    CLEANUP(config_freep) struct config *config = cmd_load_config(args);
    struct lane_command lane = {.label = args->words[1]};
    lane.family = config ? cmd_family(config, args->words[0]) : NULL;
    if (!lane.family)
        return CLI_USAGE;
    cmd_who(by, sizeof by);
    if (!cmd_open_state(config, &state, &err))
        return cmd_fail(&err);
    struct command command = cmd_command(config, &state, by);
    lane.command = &command;
    int code = carry_out(&lane, args);
    lane_command_fini(&lane);
    cmd_close_state(&state);
    return code;
}

int cmd_pause(const struct cli_args *args)
{
    return run(args, run_pause);
}

int cmd_resume(const struct cli_args *args)
{
    return run(args, run_resume);
}
