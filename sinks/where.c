/* SPDX-License-Identifier: Apache-2.0 */
#include "sinks/where.h"

#include <string.h>

#include "base/json.h"

/* --- what may be ---------------------------------------------------------------------------------- */

struct check {
    struct err *err;
    int conditions;
};

static bool is_word(const cJSON *node, const char *word)
{
    return strcmp(node->string, word) == 0;
}

static bool is_one_of(const cJSON *node, const char *const *words)
{
    while (*words && !is_word(node, *words))
        words++;
    return *words != NULL;
}

static bool joins(const cJSON *node)
{
    static const char *const words[] = {"$and", "$or", NULL};
    return is_one_of(node, words);
}

static bool is_list(const cJSON *operation)
{
    static const char *const words[] = {"$in", "$nin", NULL};
    return is_one_of(operation, words);
}

/* A number that a double does not hold is kept as its literal. */
static bool is_number(const cJSON *value)
{
    int64_t integer;
    return cJSON_IsNumber(value) || json_int(value, &integer);
}

static bool is_scalar(const cJSON *value)
{
    return cJSON_IsString(value) || cJSON_IsBool(value) || is_number(value);
}

static bool of_one_type(const cJSON *a, const cJSON *b)
{
    return (cJSON_IsString(a) && cJSON_IsString(b)) || (cJSON_IsBool(a) && cJSON_IsBool(b)) ||
           (is_number(a) && is_number(b));
}

static bool refuse(const struct check *check, const cJSON *node, const char *what)
{
    return err_set(check->err, ERR_REJECT, ERR_CONFIG, 0, "where: %.100s: %s", node->string, what);
}

static bool check_list(const struct check *check, const cJSON *key, const cJSON *list)
{
    const cJSON *value;
    int count = cJSON_IsArray(list) ? cJSON_GetArraySize(list) : 0;
    if (count < 1 || count > WHERE_LIST_MAX)
        return refuse(check, key, "$in and $nin take a list of 1 to 1000 values");
    cJSON_ArrayForEach(value, list)
    {
        if (!is_scalar(value) || !of_one_type(value, list->child))
            return refuse(check, key, "a list holds texts, numbers or bools, all of one type");
    }
    return true;
}

static bool check_operation(struct check *check, const cJSON *key, const cJSON *operation)
{
    static const char *const equal[] = {"$eq", "$ne", NULL};
    static const char *const order[] = {"$gt", "$gte", "$lt", "$lte", NULL};
    if (++check->conditions > WHERE_CONDITIONS_MAX)
        return refuse(check, key, "there are more than 200 conditions");
    if (is_list(operation))
        return check_list(check, key, operation);
    if (is_one_of(operation, equal))
        return is_scalar(operation) ||
               refuse(check, key, "$eq and $ne take a text, a number or a bool");
    if (is_one_of(operation, order))
        return is_number(operation) || refuse(check, key, "$gt $gte $lt $lte take a number");
    return err_set(check->err, ERR_REJECT, ERR_CONFIG, 0,
                   "where: %.100s: unknown operator '%.100s'; there are $eq $ne $gt $gte $lt $lte "
                   "$in $nin",
                   key->string, operation->string);
}

static bool check_key(struct check *check, const cJSON *key)
{
    const cJSON *operation;
    if (key->string[0] == '$' || key->string[0] == '\0')
        return refuse(check, key,
                      "this is no metadata key; of several conditions there are $and $or");
    if (is_scalar(key))
        return ++check->conditions <= WHERE_CONDITIONS_MAX ||
               refuse(check, key, "there are more than 200 conditions");
    if (!cJSON_IsObject(key) || !key->child)
        return refuse(check, key, "must be a text, a number, a bool or {operator: value}");
    cJSON_ArrayForEach(operation, key)
    {
        if (!check_operation(check, key, operation))
            return false;
    }
    return true;
}

/* NOLINTBEGIN(misc-no-recursion): WHERE_DEPTH_MAX */

static bool check_object(struct check *check, const cJSON *object, int depth)
{
    const cJSON *node, *part;
    cJSON_ArrayForEach(node, object)
    {
        if (!joins(node)) {
            if (!check_key(check, node))
                return false;
            continue;
        }
        if (depth == WHERE_DEPTH_MAX)
            return refuse(check, node, "conditions are nested more than 8 deep");
        if (!cJSON_IsArray(node) || !node->child)
            return refuse(check, node, "must be a list of conditions");
        cJSON_ArrayForEach(part, node)
        {
            if (!cJSON_IsObject(part) || !part->child)
                return refuse(check, node, "must be a list of conditions, each an object");
            if (!check_object(check, part, depth + 1))
                return false;
        }
    }
    return true;
}

bool where_check(const cJSON *where, struct err *err)
{
    struct check check = {.err = err};
    if (!cJSON_IsObject(where))
        return err_set(err, ERR_REJECT, ERR_CONFIG, 0, "where: must be a JSON object");
    return check_object(&check, where, 1);
}

/* --- the plainest form ---------------------------------------------------------------------------- */

/* Takes the list: what it holds, joined by `word`; NULL where it is empty. */
static cJSON *join(const char *word, cJSON *list)
{
    int count = cJSON_GetArraySize(list);
    cJSON *joined = count == 1 ? cJSON_DetachItemFromArray(list, 0) : NULL;
    if (count > 1) {
        joined = json_object();
        json_add(joined, word, list);
    } else {
        cJSON_Delete(list);
    }
    return joined;
}

static void add_condition(cJSON *all, const char *key, const char *operation, const cJSON *value)
{
    cJSON *condition = json_object(), *test = json_object();
    json_add(test, operation, cJSON_Duplicate(value, true));
    json_add(condition, key, test);
    json_append(all, condition);
}

static cJSON *plain_part(const cJSON *node)
{
    cJSON *parts = json_array();
    const cJSON *part;
    cJSON_ArrayForEach(part, node) json_append(parts, where_plain(part));
    return join(node->string, parts);
}

cJSON *where_plain(const cJSON *where)
{
    cJSON *all = json_array();
    const cJSON *node, *operation;
    cJSON_ArrayForEach(node, where)
    {
        if (joins(node)) {
            json_append(all, plain_part(node));
        } else if (!cJSON_IsObject(node)) {
            add_condition(all, node->string, "$eq", node);
        } else {
            cJSON_ArrayForEach(operation, node)
                add_condition(all, node->string, operation->string, operation);
        }
    }
    return join("$and", all);
}

/* --- one record ----------------------------------------------------------------------------------- */

static double number_of(const cJSON *value)
{
    int64_t integer;
    return cJSON_IsNumber(value)       ? value->valuedouble
           : json_int(value, &integer) ? (double)integer
                                       : 0;
}

/* -1, 0, 1; *comparable false: they are of different types. */
static int compare(const struct value *held, const cJSON *wanted, bool *comparable)
{
    int64_t integer = 0;
    *comparable = true;
    if (held->type == VALUE_STRING && cJSON_IsString(wanted))
        return strcmp(held->as.string, wanted->valuestring) == 0 ? 0 : 1;
    if (held->type == VALUE_BOOL && cJSON_IsBool(wanted))
        return held->as.boolean == cJSON_IsTrue(wanted) ? 0 : 1;
    if (held->type == VALUE_INT && json_int(wanted, &integer))
        return held->as.integer < integer ? -1 : held->as.integer > integer;
    *comparable = is_number(wanted) && (held->type == VALUE_INT || held->type == VALUE_DOUBLE);
    double number = held->type == VALUE_INT ? (double)held->as.integer : held->as.number;
    if (!*comparable)
        return 1;
    return number < number_of(wanted) ? -1 : number > number_of(wanted);
}

static bool is_among(const struct value *held, const cJSON *list)
{
    const cJSON *value;
    bool comparable;
    cJSON_ArrayForEach(value, list)
    {
        if (compare(held, value, &comparable) == 0)
            return true;
    }
    return false;
}

/* `held` NULL: the record has no such key. */
static bool passes_operation(const struct value *held, const char *operation, const cJSON *wanted)
{
    bool negated = strcmp(operation, "$ne") == 0 || strcmp(operation, "$nin") == 0;
    bool comparable = false;
    if (!held)
        return negated;
    if (strcmp(operation, "$in") == 0 || strcmp(operation, "$nin") == 0)
        return is_among(held, wanted) != negated;
    int order = compare(held, wanted, &comparable);
    if (strcmp(operation, "$eq") == 0 || negated)
        return (order == 0) != negated;
    if (!comparable)
        return false;
    bool or_equal = strlen(operation) == 4; /* $gte, $lte */
    return (or_equal && order == 0) || (operation[1] == 'g' ? order > 0 : order < 0);
}

static bool passes_key(const cJSON *node, const struct field *fields, size_t count)
{
    const struct value *held = NULL;
    const cJSON *operation;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(fields[i].name, node->string) == 0)
            held = &fields[i].value;
    }
    if (!cJSON_IsObject(node))
        return passes_operation(held, "$eq", node);
    cJSON_ArrayForEach(operation, node)
    {
        if (!passes_operation(held, operation->string, operation))
            return false;
    }
    return true;
}

static bool passes_joined(const cJSON *node, const struct field *fields, size_t count)
{
    bool any = is_word(node, "$or");
    const cJSON *part;
    cJSON_ArrayForEach(part, node)
    {
        if (where_passes(part, fields, count) == any)
            return any;
    }
    return !any;
}

bool where_passes(const cJSON *where, const struct field *fields, size_t count)
{
    const cJSON *node;
    cJSON_ArrayForEach(node, where)
    {
        if (joins(node) ? !passes_joined(node, fields, count) : !passes_key(node, fields, count))
            return false;
    }
    return true;
}

/* NOLINTEND(misc-no-recursion) */
