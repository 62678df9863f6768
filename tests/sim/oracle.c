/* SPDX-License-Identifier: Apache-2.0 */
/* What must be true of ledger and store, computed from the source alone. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/limits.h"
#include "embed/chunk.h"
#include "embed/fingerprint.h"
#include "sim/sim.h"
#include "sinks/record_table.h"

#define MOST_CHUNKS 8
/* How much more than what is needed may be bought although nothing goes wrong: a content that moves from
 * one document to another may leave the one before it has come to the other, as they are of other
 * partitions or batches. */
#define BUY_SLACK 8

struct piece {
    struct sha256 fp;
    char text[256];
};

struct image {
    struct piece pieces[MOST_CHUNKS];
    size_t count;
    bool poison;
};

static struct {
    struct arena *arena;
    cJSON *objects[SIM_LANES];
    struct embed_config embeds[SIM_LANES];
    struct image last[SIM_LANES][SIM_DOCS]; /* as written last */
    size_t needed[SIM_LANES];               /* of each embedder */
    size_t bought[SIM_LANES];
    size_t lost; /* may be bought again */
    struct {
        int64_t gen;
        char ver[SIM_VER_SIZE];
    } rows[SIM_LANES][SIM_DOCS];
} oracle;

static void read_image(int lane, int index, struct image *out)
{
    const struct sim_doc *doc = source_doc(index);
    struct arena *arena = arena_new(MIB);
    struct chunk_list list = {0};
    const char *text = source_text(doc);
    memset(out, 0, sizeof *out);
    if (doc->exists && !doc->hidden)
        chunk_text(&oracle.embeds[lane].chunk, text, strlen(text), arena, &list);
    for (size_t i = 0; i < list.count; i++) {
        struct piece *piece = &out->pieces[out->count++];
        snprintf(piece->text, sizeof piece->text, "%.*s", (int)list.spans[i].size,
                 text + list.spans[i].start);
        piece->fp = content_fp(piece->text, strlen(piece->text));
        out->poison = out->poison || text_is_poison(piece->text);
    }
    arena_free(arena);
}

static bool holds(const struct image *image, size_t count, const struct sha256 *fp)
{
    for (size_t i = 0; i < count; i++) {
        if (memcmp(&image->pieces[i].fp, fp, sizeof *fp) == 0)
            return true;
    }
    return false;
}

/* Does any document have this content, as a version cuts it that uses the embedder? */
static bool is_alive(int embedder, const struct sha256 *fp)
{
    for (int lane = 0; lane < world.lane_count; lane++) {
        for (int i = 0; world.lanes[lane].embedder == embedder && i < SIM_DOCS; i++) {
            const struct image *image = &oracle.last[lane][i];
            if (holds(image, image->count, fp))
                return true;
        }
    }
    return false;
}

/* A content is needed once for as long as any document has it. */
void oracle_note_write(int index)
{
    struct image images[SIM_LANES];
    for (int lane = 0; lane < world.lane_count; lane++) {
        int embedder = world.lanes[lane].embedder;
        struct image *image = &images[lane];
        read_image(lane, index, image);
        for (size_t i = 0; i < image->count; i++) {
            const struct sha256 *fp = &image->pieces[i].fp;
            oracle.needed[embedder] += !is_alive(embedder, fp) && !holds(image, i, fp);
        }
    }
    for (int lane = 0; lane < world.lane_count; lane++)
        oracle.last[lane][index] = images[lane];
}

void oracle_note_bought(int embedder, const char *text, size_t size)
{
    sim_trace("embedder %d sells '%.*s'", embedder, (int)size, text);
    const char *prefix = world.config->embedders[embedder].document_prefix;
    if (strncmp(text, prefix, strlen(prefix)) == 0) /* else it is tried whether it takes any */
        oracle.bought[embedder]++, sim_process()->in_hand++;
}

void oracle_note_stored(int process)
{
    if (world.processes[process].in_hand > 0)
        world.processes[process].in_hand--;
}

void oracle_note_loss(void)
{
    for (int i = 0; i < world.process_count; i++)
        oracle.lost += world.processes[i].in_hand;
}

void oracle_note_erased(size_t chunks)
{
    oracle.lost += chunks;
}

void oracle_note_again(int documents)
{
    oracle.lost += (size_t)(documents * MOST_SENTENCES * world.lane_count);
}

void oracle_begin(void)
{
    memset(&oracle, 0, sizeof oracle);
    oracle.arena = arena_new(MIB);
    for (int lane = 0; lane < world.lane_count; lane++) {
        struct err err;
        const char *embed = world.lanes[lane].version.embed;
        oracle.objects[lane] = json_parse(embed, strlen(embed), &err);
        if (!embed_config_read(oracle.objects[lane], oracle.arena, &oracle.embeds[lane], &err))
            sim_fail("%s", err.text);
    }
}

static int doc_of_key(const char *key)
{
    for (int i = 0; i < SIM_DOCS; i++) {
        if (strcmp(source_key(i), key) == 0)
            return i;
    }
    sim_fail("a row of nobody's key %s", key);
}

/* --- while it runs ---------------------------------------------------------------------------- */

void oracle_note_row(int lane, const char *key)
{
    struct arena *arena = arena_new(MIB);
    struct ledger_row row;
    int index = doc_of_key(key);
    int64_t gen = oracle.rows[lane][index].gen;
    char *ver = oracle.rows[lane][index].ver;
    ledger_peek(lane, key, arena, &row);
    if (ledger_compare(row.gen, row.ver, gen, ver) < 0)
        sim_fail("I5: the row of %s in lane %d fell from gen %lld ver %s to gen %lld ver %s", key,
                 lane, (long long)gen, ver, (long long)row.gen, row.ver);
    oracle.rows[lane][index].gen = row.gen;
    snprintf(ver, SIM_VER_SIZE, "%s", row.ver);
    arena_free(arena);
}

void oracle_forget_row(int lane, const char *key)
{
    int index = doc_of_key(key);
    oracle.rows[lane][index].gen = 0;
    oracle.rows[lane][index].ver[0] = '\0';
}

void oracle_note_commit(const char *group, int partition, int64_t from, int64_t to)
{
    struct arena *arena = arena_new(MIB);
    int lane = lane_of_group(group);
    for (int64_t offset = from; offset < to; offset++) {
        const struct sim_entry *entry = log_entry(partition, offset);
        const struct record *record = &entry->record;
        if (entry->gone || record->gen < capture_gen())
            continue;
        struct ledger_row row;
        ledger_peek(lane, record->key, arena, &row);
        if (!row.exists && record->op != ITEM_UPSERT)
            continue; /* there is nothing that could be deleted */
        if (ledger_compare(row.gen, row.ver, record->gen, record->ver) < 0)
            sim_fail(
                "I7: lane %d commits %d@%lld, and the row of %s is at gen %lld ver '%s', not gen "
                "%lld ver %s",
                lane, partition, (long long)to, record->key, (long long)row.gen, row.ver,
                (long long)record->gen, record->ver);
    }
    arena_free(arena);
}

/* --- at the end ------------------------------------------------------------------------------- */

struct expected {
    int lane;
    int index;
    size_t chunk;
    const struct piece *piece;
    char id[96];
};

static void name_record(struct expected *expected)
{
    const uint8_t *b = expected->piece->fp.bytes;
    int size = snprintf(expected->id, sizeof expected->id, "%s:%zu", source_id(expected->index),
                        expected->chunk);
    if (strcmp(oracle.embeds[expected->lane].id_scheme, "content") == 0)
        snprintf(expected->id + size, sizeof expected->id - (size_t)size, ":%02x%02x%02x%02x", b[0],
                 b[1], b[2], b[3]);
}

static void expect_string(const struct expected *expected, const struct held_record *held,
                          const char *name, const char *value)
{
    for (size_t i = 0; i < held->field_count; i++) {
        const struct field *field = &held->fields[i];
        if (strcmp(field->name, name) != 0)
            continue;
        if (field->value.type == VALUE_STRING && strcmp(field->value.as.string, value) == 0)
            return;
        sim_fail("I2: %s of record %s in lane %d is not %s", name, expected->id, expected->lane,
                 value);
    }
    sim_fail("I2: record %s in lane %d has no %s", expected->id, expected->lane, name);
}

static void expect_number(const struct expected *expected, const struct held_record *held,
                          const char *name, int64_t value)
{
    for (size_t i = 0; i < held->field_count; i++) {
        const struct field *field = &held->fields[i];
        if (strcmp(field->name, name) == 0 && field->value.type == VALUE_INT &&
            field->value.as.integer == value)
            return;
    }
    sim_fail("I2: %s of record %s in lane %d is not %lld", name, expected->id, expected->lane,
             (long long)value);
}

static void check_vector(const struct expected *expected, const struct held_record *held)
{
    char text[512];
    float vector[SIM_DIMS];
    int size = snprintf(text, sizeof text, "%s%s", oracle.embeds[expected->lane].document_prefix,
                        expected->piece->text);
    embed_vector(text, (size_t)size, vector);
    if (held->dims != SIM_DIMS || memcmp(held->vector, vector, sizeof vector) != 0)
        sim_fail("I2: the vector of record %s in lane %d is not that of its text", expected->id,
                 expected->lane);
    if (!held->text || strcmp(held->text, expected->piece->text) != 0)
        sim_fail("I2: the text of record %s in lane %d is '%s', not '%s'", expected->id,
                 expected->lane, held->text ? held->text : "", expected->piece->text);
}

static void check_record(const struct expected *expected)
{
    const struct sim_doc *doc = source_doc(expected->index);
    const struct sim_lane *lane = &world.lanes[expected->lane];
    const struct held_record *held = record_table_get(store_table(expected->lane), expected->id);
    char fp[SHA256_TEXT_SIZE];
    if (!held)
        sim_fail("I1: record %s is not in the store of lane %d", expected->id, expected->lane);
    sha256_format(&expected->piece->fp, fp);
    expect_string(expected, held, "source_id", source_id(expected->index));
    expect_string(expected, held, "chunk_id", expected->id);
    expect_string(expected, held, "family", "ducks");
    expect_string(expected, held, "version", lane->label);
    expect_string(expected, held, "config_fp", lane->version.config_fp);
    expect_string(expected, held, "content_fp", fp);
    expect_number(expected, held, "tag", doc->tag);
    if (doc->has_number)
        expect_number(expected, held, "number", doc->tag * 10);
    if (held->field_count != (doc->has_number ? 8U : 7U))
        sim_fail("I2: record %s in lane %d has %zu fields", expected->id, expected->lane,
                 held->field_count);
    check_vector(expected, held);
}

static void check_row(int lane, int index, const struct image *image)
{
    struct arena *arena = arena_new(MIB);
    const struct sim_doc *doc = source_doc(index);
    struct ledger_row row;
    const char *key = source_key(index);
    ledger_peek(lane, key, arena, &row);
    enum ledger_state state = LEDGER_DONE;
    if (!doc->exists || doc->hidden)
        state = row.state == LEDGER_NONE ? LEDGER_NONE : LEDGER_DELETED;
    else if (image->poison)
        state = LEDGER_QUARANTINED;
    if (row.state != state)
        sim_fail("the row of %s in lane %d has state %d, not %d", key, lane, (int)row.state,
                 (int)state);
    if (row.has_intent || row.repair)
        sim_fail("the row of %s in lane %d has an open intent or repair", key, lane);
    size_t count = state == LEDGER_DONE ? image->count : 0;
    bool same = row.chunk_count == count;
    for (size_t i = 0; same && i < count; i++)
        same = memcmp(&row.chunks[i], &image->pieces[i].fp, sizeof row.chunks[i]) == 0;
    if (!same)
        sim_fail("the row of %s in lane %d does not have the document's chunks", key, lane);
    arena_free(arena);
}

static size_t check_doc(int lane, int index)
{
    struct image image;
    read_image(lane, index, &image);
    check_row(lane, index, &image);
    size_t count = image.poison ? 0 : image.count;
    for (size_t i = 0; i < count; i++) {
        struct expected expected = {
            .lane = lane, .index = index, .chunk = i, .piece = &image.pieces[i]};
        name_record(&expected);
        check_record(&expected);
    }
    return count;
}

static void check_bought(int embedder)
{
    size_t needed = oracle.needed[embedder], bought = oracle.bought[embedder];
    sim_trace("embedder %d sold %zu, %zu are needed, %zu may be bought again", embedder, bought,
              needed, oracle.lost);
    if (bought > needed + oracle.lost + BUY_SLACK)
        sim_fail("I11: embedder %d sold %zu vectors, %zu are needed, %zu may be bought again",
                 embedder, bought, needed, oracle.lost);
}

void oracle_check(void)
{
    for (int lane = 0; lane < world.lane_count; lane++) {
        size_t count = 0;
        for (int index = 0; index < SIM_DOCS; index++)
            count += check_doc(lane, index);
        const struct record_table *table = store_table(lane);
        for (size_t i = 0; table->count != count && i < table->count; i++)
            sim_trace("lane %d holds %s", lane, table->records[i].id);
        if (table->count != count)
            sim_fail("I3: the store of lane %d holds %zu records, not %zu", lane, table->count,
                     count);
        check_bought(lane); /* the embedder of that number */
        cJSON_Delete(oracle.objects[lane]);
    }
    arena_free(oracle.arena);
}
