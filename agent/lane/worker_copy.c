/* SPDX-License-Identifier: Apache-2.0 */
/* Vectors that lie in a store already are read back, not bought.
 *
 * Where they may lie: in the document's own records, of its last state or of a write that was
 * interrupted; in those of another document of the version, which the ledger knows by their contents;
 * in those of another version with the same embedding part. What counts is the record itself: it must
 * hold the content's fingerprint beside the vector.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "agent/lane/worker_vectors.h"
#include "base/clock.h"
#include "base/log.h"

/* Records of one read: an answer of some MiB. */
#define FETCH_RECORDS 200
/* Of a very long document, as many chunks are looked through for one that has moved. */
#define LOOKED_THROUGH ((size_t)4096)
/* Between the first failure of a read and the second. */
#define LOST_PAUSE_MS 1000
/* For so long it is not waited again for a store that has lost something. */
#define LOST_KNOWN_MS 60000
/* Requests that may fail, of one read, beyond the records that are read by others, before the rest of what
 * fails with them is bought. */
#define MOST_FAILURES 64
/* For so long a store of other versions that did not answer is not asked again for what is served. */
#define AWAY_MS 300000

struct candidate {
    struct content *content;
    const char *id;
};

struct place {
    struct sink *sink;
    const char *collection_id;
    struct candidate *candidates;
    size_t count;
};

/* Of one read. */
struct lost {
    size_t failures; /* of requests */
    size_t read;
    size_t records; /* given up */
};

static bool is_sound(const float *vector, size_t dims)
{
    double norm = 0;
    for (size_t i = 0; i < dims; i++)
        norm += (double)vector[i] * (double)vector[i];
    return isfinite(norm) && norm > 0;
}

/* A vector is only as good as the content_fp that stands with it in the same record. */
static bool is_record_of(const struct sink_record *record, const struct sha256 *fp, size_t dims)
{
    char text[SHA256_TEXT_SIZE];
    sha256_format(fp, text);
    if (!record->vector || record->dims != dims || !is_sound(record->vector, dims))
        return false;
    for (size_t i = 0; i < record->metadata_count; i++) {
        const struct field *field = &record->metadata[i];
        if (strcmp(field->name, "content_fp") == 0)
            return field->value.type == VALUE_STRING && strcmp(field->value.as.string, text) == 0;
    }
    return false;
}

static int compare_candidate(const void *a, const void *b)
{
    return strcmp(((const struct candidate *)a)->id, ((const struct candidate *)b)->id);
}

static void take(struct worker *worker, const struct place *place, const struct sink_record *record)
{
    size_t dims = worker->lane->embed.dims;
    struct candidate wanted = {.id = record->id};
    struct candidate *found =
        bsearch(&wanted, place->candidates, place->count, sizeof wanted, compare_candidate);
    if (!found || !content_is_open(found->content) ||
        !is_record_of(record, &content_chunk(found->content)->fp, dims))
        return;
    memcpy(found->content->vector, record->vector, dims * sizeof *record->vector);
    content_settle(worker, found->content, false);
    atomic_fetch_add(&worker->lane->stats.reused, 1);
}

static bool fetch_some(struct worker *worker, const struct place *place, const char **ids,
                       size_t count, struct err *err)
{
    struct sink_record *records;
    size_t found;
    arena_reset(worker->scratch);
    if ((worker->held && !worker_go_on(worker, worker->held, err)) ||
        !sink_fetch(place->sink, place->collection_id, ids, count, SINK_VECTORS | SINK_METADATA,
                    worker->scratch, &records, &found, err))
        return false;
    for (size_t i = 0; i < found; i++)
        take(worker, place, &records[i]);
    return true;
}

/* --- what the store has lost -------------------------------------------------------------------- */

/* The store itself says that it failed. One that is not reached, is busy or slow has lost nothing. */
static bool may_be_lost(const struct err *err)
{
    return err->action == ERR_RETRY &&
           ((err->domain == ERR_HTTP && err->code == 500) || err->domain == ERR_DATA);
}

/* It works as long as no vectors are asked for: it will not help to wait. */
static bool answers(struct worker *worker, const struct place *place, const char **ids,
                    struct err *err)
{
    struct sink_record *records;
    size_t found;
    arena_reset(worker->scratch);
    return sink_fetch(place->sink, place->collection_id, ids, 1, SINK_METADATA, worker->scratch,
                      &records, &found, err);
}

/* A store that fails for a moment is waited for; one that was found to have lost something is known. */
static bool pause_once(struct worker *worker, struct err *err)
{
    int64_t until_ms = clock_mono_ms() + LOST_PAUSE_MS;
    if (worker->lost_until_ms > clock_mono_ms())
        return true;
    while (clock_mono_ms() < until_ms) {
        if (worker_is_hurried(worker))
            return err_set(err, ERR_CANCEL, ERR_STATE, 0, "given up while waiting");
        clock_sleep_ms(20);
    }
    return true;
}

/* Chroma fails a whole answer for one record whose vector it has lost: these are told apart by halving.
 * *lost counts what is given up. */
static bool fetch_halves(struct worker *worker, const struct place *place, const char **ids,
                         size_t count, struct lost *lost, struct err *err)
{
    if (count == 1 || lost->failures >= MOST_FAILURES + lost->read) {
        lost->records += count;
        return true;
    }
    size_t cut = count / 2;
    for (int half = 0; half < 2; half++) {
        const char **part = half == 0 ? ids : ids + cut;
        size_t size = half == 0 ? cut : count - cut;
        if (worker_is_hurried(worker))
            return err_set(err, ERR_CANCEL, ERR_STATE, 0, "given up while reading");
        if (fetch_some(worker, place, part, size, err)) {
            lost->read += size;
            continue;
        }
        lost->failures++;
        if (!may_be_lost(err) || !fetch_halves(worker, place, part, size, lost, err))
            return false;
    }
    return true;
}

/* A vector that cannot be read after a second failure, from a store that answers otherwise, is bought. */
static bool fetch_patiently(struct worker *worker, const struct place *place, const char **ids,
                            size_t count, struct err *err)
{
    struct lost lost = {0};
    struct err why;
    if (fetch_some(worker, place, ids, count, err))
        return true;
    if (!may_be_lost(err) || !pause_once(worker, err))
        return false;
    if (fetch_some(worker, place, ids, count, err))
        return true;
    why = *err;
    if (!may_be_lost(err) || !answers(worker, place, ids, err) ||
        !fetch_halves(worker, place, ids, count, &lost, err))
        return false;
    if (lost.records == 0)
        return true;
    worker->lost_until_ms = clock_mono_ms() + LOST_KNOWN_MS;
    log_warn("lane.reuse.lost", LOG_STR("family", worker->lane->family->name),
             LOG_STR("version", worker->lane->label), LOG_STR("collection", place->collection_id),
             LOG_INT("records", (int64_t)lost.records), LOG_ERR(&why));
    return true;
}

static bool fetch(struct worker *worker, struct place *place, struct err *err)
{
    size_t most =
        place->sink->limits.max_ids < FETCH_RECORDS ? place->sink->limits.max_ids : FETCH_RECORDS;
    const char **ids = arena_alloc_array(worker->arena, place->count + 1, sizeof *ids);
    qsort(place->candidates, place->count, sizeof *place->candidates, compare_candidate);
    for (size_t i = 0; i < place->count; i++)
        ids[i] = place->candidates[i].id;
    for (size_t at = 0, part; at < place->count; at += part) {
        part = place->count - at < most ? place->count - at : most;
        if (!fetch_patiently(worker, place, ids + at, part, err))
            return false;
    }
    return true;
}

static bool may_be_copied(const struct content *content)
{
    return content_is_open(content) && !content->fresh;
}

/* --- in the document's own records -------------------------------------------------------------- */

/* Mostly it is still in its place. */
static size_t find_fp(const struct sha256 *fps, size_t count, const struct sha256 *fp, size_t place)
{
    if (place < count && sha256_equal(&fps[place], fp))
        return place;
    size_t most = count < LOOKED_THROUGH ? count : LOOKED_THROUGH, i = 0;
    while (i < most && !sha256_equal(&fps[i], fp))
        i++;
    return i < most ? i : count;
}

static const char *own_record(struct worker *worker, const struct want *want)
{
    const struct ledger_row *row = &want->task->row;
    const struct ledger_intent *intent = &row->intent;
    const struct sha256 *fp = &want->chunk->fp;
    size_t place = (size_t)(want->chunk - want->task->chunks);
    if (row->source_id) {
        size_t i = find_fp(row->chunks, row->chunk_count, fp, place);
        if (i < row->chunk_count)
            return task_record_id(worker->lane, worker->arena, row->source_id, i, fp);
    }
    if (row->has_intent && intent->source_id) {
        size_t i = find_fp(intent->chunks, intent->chunk_count, fp, place);
        if (i < intent->chunk_count)
            return task_record_id(worker->lane, worker->arena, intent->source_id, i, fp);
    }
    return NULL;
}

static bool copy_own(struct worker *worker, struct content_list *list, struct err *err)
{
    struct place place = {
        .sink = worker->sink,
        .collection_id = worker->lane->collection_id,
        .candidates = arena_alloc_array(worker->arena, list->count + 1, sizeof *place.candidates)};
    for (size_t i = 0; i < list->count; i++) {
        struct content *content = &list->items[i];
        const char *id = NULL;
        for (size_t w = 0; may_be_copied(content) && !id && w < content->want_count; w++)
            id = own_record(worker, &content->wants[w]);
        if (id)
            place.candidates[place.count++] = (struct candidate){content, id};
    }
    return place.count == 0 || fetch(worker, &place, err);
}

/* --- in those of other documents, and of other versions ----------------------------------------- */

struct version_place {
    struct ledger *ledger;
    struct sink *sink;
    const char *collection_id;
    bool content_ids;
};

static bool copy_from(struct worker *worker, const struct version_place *version,
                      struct content_list *list, struct err *err)
{
    struct arena *arena = worker->arena;
    struct place place = {.sink = version->sink,
                          .collection_id = version->collection_id,
                          .candidates =
                              arena_alloc_array(arena, list->count + 1, sizeof *place.candidates)};
    struct sha256 *fps = arena_alloc_array(arena, list->count + 1, sizeof *fps);
    struct ledger_donor *donors = arena_alloc_array(arena, list->count + 1, sizeof *donors);
    struct content **asked = arena_alloc_array(arena, list->count + 1, sizeof(struct content *));
    size_t count = 0;
    for (size_t i = 0; i < list->count; i++) {
        if (!may_be_copied(&list->items[i]))
            continue;
        fps[count] = content_chunk(&list->items[i])->fp;
        asked[count++] = &list->items[i];
    }
    if (count == 0)
        return true;
    if (!ledger_find_contents(version->ledger, fps, count, arena, donors, err))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (!donors[i].found)
            continue;
        const char *id =
            record_id(arena, version->content_ids, donors[i].source_id, donors[i].index, &fps[i]);
        place.candidates[place.count++] = (struct candidate){asked[i], id};
    }
    return place.count == 0 || fetch(worker, &place, err);
}

void worker_close_donors(struct worker *worker)
{
    pthread_mutex_lock(&worker->lock); /* who cuts requests goes through them */
    struct worker_donor *donors = worker->donors;
    size_t count = worker->donor_count;
    worker->donors = NULL;
    worker->donor_count = 0;
    pthread_mutex_unlock(&worker->lock);
    for (size_t i = 0; i < count; i++) {
        ledger_close(donors[i].ledger);
        sink_close(donors[i].sink);
        free(donors[i].collection_id);
    }
    free(donors);
}

static bool open_donor(struct worker *worker, const struct lane_donor *donor, struct err *err)
{
    const struct lane *lane = worker->lane;
    struct ledger_options options = {.pool = lane->agent->pool,
                                     .database = lane->agent->config->mongodb.state_database,
                                     .name = lane->agent->config->name,
                                     .build_id = donor->build_id,
                                     .owner = worker->owner};
    struct worker_donor opened = {.content_ids = donor->content_ids,
                                  .elsewhere = donor->store != lane->store};
    if (!ledger_open(&options, &opened.ledger, err))
        return false;
    if (!lane_open_sink(donor->store, lane->agent->limiters, &opened.sink, err)) {
        ledger_close(opened.ledger);
        return false;
    }
    opened.collection_id = strdup(donor->collection_id);
    pthread_mutex_lock(&worker->lock);
    worker->donors[worker->donor_count++] = opened;
    pthread_mutex_unlock(&worker->lock);
    return true;
}

/* The lane's list changes as versions come and go. */
static bool open_donors(struct worker *worker, struct err *err)
{
    struct lane *lane = worker->lane;
    unsigned revision = atomic_load(&lane->donor_revision);
    if (worker->donor_revision == revision)
        return true;
    worker_close_donors(worker);
    size_t count = 0;
    struct lane_donor *donors = lane_copy_donors(lane, worker->arena, &count, &revision);
    worker->donors = calloc(count + 1, sizeof *worker->donors);
    for (size_t i = 0; i < count; i++) {
        if (!open_donor(worker, &donors[i], err)) {
            worker_close_donors(worker);
            return false;
        }
    }
    worker->donor_revision = revision;
    return true;
}

/* Another version may be dropped at any time: what cannot be read there is bought, like a vector that is
 * lost. A server that is away is waited for; but what is served, or may be gone back to, stands still for no
 * store that it is not in. */
static bool stands(const struct worker *worker, const struct worker_donor *donor,
                   const struct err *err)
{
    bool of_store = err->domain == ERR_CURL || err->domain == ERR_HTTP;
    if (err->action != ERR_RETRY)
        return err->action == ERR_CANCEL;
    return !of_store || !donor->elsewhere || atomic_load(&worker->lane->rank) == RANK_SHADOW;
}

static bool copy_from_donor(struct worker *worker, struct worker_donor *donor,
                            struct content_list *list, struct err *err)
{
    struct version_place version = {donor->ledger, donor->sink, donor->collection_id,
                                    donor->content_ids};
    if (clock_mono_ms() < donor->away_until_ms)
        return true;
    donor->connected = donor->connected || sink_connect(donor->sink, err);
    if (donor->connected && copy_from(worker, &version, list, err))
        return true;
    if (stands(worker, donor, err))
        return false;
    if (err->action == ERR_RETRY)
        donor->away_until_ms = clock_mono_ms() + AWAY_MS;
    log_debug("lane.reuse.failed", LOG_STR("family", worker->lane->family->name),
              LOG_STR("version", worker->lane->label), LOG_ERR(err));
    return true;
}

static bool copy_from_donors(struct worker *worker, struct content_list *list, struct err *err)
{
    if (!open_donors(worker, err))
        return err->action != ERR_RETRY && err->action != ERR_CANCEL;
    for (size_t i = 0; i < worker->donor_count; i++) {
        if (!copy_from_donor(worker, &worker->donors[i], list, err))
            return false;
    }
    return true;
}

bool worker_copy(struct worker *worker, struct content_list *list, struct err *err)
{
    struct version_place own = {worker->ledger, worker->sink, worker->lane->collection_id,
                                lane_has_content_ids(worker->lane)};
    return list->count == 0 || (copy_own(worker, list, err) && copy_from(worker, &own, list, err) &&
                                copy_from_donors(worker, list, err));
}
