/* SPDX-License-Identifier: Apache-2.0 */
/* What cJSON leaves out: exact 64-bit integers, bounded depth, canonical form, must-check getters.
 *
 * cJSON keeps numbers as doubles. json_parse() keeps an integer literal that a double cannot hold
 * exactly as a cJSON_Raw node with the literal as its text; json_get_int() reads both kinds.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/value.h"

DEFINE_FREEP(cJSON, cJSON_Delete)

/* NULL and *err (REJECT, DATA; with the byte offset) when `text` is not one JSON value (RFC 8259,
 * strictly: UTF-8, no lone surrogates). A \u0000 in a string becomes U+FFFD. */
cJSON *json_parse(const char *text, size_t size, struct err *err) MUST_USE;

/* Exact integer of a node; false when it is not an integer in the range of int64_t. */
bool json_int(const cJSON *node, int64_t *out) MUST_USE;

/* Members of an object; false when missing or of another type. Strings are borrowed. */
bool json_get_string(const cJSON *object, const char *name, const char **out) MUST_USE;
bool json_get_int(const cJSON *object, const char *name, int64_t *out) MUST_USE;
bool json_get_double(const cJSON *object, const char *name, double *out) MUST_USE;
bool json_get_bool(const cJSON *object, const char *name, bool *out) MUST_USE;
const cJSON *json_get(const cJSON *object, const char *name); /* NULL when missing */

/* Builders; they abort on memory exhaustion, so results need no check. */
cJSON *json_object(void);
cJSON *json_array(void);
void json_add(cJSON *object, const char *name, cJSON *item);             /* takes `item` */
void json_add_string(cJSON *object, const char *name, const char *text); /* NULL text: null */
void json_add_int(cJSON *object, const char *name, int64_t integer);     /* exact */
void json_add_double(cJSON *object, const char *name, double number);    /* not finite: null */
void json_add_bool(cJSON *object, const char *name, bool flag);
void json_add_null(cJSON *object, const char *name);
void json_add_value(cJSON *object, const char *name, const struct value *value);
void json_append(cJSON *array, cJSON *item); /* takes `item` */

/* Compact text, to be freed with free(). */
char *json_print(const cJSON *node);
/* RFC 8785: members sorted by UTF-16 code units, ES6 numbers, no white space. */
char *json_canonical(const cJSON *node);

/* Streaming writers for large bodies: a JSON string literal / a number, appended to `out`.
 * Invalid UTF-8 becomes U+FFFD. */
void json_write_string(struct buf *out, const char *text, size_t size);
void json_write_value(struct buf *out, const struct value *value);
/* Bytes at the beginning that stand for themselves in a string literal; *foreign is set, and never
 * cleared, when they are not all ASCII. */
size_t json_plain_length(const char *text, size_t size, bool *foreign);
