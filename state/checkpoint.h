/* SPDX-License-Identifier: Apache-2.0 */
/* How far one capture has come, and who may write that: lease and checkpoint are one document, so
 * that taking the lease, stamping the new term and loading the checkpoint are one write.
 *
 * Document `<name>/<source database>` (work log kafka) or `<name>/<source database>/<build_id>` (a
 * lane of the work log memory) of the collection `captures`.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "state/docstore.h"

enum family_state {
    FAMILY_STARTING,
    FAMILY_SNAPSHOT,
    FAMILY_STREAMING,
    FAMILY_GAP,
    FAMILY_SOURCE_DROPPED,
    FAMILY_STOPPED,
};
const char *family_state_name(enum family_state state);

/* One range of a snapshot: `_id` in (cursor or min, max). All typed BSON: {"_id": value}. */
struct snapshot_range {
    bson_t *min;    /* NULL: from the beginning */
    bson_t *max;    /* NULL: to the end */
    bson_t *cursor; /* last acknowledged row; NULL: none yet */
    bool done;
    int64_t rows; /* acknowledged */
};

struct checkpoint_family {
    char *family;
    int64_t gen;
    char *t0; /* token (_data) of the generation's start: the ver of its snapshot rows */
    char *family_fp;
    enum family_state state;
    char *reason; /* NULL: none */
    int partitions;
    int64_t *start_offsets; /* [partitions] */
    int64_t *end_offsets;   /* [partitions]; NULL until GEN_SNAPSHOT_DONE */
    int64_t *
        high_offsets; /* [partitions]; how far the topic reached when last looked at; may be NULL */
    int gaps;         /* begun one after the other, none of them read to its end */
    struct snapshot_range *ranges;
    size_t range_count;
    int64_t total_rows;      /* estimate at the start; -1 unknown */
    int64_t rows_per_second; /* lately, while it is being read; for display */
};

struct checkpoint {
    char *token; /* durable resume token: _data, and _typeBits in hex behind a colon, if there
                            are any; NULL: none yet */
    uint32_t token_time; /* seconds, from the token */
    char *pipeline_hash;
    struct checkpoint_family *families;
    size_t family_count;
};

void checkpoint_fini(struct checkpoint *checkpoint);
/* NULL when there is none of that name. */
struct checkpoint_family *checkpoint_find(struct checkpoint *checkpoint, const char *family);
/* Adds an empty entry. */
struct checkpoint_family *checkpoint_add(struct checkpoint *checkpoint, const char *family);
void checkpoint_family_fini(struct checkpoint_family *family);

/* A held lease. Thread-safe: one thread saves, another renews. */
struct lease;

struct lease_info { /* what anybody may read */
    char *holder;   /* NULL: free */
    int64_t term;
    bool valid; /* not run out, by the server's clock */
    int64_t saved_ms;
};

enum lease_outcome { LEASE_WON, LEASE_HELD };

struct lease_options {
    const char *id;
    const char *holder; /* unique to this process' life */
    int64_t ttl_ms;
};

/* On LEASE_WON: *lease is given, the term is one higher than ever before, and *checkpoint is what was
 * stored. Won when free, run out by the server's clock, or already this holder's. */
bool lease_take(struct docstore *store, const struct lease_options *options, struct lease **lease,
                struct checkpoint *checkpoint, enum lease_outcome *outcome, struct err *err)
    MUST_USE;

/* Writes the checkpoint (majority) if the term is still this lease's, and extends the lease.
 * ERR_CANCEL, STATE: another term has begun; nothing may be produced any more. */
bool lease_save(struct lease *lease, const struct checkpoint *checkpoint, struct err *err) MUST_USE;
/* Extends the lease; the checkpoint stays as last saved. Same errors. */
bool lease_renew(struct lease *lease, struct err *err) MUST_USE;
/* Gives it back, so that another need not wait. Best effort. */
void lease_release(struct lease *lease);
void lease_free(struct lease *lease);
DEFINE_FREEP(struct lease, lease_free)

int64_t lease_term(const struct lease *lease);
/* Of the document as last written: it only ever rises. */
int64_t lease_rev(struct lease *lease);
/* As it was found, before it was taken. */
int64_t lease_found_rev(const struct lease *lease);
/* False once this process' own monotonic clock says that the lease may have run out, or a save found
 * another term. */
bool lease_is_held(const struct lease *lease);

/* Reads without taking. *found false: there is none. */
bool checkpoint_load(struct docstore *store, const char *id, bool *found,
                     struct checkpoint *checkpoint, struct lease_info *info, struct err *err)
    MUST_USE;
void lease_info_fini(struct lease_info *info);
