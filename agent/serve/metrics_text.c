/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/serve/metrics_text.h"

#include <inttypes.h>
#include <stdio.h>

void metric_head(const struct metric *metric, struct buf *out)
{
    buf_printf(out, "# TYPE %s %s\n", metric->name, metric->type);
    if (*metric->unit)
        buf_printf(out, "# UNIT %s %s\n", metric->name, metric->unit);
    buf_printf(out, "# HELP %s %s\n", metric->name, metric->help);
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

static void put_label(const char *name, const char *value, bool *first, struct buf *out)
{
    if (!value)
        return;
    buf_printf(out, "%s%s=\"", *first ? "{" : ",", name);
    put_escaped(value, out);
    buf_putc(out, '"');
    *first = false;
}

static void sample_head(const char *name, const struct metric_labels *labels, struct buf *out)
{
    bool first = true;
    buf_puts(out, name);
    put_label("embedder", labels->embedder, &first, out);
    put_label("family", labels->family, &first, out);
    put_label("version", labels->version, &first, out);
    if (labels->name)
        put_label(labels->name, labels->value, &first, out);
    if (!first)
        buf_putc(out, '}');
}

void metric_sample(const char *name, const struct metric_labels *labels, int64_t value,
                   struct buf *out)
{
    sample_head(name, labels, out);
    buf_printf(out, " %" PRId64 "\n", value);
}

void metric_sample_ms(const char *name, const struct metric_labels *labels, int64_t ms,
                      struct buf *out)
{
    sample_head(name, labels, out);
    buf_printf(out, " %" PRId64 ".%03" PRId64 "\n", ms / 1000, ms % 1000);
}

#define NAME_SIZE 128

/* The standard wants bounds as floating-point numbers: 0.25, 1.0. */
static void bound_text(int64_t ms, char out[static 32])
{
    int length = snprintf(out, 32, "%" PRId64 ".%03" PRId64, ms / 1000, ms % 1000);
    while (out[length - 1] == '0' && out[length - 2] != '.')
        out[--length] = '\0';
}

void metric_histogram(const char *name, const struct metric_labels *labels,
                      const struct histogram *histogram, struct buf *out)
{
    char sample[NAME_SIZE], bound[32];
    struct metric_labels with_bound = *labels;
    uint64_t count = 0;
    with_bound.name = "le";
    with_bound.value = bound;
    snprintf(sample, sizeof sample, "%s_bucket", name);
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        count += atomic_load_explicit(&histogram->buckets[i], memory_order_relaxed);
        if (i < HISTOGRAM_BUCKETS - 1)
            bound_text(histogram_bounds_ms[i], bound);
        else
            snprintf(bound, sizeof bound, "+Inf");
        metric_sample(sample, &with_bound, (int64_t)count, out);
    }
    snprintf(sample, sizeof sample, "%s_sum", name);
    metric_sample_ms(
        sample, labels,
        (int64_t)(atomic_load_explicit(&histogram->sum_us, memory_order_relaxed) / 1000), out);
    snprintf(sample, sizeof sample, "%s_count", name);
    metric_sample(sample, labels, (int64_t)count, out);
}
