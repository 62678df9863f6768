/* SPDX-License-Identifier: Apache-2.0 */
/* audit: whether source, ledger and store agree, and what is done where they do not. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/cli/cmd.h"
#include "agent/verify/audit.h"
#include "base/http.h"
#include "base/json.h"
#include "base/limits.h"
#include "state/registry.h"

#define RATE_MAX 1000000

struct run {
    const struct config *config;
    const struct config_family *family;
    const char *label; /* NULL: all live versions */
    struct cmd_state *state;
    struct registry registry;
    struct audit_options options;
    bool json;
    bool shows; /* progress, on a terminal */
    cJSON *versions;
    cJSON *skipped; /* labels of those that cannot be audited, or are being filled */
    struct audit_report sum;
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
                run->options.version->label, progress->doing, progress->done, progress->total,
                progress->differences);
    else if (run->shows)
        fprintf(stderr, "\r\033[K%s: %s, %" PRId64, run->options.version->label, progress->doing,
                progress->done);
    return !atomic_load(&interrupted);
}

/* --- what is shown ---------------------------------------------------------------------------- */

static const char *const sides[AUDIT_SIDES] = {"ledger", "store"};

static void add_found(cJSON *entry, const struct audit_report *report)
{
    for (size_t kind = 0; kind < AUDIT_KINDS; kind++)
        json_add_int(entry, audit_kind_name((enum audit_kind)kind),
                     audit_sum(report, (enum audit_kind)kind));
    for (size_t side = 0; side < AUDIT_SIDES; side++) {
        cJSON *found = json_object();
        for (size_t kind = 0; kind < AUDIT_KINDS; kind++)
            json_add_int(found, audit_kind_name((enum audit_kind)kind), report->found[side][kind]);
        json_add(entry, sides[side], found);
    }
}

static cJSON *example_json(const struct audit_example *example)
{
    cJSON *entry = json_object();
    json_add_string(entry, "kind", audit_kind_name(example->kind));
    json_add_string(entry, "where", sides[example->side]);
    json_add_string(entry, "name", example->name);
    json_add_string(entry, "why", example->why);
    return entry;
}

static void add_figures(cJSON *entry, const struct audit_report *report)
{
    json_add_bool(entry, "ok", audit_is_clean(report));
    json_add_int(entry, "documents", report->documents);
    json_add_int(entry, "chunks", report->chunks);
    add_found(entry, report);
    json_add_int(entry, "quarantined", report->quarantined);
    json_add_int(entry, "looked_again", report->looked_again);
    json_add_int(entry, "unsettled", report->unsettled);
    json_add_bool(entry, "behind", report->behind);
    json_add_bool(entry, "scanned", report->scanned);
    json_add_bool(entry, "resumed", report->resumed);
    json_add_int(entry, "repaired", report->repaired);
    json_add_int(entry, "erased", report->erased);
    json_add_int(entry, "took_ms", report->took_ms);
    cJSON *examples = json_array();
    for (size_t i = 0; i < report->example_count; i++)
        json_append(examples, example_json(&report->examples[i]));
    json_add(entry, "examples", examples);
}

static void add_to_sum(struct audit_report *sum, const struct audit_report *report)
{
    sum->documents += report->documents;
    sum->chunks += report->chunks;
    sum->quarantined += report->quarantined;
    for (size_t side = 0; side < AUDIT_SIDES; side++) {
        for (size_t kind = 0; kind < AUDIT_KINDS; kind++)
            sum->found[side][kind] += report->found[side][kind];
    }
    sum->looked_again += report->looked_again;
    sum->unsettled += report->unsettled;
    sum->behind = sum->behind || report->behind;
    sum->scanned = sum->scanned || report->scanned;
    sum->resumed = sum->resumed || report->resumed;
    sum->repaired += report->repaired;
    sum->erased += report->erased;
    sum->took_ms += report->took_ms;
    for (size_t i = 0; i < report->example_count && sum->example_count < AUDIT_EXAMPLES; i++)
        sum->examples[sum->example_count++] = report->examples[i];
}

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
        cmd_table_put(table, sides[example->side], TONE_PLAIN);
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
    if (!run->options.repair)
        printf("to mend it: vectail audit %s %s --repair\n", run->family->name,
               run->options.version->label);
}

static void print_report(const struct run *run, const struct audit_report *report)
{
    const char *label = run->options.version->label;
    printf("version %s: %" PRId64 " documents, %" PRId64 " chunks", label, report->documents,
           report->chunks);
    if (report->quarantined > 0)
        printf(", %" PRId64 " documents set aside", report->quarantined);
    if (audit_is_clean(report)) {
        printf(": source, ledger and store agree\n");
    } else {
        printf(": %" PRId64 " missing, %" PRId64 " stale, %" PRId64 " left over\n",
               audit_sum(report, AUDIT_MISSING), audit_sum(report, AUDIT_STALE),
               audit_sum(report, AUDIT_LEFT_OVER));
        print_examples(report);
        print_advice(run, report);
    }
    if (report->unsettled > 0)
        printf("%" PRId64 " documents were changed again and again, and are left out\n",
               report->unsettled);
}

/* --- what is done ----------------------------------------------------------------------------- */

static int fail(const struct run *run, const struct err *err)
{
    if (run->shows)
        fputs("\r\033[K", stderr);
    int code = cmd_fail(err);
    if (err->action == ERR_CANCEL || err->action == ERR_RETRY)
        fprintf(stderr, "vectail: its place is kept: vectail audit %s %s --resume goes on\n",
                run->family->name, run->options.version->label);
    return code;
}

static int audit_version(struct run *run, const struct version *version)
{
    struct err err;
    struct audit_report report;
    run->options.version = version;
    if (!audit_run(&run->options, &report, &err))
        return fail(run, &err);
    if (run->shows)
        fputs("\r\033[K", stderr);
    cJSON *entry = json_object();
    json_add_string(entry, "label", version->label);
    add_figures(entry, &report);
    json_append(run->versions, entry);
    add_to_sum(&run->sum, &report);
    if (!run->json)
        print_report(run, &report);
    return audit_is_clean(&report) ? CLI_DONE : CLI_REFUSED;
}

/* Why a version is left out when all are asked for; NULL: it is not. */
static const char *why_skipped(const struct version *version)
{
    if (version->external)
        return "is external: it was not built from the source, and cannot be audited";
    return version->state == VERSION_BACKFILLING ? "is still being filled" : NULL;
}

static int audit_all(struct run *run)
{
    int code = CLI_DONE;
    for (size_t i = 0; i < run->registry.version_count && code != CLI_FAILED; i++) {
        const struct version *version = &run->registry.versions[i];
        if (!version->external && !version_is_fed(version))
            continue;
        const char *why = why_skipped(version);
        if (why) {
            fprintf(stderr, "version %s %s\n", version->label, why);
            json_append(run->skipped, cJSON_CreateString(version->label));
            continue;
        }
        int one = audit_version(run, version);
        code = one == CLI_DONE ? code : one;
    }
    return code;
}

static int audit_wanted(struct run *run)
{
    struct err err;
    if (!registry_load(run->state->docs, run->config->name, run->family->name, &run->registry,
                       &err))
        return cmd_fail(&err);
    run->options.registry = &run->registry;
    if (!run->label)
        return audit_all(run);
    const struct version *version = registry_version(&run->registry, run->label);
    if (version)
        return audit_version(run, version);
    fprintf(stderr, "vectail: family %s has no version '%s'\n", run->family->name, run->label);
    return CLI_FAILED;
}

static void print_json(const struct run *run)
{
    CLEANUP(cJSON_Deletep) cJSON *reply = json_object();
    json_add_string(reply, "family", run->family->name);
    add_figures(reply, &run->sum);
    json_add(reply, "versions", cJSON_Duplicate(run->versions, true));
    json_add(reply, "skipped", cJSON_Duplicate(run->skipped, true));
    cmd_print_json(reply);
}

static int run_audit(struct run *run)
{
    run->versions = json_array();
    run->skipped = json_array();
    int code = audit_wanted(run);
    if (run->json && (code == CLI_DONE || code == CLI_REFUSED))
        print_json(run);
    else if (code == CLI_DONE && cJSON_GetArraySize(run->versions) == 0)
        printf("family %s has no version to audit\n", run->family->name);
    cJSON_Delete(run->versions);
    cJSON_Delete(run->skipped);
    registry_fini(&run->registry);
    return code;
}

static bool read_rate(const char *text, int64_t *rate)
{
    char *end = NULL;
    *rate = -1;
    if (!text)
        return true;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (errno || end == text || *end || number < 1 || number > RATE_MAX) {
        fprintf(stderr, "vectail: --rate must be 1..%d, is '%s'\n", RATE_MAX, text);
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
    CLEANUP(config_freep) struct config *config = cmd_load_config(args);
    const struct config_family *family = config ? cmd_family(config, args->words[0]) : NULL;
    if (!family || !read_rate(cli_value(args, FLAG_RATE), &rate))
        return CLI_USAGE;
    if (!http_global_init(&err) || !cmd_open_state(config, &state, &err))
        return cmd_fail(&err);
    struct run run = {.config = config,
                      .family = family,
                      .label = args->words[1],
                      .state = &state,
                      .json = args->json,
                      .shows = isatty(STDERR_FILENO)};
    run.options = (struct audit_options){.config = config,
                                         .pool = state.pool,
                                         .docs = state.docs,
                                         .family = family,
                                         .max_documents_per_second = rate,
                                         .repair = cli_has(args, FLAG_REPAIR),
                                         .keep_place = true,
                                         .resume = cli_has(args, FLAG_RESUME),
                                         .progress = progress,
                                         .context = &run};
    catch_signals();
    int code = run_audit(&run);
    cmd_close_state(&state);
    return code;
}
