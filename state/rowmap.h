/* SPDX-License-Identifier: Apache-2.0 */
/* A sorted map from key to BSON document (a skip list): the rows of a memory ledger. Not
 * thread-safe. Private to state/. */
#pragma once

#include <bson/bson.h>
#include <stddef.h>

#define ROWMAP_LEVELS 20

struct rowmap_node {
    char *key;
    bson_t *doc;
    struct rowmap_node *next[]; /* one per level of this node */
};

struct rowmap {
    struct rowmap_node *first[ROWMAP_LEVELS];
    size_t count;
};

/* NULL when there is none. The document stays the map's. */
const bson_t *rowmap_find(const struct rowmap *map, const char *key);
/* Takes `doc`, replacing what was there. */
void rowmap_put(struct rowmap *map, const char *key, bson_t *doc);
/* Nothing when there is none. */
void rowmap_remove(struct rowmap *map, const char *key);
/* The first node whose key is greater than `key`; go on with next[0]. */
struct rowmap_node *rowmap_after(const struct rowmap *map, const char *key);
void rowmap_clear(struct rowmap *map);
