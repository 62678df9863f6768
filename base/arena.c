/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"

#include <assert.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#define ARENA_SEPARATE 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_SEPARATE 1
#endif
#endif
#ifndef ARENA_SEPARATE
#define ARENA_SEPARATE 0
#endif

/* Under AddressSanitizer every allocation is a block of its own and exactly as large as asked for,
 * so that an overrun meets a red zone instead of its neighbour. */
#define BLOCK_SIZE (ARENA_SEPARATE ? (size_t)0 : (size_t)64 * 1024)
#define ALIGNMENT _Alignof(max_align_t)
#define SMALL_TEXT 256

struct block {
    struct block *next;
    size_t capacity;
    size_t used;
    _Alignas(max_align_t) char data[];
};

struct arena {
    struct block *blocks; /* the first one is the one being filled */
    size_t size;
    size_t max_size;
};

struct arena *arena_new(size_t max_size)
{
    struct arena *arena = calloc(1, sizeof *arena);
    if (!arena)
        abort();
    arena->max_size = max_size;
    return arena;
}

static void blocks_free(struct block *block)
{
    while (block) {
        struct block *next = block->next;
        free(block);
        block = next;
    }
}

void arena_free(struct arena *arena)
{
    if (!arena)
        return;
    blocks_free(arena->blocks);
    free(arena);
}

void arena_reset(struct arena *arena)
{
    arena->size = 0;
    struct block *kept = arena->blocks;
    if (!kept)
        return;
    blocks_free(kept->next);
    kept->next = NULL;
    kept->used = 0;
    /* One huge batch must not pin its memory for ever; and a re-used block has no red zone. */
    if (ARENA_SEPARATE || kept->capacity > BLOCK_SIZE) {
        free(kept);
        arena->blocks = NULL;
    }
}

static struct block *block_add(struct arena *arena, size_t size)
{
    size_t capacity = size > BLOCK_SIZE ? size : BLOCK_SIZE;
    struct block *block = malloc(sizeof *block + capacity);
    if (!block)
        abort();
    block->capacity = capacity;
    block->used = 0;
    if (arena->blocks && capacity > BLOCK_SIZE) {
        /* Behind the one being filled, whose rest would be lost otherwise. */
        block->next = arena->blocks->next;
        arena->blocks->next = block;
    } else {
        block->next = arena->blocks;
        arena->blocks = block;
    }
    return block;
}

static void *alloc_raw(struct arena *arena, size_t size)
{
    assert(size <= arena->max_size && arena->size <= arena->max_size - size);
    arena->size += size;

    struct block *block = arena->blocks;
    size_t start = block ? (block->used + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT : 0;
    if (ARENA_SEPARATE || !block || start > block->capacity || size > block->capacity - start) {
        block = block_add(arena, size);
        start = 0;
    }
    block->used = start + size;
    return block->data + start;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    return memset(alloc_raw(arena, size), 0, size);
}

void *arena_alloc_array(struct arena *arena, size_t count, size_t size)
{
    assert(size == 0 || count <= SIZE_MAX / size);
    return arena_alloc(arena, count * size);
}

char *arena_strdup(struct arena *arena, const char *text)
{
    return arena_memdup(arena, text, strlen(text));
}

void *arena_memdup(struct arena *arena, const void *data, size_t size)
{
    assert(size < SIZE_MAX);
    char *copy = alloc_raw(arena, size + 1);
    if (size)
        memcpy(copy, data, size);
    copy[size] = '\0';
    return copy;
}

char *arena_printf(struct arena *arena, const char *format, ...)
{
    char small[SMALL_TEXT]; /* mostly it fits: formatting it twice to know its size costs more */
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    int length = vsnprintf(small, sizeof small, format, args);
    va_end(args);
    assert(length >= 0);
    size_t size = (size_t)length;
    char *text =
        size < sizeof small ? arena_memdup(arena, small, size) : alloc_raw(arena, size + 1);
    if (size >= sizeof small)
        vsnprintf(text, size + 1, format, again);
    va_end(again);
    return text;
}

size_t arena_size(const struct arena *arena)
{
    return arena->size;
}
