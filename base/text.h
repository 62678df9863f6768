/* SPDX-License-Identifier: Apache-2.0 */
/* Unicode text over utf8proc: validity, normal forms, case, boundaries. Sizes in bytes. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/* Unicode version of the tables in use, e.g. "15.0.0": part of what decides a chunk. */
const char *text_unicode_version(void);

bool text_is_utf8(const char *text, size_t size);
/* Appends `text` with each invalid sequence replaced by U+FFFD. */
void text_append_valid(struct buf *out, const char *text, size_t size);

enum text_form { TEXT_FORM_NONE, TEXT_FORM_NFC, TEXT_FORM_NFKC };
/* Appends the normal form (NONE: a copy) of valid UTF-8. */
void text_append_form(struct buf *out, const char *text, size_t size, enum text_form form);
/* Appends the simple lower case of valid UTF-8. */
void text_append_lower(struct buf *out, const char *text, size_t size);

/* The code point at `text` and its length in bytes (>= 1; invalid bytes give U+FFFD). */
size_t text_decode(const char *text, size_t size, uint32_t *code_point);
/* Length in bytes of the extended grapheme cluster that begins at `text`; 0 at the end. */
size_t text_grapheme(const char *text, size_t size);
/* Number of code points. */
size_t text_length(const char *text, size_t size);

/* A stranger's words for a message of ours: one line of valid UTF-8, each of `secrets` (ends with NULL;
 * NULL: none) as "***", cut to fit into `out_size` with "..." at the end. */
void text_tidy(const char *text, size_t size, const char *const *secrets, char *out,
               size_t out_size);

bool text_is_space(uint32_t code_point); /* White_Space */
bool text_is_word(uint32_t code_point);  /* letters, marks, numbers, connector punctuation */
