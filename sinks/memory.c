/* SPDX-License-Identifier: Apache-2.0 */
/* The store `memory`: all that the contract asks for, in the memory of the process, for tests and
 * for trying things out. Distances are those of Chroma: 1 - cosine, squared length, 1 - product.
 */
#include "sinks/memory.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "sinks/drivers.h"
#include "sinks/record_table.h"
#include "sinks/where.h"

#define PAGE_RECORDS 1000

struct memory_collection {
    struct memory_collection *next;
    char id[32];
    char *name;
    char *distance;
    struct field *fields;
    size_t field_count;
    size_t dims; /* of the first vector written; 0 until then */
    int64_t discarded;
    struct record_table table;
};

struct memory_store {
    struct memory_store *next;
    const struct sink_ops *ops;
    char *name;
    struct memory_collection *collections;
};

struct memory_sink {
    struct sink base;
    struct memory_store *store;
    bool documents;
    bool discard;
    _Atomic bool interrupted;
};

/* Guards every store: those who need it fast do not need it in memory. */
static pthread_mutex_t memory_lock = PTHREAD_MUTEX_INITIALIZER;
static struct memory_store *memory_stores;
static uint64_t memory_last_id;

static void *zeroed(size_t size)
{
    void *memory = calloc(1, size);
    if (!memory)
        abort();
    return memory;
}

static char *copy(const char *text)
{
    char *duplicate = strdup(text);
    if (!duplicate)
        abort();
    return duplicate;
}

static struct memory_store *store_of(const struct sink_ops *ops, const char *name)
{
    struct memory_store *store = memory_stores;
    while (store && (store->ops != ops || strcmp(store->name, name) != 0))
        store = store->next;
    if (store)
        return store;
    store = zeroed(sizeof *store);
    *store = (struct memory_store){.next = memory_stores, .ops = ops, .name = copy(name)};
    memory_stores = store;
    return store;
}

bool memory_open_as(const struct sink_ops *ops, const struct sink_options *options, bool discard,
                    struct sink **out, struct err *err)
{
    (void)err;
    struct memory_sink *self = zeroed(sizeof *self);
    self->base.ops = ops;
    self->base.limits =
        (struct sink_limits){.max_records = 1000, .max_body_size = SIZE_MAX, .max_ids = 1000};
    self->documents = options->documents;
    self->discard = discard;
    const char *name = options->url && *options->url ? options->url : options->name;
    pthread_mutex_lock(&memory_lock);
    self->store = store_of(ops, name);
    pthread_mutex_unlock(&memory_lock);
    *out = &self->base;
    return true;
}

static bool memory_open(const struct sink_options *options, struct sink **out, struct err *err)
{
    return memory_open_as(&memory_sink, options, false, out, err);
}

void memory_close(struct sink *sink)
{
    free(sink);
}

void memory_interrupt(struct sink *sink)
{
    atomic_store(&((struct memory_sink *)sink)->interrupted, true);
}

/* Every operation begins with memory_enter() and, when that is true, ends with memory_leave(). */
static bool memory_enter(struct memory_sink *self, struct err *err)
{
    if (atomic_load(&self->interrupted))
        return err_set(err, ERR_CANCEL, ERR_OS, 0, "interrupted");
    pthread_mutex_lock(&memory_lock);
    return true;
}

static bool memory_leave(bool ok)
{
    pthread_mutex_unlock(&memory_lock);
    return ok;
}

static struct memory_collection *by_name(const struct memory_store *store, const char *name)
{
    struct memory_collection *collection = store->collections;
    while (collection && strcmp(collection->name, name) != 0)
        collection = collection->next;
    return collection;
}

/* Where nothing is kept, a collection of another process or an earlier life of this one is as good as
 * one of ours. */
static struct memory_collection *by_id(const struct memory_sink *self, const char *id,
                                       struct err *err)
{
    struct memory_collection **at = &self->store->collections;
    while (*at && strcmp((*at)->id, id) != 0)
        at = &(*at)->next;
    if (!*at && self->discard) {
        *at = zeroed(sizeof **at);
        (*at)->name = copy(id);
        (*at)->distance = copy("");
        snprintf((*at)->id, sizeof(*at)->id, "%s", id);
    }
    if (!*at)
        err_set(err, ERR_FATAL, ERR_HTTP, 404, "the collection is gone: %.100s", id);
    return *at;
}

static struct field *fields_in(struct arena *arena, const struct field *fields, size_t count)
{
    struct field *copies = arena_alloc_array(arena, count + 1, sizeof *copies);
    for (size_t i = 0; i < count; i++) {
        copies[i] = fields[i];
        copies[i].name = arena_strdup(arena, fields[i].name);
        if (fields[i].value.type == VALUE_STRING)
            copies[i].value.as.string = arena_strdup(arena, fields[i].value.as.string);
    }
    return copies;
}

static void describe(const struct memory_collection *collection, struct arena *arena,
                     struct sink_collection *out)
{
    *out = (struct sink_collection){.dims = collection->dims,
                                    .metadata_count = collection->field_count};
    snprintf(out->id, sizeof out->id, "%s", collection->id);
    snprintf(out->name, sizeof out->name, "%s", collection->name);
    snprintf(out->distance, sizeof out->distance, "%s", collection->distance);
    out->metadata = fields_in(arena, collection->fields, collection->field_count);
}

bool memory_connect(struct sink *sink, struct err *err)
{
    return memory_enter((struct memory_sink *)sink, err) && memory_leave(true);
}

bool memory_find(struct sink *sink, const char *name, struct arena *arena, bool *found,
                 struct sink_collection *out, struct err *err)
{
    struct memory_sink *self = (struct memory_sink *)sink;
    if (!memory_enter(self, err))
        return false;
    const struct memory_collection *collection = by_name(self->store, name);
    *found = collection != NULL;
    if (collection)
        describe(collection, arena, out);
    return memory_leave(true);
}

bool memory_find_id(struct sink *sink, const char *id, struct arena *arena, bool *found,
                    struct sink_collection *out, struct err *err)
{
    struct memory_sink *self = (struct memory_sink *)sink;
    if (!memory_enter(self, err))
        return false;
    const struct memory_collection *collection = self->store->collections;
    while (collection && strcmp(collection->id, id) != 0)
        collection = collection->next;
    *found = collection != NULL;
    if (collection)
        describe(collection, arena, out);
    return memory_leave(true);
}

bool memory_create(struct sink *sink, const struct sink_spec *spec, struct arena *arena,
                   struct sink_collection *out, struct err *err)
{
    struct memory_sink *self = (struct memory_sink *)sink;
    if (!memory_enter(self, err))
        return false;
    if (by_name(self->store, spec->name))
        return memory_leave(
            err_set(err, ERR_FATAL, ERR_HTTP, 409, "collection %s: the name is taken", spec->name));
    struct memory_collection *collection = zeroed(sizeof *collection);
    collection->name = copy(spec->name);
    collection->distance = copy(spec->distance);
    collection->fields = fields_copy(spec->metadata, spec->metadata_count);
    collection->field_count = spec->metadata_count;
    snprintf(collection->id, sizeof collection->id, "memory-%" PRIu64, ++memory_last_id);
    struct memory_collection **end = &self->store->collections;
    while (*end)
        end = &(*end)->next;
    *end = collection;
    describe(collection, arena, out);
    return memory_leave(true);
}

bool memory_drop(struct sink *sink, const char *name, struct err *err)
{
    struct memory_sink *self = (struct memory_sink *)sink;
    if (!memory_enter(self, err))
        return false;
    struct memory_collection **at = &self->store->collections;
    while (*at && strcmp((*at)->name, name) != 0)
        at = &(*at)->next;
    struct memory_collection *gone = *at;
    if (gone) {
        *at = gone->next;
        record_table_fini(&gone->table);
        fields_free(gone->fields, gone->field_count);
        free(gone->name);
        free(gone->distance);
        free(gone);
    }
    return memory_leave(true);
}

bool memory_rename(struct sink *sink, const char *id, const char *name, struct err *err)
{
    struct memory_sink *self = (struct memory_sink *)sink;
    if (!memory_enter(self, err))
        return false;
    struct memory_collection *collection = by_id(self, id, err);
    if (!collection)
        return memory_leave(false);
    const struct memory_collection *holder = by_name(self->store, name);
    if (holder && holder != collection)
        return memory_leave(
            err_set(err, ERR_FATAL, ERR_HTTP, 409, "collection %s: the name is taken", name));
    free(collection->name);
    collection->name = copy(name);
    return memory_leave(true);
}

bool memory_list(struct sink *sink, struct arena *arena, struct sink_collection **out,
                 size_t *count, struct err *err)
{
    struct memory_sink *self = (struct memory_sink *)sink;
    if (!memory_enter(self, err))
        return false;
    size_t total = 0;
    for (const struct memory_collection *c = self->store->collections; c; c = c->next)
        total++;
    *out = arena_alloc_array(arena, total + 1, sizeof **out);
    for (const struct memory_collection *c = self->store->collections; c; c = c->next)
        describe(c, arena, &(*out)[(*count)++]);
    return memory_leave(true);
}

static bool check_dims(struct memory_collection *collection, const struct sink_record *records,
                       size_t count, struct err *err)
{
    size_t dims = collection->dims ? collection->dims : records[0].dims;
    for (size_t i = 0; i < count; i++) {
        if (records[i].dims != dims)
            return err_set(err, ERR_FATAL, ERR_HTTP, 400,
                           "the collection holds vectors of dimension %zu, got %zu", dims,
                           records[i].dims);
    }
    collection->dims = dims;
    return true;
}

bool memory_upsert(struct sink *sink, const char *collection, const struct sink_record *records,
                   size_t count, struct err *err)
{
    struct memory_sink *self = (struct memory_sink *)sink;
    if (!memory_enter(self, err))
        return false;
    struct memory_collection *held = by_id(self, collection, err);
    if (!held || !check_dims(held, records, count, err))
        return memory_leave(false);
    if (self->discard)
        held->discarded += (int64_t)count;
    for (size_t i = 0; i < count && !self->discard; i++)
        record_table_put(&held->table, &records[i], self->documents);
    return memory_leave(true);
}

bool memory_update(struct sink *sink, const char *collection, const struct sink_record *records,
                   size_t count, struct err *err)
{
    struct memory_sink *self = (struct memory_sink *)sink;
    if (!memory_enter(self, err))
        return false;
    struct memory_collection *held = by_id(self, collection, err);
    for (size_t i = 0; held && i < count; i++)
        record_table_update(&held->table, &records[i]);
    return memory_leave(held != NULL);
}

bool memory_erase(struct sink *sink, const char *collection, const char *const *ids, size_t count,
                  struct err *err)
{
    struct memory_sink *self = (struct memory_sink *)sink;
    if (!memory_enter(self, err))
        return false;
    struct memory_collection *held = by_id(self, collection, err);
    if (held)
        record_table_erase(&held->table, ids, count);
    return memory_leave(held != NULL);
}

bool memory_count(struct sink *sink, const char *collection, int64_t *out, struct err *err)
{
    struct memory_sink *self = (struct memory_sink *)sink;
    if (!memory_enter(self, err))
        return false;
    const struct memory_collection *held = by_id(self, collection, err);
    if (held)
        *out = held->discarded + (int64_t)held->table.count;
    return memory_leave(held != NULL);
}

static void read_record(const struct held_record *held, unsigned include, struct arena *arena,
                        struct sink_record *out)
{
    *out = (struct sink_record){.id = arena_strdup(arena, held->id)};
    if (include & SINK_METADATA) {
        out->metadata = fields_in(arena, held->fields, held->field_count);
        out->metadata_count = held->field_count;
    }
    if (include & SINK_VECTORS) {
        out->vector = arena_memdup(arena, held->vector, held->dims * sizeof *held->vector);
        out->dims = held->dims;
    }
    if ((include & SINK_TEXT) && held->text)
        out->text = arena_strdup(arena, held->text);
}

/* wide: the parameters of its slot */ /* NOLINTNEXTLINE(readability-function-size) */
bool memory_scan(struct sink *sink, const char *collection, size_t offset, unsigned include,
                 struct arena *arena, struct sink_record **out, size_t *count, struct err *err)
{
    struct memory_sink *self = (struct memory_sink *)sink;
    if (!memory_enter(self, err))
        return false;
    const struct memory_collection *held = by_id(self, collection, err);
    if (!held)
        return memory_leave(false);
    *out = arena_alloc_array(arena, PAGE_RECORDS, sizeof **out);
    for (size_t i = offset; i < held->table.count && *count < PAGE_RECORDS; i++)
        read_record(&held->table.records[i], include, arena, &(*out)[(*count)++]);
    return memory_leave(true);
}

/* wide: the parameters of its slot */ /* NOLINTNEXTLINE(readability-function-size) */
bool memory_fetch(struct sink *sink, const char *collection, const char *const *ids,
                  size_t id_count, unsigned include, struct arena *arena, struct sink_record **out,
                  size_t *count, struct err *err)
{
    struct memory_sink *self = (struct memory_sink *)sink;
    if (!memory_enter(self, err))
        return false;
    const struct memory_collection *held = by_id(self, collection, err);
    if (!held)
        return memory_leave(false);
    *out = arena_alloc_array(arena, id_count + 1, sizeof **out);
    for (size_t i = 0; i < id_count; i++) {
        const struct held_record *record = record_table_get(&held->table, ids[i]);
        if (record)
            read_record(record, include, arena, &(*out)[(*count)++]);
    }
    return memory_leave(true);
}

static double distance_of(const char *kind, const float *a, const float *b, size_t dims)
{
    double product = 0;
    double apart = 0;
    double a_norm = 0;
    double b_norm = 0;
    for (size_t i = 0; i < dims; i++) {
        double x = (double)a[i];
        double y = (double)b[i];
        product += x * y;
        apart += (x - y) * (x - y);
        a_norm += x * x;
        b_norm += y * y;
    }
    if (strcmp(kind, "l2") == 0)
        return apart;
    if (strcmp(kind, "ip") == 0)
        return 1 - product;
    double norms = sqrt(a_norm) * sqrt(b_norm);
    return norms > 0 ? 1 - product / norms : 1;
}

struct candidate {
    const struct held_record *record;
    double distance;
};

static int nearer(const void *a, const void *b)
{
    double x = ((const struct candidate *)a)->distance;
    double y = ((const struct candidate *)b)->distance;
    return (x > y) - (x < y);
}

/* The candidates of the query, nearest first; to be freed. */
static struct candidate *rank(const struct memory_collection *held, const struct sink_query *query,
                              const cJSON *where, size_t *count)
{
    struct candidate *candidates = zeroed((held->table.count + 1) * sizeof *candidates);
    *count = 0;
    for (size_t i = 0; i < held->table.count; i++) {
        const struct held_record *record = &held->table.records[i];
        if (where && !where_passes(where, record->fields, record->field_count))
            continue;
        double distance = distance_of(held->distance, query->vector, record->vector, query->dims);
        candidates[(*count)++] = (struct candidate){record, distance};
    }
    qsort(candidates, *count, sizeof *candidates, nearer);
    return candidates;
}

/* wide: the parameters of its slot */ /* NOLINTNEXTLINE(readability-function-size) */
bool memory_query(struct sink *sink, const char *collection, const float *vector, size_t dims,
                  size_t k, const char *where, struct arena *arena, struct sink_match **out,
                  size_t *count, struct err *err)
{
    struct memory_sink *self = (struct memory_sink *)sink;
    const struct sink_query query = {.vector = vector, .dims = dims, .k = k};
    CLEANUP(cJSON_Deletep) cJSON *filter = where ? json_parse(where, strlen(where), NULL) : NULL;
    if (!memory_enter(self, err))
        return false;
    const struct memory_collection *held = by_id(self, collection, err);
    if (!held)
        return memory_leave(false);
    if (held->dims != 0 && held->dims != dims)
        return memory_leave(err_set(err, ERR_FATAL, ERR_HTTP, 400,
                                    "the collection holds vectors of dimension %zu, got %zu",
                                    held->dims, dims));
    size_t found = 0;
    struct candidate *candidates = rank(held, &query, filter, &found);
    *count = found < k ? found : k;
    *out = arena_alloc_array(arena, *count + 1, sizeof **out);
    for (size_t i = 0; i < *count; i++) {
        (*out)[i].distance = candidates[i].distance;
        read_record(candidates[i].record, SINK_METADATA | SINK_TEXT, arena, &(*out)[i].record);
    }
    free(candidates);
    return memory_leave(true);
}

const struct sink_ops memory_sink = {
    .name = "memory",
    .writers = 1,
    .open = memory_open,
    .connect = memory_connect,
    .find = memory_find,
    .find_id = memory_find_id,
    .create = memory_create,
    .drop = memory_drop,
    .rename = memory_rename,
    .list = memory_list,
    .upsert = memory_upsert,
    .update = memory_update,
    .erase = memory_erase,
    .count = memory_count,
    .scan = memory_scan,
    .fetch = memory_fetch,
    .query = memory_query,
    .interrupt = memory_interrupt,
    .close = memory_close,
};
