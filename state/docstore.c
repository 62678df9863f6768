/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <string.h>

#include "base/mongo.h"
#include "state/doc.h"
#include "state/docstore_ops.h"

/* `_id` first; the counter where the caller left its place, or behind `_id`. */
static void complete(const struct docstore_write *write, bson_t *out)
{
    const struct doc_ref *ref = write->ref;
    bson_iter_t iter;
    BSON_APPEND_UTF8(out, "_id", ref->id);
    bool placed = bson_iter_init_find(&iter, write->doc, ref->counter);
    if (!placed)
        doc_put_int(out, ref->counter, write->expected + 1);
    if (!bson_iter_init(&iter, write->doc))
        return;
    while (bson_iter_next(&iter)) {
        const char *name = bson_iter_key(&iter);
        if (strcmp(name, ref->counter) == 0)
            doc_put_int(out, name, write->expected + 1);
        else if (strcmp(name, "_id") != 0)
            bson_append_iter(out, name, -1, &iter);
    }
}

bool docstore_load(struct docstore *store, const struct doc_ref *ref, bson_t **doc, int64_t *now_ms,
                   struct err *err)
{
    *doc = NULL;
    return store->ops->load(store, ref, doc, now_ms, err);
}

bool docstore_swap(struct docstore *store, const struct doc_ref *ref, int64_t expected,
                   const bson_t *doc, enum doc_swap *outcome, struct err *err)
{
    assert(expected >= 0);
    assert(ref->counter);
    bson_t whole = BSON_INITIALIZER;
    struct docstore_write write = {.ref = ref, .expected = expected, .doc = doc};
    complete(&write, &whole);
    write.doc = &whole;
    bool ok = store->ops->swap(store, &write, outcome, err);
    bson_destroy(&whole);
    return ok || err_prefix(err, "writing %s/%s", ref->collection, ref->id);
}

bool docstore_list(struct docstore *store, const char *collection, const char *prefix,
                   bson_t ***docs, size_t *count, struct err *err)
{
    *docs = NULL;
    *count = 0;
    if (store->ops->list(store, collection, prefix, docs, count, err))
        return true;
    docstore_list_free(*docs, *count);
    *docs = NULL;
    *count = 0;
    return false;
}

void docstore_list_add(bson_t ***docs, size_t *count, const bson_t *doc)
{
    *docs = bson_realloc(*docs, (*count + 1) * sizeof(**docs));
    (*docs)[(*count)++] = bson_copy(doc);
}

void docstore_list_free(bson_t **docs, size_t count)
{
    for (size_t i = 0; i < count; i++)
        bson_destroy(docs[i]);
    bson_free(docs);
}

bool docstore_remove(struct docstore *store, const struct doc_ref *ref, struct err *err)
{
    return store->ops->remove(store, ref, err);
}

bool docstore_note(struct docstore *store, const struct doc_ref *ref, const bson_t *set,
                   const bson_t *add, struct err *err)
{
    return store->ops->note(store, ref, set, add, err);
}

void docstore_free(struct docstore *store)
{
    if (store)
        store->ops->free(store);
}
