/* SPDX-License-Identifier: Apache-2.0 */
/* Seeded random documents, paths and filters, small enough that many of them meet: the same seed
 * gives the same ones everywhere. */
#pragma once

#include <bson/bson.h>
#include <math.h>

#include "base/attr.h"
#include "base/mongo.h"

struct random_doc {
    uint64_t state;
};

/* splitmix64 */
static inline uint32_t random_below(struct random_doc *random, uint32_t end)
{
    uint64_t z = (random->state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (uint32_t)((z ^ (z >> 31)) % end);
}

static inline const char *random_name(struct random_doc *random)
{
    static const char *const names[] = {"a", "b", "c", "0", "1"};
    return names[random_below(random, ARRAY_LEN(names))];
}

static inline void random_decimal(struct random_doc *random, const char *name, bson_t *out)
{
    static const char *const texts[] = {"1", "1.00", "0.5", "0.1", "0.10", "NaN", "-1", "1E+400"};
    bson_decimal128_t decimal;
    bson_decimal128_from_string(texts[random_below(random, ARRAY_LEN(texts))], &decimal);
    bson_append_decimal128(out, name, -1, &decimal);
}

static inline void random_scalar(struct random_doc *random, const char *name, bson_t *out)
{
    static const double doubles[] = {1.0, 0.5, 0.1, -0.0, 2.5, (double)NAN, (double)INFINITY};
    static const char *const strings[] = {"", "a", "b", "A", "1", "\xc3\xa9"};
    switch (random_below(random, 16)) {
    case 0:
    case 1:
    case 2:
        bson_append_int32(out, name, -1, (int32_t)random_below(random, 4) - 1);
        return;
    case 3:
        bson_append_int64(out, name, -1, (int64_t)random_below(random, 3));
        return;
    case 4:
    case 5:
        bson_append_double(out, name, -1, doubles[random_below(random, ARRAY_LEN(doubles))]);
        return;
    case 6:
        random_decimal(random, name, out);
        return;
    case 7:
    case 8:
        bson_append_utf8(out, name, -1, strings[random_below(random, ARRAY_LEN(strings))], -1);
        return;
    case 9:
    case 10:
        bson_append_null(out, name, -1);
        return;
    case 11:
        bson_append_bool(out, name, -1, random_below(random, 2) == 0);
        return;
    case 12:
        bson_append_date_time(out, name, -1, (int64_t)random_below(random, 3) - 1);
        return;
    case 13:
        bson_append_binary(out, name, -1, BSON_SUBTYPE_BINARY, (const uint8_t *)"ab",
                           random_below(random, 3));
        return;
    case 14:
        /* the server puts its own time in the place of (0, 0) */
        bson_append_timestamp(out, name, -1, 1 + random_below(random, 2), random_below(random, 2));
        return;
    default:
        if (random_below(random, 2) == 0)
            bson_append_minkey(out, name, -1);
        else
            bson_append_maxkey(out, name, -1);
    }
}

static inline void random_value(struct random_doc *random, const char *name, int depth,
                                bson_t *out);

static inline void random_fields(struct random_doc *random, int depth, bson_t *out)
{
    static const char *const names[] = {"a", "b", "c", "0", "1"};
    uint32_t first = random_below(random, ARRAY_LEN(names));
    uint32_t count = random_below(random, 4);
    for (uint32_t i = 0; i < count; i++)
        random_value(random, names[(first + i) % ARRAY_LEN(names)], depth, out);
}

static inline void random_value(struct random_doc *random, const char *name, int depth, bson_t *out)
{
    uint32_t kind = depth > 0 ? random_below(random, 10) : 9;
    bson_t child;
    if (kind < 3) {
        bson_append_document_begin(out, name, -1, &child);
        random_fields(random, depth - 1, &child);
        bson_append_document_end(out, &child);
    } else if (kind < 6) {
        static const char *const indexes[] = {"0", "1", "2"};
        bson_append_array_begin(out, name, -1, &child);
        uint32_t count = random_below(random, 4);
        for (uint32_t i = 0; i < count; i++)
            random_value(random, indexes[i], depth - 1, &child);
        bson_append_array_end(out, &child);
    } else {
        random_scalar(random, name, out);
    }
}

static inline bson_t *random_doc(struct random_doc *random, int32_t id)
{
    bson_t *doc = BCON_NEW("_id", BCON_INT32(id));
    static const char *const names[] = {"a", "b", "c"};
    for (uint32_t i = 0; i < 3; i++) {
        if (random_below(random, 4) > 0)
            random_value(random, names[i], 3, doc);
    }
    return doc;
}

/* "a", "b.0.c", ...; `out` holds 16. */
static inline void random_path(struct random_doc *random, char *out)
{
    static const char *const roots[] = {"a", "b", "c"};
    uint32_t more = random_below(random, 4);
    size_t size = (size_t)snprintf(out, 16, "%s", roots[random_below(random, 3)]);
    for (uint32_t i = 0; i < more && i < 3; i++)
        size += (size_t)snprintf(out + size, 16 - size, ".%s", random_name(random));
}

static inline void random_operators(struct random_doc *random, int depth, bson_t *out)
{
    static const char *const ops[] = {"$eq", "$ne", "$gt", "$gte", "$lt", "$lte"};
    bson_t child;
    uint32_t kind = random_below(random, depth > 0 ? 10 : 8);
    if (kind < 5) {
        random_value(random, ops[random_below(random, ARRAY_LEN(ops))], 2, out);
    } else if (kind < 7) {
        static const char *const indexes[] = {"0", "1", "2"};
        bson_append_array_begin(out, kind == 5 ? "$in" : "$nin", -1, &child);
        uint32_t count = random_below(random, 4);
        for (uint32_t i = 0; i < count; i++)
            random_value(random, indexes[i], 1, &child);
        bson_append_array_end(out, &child);
    } else if (kind == 7) {
        bson_append_bool(out, "$exists", -1, random_below(random, 2) == 0);
    } else {
        bson_append_document_begin(out, "$not", -1, &child);
        random_operators(random, depth - 1, &child);
        bson_append_document_end(out, &child);
    }
}

static inline void random_filter_into(struct random_doc *random, int depth, bson_t *out)
{
    char path[16];
    bson_t child, element;
    uint32_t kind = random_below(random, depth > 0 ? 10 : 7);
    if (kind < 2) {
        random_path(random, path);
        random_value(random, path, 2, out);
    } else if (kind < 7) {
        random_path(random, path);
        bson_append_document_begin(out, path, -1, &child);
        random_operators(random, 2, &child);
        bson_append_document_end(out, &child);
    } else {
        static const char *const indexes[] = {"0", "1", "2"};
        bson_append_array_begin(out, kind < 9 ? "$or" : "$and", -1, &child);
        uint32_t count = 1 + random_below(random, 3);
        for (uint32_t i = 0; i < count; i++) {
            bson_append_document_begin(&child, indexes[i], 1, &element);
            random_filter_into(random, depth - 1, &element);
            bson_append_document_end(&child, &element);
        }
        bson_append_array_end(out, &child);
    }
}
