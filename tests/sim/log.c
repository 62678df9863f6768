/* SPDX-License-Identifier: Apache-2.0 */
/* The topic: partitions of records, appended to and compacted. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "cdc/worklog_ops.h"
#include "sim/sim.h"

static struct {
    struct sim_entry *entries[SIM_PARTITIONS];
    int64_t high[SIM_PARTITIONS];
    int64_t capacity[SIM_PARTITIONS];
} topic;

static struct worklog handle = {.ops = &sim_worklog_ops};

struct worklog *log_handle(void)
{
    return &handle;
}

void log_begin(void)
{
    memset(&topic, 0, sizeof topic);
}

static void free_record(struct record *record)
{
    free((void *)(uintptr_t)record->key);
    free((void *)(uintptr_t)record->value);
    free((void *)(uintptr_t)record->ver);
}

void log_end(void)
{
    for (int p = 0; p < SIM_PARTITIONS; p++) {
        for (int64_t i = 0; i < topic.high[p]; i++)
            free_record(&topic.entries[p][i].record);
        free(topic.entries[p]);
    }
}

const void *log_changed(void)
{
    return &topic;
}

int64_t log_high(int partition)
{
    return topic.high[partition];
}

struct sim_entry *log_entry(int partition, int64_t offset)
{
    assert(offset >= 0 && offset < topic.high[partition]);
    return &topic.entries[partition][offset];
}

void log_append(int partition, const struct record *record)
{
    if (topic.high[partition] == topic.capacity[partition]) {
        topic.capacity[partition] = 2 * topic.capacity[partition] + 32;
        topic.entries[partition] =
            realloc(topic.entries[partition],
                    (size_t)topic.capacity[partition] * sizeof *topic.entries[partition]);
    }
    int64_t offset = topic.high[partition]++;
    struct sim_entry *entry = &topic.entries[partition][offset];
    *entry = (struct sim_entry){.record = *record, .at_ms = sched_now_ms()};
    entry->record.key = sim_strdup(record->key);
    entry->record.ver = sim_strdup(record->ver);
    entry->record.value = record->value ? sim_memdup(record->value, record->value_size) : NULL;
    sim_trace("log %d@%lld %s %s gen %lld ver %s", partition, (long long)offset, record->key,
              item_op_name(record->op), (long long)record->gen, record->ver);
    sched_wake(&topic, true);
}

/* The next record of the same key that is still there; NULL: this is the last. */
static const struct sim_entry *successor(int partition, int64_t offset, int64_t *at)
{
    const struct record *record = &topic.entries[partition][offset].record;
    for (*at = offset + 1; *at < topic.high[partition]; ++*at) {
        const struct sim_entry *entry = &topic.entries[partition][*at];
        if (!entry->gone && strcmp(entry->record.key, record->key) == 0)
            return entry;
    }
    return NULL;
}

static bool is_first(int partition, int64_t offset)
{
    const struct record *record = &topic.entries[partition][offset].record;
    for (int64_t at = 0; at < offset; at++) {
        const struct sim_entry *entry = &topic.entries[partition][at];
        if (!entry->gone && strcmp(entry->record.key, record->key) == 0)
            return false;
    }
    return true;
}

/* Compaction keeps the highest offset of a key, whatever its (gen, ver). Where that is an older state,
 * min.compaction.lag.ms has given the log's readers the time to append a re-read behind it: one of
 * them has come past. A tombstone goes once every group has seen it, as delete.retention.ms grants. */
static bool may_go(int partition, int64_t offset)
{
    const struct sim_entry *entry = &topic.entries[partition][offset];
    int64_t at;
    const struct sim_entry *next = successor(partition, offset, &at);
    if (!next)
        return entry->record.op == ITEM_DELETE && is_first(partition, offset) &&
               groups_lowest(partition) > offset;
    const struct record *a = &next->record, *b = &entry->record;
    return ledger_compare(a->gen, a->ver, b->gen, b->ver) >= 0 || groups_highest(partition) > at;
}

void log_compact(void)
{
    int p = (int)sched_below((uint64_t)world.partitions);
    int64_t last = topic.high[p] - 1; /* of the active segment: it stays */
    int64_t clean = sched_chance(0.5) || last < 0 ? last : sched_between(0, last);
    for (int64_t offset = 0; offset < clean; offset++) {
        struct sim_entry *entry = &topic.entries[p][offset];
        if (entry->gone || !may_go(p, offset))
            continue;
        entry->gone = true;
        sim_trace("log %d@%lld compacted away", p, (long long)offset);
    }
}

/* --- what the worklog says of itself ---------------------------------------------------------- */

static bool log_open(const struct worklog_options *options, struct worklog **out, struct err *err)
{
    (void)options, (void)err;
    *out = &handle;
    return true;
}

static void log_close(struct worklog *log)
{
    (void)log;
}

static bool log_look(struct worklog *log, const char *name, bool *found, struct worklog_topic *out,
                     struct err *err)
{
    (void)log, (void)name, (void)err;
    *found = true;
    out->partitions = world.partitions;
    for (int p = 0; p < world.partitions; p++)
        out->high[p] = topic.high[p];
    return true;
}

static bool log_ensure(struct worklog *log, const char *name, struct worklog_topic *out,
                       struct err *err)
{
    bool found;
    return log_look(log, name, &found, out, err);
}

static bool log_remove(struct worklog *log, const char *name, struct err *err)
{
    (void)log, (void)name;
    return err_set(err, ERR_FATAL, ERR_STATE, 0, "the simulation removes no topic");
}

static bool log_check(struct worklog *log, const char *name, const char *group,
                      struct worklog_permissions *out, struct err *err)
{
    (void)log, (void)name, (void)group, (void)out, (void)err;
    return true;
}

static bool log_positions(struct worklog *log, const char *name, const char *group,
                          struct worklog_position *positions, int count, struct err *err)
{
    (void)log, (void)name, (void)err;
    for (int p = 0; p < count && p < world.partitions; p++)
        positions[p] = (struct worklog_position){.committed = group_committed(group, p),
                                                 .high = topic.high[p]};
    return true;
}

static bool log_seed(struct worklog *log, const char *name, const char *group,
                     const int64_t *offsets, int count, struct err *err)
{
    (void)log, (void)name, (void)count;
    return group_seed(group, offsets) ||
           err_set(err, ERR_RETRY, ERR_KAFKA, 68, "the group has members");
}

/* Nothing there begins at a time. */
static bool log_offsets_at(struct worklog *log, const char *name, int64_t wall_ms, int64_t *offsets,
                           int count, struct err *err)
{
    (void)log, (void)name, (void)wall_ms, (void)err;
    memset(offsets, 0, (size_t)count * sizeof *offsets);
    return true;
}

static bool log_grow(struct worklog *log, const char *name, int partitions, struct err *err)
{
    (void)log, (void)name, (void)partitions;
    return err_set(err, ERR_REJECT, ERR_STATE, 0, "not simulated");
}

static bool log_note(struct worklog *log, const char *name, const char *group, const char *words,
                     struct err *err)
{
    (void)log, (void)name, (void)group, (void)words, (void)err;
    return true;
}

static bool log_noted(struct worklog *log, const char *name, const char *group,
                      char words[static WORKLOG_NOTE_SIZE], struct err *err)
{
    (void)log, (void)name, (void)group, (void)words, (void)err;
    return true;
}

static bool log_ping(struct worklog *log, int64_t timeout_ms, struct err *err)
{
    (void)log;
    (void)timeout_ms;
    (void)err;
    return true;
}

const struct worklog_ops sim_worklog_ops = {
    .driver = "simulated",
    .open = log_open,
    .close = log_close,
    .ensure = log_ensure,
    .look = log_look,
    .grow = log_grow,
    .remove = log_remove,
    .check = log_check,
    .positions = log_positions,
    .seed = log_seed,
    .offsets_at = log_offsets_at,
    .note = log_note,
    .noted = log_noted,
    .ping = log_ping,
    .open_writer = log_open_writer,
    .append = log_writer_append,
    .poll = log_poll,
    .pending = log_pending,
    .flush = log_flush,
    .purge = log_purge,
    .close_writer = log_close_writer,
    .open_reader = log_open_reader,
    .read = log_read,
    .keep = log_keep,
    .store = log_store,
    .seek = log_seek,
    .commit = log_commit,
    .is_lost = log_is_lost,
    .close_reader = log_close_reader,
};
