/* SPDX-License-Identifier: Apache-2.0 */
/* What a family takes from a source document: which fields, whether it belongs, its source id, its
 * metadata and its text.
 *
 * A shape is made once and read by any number of threads.
 */
#pragma once

#include <bson/bson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/sha256.h"
#include "base/value.h"

struct shape;

struct shape_metadata {
    const char *name;         /* "*": every scalar of the sub-documents at the paths */
    const char *const *paths; /* the first that leads to a value; null and NaN are none */
    size_t path_count;
};

struct shape_options {
    const char *database;
    const char *collection;
    const char *filter; /* extended JSON; NULL: everything */
    const char *id_field;
    const struct shape_metadata *metadata;
    size_t metadata_count;
    const char *const *text_fields; /* of every live version together: for the projection */
    size_t text_field_count;
};

bool shape_new(const struct shape_options *options, struct shape **out, struct err *err) MUST_USE;
void shape_free(struct shape *shape);
DEFINE_FREEP(struct shape, shape_free)

/* family_fp: what decides an item. "sha256:..." of the canonical JSON of source, filter, id field,
 * metadata mapping and projected paths. */
const char *shape_fp(const struct shape *shape);

/* Appends the value of the document's upsert (item_encode_doc()): the fields that the family uses. */
bool shape_encode(const struct shape *shape, const bson_t *doc, struct buf *out, struct err *err)
    MUST_USE;
/* The same as a find command's projection. */
const bson_t *shape_projection(const struct shape *shape);
/* The filter for the server's own count or match; NULL when there is none. */
const bson_t *shape_filter(const struct shape *shape);
bool shape_matches(const struct shape *shape, const bson_t *doc);

/* The source id, in the arena. REJECT when the id field is missing, null or an array. */
bool shape_source_id(const struct shape *shape, const bson_t *doc, struct arena *arena,
                     const char **out, struct err *err) MUST_USE;

/* Mapped metadata sorted by name; dates as ISO 8601, ObjectIds as hex, decimals as text, lists and
 * sub-documents as relaxed extended JSON; null and missing are left out. */
void shape_read_metadata(const struct shape *shape, const bson_t *doc, struct arena *arena,
                         struct field **out, size_t *count);

/* Appends the text of the fields, in order, joined by a blank line: strings, lists of strings
 * (joined by a line end), numbers, booleans and dates as text. REJECT for anything else (and for
 * numbers that are not finite, and strings with a document_text_problem()): a vector would stand for
 * something nobody wrote. The error names the field. */
bool document_text(const bson_t *doc, const char *const *fields, size_t count, struct buf *out,
                   struct err *err) MUST_USE;

/* Why a string is no text although it is a string, for the end of a sentence ("holds ..."): a
 * reference to an image ("img:...") or a file as a data URL; NULL when it is text. */
const char *document_text_problem(const char *text, size_t size);

/* The first of the fields that holds binary data or a string with a problem, alone or in a list, and
 * what it holds; NULL when there is none. */
const char *document_foreign_field(const bson_t *doc, const char *const *fields, size_t count,
                                   const char **problem);

/* A fingerprint of metadata alone. */
struct sha256 document_meta_fp(const struct field *metadata, size_t count);
/* A fingerprint of everything a record is made from. */
struct sha256 document_fp(const char *source_id, const char *text, size_t text_size,
                          const struct sha256 *meta_fp);
