/* SPDX-License-Identifier: Apache-2.0 */
/* verify: the gates of a version, looked at by this process. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/cli/cmd.h"
#include "agent/verify/report.h"
#include "base/clock.h"
#include "base/http.h"
#include "base/json.h"
#include "base/limits.h"
#include "state/identity.h"
#include "state/registry.h"

#define TELL_EVERY_MS 200

struct telling {
    bool terminal;
    int64_t told_ms;
    bool shown;
};

/* One line that is written over, on a terminal only. */
static void tell(void *context, const struct verify_progress *progress)
{
    struct telling *telling = context;
    int64_t now = clock_mono_ms();
    if (!telling->terminal || now - telling->told_ms < TELL_EVERY_MS)
        return;
    telling->told_ms = now;
    telling->shown = true;
    if (progress->total > 0)
        fprintf(stderr, "\r\033[K%s: %" PRId64 " of %" PRId64, progress->doing, progress->done,
                progress->total);
    else
        fprintf(stderr, "\r\033[K%s: %" PRId64, progress->doing, progress->done);
    fflush(stderr);
}

static void end_telling(const struct telling *telling)
{
    if (telling->shown)
        fputs("\r\033[K", stderr);
}

/* 0.9987, 12, or - */
static void put_figure(struct cmd_table *table, double figure, enum cmd_tone tone)
{
    char text[48] = "-";
    if (isfinite(figure) && figure == floor(figure) && fabs(figure) < 1e15)
        snprintf(text, sizeof text, "%.0f", figure);
    else if (isfinite(figure))
        snprintf(text, sizeof text, "%.4f", figure);
    cmd_table_put_right(table, text, tone);
}

static void print_gates(const struct verify_report *report)
{
    CLEANUP(cmd_table_freep) struct cmd_table *table = cmd_table_new(5);
    CLEANUP(buf_fini) struct buf text = BUF_INIT(MIB);
    struct cmd_screen screen = cmd_screen_of();
    cmd_table_put(table, "GATE", TONE_HEAD);
    cmd_table_put(table, "", TONE_HEAD);
    cmd_table_put_right(table, "VALUE", TONE_HEAD);
    cmd_table_put_right(table, "LIMIT", TONE_HEAD);
    cmd_table_put(table, "WHAT", TONE_HEAD);
    for (size_t i = 0; i < report->gate_count; i++) {
        const struct gate_result *gate = &report->gates[i];
        enum cmd_tone tone = gate->ok ? TONE_PLAIN : TONE_BAD;
        cmd_table_put(table, gate_name_text(gate->name), tone);
        cmd_table_put(table, gate->ok ? "ok" : "FAILED", gate->ok ? TONE_GOOD : TONE_BAD);
        put_figure(table, gate->value, tone);
        put_figure(table, gate->threshold, tone);
        cmd_table_put(table, gate->ok ? gate->detail : "see below", tone);
    }
    cmd_table_write(table, &screen, &text);
    fputs(buf_str(&text), stdout);
}

/* What is to be done is not cut at the edge of the terminal. */
static void print_report(const struct verify_report *report)
{
    print_gates(report);
    for (size_t i = 0; i < report->gate_count; i++) {
        if (!report->gates[i].ok)
            printf("\n%s: %s\n", gate_name_text(report->gates[i].name), report->gates[i].detail);
    }
    printf("\nversion %s %s, in %.1f s, seed %s\n", report->label,
           report->ok ? "passes all gates" : "does not pass", (double)report->took_ms / 1000,
           report->seed);
}

static int run_gates(struct verify_options *options, bool as_json)
{
    struct err err;
    struct telling telling = {.terminal = !as_json && isatty(STDERR_FILENO)};
    struct verify_report *report = calloc(1, sizeof *report);
    options->progress = tell;
    options->context = &telling;
    bool ok = verify_run(options, report, &err);
    end_telling(&telling);
    ok = ok && verify_report_save(options->docs, options->config->name, report, &err);
    int code = !ok ? cmd_fail(&err) : report->ok ? CLI_DONE : CLI_REFUSED;
    if (ok && as_json) {
        CLEANUP(cJSON_Deletep) cJSON *json = verify_report_json(report);
        cmd_print_json(json);
    } else if (ok) {
        print_report(report);
    }
    free(report);
    return code;
}

/* The newest build of the label; free(). */
static bool find_build(const struct verify_options *options, const char *label, char **build_id,
                       struct err *err)
{
    struct registry registry;
    if (!registry_load(options->docs, options->config->name, options->family, &registry, err))
        return false;
    const struct version *version = command_version(&registry, label, err);
    *build_id = version ? strdup(version->build_id) : NULL;
    registry_fini(&registry);
    return *build_id != NULL;
}

static int verify_label(struct verify_options *options, const char *label, bool as_json)
{
    struct err err;
    CLEANUP(worklog_closep) struct worklog *log = NULL;
    char *build_id = NULL, *state_id = NULL;
    bool kafka = options->config->worklog.driver == WORKLOG_KAFKA;
    int code;
    if (find_build(options, label, &build_id, &err) &&
        identity_load(options->docs, options->config->name, &state_id, &err) &&
        (!kafka || agent_open_worklog(options->config, &log, &err))) {
        options->build_id = build_id;
        options->state_id = state_id;
        options->log = log;
        code = run_gates(options, as_json);
    } else {
        code = cmd_fail(&err);
    }
    free(build_id);
    free(state_id);
    return code;
}

int cmd_verify(const struct cli_args *args)
{
    struct err err;
    struct cmd_state state;
    CLEANUP(config_freep) struct config *config = cmd_load_config(args);
    if (!config || !cmd_family(config, args->words[0]))
        return CLI_USAGE;
    if (!http_global_init(&err) || !cmd_open_state(config, &state, &err))
        return cmd_fail(&err);
    struct verify_options options = {.config = config,
                                     .pool = state.pool,
                                     .docs = state.docs,
                                     .family = args->words[0],
                                     .seed = cli_value(args, FLAG_SEED)};
    int code = verify_label(&options, args->words[1], args->json);
    cmd_close_state(&state);
    return code;
}
