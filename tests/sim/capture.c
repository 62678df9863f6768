/* SPDX-License-Identifier: Apache-2.0 */
/* What the leader appends: stream and snapshot of a generation, alternating as the protocol has it; and
 * what a leader that was replaced has left behind. It is not the code under test: it is taken to be
 * right. */
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "sim/sim.h"

struct event {
    int doc;
    int64_t ver;
    bool deleted;
    bool has_image; /* else it is looked up, when the event is appended */
    struct sim_doc image;
};

struct item {
    int doc;
    enum item_op op;
    struct sim_doc image; /* UPSERT */
    char ver[SIM_VER_SIZE];
    int64_t gen;
};

/* Of a leader that was replaced: read, and not appended yet. */
#define MAX_HELD 8

static struct {
    struct event *events;
    int count;
    int capacity;
    int at;    /* next to be appended */
    int first; /* of this generation */
    int round; /* a slice is read once all before this one are appended */
    int scanned;
    int64_t gen;
    char t0[SIM_VER_SIZE];
    int64_t start[SIM_PARTITIONS];
    int64_t end[SIM_PARTITIONS];
    struct item held[MAX_HELD];
    int held_count;
} stream;

static void mark_highs(int64_t *out)
{
    for (int p = 0; p < world.partitions; p++)
        out[p] = log_high(p);
}

static void begin_generation(void)
{
    stream.gen++;
    format_ver(source_now(), stream.t0);
    stream.first = stream.at = stream.round = stream.count;
    stream.scanned = 0;
    mark_highs(stream.start);
    sim_trace("generation %lld begins at %s", (long long)stream.gen, stream.t0);
}

void capture_begin(void)
{
    memset(&stream, 0, sizeof stream);
    begin_generation();
}

void capture_end(void)
{
    free(stream.events);
}

void capture_note(int doc, const struct sim_doc *image, bool deleted)
{
    if (stream.count == stream.capacity) {
        stream.capacity = 2 * stream.capacity + 64;
        stream.events = realloc(stream.events, (size_t)stream.capacity * sizeof *stream.events);
    }
    struct event *event = &stream.events[stream.count++];
    *event = (struct event){
        .doc = doc, .ver = source_now(), .deleted = deleted, .has_image = image != NULL};
    if (image)
        event->image = *image;
}

static void append_item(const struct item *item)
{
    CLEANUP(buf_fini) struct buf value = BUF_INIT(64 * KIB);
    struct record record = {.key = source_key(item->doc),
                            .key_size = strlen(source_key(item->doc)),
                            .op = item->op,
                            .gen = item->gen,
                            .ver = item->ver};
    if (item->op == ITEM_UPSERT) {
        bson_t *bson = source_bson(item->doc, &item->image);
        if (!shape_encode(world.family->shape, bson, &value, NULL))
            abort();
        bson_destroy(bson);
    } else if (item->op == ITEM_REREAD) {
        buf_append(&value, REREAD_VALUE, REREAD_VALUE_SIZE);
    }
    if (item->op != ITEM_DELETE) {
        record.value = buf_str(&value);
        record.value_size = value.size;
    }
    log_append(record_partition(record.key, record.key_size, world.partitions), &record);
}

static struct item item_of_event(const struct event *event)
{
    const struct sim_doc *image = event->has_image ? &event->image : source_doc(event->doc);
    struct item item = {.doc = event->doc, .op = ITEM_UPSERT, .image = *image, .gen = stream.gen};
    format_ver(event->ver, item.ver);
    if (event->deleted)
        item.op = ITEM_DELETE;
    else if (!image->exists || sched_chance(0.05))
        item.op = ITEM_REREAD; /* nothing was found, or it is too large */
    else if (image->hidden)
        item.op = ITEM_DELETE;
    return item;
}

static void read_slice(void)
{
    for (int rows = 0; rows < 2 && stream.scanned < SIM_DOCS; rows++) {
        struct item item = {.doc = stream.scanned++, .op = ITEM_UPSERT, .gen = stream.gen};
        item.image = *source_doc(item.doc);
        memcpy(item.ver, stream.t0, sizeof item.ver);
        if (item.image.exists && !item.image.hidden)
            append_item(&item);
    }
    stream.round = stream.count;
    if (stream.scanned == SIM_DOCS)
        mark_highs(stream.end);
}

static void go_on_with_event(void)
{
    struct item item = item_of_event(&stream.events[stream.at++]);
    append_item(&item);
}

void capture_go_on(void)
{
    if (stream.scanned < SIM_DOCS && stream.at >= stream.round && sched_chance(0.5))
        read_slice();
    else if (stream.at < stream.count)
        go_on_with_event();
}

bool capture_is_done(void)
{
    return stream.at == stream.count && stream.scanned == SIM_DOCS;
}

/* Another leader begins at the durable token, which is behind. */
void capture_replay(void)
{
    int back = (int)sched_below(6);
    stream.at = stream.at - back > stream.first ? stream.at - back : stream.first;
    if (stream.scanned > 0 && stream.scanned < SIM_DOCS && sched_chance(0.5))
        stream.scanned--;
    oracle_note_again(back);
    sim_trace("another leader begins %d events back", back);
}

static void land_held(void)
{
    const struct item *item = &stream.held[--stream.held_count];
    sim_trace("late: what a leader of generation %lld held of %s", (long long)item->gen,
              source_key(item->doc));
    oracle_note_again(1);
    append_item(item);
}

/* What the old one had in its queue lands behind what the new one has appended. */
void capture_late_record(void)
{
    if (stream.held_count > 0 && sched_chance(world.healing ? 0.7 : 0.1)) {
        land_held();
        return;
    }
    int p = (int)sched_below((uint64_t)world.partitions);
    if (log_high(p) == 0)
        return;
    int64_t offset = (int64_t)sched_below((uint64_t)log_high(p));
    struct record record = log_entry(p, offset)->record;
    oracle_note_again(1);
    sim_trace("late: what stood at %d@%lld", p, (long long)offset);
    log_append(p, &record);
}

/* Nobody leads for a while, and what was not yet appended is lost to the new leader; the old one may have
 * read some of it. */
void capture_new_generation(void)
{
    for (uint64_t writes = sched_below(12); writes > 0; writes--) {
        if (sched_chance(0.5))
            source_write();
        else
            source_come_and_go();
    }
    for (int at = stream.at; at < stream.count && stream.held_count < MAX_HELD; at++) {
        if (sched_chance(0.5))
            stream.held[stream.held_count++] = item_of_event(&stream.events[at]);
    }
    begin_generation();
}

int64_t capture_gen(void)
{
    return stream.gen;
}

const char *capture_t0(void)
{
    return stream.t0;
}

const int64_t *capture_start_offsets(void)
{
    return stream.start;
}

const int64_t *capture_end_offsets(void)
{
    return stream.scanned == SIM_DOCS ? stream.end : NULL;
}

void capture_reread(int lane, const char *key)
{
    struct record record = {.key = key,
                            .key_size = strlen(key),
                            .op = ITEM_REREAD,
                            .value = REREAD_VALUE,
                            .value_size = REREAD_VALUE_SIZE,
                            .gen = stream.gen,
                            .ver = stream.t0};
    sim_trace("re-read of %s for lane %d", key, lane);
    log_append(record_partition(key, record.key_size, world.partitions), &record);
}
