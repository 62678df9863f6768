/* SPDX-License-Identifier: Apache-2.0 */
#include "state/rowmap.h"

#include <string.h>

#include "base/clock.h"

/* Fills at[level] with the link behind which `key` belongs on that level. */
static void locate(struct rowmap *map, const char *key, struct rowmap_node **at[ROWMAP_LEVELS])
{
    struct rowmap_node **links = map->first;
    for (int level = ROWMAP_LEVELS - 1; level >= 0; level--) {
        while (links[level] && strcmp(links[level]->key, key) < 0)
            links = links[level]->next;
        at[level] = &links[level];
    }
}

static int random_levels(void)
{
    uint64_t bits = random_u64();
    int levels = 1;
    while (levels < ROWMAP_LEVELS && (bits & 1)) {
        levels++;
        bits >>= 1;
    }
    return levels;
}

struct rowmap_node *rowmap_after(const struct rowmap *map, const char *key)
{
    struct rowmap_node *const *links = map->first;
    for (int level = ROWMAP_LEVELS - 1; level >= 0; level--)
        while (links[level] && strcmp(links[level]->key, key) <= 0)
            links = links[level]->next;
    return links[0];
}

const bson_t *rowmap_find(const struct rowmap *map, const char *key)
{
    struct rowmap_node *const *links = map->first;
    for (int level = ROWMAP_LEVELS - 1; level >= 0; level--)
        while (links[level] && strcmp(links[level]->key, key) < 0)
            links = links[level]->next;
    return links[0] && strcmp(links[0]->key, key) == 0 ? links[0]->doc : NULL;
}

void rowmap_put(struct rowmap *map, const char *key, bson_t *doc)
{
    struct rowmap_node **at[ROWMAP_LEVELS];
    locate(map, key, at);
    struct rowmap_node *node = *at[0];
    if (node && strcmp(node->key, key) == 0) {
        bson_destroy(node->doc);
        node->doc = doc;
        return;
    }
    int levels = random_levels();
    node = bson_malloc0(sizeof(*node) + (size_t)levels * sizeof(struct rowmap_node *));
    node->key = bson_strdup(key);
    node->doc = doc;
    for (int level = 0; level < levels; level++) {
        node->next[level] = *at[level];
        *at[level] = node;
    }
    map->count++;
}

void rowmap_remove(struct rowmap *map, const char *key)
{
    struct rowmap_node **at[ROWMAP_LEVELS];
    locate(map, key, at);
    struct rowmap_node *node = *at[0];
    if (!node || strcmp(node->key, key) != 0)
        return;
    for (int level = 0; level < ROWMAP_LEVELS && *at[level] == node; level++)
        *at[level] = node->next[level];
    bson_free(node->key);
    bson_destroy(node->doc);
    bson_free(node);
    map->count--;
}

void rowmap_clear(struct rowmap *map)
{
    struct rowmap_node *node = map->first[0];
    while (node) {
        struct rowmap_node *next = node->next[0];
        bson_free(node->key);
        bson_destroy(node->doc);
        bson_free(node);
        node = next;
    }
    *map = (struct rowmap){0};
}
