/* SPDX-License-Identifier: Apache-2.0 */
/* The records of a sample, read back with their vectors. */
#include <stdlib.h>
#include <string.h>

#include "agent/lane/task.h"
#include "agent/verify/sample.h"
#include "base/limits.h"

/* Of one answer: numbers of vectors take far more room while they are read. */
#define FETCH_FLOATS ((size_t)1 << 20)
/* What is bad at first is mostly being written just now. */
#define LOOKS 4
/* Requests that may fail before the rest of what fails with them counts as lost. */
#define MOST_FAILURES 64

static bool is_as_drawn(const struct ledger_row *row, const struct ledger_place *place)
{
    return row->exists && row->state == LEDGER_DONE && !row->has_intent && !row->repair &&
           row->gen == place->gen && strcmp(row->ver, place->ver) == 0 &&
           place->index < row->chunk_count && sha256_equal(&row->chunks[place->index], &place->fp);
}

bool sample_recheck(struct sample *sample, sample_wanted *wanted, struct err *err)
{
    struct sample_chunk **asked = calloc(sample->count + 1, sizeof(struct sample_chunk *));
    const char **keys = calloc(sample->count + 1, sizeof *keys);
    size_t count = 0;
    arena_reset(sample->scratch);
    for (size_t i = 0; i < sample->count; i++) {
        if (!wanted(&sample->chunks[i]))
            continue;
        asked[count] = &sample->chunks[i];
        keys[count++] = sample->chunks[i].place->key;
    }
    struct ledger_row *rows = arena_alloc_array(sample->scratch, count + 1, sizeof *rows);
    bool ok =
        count == 0 || ledger_read(sample->verify->ledger, keys, count, sample->scratch, rows, err);
    for (size_t i = 0; ok && i < count; i++) {
        if (!is_as_drawn(&rows[i], asked[i]->place))
            asked[i]->state = SAMPLE_MOVED;
    }
    free(asked);
    free(keys);
    return ok;
}

/* --- one read ----------------------------------------------------------------------------------- */

static int compare_id(const void *a, const void *b)
{
    return strcmp((*(struct sample_chunk *const *)a)->id, (*(struct sample_chunk *const *)b)->id);
}

static void judge(const struct sample *sample, struct sample_chunk *chunk,
                  const struct sink_record *record)
{
    char fp[SHA256_TEXT_SIZE];
    size_t dims = sample->verify->embed.dims;
    const char *held = record_content_fp(record);
    sha256_format(&chunk->place->fp, fp);
    chunk->fault = vector_look(record->vector, record->dims, dims);
    if (!held || strcmp(held, fp) != 0)
        chunk->why =
            held ? "is of another text than the ledger says" : "has no content_fp in its metadata";
    else if (chunk->fault != VECTOR_SOUND)
        chunk->why = vector_fault_text(chunk->fault);
    else
        chunk->why = NULL;
    if (chunk->why)
        return;
    chunk->state = SAMPLE_SOUND;
    if (!chunk->vector)
        chunk->vector = arena_alloc_array(sample->arena, dims, sizeof *chunk->vector);
    memcpy(chunk->vector, record->vector, dims * sizeof *chunk->vector);
}

/* `chunks` in the order of their ids. */
static bool fetch(struct sample *sample, struct sample_chunk **chunks, size_t count,
                  struct err *err)
{
    struct verify *verify = sample->verify;
    const char **ids = calloc(count + 1, sizeof *ids);
    struct sink_record *records;
    size_t found = 0;
    arena_reset(sample->scratch);
    for (size_t i = 0; i < count; i++) {
        ids[i] = chunks[i]->id;
        chunks[i]->state = SAMPLE_BAD;
        chunks[i]->why = "is not in the store";
    }
    bool ok = sink_fetch(verify->sink, verify->version->collection_id, ids, count,
                         SINK_VECTORS | SINK_METADATA, sample->scratch, &records, &found, err);
    for (size_t i = 0; ok && i < found; i++) {
        struct sample_chunk wanted = {.id = records[i].id}, *key = &wanted;
        struct sample_chunk **chunk =
            bsearch(&key, chunks, count, sizeof(struct sample_chunk *), compare_id);
        if (chunk)
            judge(sample, *chunk, &records[i]);
    }
    free(ids);
    return ok;
}

/* --- what cannot be read ------------------------------------------------------------------------ */

/* The store answers as long as no vectors are asked for. */
static bool answers(struct sample *sample, struct sample_chunk **chunks, struct err *err)
{
    struct verify *verify = sample->verify;
    struct sink_record *records;
    size_t found;
    arena_reset(sample->scratch);
    return sink_fetch(verify->sink, verify->version->collection_id, &chunks[0]->id, 1,
                      SINK_METADATA, sample->scratch, &records, &found, err);
}

/* Chroma fails a whole answer for one record whose vector it has lost: these are told apart by halving. */
static bool fetch_halves(struct sample *sample, struct sample_chunk **chunks, size_t count,
                         int *failures, struct err *err)
{
    if (count == 1 || *failures >= MOST_FAILURES) {
        for (size_t i = 0; i < count; i++)
            chunks[i]->why = "has a vector that the store cannot read";
        return true;
    }
    size_t cut = count / 2;
    for (int half = 0; half < 2; half++) {
        struct sample_chunk **part = half == 0 ? chunks : chunks + cut;
        size_t size = half == 0 ? cut : count - cut;
        if (!verify_go_on(sample->verify, err))
            return false;
        if (fetch(sample, part, size, err))
            continue;
        ++*failures;
        if (err->action != ERR_RETRY || !fetch_halves(sample, part, size, failures, err))
            return false;
    }
    return true;
}

/* A store that fails for a moment is not one that has lost something. */
static bool fetch_patiently(struct sample *sample, struct sample_chunk **chunks, size_t count,
                            struct err *err)
{
    int failures = 0;
    if (fetch(sample, chunks, count, err))
        return true;
    if (err->action != ERR_RETRY || !verify_pause(sample->verify, err))
        return false;
    if (fetch(sample, chunks, count, err))
        return true;
    return err->action == ERR_RETRY && answers(sample, chunks, err) &&
           fetch_halves(sample, chunks, count, &failures, err);
}

static size_t fetch_part(const struct verify *verify)
{
    size_t part = FETCH_FLOATS / verify->embed.dims;
    return part > SAMPLE_PART ? SAMPLE_PART : part > 0 ? part : 1;
}

/* Of what is OPEN. */
static bool read_open(struct sample *sample, struct err *err)
{
    struct sample_chunk **open = calloc(sample->count + 1, sizeof(struct sample_chunk *));
    size_t count = 0, most = fetch_part(sample->verify);
    bool ok = true;
    for (size_t i = 0; i < sample->count; i++) {
        if (sample->chunks[i].state == SAMPLE_OPEN)
            open[count++] = &sample->chunks[i];
    }
    qsort(open, count, sizeof(struct sample_chunk *), compare_id);
    for (size_t at = 0, part; ok && at < count; at += part) {
        part = count - at < most ? count - at : most;
        ok = verify_go_on(sample->verify, err) && fetch_patiently(sample, open + at, part, err);
    }
    free(open);
    return ok;
}

/* --- with patience ------------------------------------------------------------------------------ */

static bool is_bad(const struct sample_chunk *chunk)
{
    return chunk->state == SAMPLE_BAD;
}

static size_t reopen_bad(struct sample *sample)
{
    size_t count = 0;
    for (size_t i = 0; i < sample->count; i++) {
        if (!is_bad(&sample->chunks[i]))
            continue;
        sample->chunks[i].state = SAMPLE_OPEN;
        count++;
    }
    return count;
}

bool sample_read_store(struct sample *sample, struct err *err)
{
    for (int look = 0; look < LOOKS; look++) {
        if (look > 0 && reopen_bad(sample) == 0)
            return true;
        if (look > 0 && !verify_pause(sample->verify, err))
            return false;
        if (!read_open(sample, err) || !sample_recheck(sample, is_bad, err))
            return false;
    }
    return true;
}
