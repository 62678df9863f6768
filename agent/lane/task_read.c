/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "agent/lane/task.h"
#include "base/limits.h"
#include "base/log.h"
#include "cdc/key.h"

/* Of ids that are asked for at once. */
#define ASK_SIZE (8 * MIB)

/* Open addressing over task numbers + 1. */
struct key_table {
    uint32_t *slots;
    size_t mask;
};

static struct key_table table_new(struct arena *arena, size_t keys)
{
    size_t size = 16;
    while (size < keys * 2)
        size *= 2;
    return (struct key_table){.slots = arena_alloc_array(arena, size, sizeof(uint32_t)),
                              .mask = size - 1};
}

static uint32_t *table_slot(const struct key_table *table, const struct task *tasks,
                            const char *key, size_t size)
{
    for (size_t i = key_hash(key, size) & table->mask;; i = (i + 1) & table->mask) {
        if (table->slots[i] == 0)
            return &table->slots[i];
        const struct task *task = &tasks[table->slots[i] - 1];
        if (strlen(task->key) == size && memcmp(task->key, key, size) == 0)
            return &table->slots[i];
    }
}

static bool is_newer(const struct record *a, const struct record *b)
{
    return ledger_compare(a->gen, a->ver, b->gen, b->ver) >= 0;
}

static void select_newest(struct lane *lane, const struct worklog_batch *batch, struct arena *arena,
                          struct task_list *out)
{
    struct key_table table = table_new(arena, batch->count);
    for (size_t i = 0; i < batch->count; i++) {
        const struct worklog_record *record = &batch->records[i];
        /* one above it cannot be: the reader has adopted it */
        bool fenced = record->record.gen < atomic_load(&lane->gen);
        uint32_t *slot =
            table_slot(&table, out->items, record->record.key, record->record.key_size);
        if (*slot == 0) {
            struct task *task = &out->items[out->count++];
            task->key = arena_memdup(arena, record->record.key, record->record.key_size);
            task->record = record;
            task->last_offset = record->offset;
            task->fenced = fenced;
            *slot = (uint32_t)out->count;
            continue;
        }
        out->items[*slot - 1].last_offset = record->offset;
        if (is_newer(&record->record, &out->items[*slot - 1].record->record)) {
            out->items[*slot - 1].record = record;
            out->items[*slot - 1].fenced = fenced;
        }
    }
}

static bool decode(struct task *task, struct err *err)
{
    const struct record *record = &task->record->record;
    task->op = task->fenced ? ITEM_DELETE : record->op; /* fenced: nothing of it is looked at */
    if (task->op != ITEM_UPSERT)
        return true;
    if (!record->value) {
        task->op = ITEM_REREAD; /* a null image says nothing about the document */
        return true;
    }
    return item_decode_doc(record->value, record->value_size, &task->doc, err);
}

static struct task *task_of_key(struct task_list *tasks, const struct buf *key)
{
    for (size_t i = 0; i < tasks->count; i++) {
        if (strcmp(tasks->items[i].key, buf_str(key)) == 0)
            return &tasks->items[i];
    }
    return NULL;
}

static void take_row(void *context, const bson_t *doc)
{
    struct task_list *tasks = context;
    CLEANUP(buf_fini) struct buf key = BUF_INIT(LIMIT_KEY_SIZE);
    bson_iter_t id;
    if (!bson_iter_init_find(&id, doc, "_id"))
        return;
    key_encode(&id, &key);
    /* with a collation another `_id` can be found: that is another document */
    struct task *task = task_of_key(tasks, &key);
    if (task && task->op == ITEM_REREAD && !task->doc)
        task->doc = bson_copy(doc);
}

/* A command that names them all must not grow larger than a document may be. */
static bool fetch_rereads(struct lane *lane, struct task_list *tasks, bson_t **ids, size_t count,
                          struct err *err)
{
    for (size_t first = 0, end = 0; first < count; first = end) {
        for (size_t size = 0; end < count && (end == first || size + ids[end]->len <= ASK_SIZE);
             end++)
            size += ids[end]->len;
        struct lane_ask ask = {.ids = (const bson_t *const *)ids + first,
                               .count = end - first,
                               .found = take_row,
                               .context = tasks};
        if (!lane->source->fetch(lane, &ask, err))
            return false;
    }
    return true;
}

/* Where the whole collection is gone, its documents are not deletes: what is served stays, until a
 * collection of that name is read anew. */
static bool check_source(struct lane *lane, const struct task_list *tasks, struct err *err)
{
    const struct config_family *family = lane->family->config;
    bool absent = false, exists = true;
    for (size_t i = 0; i < tasks->count; i++)
        absent = absent || (tasks->items[i].op == ITEM_REREAD && !tasks->items[i].doc);
    if (!absent)
        return true;
    if (!lane->source->exists(lane, &exists, err))
        return false;
    return exists || err_set(err, ERR_RETRY, ERR_STATE, 0,
                             "the source collection %s.%s does not exist: what is stored stays",
                             family->source.database, family->source.collection);
}

/* What is to be read again is read now; absent or outside the filter means gone. */
static bool resolve_rereads(struct lane *lane, struct task_list *tasks, struct arena *arena,
                            struct err *err)
{
    bson_t **ids = arena_alloc_array(arena, tasks->count + 1, sizeof *ids);
    size_t count = 0;
    for (size_t i = 0; i < tasks->count; i++) {
        struct task *task = &tasks->items[i];
        bson_t *id = task->op == ITEM_REREAD ? key_decode(task->key, strlen(task->key)) : NULL;
        if (id)
            ids[count++] = id;
        else if (task->op == ITEM_REREAD)
            task->reject = key_is_stand_in(task->key, strlen(task->key))
                               ? "its _id is larger than 64 KiB"
                               : "the document cannot be looked up by its key";
    }
    bool ok = fetch_rereads(lane, tasks, ids, count, err) && check_source(lane, tasks, err);
    for (size_t i = 0; i < count; i++)
        bson_destroy(ids[i]);
    for (size_t i = 0; ok && i < tasks->count; i++) {
        struct task *task = &tasks->items[i];
        if (task->op != ITEM_REREAD)
            continue;
        task->reread = true;
        task->op =
            task->doc && shape_matches(lane->family->shape, task->doc) ? ITEM_UPSERT : ITEM_DELETE;
    }
    return ok;
}

/* Room for one document's texts, used again for the next. */
struct texts {
    struct buf raw;
    struct buf normal;
};

static void texts_fini(struct texts *texts)
{
    buf_fini(&texts->raw);
    buf_fini(&texts->normal);
}

static void prepare(const struct lane *lane, struct arena *arena, struct texts *texts,
                    struct task *task)
{
    struct err err;
    struct buf *raw = &texts->raw, *text = &texts->normal;
    const struct shape *shape = lane->family->shape;
    buf_clear(raw);
    buf_clear(text);
    if (!shape_source_id(shape, task->doc, arena, &task->source_id, &err) ||
        !document_text(task->doc, lane->embed.text_fields, lane->embed.text_field_count, raw,
                       &err)) {
        task->reject = arena_strdup(arena, err.text);
        return;
    }
    shape_read_metadata(shape, task->doc, arena, &task->metadata, &task->metadata_count);
    task->meta_fp = document_meta_fp(task->metadata, task->metadata_count);
    normalize_text(&lane->embed.normalize, buf_str(raw), raw->size, text);
    if (text->overflow) {
        task->reject = "the normalised text is too large";
        return;
    }
    task->doc_fp = document_fp(task->source_id, buf_str(text), text->size, &task->meta_fp);
    task->text = arena_memdup(arena, buf_str(text), text->size);
    task->text_size = text->size;
}

/* What is needed of an upsert is copied, and the document let go. */
static void prepare_upsert(const struct lane *lane, struct arena *arena, struct texts *texts,
                           struct task *task)
{
    if (task->op != ITEM_UPSERT || !task->doc)
        return;
    task->doc_size = task->doc->len;
    prepare(lane, arena, texts, task);
    bson_destroy(task->doc);
    task->doc = NULL;
}

bool tasks_read(struct lane *lane, const struct worklog_batch *batch, struct arena *arena,
                struct task_list *out, struct err *err)
{
    *out = (struct task_list){.items =
                                  arena_alloc_array(arena, batch->count + 1, sizeof(struct task))};
    CLEANUP(texts_fini)
    struct texts texts = {BUF_INIT(LIMIT_ITEM_SIZE), BUF_INIT(LIMIT_ITEM_SIZE)};
    select_newest(lane, batch, arena, out);
    for (size_t i = 0; i < out->count; i++) {
        struct err broken;
        if (!decode(&out->items[i], &broken)) {
            /* the record is unreadable, the document may not be */
            log_warn("lane.record.unreadable", LOG_STR("family", lane->family->name),
                     LOG_INT("offset", out->items[i].record->offset), LOG_ERR(&broken));
            out->items[i].op = ITEM_REREAD;
        }
        prepare_upsert(lane, arena, &texts, &out->items[i]);
    }
    if (!resolve_rereads(lane, out, arena, err))
        return false;
    for (size_t i = 0; i < out->count; i++)
        prepare_upsert(lane, arena, &texts, &out->items[i]);
    return true;
}

void tasks_fini(struct task_list *tasks)
{
    for (size_t i = 0; i < tasks->count; i++) {
        bson_destroy(tasks->items[i].doc);
        tasks->items[i].doc = NULL;
    }
}
