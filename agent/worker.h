/* SPDX-License-Identifier: Apache-2.0 */
/* One worker thread of a lane: brings the vector collection and the ledger in step with the batches
 * that the lane's reader gives it. Shares nothing with other workers but the store's gate. */
#pragma once

#include "agent/lane_reader.h"
#include "agent/task.h"

struct worker {
    struct lane *lane;
    size_t index;
    pthread_t thread;
    pthread_mutex_t lock;  /* of sink and embedder, for those who cut their requests */
    char owner[200];       /* of its intents: this process' life, this thread, this stretch */
    struct flight *flight; /* in hand */
    struct arena *batch;   /* of one batch: its tasks, and the vectors bought for them */
    struct arena *arena;   /* of one attempt at it */
    struct worklog_writer *writer; /* for re-reads; opened when first needed */
    bool reread_failed;
    struct sink *sink;
    struct embedder *embedder;
    struct ledger *ledger;
    int64_t send_until_ms; /* monotonic: writes under an intent may begin until then */
};

struct worker *worker_new(struct lane *lane, size_t index);
void worker_start(struct worker *worker);
/* What its thread does: returns when the lane stops. */
void worker_run(struct worker *worker);
/* Waits for the thread, which has been told to stop; after `grace_ms` its requests are cut. */
void worker_join(struct worker *worker, int64_t grace_ms);
void worker_free(struct worker *worker);

/* Why it does not get on; NULL: it does. */
void worker_say(struct worker *worker, const char *reason);
/* Another may have the batch's partitions: nothing may be sent. */
bool worker_is_lost(const struct worker *worker);
/* The batch is better given up than waited with. */
bool worker_is_hurried(const struct worker *worker);

/* Carries out a batch: true when each of its records is applied, dropped or set aside. May be called
 * again with the same batch after a failure. */
bool worker_apply(struct worker *worker, struct task_list *tasks, struct err *err) MUST_USE;
/* To be called before each request to the store: begins the tasks' intents anew when the time in
 * which requests may begin is nearly over, so that a slow store or a long document comes to its end. */
bool worker_go_on(struct worker *worker, struct task **tasks, size_t count, struct err *err)
    MUST_USE;

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
