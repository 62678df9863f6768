/* SPDX-License-Identifier: Apache-2.0 */
/* A store that may carry out a request at any time until its time-out, whoever has sent it and whatever
 * has become of him; in part; or without an answer. */
#include <assert.h>
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

#include "sim/sim.h"
#include "sinks/record_table.h"
#include "sinks/sink.h"

#define MAX_REQUESTS 64

enum request_kind { UPSERT, UPDATE, ERASE };

/* One record or id of a request; a request is as many of them. */
struct request {
    bool used;
    enum request_kind kind;
    int lane;
    int process, life; /* the sender */
    int64_t due_us;
    uint64_t number;
    struct held_record record; /* owned; with ERASE only the id */
};

struct simulated {
    struct sink base;
    int64_t timeout_ms;
    bool interrupted;
};

static struct {
    struct record_table tables[SIM_LANES];
    struct request requests[MAX_REQUESTS];
    size_t waiting;
    uint64_t last_number;
} store;

bool __wrap_sink_open(const struct sink_options *options, struct sink **out, struct err *err);

void stores_begin(void)
{
    memset(&store, 0, sizeof store);
}

static void release(struct request *request)
{
    free(request->record.id);
    free(request->record.vector);
    free(request->record.text);
    fields_free(request->record.fields, request->record.field_count);
    request->used = false;
    store.waiting--;
}

void stores_end(void)
{
    for (int i = 0; i < SIM_LANES; i++)
        record_table_fini(&store.tables[i]);
    for (int i = 0; i < MAX_REQUESTS; i++) {
        if (store.requests[i].used)
            release(&store.requests[i]);
    }
}

const struct record_table *store_table(int lane)
{
    return &store.tables[lane];
}

static void carry_out(struct request *request)
{
    static const char *const names[] = {"upsert", "update", "erase"};
    struct record_table *table = &store.tables[request->lane];
    const char *id = request->record.id;
    struct sink_record record = {.id = id,
                                 .vector = request->record.vector,
                                 .dims = request->record.dims,
                                 .text = request->record.text,
                                 .metadata = request->record.fields,
                                 .metadata_count = request->record.field_count};
    sim_trace("store of lane %d: %s %s, sent by process %d.%d", request->lane, names[request->kind],
              id, request->process, request->life);
    if (request->kind == UPSERT) {
        record_table_put(table, &record, true);
        oracle_note_stored(request->process);
    } else if (request->kind == UPDATE) {
        record_table_update(table, &record);
    } else {
        record_table_erase(table, &id, 1);
    }
    release(request);
}

/* Those of one request in their order. */
static struct request *earliest(int64_t until_us)
{
    struct request *found = NULL;
    for (int i = 0; store.waiting > 0 && i < MAX_REQUESTS; i++) {
        struct request *request = &store.requests[i];
        if (!request->used || request->due_us > until_us)
            continue;
        if (!found || request->due_us < found->due_us ||
            (request->due_us == found->due_us && request->number < found->number))
            found = request;
    }
    return found;
}

void stores_tick(void)
{
    struct request *request;
    while ((request = earliest(sched_now_us())))
        carry_out(request);
}

int64_t stores_next_us(void)
{
    const struct request *request = earliest(INT64_MAX - 1);
    return request ? request->due_us : INT64_MAX;
}

void store_damage(int lane, const char *source_id)
{
    struct record_table *table = &store.tables[lane];
    size_t size = strlen(source_id);
    for (size_t i = 0; i < table->count; i++) {
        struct held_record *held = &table->records[i],
                           *other = &table->records[table->count - 1 - i];
        if (strncmp(held->id, source_id, size) != 0 || held->id[size] != ':' || sched_chance(0.5))
            continue;
        sim_trace("store of lane %d: %s is damaged", lane, held->id);
        char *id = sim_strdup(held->id);
        struct sink_record stale = {.id = id,
                                    .vector = other->vector,
                                    .dims = other->dims,
                                    .text = other->text,
                                    .metadata = other->fields,
                                    .metadata_count = other->field_count};
        if (other != held && sched_chance(0.5))
            record_table_put(table, &stale, true);
        else
            record_table_erase(table, (const char *const *)&id, 1);
        free(id);
        return;
    }
}

static void add_request(enum request_kind kind, int lane, int64_t due_us,
                        const struct sink_record *record)
{
    int at = 0;
    while (store.requests[at].used)
        assert(++at < MAX_REQUESTS);
    const struct sim_process *process = sim_process();
    store.waiting++;
    store.requests[at] =
        (struct request){.used = true,
                         .kind = kind,
                         .lane = lane,
                         .process = process->number,
                         .life = process->life,
                         .due_us = due_us,
                         .number = store.last_number++,
                         .record = {.id = sim_strdup(record->id),
                                    .dims = record->dims,
                                    .fields = fields_copy(record->metadata, record->metadata_count),
                                    .field_count = record->metadata_count}};
    struct held_record *held = &store.requests[at].record;
    if (record->vector)
        held->vector = sim_memdup(record->vector, record->dims * sizeof *record->vector);
    if (record->text)
        held->text = sim_strdup(record->text);
}

static bool may_send(const struct sink *sink, struct err *err)
{
    if (world.mutant == MUTANT_GUARD_SAYS_YES || !sink->may_send ||
        sink->may_send(sink->guard_context))
        return true;
    return err_set(err, ERR_CANCEL, ERR_CURL, 0, "not sent, the guard refused");
}

static bool timed_out(struct err *err)
{
    return err_set(err, ERR_RETRY, ERR_CURL, CURLE_OPERATION_TIMEDOUT, "timed out");
}

/* When the store is done with a record, from now on. */
static int64_t pick_due_us(const struct simulated *self, bool late)
{
    int64_t most_us = self->timeout_ms * 1000;
    if (world.mutant == MUTANT_LATE_FOR_EVER)
        most_us *= 20;
    return sched_now_us() + (late ? sched_between(0, most_us) : 0);
}

/* Sends all of it; what the sender hears follows from what becomes of it. */
static bool send_all(struct simulated *self, enum request_kind kind, int lane,
                     const struct sink_record *records, size_t count, struct err *err)
{
    if (sim_fault(world.faults.store_not_done))
        return sched_chance(0.5)
                   ? err_set(err, ERR_RETRY, ERR_CURL, CURLE_COULDNT_CONNECT, "no connection")
                   : err_set(err, ERR_RETRY, ERR_HTTP, 503, "busy");
    bool in_part = sim_fault(world.faults.store_in_part);
    bool late = sim_fault(world.faults.store_late);
    int64_t last_us = sched_now_us(), until_us = last_us + self->timeout_ms * 1000;
    for (size_t i = 0; i < count; i++) {
        int64_t due_us = pick_due_us(self, late);
        if (in_part && sched_chance(0.5))
            continue;
        last_us = due_us > last_us ? due_us : last_us;
        add_request(kind, lane, due_us, &records[i]);
    }
    stores_tick();
    bool unanswered = in_part || sim_fault(world.faults.store_unanswered) || last_us > until_us;
    if (unanswered && sched_chance(0.5))
        return err_set(err, ERR_RETRY, ERR_HTTP, 502, "the connection was cut");
    sched_sleep_until_us(unanswered ? until_us : last_us);
    if (self->interrupted)
        return err_set(err, ERR_CANCEL, ERR_CURL, 0, "interrupted");
    return !unanswered || timed_out(err);
}

static bool exchange(struct sink *sink, enum request_kind kind, const char *collection,
                     const struct sink_record *records, size_t count, struct err *err)
{
    static const char *const names[] = {"store upsert", "store update", "store erase"};
    struct simulated *self = (struct simulated *)sink;
    if (!sim_enter(names[kind], err))
        return false;
    if (self->interrupted)
        return err_set(err, ERR_CANCEL, ERR_CURL, 0, "interrupted");
    int lane = lane_of_collection(collection);
    if (!may_send(sink, err))
        return false;
    if (group_is_lost(sim_process(), lane))
        sim_fail(
            "P4: process %d sends to the store of lane %d, and its partitions may be another's",
            sim_process()->number, lane);
    return send_all(self, kind, lane, records, count, err) && sim_leave(err);
}

static bool simulated_upsert(struct sink *sink, const char *collection,
                             const struct sink_record *records, size_t count, struct err *err)
{
    return exchange(sink, UPSERT, collection, records, count, err);
}

static bool simulated_update(struct sink *sink, const char *collection,
                             const struct sink_record *records, size_t count, struct err *err)
{
    return exchange(sink, UPDATE, collection, records, count, err);
}

static bool simulated_erase(struct sink *sink, const char *collection, const char *const *ids,
                            size_t count, struct err *err)
{
    struct sink_record *records = calloc(count, sizeof *records);
    for (size_t i = 0; i < count; i++)
        records[i].id = ids[i];
    bool ok = exchange(sink, ERASE, collection, records, count, err);
    free(records);
    return ok;
}

static void copy_out(const struct held_record *held, unsigned include, struct arena *arena,
                     struct sink_record *out)
{
    *out = (struct sink_record){.id = arena_strdup(arena, held->id)};
    if (include & SINK_VECTORS) {
        out->vector = arena_memdup(arena, held->vector, held->dims * sizeof *held->vector);
        out->dims = held->dims;
    }
    if (!(include & SINK_METADATA))
        return;
    struct field *fields = arena_alloc_array(arena, held->field_count + 1, sizeof *fields);
    for (size_t i = 0; i < held->field_count; i++) {
        fields[i] = held->fields[i];
        fields[i].name = arena_strdup(arena, held->fields[i].name);
        if (fields[i].value.type == VALUE_STRING)
            fields[i].value.as.string = arena_strdup(arena, fields[i].value.as.string);
    }
    out->metadata = fields;
    out->metadata_count = held->field_count;
}

/* wide: the signature of the ops table's slot */
static bool simulated_fetch(struct sink *sink, const char *collection, const char *const *ids,
                            size_t id_count, unsigned include, struct arena *arena,
                            struct sink_record **out, size_t *count, struct err *err)
{
    struct simulated *self = (struct simulated *)sink;
    if (!sim_enter("store fetch", err) || !may_send(sink, err))
        return false;
    if (self->interrupted)
        return err_set(err, ERR_CANCEL, ERR_CURL, 0, "interrupted");
    if (sim_fault(world.faults.store_not_done))
        return err_set(err, ERR_RETRY, ERR_HTTP, 503, "busy");
    *out = arena_alloc_array(arena, id_count + 1, sizeof **out);
    for (size_t i = 0; i < id_count; i++) {
        const struct held_record *held =
            record_table_get(&store.tables[lane_of_collection(collection)], ids[i]);
        if (held)
            copy_out(held, include, arena, &(*out)[(*count)++]);
    }
    return sim_leave(err);
}

static bool simulated_connect(struct sink *sink, struct err *err)
{
    sink->limits = (struct sink_limits){
        .max_records = world.store_records, .max_body_size = 1000000, .max_ids = 3};
    return sim_enter("store connect", err) &&
           (!sim_fault(world.faults.store_not_done) ||
            err_set(err, ERR_RETRY, ERR_CURL, CURLE_COULDNT_CONNECT, "no connection"));
}

static void simulated_interrupt(struct sink *sink)
{
    ((struct simulated *)sink)->interrupted = true;
}

static void simulated_close(struct sink *sink)
{
    free(sink);
}

static const struct sink_ops simulated_ops = {.name = "simulated",
                                              .connect = simulated_connect,
                                              .upsert = simulated_upsert,
                                              .update = simulated_update,
                                              .erase = simulated_erase,
                                              .fetch = simulated_fetch,
                                              .interrupt = simulated_interrupt,
                                              .close = simulated_close};

bool __wrap_sink_open(const struct sink_options *options, struct sink **out, struct err *err)
{
    struct simulated *self = calloc(1, sizeof *self);
    (void)err;
    self->base.ops = &simulated_ops;
    self->timeout_ms = options->timeout_ms;
    *out = &self->base;
    return true;
}
