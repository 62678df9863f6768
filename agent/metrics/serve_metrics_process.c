/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/metrics/serve_metrics_process.h"

static struct metric_labels labels_of(const struct provider *provider)
{
    return (struct metric_labels){{{"embedder", provider_name(provider)}}};
}

static void request_counters(const struct metrics_process *process, struct metrics_page *page)
{
    static const struct metric requests = {"vectail_embed_requests", "counter", "",
                                           "Requests to the embedder, by how they ended."};
    metric_head(&requests, page);
    for (size_t i = 0; i < process->provider_count; i++) {
        struct provider_counts counts;
        struct metric_labels labels = labels_of(process->providers[i]);
        provider_count(process->providers[i], &counts);
        for (size_t code = 0; code < CODE_COUNT; code++) {
            labels.items[1] = (struct metric_label){"code", provider_code_names[code]};
            if (code == CODE_OK || counts.requests[code] > 0)
                metric_sample("vectail_embed_requests_total", &labels,
                              (int64_t)counts.requests[code], page);
        }
    }
}

static void request_seconds(const struct metrics_process *process, struct metrics_page *page)
{
    static const struct metric seconds = {"vectail_embed_seconds", "histogram", "seconds",
                                          "How long requests to the embedder took."};
    metric_head(&seconds, page);
    for (size_t i = 0; i < process->provider_count; i++) {
        struct metric_labels labels = labels_of(process->providers[i]);
        metric_histogram(seconds.name, &labels, provider_seconds(process->providers[i]), page);
    }
}

static void waiting_seconds(const struct metrics_process *process, struct metrics_page *page)
{
    static const struct metric waited = {
        "vectail_embed_wait_seconds", "counter", "seconds",
        "How long threads waited until they might send, together."};
    metric_head(&waited, page);
    for (size_t i = 0; i < process->provider_count; i++) {
        struct provider_counts counts;
        struct metric_labels labels = labels_of(process->providers[i]);
        provider_count(process->providers[i], &counts);
        metric_sample_ms("vectail_embed_wait_seconds_total", &labels, counts.waited_us / 1000,
                         page);
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

static void provider_gauges(const struct metrics_process *process, struct metrics_page *page)
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
        metric_head(&all[i].metric, page);
        for (size_t j = 0; j < process->provider_count; j++) {
            struct metric_labels labels = labels_of(process->providers[j]);
            metric_sample(all[i].metric.name, &labels, all[i].value(process->providers[j]), page);
        }
    }
}

static void version_seconds(const struct metrics_process *process, struct metrics_page *page)
{
    static const struct metric store = {"vectail_store_seconds", "histogram", "seconds",
                                        "How long writes to the store took."};
    static const struct metric freshness = {
        "vectail_freshness_seconds", "histogram", "seconds",
        "From the commit of a change until it was visible in the store."};
    const struct timing *first = timings_first(process->timings);
    metric_head(&store, page);
    for (const struct timing *at = first; at; at = at->next) {
        struct metric_labels labels = {{{"family", at->family}, {"version", at->version}}};
        metric_histogram(store.name, &labels, &at->store, page);
    }
    metric_head(&freshness, page);
    for (const struct timing *at = first; at; at = at->next) {
        struct metric_labels labels = {{{"family", at->family}, {"version", at->version}}};
        metric_histogram(freshness.name, &labels, &at->freshness, page);
    }
}

static void store_requests(const struct metrics_process *process, struct metrics_page *page)
{
    static const struct metric requests = {
        "vectail_store_requests", "counter", "",
        "Requests to the store, of lanes, queries, gates, audits "
        "and upkeep, by how they ended."};
    metric_head(&requests, page);
    for (size_t i = 0; i < process->store_count; i++) {
        const struct metrics_store *store = &process->stores[i];
        for (size_t op = 0; op < SINK_OPS; op++) {
            for (size_t code = 0; code < SINK_CODES; code++) {
                struct metric_labels labels = {{{"store", store->name},
                                                {"op", sink_op_names[op]},
                                                {"code", sink_code_names[code]}}};
                uint64_t count =
                    atomic_load_explicit(&store->counts->requests[op][code], memory_order_relaxed);
                /* what lanes do all the time stands there from the start, so that a rate sees the first */
                if (count > 0 || (code == SINK_CODE_OK && op == SINK_OP_UPSERT))
                    metric_sample("vectail_store_requests_total", &labels, (int64_t)count, page);
            }
        }
    }
}

void metrics_write_process(const struct metrics_process *process, struct metrics_page *page)
{
    request_counters(process, page);
    request_seconds(process, page);
    waiting_seconds(process, page);
    provider_gauges(process, page);
    store_requests(process, page);
    if (process->timings)
        version_seconds(process, page);
}
