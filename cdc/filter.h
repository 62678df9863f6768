/* SPDX-License-Identifier: Apache-2.0 */
/* Which documents belong to a family: a subset of MongoDB's match language, one evaluator for
 * snapshot rows, events and re-reads alike.
 *
 * Operators: $eq $ne $in $nin $gt $gte $lt $lte $exists on dotted paths, $not around those of one
 * path, $and $or of whole filters. As in MongoDB: a path that leads through arrays matches when any
 * of its values does, comparisons stay within one type (but MinKey and MaxKey compare with all),
 * null equals missing, numbers compare by value, NaN equals only itself. Collations, regular
 * expressions (also as values to compare with) and $expr are not part of it. The server's find
 * selects the same documents: tests/conformance/filter.c.
 */
#pragma once

#include <bson/bson.h>
#include <stdbool.h>

#include "base/attr.h"
#include "base/err.h"

struct filter;

/* `json` is extended JSON; NULL gives the filter that everything matches. REJECT, CONFIG with the
 * offending operator's name. */
bool filter_compile(const char *json, struct filter **out, struct err *err) MUST_USE;
void filter_free(struct filter *filter);
DEFINE_FREEP(struct filter, filter_free)

bool filter_matches(const struct filter *filter, const bson_t *doc);
/* The filter as a document for the server's own match; NULL when everything matches. */
const bson_t *filter_document(const struct filter *filter);

typedef void filter_visit_path(const char *path, void *context);
void filter_paths(const struct filter *filter, filter_visit_path *visit, void *context);
