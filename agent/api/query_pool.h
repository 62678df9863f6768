/* SPDX-License-Identifier: Apache-2.0 */
/* What queries keep between them: connections to embedder and store for each build of a version, and how the
 * family stood a moment ago. A connection that nobody has used for a while is closed at the next query.
 * Any thread.
 */
#pragma once

#include "agent/config/config.h"
#include "agent/lane/limiters.h"
#include "base/arena.h"
#include "embed/embedder.h"
#include "embed/fingerprint.h"
#include "sinks/sink.h"
#include "state/registry.h"

/* Labels that were asked for last and whose embedders are known. */
#define QUERY_LABELS_MAX 64
/* Idle ones, of all builds together. */
#define QUERY_LINKS_MAX 16
#define QUERY_IDLE_MS 60000
/* How old the family's standing in an answer may be. */
#define QUERY_STANDING_MS 1000
/* How long a query waits for room at the embedder, which fills of versions share with it. */
#define QUERY_PATIENCE_MS 3000

/* To one build of a version; in the hands of one query at a time. */
struct query_link {
    struct query_link *next;
    char *build_id;
    int64_t used_ms;
    cJSON *embed_object; /* what `embed` borrows from, besides the arena */
    struct arena *arena;
    struct embed_config embed;
    struct embedder *embedder;
    struct sink *sink; /* NULL until it is connected */
};

/* With an embedder; FATAL, CONFIG when the file's is not the one that built the version. */
bool query_link_open(const struct config *config, const struct version *version,
                     struct query_link **out, struct err *err) MUST_USE;
/* To the store, unless it is there. `limiters`: as lane_open_sink() takes them. */
bool query_link_connect(struct query_link *link, const struct config *config,
                        const struct limiters *limiters, const struct version *version,
                        struct err *err) MUST_USE;
void query_link_close(struct query_link *link); /* NULL is fine */

struct query_pool;

/* All borrowed. `limiters` may be NULL: nobody shares the embedders with it. */
struct query_pool *query_pool_new(const struct config *config, struct docstore *docs,
                                  struct limiters *limiters);
void query_pool_free(struct query_pool *pool); /* NULL is fine */

/* A version as it is asked for: by its label; NULL: what is served. */
struct query_target {
    const char *family;
    const char *label;
};
/* The place in the configuration of the embedder that such queries go to, as far as that is known before the
 * registry is read: of the version that was searched last, before that of the one in the file. */
size_t query_pool_embedder(struct query_pool *pool, const struct query_target *target);
/* It is searched with that embedder. */
void query_pool_note(struct query_pool *pool, const struct query_target *target,
                     const char *embedder);

/* An idle one of the build, or NULL. */
struct query_link *query_pool_take(struct query_pool *pool, const char *build_id);
/* Takes it. */
void query_pool_put(struct query_pool *pool, struct query_link *link);

/* NULL: nobody shares anything with it. */
const struct limiters *query_pool_limiters(const struct query_pool *pool);

/* Embeds one text within the embedder's limits. RETRY, with a delay, where there was no room in time. */
struct query_embedding {
    struct query_link *link;
    const char *name; /* of the embedder */
    struct embed_text text;
    float *vector;
};
bool query_pool_embed(struct query_pool *pool, const struct query_embedding *wanted,
                      struct err *err) MUST_USE;

/* The family's entry of the status, as it was within QUERY_STANDING_MS, or with `fresh` as it is. The caller's
 * own. */
bool query_pool_standing(struct query_pool *pool, const char *family, bool fresh, cJSON **out,
                         struct err *err) MUST_USE;
