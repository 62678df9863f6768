/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/cli/cmd.h"
#include "agent/cli/server_watch.h"
#include "agent/cli/status_parts.h"
#include "agent/status/status.h"
#include "base/clock.h"
#include "base/http.h"
#include "base/json.h"
#include "base/limits.h"
#include "state/identity.h"

#define REDRAW_MS 1000
#define BAR_WIDTH 20
#define SCREEN_SIZE (4 * MIB)

struct picture {
    const cJSON *status;
    struct cmd_screen screen;
    bool bars;
    bool steady; /* without what changes every second anyway */
};

static int64_t int_of(const cJSON *object, const char *name)
{
    int64_t number = -1;
    return json_get_int(object, name, &number) ? number : -1;
}

static const char *text_of(const cJSON *object, const char *name)
{
    const char *text = "";
    return json_get_string(object, name, &text) ? text : "";
}

static void put_int(struct cmd_table *table, int64_t number)
{
    char text[24] = "-";
    if (number >= 0)
        snprintf(text, sizeof text, "%" PRId64, number);
    cmd_table_put_right(table, text, TONE_PLAIN);
}

static void put_span(struct cmd_table *table, const struct picture *picture, int64_t ms)
{
    char text[32];
    cmd_format_span(picture->steady ? -1 : ms, text, sizeof text);
    cmd_table_put_right(table, text, TONE_PLAIN);
}

/* Of a fill: unknown, and nothing where it is over. */
static void put_rate(struct cmd_table *table, const struct picture *picture, const cJSON *version)
{
    char text[32] = "";
    double rate;
    if (!picture->steady && json_get_double(version, "documents_per_second", &rate))
        snprintf(text, sizeof text, rate < 10 ? "%.1f/s" : "%.0f/s", rate);
    cmd_table_put_right(table, text, TONE_PLAIN);
}

static bool is_one_of(const char *word, const char *const *words)
{
    for (; *words; words++) {
        if (strcmp(word, *words) == 0)
            return true;
    }
    return false;
}

static enum cmd_tone tone_of(const char *state)
{
    static const char *const good[] = {"active", "previous", "ready", "streaming", NULL};
    static const char *const bad[] = {"failed", "gap", "source_dropped", "stopped", NULL};
    if (is_one_of(state, good))
        return TONE_GOOD;
    return is_one_of(state, bad) ? TONE_BAD : TONE_WARN;
}

static bool is_filling(const char *state)
{
    static const char *const filling[] = {"planned",     "creating",  "backfilling",
                                          "catching_up", "verifying", NULL};
    return is_one_of(state, filling);
}

static void put_progress(struct cmd_table *table, const cJSON *version, bool bars)
{
    char text[16], bar[BAR_WIDTH + 3] = "";
    double progress = 0;
    bool known = json_get_double(version, "progress", &progress);
    progress = progress < 0 ? 0 : progress > 1 ? 1 : progress;
    snprintf(text, sizeof text, "%.0f%%", floor(progress * 100));
    cmd_table_put_right(table, known ? text : "-", TONE_PLAIN);
    if (!bars)
        return;
    if (is_filling(text_of(version, "state"))) {
        size_t full = (size_t)(progress * BAR_WIDTH);
        bar[0] = '[';
        memset(bar + 1, '#', full);
        memset(bar + 1 + full, '.', BAR_WIDTH - full);
        bar[BAR_WIDTH + 1] = ']';
    }
    cmd_table_put(table, bar, TONE_WARN);
}

/* Why it does not go on, or else what is missing in it. */
static void put_reason(struct cmd_table *table, const cJSON *family, const cJSON *version)
{
    const char *reason = text_of(version, "reason");
    int64_t aside = int_of(version, "quarantined");
    char text[256];
    if (*reason || aside <= 0) {
        cmd_table_put(table, reason, TONE_BAD);
        return;
    }
    snprintf(text, sizeof text, "%" PRId64 " set aside: see vectail quarantine list %s", aside,
             text_of(family, "family"));
    cmd_table_put(table, text, TONE_WARN);
}

static void put_version(struct cmd_table *table, const struct picture *picture, const cJSON *family,
                        const cJSON *version)
{
    const char *state = text_of(version, "state");
    char shown[64];
    int64_t eta_s = int_of(version, "eta_s");
    status_state_text(version, picture->steady, shown, sizeof shown);
    cmd_table_put(table, text_of(family, "family"), TONE_PLAIN);
    cmd_table_put(table, text_of(version, "label"), TONE_PLAIN);
    cmd_table_put(table, shown, tone_of(state));
    put_int(table, int_of(version, "documents"));
    put_int(table, int_of(version, "chunks"));
    put_span(table, picture, int_of(version, "lag_ms"));
    put_progress(table, version, picture->bars);
    put_rate(table, picture, version);
    put_span(table, picture, eta_s <= 0 ? -1 : eta_s * 1000);
    put_reason(table, family, version);
}

static void put_heads(struct cmd_table *table, bool bars)
{
    cmd_table_put(table, "FAMILY", TONE_HEAD);
    cmd_table_put(table, "VERSION", TONE_HEAD);
    cmd_table_put(table, "STATE", TONE_HEAD);
    cmd_table_put_right(table, "DOCS", TONE_HEAD);
    cmd_table_put_right(table, "CHUNKS", TONE_HEAD);
    cmd_table_put_right(table, "LAG", TONE_HEAD);
    cmd_table_put_right(table, "%", TONE_HEAD);
    if (bars)
        cmd_table_put(table, "", TONE_HEAD);
    cmd_table_put_right(table, "RATE", TONE_HEAD);
    cmd_table_put_right(table, "ETA", TONE_HEAD);
    cmd_table_put(table, "REASON", TONE_HEAD);
}

static void write_versions(const struct picture *picture, struct buf *out)
{
    CLEANUP(cmd_table_freep) struct cmd_table *table = cmd_table_new(picture->bars ? 11 : 10);
    const cJSON *family, *version;
    put_heads(table, picture->bars);
    cJSON_ArrayForEach(family, json_get(picture->status, "families"))
    {
        cJSON_ArrayForEach(version, json_get(family, "versions"))
        {
            if (strcmp(text_of(version, "state"), "dropped") != 0)
                put_version(table, picture, family, version);
        }
    }
    cmd_table_write(table, &picture->screen, out);
}

/* Part of the oplog's window that lies before the durable token. */
static void put_headroom(struct cmd_table *table, const struct picture *picture,
                         const cJSON *source)
{
    int64_t left = int_of(source, "headroom_s"), window = int_of(source, "oplog_window_s");
    char text[32] = "-";
    if (left >= 0 && window > 0 && !picture->steady)
        snprintf(text, sizeof text, "%" PRId64 "%%", left < window ? left * 100 / window : 100);
    cmd_table_put_right(table, text, TONE_PLAIN);
}

static void put_snapshot(struct cmd_table *table, const cJSON *snapshot)
{
    char text[256];
    int used = snprintf(text, sizeof text, "%s", text_of(snapshot, "state"));
    if (int_of(snapshot, "total") >= 0)
        used += snprintf(text + used, sizeof text - (size_t)used, " %" PRId64 "/%" PRId64,
                         int_of(snapshot, "done"), int_of(snapshot, "total"));
    if (int_of(snapshot, "eta_s") > 0)
        snprintf(text + used, sizeof text - (size_t)used, ", %" PRId64 " s left",
                 int_of(snapshot, "eta_s"));
    cmd_table_put(table, text, TONE_PLAIN);
}

static void put_source(struct cmd_table *table, const struct picture *picture, const cJSON *family)
{
    const cJSON *source = json_get(family, "source"), *snapshot = json_get(source, "snapshot");
    char text[256];
    const char *leader = text_of(source, "leader");
    cmd_table_put(table, text_of(family, "family"), TONE_PLAIN);
    snprintf(text, sizeof text, "%s.%s", text_of(source, "database"),
             text_of(source, "collection"));
    cmd_table_put(table, text, TONE_PLAIN);
    cmd_table_put(table, text_of(family, "state"), tone_of(text_of(family, "state")));
    put_int(table, int_of(source, "documents"));
    put_span(table, picture, int_of(source, "lag_ms"));
    put_headroom(table, picture, source);
    put_snapshot(table, snapshot);
    if (*leader)
        snprintf(text, sizeof text, "%s (term %" PRId64 ")", leader, int_of(source, "term"));
    cmd_table_put(table, *leader ? text : "nobody", *leader ? TONE_PLAIN : TONE_WARN);
    cmd_table_put(table, text_of(family, "reason"), TONE_BAD);
}

static void write_sources(const struct picture *picture, struct buf *out)
{
    static const char *const heads[] = {"FAMILY",     "SOURCE",   "STATE",  "DOCS",  "LAG",
                                        "OPLOG LEFT", "SNAPSHOT", "LEADER", "REASON"};
    CLEANUP(cmd_table_freep) struct cmd_table *table = cmd_table_new(ARRAY_LEN(heads));
    const cJSON *family;
    for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
        if (i >= 3 && i <= 5)
            cmd_table_put_right(table, heads[i], TONE_HEAD);
        else
            cmd_table_put(table, heads[i], TONE_HEAD);
    }
    cJSON_ArrayForEach(family, json_get(picture->status, "families"))
        put_source(table, picture, family);
    cmd_table_write(table, &picture->screen, out);
}

static void draw(const struct picture *picture, struct buf *out)
{
    const cJSON *family;
    write_versions(picture, out);
    buf_putc(out, '\n');
    write_sources(picture, out);
    status_write_aliases(picture->status, &picture->screen, out);
    status_write_steps(picture->status, picture->steady, out);
    status_write_adopted(picture->status, out);
    server_watch_write(json_get(picture->status, "servers"), "\n", out);
    if (!cJSON_IsTrue(json_get(picture->status, "agent_running")))
        buf_puts(out, "\nNo agent is running: the figures are what the last one wrote down.\n");
    cJSON_ArrayForEach(family, json_get(picture->status, "families"))
    {
        if (!cJSON_IsTrue(json_get(family, "configured")))
            buf_printf(out,
                       "\nFamily %s is not in the configuration any more: it is served, and "
                       "not fed.\n",
                       text_of(family, "family"));
    }
}

static size_t count_lines(const struct buf *text)
{
    size_t lines = 0;
    for (size_t i = 0; i < text->size; i++)
        lines += text->data[i] == '\n';
    return lines;
}

/* What stands on the screen, or was printed last. */
struct shown {
    struct buf text;
    struct buf steady;
};

/* On a terminal: in place. */
static void redraw(const struct buf *text, struct shown *shown)
{
    size_t lines = count_lines(&shown->text);
    if (lines > 0)
        printf("\033[%zuA\r\033[J", lines);
    fputs(buf_str(text), stdout);
    buf_clear(&shown->text);
    buf_append(&shown->text, text->data, text->size);
}

/* Elsewhere: when something has changed. */
static void append(const struct buf *text, const struct buf *steady, struct shown *shown)
{
    if (strcmp(buf_str(steady), buf_str(&shown->steady)) == 0)
        return;
    printf("%s%s", shown->steady.size > 0 ? "\n" : "", buf_str(text));
    buf_clear(&shown->steady);
    buf_append(&shown->steady, steady->data, steady->size);
}

static void show(const cJSON *status, bool terminal, struct shown *shown)
{
    CLEANUP(buf_fini) struct buf text = BUF_INIT(SCREEN_SIZE);
    CLEANUP(buf_fini) struct buf steady = BUF_INIT(SCREEN_SIZE);
    struct picture picture = {.status = status, .screen = cmd_screen_of(), .bars = terminal};
    draw(&picture, &text);
    picture.steady = true;
    draw(&picture, &steady);
    if (terminal)
        redraw(&text, shown);
    else
        append(&text, &steady, shown);
}

/* What the status says, with the servers as this process finds them. `away`: those that do not answer,
 * where the status cannot be had. */
static bool look(struct status_request *request, struct server_watch *servers, cJSON **status,
                 struct buf *away, struct err *err)
{
    CLEANUP(cJSON_Deletep) cJSON *found = server_watch_json(servers);
    request->servers = found;
    bool ok = identity_check(request->docs, request->config->name, err) &&
              status_json(request, status, err);
    request->servers = NULL;
    if (!ok)
        server_watch_write(found, "", away);
    return ok;
}

static int watch(struct status_request *request, struct server_watch *servers)
{
    bool terminal = isatty(STDOUT_FILENO);
    struct shown shown = {.text = BUF_INIT(SCREEN_SIZE), .steady = BUF_INIT(SCREEN_SIZE)};
    int code = CLI_FAILED;
    while (!ferror(stdout)) {
        struct err err;
        CLEANUP(cJSON_Deletep) cJSON *status = NULL;
        CLEANUP(buf_fini) struct buf problem = BUF_INIT(16 * KIB);
        CLEANUP(buf_fini) struct buf away = BUF_INIT(16 * KIB);
        if (look(request, servers, &status, &away, &err)) {
            show(status, terminal, &shown);
        } else if (err.action == ERR_RETRY) {
            buf_printf(&problem, "%s\n%s", err.text, buf_str(&away));
            if (terminal)
                redraw(&problem, &shown);
            else
                append(&problem, &problem, &shown);
        } else {
            code = cmd_fail(&err);
            break;
        }
        fflush(stdout);
        clock_sleep_ms(REDRAW_MS);
    }
    buf_fini(&shown.text);
    buf_fini(&shown.steady);
    return code;
}

static int print_once(struct status_request *request, struct server_watch *servers, bool json)
{
    struct err err;
    CLEANUP(cJSON_Deletep) cJSON *status = NULL;
    CLEANUP(buf_fini) struct buf away = BUF_INIT(16 * KIB);
    if (!look(request, servers, &status, &away, &err)) {
        int code = cmd_fail(&err);
        fputs(buf_str(&away), stderr);
        return code;
    }
    if (json) {
        cmd_print_json(status);
        return CLI_DONE;
    }
    CLEANUP(buf_fini) struct buf text = BUF_INIT(SCREEN_SIZE);
    struct picture picture = {.status = status, .screen = cmd_screen_of()};
    draw(&picture, &text);
    fputs(buf_str(&text), stdout);
    return CLI_DONE;
}

int cmd_status(const struct cli_args *args)
{
    struct err err;
    struct cmd_state state;
    struct server_watch servers;
    if (cli_has(args, FLAG_WATCH) && args->json) {
        fprintf(stderr, "vectail: -w is for people: it does not go with -o json\n");
        return CLI_USAGE;
    }
    CLEANUP(config_freep) struct config *config = cmd_load_config(args);
    if (!config)
        return CLI_USAGE;
    if (!http_global_init(&err) || !cmd_open_state_within(config, CMD_ANSWER_MS, &state, &err))
        return cmd_fail(&err);
    struct status_request request = {.config = config,
                                     .docs = state.docs,
                                     .pool = state.pool,
                                     .family = args->word_count ? args->words[0] : NULL};
    server_watch_open(&servers, config);
    int code = cli_has(args, FLAG_WATCH) ? watch(&request, &servers)
                                         : print_once(&request, &servers, args->json);
    server_watch_close(&servers);
    cmd_close_state(&state);
    return code;
}
