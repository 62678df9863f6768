/* SPDX-License-Identifier: Apache-2.0 */
/* A search of a version's collection with the embedder that built it. */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "agent/config/config.h"
#include "base/err.h"
#include "state/docstore.h"

struct query_request {
    const struct config *config;
    struct docstore *docs;
    const char *family;
    const char *label; /* NULL: the active version */
    const char *text;
    int64_t k;
    const char *where; /* the store's own JSON; NULL: all */
};

/* {version, embedder, lag_ms, complete, warnings, results: [{id, source_id, chunk, score, text,
 * metadata}]}. Nearest first; score is 1 - distance for cosine, else -distance. Opens connections of
 * its own; blocks for their time-outs. ERR_REJECT for what asking again will not change: a family or
 * version that there is not, a text without words. */
bool query_run(const struct query_request *request, cJSON **out, struct err *err) MUST_USE;
