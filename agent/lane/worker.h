/* SPDX-License-Identifier: Apache-2.0 */
/* One worker thread of a lane: brings the vector collection and the ledger in step with the batches
 * that the lane's reader gives it. Shares nothing with other workers but the store's gate. */
#pragma once

#include "agent/lane/lane_reader.h"
#include "agent/lane/task.h"

/* Another version that vectors may be copied from. */
struct worker_donor {
    struct ledger *ledger;
    struct sink *sink;
    char *collection_id;
    bool content_ids;
    bool elsewhere; /* in another store than the lane writes to */
    bool connected;
    int64_t away_until_ms; /* monotonic: its store did not answer, and is not waited for */
};

struct worker {
    struct lane *lane;
    size_t index;
    pthread_t thread;
    pthread_mutex_t lock;  /* of sinks and embedder, for those who cut their requests */
    char owner[200];       /* of its intents: this process' life, this thread, this stretch */
    struct flight *flight; /* in hand */
    struct arena *batch;   /* of one batch: its tasks */
    struct arena *vectors; /* of one round, or of those after it while its documents are not done */
    struct arena *arena;   /* of one round */
    struct arena *piece;   /* of one piece of a long document */
    struct arena *scratch; /* of one answer of a store */
    struct worklog_writer *writer; /* for re-reads; opened when first needed */
    bool reread_failed;
    struct sink *sink;
    struct embedder *embedder;
    bool model_is_known; /* the embedder's model is the one that the version was built with */
    struct ledger *ledger;
    struct worker_donor *donors;
    size_t donor_count;
    unsigned donor_revision;       /* of the lane's list; 0: none yet */
    const struct round_part *held; /* its intent is open while it is embedded; NULL: none is */
    int64_t send_until_ms;         /* monotonic: writes under an intent may begin until then */
    int64_t lost_until_ms;         /* monotonic: a store has lost vectors, as was found just now */
};

struct worker *worker_new(struct lane *lane, size_t index);
void worker_start(struct worker *worker);
/* What its thread does: returns when the lane stops. */
void worker_run(struct worker *worker);
/* Waits for the thread, which has been told to stop; after `grace_ms` its requests are cut. */
void worker_join(struct worker *worker, int64_t grace_ms);
void worker_free(struct worker *worker);

/* For at most so many ms from now on, what is read next had better come when this batch has left the store
 * (flights.h). */
void worker_await(struct worker *worker, int64_t ms);
/* Why it does not get on; NULL: it does. */
void worker_say(struct worker *worker, const char *reason);
/* Another may have the batch's partitions: nothing may be sent. */
bool worker_is_lost(const struct worker *worker);
/* The batch is better given up than waited with. */
bool worker_is_hurried(const struct worker *worker);

/* Carries out a batch: true when each of its records is applied, dropped or set aside. May be called
 * again with the same batch after a failure. */
bool worker_apply(struct worker *worker, struct task_list *tasks, struct err *err) MUST_USE;
/* Tasks of one round, and which of their chunks: a document of very many is carried out piece by
 * piece. */
struct round_part {
    struct task **tasks;
    size_t count;
    size_t from; /* chunks [from, to) of each */
    size_t to;
};
/* To be called before each request to the store: begins the tasks' intents anew when the time in
 * which requests may begin is nearly over, so that a slow store or a long document comes to its end. */
bool worker_go_on(struct worker *worker, const struct round_part *part, struct err *err) MUST_USE;

/* --- worker_reread.c --- */

/* The log's last word on a key must not be an old state, or compaction would keep just that: where one
 * stands behind the record that is applied, in this batch or an earlier one, a re-read is appended. */
bool worker_append_rereads(struct worker *worker, const struct task_list *tasks, struct err *err)
    MUST_USE;
void worker_close_rereads(struct worker *worker);

/* --- worker_embed.c --- */

/* Gives each chunk that is to be written its vector: copied where it lies already, else bought.
 * Documents that the embedder refuses get a reject reason instead, chunks that are too long a mark. */
bool worker_embed(struct worker *worker, const struct round_part *part, struct err *err) MUST_USE;

/* --- worker_store.c --- */

/* Finds what interrupted writes may have left in the records that will be written. Before the first of
 * the two below. */
bool worker_look(struct worker *worker, const struct round_part *part, struct err *err) MUST_USE;
/* Writes and labels the records of the part. */
bool worker_store(struct worker *worker, const struct round_part *part, struct err *err) MUST_USE;
/* Erases the tasks' stale records. Where a source id may have passed to another document meanwhile, that
 * one is marked for repair: what was erased may have been its. */
bool worker_erase(struct worker *worker, const struct round_part *part, struct err *err) MUST_USE;
