/* SPDX-License-Identifier: Apache-2.0 */
/* One call of Kafka's admin interface: its queue, its options and the event that answers it. */
#pragma once

#include "cdc/worklog_kafka.h"

#define KAFKA_CALL_TIMEOUT_MS 4000

struct kafka_call {
    struct kafka_log *log;
    rd_kafka_AdminOptions_t *options;
    rd_kafka_queue_t *queue;
    rd_kafka_event_t *event; /* of the answer; what is read from it is borrowed */
    unsigned refusals;       /* of the log, when the call began */
};

/* CLEANUP(kafka_call_fini) struct kafka_call call; then begin, the request, await. */
bool kafka_admin_begin(struct kafka_log *log, rd_kafka_admin_op_t operation,
                       struct kafka_call *call, struct err *err) MUST_USE;
bool kafka_admin_await(struct kafka_call *call, const char *what, struct err *err) MUST_USE;
void kafka_call_fini(struct kafka_call *call);

/* kafka_err() with what the admin client knows of its connections. */
bool kafka_admin_err(struct kafka_log *log, struct err *err, rd_kafka_resp_err_t code,
                     const char *what, const char *reason);
/* The result of a call about one topic; `harmless` counts as success. */
bool kafka_topic_outcome(struct kafka_call *call, const rd_kafka_topic_result_t **topics,
                         size_t count, rd_kafka_resp_err_t harmless, const char *what,
                         struct err *err) MUST_USE;

struct kafka_topic_settings {
    bool found; /* the topic exists */
    char cleanup_policy[32];
    int64_t delete_retention_ms;
    int64_t compaction_lag_ms;
    int64_t max_message_bytes;
};

/* Asked before the metadata: this question never makes a broker create the topic. */
bool kafka_describe(struct kafka_log *log, const char *topic, struct kafka_topic_settings *out,
                    struct err *err) MUST_USE;
/* One that is there already counts as made. With `only_try` the broker says what it would do. */
bool kafka_create(struct kafka_log *log, const char *topic, bool only_try, struct err *err)
    MUST_USE;

/* Of partitions [0, count). */
bool kafka_watermarks(struct kafka_log *log, const char *topic, int count, int64_t *low,
                      int64_t *high, struct err *err) MUST_USE;
