/* SPDX-License-Identifier: Apache-2.0 */
/* What a back end of docstore provides. Private to state/. */
#pragma once

#include "state/docstore.h"

/* A swap as the back ends see it: the whole document, `_id` and counter included. */
struct docstore_write {
    const struct doc_ref *ref;
    int64_t expected;
    const bson_t *doc;
};

struct docstore_ops {
    const char *name;
    bool (*load)(struct docstore *store, const struct doc_ref *ref, bson_t **doc, int64_t *now_ms,
                 struct err *err) MUST_USE;
    bool (*swap)(struct docstore *store, const struct docstore_write *write, enum doc_swap *outcome,
                 struct err *err) MUST_USE;
    bool (*list)(struct docstore *store, const char *collection, const char *prefix, bson_t ***docs,
                 size_t *count, struct err *err) MUST_USE;
    bool (*remove)(struct docstore *store, const struct doc_ref *ref, struct err *err) MUST_USE;
    bool (*note)(struct docstore *store, const struct doc_ref *ref, const bson_t *set,
                 const bson_t *add, struct err *err) MUST_USE;
    void (*free)(struct docstore *store);
};

struct docstore {
    const struct docstore_ops *ops;
};

/* Appends a copy of `doc` to a list that docstore_list_free() frees. */
void docstore_list_add(bson_t ***docs, size_t *count, const bson_t *doc);
