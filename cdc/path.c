/* SPDX-License-Identifier: Apache-2.0 */
#include "cdc/path.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"

struct walk {
    path_visit *visit;
    void *context;
};

static bool walk_document(const bson_iter_t *doc, const char *path, struct walk *walk);
static bool walk_array(const bson_iter_t *array, const char *path, struct walk *walk);

static size_t segment_size(const char *path)
{
    const char *dot = strchr(path, '.');
    return dot ? (size_t)(dot - path) : strlen(path);
}

/* What follows the first segment; NULL: nothing. */
static const char *rest_of(const char *path)
{
    const char *rest = path + segment_size(path);
    return *rest ? rest + 1 : NULL;
}

static bool is_named(const bson_iter_t *iter, const char *path)
{
    size_t size = segment_size(path);
    return bson_iter_key_len(iter) == size && memcmp(bson_iter_key(iter), path, size) == 0;
}

/* Where the path ends: an array's elements, then the array itself. */
static bool walk_leaf(const bson_iter_t *value, struct walk *walk)
{
    bson_iter_t element;
    if (BSON_ITER_HOLDS_ARRAY(value) && bson_iter_recurse(value, &element)) {
        while (bson_iter_next(&element)) {
            if (!walk->visit(&element, walk->context))
                return false;
        }
    }
    return walk->visit(value, walk->context);
}

/* `fields` stands before a document's first field. */
static bool walk_fields(bson_iter_t *fields, const char *path, struct walk *walk)
{
    const char *rest = rest_of(path);
    while (bson_iter_next(fields)) {
        if (!is_named(fields, path))
            continue;
        if (!rest)
            return walk_leaf(fields, walk);
        if (BSON_ITER_HOLDS_DOCUMENT(fields))
            return walk_document(fields, rest, walk);
        if (BSON_ITER_HOLDS_ARRAY(fields))
            return walk_array(fields, rest, walk);
        break;
    }
    return walk->visit(NULL, walk->context);
}

static bool walk_document(const bson_iter_t *doc, const char *path, struct walk *walk)
{
    bson_iter_t fields;
    return !bson_iter_recurse(doc, &fields) || walk_fields(&fields, path, walk);
}

/* The element whose index is the first segment. */
static bool walk_index(const bson_iter_t *element, const char *path, struct walk *walk)
{
    const char *rest = rest_of(path);
    if (!rest)
        return walk->visit(element, walk->context);
    if (BSON_ITER_HOLDS_DOCUMENT(element))
        return walk_document(element, rest, walk);
    return !BSON_ITER_HOLDS_ARRAY(element) || walk_array(element, rest, walk);
}

/* `a.b` goes into each document of the array `a`, and to an element of that index. */
static bool walk_array(const bson_iter_t *array, const char *path, struct walk *walk)
{
    bson_iter_t element;
    if (!bson_iter_recurse(array, &element))
        return true;
    while (bson_iter_next(&element)) {
        if (BSON_ITER_HOLDS_DOCUMENT(&element) && !walk_document(&element, path, walk))
            return false;
        if (is_named(&element, path) && !walk_index(&element, path, walk))
            return false;
    }
    return true;
}

bool path_each(const bson_t *doc, const char *path, path_visit *visit, void *context)
{
    bson_iter_t fields;
    struct walk walk = {.visit = visit, .context = context};
    return !bson_iter_init(&fields, doc) || walk_fields(&fields, path, &walk);
}

bool path_find(const bson_t *doc, const char *path, bson_iter_t *out)
{
    bson_iter_t level;
    return bson_iter_init(&level, doc) && bson_iter_find_descendant(&level, path, out);
}

struct projection {
    char *name; /* NULL at the root */
    size_t name_size;
    bool leaf; /* everything below is kept */
    struct projection **children;
    size_t count;
};

struct projection *projection_new(void)
{
    return calloc(1, sizeof(struct projection));
}

void projection_free(struct projection *projection)
{
    if (!projection)
        return;
    for (size_t i = 0; i < projection->count; i++)
        projection_free(projection->children[i]);
    free(projection->children);
    free(projection->name);
    free(projection);
}

static struct projection *projection_child(const struct projection *node, const char *name,
                                           size_t size)
{
    for (size_t i = 0; i < node->count; i++) {
        if (node->children[i]->name_size == size &&
            memcmp(node->children[i]->name, name, size) == 0)
            return node->children[i];
    }
    return NULL;
}

static struct projection *projection_grow(struct projection *node, const char *name, size_t size)
{
    struct projection *child = projection_child(node, name, size);
    if (child)
        return child;
    child = projection_new();
    child->name = strndup(name, size);
    child->name_size = size;
    node->children = realloc(node->children, (node->count + 1) * sizeof *node->children);
    node->children[node->count++] = child;
    return child;
}

static bool is_index(const char *name, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (!isdigit((unsigned char)name[i]))
            return false;
    }
    return size > 0;
}

void projection_add(struct projection *projection, const char *path)
{
    struct projection *node = projection;
    while (true) {
        size_t size = segment_size(path);
        /* an inclusion projection has no array indexes: what stands above is kept whole */
        if (node != projection && is_index(path, size))
            break;
        node = projection_grow(node, path, size);
        if (!path[size])
            break;
        path += size + 1;
    }
    node->leaf = true;
}

const struct projection *projection_below(const struct projection *projection, const char *name,
                                          size_t size)
{
    return projection_child(projection, name, size);
}

bool projection_is_whole(const struct projection *projection)
{
    return projection->leaf;
}

static void command_node(const struct projection *node, const char *prefix, bson_t *out)
{
    for (size_t i = 0; i < node->count; i++) {
        const struct projection *child = node->children[i];
        char *path = bson_strdup_printf("%s%s", prefix, child->name);
        if (child->leaf) {
            bson_append_int32(out, path, -1, 1);
        } else {
            char *below = bson_strdup_printf("%s.", path);
            command_node(child, below, out);
            bson_free(below);
        }
        bson_free(path);
    }
}

void projection_command(const struct projection *projection, bson_t *out)
{
    command_node(projection, "", out);
}
