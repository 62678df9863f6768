/* SPDX-License-Identifier: Apache-2.0 */
#include "sinks/record_table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static void *grown(void *memory, size_t count, size_t size)
{
    void *bigger = reallocarray(memory, count, size);
    if (!bigger)
        abort();
    return bigger;
}

static char *copy(const char *text)
{
    char *duplicate = strdup(text);
    if (!duplicate)
        abort();
    return duplicate;
}

static struct field field_copy(const struct field *field)
{
    struct field held = {.name = copy(field->name), .value = field->value};
    if (held.value.type == VALUE_STRING)
        held.value.as.string = copy(held.value.as.string);
    return held;
}

static void field_free(struct field *field)
{
    if (field->value.type == VALUE_STRING)
        free((void *)(uintptr_t)field->value.as.string);
    free((void *)(uintptr_t)field->name);
}

struct field *fields_copy(const struct field *fields, size_t count)
{
    struct field *held = grown(NULL, count + 1, sizeof *held);
    for (size_t i = 0; i < count; i++)
        held[i] = field_copy(&fields[i]);
    return held;
}

void fields_free(struct field *fields, size_t count)
{
    for (size_t i = 0; i < count; i++)
        field_free(&fields[i]);
    free(fields);
}

static void merge_field(struct held_record *record, const struct field *field)
{
    size_t at = 0;
    while (at < record->field_count && strcmp(record->fields[at].name, field->name) != 0)
        at++;
    bool held = at < record->field_count;
    if (held)
        field_free(&record->fields[at]);
    if (field->value.type == VALUE_NULL) {
        if (held)
            record->fields[at] = record->fields[--record->field_count];
        return;
    }
    if (!held)
        record->fields = grown(record->fields, ++record->field_count, sizeof *record->fields);
    record->fields[at] = field_copy(field);
}

static void merge_fields(struct held_record *record, const struct sink_record *from)
{
    for (size_t i = 0; i < from->metadata_count; i++)
        merge_field(record, &from->metadata[i]);
}

static void record_fini(struct held_record *record)
{
    free(record->id);
    free(record->vector);
    free(record->text);
    fields_free(record->fields, record->field_count);
}

void record_table_fini(struct record_table *table)
{
    for (size_t i = 0; i < table->count; i++)
        record_fini(&table->records[i]);
    free(table->records);
    free(table->slots);
    *table = (struct record_table){0};
}

static size_t hash_of(const char *id)
{
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */
    for (const unsigned char *c = (const unsigned char *)id; *c; c++)
        hash = (hash ^ *c) * 0x100000001b3u;
    return (size_t)(hash ^ hash >> 32);
}

/* The slot of the id, or the empty one where it would go. */
static size_t slot_of(const struct record_table *table, const char *id)
{
    size_t slot = hash_of(id) & (table->slot_count - 1);
    while (table->slots[slot] && strcmp(table->records[table->slots[slot] - 1].id, id) != 0)
        slot = (slot + 1) & (table->slot_count - 1);
    return slot;
}

static void reindex(struct record_table *table)
{
    size_t wanted = table->slot_count ? table->slot_count : 256;
    while (wanted < 2 * (table->count + 1))
        wanted *= 2;
    table->slots = grown(table->slots, wanted, sizeof *table->slots);
    table->slot_count = wanted;
    memset(table->slots, 0, wanted * sizeof *table->slots);
    for (size_t i = 0; i < table->count; i++)
        table->slots[slot_of(table, table->records[i].id)] = (uint32_t)i + 1;
}

struct held_record *record_table_get(const struct record_table *table, const char *id)
{
    if (table->slot_count == 0)
        return NULL;
    uint32_t position = table->slots[slot_of(table, id)];
    return position ? &table->records[position - 1] : NULL;
}

static struct held_record *add_record(struct record_table *table, const char *id)
{
    if (table->count == table->capacity) {
        table->capacity = table->capacity ? 2 * table->capacity : 64;
        table->records = grown(table->records, table->capacity, sizeof *table->records);
    }
    if (2 * (table->count + 1) > table->slot_count)
        reindex(table);
    assert(table->records);
    size_t slot = slot_of(table, id);
    struct held_record *record = &table->records[table->count++];
    *record = (struct held_record){.id = copy(id)};
    table->slots[slot] = (uint32_t)table->count;
    return record;
}

void record_table_put(struct record_table *table, const struct sink_record *record, bool documents)
{
    struct held_record *held = record_table_get(table, record->id);
    if (!held)
        held = add_record(table, record->id);
    held->vector = grown(held->vector, record->dims, sizeof *held->vector);
    held->dims = record->dims;
    memcpy(held->vector, record->vector, record->dims * sizeof *held->vector);
    if (documents && record->text) {
        free(held->text);
        held->text = copy(record->text);
    }
    merge_fields(held, record);
}

void record_table_update(struct record_table *table, const struct sink_record *record)
{
    struct held_record *held = record_table_get(table, record->id);
    if (held)
        merge_fields(held, record);
}

void record_table_erase(struct record_table *table, const char *const *ids, size_t count)
{
    bool any = false;
    for (size_t i = 0; i < count; i++) {
        struct held_record *held = record_table_get(table, ids[i]);
        if (held)
            held->dims = 0; /* marked: a record that is kept has dimensions */
        any = any || held;
    }
    if (!any)
        return;
    size_t kept = 0;
    for (size_t i = 0; i < table->count; i++) {
        if (table->records[i].dims == 0)
            record_fini(&table->records[i]);
        else
            table->records[kept++] = table->records[i];
    }
    table->count = kept;
    reindex(table);
}
