/* SPDX-License-Identifier: Apache-2.0 */
/* Documents of the source, as they are now. */
#include <stdlib.h>
#include <string.h>

#include "agent/verify/audit_state.h"
#include "base/limits.h"
#include "cdc/key.h"
#include "cdc/scan_ask.h"

/* Documents of one page: what the driver reads at a time. */
#define PAGE_DOCUMENTS 1000
/* Of the keys of a page, and of ids that are asked for at once. */
#define KEYS_SIZE (8 * MIB)

void audit_batch_fini(struct audit_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++)
        bson_destroy(batch->items[i].bson);
    bson_destroy(batch->last);
    *batch = (struct audit_batch){0};
}

static struct scan_options options_of(const struct audit *audit)
{
    const struct config_family *family = audit->options->family;
    return (struct scan_options){.pool = audit->options->pool,
                                 .database = family->source.database,
                                 .collection = family->source.collection,
                                 .projection = shape_projection(audit->family->shape),
                                 .clustered = audit->is_clustered};
}

static bool open_options(struct audit *audit, struct scan_options *options, struct err *err)
{
    *options = options_of(audit);
    return scan_cluster_time(options->pool, options->database, &options->since, err);
}

/* --- a page ----------------------------------------------------------------------------------- */

struct page {
    size_t rows;
    size_t size;
    size_t keys_size;
};

static bool is_full(const struct page *page)
{
    return page->rows >= PAGE_DOCUMENTS || page->size >= AUDIT_DOCUMENTS_SIZE ||
           page->keys_size >= KEYS_SIZE;
}

static bool take_row(struct audit *audit, const bson_t *doc, struct buf *key, struct page *page,
                     struct audit_batch *batch)
{
    bson_iter_t id;
    page->rows++;
    page->size += doc->len;
    if (!bson_iter_init_find(&id, doc, "_id"))
        return false;
    bson_destroy(batch->last);
    batch->last = bson_new();
    bson_append_iter(batch->last, "_id", 3, &id);
    if (!shape_matches(audit->family->shape, doc))
        return true;
    audit_key(&id, key);
    page->keys_size += key->size;
    struct audit_item *item = &batch->items[batch->count++];
    item->key = arena_strdup(audit->page.results, buf_str(key));
    item->bson = bson_copy(doc);
    return true;
}

bool audit_source_page(struct audit *audit, struct audit_batch *batch, bool *end, struct err *err)
{
    struct scan_options options;
    CLEANUP(scan_closep) struct scan *scan = NULL;
    CLEANUP(buf_fini) struct buf key = BUF_INIT(LIMIT_KEY_SIZE);
    struct page page = {0};
    *end = false;
    batch->items = arena_alloc_array(audit->page.results, PAGE_DOCUMENTS, sizeof *batch->items);
    batch->count = 0;
    if (!open_options(audit, &options, err))
        return false;
    options.after = audit->after;
    options.match = shape_filter(audit->family->shape);
    if (!scan_open(&options, &scan, err))
        return false;
    while (!is_full(&page)) {
        const bson_t *doc;
        if (!scan_next(scan, &doc, err))
            return false;
        *end = doc == NULL;
        if (*end)
            break;
        if (!take_row(audit, doc, &key, &page, batch))
            return err_set(err, ERR_RETRY, ERR_DATA, 0, "a document came without its _id");
    }
    return true;
}

/* --- by key ----------------------------------------------------------------------------------- */

static bool ask(struct audit *audit, struct scan_question *question, struct err *err)
{
    struct scan_options options = options_of(audit);
    question->options = &options;
    question->shape = audit->family->shape;
    return scan_ask(question, err);
}

struct presence {
    const char *const *keys;
    bool *there;
};

static void note_there(void *context, size_t index, const bson_t *doc)
{
    struct presence *presence = context;
    (void)doc;
    presence->there[index] = true;
}

/* What stands for an `_id` that is too large cannot be asked about; any other such key is nobody's. */
static void note_unknown(void *context, size_t index)
{
    struct presence *presence = context;
    const char *key = presence->keys[index];
    presence->there[index] = key_is_stand_in(key, strlen(key));
}

bool audit_source_has(struct audit *audit, const char *const *keys, size_t count, bool *there,
                      struct err *err)
{
    struct presence presence = {keys, there};
    struct scan_question question = {.keys = keys,
                                     .count = count,
                                     .found = note_there,
                                     .unknown = note_unknown,
                                     .context = &presence};
    memset(there, 0, count * sizeof *there);
    return ask(audit, &question, err);
}

static void take_bson(void *context, size_t index, const bson_t *doc)
{
    struct audit_batch *batch = context;
    struct audit_item *item = &batch->items[index];
    if (item->bson) /* met twice, as it was changed meanwhile */
        batch->size -= item->bson->len;
    bson_destroy(item->bson);
    item->bson = NULL;
    item->left_out = batch->room > 0 && batch->size > 0 && batch->size + doc->len > batch->room;
    if (item->left_out)
        return;
    item->bson = bson_copy(doc);
    batch->size += doc->len;
}

static void leave_bson(void *context, size_t index)
{
    (void)context;
    (void)index;
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct audit_item *)a)->key, ((const struct audit_item *)b)->key);
}

bool audit_source_ask(struct audit *audit, struct audit_batch *batch, struct err *err)
{
    const char **keys = arena_alloc_array(audit->page.results, batch->count + 1, sizeof *keys);
    if (batch->count > 0)
        qsort(batch->items, batch->count, sizeof *batch->items, by_key);
    for (size_t i = 0; i < batch->count; i++)
        keys[i] = batch->items[i].key;
    struct scan_question question = {.keys = keys,
                                     .count = batch->count,
                                     .found = take_bson,
                                     .unknown = leave_bson,
                                     .context = batch};
    return ask(audit, &question, err);
}

/* --- by source id ----------------------------------------------------------------------------- */

/* {<id field>: {$in: [values]}} */
static bson_t *match_sources(const struct audit *audit, const char *const *ids, size_t count)
{
    bson_t *match = bson_new(), in, list;
    uint32_t values = 0;
    bson_append_document_begin(match, audit->options->family->source.id_field, -1, &in);
    bson_append_array_begin(&in, "$in", -1, &list);
    for (size_t i = 0; i < count; i++) {
        CLEANUP(buf_fini) struct buf key = BUF_INIT(LIMIT_ITEM_SIZE);
        key_of_source_id(ids[i], &key);
        CLEANUP(bson_destroyp) bson_t *value = key_decode(buf_str(&key), key.size);
        char buffer[16];
        const char *index;
        bson_iter_t iter;
        bson_uint32_to_string(values, &index, buffer, sizeof buffer);
        if (value && bson_iter_init_find(&iter, value, "_id") &&
            bson_append_iter(&list, index, -1, &iter))
            values++;
    }
    bson_append_array_end(&in, &list);
    bson_append_document_end(match, &in);
    return match;
}

bool audit_source_find(struct audit *audit, const char *const *source_ids, size_t count,
                       struct audit_batch *batch, struct err *err)
{
    struct scan_options options;
    CLEANUP(scan_closep) struct scan *scan = NULL;
    CLEANUP(buf_fini) struct buf key = BUF_INIT(LIMIT_KEY_SIZE);
    CLEANUP(bson_destroyp) bson_t *match = match_sources(audit, source_ids, count);
    batch->items = arena_alloc_array(audit->page.results, PAGE_DOCUMENTS, sizeof *batch->items);
    batch->count = 0;
    if (!open_options(audit, &options, err))
        return false;
    options.match = match;
    if (!scan_open(&options, &scan, err))
        return false;
    while (batch->count < PAGE_DOCUMENTS) {
        const bson_t *doc;
        bson_iter_t id;
        if (!scan_next(scan, &doc, err))
            return false;
        if (!doc)
            break;
        if (!bson_iter_init_find(&id, doc, "_id") || !shape_matches(audit->family->shape, doc))
            continue;
        audit_key(&id, &key);
        struct audit_item *item = &batch->items[batch->count++];
        item->key = arena_strdup(audit->page.results, buf_str(&key));
        item->bson = bson_copy(doc);
    }
    return true;
}
