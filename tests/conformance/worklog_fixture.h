/* SPDX-License-Identifier: Apache-2.0 */
/* A work log with one topic and one group, and short ways to append to it and read from it. */
#pragma once

#include "support/test.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cdc/worklog.h"

/* What a slow machine may need; nothing waits this long when all is well. */
#define PATIENCE_MS 30000
#define PARTITIONS 4
#define MAX_REPORTS 4096

struct fixture {
    const char *driver;
    struct worklog *log;
    char topic[64];
    char group[64];
    struct worklog_writer *writer;
    struct err err;
    int reports[MAX_REPORTS];  /* by ticket: how often reported */
    int failures[MAX_REPORTS]; /* by ticket: how often reported failed */
    enum err_action action;    /* of the last failure */
};

static inline void fixture_delivered(void *context, uint64_t ticket, const struct err *failed)
{
    struct fixture *f = context;
    assert_true(ticket < MAX_REPORTS);
    f->reports[ticket]++;
    if (failed) {
        f->failures[ticket]++;
        f->action = failed->action;
    }
}

static inline struct worklog_options fixture_options(const char *driver, const char *brokers)
{
    return (struct worklog_options){
        .driver = driver,
        .brokers = brokers,
        .client_id = "test",
        .partitions = PARTITIONS,
        .replication_factor = 1,
        .create_topics = true,
        .retention_ms = 86400000,
    };
}

#define OK(f, call)                                                                                \
    do {                                                                                           \
        if (!(call))                                                                               \
            fail_msg("%s: %s", #call, (f)->err.text);                                              \
    } while (0)

static inline void fixture_name(struct fixture *f)
{
    char random[13];
    random_hex(random, 6);
    snprintf(f->topic, sizeof(f->topic), "test.%s", random);
    snprintf(f->group, sizeof(f->group), "test.%s.group", random);
}

static inline void fixture_seed_zero(struct fixture *f, const char *group)
{
    const int64_t zero[PARTITIONS] = {0};
    int64_t deadline_ms = clock_mono_ms() + PATIENCE_MS;
    /* The coordinator of a broker that was just started is not ready at once. */
    while (!worklog_seed(f->log, f->topic, group, zero, PARTITIONS, &f->err)) {
        if (f->err.action != ERR_RETRY || clock_mono_ms() >= deadline_ms)
            fail_msg("worklog_seed: %s", f->err.text);
        clock_sleep_ms(50);
    }
}

/* Kafka: a broker that was just started may answer "not yet" for a while. */
static inline void fixture_ensure(struct fixture *f, struct worklog_topic *topic)
{
    int64_t deadline_ms = clock_mono_ms() + PATIENCE_MS;
    while (!worklog_ensure(f->log, f->topic, topic, &f->err)) {
        if (f->err.action != ERR_RETRY || clock_mono_ms() >= deadline_ms)
            fail_msg("worklog_ensure: %s", f->err.text);
        clock_sleep_ms(50);
    }
}

static inline struct fixture *fixture_new(const struct worklog_options *options)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct worklog_topic *topic = malloc(sizeof(*topic));
    assert_true(f && topic);
    f->driver = options->driver;
    fixture_name(f);
    OK(f, worklog_open(options, &f->log, &f->err));
    fixture_ensure(f, topic);
    assert_int_equal(topic->partitions, PARTITIONS);
    free(topic);
    fixture_seed_zero(f, f->group);
    const struct worklog_writer_options writer = {.delivered = fixture_delivered, .context = f};
    OK(f, worklog_open_writer(f->log, &writer, &f->writer, &f->err));
    return f;
}

static inline void fixture_free(struct fixture *f)
{
    worklog_close_writer(f->writer);
    OK(f, worklog_remove(f->log, f->topic, &f->err));
    worklog_close(f->log);
    free(f);
}

static inline struct record record_of(const char *key, const char *value)
{
    return (struct record){
        .key = key,
        .key_size = strlen(key),
        .value = value,
        .value_size = value ? strlen(value) : 0,
        .op = value ? ITEM_UPSERT : ITEM_DELETE,
        .gen = 1,
        .ver = "8264",
    };
}

/* Appends and waits while the log is full. */
static inline void append(struct fixture *f, int partition, const struct record *record,
                          uint64_t ticket)
{
    enum worklog_append outcome;
    int64_t deadline_ms = clock_mono_ms() + PATIENCE_MS;
    for (;;) {
        OK(f, worklog_append(f->writer, f->topic, partition, record, ticket, &outcome, &f->err));
        if (outcome == APPEND_OK)
            return;
        assert_int_equal(outcome, APPEND_FULL);
        assert_true(clock_mono_ms() < deadline_ms);
        OK(f, worklog_poll(f->writer, 100, &f->err));
    }
}

static inline void append_text(struct fixture *f, int partition, const char *key, const char *value)
{
    struct record record = record_of(key, value);
    append(f, partition, &record, 0);
}

/* Kafka: what was appended is in the log when this returns. Memory: it was already. */
static inline void settle(struct fixture *f)
{
    if (strcmp(f->driver, "kafka") == 0)
        OK(f, worklog_flush(f->writer, PATIENCE_MS, &f->err));
}

static inline struct worklog_reader *open_reader(struct fixture *f, const char *group)
{
    const struct worklog_reader_options options = {.topic = f->topic, .group = group};
    struct worklog_reader *reader = NULL;
    OK(f, worklog_open_reader(f->log, &options, &reader, &f->err));
    return reader;
}

/* Reads until something other than idleness happens. */
static inline enum worklog_read read_some(struct fixture *f, struct worklog_reader *reader,
                                          size_t max_records, struct worklog_batch *batch)
{
    enum worklog_read outcome = READ_IDLE;
    int64_t deadline_ms = clock_mono_ms() + PATIENCE_MS;
    while (outcome == READ_IDLE && clock_mono_ms() < deadline_ms)
        OK(f, worklog_read(reader, max_records, 1 << 20, 1000, batch, &outcome, &f->err));
    return outcome;
}

/* Reads until `count` records were seen; each is given to `see`, which may be NULL. */
typedef void seen(void *context, const struct worklog_record *record);

static inline void read_all(struct fixture *f, struct worklog_reader *reader, size_t count,
                            seen *see, void *context)
{
    while (count > 0) {
        struct worklog_batch batch;
        assert_int_equal(read_some(f, reader, 1000, &batch), READ_RECORDS);
        assert_true(batch.count <= count);
        for (size_t i = 0; i < batch.count && see; i++)
            see(context, &batch.records[i]);
        count -= batch.count;
    }
}

static inline void store(struct fixture *f, struct worklog_reader *reader, int partition,
                         int64_t next)
{
    OK(f, worklog_store(reader, partition, next, &f->err));
}

static inline struct worklog_position position_of(struct fixture *f, const char *group,
                                                  int partition)
{
    struct worklog_position positions[PARTITIONS];
    OK(f, worklog_positions(f->log, f->topic, group, positions, PARTITIONS, &f->err));
    return positions[partition];
}
