/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies of requests to Chroma's API v2. Pure functions; a body that passes the buffer's maximum
 * sets its overflow flag. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "sinks/sink.h"

struct chroma_form {
    bool base64;    /* vectors as base64 of little-endian floats, else as numbers */
    bool documents; /* send the texts */
};

/* Null when the name keeps Chroma's rule, else the rule:
 * [a-zA-Z0-9._-], 3 to 512 of them, first and last a letter or digit, no "..", no IPv4 address. */
const char *chroma_name_problem(const char *name);

void chroma_build_create(struct buf *out, const struct sink_spec *spec);
void chroma_build_rename(struct buf *out, const char *name);
void chroma_build_upsert(struct buf *out, const struct chroma_form *form,
                         const struct sink_record *records, size_t count);
/* Metadata only. */
void chroma_build_update(struct buf *out, const struct sink_record *records, size_t count);
void chroma_build_erase(struct buf *out, const char *const *ids, size_t count);

struct chroma_page {
    size_t offset;
    size_t limit;
};
/* `include` is of enum sink_include. */
void chroma_build_scan(struct buf *out, const struct chroma_page *page, unsigned include);
void chroma_build_fetch(struct buf *out, const char *const *ids, size_t count, unsigned include);
/* False when `where` is not a JSON object. */
bool chroma_build_query(struct buf *out, const struct sink_query *query) MUST_USE;

void chroma_build_queries(struct buf *out, const struct sink_queries *queries);

/* Appends one segment of a path, percent-encoded. */
void chroma_build_segment(struct buf *out, const char *text);
