/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "agent/worker.h"
#include "base/log.h"

struct wanted {
    struct task_chunk **chunks; /* those to be embedded */
    size_t count;
};

static struct wanted collect(struct worker *worker, struct task **tasks, size_t count)
{
    size_t most = 0;
    for (size_t i = 0; i < count; i++)
        most += tasks[i]->chunk_count;
    struct wanted wanted = {
        .chunks = arena_alloc_array(worker->arena, most + 1, sizeof(struct task_chunk *))};
    for (size_t i = 0; i < count; i++) {
        for (size_t c = 0; !tasks[i]->reject && c < tasks[i]->chunk_count; c++) {
            struct task_chunk *chunk = &tasks[i]->chunks[c];
            if (chunk->plan == CHUNK_EMBED && !chunk->vector)
                wanted.chunks[wanted.count++] = chunk;
        }
    }
    return wanted;
}

static int compare_fp(const void *a, const void *b)
{
    const struct task_chunk *const *x = a, *const *y = b;
    return memcmp((*x)->fp.bytes, (*y)->fp.bytes, sizeof(*x)->fp.bytes);
}

/* Embeds each distinct content once. */
static bool embed_distinct(struct worker *worker, struct wanted *wanted, struct err *err)
{
    if (wanted->count == 0)
        return true;
    struct arena *arena = worker->arena;
    const struct lane *lane = worker->lane;
    size_t dims = lane->embed.dims, distinct = 0;
    struct embed_text *texts = arena_alloc_array(arena, wanted->count, sizeof *texts);
    qsort(wanted->chunks, wanted->count, sizeof *wanted->chunks, compare_fp);
    for (size_t i = 0; i < wanted->count; i++) {
        if (i > 0 && compare_fp(&wanted->chunks[i], &wanted->chunks[i - 1]) == 0)
            continue;
        const struct task_chunk *chunk = wanted->chunks[i];
        size_t prefix = strlen(lane->embed.document_prefix);
        char *text = arena_alloc(arena, prefix + chunk->size + 1);
        memcpy(text, lane->embed.document_prefix, prefix);
        memcpy(text + prefix, chunk->text, chunk->size);
        texts[distinct++] = (struct embed_text){.text = text, .size = prefix + chunk->size};
    }
    float *vectors = arena_alloc_array(worker->batch, distinct * dims, sizeof *vectors);
    bool *done = arena_alloc_array(arena, distinct, sizeof *done);
    if (!embedder_embed(worker->embedder, texts, distinct, vectors, done, err))
        return false;
    size_t at = 0;
    for (size_t i = 0; i < wanted->count; i++) {
        if (i > 0 && compare_fp(&wanted->chunks[i], &wanted->chunks[i - 1]) != 0)
            at++;
        wanted->chunks[i]->vector = vectors + at * dims;
    }
    atomic_fetch_add(&worker->lane->stats.embedded, (int64_t)distinct);
    atomic_fetch_add(&worker->lane->stats.reused, (int64_t)(wanted->count - distinct));
    for (size_t i = 0; i < distinct; i++)
        atomic_fetch_add(&worker->lane->stats.characters, (int64_t)texts[i].size);
    return true;
}

/* A refused text is found by halving: its document is set aside, the others are not. */
static bool embed_halving(struct worker *worker, struct task **tasks, size_t count, struct err *err)
{
    struct wanted wanted = collect(worker, tasks, count);
    if (embed_distinct(worker, &wanted, err))
        return true;
    bool too_many = err->domain == ERR_EMBED && err->code == EMBED_TOO_MANY;
    if (err->action != ERR_REJECT && !too_many)
        return false;
    if (count == 1) {
        if (too_many)
            return false;
        tasks[0]->reject = arena_strdup(worker->batch, err->text);
        log_warn("lane.document.quarantined", LOG_STR("family", worker->lane->family->name),
                 LOG_STR("version", worker->lane->label), LOG_STR("key", tasks[0]->key),
                 LOG_ERR(err));
        return true;
    }
    return embed_halving(worker, tasks, count / 2, err) &&
           embed_halving(worker, tasks + count / 2, count - count / 2, err);
}

struct copies {
    const char **ids;
    struct task_chunk **chunks;
    size_t count;
};

static struct copies collect_copies(struct worker *worker, struct task **tasks, size_t count)
{
    size_t most = 0;
    for (size_t i = 0; i < count; i++)
        most += tasks[i]->chunk_count;
    struct copies copies = {
        .ids = arena_alloc_array(worker->arena, most + 1, sizeof(char *)),
        .chunks = arena_alloc_array(worker->arena, most + 1, sizeof(struct task_chunk *))};
    for (size_t i = 0; i < count; i++) {
        const struct ledger_row *row = &tasks[i]->row;
        for (size_t c = 0; c < tasks[i]->chunk_count; c++) {
            struct task_chunk *chunk = &tasks[i]->chunks[c];
            if (chunk->plan != CHUNK_COPY)
                continue;
            copies.ids[copies.count] = task_record_id(worker->lane, worker->arena, row->source_id,
                                                      chunk->from, &row->chunks[chunk->from]);
            copies.chunks[copies.count++] = chunk;
        }
    }
    return copies;
}

/* A vector is only as good as the content_fp that stands with it in the same record. */
static bool is_record_of(const struct sink_record *record, const struct sha256 *fp, size_t dims)
{
    char text[SHA256_TEXT_SIZE];
    sha256_format(fp, text);
    if (!record->vector || record->dims != dims)
        return false;
    for (size_t i = 0; i < record->metadata_count; i++) {
        const struct field *field = &record->metadata[i];
        if (strcmp(field->name, "content_fp") == 0)
            return field->value.type == VALUE_STRING && strcmp(field->value.as.string, text) == 0;
    }
    return false;
}

static void take_copies(struct worker *worker, struct copies *copies,
                        const struct sink_record *records, size_t count)
{
    size_t dims = worker->lane->embed.dims;
    for (size_t c = 0; c < copies->count; c++) {
        copies->chunks[c]->plan = CHUNK_EMBED; /* unless it is found: then it has a vector */
        for (size_t i = 0; i < count; i++) {
            if (strcmp(records[i].id, copies->ids[c]) == 0 &&
                is_record_of(&records[i], &copies->chunks[c]->fp, dims)) {
                copies->chunks[c]->vector = arena_memdup(worker->batch, records[i].vector,
                                                         dims * sizeof *records[i].vector);
                atomic_fetch_add(&worker->lane->stats.reused, 1);
                break;
            }
        }
    }
}

bool worker_embed(struct worker *worker, struct task **tasks, size_t count, struct err *err)
{
    if (count == 0)
        return true;
    struct copies copies = collect_copies(worker, tasks, count);
    if (copies.count > 0) {
        struct sink_record *records;
        size_t found;
        if (!sink_fetch(worker->sink, worker->lane->collection_id, copies.ids, copies.count,
                        SINK_VECTORS | SINK_METADATA, worker->arena, &records, &found, err))
            return false;
        take_copies(worker, &copies, records, found);
    }
    return embed_halving(worker, tasks, count, err);
}
