/* SPDX-License-Identifier: Apache-2.0 */
/* Getters and builders; json_parse.c reads, json_write.c prints. */
#include "base/json.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json_number.h"

bool json_int(const cJSON *node, int64_t *out)
{
    if (cJSON_IsNumber(node)) {
        /* Beyond 2^53 nobody knows which integer the double stood for. */
        double number = node->valuedouble;
        if (!(fabs(number) <= JSON_INTEGER_EXACT_MAX) || floor(number) < number)
            return false;
        *out = (int64_t)number;
        return true;
    }
    if (!cJSON_IsRaw(node) || !node->valuestring)
        return false;
    char *end = NULL;
    errno = 0;
    long long integer = strtoll(node->valuestring, &end, 10);
    if (errno || end == node->valuestring || *end)
        return false;
    *out = integer;
    return true;
}

const cJSON *json_get(const cJSON *object, const char *name)
{
    return cJSON_IsObject(object) ? cJSON_GetObjectItemCaseSensitive(object, name) : NULL;
}

bool json_get_string(const cJSON *object, const char *name, const char **out)
{
    const cJSON *node = json_get(object, name);
    if (!cJSON_IsString(node) || !node->valuestring)
        return false;
    *out = node->valuestring;
    return true;
}

bool json_get_int(const cJSON *object, const char *name, int64_t *out)
{
    return json_int(json_get(object, name), out);
}

bool json_get_double(const cJSON *object, const char *name, double *out)
{
    const cJSON *node = json_get(object, name);
    if (cJSON_IsNumber(node)) {
        *out = node->valuedouble;
        return true;
    }
    if (!cJSON_IsRaw(node) || !node->valuestring)
        return false;
    char *end = NULL;
    double number = strtod(node->valuestring, &end);
    if (end == node->valuestring || *end || !isfinite(number))
        return false;
    *out = number;
    return true;
}

bool json_get_bool(const cJSON *object, const char *name, bool *out)
{
    const cJSON *node = json_get(object, name);
    if (!cJSON_IsBool(node))
        return false;
    *out = cJSON_IsTrue(node);
    return true;
}

static cJSON *must(cJSON *node)
{
    if (!node)
        abort();
    return node;
}

cJSON *json_object(void)
{
    return must(cJSON_CreateObject());
}

cJSON *json_array(void)
{
    return must(cJSON_CreateArray());
}

void json_add(cJSON *object, const char *name, cJSON *item)
{
    if (!cJSON_AddItemToObject(object, name, item))
        abort();
}

void json_append(cJSON *array, cJSON *item)
{
    if (!cJSON_AddItemToArray(array, item))
        abort();
}

void json_add_string(cJSON *object, const char *name, const char *text)
{
    json_add(object, name, must(text ? cJSON_CreateString(text) : cJSON_CreateNull()));
}

void json_add_int(cJSON *object, const char *name, int64_t integer)
{
    double number = (double)integer;
    if (fabs(number) < JSON_INTEGER_EXACT_MAX) {
        json_add(object, name, must(cJSON_CreateNumber(number)));
        return;
    }
    char literal[24];
    snprintf(literal, sizeof literal, "%" PRId64, integer);
    json_add(object, name, must(cJSON_CreateRaw(literal)));
}

void json_add_double(cJSON *object, const char *name, double number)
{
    json_add(object, name,
             must(isfinite(number) ? cJSON_CreateNumber(number) : cJSON_CreateNull()));
}

void json_add_bool(cJSON *object, const char *name, bool flag)
{
    json_add(object, name, must(cJSON_CreateBool(flag)));
}

void json_add_null(cJSON *object, const char *name)
{
    json_add(object, name, must(cJSON_CreateNull()));
}

void json_add_value(cJSON *object, const char *name, const struct value *value)
{
    switch (value->type) {
    case VALUE_NULL:
        json_add_null(object, name);
        break;
    case VALUE_BOOL:
        json_add_bool(object, name, value->as.boolean);
        break;
    case VALUE_INT:
        json_add_int(object, name, value->as.integer);
        break;
    case VALUE_DOUBLE:
        json_add_double(object, name, value->as.number);
        break;
    case VALUE_STRING:
        json_add_string(object, name, value->as.string);
        break;
    }
}
