/* SPDX-License-Identifier: Apache-2.0 */
/* The records of a topic in memory: taking them in, finding them, letting them go. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cdc/worklog_memory.h"

struct memory_entry *memory_entry_new(const struct record *record)
{
    size_t ver_size = strlen(record->ver) + 1;
    size_t value_size = record->value ? record->value_size : 0;
    size_t size = sizeof(struct memory_entry) + record->key_size + ver_size + value_size + 1;
    struct memory_entry *entry = malloc(size);
    if (!entry)
        abort();
    *entry = (struct memory_entry){.size = size, .holds = 1};
    char *bytes = (char *)(entry + 1);
    struct record *copy = &entry->record.record;
    *copy = *record;
    copy->ver = memcpy(bytes, record->ver, ver_size);
    bytes += ver_size;
    copy->key = memcpy(bytes, record->key, record->key_size);
    bytes += record->key_size;
    bytes[value_size] = '\0';
    if (record->value)
        copy->value = memcpy(bytes, record->value, value_size);
    copy->value_size = value_size;
    return entry;
}

void memory_entry_unhold(struct memory_entry *entry)
{
    assert(entry->holds > 0);
    if (--entry->holds == 0)
        free(entry);
}

static void memory_grow(struct memory_partition *partition)
{
    int64_t capacity = partition->capacity ? 2 * partition->capacity : 64;
    struct memory_entry **ring = calloc((size_t)capacity, sizeof(struct memory_entry *));
    if (!ring)
        abort();
    for (int64_t offset = partition->low; partition->capacity && offset < partition->high; offset++)
        ring[offset % capacity] = partition->ring[offset % partition->capacity];
    free(partition->ring);
    partition->ring = ring;
    partition->capacity = capacity;
}

void memory_put(struct memory_topic *topic, int index, struct memory_entry *entry)
{
    struct memory_partition *partition = &topic->partitions[index];
    if (partition->high - partition->low == partition->capacity)
        memory_grow(partition);
    entry->record.partition = index;
    entry->record.offset = partition->high;
    entry->record.broker_ms = clock_wall_ms();
    partition->ring[partition->high % partition->capacity] = entry;
    partition->high++;
    topic->size += entry->size;
}

struct memory_entry *memory_at(const struct memory_partition *partition, int64_t offset)
{
    assert(offset >= partition->low && offset < partition->high);
    return partition->ring[offset % partition->capacity];
}

static void memory_report(const struct memory_log *log, const struct memory_entry *entry,
                          bool dropped)
{
    struct memory_writer *writer = log->writers;
    while (writer && writer->id != entry->writer_id)
        writer = writer->next;
    if (!writer)
        return; /* closed: nobody waits for it */
    if (writer->report_count == writer->report_capacity) {
        size_t capacity = writer->report_capacity ? 2 * writer->report_capacity : 64;
        writer->reports = realloc(writer->reports, capacity * sizeof(*writer->reports));
        if (!writer->reports)
            abort();
        writer->report_capacity = capacity;
    }
    writer->reports[writer->report_count++] =
        (struct memory_report){.ticket = entry->ticket, .dropped = dropped};
    pthread_cond_signal(&writer->reported);
}

/* Takes the entry at an offset out of the log. */
static void memory_take_out(const struct memory_log *log, struct memory_topic *topic,
                            struct memory_partition *partition, int64_t offset, bool dropped)
{
    struct memory_entry **slot = &partition->ring[offset % partition->capacity];
    struct memory_entry *entry = *slot;
    if (!entry)
        return;
    *slot = NULL;
    topic->size -= entry->size;
    memory_report(log, entry, dropped);
    memory_entry_unhold(entry);
}

void memory_release(struct memory_log *log, struct memory_topic *topic, int index)
{
    struct memory_partition *partition = &topic->partitions[index];
    int64_t below = -1;
    for (const struct memory_group *group = topic->groups; group; group = group->next) {
        int64_t committed = group->committed[index];
        if (committed >= 0 && (below < 0 || committed < below))
            below = committed;
    }
    for (; partition->low < below && partition->low < partition->high; partition->low++)
        memory_take_out(log, topic, partition, partition->low, false);
}

void memory_discard(struct memory_log *log, struct memory_topic *topic,
                    const struct memory_writer *writer)
{
    for (int p = 0; p < topic->count; p++) {
        struct memory_partition *partition = &topic->partitions[p];
        int64_t offset = partition->low;
        if (writer && offset < partition->read_to)
            offset = partition->read_to;
        for (; offset < partition->high; offset++) {
            const struct memory_entry *entry = memory_at(partition, offset);
            if (entry && (!writer || entry->writer_id == writer->id))
                memory_take_out(log, topic, partition, offset, true);
        }
        if (!writer)
            partition->low = partition->high;
    }
}
