/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of capture share: capture.c (leadership, loop), capture_stream.c (opening, events),
 * capture_emit.c (items, ring, checkpoint), capture_snapshot.c (slices). The capture's own thread
 * only, but for the flags. */
#pragma once

#include <pthread.h>

#include "agent/capture.h"
#include "agent/leader.h"
#include "agent/ring.h"
#include "base/buf.h"
#include "cdc/source.h"

struct feed {
    const struct family *family;
    char *topic;
    int partitions;   /* of the generation */
    int64_t max_size; /* of a record in its topic; 0: not known */
    char *wanted;     /* why a new generation was asked for; NULL: none was. Under the lock */
};

struct capture {
    struct agent *agent;
    char *id;
    char *database;
    struct feed *feeds;
    size_t feed_count;
    pthread_t thread;
    _Atomic bool stop;
    _Atomic bool abandoned; /* what is in flight will not be delivered */
    _Atomic bool leads;
    pthread_mutex_t lock; /* of the feeds' `wanted` */

    struct leader *leader;
    struct checkpoint checkpoint; /* durable state, saved every few seconds */
    struct source *source;
    struct worklog_writer *writer;
    struct ring *ring;
    struct err broken; /* why the writer cannot go on; valid if is_broken */
    bool is_broken;
    char *position;           /* token up to which events were appended */
    struct cluster_time seen; /* the cluster's time when it last answered */
    int64_t saved_ms;
    int64_t lag_noted_ms;
    int64_t unsaved_items;
    bool unsaved_token;
    bool unsaved_generation; /* begun, and not yet written down */
    unsigned openings;       /* failed in a row */
    bool skinny;             /* passing an event that is too large */
    struct buf key;
    struct buf value;
};

/* How long a stop waits for what is in flight. */
#define STOP_FLUSH_MS 3000

bool capture_stopping(const struct capture *capture);
/* The durable state of a feed. */
struct checkpoint_family *capture_state(struct capture *capture, const struct feed *feed);

/* --- capture_emit.c --- */

struct emission {
    const struct feed *feed;
    enum item_op op;
    const bson_iter_t *id;
    const bson_t *doc; /* UPSERT: as read, not projected yet */
    const char *ver;
    int64_t gen;
    int64_t time_ms;
};

bool capture_open_writer(struct capture *capture, struct err *err) MUST_USE;
void capture_close_writer(struct capture *capture);
/* Appends an item, waiting while the log is full. */
bool capture_emit(struct capture *capture, const struct emission *emission, struct err *err)
    MUST_USE;
/* Serves deliveries, moves the durable state, saves it when due, and fails when the lease or the
 * writer is lost. `wait_ms` for deliveries. */
bool capture_tick(struct capture *capture, int64_t wait_ms, struct err *err) MUST_USE;
bool capture_save(struct capture *capture, struct err *err) MUST_USE;
/* Waits until everything appended is delivered, then saves. */
bool capture_flush(struct capture *capture, int64_t timeout_ms, struct err *err) MUST_USE;
void capture_set_position(struct capture *capture, const char *token);
/* The durable token, with the pipeline that it is of. Takes it. */
void capture_set_token(struct capture *capture, char *token);

/* --- capture_stream.c --- */

/* Opens the stream at the durable token (or now), and begins the generations that are due. */
bool capture_open_stream(struct capture *capture, struct err *err) MUST_USE;
/* Emits a batch and marks its position. Fails behind the last batch of a stream: it is closed. */
bool capture_take_batch(struct capture *capture, const struct source_batch *batch, struct err *err)
    MUST_USE;
/* Begins a new generation for every feed, or for one: its history is not complete any more. */
bool capture_begin_generation(struct capture *capture, struct feed *feed, const char *t0,
                              struct err *err) MUST_USE;
/* Begins and saves those that were asked for, at the present position. */
bool capture_begin_wanted(struct capture *capture, struct err *err) MUST_USE;

/* --- capture_snapshot.c --- */

bool capture_snapshot_due(struct capture *capture);
/* Reads rows of one feed for at most slice_ms. */
bool capture_slice(struct capture *capture, int64_t slice_ms, struct err *err) MUST_USE;
/* Writes GEN_SNAPSHOT_DONE for feeds whose rows are all delivered. */
bool capture_finish_snapshots(struct capture *capture, struct err *err) MUST_USE;
