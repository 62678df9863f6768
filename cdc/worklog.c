/* SPDX-License-Identifier: Apache-2.0 */
#include "cdc/worklog.h"

#include <assert.h>
#include <string.h>

#include "base/limits.h"
#include "cdc/worklog_ops.h"

static const struct worklog_ops *const DRIVERS[] = {
    &worklog_kafka_ops,
    &worklog_memory_ops,
};

bool worklog_open(const struct worklog_options *options, struct worklog **out, struct err *err)
{
    *out = NULL;
    assert(options->driver);
    if (options->partitions < 1 || options->partitions > WORKLOG_MAX_PARTITIONS)
        return err_set(err, ERR_FATAL, ERR_CONFIG, 0, "work log: %d partitions, not 1 to %d",
                       options->partitions, WORKLOG_MAX_PARTITIONS);
    for (size_t i = 0; i < ARRAY_LEN(DRIVERS); i++) {
        if (strcmp(DRIVERS[i]->driver, options->driver) == 0)
            return DRIVERS[i]->open(options, out, err);
    }
    return err_set(err, ERR_FATAL, ERR_CONFIG, 0, "work log: no driver \"%s\"", options->driver);
}

void worklog_close(struct worklog *log)
{
    if (log)
        log->ops->close(log);
}

bool worklog_ensure(struct worklog *log, const char *topic, struct worklog_topic *out,
                    struct err *err)
{
    memset(out, 0, sizeof(*out));
    return log->ops->ensure(log, topic, out, err);
}

bool worklog_look(struct worklog *log, const char *topic, bool *found, struct worklog_topic *out,
                  struct err *err)
{
    memset(out, 0, sizeof(*out));
    *found = false;
    return log->ops->look(log, topic, found, out, err);
}

bool worklog_grow(struct worklog *log, const char *topic, int partitions, struct err *err)
{
    assert(partitions >= 1 && partitions <= WORKLOG_MAX_PARTITIONS);
    return log->ops->grow(log, topic, partitions, err);
}

bool worklog_remove(struct worklog *log, const char *topic, struct err *err)
{
    return log->ops->remove(log, topic, err);
}

bool worklog_check(struct worklog *log, const char *topic, const char *group,
                   struct worklog_permissions *out, struct err *err)
{
    *out = (struct worklog_permissions){0};
    return log->ops->check(log, topic, group, out, err);
}

bool worklog_positions(struct worklog *log, const char *topic, const char *group,
                       struct worklog_position *positions, int count, struct err *err)
{
    assert(count >= 1 && count <= WORKLOG_MAX_PARTITIONS);
    for (int p = 0; p < count; p++)
        positions[p] = (struct worklog_position){.committed = -1};
    return log->ops->positions(log, topic, group, positions, count, err);
}

bool worklog_seed(struct worklog *log, const char *topic, const char *group, const int64_t *offsets,
                  int count, struct err *err)
{
    assert(count >= 1 && count <= WORKLOG_MAX_PARTITIONS);
    for (int p = 0; p < count; p++)
        assert(offsets[p] >= 0);
    return log->ops->seed(log, topic, group, offsets, count, err);
}

bool worklog_forget_group(struct worklog *log, const char *group, struct err *err)
{
    assert(group[0]);
    return log->ops->forget_group(log, group, err);
}

bool worklog_offsets_at(struct worklog *log, const char *topic, int64_t wall_ms, int64_t *offsets,
                        int count, struct err *err)
{
    assert(count >= 1 && count <= WORKLOG_MAX_PARTITIONS);
    assert(wall_ms >= 0); /* below are names of the log's ends, to Kafka */
    return log->ops->offsets_at(log, topic, wall_ms, offsets, count, err);
}

bool worklog_note(struct worklog *log, const char *topic, const char *group, const char *words,
                  struct err *err)
{
    assert(words[0] && strlen(words) < WORKLOG_NOTE_SIZE);
    return log->ops->note(log, topic, group, words, err);
}

bool worklog_noted(struct worklog *log, const char *topic, const char *group,
                   char words[static WORKLOG_NOTE_SIZE], struct err *err)
{
    words[0] = '\0';
    return log->ops->noted(log, topic, group, words, err);
}

bool worklog_ping(struct worklog *log, int64_t timeout_ms, struct err *err)
{
    return log->ops->ping(log, timeout_ms, err);
}

bool worklog_open_writer(struct worklog *log, const struct worklog_writer_options *options,
                         struct worklog_writer **out, struct err *err)
{
    *out = NULL;
    assert(options->delivered);
    return log->ops->open_writer(log, options, out, err);
}

/* NOLINTNEXTLINE(readability-function-size): the contract has seven parameters */
/* wide: the signature of the header, one value more than a struct is worth */
bool worklog_append(struct worklog_writer *writer, const char *topic, int partition,
                    const struct record *record, uint64_t ticket, enum worklog_append *outcome,
                    struct err *err)
{
    *outcome = APPEND_FULL;
    /* A record without a key makes the broker refuse the whole batch it travels in. */
    assert(record->key && record->key_size > 0);
    assert(record->ver && record->ver[0]);
    assert((record->op == ITEM_DELETE) == (record->value == NULL));
    assert(partition >= 0);
    return writer->ops->append(writer, topic, partition, record, ticket, outcome, err);
}

bool worklog_poll(struct worklog_writer *writer, int64_t timeout_ms, struct err *err)
{
    return writer->ops->poll(writer, timeout_ms, err);
}

size_t worklog_pending(const struct worklog_writer *writer)
{
    return writer->ops->pending(writer);
}

bool worklog_flush(struct worklog_writer *writer, int64_t timeout_ms, struct err *err)
{
    return writer->ops->flush(writer, timeout_ms, err);
}

void worklog_purge(struct worklog_writer *writer)
{
    writer->ops->purge(writer);
}

void worklog_close_writer(struct worklog_writer *writer)
{
    if (writer)
        writer->ops->close_writer(writer);
}

bool worklog_open_reader(struct worklog *log, const struct worklog_reader_options *options,
                         struct worklog_reader **out, struct err *err)
{
    *out = NULL;
    assert(options->topic && options->group);
    return log->ops->open_reader(log, options, out, err);
}

/* NOLINTNEXTLINE(readability-function-size): the contract has seven parameters */
/* wide: the signature of the header, one value more than a struct is worth */
bool worklog_read(struct worklog_reader *reader, size_t max_records, size_t max_size,
                  int64_t timeout_ms, struct worklog_batch *batch, enum worklog_read *outcome,
                  struct err *err)
{
    *batch = (struct worklog_batch){0};
    *outcome = READ_IDLE;
    assert(max_records > 0);
    return reader->ops->read(reader, max_records, max_size, timeout_ms, batch, outcome, err);
}

bool worklog_keep(struct worklog_reader *reader, struct err *err)
{
    return reader->ops->keep(reader, err);
}

bool worklog_store(struct worklog_reader *reader, int partition, int64_t next_offset,
                   struct err *err)
{
    assert(partition >= 0 && partition < WORKLOG_MAX_PARTITIONS && next_offset >= 0);
    return reader->ops->store(reader, partition, next_offset, err);
}

bool worklog_seek(struct worklog_reader *reader, int partition, int64_t offset, struct err *err)
{
    assert(partition >= 0 && partition < WORKLOG_MAX_PARTITIONS && offset >= 0);
    return reader->ops->seek(reader, partition, offset, err);
}

bool worklog_commit(struct worklog_reader *reader, struct err *err)
{
    return reader->ops->commit(reader, err);
}

bool worklog_is_lost(const struct worklog_reader *reader)
{
    return reader->ops->is_lost(reader);
}

void worklog_close_reader(struct worklog_reader *reader)
{
    if (reader)
        reader->ops->close_reader(reader);
}

/* Of a document as it is read again, where nobody has looked: most are smaller, some have 16 MiB. */
#define REREAD_WEIGHT (2 * MIB)

size_t record_weight(const struct record *record)
{
    size_t size = record->key_size + record->value_size;
    if (record->op != ITEM_REREAD)
        return size;
    return size + (record->size > 0 ? (size_t)record->size : REREAD_WEIGHT);
}
