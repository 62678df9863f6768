/* SPDX-License-Identifier: Apache-2.0 */
/* Documents in this process only: for tests, and the model of what the other back end does. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "base/clock.h"
#include "state/doc.h"
#include "state/docstore_ops.h"

struct entry {
    char *place; /* "<database>/<collection>", "/<collection>" in the state database */
    char *id;
    bson_t *doc;
};

struct docstore_memory {
    struct docstore base;
    pthread_mutex_t mutex;
    struct entry *entries; /* a handful: searched one by one */
    size_t count;
};

static struct docstore_memory *docstore_memory_lock(struct docstore *store)
{
    struct docstore_memory *self = (struct docstore_memory *)store;
    pthread_mutex_lock(&self->mutex);
    return self;
}

static void docstore_memory_unlock(struct docstore_memory *self)
{
    pthread_mutex_unlock(&self->mutex);
}

static char *place_of(const char *database, const char *collection)
{
    return bson_strdup_printf("%s/%s", database ? database : "", collection);
}

static struct entry *docstore_memory_find(struct docstore_memory *self, const struct doc_ref *ref)
{
    char *place = place_of(ref->database, ref->collection);
    struct entry *found = NULL;
    for (size_t i = 0; i < self->count && !found; i++) {
        struct entry *entry = &self->entries[i];
        if (strcmp(entry->place, place) == 0 && strcmp(entry->id, ref->id) == 0)
            found = entry;
    }
    bson_free(place);
    return found;
}

static void docstore_memory_put(struct docstore_memory *self, const struct doc_ref *ref,
                                const bson_t *doc)
{
    struct entry *entry = docstore_memory_find(self, ref);
    if (!entry) {
        self->entries = bson_realloc(self->entries, (self->count + 1) * sizeof(*self->entries));
        entry = &self->entries[self->count++];
        *entry = (struct entry){.place = place_of(ref->database, ref->collection),
                                .id = bson_strdup(ref->id)};
    }
    bson_destroy(entry->doc);
    entry->doc = bson_copy(doc);
}

static bool docstore_memory_load(struct docstore *store, const struct doc_ref *ref, bson_t **doc,
                                 int64_t *now_ms, struct err *err)
{
    (void)err;
    struct docstore_memory *self = docstore_memory_lock(store);
    struct entry *entry = docstore_memory_find(self, ref);
    *doc = entry ? bson_copy(entry->doc) : NULL;
    if (now_ms)
        *now_ms = clock_wall_ms();
    docstore_memory_unlock(self);
    return true;
}

static bool docstore_memory_swap(struct docstore *store, const struct docstore_write *write,
                                 enum doc_swap *outcome, struct err *err)
{
    (void)err;
    struct docstore_memory *self = docstore_memory_lock(store);
    struct entry *entry = docstore_memory_find(self, write->ref);
    int64_t stored = entry ? doc_counter(entry->doc, write->ref->counter) : 0;
    *outcome = stored == write->expected ? DOC_WON : DOC_LOST;
    if (*outcome == DOC_WON)
        docstore_memory_put(self, write->ref, write->doc);
    docstore_memory_unlock(self);
    return true;
}

static int by_id(const void *a, const void *b)
{
    const bson_t *const *left = a;
    const bson_t *const *right = b;
    bson_iter_t l;
    bson_iter_t r;
    if (!bson_iter_init_find(&l, *left, "_id") || !bson_iter_init_find(&r, *right, "_id"))
        return 0;
    return strcmp(bson_iter_utf8(&l, NULL), bson_iter_utf8(&r, NULL));
}

static bool docstore_memory_list(struct docstore *store, const char *collection, const char *prefix,
                                 bson_t ***docs, size_t *count, struct err *err)
{
    (void)err;
    struct docstore_memory *self = docstore_memory_lock(store);
    char *place = place_of(NULL, collection);
    for (size_t i = 0; i < self->count; i++) {
        const struct entry *entry = &self->entries[i];
        if (strcmp(entry->place, place) == 0 && strncmp(entry->id, prefix, strlen(prefix)) == 0)
            docstore_list_add(docs, count, entry->doc);
    }
    if (*count > 0)
        qsort(*docs, *count, sizeof(**docs), by_id);
    bson_free(place);
    docstore_memory_unlock(self);
    return true;
}

static bool docstore_memory_remove(struct docstore *store, const struct doc_ref *ref,
                                   struct err *err)
{
    (void)err;
    struct docstore_memory *self = docstore_memory_lock(store);
    struct entry *entry = docstore_memory_find(self, ref);
    if (entry) {
        bson_free(entry->place);
        bson_free(entry->id);
        bson_destroy(entry->doc);
        *entry = self->entries[--self->count];
    }
    docstore_memory_unlock(self);
    return true;
}

/* Appends `addend` plus the number of that name in `old`, of the wider of the two types. */
static void append_sum(bson_t *out, const bson_iter_t *addend, const bson_t *old)
{
    const char *name = bson_iter_key(addend);
    bson_iter_t stored;
    bool has = old && bson_iter_init_find(&stored, old, name) && BSON_ITER_HOLDS_NUMBER(&stored);
    if (BSON_ITER_HOLDS_DOUBLE(addend) || (has && BSON_ITER_HOLDS_DOUBLE(&stored)))
        BSON_APPEND_DOUBLE(
            out, name, bson_iter_as_double(addend) + (has ? bson_iter_as_double(&stored) : 0.0));
    else
        BSON_APPEND_INT64(out, name,
                          bson_iter_as_int64(addend) + (has ? bson_iter_as_int64(&stored) : 0));
}

static bool docstore_memory_note(struct docstore *store, const struct doc_ref *ref,
                                 const bson_t *set, const bson_t *add, struct err *err)
{
    (void)err;
    static const bson_t nothing = BSON_INITIALIZER;
    set = set ? set : &nothing;
    add = add ? add : &nothing;
    if (bson_empty(set) && bson_empty(add))
        return true;
    struct docstore_memory *self = docstore_memory_lock(store);
    struct entry *entry = docstore_memory_find(self, ref);
    const bson_t *old = entry ? entry->doc : NULL;
    bson_t doc = BSON_INITIALIZER;
    bson_iter_t iter;
    if (!old)
        BSON_APPEND_UTF8(&doc, "_id", ref->id);
    for (bool more = old && bson_iter_init(&iter, old); more && bson_iter_next(&iter);) {
        const char *name = bson_iter_key(&iter);
        if (!bson_has_field(set, name) && !bson_has_field(add, name))
            bson_append_iter(&doc, name, -1, &iter);
    }
    for (bool more = bson_iter_init(&iter, set); more && bson_iter_next(&iter);)
        bson_append_iter(&doc, bson_iter_key(&iter), -1, &iter);
    for (bool more = bson_iter_init(&iter, add); more && bson_iter_next(&iter);)
        append_sum(&doc, &iter, old);
    docstore_memory_put(self, ref, &doc);
    bson_destroy(&doc);
    docstore_memory_unlock(self);
    return true;
}

static void docstore_memory_free(struct docstore *store)
{
    struct docstore_memory *self = (struct docstore_memory *)store;
    for (size_t i = 0; i < self->count; i++) {
        bson_free(self->entries[i].place);
        bson_free(self->entries[i].id);
        bson_destroy(self->entries[i].doc);
    }
    bson_free(self->entries);
    pthread_mutex_destroy(&self->mutex);
    bson_free(self);
}

static const struct docstore_ops docstore_memory_ops = {
    .name = "memory",
    .load = docstore_memory_load,
    .swap = docstore_memory_swap,
    .list = docstore_memory_list,
    .remove = docstore_memory_remove,
    .note = docstore_memory_note,
    .free = docstore_memory_free,
};

struct docstore *docstore_memory_new(void)
{
    struct docstore_memory *self = bson_malloc0(sizeof(*self));
    self->base.ops = &docstore_memory_ops;
    pthread_mutex_init(&self->mutex, NULL);
    return &self->base;
}
