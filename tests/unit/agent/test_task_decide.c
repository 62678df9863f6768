/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/task.h"

#include <string.h>

#include "base/limits.h"
#include "support/test.h"

#define ME "me"
#define MOST 8

/* A state of a document, each chunk's content as a letter: "ab" has two. */
struct image {
    const char *source_id;
    const char *chunks;
    char meta;
};

struct situation {
    const char *name;
    bool content_ids;

    /* the row; state LEDGER_NONE and no intent or repair: there is none */
    enum ledger_state state;
    int64_t gen; /* 0: 1 */
    const char *ver;
    struct image was;
    const char *intent_owner; /* NULL: no intent is open */
    struct image intent;
    int64_t wait_ms;
    bool repair;

    /* the item; gen 1 if 0 */
    enum item_op op;
    int64_t item_gen;
    const char *item_ver;
    struct image is;
    const char *reject;
    bool reread;
    bool fenced;

    enum task_step step;
    const char *plans; /* K(eep) L(abel) C(opy) E(mbed) */
    const char *stale; /* ids, in order, separated by spaces */
    enum ledger_state written;
    const char *written_ver; /* NULL: item_ver */
    const char *intended;    /* chunks of the intent; NULL: as plans say */
    bool clearing;
};

static const struct situation situations[] = {
    {.name = "a new document is embedded and written",
     .item_ver = "5",
     .is = {"s", "ab", 'm'},
     .step = TASK_WRITE,
     .plans = "EE",
     .stale = "",
     .written = LEDGER_DONE,
     .intended = "ab"},
    {.name = "a new document without text is only noted",
     .item_ver = "5",
     .is = {"s", "", 'm'},
     .step = TASK_RAISE,
     .plans = "",
     .stale = "",
     .written = LEDGER_DONE},
    {.name = "a delete of what was never seen leaves a tombstone",
     .op = ITEM_DELETE,
     .item_ver = "5",
     .step = TASK_RAISE,
     .plans = "",
     .stale = "",
     .written = LEDGER_DELETED},
    {.name = "a new document that is refused is set aside",
     .item_ver = "5",
     .is = {"s", "", 'm'},
     .reject = "no",
     .step = TASK_RAISE,
     .plans = "",
     .stale = "",
     .written = LEDGER_QUARANTINED},
    {.name = "an older item is stale",
     .state = LEDGER_DONE,
     .ver = "5",
     .was = {"s", "a", 'm'},
     .item_ver = "4",
     .is = {"s", "b", 'm'},
     .step = TASK_STALE},
    {.name = "an item of an older generation is stale whatever its token",
     .state = LEDGER_DONE,
     .gen = 2,
     .ver = "5",
     .was = {"s", "a", 'm'},
     .item_ver = "9",
     .is = {"s", "b", 'm'},
     .step = TASK_STALE},
    {.name = "an item of a newer generation counts whatever its token",
     .state = LEDGER_DONE,
     .ver = "5",
     .was = {"s", "a", 'm'},
     .item_gen = 2,
     .item_ver = "1",
     .is = {"s", "a", 'm'},
     .step = TASK_RAISE,
     .plans = "K",
     .stale = "",
     .written = LEDGER_DONE},
    {.name = "a fenced item is stale even where nothing is known",
     .item_ver = "5",
     .is = {"s", "a", 'm'},
     .fenced = true,
     .step = TASK_STALE},
    {.name = "an older delete is stale",
     .state = LEDGER_DONE,
     .ver = "5",
     .was = {"s", "a", 'm'},
     .op = ITEM_DELETE,
     .item_ver = "4",
     .step = TASK_STALE},
    {.name = "the same item again is unchanged",
     .state = LEDGER_DONE,
     .ver = "5",
     .was = {"s", "ab", 'm'},
     .item_ver = "5",
     .is = {"s", "ab", 'm'},
     .step = TASK_UNCHANGED},
    {.name = "the same state under a newer token is only raised",
     .state = LEDGER_DONE,
     .ver = "5",
     .was = {"s", "ab", 'm'},
     .item_ver = "6",
     .is = {"s", "ab", 'm'},
     .step = TASK_RAISE,
     .plans = "KK",
     .stale = "",
     .written = LEDGER_DONE},
    {.name = "changed metadata alone embeds nothing",
     .state = LEDGER_DONE,
     .ver = "5",
     .was = {"s", "ab", 'm'},
     .item_ver = "6",
     .is = {"s", "ab", 'n'},
     .step = TASK_WRITE,
     .plans = "LL",
     .stale = "",
     .written = LEDGER_DONE,
     .intended = "ab"},
    {.name = "only chunks whose content is new are embedded",
     .state = LEDGER_DONE,
     .ver = "5",
     .was = {"s", "abc", 'm'},
     .item_ver = "6",
     .is = {"s", "axc", 'm'},
     .step = TASK_WRITE,
     .plans = "KEK",
     .stale = "",
     .written = LEDGER_DONE,
     .intended = "axc"},
    {.name = "a moved chunk is copied",
     .state = LEDGER_DONE,
     .ver = "5",
     .was = {"s", "ab", 'm'},
     .item_ver = "6",
     .is = {"s", "xab", 'm'},
     .step = TASK_WRITE,
     .plans = "ECC",
     .stale = "",
     .written = LEDGER_DONE,
     .intended = "xab"},
    {.name = "chunks of a document that has shrunk are erased",
     .state = LEDGER_DONE,
     .ver = "5",
     .was = {"s", "abc", 'm'},
     .item_ver = "6",
     .is = {"s", "a", 'm'},
     .step = TASK_WRITE,
     .plans = "K",
     .stale = "s:1 s:2",
     .written = LEDGER_DONE,
     .intended = "a"},
    {.name = "a text that has become empty erases all chunks",
     .state = LEDGER_DONE,
     .ver = "5",
     .was = {"s", "ab", 'm'},
     .item_ver = "6",
     .is = {"s", "", 'm'},
     .step = TASK_WRITE,
     .plans = "",
     .stale = "s:0 s:1",
     .written = LEDGER_DONE,
     .intended = ""},
    {.name = "a delete erases all chunks",
     .state = LEDGER_DONE,
     .ver = "5",
     .was = {"s", "ab", 'm'},
     .op = ITEM_DELETE,
     .item_ver = "6",
     .step = TASK_WRITE,
     .plans = "",
     .stale = "s:0 s:1",
     .written = LEDGER_DELETED,
     .intended = ""},
    {.name = "a delete of a document without chunks is only noted",
     .state = LEDGER_DONE,
     .ver = "5",
     .was = {"s", "", 'm'},
     .op = ITEM_DELETE,
     .item_ver = "6",
     .step = TASK_RAISE,
     .plans = "",
     .stale = "",
     .written = LEDGER_DELETED},
    {.name = "the same delete again is unchanged",
     .state = LEDGER_DELETED,
     .ver = "5",
     .was = {"s", "", 'm'},
     .op = ITEM_DELETE,
     .item_ver = "5",
     .step = TASK_UNCHANGED},
    {.name = "a newer delete raises the tombstone",
     .state = LEDGER_DELETED,
     .ver = "5",
     .was = {"s", "", 'm'},
     .op = ITEM_DELETE,
     .item_ver = "6",
     .step = TASK_RAISE,
     .plans = "",
     .stale = "",
     .written = LEDGER_DELETED},
    {.name = "a document that comes again after its delete is written anew",
     .state = LEDGER_DELETED,
     .ver = "5",
     .was = {"s", "", 'm'},
     .item_ver = "6",
     .is = {"s", "a", 'm'},
     .step = TASK_WRITE,
     .plans = "E",
     .stale = "",
     .written = LEDGER_DONE,
     .intended = "a"},
    {.name = "a document that is refused now loses its vectors",
     .state = LEDGER_DONE,
     .ver = "5",
     .was = {"s", "ab", 'm'},
     .item_ver = "6",
     .is = {"s", "x", 'm'},
     .reject = "poison",
     .step = TASK_WRITE,
     .plans = "",
     .stale = "s:0 s:1",
     .written = LEDGER_QUARANTINED,
     .intended = ""},
    {.name = "a document that was set aside at this token stays so",
     .state = LEDGER_QUARANTINED,
     .ver = "5",
     .item_ver = "5",
     .is = {"s", "x", 'm'},
     .reject = "poison",
     .step = TASK_UNCHANGED},
    {.name = "a newer event heals a document that was set aside",
     .state = LEDGER_QUARANTINED,
     .ver = "5",
     .item_ver = "6",
     .is = {"s", "x", 'm'},
     .step = TASK_WRITE,
     .plans = "E",
     .stale = "",
     .written = LEDGER_DONE,
     .intended = "x"},
    {.name = "a changed source id moves all records",
     .state = LEDGER_DONE,
     .ver = "5",
     .was = {"s", "ab", 'm'},
     .item_ver = "6",
     .is = {"t", "ab", 'm'},
     .step = TASK_WRITE,
     .plans = "EE",
     .stale = "s:0 s:1",
     .written = LEDGER_DONE,
     .intended = "ab"},
    {.name = "another owner's request that may still run is waited for",
     .state = LEDGER_DONE,
     .ver = "5",
     .was = {"s", "a", 'm'},
     .intent_owner = "other",
     .intent = {"s", "b", 'm'},
     .wait_ms = 1,
     .item_ver = "6",
     .is = {"s", "c", 'm'},
     .step = TASK_WAIT},
    {.name = "an intent of one's own is not waited for",
     .state = LEDGER_DONE,
     .ver = "5",
     .was = {"s", "a", 'm'},
     .intent_owner = ME,
     .intent = {"s", "b", 'm'},
     .wait_ms = 1000,
     .item_ver = "6",
     .is = {"s", "a", 'm'},
     .step = TASK_WRITE,
     .plans = "E",
     .stale = "",
     .written = LEDGER_DONE,
     .intended = "a"},
    {.name = "while an intent is open the same state is written again",
     .state = LEDGER_DONE,
     .ver = "5",
     .was = {"s", "ab", 'm'},
     .intent_owner = "other",
     .intent = {"s", "ab", 'm'},
     .item_ver = "5",
     .is = {"s", "ab", 'm'},
     .step = TASK_WRITE,
     .plans = "EE",
     .stale = "",
     .written = LEDGER_DONE,
     .intended = "ab"},
    {.name = "chunks of an interrupted write are erased, and not forgotten meanwhile",
     .state = LEDGER_DONE,
     .ver = "5",
     .was = {"s", "a", 'm'},
     .intent_owner = "other",
     .intent = {"s", "bcd", 'm'},
     .item_ver = "6",
     .is = {"s", "e", 'm'},
     .step = TASK_WRITE,
     .plans = "E",
     .stale = "s:1 s:2",
     .written = LEDGER_DONE,
     .intended = "ecd"},
    {.name = "chunks of the state before and of an interrupted write are erased once",
     .state = LEDGER_DONE,
     .ver = "5",
     .was = {"s", "abc", 'm'},
     .intent_owner = "other",
     .intent = {"s", "xyzw", 'm'},
     .item_ver = "6",
     .is = {"s", "e", 'm'},
     .step = TASK_WRITE,
     .plans = "E",
     .stale = "s:1 s:2 s:3",
     .written = LEDGER_DONE,
     .intended = "eyzw"},
    {.name = "a delete erases what an interrupted first write may have left",
     .intent_owner = "other",
     .intent = {"s", "ab", 'm'},
     .op = ITEM_DELETE,
     .item_ver = "6",
     .step = TASK_WRITE,
     .plans = "",
     .stale = "s:0 s:1",
     .written = LEDGER_DELETED,
     .intended = "ab"},
    {.name = "an interrupted delete is carried out again",
     .state = LEDGER_DONE,
     .ver = "5",
     .was = {"s", "ab", 'm'},
     .intent_owner = "other",
     .intent = {NULL, "", 'm'},
     .op = ITEM_DELETE,
     .item_ver = "6",
     .step = TASK_WRITE,
     .plans = "",
     .stale = "s:0 s:1",
     .written = LEDGER_DELETED,
     .intended = ""},
    {.name = "an interrupted write under another source id is erased first",
     .state = LEDGER_DONE,
     .ver = "5",
     .was = {"s", "a", 'm'},
     .intent_owner = "other",
     .intent = {"t", "bc", 'm'},
     .item_ver = "6",
     .is = {"s", "e", 'm'},
     .step = TASK_WRITE,
     .plans = "K",
     .stale = "s:0 t:0 t:1",
     .written = LEDGER_DELETED,
     .written_ver = "5",
     .intended = "bc",
     .clearing = true},
    {.name = "a repair by reading again is exempt from the order and keeps the newer token",
     .state = LEDGER_DONE,
     .ver = "5",
     .was = {"s", "ab", 'm'},
     .repair = true,
     .item_ver = "3",
     .is = {"s", "ab", 'm'},
     .reread = true,
     .step = TASK_WRITE,
     .plans = "EE",
     .stale = "",
     .written = LEDGER_DONE,
     .written_ver = "5",
     .intended = "ab"},
    {.name = "a repair is never made of an old image",
     .state = LEDGER_DONE,
     .ver = "5",
     .was = {"s", "ab", 'm'},
     .repair = true,
     .item_ver = "3",
     .is = {"s", "old", 'm'},
     .step = TASK_STALE},
    {.name = "a repair of a document without text takes the mark away",
     .state = LEDGER_DONE,
     .ver = "5",
     .was = {"s", "", 'm'},
     .repair = true,
     .item_ver = "5",
     .is = {"s", "", 'm'},
     .reread = true,
     .step = TASK_WRITE,
     .plans = "",
     .stale = "",
     .written = LEDGER_DONE,
     .intended = ""},
    {.name = "a repair of a document that is gone takes the mark away",
     .state = LEDGER_DELETED,
     .ver = "5",
     .was = {"s", "", 'm'},
     .repair = true,
     .op = ITEM_DELETE,
     .item_ver = "5",
     .reread = true,
     .step = TASK_WRITE,
     .plans = "",
     .stale = "",
     .written = LEDGER_DELETED,
     .intended = ""},
    {.name = "with content ids a changed chunk has a new record and the old one is erased",
     .content_ids = true,
     .state = LEDGER_DONE,
     .ver = "5",
     .was = {"s", "ab", 'm'},
     .item_ver = "6",
     .is = {"s", "ax", 'm'},
     .step = TASK_WRITE,
     .plans = "KE",
     .stale = "s:1:62626262",
     .written = LEDGER_DONE,
     .intended = "ax"},
    {.name = "with content ids a moved chunk is copied and its old record erased",
     .content_ids = true,
     .state = LEDGER_DONE,
     .ver = "5",
     .was = {"s", "ab", 'm'},
     .item_ver = "6",
     .is = {"s", "b", 'm'},
     .step = TASK_WRITE,
     .plans = "C",
     .stale = "s:0:61616161 s:1:62626262",
     .written = LEDGER_DONE,
     .intended = "b"},
    {.name = "with content ids an interrupted write of the same state is taken over",
     .content_ids = true,
     .state = LEDGER_DONE,
     .ver = "5",
     .was = {"s", "a", 'm'},
     .intent_owner = "other",
     .intent = {"s", "bc", 'm'},
     .item_ver = "6",
     .is = {"s", "bc", 'm'},
     .step = TASK_WRITE,
     .plans = "EE",
     .stale = "s:0:61616161",
     .written = LEDGER_DONE,
     .intended = "bc"},
    {.name = "with content ids an interrupted write of another state is erased first",
     .content_ids = true,
     .state = LEDGER_DONE,
     .ver = "5",
     .was = {"s", "a", 'm'},
     .intent_owner = "other",
     .intent = {"s", "b", 'm'},
     .repair = true,
     .item_ver = "6",
     .is = {"s", "c", 'm'},
     .step = TASK_WRITE,
     .plans = "K",
     .stale = "s:0:61616161 s:0:62626262",
     .written = LEDGER_DELETED,
     .written_ver = "5",
     .intended = "b",
     .clearing = true},
};

static struct sha256 fp_of(char letter)
{
    struct sha256 fp;
    memset(fp.bytes, letter, sizeof fp.bytes);
    return fp;
}

static struct sha256 *fps_of(struct arena *arena, const char *letters, size_t *count)
{
    *count = letters ? strlen(letters) : 0;
    struct sha256 *fps = arena_alloc_array(arena, *count + 1, sizeof *fps);
    for (size_t i = 0; i < *count; i++)
        fps[i] = fp_of(letters[i]);
    return fps;
}

static struct sha256 doc_fp_of(const struct image *image)
{
    struct sha256 meta = fp_of(image->meta);
    const char *chunks = image->chunks ? image->chunks : "";
    return document_fp(image->source_id ? image->source_id : "", chunks, strlen(chunks), &meta);
}

static void fill_row(const struct situation *s, struct arena *arena, struct ledger_row *row)
{
    *row = (struct ledger_row){.key = "k", .ver = ""};
    row->exists = s->state != LEDGER_NONE || s->intent_owner || s->repair;
    row->repair = s->repair;
    if (s->state != LEDGER_NONE) {
        row->state = s->state;
        row->gen = s->gen ? s->gen : 1;
        row->ver = s->ver;
        row->source_id = s->was.source_id;
        row->chunks = fps_of(arena, s->was.chunks, &row->chunk_count);
        row->meta_fp = fp_of(s->was.meta);
        row->doc_fp = doc_fp_of(&s->was);
    }
    if (!s->intent_owner)
        return;
    row->has_intent = true;
    row->intent.owner = arena_strdup(arena, s->intent_owner);
    row->intent.source_id = s->intent.source_id ? arena_strdup(arena, s->intent.source_id) : NULL;
    row->intent.chunks = fps_of(arena, s->intent.chunks, &row->intent.chunk_count);
    row->intent.wait_ms = s->wait_ms;
    memset(row->intent.id, 'i', sizeof row->intent.id - 1);
}

static void fill_task(const struct situation *s, const struct lane *lane, struct arena *arena,
                      struct worklog_record *record, struct task *task)
{
    *record = (struct worklog_record){
        .offset = 7,
        .record = {.gen = s->item_gen ? s->item_gen : 1, .ver = s->item_ver, .op = s->op}};
    *task = (struct task){.record = record,
                          .key = "k",
                          .op = s->op,
                          .reject = s->reject,
                          .reread = s->reread,
                          .fenced = s->fenced};
    fill_row(s, arena, &task->row);
    if (s->op != ITEM_UPSERT)
        return;
    task->source_id = s->is.source_id;
    task->meta_fp = fp_of(s->is.meta);
    task->doc_fp = doc_fp_of(&s->is);
    task->chunk_count = s->is.chunks ? strlen(s->is.chunks) : 0;
    task->chunks = arena_alloc_array(arena, task->chunk_count + 1, sizeof *task->chunks);
    for (size_t i = 0; i < task->chunk_count; i++) {
        task->chunks[i].fp = fp_of(s->is.chunks[i]);
        task->chunks[i].id = task_record_id(lane, arena, task->source_id, i, &task->chunks[i].fp);
    }
}

static const char *plans_of(const struct task *task, struct arena *arena)
{
    char *plans = arena_alloc(arena, task->chunk_count + 1);
    for (size_t i = 0; i < task->chunk_count; i++)
        plans[i] = "KLCE"[task->chunks[i].plan];
    plans[task->chunk_count] = '\0';
    return plans;
}

static const char *stale_of(const struct task *task, struct arena *arena)
{
    const char *text = "";
    for (size_t i = 0; i < task->stale_count; i++)
        text = arena_printf(arena, "%s%s%s", text, i > 0 ? " " : "", task->stale_ids[i]);
    return text;
}

static void assert_intent(const struct situation *s, const struct task *task)
{
    const struct ledger_row *row = &task->write.row;
    if (task->step != TASK_WRITE) {
        assert_false(row->has_intent);
        return;
    }
    assert_true(row->has_intent);
    assert_int_equal(strlen(row->intent.id), 32);
    assert_string_not_equal(row->intent.id, task->row.intent.id);
    assert_int_equal(row->intent.chunk_count, strlen(s->intended));
    for (size_t i = 0; i < row->intent.chunk_count; i++)
        assert_int_equal(row->intent.chunks[i].bytes[0], s->intended[i]);
    if (row->intent.chunk_count > 0)
        assert_non_null(row->intent.source_id);
}

static void assert_written(const struct situation *s, const struct task *task)
{
    const struct ledger_row *row = &task->write.row;
    assert_string_equal(row->key, "k");
    assert_int_equal(row->state, s->written);
    assert_string_equal(row->ver, s->written_ver ? s->written_ver : s->item_ver);
    assert_int_equal(task->write.was->state, task->row.state);
    assert_true(task->write.was->has_intent == task->row.has_intent);
    if (s->clearing) {
        assert_false(task->write.was->repair); /* or finishing would take the mark away */
        assert_int_equal(row->chunk_count, 0);
    } else {
        assert_int_equal(row->chunk_count, s->written == LEDGER_DONE ? task->chunk_count : 0);
    }
    if (s->written == LEDGER_QUARANTINED)
        assert_string_equal(row->reason, s->reject);
    assert_intent(s, task);
}

static void check(const struct situation *s)
{
    CLEANUP(arena_freep) struct arena *arena = arena_new(MIB);
    struct lane lane = {.embed = {.id_scheme = s->content_ids ? "content" : "position"}};
    struct worklog_record record;
    struct task task;
    fill_task(s, &lane, arena, &record, &task);
    /* a decision has no effects: it may be made any number of times */
    for (int i = 0; i < 2; i++) {
        task_decide(&lane, ME, arena, &task);
        if (task.step != s->step)
            fail_msg("%s: step %d, not %d", s->name, (int)task.step, (int)s->step);
        if (!s->plans)
            continue;
        const char *plans = plans_of(&task, arena), *stale = stale_of(&task, arena);
        if (strcmp(plans, s->plans) != 0 || strcmp(stale, s->stale) != 0)
            fail_msg("%s: plans '%s', stale '%s'", s->name, plans, stale);
        if (task.clearing != s->clearing)
            fail_msg("%s: clearing %d", s->name, task.clearing);
        assert_written(s, &task);
    }
}

static void each_situation_has_its_step(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(situations); i++)
        check(&situations[i]);
}

/* What a store holds: letters by record id, as the simplest model of one document's records. */
struct model {
    struct ledger_row row;
    bool records[3][MOST][26]; /* source id "s".."u", index, letter */
    bool content_ids;
};

static uint32_t below(uint64_t *state, uint32_t end)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (uint32_t)((z ^ (z >> 31)) % end);
}

static void put(struct model *model, const char *source_id, size_t index, char letter)
{
    bool *of_index = model->records[source_id[0] - 's'][index];
    if (!model->content_ids)
        memset(of_index, 0, 26);
    of_index[letter - 'a'] = true;
}

static void erase(struct model *model, const char *id)
{
    size_t index = (size_t)(id[2] - '0');
    bool *of_index = model->records[id[0] - 's'][index];
    if (!model->content_ids)
        memset(of_index, 0, 26);
    else
        of_index[(char)strtol((char[]){id[4], id[5], 0}, NULL, 16) - 'a'] = false;
}

/* Carries a decision out up to a random point, as a worker that may be killed there. True when it
 * came to its end and the document is as wanted. */
static bool carry_out(struct model *model, struct task *task, uint64_t *random, struct arena *arena)
{
    const struct ledger_row *row = &task->write.row;
    bool killed = below(random, 3) == 0;
    model->row.exists = true;
    model->row.has_intent = true;
    model->row.intent = row->intent;
    model->row.intent.owner = arena_strdup(arena, ME);
    for (size_t i = 0; i < task->chunk_count; i++) {
        if (killed && below(random, 3) == 0)
            return false;
        if (task->chunks[i].plan != CHUNK_KEEP)
            put(model, task->source_id, i, (char)task->chunks[i].fp.bytes[0]);
    }
    for (size_t i = 0; i < task->stale_count; i++) {
        if (killed && below(random, 3) == 0)
            return false;
        erase(model, task->stale_ids[i]);
    }
    if (killed)
        return false;
    model->row = *row;
    model->row.exists = true;
    model->row.has_intent = false;
    return !task->clearing;
}

static void assert_holds_exactly(const struct model *model, const struct image *image,
                                 uint64_t seed)
{
    size_t count = strlen(image->chunks);
    for (size_t source = 0; source < 3; source++) {
        for (size_t i = 0; i < MOST; i++) {
            for (size_t letter = 0; letter < 26; letter++) {
                bool wanted = image->source_id && (size_t)(image->source_id[0] - 's') == source &&
                              i < count && (size_t)(image->chunks[i] - 'a') == letter;
                if (model->records[source][i][letter] != wanted)
                    fail_msg("seed %lu: %c:%zu '%c' is %s", (unsigned long)seed,
                             (char)('s' + source), i, (char)('a' + letter),
                             wanted ? "missing" : "left over");
            }
        }
    }
}

static void random_item(uint64_t *random, struct situation *s, char *chunks)
{
    static const char *const sources[] = {"s", "s", "s", "t", "u"};
    size_t count = below(random, MOST);
    for (size_t i = 0; i < count; i++)
        chunks[i] = (char)('a' + below(random, 4));
    chunks[count] = '\0';
    s->op = below(random, 4) == 0 ? ITEM_DELETE : ITEM_UPSERT;
    s->is = (struct image){sources[below(random, 5)], chunks, (char)('m' + below(random, 2))};
    if (s->op == ITEM_DELETE) {
        chunks[0] = '\0';
        s->is.source_id = NULL;
    }
}

/* Items come, each is tried until it ends or the next comes; the last one always ends. */
static void run_life(uint64_t seed)
{
    CLEANUP(arena_freep) struct arena *arena = arena_new(16 * MIB);
    uint64_t random = seed;
    struct model model = {.content_ids = seed % 2 == 1, .row = {.key = "k", .ver = ""}};
    struct lane lane = {.embed = {.id_scheme = model.content_ids ? "content" : "position"}};
    for (int item = 0; item < 6; item++) {
        struct situation s = {.item_ver = arena_printf(arena, "%d", item)};
        char chunks[MOST + 1];
        random_item(&random, &s, chunks);
        bool ended = false;
        for (int attempt = 0; !ended && (item == 5 || attempt < 3); attempt++) {
            struct worklog_record record;
            struct task task;
            assert_true(attempt < 200);
            fill_task(&s, &lane, arena, &record, &task);
            task.row = model.row;
            task_decide(&lane, ME, arena, &task);
            if (task.step == TASK_WRITE) {
                ended = carry_out(&model, &task, &random, arena);
            } else {
                assert_int_not_equal(task.step, TASK_STALE);
                if (task.step == TASK_RAISE)
                    model.row = task.write.row;
                model.row.exists = true;
                ended = true;
            }
        }
        if (ended)
            assert_holds_exactly(&model, &s.is, seed);
    }
}

static void whatever_is_interrupted_the_store_ends_with_the_last_state_alone(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 3000; seed++)
        run_life(seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_situation_has_its_step),
        cmocka_unit_test(whatever_is_interrupted_the_store_ends_with_the_last_state_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
