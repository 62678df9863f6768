/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/serve/serve_metrics_process.h"

#include "agent/serve/metrics_text.h"

static struct metric_labels labels_of(const struct provider *provider)
{
    return (struct metric_labels){.embedder = provider_name(provider)};
}

static void request_counters(const struct metrics_process *process, struct buf *out)
{
    static const struct metric requests = {"vectail_embed_requests", "counter", "",
                                           "Requests to the embedder, by how they ended."};
    metric_head(&requests, out);
    for (size_t i = 0; i < process->provider_count; i++) {
        struct provider_counts counts;
        struct metric_labels labels = labels_of(process->providers[i]);
        provider_count(process->providers[i], &counts);
        labels.name = "code";
        for (size_t code = 0; code < CODE_COUNT; code++) {
            labels.value = provider_code_names[code];
            if (code == CODE_OK || counts.requests[code] > 0)
                metric_sample("vectail_embed_requests_total", &labels,
                              (int64_t)counts.requests[code], out);
        }
    }
}

static void request_seconds(const struct metrics_process *process, struct buf *out)
{
    static const struct metric seconds = {"vectail_embed_seconds", "histogram", "seconds",
                                          "How long requests to the embedder took."};
    metric_head(&seconds, out);
    for (size_t i = 0; i < process->provider_count; i++) {
        struct metric_labels labels = labels_of(process->providers[i]);
        metric_histogram(seconds.name, &labels, provider_seconds(process->providers[i]), out);
    }
}

static void waiting_seconds(const struct metrics_process *process, struct buf *out)
{
    static const struct metric waited = {
        "vectail_embed_wait_seconds", "counter", "seconds",
        "How long threads waited until they might send, together."};
    metric_head(&waited, out);
    for (size_t i = 0; i < process->provider_count; i++) {
        struct provider_counts counts;
        struct metric_labels labels = labels_of(process->providers[i]);
        provider_count(process->providers[i], &counts);
        metric_sample_ms("vectail_embed_wait_seconds_total", &labels, counts.waited_us / 1000, out);
    }
}

/* What one provider is at just now. */
static int64_t in_flight_of(struct provider *provider)
{
    struct provider_counts counts;
    provider_count(provider, &counts);
    return (int64_t)counts.in_flight;
}

static int64_t width_of(struct provider *provider)
{
    struct provider_counts counts;
    provider_count(provider, &counts);
    return (int64_t)counts.width;
}

static int64_t stands(struct provider *provider)
{
    char reason[PROVIDER_REASON_SIZE];
    return provider_reason(provider, reason, sizeof reason);
}

static void provider_gauges(const struct metrics_process *process, struct buf *out)
{
    static const struct {
        struct metric metric;
        int64_t (*value)(struct provider *provider);
    } all[] = {
        {{"vectail_embed_in_flight", "gauge", "", "Requests to the embedder under way."},
         in_flight_of},
        {{"vectail_embed_width", "gauge", "",
          "Requests at the same time that are allowed just now."},
         width_of},
        {{"vectail_embed_standing", "gauge", "",
          "1 while nothing is sent to the embedder after failures, or for its quota or spend cap."},
         stands},
    };
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        metric_head(&all[i].metric, out);
        for (size_t j = 0; j < process->provider_count; j++) {
            struct metric_labels labels = labels_of(process->providers[j]);
            metric_sample(all[i].metric.name, &labels, all[i].value(process->providers[j]), out);
        }
    }
}

static void version_seconds(const struct metrics_process *process, struct buf *out)
{
    static const struct metric store = {"vectail_store_seconds", "histogram", "seconds",
                                        "How long writes to the store took."};
    static const struct metric freshness = {
        "vectail_freshness_seconds", "histogram", "seconds",
        "From the commit of a change until it was visible in the store."};
    const struct timing *first = timings_first(process->timings);
    metric_head(&store, out);
    for (const struct timing *at = first; at; at = at->next) {
        struct metric_labels labels = {.family = at->family, .version = at->version};
        metric_histogram(store.name, &labels, &at->store, out);
    }
    metric_head(&freshness, out);
    for (const struct timing *at = first; at; at = at->next) {
        struct metric_labels labels = {.family = at->family, .version = at->version};
        metric_histogram(freshness.name, &labels, &at->freshness, out);
    }
}

void metrics_write_process(const struct metrics_process *process, struct buf *out)
{
    request_counters(process, out);
    request_seconds(process, out);
    waiting_seconds(process, out);
    provider_gauges(process, out);
    if (process->timings)
        version_seconds(process, out);
}
