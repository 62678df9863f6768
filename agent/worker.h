/* SPDX-License-Identifier: Apache-2.0 */
/* One worker thread of a lane: reads batches from the work log and brings the vector collection and
 * the ledger in step with them. Shares nothing with other workers but the store's gate. */
#pragma once

#include "agent/lane.h"
#include "agent/task.h"

struct worker {
    struct lane *lane;
    size_t index;
    pthread_t thread;
    pthread_mutex_t lock; /* of the two connections below, for worker_interrupt() */
    char owner[200];      /* of its intents: this process' life, this thread, this stretch */
    struct arena *batch;  /* of one batch: its tasks, and the vectors bought for them */
    struct arena *arena;  /* of one attempt at it */
    struct worklog_reader *reader;
    struct worklog_writer *writer; /* for re-reads; opened when first needed */
    bool reread_failed;
    struct sink *sink;
    struct embedder *embedder;
    struct ledger *ledger;
    bool stands;            /* the lane's reason is this worker's */
    struct feed_view *feed; /* while a partition stands; looked at feed_ms */
    int64_t feed_ms;
    int64_t swept_gen; /* of the version, as of feed_ms */
    int64_t seeded_gen;
    int64_t asked_gen;     /* a generation above this one was asked for */
    char gap[160];         /* why a partition stands; "": none does */
    int64_t send_until_ms; /* monotonic: writes under an intent may begin until then */
};

struct worker *worker_start(struct lane *lane, size_t index);
/* Waits for the thread, which has been told to stop; after `grace_ms` its requests are cut. Frees. */
void worker_join(struct worker *worker, int64_t grace_ms);

/* The lane's reason: NULL takes back what this worker has said, and nobody else's. */
void worker_say(struct worker *worker, const char *reason);

/* Carries out a batch: true when each of its records is applied, dropped or set aside. May be called
 * again with the same batch after a failure. */
bool worker_apply(struct worker *worker, struct task_list *tasks, struct err *err) MUST_USE;
/* To be called before each request to the store: begins the tasks' intents anew when the time in
 * which requests may begin is nearly over, so that a slow store or a long document comes to its end. */
bool worker_go_on(struct worker *worker, struct task **tasks, size_t count, struct err *err)
    MUST_USE;

/* --- worker_gap.c --- */

/* A partition stands: sends it to where its generation begins, or asks for a new one and waits. */
bool worker_mend_gap(struct worker *worker, const struct worklog_gap *gap, struct err *err)
    MUST_USE;
void worker_forget_gap(struct worker *worker);

/* --- worker_reread.c --- */

/* The log's last word on a key must not be an old state, or compaction would keep just that: where one
 * stands behind the record that is applied, in this batch or an earlier one, a re-read is appended. */
bool worker_append_rereads(struct worker *worker, const struct task_list *tasks, struct err *err)
    MUST_USE;
void worker_close_rereads(struct worker *worker);

/* --- worker_embed.c --- */

/* Gives each chunk that is to be embedded or copied its vector. Documents that the embedder refuses
 * get a reject reason instead. */
bool worker_embed(struct worker *worker, struct task **tasks, size_t count, struct err *err)
    MUST_USE;

/* --- worker_store.c --- */

/* Writes, labels and erases records so that the store holds what the tasks say. */
bool worker_store(struct worker *worker, struct task **tasks, size_t count, struct err *err)
    MUST_USE;
