/* SPDX-License-Identifier: Apache-2.0 */
/* The source collection and a random history of writes to it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "cdc/key.h"
#include "sim/sim.h"

#define KINDS 8 /* the last one is poison */

static struct sim_doc docs[SIM_DOCS];
static struct sim_doc before[SIM_DOCS]; /* each one's last write */
static char keys[SIM_DOCS][64];
static char ids[SIM_DOCS][64];
static int64_t last_ver;

/* Each alone is a chunk for the version that cuts small, two are one for the version that does not. */
static const char *const sentences[KINDS] = {
    "Ducks sleep with one eye open.", "A group of ducks is a raft.",
    "Eider down is very warm.",       "Mallards dabble, they do not dive.",
    "The pond freezes in January.",   "Ducklings follow anyone.",
    "Feathers are waterproof.",       "This sentence is poison to it."};

bool text_is_poison(const char *text)
{
    return strstr(text, "poison") != NULL;
}

/* A text is its sentences' kinds as decimal digits, from 1; 0: it is empty. */
static int sentence_count(int text)
{
    int length = 0;
    for (; text > 0; text /= 10)
        length++;
    return length;
}

const char *source_text(const struct sim_doc *doc)
{
    static char text[MOST_SENTENCES * 48];
    int digits[MOST_SENTENCES], length = 0;
    size_t size = 0;
    for (int rest = doc->text; rest > 0; rest /= 10)
        digits[length++] = rest % 10;
    text[0] = '\0';
    while (length-- > 0)
        size += (size_t)snprintf(text + size, sizeof text - size, "%s%s", size > 0 ? "\n\n" : "",
                                 sentences[digits[length] - 1]);
    return text;
}

void format_ver(int64_t ver, char out[static SIM_VER_SIZE])
{
    snprintf(out, SIM_VER_SIZE, "82%08llX", (unsigned long long)ver);
}

int64_t source_now(void)
{
    return last_ver;
}

const struct sim_doc *source_doc(int index)
{
    return &docs[index];
}

const char *source_key(int index)
{
    return keys[index];
}

const char *source_id(int index)
{
    return ids[index];
}

static void put_id(bson_t *bson, int index)
{
    char name[16];
    snprintf(name, sizeof name, "doc-%d", index);
    if (index % 2 == 0)
        BSON_APPEND_INT32(bson, "_id", index);
    else
        BSON_APPEND_UTF8(bson, "_id", name);
}

bson_t *source_bson(int index, const struct sim_doc *doc)
{
    bson_t *bson = bson_new();
    put_id(bson, index);
    BSON_APPEND_UTF8(bson, "text", source_text(doc));
    BSON_APPEND_INT32(bson, "tag", doc->tag);
    if (doc->has_number)
        BSON_APPEND_INT64(bson, "number", doc->tag * 10);
    if (doc->hidden)
        BSON_APPEND_BOOL(bson, "hidden", true);
    return bson;
}

static void name_doc(int index)
{
    CLEANUP(buf_fini) struct buf key = BUF_INIT(KIB);
    CLEANUP(buf_fini) struct buf id = BUF_INIT(KIB);
    bson_t *bson = bson_new();
    bson_iter_t iter;
    put_id(bson, index);
    if (bson_iter_init_find(&iter, bson, "_id")) {
        key_encode(&iter, &key);
        key_source_id(&iter, &id);
    }
    snprintf(keys[index], sizeof keys[index], "%s", buf_str(&key));
    snprintf(ids[index], sizeof ids[index], "%s", buf_str(&id));
    bson_destroy(bson);
}

/* --- the history ------------------------------------------------------------------------------ */

static int any_sentence(void)
{
    bool poison = world.faults.repair > 0 && sched_chance(0.05);
    return poison ? KINDS : 1 + (int)sched_below(KINDS - 1);
}

static int power(int exponent)
{
    return exponent > 0 ? 10 * power(exponent - 1) : 1;
}

static int other_text(int text)
{
    int length = sentence_count(text);
    switch (sched_below(6)) {
    case 0: /* grows at its end */
        return length < MOST_SENTENCES ? text * 10 + any_sentence() : text / 10;
    case 1: /* grows at its beginning: all chunks move */
        return length < MOST_SENTENCES ? text + any_sentence() * power(length) : text / 10;
    case 2:
        return text / 10;
    case 3: /* loses its beginning */
        return length > 0 ? text % power(length - 1) : any_sentence();
    case 4: /* what another one has */
        return docs[sched_below(SIM_DOCS)].text;
    default: /* another last sentence */
        return text / 10 * 10 + any_sentence();
    }
}

static void insert(int index)
{
    struct sim_doc *doc = &docs[index];
    doc->exists = true;
    doc->hidden = false;
    doc->text = sched_chance(0.3) ? docs[sched_below(SIM_DOCS)].text : 0;
    for (int i = 0; doc->text == 0 && i < 3; i++)
        doc->text = other_text(doc->text);
    doc->tag = (int)sched_below(5);
}

static void update(int index)
{
    struct sim_doc *doc = &docs[index];
    uint64_t choice = sched_below(10);
    if (choice < 2)
        doc->tag = (int)sched_below(5);
    else if (choice < 3)
        doc->has_number = !doc->has_number;
    else if (choice < 4)
        doc->hidden = !doc->hidden;
    else
        doc->text = other_text(doc->text);
}

/* What was done to a document gets its place in the stream. */
static void note_write(int index, bool own_image, bool deleted)
{
    struct sim_doc *doc = &docs[index];
    doc->ver = ++last_ver;
    sim_trace("source %s %s: text %d tag %d%s%s ver %lld", deleted ? "deletes" : "writes",
              keys[index], doc->text, doc->tag, doc->has_number ? " number" : "",
              doc->hidden ? " hidden" : "", (long long)doc->ver);
    capture_note(index, own_image ? doc : NULL, deleted);
    oracle_note_write(index);
}

void source_write(void)
{
    int index = (int)sched_below(SIM_DOCS);
    struct sim_doc *doc = &docs[index];
    before[index] = *doc;
    bool deleted = doc->exists && sched_chance(world.deletes);
    bool own_image = !doc->exists || sched_chance(0.2);
    if (deleted)
        doc->exists = false;
    else if (!doc->exists)
        insert(index);
    else
        update(index);
    note_write(index, own_image, deleted);
}

void source_come_and_go(void)
{
    int index = (int)sched_below(SIM_DOCS);
    struct sim_doc *doc = &docs[index];
    if (doc->exists)
        return;
    before[index] = *doc;
    insert(index);
    note_write(index, true, false);
    before[index] = *doc;
    doc->exists = false;
    note_write(index, false, true);
}

void source_begin(void)
{
    memset(docs, 0, sizeof docs);
    memset(before, 0, sizeof before);
    last_ver = 100;
    int there = (int)sched_below(SIM_DOCS);
    for (int i = 0; i < SIM_DOCS; i++) {
        name_doc(i);
        if (i < there)
            insert(i);
        docs[i].ver = ++last_ver;
        oracle_note_write(i);
    }
}

/* --- re-reads --------------------------------------------------------------------------------- */

static bool away(struct err *err)
{
    return err_set(err, ERR_RETRY, ERR_MONGO, 91, "the source does not answer");
}

static bool sim_fetch(const struct lane *lane, const struct lane_ask *ask, struct err *err)
{
    (void)lane;
    if (!sim_enter("source fetch", err))
        return false;
    if (sim_fault(world.faults.source))
        return away(err);
    const struct sim_doc *seen = world.mutant == MUTANT_READS_BEHIND ? before : docs;
    for (size_t i = 0; i < ask->count; i++) {
        for (int d = 0; d < SIM_DOCS; d++) {
            bson_t *bson = source_bson(d, &seen[d]);
            bson_iter_t iter;
            CLEANUP(buf_fini) struct buf key = BUF_INIT(KIB);
            if (bson_iter_init_find(&iter, ask->ids[i], "_id"))
                key_encode(&iter, &key);
            if (seen[d].exists && strcmp(buf_str(&key), keys[d]) == 0)
                ask->found(ask->context, bson);
            bson_destroy(bson);
        }
    }
    return sim_leave(err);
}

static bool sim_exists(const struct lane *lane, bool *out, struct err *err)
{
    (void)lane;
    if (!sim_enter("source exists", err))
        return false;
    if (sim_fault(world.faults.source))
        return away(err);
    *out = true;
    return sim_leave(err);
}

static bool sim_generation(const struct lane *lane, int64_t *out, struct err *err)
{
    (void)lane;
    if (!sim_enter("generation", err))
        return false;
    *out = capture_gen();
    return sim_leave(err);
}

const struct lane_source sim_source = {
    .fetch = sim_fetch, .exists = sim_exists, .generation = sim_generation};
