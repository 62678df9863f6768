/* SPDX-License-Identifier: Apache-2.0 */
/* A state database whose server has a clock of its own, as a real one has. */
#pragma once

#include "state/docstore_ops.h"
#include "support/test.h"

struct server {
    struct docstore base;
    struct docstore *held;
    int64_t now_ms;
};

static inline struct docstore *server_held(struct docstore *docs)
{
    return ((struct server *)(void *)docs)->held;
}

static inline bool server_load(struct docstore *docs, const struct doc_ref *ref, bson_t **doc,
                               int64_t *now_ms, struct err *err)
{
    if (now_ms)
        *now_ms = ((struct server *)(void *)docs)->now_ms;
    return docstore_load(server_held(docs), ref, doc, NULL, err);
}

static inline bool server_swap(struct docstore *docs, const struct docstore_write *write,
                               enum doc_swap *outcome, struct err *err)
{
    return docstore_swap(server_held(docs), write->ref, write->expected, write->doc, outcome, err);
}

static inline bool server_list(struct docstore *docs, const char *collection, const char *prefix,
                               bson_t ***out, size_t *count, struct err *err)
{
    return docstore_list(server_held(docs), collection, prefix, out, count, err);
}

static inline bool server_note(struct docstore *docs, const struct doc_ref *ref, const bson_t *set,
                               const bson_t *add, struct err *err)
{
    return docstore_note(server_held(docs), ref, set, add, err);
}

static inline struct server server_at(int64_t now_ms)
{
    static const struct docstore_ops ops = {
        .load = server_load, .swap = server_swap, .list = server_list, .note = server_note};
    return (struct server){.base.ops = &ops, .held = docstore_memory_new(), .now_ms = now_ms};
}

static inline void server_fini(struct server *server)
{
    docstore_free(server->held);
}
