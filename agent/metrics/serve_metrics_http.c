/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/metrics/serve_metrics_http.h"

#include <stdio.h>

#include "agent/api/serve_routes.h"

static const struct metric_labels none;

static uint64_t load(const _Atomic uint64_t *number)
{
    return atomic_load_explicit(number, memory_order_relaxed);
}

/* By its template, so that no client can make another series. */
static struct metric_labels labels_of(size_t route)
{
    const char *method = "other", *pattern = "other";
    (void)!serve_route_at(route, &method, &pattern);
    return (struct metric_labels){{{"method", method}, {"route", pattern}}};
}

static void requests(const struct traffic *traffic, struct metrics_page *page)
{
    static const struct metric metric = {"vectail_http_requests", "counter", "",
                                         "Requests over HTTP, by how they were answered."};
    metric_head(&metric, page);
    for (size_t i = 0; i < traffic->route_count; i++) {
        struct metric_labels labels = labels_of(i);
        for (size_t code = 0; code < TRAFFIC_CODES; code++) {
            char text[16] = "other";
            uint64_t count = load(&traffic->routes[i].answers[code]);
            if (count == 0)
                continue;
            if (traffic_codes[code])
                snprintf(text, sizeof text, "%d", traffic_codes[code]);
            labels.items[2] = (struct metric_label){"code", text};
            metric_sample("vectail_http_requests_total", &labels, (int64_t)count, page);
        }
    }
}

static bool was_asked(const struct traffic_route *route)
{
    uint64_t count = 0;
    for (size_t code = 0; code < TRAFFIC_CODES; code++)
        count += load(&route->answers[code]);
    return count > 0;
}

static void seconds(const struct traffic *traffic, struct metrics_page *page)
{
    static const struct metric metric = {"vectail_http_seconds", "histogram", "seconds",
                                         "How long requests over HTTP waited for their answer."};
    metric_head(&metric, page);
    for (size_t i = 0; i < traffic->route_count; i++) {
        struct metric_labels labels = labels_of(i);
        if (was_asked(&traffic->routes[i]))
            metric_histogram(metric.name, &labels, &traffic->routes[i].seconds, page);
    }
}

static void connections(const struct traffic *traffic, struct metrics_page *page)
{
    const struct {
        struct metric metric;
        const _Atomic int64_t *value;
    } gauges[] = {
        {{"vectail_http_connections", "gauge", "", "Connections that are open."},
         &traffic->connections},
        {{"vectail_http_connections_max", "gauge", "", "Connections that may be open."},
         &traffic->connections_max},
        {{"vectail_http_waiting", "gauge", "",
          "Clients that wait for an alias, or listen to events."},
         &traffic->parked},
    };
    static const struct metric cut = {"vectail_http_cut", "counter", "",
                                      "Connections that were cut, as their client was too slow."};
    for (size_t i = 0; i < sizeof gauges / sizeof gauges[0]; i++) {
        metric_head(&gauges[i].metric, page);
        metric_sample(gauges[i].metric.name, &none,
                      atomic_load_explicit(gauges[i].value, memory_order_relaxed), page);
    }
    metric_head(&cut, page);
    metric_sample("vectail_http_cut_total", &none, (int64_t)load(&traffic->cut), page);
}

void metrics_write_http(const struct traffic *traffic, struct metrics_page *page)
{
    requests(traffic, page);
    seconds(traffic, page);
    connections(traffic, page);
}
