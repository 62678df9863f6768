/* SPDX-License-Identifier: Apache-2.0 */
/* What the files worklog_memory*.c share. The log's mutex guards everything; functions declared
 * here expect it to be held. No callback is called under it. */
#pragma once

#include <pthread.h>

#include "cdc/worklog_ops.h"

/* A record in the log, in one allocation with its bytes. */
struct memory_entry {
    struct worklog_record record;
    uint64_t writer_id;
    uint64_t ticket;
    size_t size;    /* as counted against the topic's maximum */
    unsigned holds; /* the log's one, and one of each batch it is part of */
};

/* A ring of the entries that are not yet delivered: offsets [low, high). */
struct memory_partition {
    struct memory_entry **ring; /* NULL inside: purged */
    int64_t capacity;
    int64_t low;
    int64_t high;
    int64_t read_to; /* after the last record that any reader has had */
};

/* A consumer group of one topic. */
struct memory_group {
    struct memory_group *next;
    char *name;
    int64_t committed[WORKLOG_MAX_PARTITIONS]; /* next offset; -1: none */
    struct memory_reader *owner[WORKLOG_MAX_PARTITIONS];
    struct memory_reader *readers; /* in the order of opening */
};

struct memory_topic {
    struct memory_topic *next;
    char *name;
    bool removed; /* it stays in the list, so that offsets never go back */
    int count;
    size_t size; /* of all entries */
    struct memory_partition *partitions;
    struct memory_group *groups;
    pthread_cond_t changed; /* waited for by readers: records, owners, removal */
};

struct memory_log {
    struct worklog base;
    pthread_mutex_t mutex;
    int partitions;
    size_t max_size; /* of each topic */
    struct memory_topic *topics;
    struct memory_writer *writers;
    uint64_t last_writer_id;
};

/* What became of a record, still to be told on its writer's thread. */
struct memory_report {
    uint64_t ticket;
    bool dropped;
};

struct memory_writer {
    struct worklog_writer base;
    struct memory_log *log;
    struct memory_writer *next;
    uint64_t id;
    worklog_delivered *delivered;
    void *context;
    size_t pending;
    struct memory_report *reports; /* never more than `pending` */
    size_t report_count;
    size_t report_capacity;
    pthread_cond_t reported;
};

struct memory_reader {
    struct worklog_reader base;
    struct memory_log *log;
    struct memory_topic *topic;
    struct memory_group *group;
    struct memory_reader *next; /* of the group */
    int64_t position[WORKLOG_MAX_PARTITIONS];
    bool wanted[WORKLOG_MAX_PARTITIONS]; /* the share of this reader, once the others let go */
    struct worklog_gap gap;              /* the last one found */
    int first;                           /* the partition looked at first, so that none starves */
    struct memory_entry **held;          /* the last batch */
    struct worklog_record *records;
    size_t count;
    size_t capacity;
};

/* Waits until `deadline`, of clock_deadline(); false: it is over. */
bool memory_wait(struct memory_log *log, pthread_cond_t *cond, const struct timespec *deadline);

/* The topic, unless it is missing or removed; then RETRY. */
struct memory_topic *memory_topic_find(struct memory_log *log, const char *name, struct err *err);
struct memory_group *memory_group_of(struct memory_topic *topic, const char *name);

/* Each reader of the group is told its share: a run of partitions. */
void memory_share(const struct memory_topic *topic, const struct memory_group *group);

/* worklog_memory_ring.c */
struct memory_entry *memory_entry_new(const struct record *record);
void memory_entry_unhold(struct memory_entry *entry);
/* Takes the entry and gives it the next offset. */
void memory_put(struct memory_topic *topic, int partition, struct memory_entry *entry);
/* NULL: purged. */
struct memory_entry *memory_at(const struct memory_partition *partition, int64_t offset);
/* Lets go of what every group has stored an offset behind, and reports it. */
void memory_release(struct memory_log *log, struct memory_topic *topic, int partition);
/* Drops the records of one writer that no reader has had; NULL: all records. */
void memory_discard(struct memory_log *log, struct memory_topic *topic,
                    const struct memory_writer *writer);

/* Slots of the ops table. */
bool memory_open_writer(struct worklog *base, const struct worklog_writer_options *options,
                        struct worklog_writer **out, struct err *err);
bool memory_append(struct worklog_writer *base, const char *topic, int partition,
                   const struct record *record, uint64_t ticket, enum worklog_append *outcome,
                   struct err *err);
bool memory_poll(struct worklog_writer *base, int64_t timeout_ms, struct err *err);
size_t memory_pending(const struct worklog_writer *base);
bool memory_flush(struct worklog_writer *base, int64_t timeout_ms, struct err *err);
void memory_purge(struct worklog_writer *base);
void memory_close_writer(struct worklog_writer *base);

bool memory_open_reader(struct worklog *base, const struct worklog_reader_options *options,
                        struct worklog_reader **out, struct err *err);
bool memory_read(struct worklog_reader *base, size_t max_records, size_t max_size,
                 int64_t timeout_ms, struct worklog_batch *batch, enum worklog_read *outcome,
                 struct err *err);
bool memory_keep(struct worklog_reader *base, struct err *err);
bool memory_store(struct worklog_reader *base, int partition, int64_t next_offset, struct err *err);
bool memory_seek(struct worklog_reader *base, int partition, int64_t offset, struct err *err);
bool memory_commit(struct worklog_reader *base, struct err *err);
bool memory_is_lost(const struct worklog_reader *base);
void memory_close_reader(struct worklog_reader *base);
