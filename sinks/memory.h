/* SPDX-License-Identifier: Apache-2.0 */
/* The in-process store behind the drivers `memory` and `null`. */
#pragma once

#include "sinks/sink.h"

/* A store is shared by all sinks of the process that were opened with the same ops and URL (the
 * name, where there is no URL), and lives as long as the process. With `discard` it keeps its
 * collections and how many records were written, but no record. */
bool memory_open_as(const struct sink_ops *ops, const struct sink_options *options, bool discard,
                    struct sink **out, struct err *err) MUST_USE;

bool memory_connect(struct sink *sink, struct err *err) MUST_USE;
bool memory_find(struct sink *sink, const char *name, struct arena *arena, bool *found,
                 struct sink_collection *out, struct err *err) MUST_USE;
bool memory_find_id(struct sink *sink, const char *id, struct arena *arena, bool *found,
                    struct sink_collection *out, struct err *err) MUST_USE;
bool memory_create(struct sink *sink, const struct sink_spec *spec, struct arena *arena,
                   struct sink_collection *out, struct err *err) MUST_USE;
bool memory_drop(struct sink *sink, const char *name, struct err *err) MUST_USE;
bool memory_rename(struct sink *sink, const char *id, const char *name, struct err *err) MUST_USE;
bool memory_list(struct sink *sink, struct arena *arena, struct sink_collection **out,
                 size_t *count, struct err *err) MUST_USE;
bool memory_upsert(struct sink *sink, const char *collection, const struct sink_record *records,
                   size_t count, struct err *err) MUST_USE;
bool memory_update(struct sink *sink, const char *collection, const struct sink_record *records,
                   size_t count, struct err *err) MUST_USE;
bool memory_erase(struct sink *sink, const char *collection, const char *const *ids, size_t count,
                  struct err *err) MUST_USE;
bool memory_count(struct sink *sink, const char *collection, int64_t *out, struct err *err)
    MUST_USE;
bool memory_scan(struct sink *sink, const char *collection, size_t offset, unsigned include,
                 struct arena *arena, struct sink_record **out, size_t *count, struct err *err)
    MUST_USE;
bool memory_fetch(struct sink *sink, const char *collection, const char *const *ids,
                  size_t id_count, unsigned include, struct arena *arena, struct sink_record **out,
                  size_t *count, struct err *err) MUST_USE;
bool memory_query(struct sink *sink, const char *collection, const float *vector, size_t dims,
                  size_t k, const char *where, struct arena *arena, struct sink_match **out,
                  size_t *count, struct err *err) MUST_USE;
void memory_interrupt(struct sink *sink);
void memory_close(struct sink *sink);
