/* SPDX-License-Identifier: Apache-2.0 */
/* create, cutover, rollback, drop, adopt, partitions: what each asks an agent for. */
#include <stdio.h>
#include <stdlib.h>

#include "agent/cli/errand.h"
#include "agent/steward/version_from.h"
#include "base/limits.h"
#include "cdc/worklog.h"

static int usage(const char *text)
{
    fprintf(stderr, "vectail: %s\n", text);
    return CLI_USAGE;
}

/* "version v2 of family docs" */
static char *title_of(const struct cli_args *args, const char *label)
{
    struct buf text = BUF_INIT(4 * KIB);
    size_t size;
    if (label)
        buf_printf(&text, "version %s of family %s", label, args->words[0]);
    else
        buf_printf(&text, "family %s", args->words[0]);
    return buf_take(&text, &size);
}

static int begin_and_run(struct errand *errand, const struct cli_args *args,
                         int (*run)(struct errand *errand))
{
    int code;
    char *title = title_of(args, errand->wish.label);
    errand->title = title;
    if (errand_begin(errand, args, &code))
        code = run(errand);
    errand_end(errand);
    free(title);
    return code;
}

/* --- create ----------------------------------------------------------------------------------- */

static void take_names(struct errand *errand)
{
    errand->wish.ask.embedder = cli_value(errand->args, FLAG_EMBED);
    errand->wish.ask.store = cli_value(errand->args, FLAG_STORE);
}

static int check_and_run(struct errand *errand)
{
    struct err err;
    return wish_command_check(&errand->wish, &err) ? errand_run(errand) : cmd_fail(&err);
}

static int run_create(struct errand *errand)
{
    struct err err;
    struct version_from from;
    take_names(errand);
    errand->wish.ask.from = cli_value(errand->args, FLAG_FROM);
    errand->wish.ask.no_reuse = cli_has(errand->args, FLAG_NO_REUSE);
    if (!version_from_parse(errand->wish.ask.from, &from, &err)) {
        fprintf(stderr, "vectail: --from: %s\n", err.text);
        return CLI_USAGE;
    }
    if (errand->wish.family->strategy == STRATEGY_DELETE_UPFRONT) {
        errand->follows = false; /* the first is all that builds itself */
        errand->done = "is planned; where another is served, it waits for `vectail cutover` with "
                       "--yes-empty-the-live-collection";
    }
    if (!wish_command_check(&errand->wish, &err))
        return cmd_fail(&err);
    const char *caveat = version_from_caveat(from.kind);
    if (caveat)
        fprintf(stderr, "vectail: --from: %s\n", caveat);
    return errand_run(errand);
}

int cmd_create(const struct cli_args *args)
{
    struct errand errand = {.wish = {.kind = WISH_CREATE, .label = args->words[1]},
                            .verb = "create",
                            .is_so = "is there already",
                            .follows = true};
    errand.done = cli_has(args, FLAG_WAIT) ? "is built" : "is planned, and will be filled";
    if (!cli_value(args, FLAG_EMBED))
        return usage("create needs --embed NAME: an embedder of the configuration");
    return begin_and_run(&errand, args, run_create);
}

/* --- what is served ---------------------------------------------------------------------------- */

int cmd_cutover(const struct cli_args *args)
{
    const char *reason = cli_value(args, FLAG_REASON);
    struct errand errand = {.wish = {.kind = WISH_CUTOVER, .label = args->words[1], .why = reason},
                            .verb = "cut over to",
                            .is_so = "is what readers are led to already",
                            .done = "is what readers are led to now"};
    errand.wish.ask.force = cli_has(args, FLAG_FORCE);
    errand.wish.ask.empty_live = cli_has(args, FLAG_EMPTY_LIVE);
    if (errand.wish.ask.force && !(reason && *reason))
        return usage("--force needs --reason TEXT: it is written down who did it, and why");
    if (errand.wish.ask.empty_live && !(reason && *reason))
        return usage(
            "--yes-empty-the-live-collection needs --reason TEXT: it is written down who did it, "
            "and why");
    if (errand.wish.ask.empty_live)
        errand.done =
            "is what readers are led to now, and is being filled: what was served before is "
            "deleted, there is no way back";
    return begin_and_run(&errand, args, errand_run);
}

int cmd_rollback(const struct cli_args *args)
{
    struct errand errand = {
        .wish = {.kind = WISH_ROLLBACK}, .verb = "roll back", .done = "is rolled back"};
    return begin_and_run(&errand, args, errand_run);
}

static int run_adopt(struct errand *errand)
{
    take_names(errand);
    return check_and_run(errand);
}

int cmd_adopt(const struct cli_args *args)
{
    struct errand errand = {.wish = {.kind = WISH_ADOPT},
                            .verb = "adopt a collection for",
                            .done = "serves the collection that was adopted"};
    errand.wish.ask.target = cli_value(args, FLAG_TARGET);
    if (!errand.wish.ask.target || !*errand.wish.ask.target)
        return usage("adopt needs --target COLLECTION: its name in the store");
    if (!cli_value(args, FLAG_EMBED))
        return usage("adopt needs --embed NAME: what its queries are embedded with");
    return begin_and_run(&errand, args, run_adopt);
}

/* --- what goes --------------------------------------------------------------------------------- */

int cmd_drop(const struct cli_args *args)
{
    struct errand errand = {
        .wish = {.kind = WISH_DROP, .label = args->words[1]}, .verb = "drop", .done = "is dropped"};
    return begin_and_run(&errand, args, errand_run);
}

/* --- partitions -------------------------------------------------------------------------------- */

int cmd_partitions(const struct cli_args *args)
{
    struct errand errand = {.wish = {.kind = WISH_PARTITIONS},
                            .verb = "change the partitions of",
                            .done = "is being read anew for them",
                            .is_so = "has that many partitions already"};
    char *end = NULL;
    long long count = strtoll(args->words[1], &end, 10);
    if (end == args->words[1] || *end) {
        fprintf(stderr, "vectail: the number of partitions must be 1..%d, is '%s'\n",
                WORKLOG_MAX_PARTITIONS, args->words[1]);
        return CLI_USAGE;
    }
    errand.wish.ask.count = count;
    return begin_and_run(&errand, args, check_and_run);
}
