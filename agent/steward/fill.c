/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/steward/fill.h"

#include <math.h>

#define MOST 0.999
#define SAMPLE_MS 1000
/* What was longer ago than this hardly counts: batches of an embedder are seconds apart. */
#define MEMORY_MS 20000.0
/* So slow is standing still. */
#define LEAST_PROGRESS_PER_S 1e-9

static double of_offsets(const struct feed_view *view)
{
    int64_t done = 0, all = 0;
    for (int p = 0; p < view->partitions; p++) {
        int64_t start = view->start_offsets[p], end = view->end_offsets[p];
        int64_t at = view->positions[p].committed;
        at = at < start ? start : at > end ? end : at;
        done += at - start;
        all += end > start ? end - start : 0;
    }
    return all > 0 ? (double)done / (double)all : 1;
}

double fill_progress(const struct feed_view *view, int64_t documents, int64_t total)
{
    double part = 0;
    if (!view->unmerged && view->has_positions && view->start_offsets && view->end_offsets)
        part = of_offsets(view);
    else if (total > 0)
        part = (double)documents / (double)total;
    else if (total == 0)
        part = 1;
    return part < MOST ? part : MOST;
}

void fill_note(struct fill *fill, const struct fill_sample *sample)
{
    if (fill->gen != sample->gen)
        *fill = (struct fill){.gen = sample->gen};
    if (sample->progress > fill->progress)
        fill->progress = sample->progress;
    double elapsed_ms = (double)(sample->at_ms - fill->last.at_ms);
    if (fill->last.at_ms == 0) {
        fill->last = *sample;
        return;
    }
    if (elapsed_ms < SAMPLE_MS)
        return;
    double documents = (double)(sample->documents - fill->last.documents) * 1000 / elapsed_ms;
    double progress = (sample->progress - fill->last.progress) * 1000 / elapsed_ms;
    double share = fill->knows_rate ? 1 - exp(-elapsed_ms / MEMORY_MS) : 1;
    fill->documents_per_s += share * ((documents > 0 ? documents : 0) - fill->documents_per_s);
    fill->progress_per_s += share * ((progress > 0 ? progress : 0) - fill->progress_per_s);
    fill->knows_rate = true;
    fill->last = *sample;
}

double fill_rate(const struct fill *fill)
{
    return fill->knows_rate ? fill->documents_per_s : -1;
}

int64_t fill_eta_s(const struct fill *fill)
{
    if (!fill->knows_rate || fill->progress_per_s < LEAST_PROGRESS_PER_S)
        return -1;
    return (int64_t)((1 - fill->progress) / fill->progress_per_s) + 1;
}
