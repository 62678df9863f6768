/* SPDX-License-Identifier: Apache-2.0 */
/* One document in a worker's batch: what came, what is known, what is to be done. All memory is the
 * batch's arena's. */
#pragma once

#include "agent/lane/lane.h"
#include "cdc/worklog.h"
#include "state/ledger.h"

enum chunk_plan {
    CHUNK_KEEP,  /* the store has it as it is */
    CHUNK_LABEL, /* the vector stays, its metadata changes */
    CHUNK_WRITE, /* written whole: its vector is copied from where it lies, or bought */
};

struct task_chunk {
    struct sha256 fp;
    const char *text; /* into the normalised text */
    size_t size;
    enum chunk_plan plan;
    const float *vector; /* WRITE: once known */
    float *room;         /* for it, over attempts */
    const char *id;
    bool too_long; /* its model does not take it: to be cut in two */
};

enum task_step {
    TASK_STALE,     /* older than what is applied: nothing to do */
    TASK_UNCHANGED, /* the same state again: nothing to do */
    TASK_RAISE,     /* only the ledger moves */
    TASK_WRITE,     /* intent, store, ledger */
    TASK_WAIT,      /* another owner's request may still be under way */
};

struct task {
    const struct worklog_record *record;
    const char *key;
    enum item_op op;     /* UPSERT or DELETE once re-reads are resolved */
    bson_t *doc;         /* owned; UPSERT, until what is needed of it is copied */
    size_t doc_size;     /* UPSERT: in bytes */
    bool fenced;         /* of a generation that is over: never applied */
    int64_t last_offset; /* of the batch's last record of the key: `record` or an older state */
    bool reread;         /* the document, or that there is none, is the source's present state */
    const char *reject;  /* why it has to be set aside; NULL: it need not */
    const char *source_id;
    const char *text; /* UPSERT: normalised */
    size_t text_size;
    struct field *metadata;
    size_t metadata_count;
    struct sha256 meta_fp;
    struct sha256 doc_fp;
    size_t written; /* chunks of a long document that are written under the intent `held` */
    char held[33];
    bool halved;  /* chunks of it were too long */
    bool chunked; /* the text is cut: not before it is known to have changed */
    struct task_chunk *chunks;
    size_t chunk_count;

    struct ledger_row row; /* as read */
    enum task_step step;
    bool
        clearing; /* WRITE: only erases what interrupted writes may have left; decided again then */
    struct ledger_write write;
    const char *const *leftover_keys; /* metadata that an interrupted write may have left */
    size_t leftover_key_count;
    const char **stale_ids; /* records to erase */
    size_t stale_count;
    bool done;
};

struct task_list {
    struct task *items;
    size_t count;
};

/* Reads a batch's records into tasks: lower generations dropped, only the newest item of each key
 * kept, re-reads resolved, texts normalised and fingerprinted. */
bool tasks_read(struct lane *lane, const struct worklog_batch *batch, struct arena *arena,
                struct task_list *out, struct err *err) MUST_USE;
void tasks_fini(struct task_list *tasks);

/* Nothing of the store may be taken for what the row says while an intent is open, or after a repair
 * was asked for. */
bool task_is_trusted(const struct task *task);
/* The document is what the row says, whatever its place in time: the text need not be cut. */
bool task_is_same(const struct task *task);
/* Cuts the text, once its row is read and the document has changed. */
void task_chunk(const struct lane *lane, struct arena *arena, struct task *task);
/* Cuts the chunks in two that are too long, and keeps the others with their vectors. The document is
 * set aside where one cannot be cut. */
void task_split(const struct lane *lane, struct arena *arena, struct task *task);

/* What is to be done about a task whose ledger row is read; fills step, write, chunk plans and stale
 * ids. `owner` is this process' life. No effects. */
void task_decide(const struct lane *lane, const char *owner, struct arena *arena,
                 struct task *task);

/* <source id>:<index>, and with content ids :<first 8 digits of the content_fp>. */
const char *record_id(struct arena *arena, bool content_ids, const char *source_id, size_t index,
                      const struct sha256 *fp);
/* The record id of chunk `index` in the lane's version. */
const char *task_record_id(const struct lane *lane, struct arena *arena, const char *source_id,
                           size_t index, const struct sha256 *fp);
