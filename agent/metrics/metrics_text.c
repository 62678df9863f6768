/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/metrics/metrics_text.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define OPENMETRICS "application/openmetrics-text"

/* "; q=0": it is named only to be refused. */
static bool is_refused(const char *parameters, size_t size)
{
    for (size_t i = 0; i + 2 < size; i++) {
        if (strncasecmp(parameters + i, "q=", 2) == 0)
            return strtod(parameters + i + 2, NULL) <= 0;
    }
    return false;
}

/* Only who names OpenMetrics is given it, as all exporters do: "anything" is also what curl says in front
 * of promtool. */
enum metrics_format metrics_format_of(const char *accept)
{
    for (const char *at = accept; at && *at;) {
        at += strspn(at, " \t,");
        size_t size = strcspn(at, ","), name = strcspn(at, ",; \t");
        if (name == sizeof OPENMETRICS - 1 && strncasecmp(at, OPENMETRICS, name) == 0 &&
            !is_refused(at + name, size - name))
            return METRICS_OPENMETRICS;
        at += size;
    }
    return METRICS_CLASSIC;
}

const char *metrics_content_type(enum metrics_format format)
{
    return format == METRICS_OPENMETRICS ? OPENMETRICS "; version=1.0.0; charset=utf-8"
                                         : "text/plain; version=0.0.4; charset=utf-8";
}

static bool is(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

static void head_line(const char *keyword, const struct metric *metric, const char *text,
                      struct metrics_page *page)
{
    const char *suffix = "";
    if (page->format == METRICS_CLASSIC && is(metric->type, "counter"))
        suffix = "_total";
    else if (page->format == METRICS_CLASSIC && is(metric->type, "info"))
        suffix = "_info";
    buf_printf(page->out, "# %s %s%s %s\n", keyword, metric->name, suffix, text);
}

void metric_head(const struct metric *metric, struct metrics_page *page)
{
    bool classic = page->format == METRICS_CLASSIC;
    head_line("TYPE", metric, classic && is(metric->type, "info") ? "gauge" : metric->type, page);
    if (*metric->unit && !classic)
        head_line("UNIT", metric, metric->unit, page);
    head_line("HELP", metric, metric->help, page);
}

static void put_escaped(const char *text, struct buf *out)
{
    for (; *text; text++) {
        if (*text == '\n')
            buf_puts(out, "\\n");
        else if (*text == '"' || *text == '\\')
            buf_printf(out, "\\%c", *text);
        else
            buf_putc(out, *text);
    }
}

static void sample_head(const char *name, const struct metric_labels *labels, struct buf *out)
{
    bool first = true;
    buf_puts(out, name);
    for (size_t i = 0; i < METRIC_LABELS_MAX && labels->items[i].name; i++) {
        if (!labels->items[i].value)
            continue;
        buf_printf(out, "%s%s=\"", first ? "{" : ",", labels->items[i].name);
        put_escaped(labels->items[i].value, out);
        buf_putc(out, '"');
        first = false;
    }
    if (!first)
        buf_putc(out, '}');
}

void metric_sample(const char *name, const struct metric_labels *labels, int64_t value,
                   struct metrics_page *page)
{
    sample_head(name, labels, page->out);
    buf_printf(page->out, " %" PRId64 "\n", value);
}

void metric_sample_ms(const char *name, const struct metric_labels *labels, int64_t ms,
                      struct metrics_page *page)
{
    sample_head(name, labels, page->out);
    buf_printf(page->out, " %" PRId64 ".%03" PRId64 "\n", ms / 1000, ms % 1000);
}

#define NAME_SIZE 128

/* The standard wants bounds as floating-point numbers: 0.25, 1.0. */
static void bound_text(int64_t ms, char out[static 32])
{
    int length = snprintf(out, 32, "%" PRId64 ".%03" PRId64, ms / 1000, ms % 1000);
    while (out[length - 1] == '0' && out[length - 2] != '.')
        out[--length] = '\0';
}

static struct metric_label *free_label(struct metric_labels *labels)
{
    size_t at = 0;
    while (at < METRIC_LABELS_MAX && labels->items[at].name)
        at++;
    assert(at < METRIC_LABELS_MAX);
    return &labels->items[at];
}

void metric_histogram(const char *name, const struct metric_labels *labels,
                      const struct histogram *histogram, struct metrics_page *page)
{
    char sample[NAME_SIZE], bound[32];
    struct metric_labels with_bound = *labels;
    uint64_t count = 0;
    *free_label(&with_bound) = (struct metric_label){"le", bound};
    snprintf(sample, sizeof sample, "%s_bucket", name);
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        count += atomic_load_explicit(&histogram->buckets[i], memory_order_relaxed);
        if (i < HISTOGRAM_BUCKETS - 1)
            bound_text(histogram_bounds_ms[i], bound);
        else
            snprintf(bound, sizeof bound, "+Inf");
        metric_sample(sample, &with_bound, (int64_t)count, page);
    }
    snprintf(sample, sizeof sample, "%s_sum", name);
    metric_sample_ms(
        sample, labels,
        (int64_t)(atomic_load_explicit(&histogram->sum_us, memory_order_relaxed) / 1000), page);
    snprintf(sample, sizeof sample, "%s_count", name);
    metric_sample(sample, labels, (int64_t)count, page);
}
