/* SPDX-License-Identifier: Apache-2.0 */
/* How fast each embedder is when it is given much at once, as the deployment's processes have measured it:
 * one document per embedder, `<name>/<embedder>` of the collection `rates`. What was measured lately
 * counts more: a half of the weight goes with every RATES_HALF_US. Any thread. */
#pragma once

#include <stdint.h>

#include "state/docstore.h"

#define RATES_HALF_US (INT64_C(600) * 1000000)

struct embed_rate {
    int64_t requests;
    int64_t texts;
    int64_t characters;
    int64_t busy_us; /* while some request of the process was under way */
};

/* All zero when nothing was measured yet. */
bool rates_load(struct docstore *docs, const char *name, const char *embedder,
                struct embed_rate *out, struct err *err) MUST_USE;
/* Adds what was measured since. */
bool rates_add(struct docstore *docs, const char *name, const char *embedder,
               const struct embed_rate *measured, struct err *err) MUST_USE;
