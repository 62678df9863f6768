/* SPDX-License-Identifier: Apache-2.0 */
/* Dotted paths into BSON documents, as MongoDB reads them, and projection to a set of paths. */
#pragma once

#include <bson/bson.h>
#include <stdbool.h>
#include <stddef.h>

/* Called for each value that MongoDB compares with when it matches `path`: `a.b` on {a: [{b: 1},
 * {b: [2]}, {}]} gives 1, 2, [2] and NULL, which is "nothing there". A number in the path is also an
 * array's index; what stands at an index is not taken apart. Return false to stop. */
typedef bool path_visit(const bson_iter_t *value, void *context);

/* False when the visitor stopped it. */
bool path_each(const bson_t *doc, const char *path, path_visit *visit, void *context);

/* The first value the path leads to without going through arrays' elements, except by index. */
bool path_find(const bson_t *doc, const char *path, bson_iter_t *out);

/* A set of paths for projection. A path that lies below another one of the set adds nothing. */
struct projection;
struct projection *projection_new(void);
void projection_add(struct projection *projection, const char *path);
void projection_free(struct projection *projection);
/* What an inclusion projection of these paths keeps, step by step: of the field `name` of a document
 * that `projection` is for. NULL: nothing. Everything, if projection_is_whole(); else what the result
 * keeps of the field's document, or of each document and array in its array, and no scalar. */
const struct projection *projection_below(const struct projection *projection, const char *name,
                                          size_t size);
bool projection_is_whole(const struct projection *projection);
/* {path: 1, ...} for a find command. */
void projection_command(const struct projection *projection, bson_t *out);
