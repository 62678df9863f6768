/* SPDX-License-Identifier: Apache-2.0 */
/* What the two halves of a reader share: worklog_kafka_reader.c (reading, rebalances) and
 * worklog_kafka_offsets.c (what is stored and committed). The reader's own thread, but for what is
 * atomic. */
#pragma once

#include "cdc/worklog_kafka_record.h"

/* Of one partition, since it was last assigned. Each is a next offset; 0: none yet. */
struct kafka_progress {
    int64_t delivered; /* after the last record given to the caller */
    int64_t skipped;   /* after what follows and is not delivered: unreadable, or the end */
    int64_t stored;    /* as given to librdkafka */
    bool gap;          /* it stands: its next offset is gone */
    int64_t gap_offset;
    bool sent; /* by kafka_seek(), to `sent_to`, and nothing has come from there yet */
    int64_t sent_to;
};

struct kafka_reader {
    struct worklog_reader base;
    rd_kafka_t *client;
    char *topic;
    rd_kafka_message_t **messages; /* of the last batch: its records point into them */
    struct worklog_record *records;
    size_t count;
    size_t capacity;
    struct kafka_progress progress[WORKLOG_MAX_PARTITIONS];
    void (*revoking)(void *context, bool lost);
    void *context;

    _Atomic bool revoked; /* by the rebalance callback: what was collected is void */
    /* After a silence the group was joined anew: what is in hand may be another's, until its holder
     * has been told so. */
    _Atomic bool given_up;
    bool stale;   /* records are thrown away until then: they belong to an assignment given up */
    bool keeping; /* the caller has no room: nothing is fetched, also of a new assignment */
    bool paused;  /* by kafka_keep(), until the next read */
    struct worklog_gap gap; /* the one that was told last */
    int64_t gap_told_ms;
    /* An event found behind records of the same batch waits here for the next call. */
    bool noticed;
    bool notice_failed;
    enum worklog_read notice;
    struct err notice_err;

    bool left; /* the group, in good order */
    int64_t session_timeout_ms;
    /* When the request was sent to which the group's coordinator last answered; 0: never. */
    _Atomic int64_t heard_ms;
    /* There was a silence as long as a session: whatever came after, the partitions may be
     * another's, until there is a new assignment. */
    _Atomic bool expired;
};

/* Commits a list of offsets, or NULL: what is stored; and waits for the answer for some seconds. */
rd_kafka_resp_err_t kafka_commit_now(rd_kafka_t *client,
                                     const rd_kafka_topic_partition_list_t *list);
/* When all that was delivered is applied, what follows and is not delivered is passed over too. */
bool kafka_store_skipped(struct kafka_reader *reader, int partition, struct err *err) MUST_USE;
