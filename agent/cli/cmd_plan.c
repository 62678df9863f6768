/* SPDX-License-Identifier: Apache-2.0 */
/* plan: what a new version would cost. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/cli/cmd.h"
#include "agent/plan/plan.h"
#include "base/clock.h"
#include "base/http.h"
#include "base/json.h"
#include "base/limits.h"

#define DRAW_MS 100
#define BAR 30

struct progress {
    int64_t drawn_ms;
    int64_t began_ms;
};

/* On a terminal, in one line that is drawn again in place. */
static bool draw(void *context, int64_t read, int64_t total)
{
    struct progress *progress = context;
    int64_t now_ms = clock_mono_ms();
    if (now_ms - progress->drawn_ms < DRAW_MS)
        return true;
    progress->drawn_ms = now_ms;
    double part = total > 0 ? fmin((double)read / (double)total, 1) : 0;
    double seconds = (double)(now_ms - progress->began_ms) / 1000;
    int filled = (int)(part * BAR);
    fprintf(stderr, "\r[%.*s%.*s] %3.0f%%  %" PRId64 " documents read, %.0f/s \033[K", filled,
            "##############################", BAR - filled, "..............................",
            part * 100, read, seconds > 0 ? (double)read / seconds : 0);
    fflush(stderr);
    return true;
}

static void erase(void)
{
    fprintf(stderr, "\r\033[K");
}

/* --- for people ------------------------------------------------------------------------------- */

/* "1 234 567" */
static void write_number(int64_t number, char *out, size_t size)
{
    char digits[32];
    int length = snprintf(digits, sizeof digits, "%" PRId64, number);
    size_t at = 0;
    for (int i = 0; i < length && at + 2 < size; i++) {
        if (i > 0 && (length - i) % 3 == 0)
            out[at++] = ' ';
        out[at++] = digits[i];
    }
    out[at] = '\0';
}

static void write_duration(double seconds, char *out, size_t size)
{
    if (seconds < 120)
        snprintf(out, size, "%.0f s", ceil(seconds));
    else if (seconds < 7200)
        snprintf(out, size, "%.0f min", ceil(seconds / 60));
    else if (seconds < 172800)
        snprintf(out, size, "%.1f h", seconds / 3600);
    else
        snprintf(out, size, "%.1f days", seconds / 86400);
}

static void put(struct cmd_table *table, const char *name, const char *figure, const char *note)
{
    cmd_table_put(table, name, TONE_PLAIN);
    cmd_table_put_right(table, figure, TONE_PLAIN);
    cmd_table_put(table, note, TONE_PLAIN);
}

static void put_number(struct cmd_table *table, const char *name, int64_t number, const char *note)
{
    char figure[48];
    write_number(number, figure, sizeof figure);
    put(table, name, figure, note);
}

static void put_documents(struct cmd_table *table, const struct plan *plan, const char *how)
{
    char note[200];
    char *at = note;
    size_t left = sizeof note;
    int written = snprintf(at, left, "%s: those that pass the filter", how);
    at += written;
    left -= (size_t)written;
    if (plan->set_aside > 0) {
        written = snprintf(at, left,
                           "; %" PRId64 " hold no text that can be embedded and would be "
                           "set aside",
                           plan->set_aside);
        at += written;
        left -= (size_t)written;
    }
    if (plan->empty > 0)
        snprintf(at, left, "; %" PRId64 " are empty", plan->empty);
    put_number(table, "documents", plan->documents, note);
}

static void put_seconds(struct cmd_table *table, const struct plan *plan)
{
    char figure[64] = "?", least[48], note[200];
    snprintf(note, sizeof note, "not known: the embedder has not been measured yet");
    if (plan->requests == 0) {
        snprintf(figure, sizeof figure, "0 s");
        snprintf(note, sizeof note, "nothing is to be embedded");
    } else if (!isnan(plan->seconds)) {
        write_duration(plan->seconds, figure, sizeof figure);
        snprintf(note, sizeof note, "estimated: of embedding, at the rate measured lately");
    } else if (plan->limit_seconds > 0) {
        write_duration(plan->limit_seconds, least, sizeof least);
        snprintf(figure, sizeof figure, "> %s", least);
        snprintf(note, sizeof note, "by its limits; the embedder has not been measured yet");
    }
    put(table, "time", figure, note);
}

static void put_price(struct cmd_table *table, const struct plan_options *options,
                      const struct plan *plan)
{
    char figure[48];
    if (isnan(plan->price)) {
        put(table, "price", "?", "not known: price_per_million_tokens is not set");
        return;
    }
    snprintf(figure, sizeof figure, plan->price < 1 ? "%.4f" : "%.2f", plan->price);
    char note[120];
    snprintf(note, sizeof note, "estimated: at %g for a million tokens",
             options->embedder->price_per_million_tokens);
    put(table, "price", figure, note);
}

static void put_figures(struct cmd_table *table, const struct plan_options *options,
                        const struct plan *plan)
{
    const char *how = plan->sampled > 0 ? "extrapolated"
                      : plan->error > 0 ? "estimated"
                                        : "counted";
    char note[200];
    put_documents(table, plan, how);
    snprintf(note, sizeof note, "%s: records of the version", plan->sampled > 0 ? how : "counted");
    put_number(table, "chunks", plan->chunks, note);
    snprintf(note, sizeof note, "%s: the same as others, bought once", how);
    put_number(table, "  repeated", plan->chunks - plan->contents, note);
    if (plan->reuse_unknown[0])
        put(table, "  reusable", "?", "not known, see below: counted as to be embedded");
    else if (options->no_reuse)
        put(table, "  reusable", "-", "not asked for");
    else
        put_number(table, "  reusable", plan->reusable,
                   "their vectors lie in another version; an agent has what it bought lately, too");
    snprintf(note, sizeof note, "%s", how);
    put_number(table, "  to embed", plan->to_embed, note);
    put_number(table, "  to verify", plan->to_verify, "bought afresh, to compare: verify.sample");
    snprintf(note, sizeof note, "%s: what is sent for both, with the prefix", how);
    put_number(table, "characters", plan->characters, note);
    snprintf(note, sizeof note, "estimated: one for every %d characters",
             PLAN_CHARACTERS_PER_TOKEN);
    put_number(table, "tokens", plan->tokens, note);
    put_number(table, "requests", plan->requests, "estimated: as one agent sends them");
    put_seconds(table, plan);
    put_price(table, options, plan);
}

static void print_remarks(const struct plan *plan)
{
    if (plan->sampled > 0)
        printf("From %" PRId64 " documents by chance: right to %.1f %%, 19 times of 20. A content "
               "that several documents\nhold is bought once, which a sample hardly sees: there it "
               "says too much. Without --sample all is read.\n",
               plan->sampled, plan->error * 100);
    else if (plan->error > 0)
        printf("Different contents are too many to be kept apart one by one: right to %.2f %%, 19 "
               "times of 20.\n",
               plan->error * 100);
    if (plan->reuse_unknown[0])
        printf("What could be reused is not known: %s\n", plan->reuse_unknown);
}

static void print_plan(const struct plan_options *options, const struct plan *plan)
{
    CLEANUP(cmd_table_freep) struct cmd_table *table = cmd_table_new(3);
    CLEANUP(buf_fini) struct buf text = BUF_INIT(MIB);
    struct cmd_screen screen = cmd_screen_of();
    put_figures(table, options, plan);
    cmd_table_write(table, &screen, &text);
    printf("A new version of %s with the embedder %s:\n", options->family->name,
           options->embedder->name);
    fputs(buf_str(&text), stdout);
    print_remarks(plan);
}

/* --- the command ------------------------------------------------------------------------------ */

/* What is named on the command line; false after saying what is wrong with it. */
static bool read_names(const struct config *config, const struct cli_args *args,
                       struct plan_options *options)
{
    const char *embedder = cli_value(args, FLAG_EMBED), *store = cli_value(args, FLAG_STORE);
    options->family = cmd_family(config, args->words[0]);
    if (!options->family)
        return false;
    if (!embedder)
        fprintf(stderr, "vectail: plan needs --embed NAME: one of the file's embedders\n");
    options->embedder = embedder ? cmd_embedder(config, embedder) : NULL;
    return options->embedder && (!store || cmd_store(config, store));
}

static int run_plan(struct plan_options *options, bool as_json)
{
    struct err err;
    struct plan plan;
    struct progress progress = {.began_ms = clock_mono_ms()};
    bool draws = isatty(STDERR_FILENO);
    options->progress = draws ? draw : NULL;
    options->context = &progress;
    bool ok = plan_make(options, &plan, &err);
    if (draws)
        erase();
    if (!ok)
        return cmd_fail(&err);
    if (as_json) {
        CLEANUP(cJSON_Deletep) cJSON *json = plan_json(options, &plan);
        cmd_print_json(json);
    } else {
        print_plan(options, &plan);
    }
    return CLI_DONE;
}

int cmd_plan(const struct cli_args *args)
{
    struct err err;
    struct cmd_state state;
    CLEANUP(config_freep) struct config *config = cmd_load_config(args);
    struct plan_options options = {
        .config = config, .sample = args->sample, .no_reuse = cli_has(args, FLAG_NO_REUSE)};
    if (!config || !read_names(config, args, &options))
        return CLI_USAGE;
    if (!http_global_init(&err) || !cmd_open_state(config, &state, &err))
        return cmd_fail(&err);
    options.pool = state.pool;
    options.docs = state.docs;
    int code = run_plan(&options, args->json);
    cmd_close_state(&state);
    return code;
}
