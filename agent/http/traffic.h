/* SPDX-License-Identifier: Apache-2.0 */
/* What came over HTTP since the process began: requests by their route and by how they were answered, and the
 * connections there are. Any thread, without a lock. */
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/histogram.h"

#define TRAFFIC_CODES 18
/* The statuses that are told apart; 0, the last: any other. */
extern const int traffic_codes[TRAFFIC_CODES];

struct traffic_route {
    _Atomic uint64_t answers[TRAFFIC_CODES];
    struct histogram
        seconds; /* from the last byte of the request until there is something to send */
};

struct traffic {
    size_t route_count; /* those of serve_route_at(), and one for all that is none of them */
    struct traffic_route *routes;
    _Atomic int64_t connections, connections_max;
    _Atomic int64_t parked; /* calls that wait for an alias, or listen to events */
    _Atomic uint64_t cut;   /* connections that were too slow */
};

struct traffic *traffic_new(void);
void traffic_free(struct traffic *traffic); /* NULL is fine */
void traffic_count(struct traffic *traffic, size_t route, int status, int64_t us);
