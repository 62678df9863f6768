/* SPDX-License-Identifier: Apache-2.0 */
/* How far the filling of a version has come, how fast it goes lately, and how long it will take. Pure; the
 * caller has the clock. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "agent/steward/feed.h"

/* By the offsets of the generation's records where all of them are in the log and the group reads all of
 * them; else by the documents that it has, of `total` (-1: unknown). 0 to 0.999. */
double fill_progress(const struct feed_view *view, int64_t documents, int64_t total);

struct fill_sample {
    int64_t gen;
    int64_t at_ms; /* monotonic */
    int64_t documents;
    double progress;
};

/* All zero: nothing is known yet. */
struct fill {
    int64_t gen;
    double progress; /* never falls within a generation */
    struct fill_sample last;
    bool knows_rate;
    double documents_per_s;
    double progress_per_s;
};

/* A sample within a second of the last one only counts for the progress. */
void fill_note(struct fill *fill, const struct fill_sample *sample);
/* -1: unknown. */
double fill_rate(const struct fill *fill);
int64_t fill_eta_s(const struct fill *fill);
