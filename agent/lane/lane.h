/* SPDX-License-Identifier: Apache-2.0 */
/* A lane: the consumer side of one (family, version) in this process.
 *
 * One thread reads; worker threads carry out what was read, each with store and embedder connections,
 * ledger and arenas of its own. With the work log memory the lane has a capture of its own. What a lane does follows from
 * the registry's record of the version, never from the file.
 */
#pragma once

#include <cjson/cJSON.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/lane/gate.h"
#include "agent/lane/provider.h"
#include "agent/lane/vectors.h"
#include "agent/stats.h"
#include "base/arena.h"
#include "embed/embedder.h"
#include "embed/fingerprint.h"
#include "sinks/sink.h"
#include "state/registry.h"

/* Since the lane was started in this process. */
struct lane_stats {
    _Atomic int64_t applied;
    _Atomic int64_t unchanged;
    _Atomic int64_t stale;
    _Atomic int64_t quarantined;
    _Atomic int64_t embedded; /* chunks bought */
    _Atomic int64_t reused;   /* chunks whose vector was copied */
    _Atomic int64_t erased;   /* records */
    _Atomic int64_t characters;
    _Atomic int64_t applied_ms;   /* wall time of the commit of what was applied last; 0: none */
    _Atomic int64_t freshness_ms; /* commit to visible, of the last change */
};

/* When a capture was last asked for a generation, and above which. */
struct generation_asked {
    int64_t gen;
    int64_t at_ms; /* monotonic */
};

struct lane;

/* Asks for documents by `_id`. */
struct lane_ask {
    const bson_t *const *ids; /* {"_id": value} */
    size_t count;
    void (*found)(void *context, const bson_t *doc); /* for each one that is there */
    void *context;
};

/* What a lane asks the source and its checkpoint. */
struct lane_source {
    /* What was written before this call is seen. */
    bool (*fetch)(const struct lane *lane, const struct lane_ask *ask, struct err *err) MUST_USE;
    /* Whether the collection is there. */
    bool (*exists)(const struct lane *lane, bool *out, struct err *err) MUST_USE;
    /* The generation that the checkpoint is in; 0: there is none yet. */
    bool (*generation)(const struct lane *lane, int64_t *out, struct err *err) MUST_USE;
};
extern const struct lane_source lane_source_mongo;

/* Another version of the family whose vectors are of the same embedding part. */
struct lane_donor {
    char *build_id;
    char *collection_id;
    const struct config_store *store;
    bool content_ids;
};

struct lane {
    struct agent *agent;
    const struct family *family;
    const struct lane_source *source;
    const struct config_store *store;
    const struct config_embedder *embedder;
    struct gate *gate;         /* of the store */
    struct gate_seat *seat;    /* there */
    struct provider *provider; /* of the embedder */
    struct sha256 origin;      /* whose vectors are as good as its own */
    _Atomic int rank;          /* enum provider_rank: at every limiter that lanes share */
    char *label;
    int64_t created_ms; /* wall time: when the version was asked for */
    char *build_id;
    char *collection_id;
    char *config_fp;
    char *topic;
    char *group;
    cJSON *embed_object; /* what `embed` points to, besides the arena */
    struct arena *arena;
    struct embed_config embed;
    struct lane_stats stats;
    struct timing *timing;         /* for metrics: the agent's, of the version's label */
    struct version_stats noted;    /* the part of `stats` that is written down; steward only */
    struct generation_asked asked; /* work log memory: of `capture`; steward only */
    _Atomic int64_t gen;           /* the generation that is applied */
    _Atomic bool stop;
    _Atomic bool cut; /* the grace of a stop is over: nothing is waited for any more */
    _Atomic bool paused;

    pthread_mutex_t lock; /* of reasons and donors */
    /* [worker_count + 1], the reader's last: why each does not get on; NULL: it does */
    char **reasons;

    struct lane_donor *donors; /* versions that vectors may be copied from */
    size_t donor_count;
    _Atomic unsigned donor_revision; /* rises when they change; never 0 */

    struct lane_reader *reader;
    pthread_t reading;
    struct worker **workers;
    size_t worker_count;
    struct capture *capture; /* work log memory */
};

struct lane_options {
    struct agent *agent;
    const struct family *family;
    const struct version *version;
    const struct registry *registry; /* that has the version */
    int64_t gen;
};

/* FATAL when the version needs a store or embedder that the file does not have any more. */
bool lane_start(const struct lane_options *options, struct lane **out, struct err *err) MUST_USE;
void lane_request_stop(struct lane *lane);
/* Waits for its threads; what is still under way when the monotonic clock says `until_ms` is cut. */
void lane_join(struct lane *lane, int64_t until_ms);
void lane_free(struct lane *lane); /* after lane_join() */
DEFINE_FREEP(struct lane, lane_free)
/* How long a batch in progress may take after a stop. */
#define LANE_GRACE_MS 4000
static inline bool lane_stopping(struct lane *lane)
{
    return atomic_load_explicit(&lane->stop, memory_order_relaxed) || agent_stopping(lane->agent);
}
/* Whose vectors are as good as the version's own. */
void lane_set_origin(struct lane *lane, const struct version *version);
/* The family's versions as the registry has them now: its own place among them, and the others that
 * vectors may be copied from. */
void lane_see_versions(struct lane *lane, const struct registry *registry);
void lane_forget_versions(struct lane *lane);
/* Whether vectors of that origin (vectors_origin()) may be copied from the version's records. */
bool lane_may_copy_from(const struct version *version, const char *embedder,
                        const struct sha256 *origin, bool *content_ids);
/* A copy in the arena; *revision: of the list. */
struct lane_donor *lane_copy_donors(struct lane *lane, struct arena *arena, size_t *count,
                                    unsigned *revision);
/* Its documents are named by their `_id`: no name ever passes from one to another. */
static inline bool lane_goes_by_id(const struct lane *lane)
{
    return strcmp(lane->family->config->source.id_field, "_id") == 0;
}
static inline bool lane_has_content_ids(const struct lane *lane)
{
    return strcmp(lane->embed.id_scheme, "content") == 0;
}
/* Items of lower generations are dropped from here on. */
void lane_adopt_generation(struct lane *lane, int64_t gen);
/* Says why one of its threads does not get on (its place among the reasons); NULL: it does. */
void lane_set_reason(struct lane *lane, size_t place, const char *reason);
/* A copy of the first reason there is, or NULL. */
char *lane_reason(struct lane *lane);

/* <name>.<family>.<label>.<build_id> */
char *lane_group(const struct config *config, const char *family, const struct version *version);
/* The family's topic, or with the work log memory the lane's own. */
char *lane_topic(const struct config *config, const struct family *family,
                 const struct version *version);

/* Connections of one thread, from configuration. What is asked of the store is counted by `limiters`; NULL:
 * nobody counts. */
bool lane_open_sink(const struct config_store *store, const struct limiters *limiters,
                    struct sink **out, struct err *err) MUST_USE;
bool lane_open_embedder(const struct config_embedder *embedder, struct embedder **out,
                        struct err *err) MUST_USE;
/* The same for a verification, which says so to the server. */
bool lane_open_verifier(const struct config_embedder *embedder, struct embedder **out,
                        struct err *err) MUST_USE;
