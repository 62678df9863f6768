/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of capture share: capture.c (leadership, loop), capture_stream.c (opening, events),
 * capture_generation.c (beginnings), capture_emit.c (items, ring, checkpoint), capture_snapshot.c
 * (slices), capture_expiry.c (the end of a lease), capture_witness.c (a state that was restored), capture_watch.c (what is measured beside). The capture's own thread only, but for the
 * flags. */
#pragma once

#include <pthread.h>

#include "agent/capture/capture.h"
#include "agent/capture/encoding.h"
#include "agent/capture/leader.h"
#include "agent/capture/ring.h"
#include "agent/stats.h"
#include "base/limits.h"
#include "cdc/source.h"

struct watch;
struct reader_team;

struct feed {
    const struct family *family;
    char *topic;
    int partitions;     /* of the generation */
    int64_t max_size;   /* of a record in its topic; 0: not known */
    char *wanted;       /* why a new generation was asked for; NULL: none was. Under the lock */
    int64_t wanted_gen; /* the generation that was found wanting */
    bool compared;      /* its state, in this leadership: capture_witness.c */
    int64_t known_gen;  /* as of `known_rev` */
    int64_t
        above; /* of a state that is gone the work log holds this generation; 0: there is none */
    bool clustered;                    /* the source collection is */
    struct cluster_time read_time;     /* when all of the snapshot had been read; zero: not yet */
    bool taken[LIMIT_SNAPSHOT_RANGES]; /* by a reader of this slice */
    /* what its speed limits still allow; below zero it is paid back first */
    double row_credit;
    double byte_credit;
    int64_t credit_ms;
    struct source_counts counts; /* since the watch took them last */
    int64_t rate_rows;           /* since rate_ms, for display */
    int64_t rate_ms;
};

struct slice {
    struct reader_team *team;
    int64_t until_ms; /* monotonic */
    int64_t taken_ms; /* monotonic: when it was last known to get on */
    size_t readers;   /* that are at work */
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
    pthread_t expiry;
    _Atomic bool ended; /* for the thread that looks at the lease */
    pthread_mutex_t
        lock;    /* of the feeds' `wanted`; of setting leader and writer, and of `purged` */
    bool purged; /* what the writer had queued is thrown away: the lease has run out */

    struct leader *leader;
    struct checkpoint checkpoint; /* durable state, saved every few seconds */
    struct source *source;
    struct worklog_writer *writer;
    struct ring *ring;
    struct err broken; /* why the writer cannot go on; valid if is_broken */
    bool is_broken;
    char *position;           /* token up to which events were appended */
    struct cluster_time seen; /* the cluster's time when it last answered */
    struct watch *watch;
    int64_t saved_ms;
    int64_t topics_checked_ms;
    int64_t unsaved_items;
    bool unsaved_token;
    bool unsaved_generation; /* begun, and not yet written down */
    int64_t known_rev;       /* of the lease, when this process held it last; 0: it never has */
    bool witnessed;          /* the state was compared with what was noted beside the topics */
    unsigned openings;       /* failed in a row */
    bool skinny;             /* passing an event that is too large */
    enum { HISTORY_WHOLE, HISTORY_LOST, HISTORY_LOSS_NOTED } history; /* behind the durable token */
    struct err loss;                                                  /* why it is not whole */
    struct encoding encoding;
};

/* How long a stop waits for what is in flight. */
#define STOP_FLUSH_MS 3000
/* For the deliveries of a slice of the snapshot: as long as it takes, with the lease looked at. */
#define FLUSH_SLICE_MS 600000

bool capture_stopping(const struct capture *capture);
/* The durable state of a feed. */
struct checkpoint_family *capture_state(struct capture *capture, const struct feed *feed);

/* --- capture_emit.c --- */

struct emission {
    struct feed *feed;
    enum item_op op;
    const bson_iter_t *id;
    const bson_t *doc; /* UPSERT: as read, not projected yet */
    const char *ver;
    int64_t gen;
    int64_t time_ms;
};

bool capture_open_writer(struct capture *capture, struct err *err) MUST_USE;
void capture_close_writer(struct capture *capture);
/* Appends a record, waiting while the log is full. */
bool capture_append(struct capture *capture, struct feed *feed, struct record *record,
                    struct err *err) MUST_USE;
/* Makes an item and appends it. */
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

/* The durable token is of the pipeline that is used now. */
bool capture_same_pipeline(const struct capture *capture);
/* Opens the stream at the durable token (or now), and begins the generations that are due. */
bool capture_open_stream(struct capture *capture, struct err *err) MUST_USE;
/* Emits a batch and marks its position. Fails behind the last batch of a stream: it is closed. */
bool capture_take_batch(struct capture *capture, const struct source_batch *batch, struct err *err)
    MUST_USE;

/* --- capture_generation.c --- */

struct beginning {
    const char *t0; /* token at which it begins */
    const char *reason;
    bool is_gap;   /* the history was lost: not without end, one after the other */
    int64_t above; /* it is to be above this one, too; 0: above those of the feed is enough */
};
/* A new generation of one feed, not written down yet. Where its collection is gone, or one gap follows
 * the other, the feed stands instead and says why. */
bool capture_begin_generation(struct capture *capture, struct feed *feed,
                              const struct beginning *beginning, struct err *err) MUST_USE;
/* Looks at the feeds' topics and begins the generations that are due, written down. */
bool capture_begin_due(struct capture *capture, const char *t0, struct err *err) MUST_USE;
/* Begins them anew for all feeds: what happened since the durable token is not known. */
bool capture_begin_all(struct capture *capture, const char *t0, const char *reason, struct err *err)
    MUST_USE;
/* The feed is not fed until someone says `resume`. */
bool capture_stands(const struct checkpoint_family *state);
void capture_stand(struct capture *capture, const struct feed *feed, enum family_state state,
                   const char *reason);
/* Every few seconds: fails when a topic is not what it was. */
bool capture_check_topics(struct capture *capture, struct err *err) MUST_USE;
/* Begins and saves those that were asked for, at the present position. */
bool capture_begin_wanted(struct capture *capture, struct err *err) MUST_USE;

/* --- capture_snapshot.c --- */

bool capture_snapshot_due(struct capture *capture);
/* A speed limit keeps some feed from being read. */
bool capture_is_throttled(struct capture *capture);
/* Reads rows of all feeds that are due, for at most slice_ms. */
bool capture_slice(struct capture *capture, int64_t slice_ms, struct err *err) MUST_USE;
/* Writes GEN_SNAPSHOT_DONE for feeds whose rows are all delivered. */
bool capture_finish_snapshots(struct capture *capture, struct err *err) MUST_USE;

/* --- capture_expiry.c --- */

/* The thread that throws away what is queued when the lease has run out. */
void *capture_watch_expiry(void *capture);

/* --- capture_watch.c --- */

/* Measured beside, on a thread of its own: a server that does not answer holds nothing up. */
struct watch *watch_new(struct capture *capture);
/* Writes down what was counted last, in the background; the capture's threads are gone. */
void watch_end(struct watch *watch, struct capture *capture);
void watch_free(struct watch *watch);
/* To be called often: notes the lag, and how far the state has come, every two seconds, looks at the oplog every ten, and warns before
 * the durable token falls out of it. */
void watch_tick(struct watch *watch, struct capture *capture);
