/* SPDX-License-Identifier: Apache-2.0 */
/* The fields of a stored document: writing them, and reading them without trusting them.
 *
 * A reader remembers the first field whose type makes no sense; what has been read is used only
 * after doc_reader_check(). Missing and null are the same. Texts that are given belong to the caller:
 * free().
 */
#pragma once

#include <mongoc/mongoc.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct doc_reader {
    const uint8_t *data; /* BSON, borrowed: a bson_t must not be copied by value */
    size_t size;
    const char *what; /* for the error's text, e.g. "captures/ducks/duck" */
    const char *bad;  /* the first field of a wrong type; NULL: none */
};

struct doc_reader doc_reader_of(const bson_t *doc, const char *what);
/* A reader of the value under `iter`, which is a document or an array; else it is bad. */
struct doc_reader doc_reader_at(const bson_iter_t *iter, const char *what);
/* ERR_FATAL, STATE with the field's name. */
bool doc_reader_check(const struct doc_reader *reader, struct err *err) MUST_USE;

/* Borrowed from the document; NULL when missing. */
const char *doc_peek(struct doc_reader *reader, const char *name);
char *doc_text(struct doc_reader *reader, const char *name);
/* Any number without a fraction. */
int64_t doc_int(struct doc_reader *reader, const char *name, int64_t missing);
bool doc_bool(struct doc_reader *reader, const char *name);
int64_t doc_date(struct doc_reader *reader, const char *name); /* 0 when missing */
/* A sub-document or array as *iter over its elements; false when missing. */
bool doc_elements(struct doc_reader *reader, const char *name, bson_iter_t *iter, size_t *count);
/* A sub-document; false when missing. */
bool doc_child(struct doc_reader *reader, const char *name, struct doc_reader *child);
/* A sub-document as relaxed extended JSON, and as a copy. NULL when missing. */
char *doc_json(struct doc_reader *reader, const char *name);
bson_t *doc_copy(struct doc_reader *reader, const char *name);

void doc_put_text(bson_t *doc, const char *name, const char *text); /* NULL: null */
void doc_put_int(bson_t *doc, const char *name, int64_t number);
void doc_put_date(bson_t *doc, const char *name, int64_t ms);
void doc_put_child(bson_t *doc, const char *name, const bson_t *child); /* NULL: null */
/* A JSON object as a sub-document; NULL: null. ERR_REJECT, DATA when it is not one. */
bool doc_put_json(bson_t *doc, const char *name, const char *json, struct err *err) MUST_USE;

/* The value of the number field `name`; 0 when there is none. */
int64_t doc_counter(const bson_t *doc, const char *name);

/* "schema" of the document is one that this build knows; else ERR_FATAL, STATE. */
bool doc_check_schema(const bson_t *doc, const char *what, struct err *err) MUST_USE;
