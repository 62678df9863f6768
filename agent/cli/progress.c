/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/cli/progress.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "agent/cli/cmd.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/limits.h"

#define BAR_WIDTH 20
/* Where lines cannot be redrawn. */
#define WRITE_EVERY_MS 5000
/* Between two figures of the rate. */
#define FIGURE_MS 1000
#define LINE_SIZE (4 * KIB)

void progress_begin(struct progress *progress, bool as_json)
{
    FILE *out = as_json ? stderr : stdout;
    *progress = (struct progress){.out = out, .terminal = isatty(fileno(out)) == 1};
    if (as_json && !progress->terminal)
        progress->out = NULL;
}

/* Cut at the edge of the terminal: a line that wraps could not be taken back. */
static void redraw(struct progress *progress, const char *line)
{
    CLEANUP(cmd_table_freep) struct cmd_table *table = cmd_table_new(1);
    CLEANUP(buf_fini) struct buf text = BUF_INIT(LINE_SIZE);
    struct cmd_screen screen = cmd_screen_on(progress->out);
    cmd_table_put(table, line, TONE_PLAIN);
    cmd_table_write(table, &screen, &text);
    if (progress->drawn)
        fputs("\033[A\r\033[J", progress->out);
    fputs(buf_str(&text), progress->out);
    progress->drawn = true;
}

static bool is_news(const struct progress *progress, const char *about, const char *line)
{
    bool other = strncmp(progress->about, about, sizeof progress->about - 1) != 0;
    bool changed = strncmp(progress->line, line, sizeof progress->line - 1) != 0;
    bool late = clock_mono_ms() - progress->written_ms >= WRITE_EVERY_MS;
    return progress->written_ms == 0 || other || (changed && late);
}

void progress_show(struct progress *progress, const char *about, const char *line)
{
    if (!progress->out)
        return;
    if (progress->terminal) {
        redraw(progress, line);
    } else if (is_news(progress, about, line)) {
        fprintf(progress->out, "%s\n", line);
        progress->written_ms = clock_mono_ms();
        snprintf(progress->line, sizeof progress->line, "%s", line);
    }
    snprintf(progress->about, sizeof progress->about, "%s", about);
    fflush(progress->out);
}

void progress_end(struct progress *progress)
{
    if (progress->drawn)
        fputs("\033[A\r\033[J", progress->out);
    progress->drawn = false;
}

double progress_rate(struct progress *progress, int64_t figure)
{
    size_t count = progress->figure_count;
    size_t newest = (count + PROGRESS_FIGURES - 1) % PROGRESS_FIGURES;
    int64_t now_ms = clock_mono_ms();
    double rate = -1;
    if (count > 0 && figure < progress->figures[newest])
        count = progress->figure_count = 0; /* counted anew */
    if (count > 0) {
        size_t oldest = count < PROGRESS_FIGURES ? 0 : count % PROGRESS_FIGURES;
        int64_t took_ms = now_ms - progress->at_ms[oldest];
        int64_t more = figure - progress->figures[oldest];
        rate = took_ms > 0 ? (double)more * 1000 / (double)took_ms : -1;
    }
    if (count == 0 || now_ms - progress->at_ms[newest] >= FIGURE_MS) {
        progress->at_ms[count % PROGRESS_FIGURES] = now_ms;
        progress->figures[count % PROGRESS_FIGURES] = figure;
        progress->figure_count = count + 1;
    }
    return rate;
}

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

static void put_bar(double part, struct buf *out)
{
    size_t full = (size_t)(part * BAR_WIDTH);
    buf_putc(out, '[');
    for (size_t i = 0; i < BAR_WIDTH; i++)
        buf_putc(out, i < full ? '#' : '.');
    buf_printf(out, "] %5.1f %%", part * 100);
}

static void put_fill(const cJSON *family, const cJSON *version, double rate, struct buf *out)
{
    char span[32];
    double part = 0;
    int64_t eta_s = int_of(version, "eta_s"), all = int_of(json_get(family, "source"), "documents");
    if (json_get_double(version, "progress", &part) && part >= 0 && part <= 1)
        put_bar(part, out);
    buf_printf(out, "  %" PRId64, int_of(version, "documents"));
    if (all > 0)
        buf_printf(out, "/%" PRId64, all);
    buf_printf(out, " documents, %" PRId64 " chunks", int_of(version, "chunks"));
    if (rate >= 0)
        buf_printf(out, ", %.*f/s", rate < 10 ? 1 : 0, rate);
    if (eta_s > 0) {
        cmd_format_span(eta_s * 1000, span, sizeof span);
        buf_printf(out, ", %s left", span);
    }
}

static void put_lag(const cJSON *version, struct buf *out)
{
    char span[32];
    int64_t items = int_of(version, "lag_items");
    cmd_format_span(int_of(version, "lag_ms"), span, sizeof span);
    buf_printf(out, "%" PRId64 " documents", int_of(version, "documents"));
    if (items == 0)
        buf_puts(out, ", in step");
    else if (items > 0)
        buf_printf(out, ", %" PRId64 " items behind (%s)", items, span);
}

void progress_line(const cJSON *family, const cJSON *version, double rate, struct buf *out)
{
    const char *state = text_of(version, "state"), *reason = text_of(version, "reason");
    const char *doing = text_of(version, "doing");
    bool fills = strcmp(state, "backfilling") == 0;
    buf_printf(out, "%s  %s%s  ", text_of(version, "label"), state,
               cJSON_IsTrue(json_get(version, "paused")) ? " (paused)" : "");
    if (fills)
        put_fill(family, version, rate, out);
    else if (strcmp(state, "planned") != 0 && strcmp(state, "creating") != 0)
        put_lag(version, out);
    if (int_of(version, "quarantined") > 0)
        buf_printf(out, ", %" PRId64 " set aside", int_of(version, "quarantined"));
    if (*doing)
        buf_printf(out, "; %s", doing);
    if (*reason)
        buf_printf(out, ": %s", reason);
}
