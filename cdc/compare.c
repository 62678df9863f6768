/* SPDX-License-Identifier: Apache-2.0 */
#include "cdc/compare.h"

#include <string.h>

#include "cdc/number.h"

/* MongoDB's order of types. Source: the manual, "Comparison/Sort Order". */
static int type_rank(bson_type_t type)
{
    switch (type) {
    case BSON_TYPE_MINKEY:
        return 1;
    case BSON_TYPE_UNDEFINED:
    case BSON_TYPE_NULL:
        return 2;
    case BSON_TYPE_INT32:
    case BSON_TYPE_INT64:
    case BSON_TYPE_DOUBLE:
    case BSON_TYPE_DECIMAL128:
        return 3;
    case BSON_TYPE_SYMBOL:
    case BSON_TYPE_UTF8:
        return 4;
    case BSON_TYPE_DOCUMENT:
        return 5;
    case BSON_TYPE_ARRAY:
        return 6;
    case BSON_TYPE_BINARY:
        return 7;
    case BSON_TYPE_OID:
        return 8;
    case BSON_TYPE_BOOL:
        return 9;
    case BSON_TYPE_DATE_TIME:
        return 10;
    case BSON_TYPE_TIMESTAMP:
        return 11;
    case BSON_TYPE_REGEX:
        return 12;
    case BSON_TYPE_MAXKEY:
        return 127;
    default:
        return 13;
    }
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

static int compare_string(const bson_iter_t *a, const bson_iter_t *b)
{
    uint32_t a_size = 0, b_size = 0;
    const char *x =
        BSON_ITER_HOLDS_UTF8(a) ? bson_iter_utf8(a, &a_size) : bson_iter_symbol(a, &a_size);
    const char *y =
        BSON_ITER_HOLDS_UTF8(b) ? bson_iter_utf8(b, &b_size) : bson_iter_symbol(b, &b_size);
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
    case 3:
        return number_compare(a, b);
    case 4:
        return compare_string(a, b);
    case 5:
        return compare_children(a, b, true);
    case 6:
        return compare_children(a, b, false);
    case 7:
        return compare_binary(a, b);
    case 8:
        return memcmp(bson_iter_oid(a), bson_iter_oid(b), sizeof(bson_oid_t));
    case 9:
        return (int)bson_iter_bool(a) - (int)bson_iter_bool(b);
    case 10:
        return compare_int(bson_iter_date_time(a), bson_iter_date_time(b));
    case 11:
        return compare_timestamp(a, b);
    case 1:
    case 2:
    case 127:
        return 0;
    default:
        return compare_other(a, b);
    }
}
