/* SPDX-License-Identifier: Apache-2.0 */
/* A growable byte buffer that cannot be made without a maximum.
 *
 * Appending beyond the maximum sets `overflow` and drops the bytes; the flag is checked once at the
 * end. The bytes always have a NUL behind them.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

struct buf {
    char *data; /* owned; NULL while empty */
    size_t size;
    size_t capacity;
    size_t max_size;
    bool overflow;
};

#define BUF_INIT(max) ((struct buf){.max_size = (max)})

void buf_fini(struct buf *buf);  /* for CLEANUP(buf_fini) struct buf b = BUF_INIT(n); */
void buf_clear(struct buf *buf); /* keeps the memory */
void buf_append(struct buf *buf, const void *data, size_t size);
void buf_puts(struct buf *buf, const char *text);
void buf_putc(struct buf *buf, char c);
void buf_putint(struct buf *buf, int64_t number); /* decimal; much faster than buf_printf() */
void buf_puthex(struct buf *buf, const void *data, size_t size); /* lower case */
void buf_printf(struct buf *buf, const char *format, ...) PRINTF_LIKE(2, 3);
/* Reserves `size` bytes at the end and returns them, or NULL on overflow. */
char *buf_extend(struct buf *buf, size_t size);
/* Hands over the bytes (never NULL; to be freed with free()) and empties the buffer. */
char *buf_take(struct buf *buf, size_t *size);
/* The bytes as a C string, "" while empty. */
const char *buf_str(const struct buf *buf);
