/* SPDX-License-Identifier: Apache-2.0 */
/* The gates that a version passes before it is served: each is one question about its collection, with a
 * figure, a threshold and, where it fails, what to do.
 *
 * verify_run() reads and never writes, unless it is to mend. Any thread; it blocks for as long as a census of source, ledger and
 * store takes (minutes for millions of documents), or seconds where it is cheap.
 */
#pragma once

#include <cjson/cJSON.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/config/config.h"
#include "agent/lane/provider.h"
#include "agent/verify/gates_rules.h"
#include "base/mongo.h"
#include "cdc/worklog.h"
#include "embed/embedder.h"
#include "sinks/sink.h"
#include "state/docstore.h"

/* In the order in which they are looked at and shown. */
enum gate_name {
    GATE_EMBEDDER,    /* the model that built it is the one that answers, and no test embedder */
    GATE_COLLECTION,  /* the collection is the one that was made */
    GATE_SNAPSHOT,    /* all of the generation is applied, what it missed is erased */
    GATE_LAG,         /* it keeps up */
    GATE_DOCUMENTS,   /* source and ledger hold the same documents */
    GATE_CHUNKS,      /* ledger and store hold the same records */
    GATE_VECTORS,     /* a sample's vectors are there and sound */
    GATE_COSINE,      /* they are what the embedder makes of these texts */
    GATE_RECALL,      /* each finds itself */
    GATE_QUARANTINED, /* few enough documents are set aside */
    GATE_SIZE,        /* it is not much smaller than what is served now */
    GATE_COUNT,
};
const char *gate_name_text(enum gate_name name);

#define GATE_DETAIL_SIZE 1024
struct gate_result {
    enum gate_name name;
    bool ok;
    double value;     /* NaN: it has no figure */
    double threshold; /* NaN: it has none */
    /* for people: what was looked at; where it failed, examples and what to do */
    char detail[GATE_DETAIL_SIZE];
};

struct verify_report {
    char family[256];
    char label[256];
    char build_id[64];
    bool ok;    /* all gates passed */
    bool cheap; /* without the census: not enough to become ready */
    struct gate_result gates[GATE_COUNT];
    size_t gate_count;
    int64_t mended; /* documents that were marked for repair, and records that were erased */
    int64_t at_ms;  /* wall time of its end */
    int64_t took_ms;
    int64_t epoch; /* of the alias, read before the first gate: another one now means look again */
    char seed[VERIFY_SEED_SIZE]; /* of the sample: from the build_id and the time */
};

/* What a run has open, so that another thread can cut it short. All zero but for the lock. */
struct verify_hold {
    pthread_mutex_t lock;
    bool cancelled;
    struct sink *sink;
    struct sink *other; /* of the audit, or of another version */
    struct embedder *embedder;
    _Atomic bool *leave; /* of the run */
};
void verify_hold_cancel(struct verify_hold *hold);

struct verify_progress {
    const char *doing; /* "counting the source" */
    int64_t done;
    int64_t total; /* -1: not known */
};

struct limiters;

struct verify_options {
    const struct config *config;
    mongoc_client_pool_t *pool;
    struct docstore *docs;
    struct worklog *log; /* kafka; NULL with the work log memory */
    const char *family;
    const char *build_id;
    const char *state_id;            /* identity_load() */
    const struct limiters *limiters; /* that count requests to stores; NULL: nobody does */
    struct provider *provider; /* of the version's embedder in this process; NULL: one is made */
    bool mend;        /* what the census finds is marked for repair, as by an audit with `repair` */
    bool cheap;       /* before a cutover: counts instead of id sets, a sample of 20 at most */
    const char *seed; /* of an earlier report: the same sample; NULL: a new one */
    struct verify_hold *hold; /* NULL: nobody cuts it short */
    /* NULL: nobody listens */
    void (*progress)(void *context, const struct verify_progress *progress);
    void *context;
};

/* An error: it could not be looked at (RETRY: again later, after retry_after_ms; CANCEL: stopped; FATAL:
 * not before the configuration changes; REJECT: there is nothing to verify, `text` says why). A gate that
 * fails is none. */
bool verify_run(const struct verify_options *options, struct verify_report *out, struct err *err)
    MUST_USE;

/* The first gate that failed, as "gate: detail"; "" where none did. For a reason that stands with the
 * version. */
void verify_report_reason(const struct verify_report *report, char *out, size_t size);
