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
/* Appends to `out` what an inclusion projection of these paths keeps of `doc`: fields in the
 * document's order, arrays followed into their documents. */
void projection_apply(const struct projection *projection, const bson_t *doc, bson_t *out);
/* {path: 1, ...} for a find command. */
void projection_command(const struct projection *projection, bson_t *out);
