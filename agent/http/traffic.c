/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/http/traffic.h"

#include <stdlib.h>

#include "agent/api/serve_routes.h"

const int traffic_codes[TRAFFIC_CODES] = {
    200, 202, 304, 400, 401, 403, 404, 405, 409, 413, 415, 422, 429, 500, 501, 502, 503, 0,
};

struct traffic *traffic_new(void)
{
    struct traffic *traffic = calloc(1, sizeof *traffic);
    traffic->route_count = serve_route_count() + 1;
    traffic->routes = calloc(traffic->route_count, sizeof *traffic->routes);
    return traffic;
}

void traffic_free(struct traffic *traffic)
{
    if (!traffic)
        return;
    free(traffic->routes);
    free(traffic);
}

void traffic_count(struct traffic *traffic, size_t route, int status, int64_t us)
{
    struct traffic_route *counted = &traffic->routes[route];
    size_t code = 0;
    while (code < TRAFFIC_CODES - 1 && traffic_codes[code] != status)
        code++;
    atomic_fetch_add_explicit(&counted->answers[code], 1, memory_order_relaxed);
    histogram_add(&counted->seconds, us, 1);
}
