/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/config/config_filter.h"

#include <bson/bson.h>
#include <inttypes.h>
#include <string.h>

#include "agent/config/config_options.h"
#include "agent/config/config_slot.h"
#include "agent/config/config_values.h"
#include "base/json.h"
#include "base/limits.h"

#define JOINERS "$and|$or"
#define LISTS "$in|$nin"
#define OPERATORS "$eq|$ne|$in|$nin|$gt|$gte|$lt|$lte|$exists|$not"
#define ALL_OPERATORS "$eq $ne $in $nin $gt $gte $lt $lte $exists $and $or $not"
#define WRAPPERS                                                                                   \
    "$oid|$date|$numberLong|$numberInt|$numberDouble|$numberDecimal|$binary|$regularExpression"
/* Extended JSON wants these as strings, whatever they look like. */
#define WRAPPERS_OF_STRINGS "$oid|$numberLong|$numberInt|$numberDouble|$numberDecimal"

/* Of one filter as JSON. */
#define FILTER_SIZE (2 * LIMIT_CONFIG_FILE_SIZE)

static bool is_operator(const struct config_node *node, const char *choices)
{
    return config_choice_find(choices, node->key) >= 0;
}

static void unknown_operator(struct config_report *report, struct config_node *node)
{
    config_node_mistake(report, node, "unknown operator; there are " ALL_OPERATORS);
}

static bool begins_with_dollar(const struct config_node *map)
{
    return map->type == NODE_MAP && map->first && map->first->key[0] == '$';
}

static void check_wrapper(struct config_report *report, struct config_node *map)
{
    struct config_node *inner = map->first;
    if (strcmp(inner->key, "$regularExpression") == 0)
        config_node_mistake(report, inner, "regular expressions are not part of the filter");
    else if (!is_operator(inner, WRAPPERS))
        unknown_operator(report, inner);
    else if (map->count != 1)
        config_node_mistake(report, map, "%s must stand alone", inner->key);
    else if (inner->type == NODE_LIST || config_node_is_null(inner))
        config_node_mistake(report, inner, "must be a value, is %s", config_node_what(inner));
}

/* A value to compare with: a scalar, a list, a sub-document, or an extended JSON value. */
static void check_operand(struct config_report *report, struct config_node *node)
{
    if (node->type == NODE_SCALAR)
        return;
    if (begins_with_dollar(node)) {
        check_wrapper(report, node);
        return;
    }
    for (struct config_node *child = node->first; child; child = child->next) {
        if (child->key && child->key[0] == '$')
            unknown_operator(report, child);
        else
            check_operand(report, child);
    }
}

static void check_operators(struct config_report *report, struct config_node *map);

static void check_operator(struct config_report *report, struct config_node *node)
{
    if (!is_operator(node, OPERATORS)) {
        unknown_operator(report, node);
    } else if (is_operator(node, LISTS) && node->type != NODE_LIST) {
        config_node_mistake(report, node, "must be a list, is %s", config_node_what(node));
    } else if (strcmp(node->key, "$exists") == 0) {
        bool flag = false;
        if (node->type != NODE_SCALAR || node->quoted || !config_value_bool(node->text, &flag))
            config_node_mistake(report, node, "must be true or false");
    } else if (strcmp(node->key, "$not") == 0) {
        if (begins_with_dollar(node) && !is_operator(node->first, WRAPPERS))
            check_operators(report, node);
        else
            config_node_mistake(report, node, "must be a map of operators, as in {$gt: 5}");
    } else {
        check_operand(report, node);
    }
}

static void check_operators(struct config_report *report, struct config_node *map)
{
    for (struct config_node *child = map->first; child; child = child->next) {
        if (child->key[0] != '$')
            config_node_mistake(report, child, "stands among operators, but is none");
        else
            check_operator(report, child);
    }
}

static void check_condition(struct config_report *report, struct config_node *node)
{
    if (begins_with_dollar(node) && !is_operator(node->first, WRAPPERS))
        check_operators(report, node);
    else
        check_operand(report, node);
}

static void check_filter(struct config_report *report, struct config_node *node);

static void check_joiner(struct config_report *report, struct config_node *node)
{
    if (!is_operator(node, JOINERS)) {
        if (is_operator(node, OPERATORS))
            config_node_mistake(report, node, "stands below a field, as in {field: {%s: ...}}",
                                node->key);
        else
            unknown_operator(report, node);
        return;
    }
    if (node->type != NODE_LIST || !node->first) {
        config_node_mistake(report, node, "must be a list of filters");
        return;
    }
    for (struct config_node *item = node->first; item; item = item->next)
        check_filter(report, item);
}

static void check_filter(struct config_report *report, struct config_node *node)
{
    if (node->type != NODE_MAP) {
        config_node_mistake(report, node, "must be a map, is %s", config_node_what(node));
        return;
    }
    for (struct config_node *child = node->first; child; child = child->next) {
        if (child->key[0] == '$')
            check_joiner(report, child);
        else if (!config_value_is_field(child->key))
            config_node_mistake(report, child, "is not a field, or a dotted path to one");
        else
            check_condition(report, child);
    }
}

const char *config_filter_text(struct config_report *report, struct config_node *node)
{
    size_t before = report->count;
    check_filter(report, node);
    CLEANUP(buf_fini) struct buf text = BUF_INIT(FILTER_SIZE);
    if (report->count != before || !config_node_json(report, node, &text))
        return NULL;
    bson_t *bson = NULL;
    if (!text.overflow)
        bson = bson_new_from_json((const uint8_t *)buf_str(&text), (ssize_t)text.size, NULL);
    if (!bson) {
        config_node_mistake(report, node, "is not valid extended JSON");
        return NULL;
    }
    bson_destroy(bson);
    return arena_strdup(report->arena, buf_str(&text));
}

static bool write_number(struct config_report *report, struct config_node *node, struct buf *out)
{
    int64_t integer = 0;
    double number = 0;
    if (config_value_kind(node->text) == KIND_INT) {
        if (config_value_int(node->text, &integer)) {
            buf_printf(out, "%" PRId64, integer);
            return true;
        }
        config_node_mistake(report, node, "does not fit into 64 bits");
        return false;
    }
    if (config_value_number(node->text, &number)) {
        struct value value = {.type = VALUE_DOUBLE, .as.number = number};
        size_t start = out->size;
        json_write_value(out, &value);
        /* 1.0 stays a double. */
        if (!strpbrk(buf_str(out) + start, ".eE"))
            buf_puts(out, ".0");
        return true;
    }
    config_node_mistake(report, node, "must be a finite number");
    return false;
}

static bool write_scalar(struct config_report *report, struct config_node *node, struct buf *out)
{
    bool flag = false;
    bool string = node->key && is_operator(node, WRAPPERS_OF_STRINGS);
    enum config_kind kind = KIND_TEXT;
    if (!string && (!node->quoted || node->replaced))
        kind = config_value_kind(node->text);
    switch (kind) {
    case KIND_NULL:
        buf_puts(out, "null");
        return true;
    case KIND_BOOL:
        buf_puts(out, config_value_bool(node->text, &flag) && flag ? "true" : "false");
        return true;
    case KIND_INT:
    case KIND_FLOAT:
        return write_number(report, node, out);
    case KIND_TEXT:
        break;
    }
    json_write_string(out, node->text, strlen(node->text));
    return true;
}

bool config_node_json(struct config_report *report, struct config_node *node, struct buf *out)
{
    if (node->bad)
        return false;
    if (node->type == NODE_SCALAR)
        return write_scalar(report, node, out);
    bool ok = true;
    buf_putc(out, node->type == NODE_MAP ? '{' : '[');
    for (struct config_node *child = node->first; child; child = child->next) {
        if (child != node->first)
            buf_putc(out, ',');
        if (child->key) {
            json_write_string(out, child->key, strlen(child->key));
            buf_putc(out, ':');
        }
        ok = config_node_json(report, child, out) && ok;
    }
    buf_putc(out, node->type == NODE_MAP ? '}' : ']');
    return ok;
}
