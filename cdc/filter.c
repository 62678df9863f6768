/* SPDX-License-Identifier: Apache-2.0 */
#include "cdc/filter.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cdc/compare.h"
#include "cdc/path.h"

#define MAX_DEPTH 32

enum test { TEST_EQ, TEST_IN, TEST_GT, TEST_GTE, TEST_LT, TEST_LTE, TEST_EXISTS };
enum node_kind { NODE_AND, NODE_OR, NODE_NOT, NODE_TEST };

struct node {
    enum node_kind kind;
    struct node **children; /* AND, OR, NOT */
    size_t count;
    enum test test; /* TEST */
    char *path;
    bson_iter_t operand; /* into the filter's document */
};

struct filter {
    bson_t *document; /* NULL: everything matches */
    struct node *root;
};

static struct node *node_new(enum node_kind kind)
{
    /* libbson aligns its iterators more than calloc() does */
    struct node *node = aligned_alloc(_Alignof(struct node), sizeof *node);
    memset(node, 0, sizeof *node);
    node->kind = kind;
    return node;
}

static void node_free(struct node *node)
{
    if (!node)
        return;
    for (size_t i = 0; i < node->count; i++)
        node_free(node->children[i]);
    free(node->children);
    free(node->path);
    free(node);
}
DEFINE_FREEP(struct node, node_free)

static void node_add(struct node *parent, struct node *child)
{
    parent->children = realloc(parent->children, (parent->count + 1) * sizeof *parent->children);
    parent->children[parent->count++] = child;
}

static struct node *node_negated(struct node *child)
{
    struct node *node = node_new(NODE_NOT);
    node_add(node, child);
    return node;
}

static bool refuse(struct err *err, const char *what, const char *name)
{
    return err_set(err, ERR_REJECT, ERR_CONFIG, 0, "filter: %s '%s'", what, name);
}

struct comparison {
    const char *name;
    enum test test;
    bool negated;
};

static const struct comparison comparisons[] = {
    {"$eq", TEST_EQ, false}, {"$ne", TEST_EQ, true},    {"$in", TEST_IN, false},
    {"$nin", TEST_IN, true}, {"$gt", TEST_GT, false},   {"$gte", TEST_GTE, false},
    {"$lt", TEST_LT, false}, {"$lte", TEST_LTE, false}, {"$exists", TEST_EXISTS, false},
};

static const struct comparison *comparison_of(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(comparisons); i++) {
        if (strcmp(comparisons[i].name, name) == 0)
            return &comparisons[i];
    }
    return NULL;
}

/* The server takes a regular expression for a search, and refuses to compare with undefined. */
static bool is_value(const bson_iter_t *operand)
{
    return !BSON_ITER_HOLDS_REGEX(operand) && !BSON_ITER_HOLDS_UNDEFINED(operand);
}

static bool holds_operators(const bson_iter_t *value, bson_iter_t *ops);

static bool check_operand(const struct comparison *op, const bson_iter_t *operand, struct err *err)
{
    bson_iter_t element, ops;
    if (!is_value(operand))
        return refuse(err, "a regular expression or undefined is no value for", op->name);
    if (op->test != TEST_IN)
        return true;
    if (!BSON_ITER_HOLDS_ARRAY(operand) || !bson_iter_recurse(operand, &element))
        return refuse(err, "a list is needed for", op->name);
    while (bson_iter_next(&element)) {
        if (!is_value(&element) || holds_operators(&element, &ops))
            return refuse(err, "only values may stand in the list of", op->name);
    }
    return true;
}

static struct node *test_new(const char *path, enum test test, const bson_iter_t *operand)
{
    struct node *node = node_new(NODE_TEST);
    node->test = test;
    node->path = strdup(path);
    node->operand = *operand;
    return node;
}

static bool compile_operators(const char *path, bson_iter_t *ops, struct node *parent, int depth,
                              struct err *err);

static bool compile_not(const char *path, const bson_iter_t *value, struct node *parent, int depth,
                        struct err *err)
{
    bson_iter_t inner;
    if (!BSON_ITER_HOLDS_DOCUMENT(value) || !bson_iter_recurse(value, &inner))
        return refuse(err, "$not needs operators, at", path);
    CLEANUP(node_freep) struct node *both = node_new(NODE_AND);
    if (!compile_operators(path, &inner, both, depth + 1, err))
        return false;
    if (both->count == 0)
        return refuse(err, "$not needs operators, at", path);
    node_add(parent, node_negated(TAKE(both)));
    return true;
}

static bool compile_operators(const char *path, bson_iter_t *ops, struct node *parent, int depth,
                              struct err *err)
{
    if (depth > MAX_DEPTH)
        return refuse(err, "nested too deeply at", path);
    while (bson_iter_next(ops)) {
        const char *name = bson_iter_key(ops);
        if (strcmp(name, "$not") == 0) {
            if (!compile_not(path, ops, parent, depth, err))
                return false;
            continue;
        }
        const struct comparison *op = comparison_of(name);
        if (!op)
            return refuse(err, "unknown operator", name);
        if (!check_operand(op, ops, err))
            return false;
        struct node *test = test_new(path, op->test, ops);
        node_add(parent, op->negated ? node_negated(test) : test);
    }
    return true;
}

static bool compile_document(bson_iter_t *fields, struct node *parent, int depth, struct err *err);

static bool compile_list(const bson_iter_t *list, struct node *parent, int depth, struct err *err)
{
    const char *name = bson_iter_key(list);
    bson_iter_t element, fields;
    if (!BSON_ITER_HOLDS_ARRAY(list) || !bson_iter_recurse(list, &element))
        return refuse(err, "a list is needed for", name);
    CLEANUP(node_freep) struct node *node = node_new(strcmp(name, "$or") == 0 ? NODE_OR : NODE_AND);
    while (bson_iter_next(&element)) {
        if (!BSON_ITER_HOLDS_DOCUMENT(&element) || !bson_iter_recurse(&element, &fields))
            return refuse(err, "each element must be a filter in", name);
        struct node *all = node_new(NODE_AND);
        node_add(node, all);
        if (!compile_document(&fields, all, depth + 1, err))
            return false;
    }
    if (node->count == 0)
        return refuse(err, "an empty list for", name);
    node_add(parent, TAKE(node));
    return true;
}

/* {a: {$gt: 1}} holds operators, {a: {b: 1}} is a value to be equal to. */
static bool holds_operators(const bson_iter_t *value, bson_iter_t *ops)
{
    bson_iter_t first;
    return BSON_ITER_HOLDS_DOCUMENT(value) && bson_iter_recurse(value, ops) &&
           bson_iter_recurse(value, &first) && bson_iter_next(&first) &&
           bson_iter_key(&first)[0] == '$';
}

static bool compile_document(bson_iter_t *fields, struct node *parent, int depth, struct err *err)
{
    if (depth > MAX_DEPTH)
        return refuse(err, "nested too deeply at", "$and/$or");
    while (bson_iter_next(fields)) {
        const char *name = bson_iter_key(fields);
        bson_iter_t ops;
        if (strcmp(name, "$and") == 0 || strcmp(name, "$or") == 0) {
            if (!compile_list(fields, parent, depth, err))
                return false;
        } else if (name[0] == '$') {
            return refuse(err, "unknown operator", name);
        } else if (holds_operators(fields, &ops)) {
            if (!compile_operators(name, &ops, parent, depth, err))
                return false;
        } else if (!is_value(fields)) {
            return refuse(err, "a regular expression or undefined is no value for", name);
        } else {
            node_add(parent, test_new(name, TEST_EQ, fields));
        }
    }
    return true;
}

bool filter_compile(const char *json, struct filter **out, struct err *err)
{
    CLEANUP(filter_freep) struct filter *filter = calloc(1, sizeof *filter);
    filter->root = node_new(NODE_AND);
    if (json) {
        bson_error_t error;
        filter->document = bson_new_from_json((const uint8_t *)json, (ssize_t)strlen(json), &error);
        if (!filter->document)
            return err_set(err, ERR_REJECT, ERR_CONFIG, 0, "filter: %s", error.message);
        bson_iter_t fields;
        if (bson_iter_init(&fields, filter->document) &&
            !compile_document(&fields, filter->root, 0, err))
            return false;
    }
    *out = TAKE(filter);
    return true;
}

void filter_free(struct filter *filter)
{
    if (!filter)
        return;
    node_free(filter->root);
    bson_destroy(filter->document);
    free(filter);
}

static bool is_nan(const bson_iter_t *iter)
{
    if (BSON_ITER_HOLDS_DOUBLE(iter))
        return isnan(bson_iter_double(iter));
    bson_decimal128_t decimal;
    if (!BSON_ITER_HOLDS_DECIMAL128(iter) || !bson_iter_decimal128(iter, &decimal))
        return false;
    char text[BSON_DECIMAL128_STRING];
    bson_decimal128_to_string(&decimal, text);
    return strstr(text, "NaN") != NULL;
}

static bool order_matches(enum test test, int order)
{
    switch (test) {
    case TEST_GT:
        return order > 0;
    case TEST_GTE:
        return order >= 0;
    case TEST_LT:
        return order < 0;
    case TEST_LTE:
        return order <= 0;
    default:
        return order == 0;
    }
}

/* Values of different types match no comparison, with exceptions: nothing (NULL, undefined) is as
 * null, and MinKey and MaxKey compare with everything. */
static bool other_type_matches(enum test test, const bson_iter_t *value, const bson_iter_t *operand)
{
    bool nothing = !value || BSON_ITER_HOLDS_UNDEFINED(value);
    if (nothing && BSON_ITER_HOLDS_NULL(operand))
        return order_matches(test, 0);
    if (BSON_ITER_HOLDS_MINKEY(operand))
        return order_matches(test, 1);
    return BSON_ITER_HOLDS_MAXKEY(operand) && order_matches(test, -1);
}

static bool compare_matches(enum test test, const bson_iter_t *value, const bson_iter_t *operand)
{
    if (!value || !value_comparable(value, operand))
        return other_type_matches(test, value, operand);
    /* NaN equals itself, and is neither above nor below any other number */
    if (test != TEST_EQ && (is_nan(value) || is_nan(operand)))
        return is_nan(value) && is_nan(operand) && order_matches(test, 0);
    return order_matches(test, value_compare(value, operand));
}

static bool value_matches(const struct node *node, const bson_iter_t *value)
{
    if (node->test == TEST_EXISTS)
        return value != NULL;
    if (node->test != TEST_IN)
        return compare_matches(node->test, value, &node->operand);
    bson_iter_t element;
    if (!bson_iter_recurse(&node->operand, &element))
        return false;
    while (bson_iter_next(&element)) {
        if (compare_matches(TEST_EQ, value, &element))
            return true;
    }
    return false;
}

static bool probe_value(const bson_iter_t *value, void *context)
{
    return !value_matches(context, value);
}

/* True when any of the values at the path matches. */
static bool test_matches(struct node *node, const bson_t *doc)
{
    bool matched = !path_each(doc, node->path, probe_value, node);
    if (node->test == TEST_EXISTS)
        return matched == bson_iter_as_bool(&node->operand);
    return matched;
}

static bool node_matches(struct node *node, const bson_t *doc)
{
    switch (node->kind) {
    case NODE_TEST:
        return test_matches(node, doc);
    case NODE_NOT:
        return !node_matches(node->children[0], doc);
    case NODE_OR:
        for (size_t i = 0; i < node->count; i++) {
            if (node_matches(node->children[i], doc))
                return true;
        }
        return false;
    default:
        for (size_t i = 0; i < node->count; i++) {
            if (!node_matches(node->children[i], doc))
                return false;
        }
        return true;
    }
}

bool filter_matches(const struct filter *filter, const bson_t *doc)
{
    return node_matches(filter->root, doc);
}

const bson_t *filter_document(const struct filter *filter)
{
    return filter->document;
}

static void node_paths(const struct node *node, filter_visit_path *visit, void *context)
{
    if (node->kind == NODE_TEST)
        visit(node->path, context);
    for (size_t i = 0; i < node->count; i++)
        node_paths(node->children[i], visit, context);
}

void filter_paths(const struct filter *filter, filter_visit_path *visit, void *context)
{
    node_paths(filter->root, visit, context);
}
