/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "agent/lane/worker.h"

/* source_id, chunk_id, family, version, config_fp, content_fp */
#define FIXED_FIELDS 6

static bool is_mapped(const struct task *task, const char *name)
{
    for (size_t i = 0; i < task->metadata_count; i++) {
        if (strcmp(task->metadata[i].name, name) == 0)
            return true;
    }
    return false;
}

static bool is_among(const char *const *names, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(names[i], name) == 0)
            return true;
    }
    return false;
}

/* Stores merge metadata: a key that is gone has to be removed by name. */
static size_t append_removed(const struct task *task, struct field *fields, size_t count)
{
    const struct ledger_row *row = &task->row;
    for (size_t i = 0; i < row->meta_key_count; i++) {
        if (!is_mapped(task, row->meta_keys[i]))
            fields[count++] = (struct field){row->meta_keys[i], value_null()};
    }
    for (size_t i = 0; i < task->leftover_key_count; i++) {
        const char *key = task->leftover_keys[i];
        if (!is_mapped(task, key) && !is_among(row->meta_keys, row->meta_key_count, key))
            fields[count++] = (struct field){key, value_null()};
    }
    return count;
}

struct name_list {
    const char **items;
    size_t count;
};

static void note_keys(struct arena *arena, const struct sink_record *record, struct name_list *list)
{
    static const char *const fixed[] = {"source_id", "chunk_id",  "family",
                                        "version",   "config_fp", "content_fp"};
    for (size_t i = 0; i < record->metadata_count; i++) {
        const char *name = record->metadata[i].name;
        if (is_among(fixed, FIXED_FIELDS, name) || is_among(list->items, list->count, name))
            continue;
        const char **items = arena_alloc_array(arena, list->count + 1, sizeof *items);
        if (list->count > 0)
            memcpy(items, list->items, list->count * sizeof *items);
        items[list->count++] = arena_strdup(arena, name);
        list->items = items;
    }
}

/* Is it written over what nobody has written down: what an interrupted write may have left, or what a
 * repair was asked for? */
static bool is_rewritten(const struct task *task)
{
    return (task->row.has_intent || task->row.repair) && !task->clearing;
}

/* Of ids: what makes one request. */
static size_t ids_part(const struct worker *worker, size_t count)
{
    size_t most = worker->sink->limits.max_ids;
    return count < most ? count : most;
}

/* An intent does not say which metadata it was about to write: the records do. */
bool worker_look(struct worker *worker, const struct round_part *round, struct err *err)
{
    struct task **tasks = round->tasks;
    size_t count = round->count;
    size_t most = 0, ids = 0, found = 0;
    for (size_t i = 0; i < count; i++)
        most += is_rewritten(tasks[i]) ? tasks[i]->chunk_count : 0;
    if (most == 0)
        return true;
    const char **list = arena_alloc_array(worker->arena, most, sizeof *list);
    for (size_t i = 0; i < count; i++) {
        for (size_t c = 0; is_rewritten(tasks[i]) && c < tasks[i]->chunk_count; c++)
            list[ids++] = tasks[i]->chunks[c].id;
    }
    struct name_list names = {0};
    for (size_t at = 0, part; at < ids; at += part) {
        struct sink_record *records;
        part = ids_part(worker, ids - at);
        arena_reset(worker->scratch);
        if (!worker_go_on(worker, round, err) ||
            !sink_fetch(worker->sink, worker->lane->collection_id, list + at, part, SINK_METADATA,
                        worker->scratch, &records, &found, err))
            return false;
        for (size_t i = 0; i < found; i++)
            note_keys(worker->arena, &records[i], &names);
    }
    for (size_t i = 0; i < count; i++) {
        if (is_rewritten(tasks[i])) {
            tasks[i]->leftover_keys = names.items;
            tasks[i]->leftover_key_count = names.count;
        }
    }
    return true;
}

static void label_record(struct worker *worker, const struct task *task,
                         const struct task_chunk *chunk, struct sink_record *record)
{
    const struct lane *lane = worker->lane;
    char fp[SHA256_TEXT_SIZE];
    sha256_format(&chunk->fp, fp);
    size_t most =
        FIXED_FIELDS + task->metadata_count + task->row.meta_key_count + task->leftover_key_count;
    struct field *fields = arena_alloc_array(worker->arena, most, sizeof *fields);
    size_t count = 0;
    fields[count++] = (struct field){"source_id", value_string(task->source_id)};
    fields[count++] = (struct field){"chunk_id", value_string(chunk->id)};
    fields[count++] = (struct field){"family", value_string(lane->family->name)};
    fields[count++] = (struct field){"version", value_string(lane->label)};
    fields[count++] = (struct field){"config_fp", value_string(lane->config_fp)};
    fields[count++] = (struct field){"content_fp", value_string(arena_strdup(worker->arena, fp))};
    if (task->metadata_count > 0)
        memcpy(fields + count, task->metadata, task->metadata_count * sizeof *fields);
    count = append_removed(task, fields, count + task->metadata_count);
    *record = (struct sink_record){.id = chunk->id, .metadata = fields, .metadata_count = count};
}

struct record_list {
    struct sink_record *items;
    size_t count;
};

/* A chunk's vector says which of the two lists it belongs to. */
static struct record_list records_of(struct worker *worker, const struct round_part *round,
                                     bool with_vector)
{
    size_t most = 0;
    for (size_t i = 0; i < round->count; i++) {
        size_t chunks = round->tasks[i]->chunk_count;
        most += chunks < round->to - round->from ? chunks : round->to - round->from;
    }
    struct record_list list = {
        .items = arena_alloc_array(worker->arena, most + 1, sizeof(struct sink_record))};
    for (size_t i = 0; i < round->count; i++) {
        const struct task *task = round->tasks[i];
        for (size_t c = round->from; c < task->chunk_count && c < round->to; c++) {
            const struct task_chunk *chunk = &task->chunks[c];
            if (chunk->plan != (with_vector ? CHUNK_WRITE : CHUNK_LABEL))
                continue;
            struct sink_record *record = &list.items[list.count++];
            label_record(worker, task, chunk, record);
            if (!with_vector)
                continue;
            record->vector = chunk->vector;
            record->dims = worker->lane->embed.dims;
            record->text = arena_memdup(worker->arena, chunk->text, chunk->size);
        }
    }
    return list;
}

bool worker_store(struct worker *worker, const struct round_part *round, struct err *err)
{
    struct record_list written = records_of(worker, round, true);
    struct record_list labelled = records_of(worker, round, false);
    const char *collection = worker->lane->collection_id;
    for (size_t at = 0, part; at < written.count; at += part) {
        part = sink_part(worker->sink, written.items + at, written.count - at);
        if (!worker_go_on(worker, round, err) ||
            !sink_upsert(worker->sink, collection, written.items + at, part, err))
            return false;
    }
    for (size_t at = 0, part; at < labelled.count; at += part) {
        part = sink_part(worker->sink, labelled.items + at, labelled.count - at);
        if (!worker_go_on(worker, round, err) ||
            !sink_update(worker->sink, collection, labelled.items + at, part, err))
            return false;
    }
    return true;
}

static bool is(const char *a, const char *b)
{
    return a && strcmp(a, b) == 0;
}

/* Something was erased of another document under the source id of this row. */
static bool is_in_doubt(const struct round_part *round, const struct ledger_source *source)
{
    bool any = false;
    for (size_t i = 0; !any && i < round->count; i++) {
        const struct ledger_row *row = &round->tasks[i]->row;
        bool erased = round->tasks[i]->stale_count > 0 &&
                      (is(row->source_id, source->source_id) ||
                       (row->has_intent && is(row->intent.source_id, source->source_id)));
        any = erased && strcmp(round->tasks[i]->key, source->key) != 0;
    }
    return any;
}

/* Documents other than those whose records were erased, under the same source ids. */
static bool mark_others(struct worker *worker, const struct round_part *round, struct err *err)
{
    struct arena *arena = worker->arena;
    const char **ids = arena_alloc_array(arena, 2 * round->count + 1, sizeof *ids);
    struct ledger_source *sources;
    size_t count = 0, found = 0, others = 0;
    for (size_t i = 0; i < round->count; i++) {
        const struct task *task = round->tasks[i];
        if (task->stale_count > 0 && task->row.source_id)
            ids[count++] = task->row.source_id;
        if (task->stale_count > 0 && task->row.has_intent && task->row.intent.source_id)
            ids[count++] = task->row.intent.source_id;
    }
    if (!ledger_find_sources(worker->ledger, ids, count, arena, &sources, &found, err))
        return false;
    const char **keys = arena_alloc_array(arena, found + 1, sizeof *keys);
    for (size_t i = 0; i < found; i++) {
        if (is_in_doubt(round, &sources[i]))
            keys[others++] = sources[i].key;
    }
    return ledger_mark(worker->ledger, keys, others,
                       "its source id was another document's, whose records were erased", err);
}

bool worker_erase(struct worker *worker, const struct round_part *round, struct err *err)
{
    size_t most = 0, ids = 0;
    for (size_t i = 0; i < round->count; i++)
        most += round->tasks[i]->stale_count;
    if (most == 0)
        return true;
    const char **list = arena_alloc_array(worker->arena, most, sizeof *list);
    for (size_t i = 0; i < round->count; i++) {
        for (size_t s = 0; s < round->tasks[i]->stale_count; s++)
            list[ids++] = round->tasks[i]->stale_ids[s];
    }
    for (size_t at = 0, part; at < ids; at += part) {
        part = ids_part(worker, ids - at);
        if (!worker_go_on(worker, round, err) ||
            !sink_erase(worker->sink, worker->lane->collection_id, list + at, part, err))
            return false;
    }
    atomic_fetch_add(&worker->lane->stats.erased, (int64_t)ids);
    return lane_goes_by_id(worker->lane) || mark_others(worker, round, err);
}
