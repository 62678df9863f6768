/* SPDX-License-Identifier: Apache-2.0 */
/* A list of parked calls. Under its owner's lock. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct call;

struct parked {
    struct call *first;
    size_t count;
};

void parked_put(struct parked *list, struct call *call);
void parked_take(struct parked *list, struct call *call);
/* Those whose clients have closed their side; libmicrohttpd does not look at a suspended connection.
 * *out is an array of *count calls, to be freed. */
void parked_closed(const struct parked *list, struct call ***out, size_t *count);
