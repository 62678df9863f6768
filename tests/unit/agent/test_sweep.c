/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/steward/sweep.h"

#include <pthread.h>
#include <string.h>

#include "support/test.h"

#include "agent/lane/worker.h"
#include "agent/steward/gaps.h"
#include "base/limits.h"
#include "unit/agent/task_fixture.h"

static void a_sweep_may_erase_up_to_its_part_of_all_documents(void **state)
{
    (void)state;
    struct ledger_behind counts = {.documents = 50};
    assert_int_equal(sweep_limit(&counts, 0.2), 10);
    assert_int_equal(sweep_limit(&counts, 0.0), 0);
    assert_int_equal(sweep_limit(&counts, 1.0), 50);
    counts.documents = 4;
    assert_int_equal(sweep_limit(&counts, 0.2), 0);
    counts.documents = 10;
    assert_int_equal(sweep_limit(&counts, 0.3), 3); /* 2.9999999999999996 */
    counts.documents = 0;
    assert_int_equal(sweep_limit(&counts, 0.2), 0);
}

static void a_stopped_sweep_says_what_to_do(void **state)
{
    (void)state;
    CLEANUP(buf_fini) struct buf text = BUF_INIT(KIB);
    struct ledger_behind counts = {.documents = 8000, .behind = 5000};
    sweep_explain(&counts, 0.2, "articles", &text);
    assert_string_equal(buf_str(&text),
                        "a sweep would erase 5000 of 8000 documents that the source no longer has, "
                        "more than sweep.max_ratio 0.2: look, then `vectail sweep articles "
                        "--confirm`");
    assert_memory_equal(buf_str(&text), SWEEP_REASON, strlen(SWEEP_REASON));
}

static void an_offset_within_the_log_is_no_gap(void **state)
{
    (void)state;
    assert_true(gap_is_none(&(struct worklog_position){.committed = 5, .low = 5, .high = 5}));
    assert_true(gap_is_none(&(struct worklog_position){.committed = 0, .low = 0, .high = 9}));
    assert_false(gap_is_none(&(struct worklog_position){.committed = -1, .low = 0, .high = 9}));
    assert_false(gap_is_none(&(struct worklog_position){.committed = 4, .low = 5, .high = 9}));
    assert_false(gap_is_none(&(struct worklog_position){.committed = 10, .low = 5, .high = 9}));
}

static void only_a_generation_that_is_not_swept_yet_and_still_there_is_read_again(void **state)
{
    (void)state;
    struct gap_view view = {
        .gen = 3, .swept_gen = 2, .start = 20, .position = {.low = 20, .high = 40}};
    assert_true(gap_is_mendable(&view));
    view.position.committed = 41; /* of an older generation: nothing of this one is lost */
    assert_true(gap_is_mendable(&view));
    view.seeded_gen = 3; /* begun in this one, of which the log has lost records */
    assert_false(gap_is_mendable(&view));
    view.position.committed = 0;
    assert_true(gap_is_mendable(&view));
    view.swept_gen = 3; /* deletes since may be lost: the generation would not bring them */
    assert_false(gap_is_mendable(&view));
    view.swept_gen = 2;
    view.position.low = 21;
    assert_false(gap_is_mendable(&view));
    view.position = (struct worklog_position){.low = 0, .high = 19}; /* another topic of the name */
    assert_false(gap_is_mendable(&view));
    view.start = -1; /* a partition that was added */
    assert_false(gap_is_mendable(&view));
}

static void no_sweep_begins_before_the_group_has_begun_anew_in_its_generation(void **state)
{
    (void)state;
    struct version version = {.seeded = true, .seeded_gen = 3};
    assert_true(sweep_is_fenced(&version, 3, false));
    assert_false(sweep_is_fenced(&version, 4, false)); /* it goes on where it was */
    assert_true(sweep_is_fenced(&version, 4, true));
    version.seeded = false; /* its lanes are about to stop */
    assert_false(sweep_is_fenced(&version, 3, false));
}

/* --- what a sweep's re-read comes to --------------------------------------------------------- */

static const struct situation situations[] = {
    {.name = "a sweep's re-read of a document that is gone erases it",
     .state = LEDGER_DONE,
     .ver = "5",
     .was = {"s", "ab", 'm'},
     .op = ITEM_DELETE,
     .reread = true,
     .item_gen = 2,
     .item_ver = "1",
     .step = TASK_WRITE,
     .stale = "s:0 s:1",
     .written = LEDGER_DELETED},
    {.name = "a sweep's re-read of a document that is there only raises it",
     .state = LEDGER_DONE,
     .ver = "5",
     .was = {"s", "ab", 'm'},
     .reread = true,
     .item_gen = 2,
     .item_ver = "1",
     .is = {"s", "ab", 'm'},
     .step = TASK_RAISE,
     .stale = "",
     .written = LEDGER_DONE},
    {.name = "a sweep's re-read of an old tombstone raises it",
     .state = LEDGER_DELETED,
     .ver = "5",
     .was = {"s", "", 'm'},
     .op = ITEM_DELETE,
     .reread = true,
     .item_gen = 2,
     .item_ver = "1",
     .step = TASK_RAISE,
     .stale = "",
     .written = LEDGER_DELETED},
    {.name = "a sweep's re-read that comes again changes nothing",
     .state = LEDGER_DELETED,
     .gen = 2,
     .ver = "1",
     .was = {"s", "", 'm'},
     .op = ITEM_DELETE,
     .reread = true,
     .item_gen = 2,
     .item_ver = "1",
     .step = TASK_UNCHANGED},
    {.name = "a key that was inserted again outlives a sweep's re-read",
     .state = LEDGER_DONE,
     .gen = 2,
     .ver = "4",
     .was = {"s", "a", 'm'},
     .op = ITEM_DELETE,
     .reread = true,
     .item_gen = 2,
     .item_ver = "1",
     .step = TASK_STALE},
    {.name = "a sweep's re-read is nothing to a row of a newer generation",
     .state = LEDGER_DONE,
     .gen = 3,
     .ver = "0",
     .was = {"s", "a", 'm'},
     .op = ITEM_DELETE,
     .reread = true,
     .item_gen = 2,
     .item_ver = "1",
     .step = TASK_STALE},
    {.name = "a document that was set aside and is gone leaves a tombstone",
     .state = LEDGER_QUARANTINED,
     .ver = "5",
     .was = {"s", "", 'm'},
     .op = ITEM_DELETE,
     .reread = true,
     .item_gen = 2,
     .item_ver = "1",
     .step = TASK_RAISE,
     .stale = "",
     .written = LEDGER_DELETED},
    {.name = "a sweep's re-read waits for an owner who may still write",
     .state = LEDGER_DONE,
     .ver = "5",
     .was = {"s", "a", 'm'},
     .intent_owner = "another",
     .intent = {"s", "ab", 'm'},
     .wait_ms = 100,
     .op = ITEM_DELETE,
     .reread = true,
     .item_gen = 2,
     .item_ver = "1",
     .step = TASK_WAIT},
    {.name = "what a dead owner may have written is erased by a sweep's re-read",
     .state = LEDGER_DONE,
     .ver = "5",
     .was = {"s", "a", 'm'},
     .intent_owner = "another",
     .intent = {"s", "ab", 'm'},
     .op = ITEM_DELETE,
     .reread = true,
     .item_gen = 2,
     .item_ver = "1",
     .step = TASK_WRITE,
     .stale = "s:0 s:1",
     .written = LEDGER_DELETED},
};

static void each_row_that_a_sweep_meets_has_its_step(void **state)
{
    (void)state;
    struct lane lane = {.embed = {.id_scheme = "position"}};
    for (size_t i = 0; i < ARRAY_LEN(situations); i++) {
        const struct situation *s = &situations[i];
        CLEANUP(arena_freep) struct arena *arena = arena_new(MIB);
        struct worklog_record record;
        struct task task;
        const char *stale = "";
        fill_task(s, &lane, arena, &record, &task);
        task_decide(&lane, ME, arena, &task);
        if (task.step != s->step)
            fail_msg("%s: step %d, not %d", s->name, (int)task.step, (int)s->step);
        if (task.step != TASK_WRITE && task.step != TASK_RAISE)
            continue;
        for (size_t k = 0; k < task.stale_count; k++)
            stale = arena_printf(arena, "%s%s%s", stale, k > 0 ? " " : "", task.stale_ids[k]);
        if (strcmp(stale, s->stale) != 0 || task.write.row.state != s->written)
            fail_msg("%s: stale '%s', state %d", s->name, stale, (int)task.write.row.state);
    }
}

/* --- the log's last word ---------------------------------------------------------------------- */

/* A worker over a log in memory that takes its log for one that is compacted. */
struct stage {
    struct agent agent;
    struct config config;
    struct lane lane;
    struct worker worker;
    struct worklog *log;
    struct worklog_reader *reader;
    struct arena *arena;
    char topic[8];
};

static void stage_init(struct stage *stage)
{
    static const int64_t zero[1];
    struct err err;
    struct worklog_options options = {.driver = "memory", .partitions = 1};
    struct worklog_reader_options reader = {.topic = "t", .group = "g"};
    struct worklog_topic *topic = calloc(1, sizeof *topic);
    *stage = (struct stage){.topic = "t"};
    assert_true(worklog_open(&options, &stage->log, &err));
    assert_true(worklog_ensure(stage->log, "t", topic, &err));
    assert_true(worklog_seed(stage->log, "t", "g", zero, 1, &err));
    assert_true(worklog_open_reader(stage->log, &reader, &stage->reader, &err));
    free(topic);
    stage->config.worklog.driver = WORKLOG_KAFKA;
    stage->agent.config = &stage->config;
    stage->agent.log = stage->log;
    stage->lane.agent = &stage->agent;
    stage->lane.topic = stage->topic;
    stage->lane.embed.id_scheme = "position";
    stage->worker.lane = &stage->lane;
    stage->arena = arena_new(MIB);
}

static void stage_fini(struct stage *stage)
{
    worker_close_rereads(&stage->worker);
    worklog_close_reader(stage->reader);
    worklog_close(stage->log);
    arena_free(stage->arena);
}

/* Reads and stores in a thread of its own, as the flush of a log in memory waits for its reader. */
struct taker {
    struct stage *stage;
    pthread_t thread;
    _Atomic bool stop;
    size_t count;
    struct worklog_record last;
};

static void *take_all(void *argument)
{
    struct taker *taker = argument;
    for (bool last = false; !last;) {
        struct err err;
        struct worklog_batch batch;
        enum worklog_read outcome;
        last = atomic_load(&taker->stop);
        if (!worklog_read(taker->stage->reader, 10, MIB, 1, &batch, &outcome, &err))
            return NULL;
        for (size_t i = 0; i < batch.count; i++) {
            taker->last = batch.records[i];
            taker->last.record.ver = arena_strdup(taker->stage->arena, taker->last.record.ver);
            taker->count++;
            if (!worklog_store(taker->stage->reader, 0, batch.records[i].offset + 1, &err))
                return NULL;
        }
    }
    return NULL;
}

/* Decides about one record against a row and appends what is due. False: nothing is. */
static bool next_of(struct stage *stage, const struct ledger_row *row,
                    const struct worklog_record *record, struct worklog_record *next)
{
    struct err err;
    struct taker taker = {.stage = stage};
    struct task task = {.record = record,
                        .key = "k",
                        .op = ITEM_DELETE, /* what a re-read of it finds */
                        .reread = true,
                        .last_offset = record->offset,
                        .row = *row};
    struct task_list tasks = {.items = &task, .count = 1};
    CLEANUP(arena_freep) struct arena *arena = arena_new(MIB); /* the other is the thread's */
    task_decide(&stage->lane, ME, arena, &task);
    assert_int_equal(pthread_create(&taker.thread, NULL, take_all, &taker), 0);
    bool ok = worker_append_rereads(&stage->worker, &tasks, &err);
    atomic_store(&taker.stop, true);
    pthread_join(taker.thread, NULL);
    assert_true(ok);
    assert_in_range(taker.count, 0, 1);
    *next = taker.last;
    return taker.count > 0;
}

static struct worklog_record reread_at(int64_t gen, const char *ver, int64_t offset)
{
    return (struct worklog_record){.offset = offset,
                                   .record = {.key = "k",
                                              .key_size = 1,
                                              .value = "{}",
                                              .value_size = 2,
                                              .op = ITEM_REREAD,
                                              .gen = gen,
                                              .ver = ver}};
}

/* The sweep's re-read comes behind a newer state of the key: one more is appended, with the state
 * that is applied, and that one is not stale any more, however often it comes. */
static void a_stale_reread_is_followed_by_one_that_is_not(void **state)
{
    (void)state;
    static const enum ledger_state states[] = {LEDGER_DONE, LEDGER_DELETED, LEDGER_QUARANTINED};
    for (size_t i = 0; i < ARRAY_LEN(states); i++) {
        struct stage stage;
        struct worklog_record next;
        stage_init(&stage);
        struct ledger_row row = {.key = "k",
                                 .exists = true,
                                 .state = states[i],
                                 .gen = 2,
                                 .ver = "9",
                                 .offset = 5,
                                 .source_id = "s"};
        struct worklog_record swept = reread_at(2, "1", 7);
        assert_true(next_of(&stage, &row, &swept, &next));
        assert_int_equal(next.record.op, ITEM_REREAD);
        assert_int_equal(next.record.gen, 2);
        assert_string_equal(next.record.ver, "9");
        struct worklog_record again = reread_at(2, next.record.ver, 8);
        assert_false(next_of(&stage, &row, &again, &next));
        assert_false(next_of(&stage, &row, &again, &next));
        stage_fini(&stage);
    }
}

/* Each further one needs another change of the key that was applied in between: they end with it. */
static void a_chain_of_rereads_is_no_longer_than_the_changes_of_its_key(void **state)
{
    (void)state;
    static const char *const vers[] = {"2", "3", "4", "5"};
    struct stage stage;
    stage_init(&stage);
    int64_t offset = 10;
    size_t appended = 0, changes = 0;
    struct worklog_record record = reread_at(2, "1", offset);
    for (int rounds = 0; rounds < 20; rounds++) {
        /* before each comes a change, as long as there are any */
        struct ledger_row row = {.key = "k",
                                 .exists = true,
                                 .state = LEDGER_DONE,
                                 .gen = 2,
                                 .source_id = "s",
                                 .offset = record.offset - 1};
        changes += changes < ARRAY_LEN(vers);
        row.ver = vers[changes - 1];
        struct worklog_record next;
        if (!next_of(&stage, &row, &record, &next))
            break;
        appended++;
        record = reread_at(next.record.gen, next.record.ver, ++offset);
    }
    assert_int_equal(appended, ARRAY_LEN(vers));
    stage_fini(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sweep_may_erase_up_to_its_part_of_all_documents),
        cmocka_unit_test(a_stopped_sweep_says_what_to_do),
        cmocka_unit_test(an_offset_within_the_log_is_no_gap),
        cmocka_unit_test(only_a_generation_that_is_not_swept_yet_and_still_there_is_read_again),
        cmocka_unit_test(no_sweep_begins_before_the_group_has_begun_anew_in_its_generation),
        cmocka_unit_test(each_row_that_a_sweep_meets_has_its_step),
        cmocka_unit_test(a_stale_reread_is_followed_by_one_that_is_not),
        cmocka_unit_test(a_chain_of_rereads_is_no_longer_than_the_changes_of_its_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
