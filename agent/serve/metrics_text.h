/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of OpenMetrics text: what a family is, and one sample of it. */
#pragma once

#include <stdint.h>

#include "base/buf.h"
#include "base/histogram.h"

struct metric {
    const char *name; /* of the family; a counter's samples end in _total */
    const char *type;
    const char *unit; /* "": none; else the name ends in it */
    const char *help;
};

struct metric_labels {
    const char *embedder; /* NULL: none; so with all */
    const char *family;
    const char *version;
    const char *name; /* of another one */
    const char *value;
};

void metric_head(const struct metric *metric, struct buf *out);
void metric_sample(const char *name, const struct metric_labels *labels, int64_t value,
                   struct buf *out);
/* In seconds. */
void metric_sample_ms(const char *name, const struct metric_labels *labels, int64_t ms,
                      struct buf *out);
/* All samples of a histogram of that family name, in seconds; `labels` without `name`. */
void metric_histogram(const char *name, const struct metric_labels *labels,
                      const struct histogram *histogram, struct buf *out);
