/* SPDX-License-Identifier: Apache-2.0 */
#include "cdc/compare.h"

#include <string.h>

#include "cdc/number.h"

/* MongoDB's order of types, with its own numbers. Source: the manual, "Comparison/Sort Order", and
 * canonicalizeBSONType() of src/mongo/bson/bsontypes.h. */
enum rank {
    RANK_MINKEY = -1,
    RANK_UNDEFINED = 0,
    RANK_NULL = 5,
    RANK_NUMBER = 10,
    RANK_STRING = 15,
    RANK_DOCUMENT = 20,
    RANK_ARRAY = 25,
    RANK_BINARY = 30,
    RANK_OID = 35,
    RANK_BOOL = 40,
    RANK_DATE = 45,
    RANK_TIMESTAMP = 47,
    RANK_REGEX = 50,
    RANK_DBPOINTER = 55,
    RANK_CODE = 60,
    RANK_CODE_WITH_SCOPE = 65,
    RANK_MAXKEY = 127,
};

static const int ranks[] = {
    [BSON_TYPE_DOUBLE] = RANK_NUMBER,
    [BSON_TYPE_UTF8] = RANK_STRING,
    [BSON_TYPE_DOCUMENT] = RANK_DOCUMENT,
    [BSON_TYPE_ARRAY] = RANK_ARRAY,
    [BSON_TYPE_BINARY] = RANK_BINARY,
    [BSON_TYPE_UNDEFINED] = RANK_UNDEFINED,
    [BSON_TYPE_OID] = RANK_OID,
    [BSON_TYPE_BOOL] = RANK_BOOL,
    [BSON_TYPE_DATE_TIME] = RANK_DATE,
    [BSON_TYPE_NULL] = RANK_NULL,
    [BSON_TYPE_REGEX] = RANK_REGEX,
    [BSON_TYPE_DBPOINTER] = RANK_DBPOINTER,
    [BSON_TYPE_CODE] = RANK_CODE,
    [BSON_TYPE_SYMBOL] = RANK_STRING,
    [BSON_TYPE_CODEWSCOPE] = RANK_CODE_WITH_SCOPE,
    [BSON_TYPE_INT32] = RANK_NUMBER,
    [BSON_TYPE_TIMESTAMP] = RANK_TIMESTAMP,
    [BSON_TYPE_INT64] = RANK_NUMBER,
    [BSON_TYPE_DECIMAL128] = RANK_NUMBER,
};

static int type_rank(bson_type_t type)
{
    if (type == BSON_TYPE_MINKEY)
        return RANK_MINKEY;
    return type == BSON_TYPE_MAXKEY ? RANK_MAXKEY : ranks[type];
}

bool value_comparable(const bson_iter_t *a, const bson_iter_t *b)
{
    return type_rank(bson_iter_type(a)) == type_rank(bson_iter_type(b));
}

static int compare_bytes(const void *a, size_t a_size, const void *b, size_t b_size)
{
    int order = memcmp(a, b, a_size < b_size ? a_size : b_size);
    return order != 0 ? order : (a_size > b_size) - (a_size < b_size);
}

static int compare_int(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

static const char *string_of(const bson_iter_t *iter, uint32_t *size)
{
    switch (bson_iter_type(iter)) {
    case BSON_TYPE_SYMBOL:
        return bson_iter_symbol(iter, size);
    case BSON_TYPE_CODE:
        return bson_iter_code(iter, size);
    default:
        return bson_iter_utf8(iter, size);
    }
}

static int compare_string(const bson_iter_t *a, const bson_iter_t *b)
{
    uint32_t a_size = 0, b_size = 0;
    const char *x = string_of(a, &a_size), *y = string_of(b, &b_size);
    return compare_bytes(x, a_size, y, b_size);
}

static int compare_binary(const bson_iter_t *a, const bson_iter_t *b)
{
    bson_subtype_t a_type, b_type;
    uint32_t a_size, b_size;
    const uint8_t *x, *y;
    bson_iter_binary(a, &a_type, &a_size, &x);
    bson_iter_binary(b, &b_type, &b_size, &y);
    if (a_size != b_size)
        return compare_int(a_size, b_size);
    return a_type != b_type ? compare_int(a_type, b_type) : memcmp(x, y, a_size);
}

static int compare_regex(const bson_iter_t *a, const bson_iter_t *b)
{
    const char *a_options, *b_options;
    const char *x = bson_iter_regex(a, &a_options), *y = bson_iter_regex(b, &b_options);
    int order = strcmp(x, y);
    return order != 0 ? order : strcmp(a_options, b_options);
}

static int compare_timestamp(const bson_iter_t *a, const bson_iter_t *b)
{
    uint32_t at, ai, bt, bi;
    bson_iter_timestamp(a, &at, &ai);
    bson_iter_timestamp(b, &bt, &bi);
    return at != bt ? compare_int(at, bt) : compare_int(ai, bi);
}

/* Fields in order: type, then name (documents only), then value. */
static int compare_children(const bson_iter_t *a, const bson_iter_t *b, bool named)
{
    bson_iter_t x, y;
    if (!bson_iter_recurse(a, &x) || !bson_iter_recurse(b, &y))
        return 0;
    while (true) {
        bool more_x = bson_iter_next(&x), more_y = bson_iter_next(&y);
        if (!more_x || !more_y)
            return (int)more_x - (int)more_y;
        int order = compare_int(type_rank(bson_iter_type(&x)), type_rank(bson_iter_type(&y)));
        if (order == 0 && named)
            order = strcmp(bson_iter_key(&x), bson_iter_key(&y));
        if (order == 0)
            order = value_compare(&x, &y);
        if (order != 0)
            return order;
    }
}

/* Deprecated types: equal ones are equal, the order is ours. */
static int compare_other(const bson_iter_t *a, const bson_iter_t *b)
{
    bson_t x = BSON_INITIALIZER, y = BSON_INITIALIZER;
    bson_append_iter(&x, "", 0, a);
    bson_append_iter(&y, "", 0, b);
    int order = compare_bytes(bson_get_data(&x), x.len, bson_get_data(&y), y.len);
    bson_destroy(&x);
    bson_destroy(&y);
    return order;
}

int value_compare(const bson_iter_t *a, const bson_iter_t *b)
{
    int rank = type_rank(bson_iter_type(a));
    if (!value_comparable(a, b))
        return compare_int(rank, type_rank(bson_iter_type(b)));
    switch (rank) {
    case RANK_NUMBER:
        return number_compare(a, b);
    case RANK_STRING:
    case RANK_CODE:
        return compare_string(a, b);
    case RANK_DOCUMENT:
        return compare_children(a, b, true);
    case RANK_ARRAY:
        return compare_children(a, b, false);
    case RANK_BINARY:
        return compare_binary(a, b);
    case RANK_OID:
        return memcmp(bson_iter_oid(a), bson_iter_oid(b), sizeof(bson_oid_t));
    case RANK_BOOL:
        return (int)bson_iter_bool(a) - (int)bson_iter_bool(b);
    case RANK_DATE:
        return compare_int(bson_iter_date_time(a), bson_iter_date_time(b));
    case RANK_TIMESTAMP:
        return compare_timestamp(a, b);
    case RANK_REGEX:
        return compare_regex(a, b);
    case RANK_DBPOINTER:
    case RANK_CODE_WITH_SCOPE:
        return compare_other(a, b);
    default: /* types of one value */
        return 0;
    }
}
