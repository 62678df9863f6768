/* SPDX-License-Identifier: Apache-2.0 */
/* What the files worklog_kafka*.c share: the open log, clients made from its settings, errors.
 *
 * Every list, message, topic, event and queue handle is destroyed before its client: one forgotten
 * list makes rd_kafka_destroy() hang for ever.
 */
#pragma once

#include <librdkafka/rdkafka.h>
#include <pthread.h>

#include "cdc/worklog_ops.h"

/* librdkafka's destructors do not take NULL. */
/* NOLINTBEGIN(bugprone-macro-parentheses): the type cannot stand in parentheses */
#define DEFINE_KAFKA_FREEP(type, function)                                                         \
    static inline void function##p(type **pointer)                                                 \
    {                                                                                              \
        if (*pointer)                                                                              \
            function(*pointer);                                                                    \
        *pointer = NULL;                                                                           \
    }
/* NOLINTEND(bugprone-macro-parentheses) */
DEFINE_KAFKA_FREEP(rd_kafka_conf_t, rd_kafka_conf_destroy)
DEFINE_KAFKA_FREEP(rd_kafka_topic_partition_list_t, rd_kafka_topic_partition_list_destroy)
DEFINE_KAFKA_FREEP(rd_kafka_queue_t, rd_kafka_queue_destroy)
DEFINE_KAFKA_FREEP(rd_kafka_event_t, rd_kafka_event_destroy)
DEFINE_KAFKA_FREEP(rd_kafka_topic_t, rd_kafka_topic_destroy)
DEFINE_KAFKA_FREEP(rd_kafka_AdminOptions_t, rd_kafka_AdminOptions_destroy)
DEFINE_KAFKA_FREEP(rd_kafka_error_t, rd_kafka_error_destroy)

/* A consumer of a group that never joins it: it only asks what the group has committed. */
struct kafka_watcher {
    char *group;
    rd_kafka_t *client;
    struct kafka_watcher *next;
};

struct kafka_log {
    struct worklog base;
    /* For metadata, offsets and administration: a consumer that never joins a group. A producer
     * would let brokers create a missing topic, with the wrong settings, when it is asked about. */
    rd_kafka_t *admin;
    rd_kafka_conf_t *conf; /* what every client begins with: copied, never handed over */
    char *brokers;
    int partitions;
    int replication_factor;
    bool create_topics;
    int64_t retention_ms;
    int64_t compaction_lag_ms;
    struct worklog_property *properties; /* owned, with their strings */
    size_t property_count;
    pthread_mutex_t mutex; /* last_problem, watchers */
    struct kafka_watcher *watchers;
    char last_problem[256]; /* what the admin client last said about its connections */
    unsigned refusals;      /* how often that was a refused login or certificate */
};

struct kafka_setting {
    const char *name;
    const char *value;
};

/* The log's settings with `defaults` (the user's properties win over them) and `fixed` (which
 * win over everything). NULL lists are empty; both end with a NULL name. */
bool kafka_conf_new(const struct kafka_log *log, const struct kafka_setting *defaults,
                    const struct kafka_setting *fixed, rd_kafka_conf_t **out, struct err *err)
    MUST_USE;
/* A client that takes *conf over, when it can be made. */
bool kafka_client_new(rd_kafka_type_t type, rd_kafka_conf_t **conf, rd_kafka_t **out,
                      struct err *err) MUST_USE;

/* Partitions 0 to count - 1 of a topic; to be destroyed. */
rd_kafka_topic_partition_list_t *kafka_list(const char *topic, int count);
/* Runs destroy(client) and waits for it, for a while: rd_kafka_destroy() has no deadline and was seen not
 * to return. A client that does not end is left to a thread of its own. */
void kafka_finish(void (*destroy)(void *client), void *client);

/* Classifies a code of librdkafka; the text begins with `what`. Returns false. */
bool kafka_err(struct err *err, rd_kafka_resp_err_t code, const char *what);
/* The same with librdkafka's longer reason; NULL: the code's own. */
bool kafka_err_reason(struct err *err, rd_kafka_resp_err_t code, const char *what,
                      const char *reason);
/* FATAL with the reason, when a client has become unusable; true when it has not. */
bool kafka_is_usable(rd_kafka_t *client, struct err *err) MUST_USE;

/* Slots of the ops table, by file. */
bool kafka_ensure(struct worklog *base, const char *topic, struct worklog_topic *out,
                  struct err *err);
bool kafka_look(struct worklog *base, const char *topic, bool *found, struct worklog_topic *out,
                struct err *err);
bool kafka_grow(struct worklog *base, const char *topic, int partitions, struct err *err);
bool kafka_remove(struct worklog *base, const char *topic, struct err *err);
bool kafka_check(struct worklog *base, const char *topic, const char *group,
                 struct worklog_permissions *out, struct err *err);
bool kafka_positions(struct worklog *base, const char *topic, const char *group,
                     struct worklog_position *positions, int count, struct err *err);
bool kafka_seed(struct worklog *base, const char *topic, const char *group, const int64_t *offsets,
                int count, struct err *err);
bool kafka_forget_group(struct worklog *base, const char *group, struct err *err) MUST_USE;
bool kafka_offsets_at(struct worklog *base, const char *topic, int64_t wall_ms, int64_t *offsets,
                      int count, struct err *err);

bool kafka_note(struct worklog *base, const char *topic, const char *group, const char *words,
                struct err *err);
bool kafka_ping(struct worklog *base, int64_t timeout_ms, struct err *err);
bool kafka_noted(struct worklog *base, const char *topic, const char *group,
                 char words[static WORKLOG_NOTE_SIZE], struct err *err);

/* Fills positions[p].committed. */
bool kafka_committed(struct kafka_log *log, const char *topic, const char *group,
                     struct worklog_position *positions, int count, struct err *err) MUST_USE;
void kafka_close_watchers(struct kafka_log *log);

bool kafka_open_writer(struct worklog *base, const struct worklog_writer_options *options,
                       struct worklog_writer **out, struct err *err);
bool kafka_append(struct worklog_writer *base, const char *topic, int partition,
                  const struct record *record, uint64_t ticket, enum worklog_append *outcome,
                  struct err *err);
bool kafka_poll(struct worklog_writer *base, int64_t timeout_ms, struct err *err);
size_t kafka_pending(const struct worklog_writer *base);
bool kafka_flush(struct worklog_writer *base, int64_t timeout_ms, struct err *err);
void kafka_purge(struct worklog_writer *base);
void kafka_close_writer(struct worklog_writer *base);

bool kafka_open_reader(struct worklog *base, const struct worklog_reader_options *options,
                       struct worklog_reader **out, struct err *err);
bool kafka_read(struct worklog_reader *base, size_t max_records, size_t max_size,
                int64_t timeout_ms, struct worklog_batch *batch, enum worklog_read *outcome,
                struct err *err);
bool kafka_keep(struct worklog_reader *base, struct err *err);
bool kafka_store(struct worklog_reader *base, int partition, int64_t next_offset, struct err *err);
bool kafka_seek(struct worklog_reader *base, int partition, int64_t offset, struct err *err);
bool kafka_commit(struct worklog_reader *base, struct err *err);
bool kafka_is_lost(const struct worklog_reader *base);
void kafka_close_reader(struct worklog_reader *base);
