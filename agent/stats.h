/* SPDX-License-Identifier: Apache-2.0 */
/* What agents note about a version for `status`, the API and metrics: one document per build,
 * `<name>/<build_id>` of the collection `stats`. Counters are sums over all processes that ever fed
 * it; the other fields are written about once a second by the process that leads. Beside it, under
 * `<name>/<build_id>/<holder>`, each process says why its own lane stands, for as long as it does. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "state/docstore.h"

/* What was written longer ago than this says nothing about now. */
#define STATS_FRESH_MS 15000
/* Likewise of a reason, which is written when it changes and every STATS_SAY_MS while it lasts. */
#define STATS_REASON_FRESH_MS 30000
#define STATS_SAY_MS 10000

struct version_stats {
    /* sums */
    int64_t embedded; /* chunks bought */
    int64_t reused;
    int64_t unchanged;
    int64_t applied;
    int64_t stale;
    int64_t set_aside; /* items whose document was quarantined */
    int64_t erased;
    int64_t characters;
    /* as of at_ms */
    int64_t documents;
    int64_t chunks;
    int64_t quarantined;
    int64_t skipped; /* set aside, and a person does without them */
    int64_t pending; /* documents with an open intent */
    int64_t repairs;
    int64_t lag_items;   /* -1: unknown */
    int64_t lag_ms;      /* -1: unknown */
    double progress;     /* 0..1 of the fill */
    double rate;         /* documents per second of the fill, lately; -1: unknown, or it is over */
    int64_t eta_s;       /* -1: unknown */
    int64_t at_ms;       /* 0: nobody has written yet */
    int64_t generation;  /* of its feed */
    int64_t sweep_state; /* of enum sweep_state */
    int64_t sweep_candidates;
    int64_t sweep_documents;
    int64_t in_step_ms; /* by MongoDB's clock: when its log was last applied whole; 0: never */
    int64_t applied_ms; /* wall time of the commit of what some process applied last; 0: unknown */
    /* of the last audit that an agent made by itself */
    int64_t audited_ms; /* by MongoDB's clock; 0: none was */
    int64_t audit_documents;
    int64_t audit_missing;
    int64_t audit_stale;
    int64_t audit_left_over;
    int64_t audit_unsettled;
    int64_t audit_repaired; /* documents and records */
    char *doing;  /* what the leader is at with it: "comparing vectors, 20 of 200"; NULL */
    char *reason; /* why its lane stands in some process; NULL: it does not */
};

/* found false: nothing is known yet. */
bool stats_load(struct docstore *docs, const char *name, const char *build_id, bool *found,
                struct version_stats *out, struct err *err) MUST_USE;
/* Adds the sums of `delta`; applied_ms is set, unless it is 0. */
bool stats_add(struct docstore *docs, const char *name, const char *build_id,
               const struct version_stats *delta, struct err *err) MUST_USE;
/* Why the lane of this process stands; NULL: it goes on. What processes said that have been gone for
 * long is removed. */
bool stats_say(struct docstore *docs, const char *name, const char *build_id, const char *holder,
               const char *reason, struct err *err) MUST_USE;
/* Sets the other fields, but `reason`. */
bool stats_set(struct docstore *docs, const char *name, const char *build_id,
               const struct version_stats *now, struct err *err) MUST_USE;
/* Sets those of the audit. */
bool stats_set_audit(struct docstore *docs, const char *name, const char *build_id,
                     const struct version_stats *now, struct err *err) MUST_USE;
/* All that is noted of a build, by whomever. */
bool stats_remove(struct docstore *docs, const char *name, const char *build_id, struct err *err)
    MUST_USE;
/* What the leader of a capture measures about its source, about every two seconds; under the
 * checkpoint's id. -1: unknown. */
struct capture_stats {
    int64_t lag_ms;         /* of the stream behind the cluster */
    int64_t oplog_window_s; /* what the oplog holds */
    int64_t headroom_s;     /* of that, what lies before the durable token */
    bool headroom_low;
};
#define CAPTURE_STATS_UNKNOWN                                                                      \
    ((struct capture_stats){.lag_ms = -1, .oplog_window_s = -1, .headroom_s = -1})
bool stats_set_capture(struct docstore *docs, const char *capture_id,
                       const struct capture_stats *stats, struct err *err) MUST_USE;
/* All unknown when nobody has said so lately. */
bool stats_load_capture(struct docstore *docs, const char *capture_id, struct capture_stats *out,
                        struct err *err) MUST_USE;

/* What captures have read of a family's source and put into its work log: sums over all processes that
 * ever did, one document per family, `<name>/<family>/source`. A process that ends without its last words
 * takes the counts of some seconds with it. */
enum source_op {
    SOURCE_OP_INSERT,
    SOURCE_OP_UPDATE,
    SOURCE_OP_REPLACE,
    SOURCE_OP_DELETE,
    SOURCE_OP_DROP,
    SOURCE_OP_RENAME,
    SOURCE_OP_OTHER,
    SOURCE_OP_COUNT,
};
extern const char *const source_op_names[SOURCE_OP_COUNT];
/* By the event's operationType; NULL: none. */
enum source_op source_op_of(const char *type);

#define SOURCE_ITEM_OPS 3 /* of enum item_op */
struct source_counts {
    int64_t events[SOURCE_OP_COUNT];
    int64_t items[SOURCE_ITEM_OPS]; /* appended to the work log */
    int64_t documents;              /* read by snapshots */
};
bool source_counts_any(const struct source_counts *counts);
void source_counts_add(struct source_counts *sum, const struct source_counts *more);
bool stats_add_source(struct docstore *docs, const char *name, const char *family,
                      const struct source_counts *delta, struct err *err) MUST_USE;
/* All zero when nobody has counted yet. */
bool stats_load_source(struct docstore *docs, const char *name, const char *family,
                       struct source_counts *out, struct err *err) MUST_USE;
bool stats_remove_source(struct docstore *docs, const char *name, const char *family,
                         struct err *err) MUST_USE;

void stats_fini(struct version_stats *stats);
