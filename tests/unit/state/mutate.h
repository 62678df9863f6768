/* SPDX-License-Identifier: Apache-2.0 */
/* Every way in which one value of a document can be of another type: what a reader must survive. */
#pragma once

#include <mongoc/mongoc.h>

#define MUTATIONS 6

struct mutation {
    int target; /* the how-manieth value, depth first */
    int kind;   /* which other type */
    int seen;
};

static inline void mutate_append(bson_t *out, const char *key, int kind)
{
    switch (kind) {
    case 0:
        BSON_APPEND_NULL(out, key);
        break;
    case 1:
        BSON_APPEND_UTF8(out, key, "mutant");
        break;
    case 2:
        BSON_APPEND_DOUBLE(out, key, -1.5);
        break;
    case 3:
        BSON_APPEND_BINARY(out, key, BSON_SUBTYPE_BINARY, (const uint8_t *)"xyz", 3);
        break;
    case 4:
        BCON_APPEND(out, key, "[", BCON_INT32(7), BCON_UTF8("x"), "]");
        break;
    default:
        BCON_APPEND(out, key, "{", "id", BCON_INT32(7), "}");
    }
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the document */
static inline void mutate_copy(const bson_iter_t *parent, bson_t *out, struct mutation *mutation)
{
    bson_iter_t iter = *parent;
    while (bson_iter_next(&iter)) {
        const char *key = bson_iter_key(&iter);
        bson_iter_t child;
        bson_t sub;
        if (mutation->seen++ == mutation->target) {
            mutate_append(out, key, mutation->kind);
        } else if (BSON_ITER_HOLDS_ARRAY(&iter) && bson_iter_recurse(&iter, &child)) {
            BSON_APPEND_ARRAY_BEGIN(out, key, &sub);
            mutate_copy(&child, &sub, mutation);
            bson_append_array_end(out, &sub);
        } else if (BSON_ITER_HOLDS_DOCUMENT(&iter) && bson_iter_recurse(&iter, &child)) {
            BSON_APPEND_DOCUMENT_BEGIN(out, key, &sub);
            mutate_copy(&child, &sub, mutation);
            bson_append_document_end(out, &sub);
        } else {
            bson_append_iter(out, key, -1, &iter);
        }
    }
}

/* NULL when the document has no such value: all are done. */
static inline bson_t *mutate(const bson_t *doc, int target, int kind)
{
    struct mutation mutation = {.target = target, .kind = kind};
    bson_t *out = bson_new();
    bson_iter_t iter;
    if (bson_iter_init(&iter, doc))
        mutate_copy(&iter, out, &mutation);
    if (mutation.seen > target)
        return out;
    bson_destroy(out);
    return NULL;
}
