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

/* Appends the normalised text to `out` (invalid UTF-8 becomes U+FFFD; CRLF, CR, NEL, LS become LF;
 * control characters other than LF and TAB go; then form, lower case, stop words, trim).
 * Idempotent: normalising the result changes nothing. */
void normalize_text(const struct normalize_options *options, const char *text, size_t size,
                    struct buf *out);
