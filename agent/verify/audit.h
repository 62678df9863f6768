/* SPDX-License-Identifier: Apache-2.0 */
/* An independent comparison of a version's source, ledger and store.
 *
 * What a document should be in the index is worked out from the source anew, with the embed config that the
 * registry has; nothing that a worker has concluded is believed. Three walks: over the source in the order
 * of `_id`, over the ledger in the order of keys (rows whose document is gone), and, where the store holds
 * more than those account for, over the store. What differs may only be in flight: it is looked at again
 * until it is equal, or the lane has had its time.
 *
 * Vectors are not compared: that takes the embedder (gates.h).
 *
 * Memory is bounded whatever the size. One thread; it blocks for as long as it takes. Reads only, unless
 * `repair` is set.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/config/config.h"
#include "base/mongo.h"
#include "sinks/sink.h"
#include "state/docstore.h"
#include "state/registry.h"

struct audit_progress {
    const char *doing; /* "comparing the source" */
    int64_t done;
    int64_t total; /* -1: not known */
    int64_t differences;
};

struct limiters;

struct audit_options {
    const struct config *config;
    mongoc_client_pool_t *pool;
    struct docstore *docs;
    const struct limiters *limiters; /* that count requests to stores; NULL: nobody does */
    const struct config_family *family;
    const struct registry *registry;  /* of the family */
    const struct version *version;    /* of the registry */
    int64_t max_documents_per_second; /* of each walk; -1: as many as there are */
    bool repair; /* what differs is marked for repair; records that no document has are erased */
    double
        repair_ratio; /* of the documents (a hundred at least) so many are marked at most; 0: all */
    bool of_agent; /* by itself: the place is another one than that of a person's audit, and nothing
                       * is mended while the source is gone or a sweep is not done (RETRY) */
    int64_t gen;   /* of_agent: the family's generation when it begins */
    bool keep_place; /* it is written down every now and then, and removed at the end */
    bool resume;     /* goes on at the place that was written down, if there is one */
    /* Every second or so. False: the audit ends with ERR_CANCEL, its place written down. NULL: nobody
     * listens. */
    bool (*progress)(void *context, const struct audit_progress *progress);
    /* The store's connection, for another thread to interrupt; NULL before it is closed. May be NULL. */
    void (*opened)(void *context, struct sink *sink);
    void *context;
};

enum audit_kind {
    AUDIT_MISSING,   /* the source has it; the ledger has no row, or the store no record */
    AUDIT_STALE,     /* it is not what the source says now */
    AUDIT_LEFT_OVER, /* no document or chunk of the source accounts for it */
    AUDIT_KINDS,
};
const char *audit_kind_name(enum audit_kind kind);

enum audit_place_of {
    AUDIT_LEDGER, /* a document's row */
    AUDIT_STORE,  /* a chunk's record */
    AUDIT_SIDES,
};
const char *audit_side_name(enum audit_place_of side);

#define AUDIT_EXAMPLES 20
struct audit_example {
    enum audit_kind kind;
    enum audit_place_of side;
    char name[256]; /* key of the document, or id of the record; cut where it is longer */
    char why[256];
};

struct audit_report {
    int64_t documents;   /* of the source that belong to the family */
    int64_t chunks;      /* that they should have */
    int64_t quarantined; /* documents that are set aside: they count as present */
    int64_t found[AUDIT_SIDES][AUDIT_KINDS]; /* rows, and records */
    int64_t looked_again;                    /* documents and records that differed at first */
    int64_t
        unsettled; /* of those: they changed again and again, or the lane did not come so far, until
                          it was given up */
    bool behind;   /* the lane was not in step, or nobody fed it: what differs may be in flight */
    bool resumed;
    bool scanned;     /* the store's own list was read */
    int64_t repaired; /* documents that were marked */
    bool unmarked;    /* some were not, as they are too many (repair_ratio) */
    int64_t erased;   /* records */
    int64_t took_ms;  /* of this run */
    struct audit_example examples[AUDIT_EXAMPLES];
    size_t example_count;
};
int64_t audit_sum(const struct audit_report *report, enum audit_kind kind);
static inline bool audit_is_clean(const struct audit_report *report)
{
    return audit_sum(report, AUDIT_MISSING) == 0 && audit_sum(report, AUDIT_STALE) == 0 &&
           audit_sum(report, AUDIT_LEFT_OVER) == 0;
}

/* What it could not tell is not what the lane was too late for. */
static inline bool audit_is_settled(const struct audit_report *report)
{
    return report->unsettled == 0 || !report->behind;
}

/* Differences are no error. REJECT: there is nothing to audit (an external version; none in the store yet).
 * FATAL: the collection is not the one that was made, or this build cuts texts in another way. CANCEL:
 * `progress` said so. RETRY: a server does not answer; with keep_place it can be resumed. */
bool audit_run(const struct audit_options *options, struct audit_report *out, struct err *err)
    MUST_USE;
/* How far an audit of the build has come is no longer needed: it is gone. */
bool audit_forget(struct docstore *docs, const char *name, const char *build_id, struct err *err)
    MUST_USE;
