/* SPDX-License-Identifier: Apache-2.0 */
/* One YAML document as a tree of nodes that know their line and their path.
 *
 * Over libyaml. JSON is read the same way. ${NAME} is replaced in every value. Anchors, aliases,
 * tags and a second document are refused. The tree belongs to the arena.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "agent/config/config_report.h"
#include "base/arena.h"
#include "base/attr.h"

/* How deep values may lie in one another. */
#define CONFIG_MAX_DEPTH 32
/* Of one key, in bytes. */
#define CONFIG_MAX_KEY ((size_t)255)
/* Of the tree, in bytes. */
#define CONFIG_MAX_TREE (32 * MIB)

enum config_node_type { NODE_SCALAR, NODE_LIST, NODE_MAP };

struct config_node {
    enum config_node_type type;
    unsigned line;
    const char *path; /* "families.docs.text[0]"; "" for the root */
    const char *key;  /* of a member of a map; NULL otherwise */
    const char *text; /* of a scalar; environment replaced */
    bool quoted;
    bool replaced;             /* part of the text came from the environment: it is never shown */
    bool bad;                  /* a mistake was noted: nothing more is said about it */
    struct config_node *first; /* of a list or map */
    struct config_node *next;
    size_t count;
};

/* NULL after a mistake that leaves no tree. An empty text gives an empty map. */
struct config_node *config_yaml_parse(struct config_report *report, const char *text, size_t size)
    MUST_USE;

/* The node below `map` at a dotted path of keys; NULL when there is none. */
struct config_node *config_node_at(struct config_node *map, const char *path);

/* A scalar without quotes that means null. */
bool config_node_is_null(const struct config_node *node);
/* There, and not null. */
bool config_node_given(const struct config_node *node);

/* Notes a mistake about the node and marks it bad. */
void config_node_mistake(struct config_report *report, struct config_node *node, const char *format,
                         ...) PRINTF_LIKE(3, 4);

/* "a map", "a list", "a string"... for messages. */
const char *config_node_what(const struct config_node *node);
