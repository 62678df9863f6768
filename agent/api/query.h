/* SPDX-License-Identifier: Apache-2.0 */
/* A search of a version's collection with the embedder that built it. */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "agent/api/query_pool.h"
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
    const char *where;       /* JSON, of the subset of sinks/where.h; NULL: all */
    struct query_pool *pool; /* NULL: connections of its own */
};

/* {version, embedder, lag_ms, complete, warnings, results: [{id, source_id, chunk, score, text,
 * metadata}]}. Nearest first; score is 1 - distance for cosine, else -distance. Where the store or
 * the embedder fails it, it is tried once more, from the alias on: the version may have gone meanwhile.
 * Blocks for their time-outs. ERR_REJECT for what asking again will not change: STATE a family or version that
 * there is not, DATA a text without words, CONFIG what `where` says wrong. RETRY: a server does not answer, or
 * the embedder has no room. */
bool query_run(const struct query_request *request, cJSON **out, struct err *err) MUST_USE;

/* Adds {lag_ms, state, complete, warnings} to `out`: an answer from an index that is behind, in a gap or not
 * whole says so. Both are entries of the status. */
void query_judge(const cJSON *family, const cJSON *version, cJSON *out);
