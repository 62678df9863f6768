/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "agent/stats.h"
#include "cdc/item.h"

#define FIELD_SIZE 48

const char *const source_op_names[SOURCE_OP_COUNT] = {
    [SOURCE_OP_INSERT] = "insert", [SOURCE_OP_UPDATE] = "update", [SOURCE_OP_REPLACE] = "replace",
    [SOURCE_OP_DELETE] = "delete", [SOURCE_OP_DROP] = "drop",     [SOURCE_OP_RENAME] = "rename",
    [SOURCE_OP_OTHER] = "other",
};

enum source_op source_op_of(const char *type)
{
    if (type && strcmp(type, "dropDatabase") == 0)
        return SOURCE_OP_DROP;
    for (int op = 0; type && op < SOURCE_OP_OTHER; op++) {
        if (strcmp(type, source_op_names[op]) == 0)
            return (enum source_op)op;
    }
    return SOURCE_OP_OTHER;
}

/* One number of the counts, and the field it is kept in. */
struct place {
    int64_t *number;
    char field[FIELD_SIZE];
};

#define PLACES (SOURCE_OP_COUNT + SOURCE_ITEM_OPS + 1)

static void places_of(struct source_counts *counts, struct place places[static PLACES])
{
    size_t at = 0;
    for (int op = 0; op < SOURCE_OP_COUNT; op++) {
        places[at].number = &counts->events[op];
        snprintf(places[at++].field, FIELD_SIZE, "events_%s", source_op_names[op]);
    }
    for (int op = 0; op < SOURCE_ITEM_OPS; op++) {
        places[at].number = &counts->items[op];
        snprintf(places[at++].field, FIELD_SIZE, "items_%s", item_op_name((enum item_op)op));
    }
    places[at].number = &counts->documents;
    snprintf(places[at].field, FIELD_SIZE, "snapshot_documents");
}

void source_counts_add(struct source_counts *sum, const struct source_counts *more)
{
    struct source_counts added = *more;
    struct place to[PLACES], from[PLACES];
    places_of(sum, to);
    places_of(&added, from);
    for (size_t i = 0; i < PLACES; i++)
        *to[i].number += *from[i].number;
}

bool source_counts_any(const struct source_counts *counts)
{
    static const struct source_counts none;
    return memcmp(counts, &none, sizeof none) != 0;
}

static struct doc_ref ref_of(const char *name, const char *family, char *id, size_t size)
{
    snprintf(id, size, "%s/%s/source", name, family);
    return (struct doc_ref){.collection = "stats", .id = id, .counter = "rev"};
}

bool stats_add_source(struct docstore *docs, const char *name, const char *family,
                      const struct source_counts *delta, struct err *err)
{
    char id[512];
    struct doc_ref ref = ref_of(name, family, id, sizeof id);
    struct source_counts counts = *delta;
    struct place places[PLACES];
    bson_t add = BSON_INITIALIZER;
    places_of(&counts, places);
    for (size_t i = 0; i < PLACES; i++) {
        if (*places[i].number != 0)
            bson_append_int64(&add, places[i].field, -1, *places[i].number);
    }
    bool ok = bson_empty(&add) || docstore_note(docs, &ref, NULL, &add, err);
    bson_destroy(&add);
    return ok;
}

bool stats_load_source(struct docstore *docs, const char *name, const char *family,
                       struct source_counts *out, struct err *err)
{
    char id[512];
    struct doc_ref ref = ref_of(name, family, id, sizeof id);
    struct place places[PLACES];
    bson_t *doc = NULL;
    *out = (struct source_counts){0};
    if (!docstore_load(docs, &ref, &doc, NULL, err))
        return false;
    places_of(out, places);
    for (size_t i = 0; doc && i < PLACES; i++) {
        bson_iter_t iter;
        if (bson_iter_init_find(&iter, doc, places[i].field))
            *places[i].number = bson_iter_as_int64(&iter);
    }
    bson_destroy(doc);
    return true;
}

bool stats_remove_source(struct docstore *docs, const char *name, const char *family,
                         struct err *err)
{
    char id[512];
    struct doc_ref ref = ref_of(name, family, id, sizeof id);
    return docstore_remove(docs, &ref, err);
}
