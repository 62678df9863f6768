/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/cli/errand.h"

#include <stdio.h>

#include "base/clock.h"

/* Without --wait: an agent looks once a second, and what it refuses is to be told here. */
#define MOMENT_MS 3000
/* With --wait, and no time said; what is followed takes as long as it takes. */
#define WAIT_MS 600000

bool errand_begin(struct errand *errand, const struct cli_args *args, int *code)
{
    struct err err;
    *code = CLI_USAGE;
    errand->args = args;
    errand->config = cmd_load_config(args);
    if (!errand->config)
        return false;
    errand->wish.family = cmd_family(errand->config, args->words[0]);
    if (!errand->wish.family)
        return false;
    cmd_who(errand->by, sizeof errand->by);
    if (!cmd_open_state(errand->config, &errand->state, &err)) {
        *code = cmd_fail(&err);
        return false;
    }
    errand->command = cmd_command(errand->config, &errand->state, errand->by);
    errand->wish.command = &errand->command;
    return true;
}

void errand_end(struct errand *errand)
{
    cmd_close_state(&errand->state);
    config_free(errand->config);
    errand->config = NULL;
}

/* --- what came of it -------------------------------------------------------------------------- */

static void print_json(const struct errand *errand)
{
    CLEANUP(cJSON_Deletep) cJSON *reply = wish_command_json(&errand->wish);
    cmd_print_json(reply);
}

static void print_pending(const struct errand *errand)
{
    const char *family = errand->wish.family->name;
    if (errand->wish.leaderless)
        printf("The wish to %s %s%s stands: no agent runs that could carry it out now, and the "
               "next one will; `vectail cancel %s %s` takes it back.\n",
               errand->verb, errand->title, errand->way, family, errand->wish.id);
    else if (!errand->out_of_time)
        printf("The wish to %s %s%s is written down, and an agent is at it: `vectail status %s`; "
               "until it has begun `vectail cancel %s %s` takes it back.\n",
               errand->verb, errand->title, errand->way, family, family, errand->wish.id);
}

/* Of a rollback: from which version to which. */
static void note_way(struct errand *errand)
{
    const struct wish_command *wish = &errand->wish;
    if (*wish->to)
        snprintf(errand->way, sizeof errand->way, "%s%s to %s", *wish->from ? " from " : "",
                 wish->from, wish->to);
}

static int tell(const struct errand *errand)
{
    static const int codes[] = {
        [WISH_PENDING] = CLI_DONE,
        [WISH_DONE] = CLI_DONE,
        [WISH_REFUSED] = CLI_REFUSED,
        [WISH_FAILED] = CLI_FAILED,
    };
    if (errand->args->json)
        print_json(errand);
    else if (errand->wish.outcome == WISH_PENDING)
        print_pending(errand);
    else if (errand->wish.outcome == WISH_DONE && !errand->out_of_time)
        printf("%s %s%s\n", errand->title, errand->wish.was_so ? errand->is_so : errand->done,
               errand->way);
    if (errand->wish.outcome == WISH_REFUSED)
        fprintf(stderr, "vectail: refused: %s\n", errand->wish.reason);
    if (errand->wish.outcome == WISH_FAILED)
        fprintf(stderr, "vectail: %s\n", errand->wish.reason);
    if (errand->out_of_time && errand->wish.outcome == WISH_PENDING)
        fprintf(stderr,
                "vectail: the time to wait is over; the wish stands (`vectail cancel %s %s` takes "
                "it back "
                "while it has not begun)\n",
                errand->wish.family->name, errand->wish.id);
    else if (errand->out_of_time)
        fprintf(stderr, "vectail: the time to wait is over; %s\n", errand->wish.reason);
    return errand->out_of_time ? CLI_TIMEOUT : codes[errand->wish.outcome];
}

static int64_t patience_of(const struct errand *errand)
{
    if (!cli_has(errand->args, FLAG_WAIT))
        return MOMENT_MS;
    if (errand->args->wait_ms > 0)
        return errand->args->wait_ms;
    return errand->follows ? -1 : WAIT_MS;
}

static void set_limit(struct errand *errand)
{
    int64_t patience_ms = patience_of(errand);
    errand->until_ms = patience_ms < 0 ? -1 : clock_mono_ms() + patience_ms;
}

/* The wish may stand all the same: its id is told. */
static int fail(struct errand *errand, const struct err *err)
{
    if (errand->args->json && *errand->wish.id) {
        errand->wish.outcome = WISH_PENDING;
        snprintf(errand->wish.reason, sizeof errand->wish.reason, "%s", err->text);
        print_json(errand);
    }
    return cmd_fail(err);
}

static bool follow(struct errand *errand, struct err *err)
{
    bool goes_on = errand->wish.outcome == WISH_DONE && errand->follows;
    return !goes_on || !cli_has(errand->args, FLAG_WAIT) || errand_follow(errand, err);
}

static bool submit(struct errand *errand, struct err *err)
{
    if (!wish_command_submit(&errand->wish, err))
        return false;
    note_way(errand);
    if (errand->wish.outcome == WISH_PENDING && *errand->wish.warning)
        fprintf(stderr, "vectail: warning: %s\n", errand->wish.warning);
    return true;
}

int errand_run(struct errand *errand)
{
    struct err err;
    set_limit(errand);
    if (!submit(errand, &err) ||
        (errand->wish.outcome == WISH_PENDING && !errand_wait(errand, &err)) ||
        !follow(errand, &err))
        return fail(errand, &err);
    note_way(errand); /* as it was carried out */
    return tell(errand);
}
