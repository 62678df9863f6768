/* SPDX-License-Identifier: Apache-2.0 */
/* Two things of Chroma's (seen with 1.5.9) are evened out. A list is of whole numbers or of fractions, not both.
 * And a fraction is cut to a whole number before it is compared with those that are stored as such: the record
 * that holds just that number is the one that is judged wrong. */
#include "sinks/chroma_where.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "sinks/where.h"

/* Takes what it is about. */
static cJSON *condition(const char *key, const char *operation, cJSON *value)
{
    cJSON *object = json_object(), *test = json_object();
    json_add(test, operation, value);
    json_add(object, key, test);
    return object;
}

/* Takes both. */
static cJSON *joined(const char *word, cJSON *a, cJSON *b)
{
    cJSON *object = json_object(), *list = json_array();
    json_append(list, a);
    json_append(list, b);
    json_add(object, word, list);
    return object;
}

static cJSON *whole(double number)
{
    cJSON *holder = json_object();
    json_add_int(holder, "", (int64_t)number);
    cJSON *node = cJSON_DetachItemFromObject(holder, "");
    cJSON_Delete(holder);
    return node;
}

/* A number that is stored as a double only. */
static bool is_fraction(const cJSON *value)
{
    int64_t integer;
    return cJSON_IsNumber(value) && !json_int(value, &integer) && fabs(value->valuedouble) < 0x1p62;
}

static bool is(const cJSON *test, const char *operation)
{
    return strcmp(test->string, operation) == 0;
}

/* What holds of the whole number that the fraction is cut to, where Chroma says the opposite. */
enum cut { CUT_IS_RIGHT, CUT_PASSES, CUT_FAILS };

static enum cut judge_cut(const cJSON *test, double fraction)
{
    bool below = trunc(fraction) < fraction;
    if (is(test, "$eq") || (is(test, "$gte") && below) || (is(test, "$lte") && !below))
        return CUT_FAILS;
    if (is(test, "$ne") || (is(test, "$lt") && below) || (is(test, "$gt") && !below))
        return CUT_PASSES;
    return CUT_IS_RIGHT;
}

static cJSON *compare(const char *key, const cJSON *test)
{
    double number = test->valuedouble;
    cJSON *plain = condition(key, test->string, cJSON_Duplicate(test, true));
    if (!is_fraction(test))
        return plain;
    switch (judge_cut(test, number)) {
    case CUT_PASSES:
        return joined("$or", plain, condition(key, "$eq", whole(trunc(number))));
    case CUT_FAILS:
        return joined("$and", plain, condition(key, "$ne", whole(trunc(number))));
    case CUT_IS_RIGHT:
        break;
    }
    return plain;
}

static cJSON *compare_list(const char *key, const cJSON *list)
{
    cJSON *others = json_array(), *fractions = json_array(), *cuts = json_array();
    bool among = is(list, "$in");
    const cJSON *value;
    cJSON_ArrayForEach(value, list)
    {
        bool fraction = is_fraction(value);
        json_append(fraction ? fractions : others, cJSON_Duplicate(value, true));
        if (fraction)
            json_append(cuts, whole(trunc(value->valuedouble)));
    }
    if (!fractions->child) {
        cJSON_Delete(fractions);
        cJSON_Delete(cuts);
        return condition(key, list->string, others);
    }
    cJSON *cut = joined(among ? "$and" : "$or", condition(key, list->string, fractions),
                        condition(key, among ? "$nin" : "$in", cuts));
    if (others->child)
        return joined(among ? "$or" : "$and", cut, condition(key, list->string, others));
    cJSON_Delete(others);
    return cut;
}

/* NOLINTNEXTLINE(misc-no-recursion): WHERE_DEPTH_MAX */
static cJSON *translate(const cJSON *plain)
{
    const cJSON *node = plain->child, *part;
    if (cJSON_IsObject(node))
        return cJSON_IsArray(node->child) ? compare_list(node->string, node->child)
                                          : compare(node->string, node->child);
    cJSON *object = json_object(), *list = json_array();
    cJSON_ArrayForEach(part, node) json_append(list, translate(part));
    json_add(object, node->string, list);
    return object;
}

cJSON *chroma_where(const cJSON *where)
{
    CLEANUP(cJSON_Deletep) cJSON *plain = where_plain(where);
    return plain ? translate(plain) : NULL;
}
