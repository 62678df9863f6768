/* SPDX-License-Identifier: Apache-2.0 */
/* Cuts a normalised text into chunks: consecutive spans that cover it without a gap, each at most
 * `max_chars` code points (unless one grapheme, with the white space behind it, is longer),
 * overlapping their predecessor by at most `overlap_chars`, and never by more than half of
 * `max_chars`. Never inside a grapheme. Deterministic: the same text and options give the same
 * spans on every machine with the same Unicode tables. */
#pragma once

#include <stddef.h>

#include "base/arena.h"

/* Raised whenever the spans of any text could change: part of config_fp. */
#define CHUNKER_VERSION 1

enum chunk_strategy {
    CHUNKER_RECURSIVE, /* paragraph, line, sentence, word, grapheme: the first that fits */
    CHUNKER_FIXED,     /* graphemes only */
    CHUNKER_NONE,      /* one chunk */
};

struct chunk_options {
    enum chunk_strategy strategy;
    size_t max_chars;
    size_t overlap_chars; /* < max_chars */
};

struct chunk_span {
    size_t start; /* byte offset */
    size_t size;  /* bytes, never 0 */
};

struct chunk_list {
    struct chunk_span *spans; /* in the arena */
    size_t count;
};

/* Empty text (or only white space) gives no chunk. A chunk never consists of white space alone: it
 * belongs to the chunk before, and at the start of the text to the one behind. Linear time. */
void chunk_text(const struct chunk_options *options, const char *text, size_t size,
                struct arena *arena, struct chunk_list *out);

/* Where a chunk that is too long for its model is cut in two: the byte offset of the second half.
 * The highest boundary of the middle half of the text, of equals the one nearest the middle; never
 * inside a grapheme, and white space stays behind what it follows. 0 when it cannot be cut. Linear
 * time. */
size_t chunk_halve(const char *text, size_t size);
