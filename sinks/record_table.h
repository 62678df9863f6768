/* SPDX-License-Identifier: Apache-2.0 */
/* Records in the order of their first insertion, found by id. Owns copies of all it holds; not
 * thread-safe. Writes merge as Chroma's do: metadata keys that are not mentioned stay, VALUE_NULL
 * removes one, a text that is NULL leaves the old one. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sinks/sink.h"

struct held_record {
    char *id;
    float *vector;
    size_t dims;
    char *text; /* NULL: none */
    struct field *fields;
    size_t field_count;
};

struct record_table {
    struct held_record *records;
    size_t count;
    size_t capacity;
    uint32_t *slots; /* open addressing: position in `records` + 1, 0 while empty */
    size_t slot_count;
};

void record_table_fini(struct record_table *table);
struct held_record *record_table_get(const struct record_table *table, const char *id);
/* `documents`: keep the text too. */
void record_table_put(struct record_table *table, const struct sink_record *record, bool documents);
void record_table_update(struct record_table *table, const struct sink_record *record);
/* The order of the others stays. */
void record_table_erase(struct record_table *table, const char *const *ids, size_t count);

/* Copies of named values, and their release. */
struct field *fields_copy(const struct field *fields, size_t count);
void fields_free(struct field *fields, size_t count);
