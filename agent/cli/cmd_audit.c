/* SPDX-License-Identifier: Apache-2.0 */
/* audit: whether source, ledger and store agree, and what is done where they do not. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent/cli/cmd.h"
#include "agent/commands/audit_command.h"
#include "base/http.h"
#include "base/limits.h"

struct run {
    struct audit_command audit;
    bool json;
    bool shows; /* progress, on a terminal */
};

static atomic_bool interrupted;

/* The second signal ends the process at once. */
static void on_signal(int number)
{
    (void)number;
    atomic_store(&interrupted, true);
}

static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND | SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

static bool progress(void *context, const struct audit_progress *progress)
{
    const struct run *run = context;
    if (run->shows && progress->total > 0)
        fprintf(stderr, "\r\033[K%s: %s, %" PRId64 " of %" PRId64 ", %" PRId64 " differences",
                run->audit.options.version->label, progress->doing, progress->done, progress->total,
                progress->differences);
    else if (run->shows)
        fprintf(stderr, "\r\033[K%s: %s, %" PRId64, run->audit.options.version->label,
                progress->doing, progress->done);
    return !atomic_load(&interrupted);
}

/* --- what is shown ---------------------------------------------------------------------------- */

static void print_examples(const struct audit_report *report)
{
    static const char *const kinds[AUDIT_KINDS] = {"missing", "stale", "left over"};
    CLEANUP(cmd_table_freep) struct cmd_table *table = cmd_table_new(4);
    CLEANUP(buf_fini) struct buf text = BUF_INIT(MIB);
    struct cmd_screen screen = cmd_screen_of();
    cmd_table_put(table, "WHAT", TONE_HEAD);
    cmd_table_put(table, "WHERE", TONE_HEAD);
    cmd_table_put(table, "DOCUMENT OR RECORD", TONE_HEAD);
    cmd_table_put(table, "WHY", TONE_HEAD);
    for (size_t i = 0; i < report->example_count; i++) {
        const struct audit_example *example = &report->examples[i];
        cmd_table_put(table, kinds[example->kind], TONE_WARN);
        cmd_table_put(table, audit_side_name(example->side), TONE_PLAIN);
        cmd_table_put(table, example->name, TONE_PLAIN);
        cmd_table_put(table, example->why, TONE_PLAIN);
    }
    cmd_table_write(table, &screen, &text);
    fputs(buf_str(&text), stdout);
}

static void print_advice(const struct run *run, const struct audit_report *report)
{
    if (report->behind)
        printf("no agent feeds the version, or it is behind: some of this may only be under way\n");
    if (report->erased > 0)
        printf("%" PRId64 " records that no document has are erased\n", report->erased);
    if (report->repaired > 0)
        printf("%" PRId64 " documents are marked: a running agent reads them again and writes or "
               "erases them within seconds; then audit once more\n",
               report->repaired);
    if (!run->audit.options.repair)
        printf("to mend it: vectail audit %s %s --repair\n", run->audit.family->name,
               run->audit.options.version->label);
}

static void print_report(const struct run *run, const struct audit_report *report)
{
    const char *label = run->audit.options.version->label;
    printf("version %s: %" PRId64 " documents, %" PRId64 " chunks", label, report->documents,
           report->chunks);
    if (report->quarantined > 0)
        printf(", %" PRId64 " documents set aside", report->quarantined);
    if (audit_is_clean(report)) {
        printf(": source, ledger and store agree%s\n",
               report->unsettled > 0 ? " as far as could be told" : "");
    } else {
        printf(": %" PRId64 " missing, %" PRId64 " stale, %" PRId64 " left over\n",
               audit_sum(report, AUDIT_MISSING), audit_sum(report, AUDIT_STALE),
               audit_sum(report, AUDIT_LEFT_OVER));
        print_examples(report);
        print_advice(run, report);
    }
    if (report->unsettled > 0)
        printf("%" PRId64 " documents %s, and are left out\n", report->unsettled,
               report->behind
                   ? "may only be under way, as the version is behind: audit again when it is in "
                     "step; they differ"
                   : "were changed again and again");
}

static void looked_at(void *context, const struct version *version,
                      const struct audit_report *report, const char *why)
{
    const struct run *run = context;
    if (run->shows && report)
        fputs("\r\033[K", stderr);
    if (why)
        fprintf(stderr, "version %s %s\n", version->label, why);
    else if (!run->json)
        print_report(run, report);
}

/* --- what is done ----------------------------------------------------------------------------- */

static int fail(const struct run *run, const struct err *err)
{
    const struct version *version = run->audit.options.version;
    if (run->shows)
        fputs("\r\033[K", stderr);
    int code = cmd_fail(err);
    if (version && (err->action == ERR_CANCEL || err->action == ERR_RETRY))
        fprintf(stderr, "vectail: its place is kept: vectail audit %s %s --resume%s goes on\n",
                run->audit.family->name, version->label,
                run->audit.options.repair ? " --repair" : "");
    return code == CLI_REFUSED ? CLI_FAILED : code; /* nothing was found to differ */
}

static int run_audit(struct run *run)
{
    struct err err;
    if (!audit_command_run(&run->audit, &err))
        return fail(run, &err);
    if (run->json) {
        CLEANUP(cJSON_Deletep) cJSON *reply = audit_command_json(&run->audit);
        cmd_print_json(reply);
    } else if (cJSON_GetArraySize(run->audit.versions) == 0) {
        printf("family %s has no version to audit\n", run->audit.family->name);
    }
    return audit_is_clean(&run->audit.sum) && audit_is_settled(&run->audit.sum) ? CLI_DONE
                                                                                : CLI_REFUSED;
}

static bool read_rate(const char *text, int64_t *rate)
{
    char *end = NULL;
    *rate = -1;
    if (!text)
        return true;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (errno || end == text || *end || number < 1 || number > AUDIT_RATE_MAX) {
        fprintf(stderr, "vectail: --rate must be 1..%d, is '%s'\n", AUDIT_RATE_MAX, text);
        return false;
    }
    *rate = number;
    return true;
}

int cmd_audit(const struct cli_args *args)
{
    struct err err;
    struct cmd_state state;
    int64_t rate;
    char by[160];
    CLEANUP(config_freep) struct config *config = cmd_load_config(args);
    const struct config_family *family = config ? cmd_family(config, args->words[0]) : NULL;
    if (!family || !read_rate(cli_value(args, FLAG_RATE), &rate))
        return CLI_USAGE;
    if (!http_global_init(&err) || !cmd_open_state(config, &state, &err))
        return cmd_fail(&err);
    cmd_who(by, sizeof by);
    struct command command = cmd_command(config, &state, by);
    struct run run = {.json = args->json, .shows = isatty(STDERR_FILENO)};
    run.audit = (struct audit_command){.command = &command,
                                       .family = family,
                                       .label = args->words[1],
                                       .looked_at = looked_at,
                                       .options = {.max_documents_per_second = rate,
                                                   .repair = cli_has(args, FLAG_REPAIR),
                                                   .resume = cli_has(args, FLAG_RESUME),
                                                   .progress = progress,
                                                   .context = &run}};
    catch_signals();
    int code = run_audit(&run);
    audit_command_fini(&run.audit);
    cmd_close_state(&state);
    return code;
}
