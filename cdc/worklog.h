/* SPDX-License-Identifier: Apache-2.0 */
/* The work log: where items wait between capture and the lanes. Kafka, or in this process' memory.
 *
 * One topic per family, cut into partitions; a record's partition is a function of its key and the
 * generation's partition count (record_partition()). A writer and a reader each belong to one
 * thread; the worklog itself is thread-safe. A record counts as delivered when the log will not
 * lose it: kafka, when the broker has acknowledged it; memory, when its reader has stored an offset
 * behind it (there the log is not durable, so only what is applied may be forgotten by the capture).
 *
 * Readers see each record at least once, per partition in order, with growing offsets that may have
 * holes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "cdc/item.h"

struct worklog_property {
    const char *name;
    const char *value;
};

struct worklog_options {
    const char *driver;  /* "kafka", "memory" */
    const char *brokers; /* kafka */
    const char *client_id;
    int partitions;
    int replication_factor;
    bool create_topics;
    int64_t retention_ms;                      /* delete.retention.ms */
    int64_t compaction_lag_ms;                 /* min.compaction.lag.ms */
    const struct worklog_property *properties; /* passed to librdkafka */
    size_t property_count;
    size_t memory_max_size; /* memory: bytes of undelivered records per topic; 0: 24 MiB */
};

/* What a topic is. Offsets of partition p: [low, high). */
struct worklog_topic {
    int partitions;
    int64_t low[1024];
    int64_t high[1024];
    int64_t max_size; /* of a record with its headers, as the log takes it; 0: not known */
};
#define WORKLOG_MAX_PARTITIONS 1024

enum worklog_append {
    APPEND_OK,
    APPEND_FULL,      /* back-pressure: poll, then try again */
    APPEND_TOO_LARGE, /* the log does not take a record of this size */
};

/* Called on the writer's thread, from worklog_poll() or worklog_flush(), once per appended record.
 * `failed` is NULL when it was delivered. APPEND_TOO_LARGE can also come here: then *failed is
 * REJECT. */
typedef void worklog_delivered(void *context, uint64_t ticket, const struct err *failed);

struct worklog_writer_options {
    worklog_delivered *delivered;
    void *context;
    int64_t max_size; /* of a batch of records, where topics take less than usual; 0: as usual */
};

struct worklog_record {
    struct record record; /* valid until the next poll */
    int partition;
    int64_t offset;
    int64_t broker_ms; /* when the log took it */
};

struct worklog_batch {
    struct worklog_record *records; /* owned by the reader, valid until the next poll */
    size_t count;
    struct worklog_gap { /* with READ_GAP: where */
        int partition;
        int64_t offset; /* that was to be read next; -1: none is committed */
    } gap;
};

#define WORKLOG_FENCED 82 /* err.code; Kafka's number for it */
struct worklog_reader_options {
    const char *topic;
    const char *group;
    /* Stable name for static membership; "" or NULL: none. Of two readers of one name the newer takes
     * the partitions: the older fails with FATAL and WORKLOG_FENCED. */
    const char *instance;
    /* Called within a read, a keep or the closing when partitions are to be handed over: what is
     * stored until it returns is committed. `lost`: they are another's already. NULL: nobody asks.
     * kafka only: in memory partitions change hands between reads. */
    void (*revoking)(void *context, bool lost);
    void *context;
};

enum worklog_read {
    READ_RECORDS,
    READ_IDLE, /* nothing within the time-out */
    READ_LOST, /* partitions were taken away: what is not yet stored comes again elsewhere */
    READ_GAP,  /* the offset to be read next of a partition is no longer (or not yet) in the log, or
                  none is committed: it stands until worklog_seek(). Others are read meanwhile */
};

struct worklog_position {
    int64_t committed; /* next offset of the group; -1: none yet */
    int64_t low;
    int64_t high;
};

/* What one permission turned out to be, named as Kafka's ACLs name it. */
struct worklog_permission {
    const char *operation; /* "Write" */
    const char *kind;      /* "topic", "group" */
    const char *name;      /* borrowed from the caller of worklog_check() */
    bool granted;
    struct err failed; /* why not */
};

struct worklog_permissions {
    bool topic_found; /* of one that is not there yet less can be tried */
    struct worklog_permission items[8];
    size_t count;
};

struct worklog;
struct worklog_writer;
struct worklog_reader;

bool worklog_open(const struct worklog_options *options, struct worklog **out, struct err *err)
    MUST_USE;
void worklog_close(struct worklog *log);
DEFINE_FREEP(struct worklog, worklog_close)

/* Creates the topic (compacted) if it may, checks its settings, and tells what it is. Where topics
 * are made beforehand and it is missing: RETRY, with the exact command in the text. */
bool worklog_ensure(struct worklog *log, const char *topic, struct worklog_topic *out,
                    struct err *err) MUST_USE;
/* What the topic is now, without making one: *found false when there is none. max_size stays 0. */
bool worklog_look(struct worklog *log, const char *topic, bool *found, struct worklog_topic *out,
                  struct err *err) MUST_USE;
/* Gives the topic as many partitions as that; one that has as many, or more, is left alone. Records stay
 * where they are. REJECT, with the exact command in the text: this process may not do that. A topic
 * never gets fewer: for that it has to be made anew. */
bool worklog_grow(struct worklog *log, const char *topic, int partitions, struct err *err) MUST_USE;
/* Removes the topic and what belongs to it. For tests. */
bool worklog_remove(struct worklog *log, const char *topic, struct err *err) MUST_USE;

/* Tries what the topic and groups that begin as `group` does will be used for, and leaves nothing
 * in the topic. An error: the log cannot be asked at all. Blocks for some seconds. */
bool worklog_check(struct worklog *log, const char *topic, const char *group,
                   struct worklog_permissions *out, struct err *err) MUST_USE;

/* positions[p] for each partition p < count: kafka asks the brokers. */
bool worklog_positions(struct worklog *log, const char *topic, const char *group,
                       struct worklog_position *positions, int count, struct err *err) MUST_USE;
/* Commits a group's start offsets, while it has no members. offsets[p] for each partition. */
bool worklog_seed(struct worklog *log, const char *topic, const char *group, const int64_t *offsets,
                  int count, struct err *err) MUST_USE;

/* Removes what a group has committed, while it has no members; done where there is no such group. */
bool worklog_forget_group(struct worklog *log, const char *group, struct err *err) MUST_USE;

/* Of each partition the first offset whose record the log took at `wall_ms` or later; its end where none
 * is so young. What compaction has removed does not count. */
bool worklog_offsets_at(struct worklog *log, const char *topic, int64_t wall_ms, int64_t *offsets,
                        int count, struct err *err) MUST_USE;

/* A few words that are kept beside the topic for as long as it is there, under a group that nobody joins;
 * "" when there are none. memory: nothing lasts, so nothing is ever found. Kafka keeps them for
 * offsets.retention.minutes after they were written last. */
#define WORKLOG_NOTE_SIZE 256
#define WORKLOG_GROUP_REFUSED                                                                      \
    30 /* err.code, where the group may not be used; Kafka's number for it */
bool worklog_note(struct worklog *log, const char *topic, const char *group, const char *words,
                  struct err *err) MUST_USE;
bool worklog_noted(struct worklog *log, const char *topic, const char *group,
                   char words[static WORKLOG_NOTE_SIZE], struct err *err) MUST_USE;

/* Asks the log for a sign of life, which it gives within `timeout_ms`. RETRY: it gave none. */
bool worklog_ping(struct worklog *log, int64_t timeout_ms, struct err *err) MUST_USE;

bool worklog_open_writer(struct worklog *log, const struct worklog_writer_options *options,
                         struct worklog_writer **out, struct err *err) MUST_USE;
/* The record's bytes are copied. FATAL: the writer is broken, close it and open another; what was
 * not reported delivered was not delivered. */
bool worklog_append(struct worklog_writer *writer, const char *topic, int partition,
                    const struct record *record, uint64_t ticket, enum worklog_append *outcome,
                    struct err *err) MUST_USE;
/* Serves delivery reports for at most timeout_ms. FATAL as above. */
bool worklog_poll(struct worklog_writer *writer, int64_t timeout_ms, struct err *err) MUST_USE;
/* Undelivered records; and waiting for there to be none. */
size_t worklog_pending(const struct worklog_writer *writer);
bool worklog_flush(struct worklog_writer *writer, int64_t timeout_ms, struct err *err) MUST_USE;
/* Throws away what is not yet sent (each is reported failed). */
void worklog_purge(struct worklog_writer *writer);
void worklog_close_writer(struct worklog_writer *writer);
DEFINE_FREEP(struct worklog_writer, worklog_close_writer)

bool worklog_open_reader(struct worklog *log, const struct worklog_reader_options *options,
                         struct worklog_reader **out, struct err *err) MUST_USE;
/* Waits at most timeout_ms for the first record, then takes what is there, up to max_records and
 * max_size bytes. */
bool worklog_read(struct worklog_reader *reader, size_t max_records, size_t max_size,
                  int64_t timeout_ms, struct worklog_batch *batch, enum worklog_read *outcome,
                  struct err *err) MUST_USE;
/* Every record of this partition below next_offset is applied. Committed soon, and on revoke. */
bool worklog_store(struct worklog_reader *reader, int partition, int64_t next_offset,
                   struct err *err) MUST_USE;
/* The partition is read and committed from this offset on, whatever was committed before: the one
 * way in which a group goes back. To be called by the partition's reader, with no batch in hand;
 * records of its other partitions may come again. RETRY: it is not this reader's, or the log does
 * not answer. */
bool worklog_seek(struct worklog_reader *reader, int partition, int64_t offset, struct err *err)
    MUST_USE;
/* Commits what is stored, now. */
bool worklog_commit(struct worklog_reader *reader, struct err *err) MUST_USE;
/* True when the group may have given this reader's partitions to another: write nothing. Any
 * thread. */
bool worklog_is_lost(const struct worklog_reader *reader);
/* To be called every few seconds while a batch cannot be applied (a store or a provider is away):
 * the group does not take this reader for dead, and nothing more is fetched. A rebalance meanwhile
 * shows in worklog_is_lost(); the next worklog_read() goes on as if nothing had been. */
bool worklog_keep(struct worklog_reader *reader, struct err *err) MUST_USE;
/* Leaves the group after a commit. */
void worklog_close_reader(struct worklog_reader *reader);
DEFINE_FREEP(struct worklog_reader, worklog_close_reader)

/* What a record counts for where a batch is bounded in bytes: a re-read brings a document with it that
 * is not in the log. */
size_t record_weight(const struct record *record);

/* Java's default partitioner: (murmur2(key) & 0x7fffffff) % partitions. Source: Apache Kafka,
 * org.apache.kafka.common.utils.Utils#murmur2. */
int record_partition(const void *key, size_t size, int partitions);
