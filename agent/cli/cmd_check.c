/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/cli/cmd_check.h"
#include "agent/agent.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/cli/cmd.h"
#include "agent/http/tls.h"
#include "agent/http/token.h"
#include "agent/lane/lane.h"
#include "base/http.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/text.h"

enum outcome { OUTCOME_GOOD, OUTCOME_BAD, OUTCOME_NOTE };

static void print_outcome(enum outcome outcome, const char *what, const char *detail)
{
    static const char *const words[] = {"ok    ", "failed", "note  "};
    static const enum cmd_tone tones[] = {TONE_GOOD, TONE_BAD, TONE_WARN};
    CLEANUP(cmd_table_freep) struct cmd_table *line = cmd_table_new(3);
    CLEANUP(buf_fini) struct buf out = BUF_INIT(16 * KIB);
    struct cmd_screen screen = cmd_screen_of();
    screen.width = 0; /* the reason is what somebody needs to read */
    cmd_table_put(line, words[outcome], tones[outcome]);
    cmd_table_put(line, what, TONE_PLAIN);
    cmd_table_put(line, detail, TONE_PLAIN);
    cmd_table_write(line, &screen, &out);
    fputs(buf_str(&out), stdout);
    fflush(stdout);
}

static void add_outcome(struct checks *checks, enum outcome outcome, const char *what,
                        const char *text)
{
    CLEANUP(buf_fini) struct buf detail = BUF_INIT(4 * KIB);
    text_append_valid(&detail, text, strlen(text));
    cJSON *object = json_object();
    json_add_string(object, "check", what);
    json_add_bool(object, "ok", outcome != OUTCOME_BAD);
    if (outcome == OUTCOME_NOTE)
        json_add_bool(object, "note", true);
    json_add_string(object, "detail", buf_str(&detail));
    json_append(checks->outcomes, object);
    checks->failed = checks->failed || outcome == OUTCOME_BAD;
    if (!checks->silent)
        print_outcome(outcome, what, buf_str(&detail));
}

void check_note(struct checks *checks, bool ok, const char *what, const char *format, ...)
{
    char text[2 * KIB];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    add_outcome(checks, ok ? OUTCOME_GOOD : OUTCOME_BAD, what, text);
}

void check_remark(struct checks *checks, const char *what, const char *format, ...)
{
    char text[2 * KIB];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    add_outcome(checks, OUTCOME_NOTE, what, text);
}

static void check_store(struct checks *checks, const struct config_store *store)
{
    struct err err;
    char what[512];
    CLEANUP(sink_closep) struct sink *sink = NULL;
    snprintf(what, sizeof what, "store %s", store->name);
    if (lane_open_sink(store, NULL, &sink, &err) && sink_connect(sink, &err))
        check_note(checks, true, what, "%s answers; at most %zu records in a request",
                   sink->ops->name, sink->limits.max_records);
    else
        check_note(checks, false, what, "%s", err.text);
}

/* What `run` reads before it listens. */
static void check_serve(struct checks *checks, const struct config_serve *serve)
{
    struct err err;
    struct token *token = NULL;
    struct tls *tls = NULL;
    bool ok = !serve->token_file || token_open(serve->token_file, &token, &err);
    ok = ok &&
         (!serve->tls.cert_file || tls_open(serve->tls.cert_file, serve->tls.key_file, &tls, &err));
    check_note(checks, ok, "serve", "%s",
               !ok            ? err.text
               : token && tls ? "token, certificate and key are there"
               : token        ? "the token is there"
                              : "certificate and key are there");
    token_free(token);
    tls_free(tls);
}

static int finish(struct checks *checks, bool json, int code)
{
    if (json)
        cmd_print_json(checks->outcomes);
    return code;
}

static int refuse(struct checks *checks, const struct config_mistakes *mistakes, bool json)
{
    checks->silent = true; /* standard error has them */
    for (size_t i = 0; i < mistakes->count; i++) {
        fprintf(stderr, "%s\n", mistakes->items[i]);
        check_note(checks, false, "configuration", "%s", mistakes->items[i]);
    }
    return finish(checks, json, CLI_USAGE);
}

static int try_all(struct checks *checks, const struct config *config, bool json)
{
    struct err err;
    if (!http_global_init(&err))
        return cmd_fail(&err);
    check_mongo(checks, config);
    check_worklog(checks, config);
    for (size_t i = 0; i < config->store_count; i++)
        check_store(checks, &config->stores[i]);
    for (size_t i = 0; i < config->embedder_count; i++)
        check_embedder(checks, config, &config->embedders[i]);
    if (config->serve.token_file || config->serve.tls.cert_file)
        check_serve(checks, &config->serve);
    return finish(checks, json, checks->failed ? CLI_FAILED : CLI_DONE);
}

int cmd_check(const struct cli_args *args)
{
    struct config_mistakes mistakes;
    CLEANUP(cJSON_Deletep) cJSON *outcomes = json_array();
    struct checks checks = {.outcomes = outcomes, .silent = args->json};
    CLEANUP(config_freep) struct config *config = config_load(args->config_file, &mistakes);
    if (!config) {
        int code = refuse(&checks, &mistakes, args->json);
        config_mistakes_fini(&mistakes);
        return code;
    }
    config_mistakes_fini(&mistakes);
    check_note(&checks, true, "configuration", "%s: %zu %s, %zu %s, %zu %s", config->file,
               config->family_count, config->family_count == 1 ? "family" : "families",
               config->store_count, config->store_count == 1 ? "store" : "stores",
               config->embedder_count, config->embedder_count == 1 ? "embedder" : "embedders");
    if (cli_has(args, FLAG_CONNECT))
        return try_all(&checks, config, args->json);
    return finish(&checks, args->json, CLI_DONE);
}
