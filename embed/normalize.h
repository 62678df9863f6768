/* SPDX-License-Identifier: Apache-2.0 */
/* A document's text in the one form that is chunked, fingerprinted and embedded. Pure functions. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/text.h"

struct normalize_options {
    enum text_form form;
    bool trim;
    bool lowercase;
    const char *const *stopwords; /* whole words, compared after lower-casing; may be NULL */
    size_t stopword_count;
};

/* Appends the normalised text to `out` (invalid UTF-8 becomes U+FFFD; CRLF, CR, VT, FF, NEL, LS
 * become LF, PS two of them; control characters other than LF and TAB go; then form, lower case,
 * stop words, trim). Idempotent: normalising the result changes nothing. Intermediate forms are held
 * to out->max_size too. */
void normalize_text(const struct normalize_options *options, const char *text, size_t size,
                    struct buf *out);
