/* SPDX-License-Identifier: Apache-2.0 */
/* The view `embeddings` of the state database: a document per chunk and version, over the ledgers.
 *
 * For people: nothing of ours reads it. It goes over the ledgers of every deployment that keeps its state
 * in that database, and its definition follows from their registries: whoever leads a family keeps it. */
#pragma once

#include <mongoc/mongoc.h>
#include <stdbool.h>

#include "base/err.h"

#define EMBEDDINGS_VIEW "embeddings"

enum embeddings_outcome {
    EMBEDDINGS_SAME,     /* it was as it should be */
    EMBEDDINGS_MADE,     /* there was none */
    EMBEDDINGS_REPLACED, /* it went over other ledgers, or was an older release's */
};

/* Safe to repeat, and for several at once. REJECT when something else has the name, or what the user may
 * not look at: it is left alone; FATAL when the user may not make or replace it. */
bool embeddings_keep(mongoc_client_pool_t *pool, const char *database,
                     enum embeddings_outcome *outcome, struct err *err) MUST_USE;
