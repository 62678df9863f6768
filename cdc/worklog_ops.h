/* SPDX-License-Identifier: Apache-2.0 */
/* What a kind of work log provides; the meanings and the threads are those of worklog.h.
 *
 * A back end's own structs begin with the base struct below. Each slot must be set. worklog.c has
 * already asserted the arguments when a slot is called, and sets outputs to their empty values.
 */
#pragma once

#include "cdc/worklog.h"

struct worklog_ops {
    const char *driver;
    bool (*open)(const struct worklog_options *options, struct worklog **out, struct err *err);
    void (*close)(struct worklog *log);
    bool (*ensure)(struct worklog *log, const char *topic, struct worklog_topic *out,
                   struct err *err);
    bool (*look)(struct worklog *log, const char *topic, bool *found, struct worklog_topic *out,
                 struct err *err);
    bool (*grow)(struct worklog *log, const char *topic, int partitions, struct err *err);
    bool (*remove)(struct worklog *log, const char *topic, struct err *err);
    bool (*check)(struct worklog *log, const char *topic, const char *group,
                  struct worklog_permissions *out, struct err *err);
    bool (*positions)(struct worklog *log, const char *topic, const char *group,
                      struct worklog_position *positions, int count, struct err *err);
    bool (*seed)(struct worklog *log, const char *topic, const char *group, const int64_t *offsets,
                 int count, struct err *err);
    bool (*forget_group)(struct worklog *log, const char *group, struct err *err);
    bool (*offsets_at)(struct worklog *log, const char *topic, int64_t wall_ms, int64_t *offsets,
                       int count, struct err *err);

    bool (*note)(struct worklog *log, const char *topic, const char *group, const char *words,
                 struct err *err);
    bool (*noted)(struct worklog *log, const char *topic, const char *group,
                  char words[static WORKLOG_NOTE_SIZE], struct err *err);

    bool (*ping)(struct worklog *log, int64_t timeout_ms, struct err *err);

    bool (*open_writer)(struct worklog *log, const struct worklog_writer_options *options,
                        struct worklog_writer **out, struct err *err);
    bool (*append)(struct worklog_writer *writer, const char *topic, int partition,
                   const struct record *record, uint64_t ticket, enum worklog_append *outcome,
                   struct err *err);
    bool (*poll)(struct worklog_writer *writer, int64_t timeout_ms, struct err *err);
    size_t (*pending)(const struct worklog_writer *writer);
    bool (*flush)(struct worklog_writer *writer, int64_t timeout_ms, struct err *err);
    void (*purge)(struct worklog_writer *writer);
    void (*close_writer)(struct worklog_writer *writer);

    bool (*open_reader)(struct worklog *log, const struct worklog_reader_options *options,
                        struct worklog_reader **out, struct err *err);
    bool (*read)(struct worklog_reader *reader, size_t max_records, size_t max_size,
                 int64_t timeout_ms, struct worklog_batch *batch, enum worklog_read *outcome,
                 struct err *err);
    bool (*keep)(struct worklog_reader *reader, struct err *err);
    bool (*store)(struct worklog_reader *reader, int partition, int64_t next_offset,
                  struct err *err);
    bool (*seek)(struct worklog_reader *reader, int partition, int64_t offset, struct err *err);
    bool (*commit)(struct worklog_reader *reader, struct err *err);
    bool (*is_lost)(const struct worklog_reader *reader);
    void (*close_reader)(struct worklog_reader *reader);
};

struct worklog {
    const struct worklog_ops *ops;
};

struct worklog_writer {
    const struct worklog_ops *ops;
};

struct worklog_reader {
    const struct worklog_ops *ops;
};

extern const struct worklog_ops worklog_kafka_ops;
extern const struct worklog_ops worklog_memory_ops;
