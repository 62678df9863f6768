/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of the metrics' text: what a family is, and one sample of it. In OpenMetrics 1.0, or in the
 * text format 0.0.4 that came before it and that older scrapers and promtool read: there a counter's
 * family is named as its samples are, an info is a gauge, and units are not said. */
#pragma once

#include <stdint.h>

#include "base/buf.h"
#include "base/histogram.h"

enum metrics_format { METRICS_OPENMETRICS, METRICS_CLASSIC };

struct metrics_page {
    struct buf *out;
    enum metrics_format format;
};

struct metric {
    const char *name; /* of the family; a counter's samples end in _total, an info's in _info */
    const char *type;
    const char *unit; /* "": none; else the name ends in it */
    const char *help;
};

#define METRIC_LABELS_MAX 5

/* In the order in which they are written; the first without a name ends them, one without a value is
 * left out. */
struct metric_labels {
    struct metric_label {
        const char *name;
        const char *value;
    } items[METRIC_LABELS_MAX];
};

/* The format that a scraper with this header Accept reads best; NULL: it said nothing. */
enum metrics_format metrics_format_of(const char *accept);
const char *metrics_content_type(enum metrics_format format);

void metric_head(const struct metric *metric, struct metrics_page *page);
/* `name` as the sample has it, with its suffix. */
void metric_sample(const char *name, const struct metric_labels *labels, int64_t value,
                   struct metrics_page *page);
/* In seconds. */
void metric_sample_ms(const char *name, const struct metric_labels *labels, int64_t ms,
                      struct metrics_page *page);
/* All samples of a histogram of that family name, in seconds. */
void metric_histogram(const char *name, const struct metric_labels *labels,
                      const struct histogram *histogram, struct metrics_page *page);
