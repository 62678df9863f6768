/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/status/history.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "agent/lane/timings.h"
#include "agent/status/status.h"
#include "base/json.h"

#define SPAN_MS ((int64_t)HISTORY_SAMPLES * HISTORY_STEP_MS)
/* A rate over a longer gap would be an average that nobody asked for. */
#define GAP_MS (6 * (int64_t)HISTORY_STEP_MS)

/* -1: unknown */
struct sample {
    int64_t at_ms;
    int64_t lag_ms;
    int64_t lag_items;
    int64_t p50_ms;
    int64_t p99_ms;
    double items_per_second;
};

struct series {
    char *family;
    char *build_id; /* NULL: of the family's source */
    char *label;
    struct sample *samples; /* HISTORY_SAMPLES, a ring */
    size_t first, count;
    int64_t items; /* dealt with as of the last sample */
    uint64_t buckets[HISTOGRAM_BUCKETS];
    bool has_buckets;
};

struct history {
    pthread_mutex_t lock;
    struct series series[HISTORY_SERIES_MAX];
    size_t count;
};

struct history *history_new(void)
{
    struct history *history = calloc(1, sizeof *history);
    if (!history)
        abort();
    pthread_mutex_init(&history->lock, NULL);
    return history;
}

static void series_fini(struct series *series)
{
    free(series->family);
    free(series->build_id);
    free(series->label);
    free(series->samples);
}

void history_free(struct history *history)
{
    if (!history)
        return;
    for (size_t i = 0; i < history->count; i++)
        series_fini(&history->series[i]);
    pthread_mutex_destroy(&history->lock);
    free(history);
}

static char *copy(const char *text)
{
    char *duplicate = text ? strdup(text) : NULL;
    if (text && !duplicate)
        abort();
    return duplicate;
}

static bool is_same(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

/* NULL: there is no room for another one. */
static struct series *series_of(struct history *history, const char *family, const char *build_id,
                                const char *label)
{
    for (size_t i = 0; i < history->count; i++) {
        struct series *series = &history->series[i];
        if (strcmp(series->family, family) == 0 && is_same(series->build_id, build_id))
            return series;
    }
    if (history->count == HISTORY_SERIES_MAX)
        return NULL;
    struct series *added = &history->series[history->count++];
    *added = (struct series){.family = copy(family),
                             .build_id = copy(build_id),
                             .label = copy(label),
                             .items = -1,
                             .samples = calloc(HISTORY_SAMPLES, sizeof *added->samples)};
    if (!added->samples)
        abort();
    return added;
}

static const struct sample *sample_at(const struct series *series, size_t index)
{
    return &series->samples[(series->first + index) % HISTORY_SAMPLES];
}

static void put(struct series *series, const struct sample *sample)
{
    size_t end = (series->first + series->count) % HISTORY_SAMPLES;
    series->samples[end] = *sample;
    if (series->count < HISTORY_SAMPLES)
        series->count++;
    else
        series->first = (series->first + 1) % HISTORY_SAMPLES;
}

/* --- taking a sample --------------------------------------------------------------------------- */

static int64_t known(const cJSON *object, const char *name)
{
    int64_t number = -1;
    (void)!json_get_int(object, name, &number);
    return number;
}

/* Where in the bucket it lies is not known: as if all were spread evenly. */
static int64_t quantile(const uint64_t counts[static HISTOGRAM_BUCKETS], uint64_t total,
                        double part)
{
    double wanted = part * (double)total, below = 0;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS - 1; i++) {
        double here = (double)counts[i];
        int64_t from = i == 0 ? 0 : histogram_bounds_ms[i - 1];
        int64_t width = histogram_bounds_ms[i] - from;
        if (here > 0 && below + here >= wanted)
            return from + (int64_t)((double)width * (wanted - below) / here);
        below += here;
    }
    return histogram_bounds_ms[HISTOGRAM_BUCKETS - 2];
}

static const struct timing *timing_of(struct timings *timings, const struct series *series)
{
    const struct timing *timing = timings ? timings_first(timings) : NULL;
    while (timing && (strcmp(timing->family, series->family) != 0 ||
                      !is_same(timing->version, series->label)))
        timing = timing->next;
    return timing;
}

/* Of what became visible since the last sample. */
static void take_freshness(struct series *series, struct timings *timings, struct sample *sample)
{
    uint64_t counts[HISTOGRAM_BUCKETS], total = 0;
    const struct timing *timing = timing_of(timings, series);
    if (!timing)
        return;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        uint64_t now = atomic_load_explicit(&timing->freshness.buckets[i], memory_order_relaxed);
        counts[i] = now - series->buckets[i];
        series->buckets[i] = now;
        total += counts[i];
    }
    if (series->has_buckets && total > 0) {
        sample->p50_ms = quantile(counts, total, 0.5);
        sample->p99_ms = quantile(counts, total, 0.99);
    }
    series->has_buckets = true;
}

static void take_rate(struct series *series, const cJSON *version, struct sample *sample)
{
    int64_t items =
        known(version, "applied") + known(version, "skipped_unchanged") + known(version, "stale");
    const struct sample *last = series->count ? sample_at(series, series->count - 1) : NULL;
    int64_t passed_ms = last ? sample->at_ms - last->at_ms : 0;
    if (series->items >= 0 && items >= series->items && passed_ms > 0 && passed_ms <= GAP_MS)
        sample->items_per_second = (double)(items - series->items) * 1000 / (double)passed_ms;
    series->items = items;
}

static bool is_fed(const cJSON *version)
{
    static const char *const states[] = {"backfilling", "catching_up", "verifying",
                                         "ready",       "active",      "previous"};
    const char *state = "";
    (void)!json_get_string(version, "state", &state);
    for (size_t i = 0; i < sizeof states / sizeof *states; i++) {
        if (strcmp(state, states[i]) == 0)
            return true;
    }
    return false;
}

static void take_version(struct history *history, const char *family, const cJSON *version,
                         struct timings *timings, struct sample sample)
{
    const char *label = "", *build_id = "";
    (void)!json_get_string(version, "label", &label);
    (void)!json_get_string(version, "build_id", &build_id);
    struct series *series = is_fed(version) ? series_of(history, family, build_id, label) : NULL;
    if (!series)
        return;
    sample.lag_ms = known(version, "lag_ms");
    sample.lag_items = known(version, "lag_items");
    take_rate(series, version, &sample);
    take_freshness(series, timings, &sample);
    put(series, &sample);
}

static void forget_old(struct history *history, int64_t at_ms)
{
    for (size_t i = history->count; i-- > 0;) {
        struct series *series = &history->series[i];
        if (series->count > 0 && sample_at(series, series->count - 1)->at_ms > at_ms - SPAN_MS)
            continue;
        series_fini(series);
        *series = history->series[--history->count];
    }
}

void history_take(struct history *history, const cJSON *status, struct timings *timings,
                  int64_t at_ms)
{
    const cJSON *family, *version;
    struct sample empty = {.at_ms = at_ms,
                           .lag_ms = -1,
                           .lag_items = -1,
                           .p50_ms = -1,
                           .p99_ms = -1,
                           .items_per_second = -1};
    pthread_mutex_lock(&history->lock);
    cJSON_ArrayForEach(family, json_get(status, "families"))
    {
        const char *name = "";
        (void)!json_get_string(family, "family", &name);
        struct series *source = series_of(history, name, NULL, NULL);
        struct sample sample = empty;
        sample.lag_ms = known(json_get(family, "source"), "lag_ms");
        if (source)
            put(source, &sample);
        cJSON_ArrayForEach(version, json_get(family, "versions"))
            take_version(history, name, version, timings, empty);
    }
    forget_old(history, at_ms);
    pthread_mutex_unlock(&history->lock);
}

/* --- as JSON ------------------------------------------------------------------------------------ */

static double figure_at(const struct sample *sample)
{
    return (double)sample->at_ms;
}

static double figure_lag_ms(const struct sample *sample)
{
    return (double)sample->lag_ms;
}

static double figure_lag_items(const struct sample *sample)
{
    return (double)sample->lag_items;
}

static double figure_p50(const struct sample *sample)
{
    return (double)sample->p50_ms;
}

static double figure_p99(const struct sample *sample)
{
    return (double)sample->p99_ms;
}

/* Rounded to hundredths: nobody plots more. */
static double figure_rate(const struct sample *sample)
{
    double rate = sample->items_per_second;
    return rate < 0 ? -1 : (double)(int64_t)(rate * 100 + 0.5) / 100;
}

static void add_column(cJSON *entry, const char *name, const struct series *series,
                       int64_t since_ms, double figure(const struct sample *sample))
{
    cJSON *column = json_array();
    for (size_t i = 0; i < series->count; i++) {
        const struct sample *sample = sample_at(series, i);
        if (sample->at_ms <= since_ms)
            continue;
        double number = figure(sample);
        json_append(column, number < 0 ? cJSON_CreateNull() : cJSON_CreateNumber(number));
    }
    json_add(entry, name, column);
}

static cJSON *source_json(const struct series *series, int64_t since_ms)
{
    cJSON *entry = json_object();
    add_column(entry, "at", series, since_ms, figure_at);
    add_column(entry, "lag_ms", series, since_ms, figure_lag_ms);
    return entry;
}

static cJSON *version_json(const struct series *series, int64_t since_ms)
{
    cJSON *entry = json_object();
    json_add_string(entry, "label", series->label);
    json_add_string(entry, "build_id", series->build_id);
    add_column(entry, "at", series, since_ms, figure_at);
    add_column(entry, "lag_ms", series, since_ms, figure_lag_ms);
    add_column(entry, "lag_items", series, since_ms, figure_lag_items);
    add_column(entry, "items_per_second", series, since_ms, figure_rate);
    add_column(entry, "freshness_p50_ms", series, since_ms, figure_p50);
    add_column(entry, "freshness_p99_ms", series, since_ms, figure_p99);
    return entry;
}

cJSON *history_json(struct history *history, const char *family, int64_t since_ms)
{
    static const struct series none;
    cJSON *json = json_object();
    cJSON *versions = json_array();
    cJSON *source = NULL;
    pthread_mutex_lock(&history->lock);
    for (size_t i = 0; i < history->count; i++) {
        const struct series *series = &history->series[i];
        if (strcmp(series->family, family) != 0)
            continue;
        if (series->build_id)
            json_append(versions, version_json(series, since_ms));
        else
            source = source_json(series, since_ms);
    }
    pthread_mutex_unlock(&history->lock);
    json_add_int(json, "interval_ms", HISTORY_STEP_MS);
    json_add_int(json, "span_ms", SPAN_MS);
    json_add(json, "source", source ? source : source_json(&none, since_ms));
    json_add(json, "versions", versions);
    return json;
}
