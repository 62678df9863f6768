/* SPDX-License-Identifier: Apache-2.0 */
/* Decisions about one document whose writes are interrupted at any point, any number of times. */
#include "agent/lane/task.h"

#include <inttypes.h>
#include <stdlib.h>

#include "support/test.h"

#include "unit/agent/task_fixture.h"

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
                    fail_msg("seed %" PRIu64 ": %c:%zu '%c' is %s", seed, (char)('s' + source), i,
                             (char)('a' + letter), wanted ? "missing" : "left over");
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
        cmocka_unit_test(whatever_is_interrupted_the_store_ends_with_the_last_state_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
