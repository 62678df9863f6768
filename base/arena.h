/* SPDX-License-Identifier: Apache-2.0 */
/* A bump allocator: everything of one batch is allocated from it and released together.
 *
 * Not thread-safe; belongs to one thread. Memory exhaustion aborts (crash-only); exceeding
 * `max_size` is a limit that callers check with arena_size() where outside data decides the amount.
 */
#pragma once

#include <stddef.h>

#include "base/attr.h"

struct arena;

struct arena *arena_new(size_t max_size);
void arena_free(struct arena *arena);
DEFINE_FREEP(struct arena, arena_free)

/* Forgets all allocations; keeps one block for re-use. */
void arena_reset(struct arena *arena);

/* Zeroed, aligned for any type. Asserts that `max_size` is not exceeded. */
void *arena_alloc(struct arena *arena, size_t size);
void *arena_alloc_array(struct arena *arena, size_t count, size_t size);
char *arena_strdup(struct arena *arena, const char *text);
/* A copy of `size` bytes with a NUL behind it. */
void *arena_memdup(struct arena *arena, const void *data, size_t size);
char *arena_printf(struct arena *arena, const char *format, ...) PRINTF_LIKE(2, 3);

/* Bytes handed out since the last reset. */
size_t arena_size(const struct arena *arena);
