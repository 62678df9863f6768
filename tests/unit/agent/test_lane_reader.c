/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/lane/lane_reader.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cdc/worklog_ops.h"
#include "state/docstore_ops.h"
#include "support/test.h"

#define PATIENCE_MS 20000

/* A log of one record, behind which another partition stands. */
struct scene {
    struct docstore docs; /* never answers */
    struct worklog log;
    struct worklog_reader log_reader;
    _Atomic int opened;
    _Atomic int closed;
    _Atomic int gaps; /* told */
    _Atomic int stored;
    _Atomic int kept;
    _Atomic int asked; /* of the state database */
    _Atomic int taken; /* batches */
    _Atomic bool fenced;
    int64_t record_gen;
    _Atomic int64_t checkpoint_gen;
    bool was_read;

    struct config config;
    struct agent agent;
    struct family family;
    struct lane lane;
    pthread_t reading, working;
    _Atomic int ended; /* threads */
};

static struct scene *scene;

static bool open_reader(struct worklog *log, const struct worklog_reader_options *options,
                        struct worklog_reader **out, struct err *err)
{
    (void)log, (void)options, (void)err;
    atomic_fetch_add(&scene->opened, 1);
    *out = &scene->log_reader;
    return true;
}

/* wide: the signature of the ops table's slot */
static bool read_gap(struct worklog_reader *reader, size_t max_records, size_t max_size,
                     int64_t timeout_ms, struct worklog_batch *batch, enum worklog_read *outcome,
                     struct err *err)
{
    static struct worklog_record record = {
        .offset = 1,
        .record = {.gen = 1, .ver = "8201", .key = "k", .key_size = 1, .op = ITEM_DELETE}};
    (void)reader, (void)max_records, (void)max_size, (void)timeout_ms;
    if (atomic_load(&scene->fenced))
        return err_set(err, ERR_FATAL, ERR_KAFKA, WORKLOG_FENCED, "fenced");
    *outcome = scene->was_read ? READ_GAP : READ_RECORDS;
    if (scene->was_read)
        atomic_fetch_add(&scene->gaps, 1);
    else
        *batch = (struct worklog_batch){.records = &record, .count = 1};
    record.record.gen = scene->record_gen;
    scene->was_read = true;
    return true;
}

static bool store(struct worklog_reader *reader, int partition, int64_t next, struct err *err)
{
    (void)reader, (void)partition, (void)next, (void)err;
    atomic_fetch_add(&scene->stored, 1);
    return true;
}

static bool keep(struct worklog_reader *reader, struct err *err)
{
    (void)reader, (void)err;
    atomic_fetch_add(&scene->kept, 1);
    return true;
}

static bool generation(const struct lane *lane, int64_t *out, struct err *err)
{
    (void)lane, (void)err;
    *out = atomic_load(&scene->checkpoint_gen);
    return true;
}

static const struct lane_source source = {.generation = generation};

static bool load(struct docstore *docs, const struct doc_ref *ref, bson_t **doc, int64_t *now_ms,
                 struct err *err)
{
    (void)docs, (void)ref, (void)doc, (void)now_ms;
    atomic_fetch_add(&scene->asked, 1);
    return err_set(err, ERR_RETRY, ERR_MONGO, 0, "no suitable servers");
}

static bool list(struct docstore *docs, const char *collection, const char *prefix, bson_t ***out,
                 size_t *count, struct err *err)
{
    (void)collection, (void)prefix, (void)out, (void)count;
    return load(docs, NULL, NULL, NULL, err);
}

static bool is_lost(const struct worklog_reader *reader)
{
    (void)reader;
    return false;
}

static void close_reader(struct worklog_reader *reader)
{
    (void)reader;
    atomic_fetch_add(&scene->closed, 1);
}

static void *read_on(void *argument)
{
    struct scene *s = argument;
    lane_reader_run(s->lane.reader);
    atomic_fetch_add(&s->ended, 1);
    return NULL;
}

/* As a worker does whose provider is away: it waits until the batch is better given up. */
static void *wait_in_vain(void *argument)
{
    struct scene *s = argument;
    struct flights *flights = lane_reader_flights(s->lane.reader);
    while (!lane_stopping(&s->lane)) {
        struct flight *flight = flights_take(flights);
        if (!flight)
            continue;
        atomic_fetch_add(&s->taken, 1);
        while (!atomic_load(&flight->hurry))
            clock_sleep_ms(5);
        flights_end(flights, flight, false);
    }
    atomic_fetch_add(&s->ended, 1);
    return NULL;
}

static const struct worklog_ops ops = {.open_reader = open_reader,
                                       .read = read_gap,
                                       .store = store,
                                       .keep = keep,
                                       .is_lost = is_lost,
                                       .close_reader = close_reader};

static int set_up(void **state)
{
    static char name[] = "v", none[] = "";
    scene = calloc(1, sizeof *scene);
    scene->log.ops = scene->log_reader.ops = &ops;
    scene->record_gen = 1;
    atomic_init(&scene->checkpoint_gen, 1);
    scene->config.instance = none;
    scene->config.work.batch_documents = 2; /* one record is not few: it is read on */
    scene->config.worklog.driver = WORKLOG_MEMORY;
    static const struct docstore_ops docs = {.load = load, .list = list};
    scene->docs.ops = &docs;
    scene->agent.docs = &scene->docs;
    scene->agent.config = &scene->config;
    scene->agent.log = &scene->log;
    scene->family.name = name;
    struct lane *lane = &scene->lane;
    lane->agent = &scene->agent;
    lane->family = &scene->family;
    lane->source = &source;
    lane->label = lane->build_id = lane->topic = lane->group = name;
    lane->gate = gate_new(1);
    lane->worker_count = 1;
    lane->reasons = calloc(2, sizeof *lane->reasons);
    pthread_mutex_init(&lane->lock, NULL);
    lane->reader = lane_reader_new(lane);
    *state = scene;
    return 0;
}

static void start(struct scene *s)
{
    pthread_create(&s->reading, NULL, read_on, s);
    pthread_create(&s->working, NULL, wait_in_vain, s);
}

static int tear_down(void **state)
{
    struct scene *s = *state;
    lane_reader_free(s->lane.reader);
    gate_free(s->lane.gate);
    pthread_mutex_destroy(&s->lane.lock);
    for (size_t i = 0; i < 2; i++)
        free(s->lane.reasons[i]);
    free(s->lane.reasons);
    free(s);
    return 0;
}

static void until_at_least(_Atomic int *number, int wanted)
{
    int64_t deadline_ms = clock_mono_ms() + PATIENCE_MS;
    while (atomic_load(number) < wanted && clock_mono_ms() < deadline_ms)
        clock_sleep_ms(5);
    assert_true(atomic_load(number) >= wanted); /* threads that hang keep what they use */
}

static void join(struct scene *s)
{
    atomic_store(&s->lane.stop, true);
    until_at_least(&s->ended, 2);
    pthread_join(s->reading, NULL);
    pthread_join(s->working, NULL);
    assert_int_equal(atomic_load(&s->stored), 0);
}

/* So slow is the store that it is read after all. */
static void what_would_wait_for_a_shadow_is_read_later(void **state)
{
    struct scene *s = *state;
    struct gate_seat *seat = gate_join(s->lane.gate, &s->family);
    struct gate_visit shadow = {.seat = seat, .rank = 2, .chunks = 1};
    assert_true(gate_line_up(&shadow, &s->lane.stop) && gate_enter(&shadow, &s->lane.stop));
    int64_t begun_ms = clock_mono_ms();
    start(s);
    until_at_least(&s->gaps, 1);
    assert_true(clock_mono_ms() - begun_ms >= 200);
    join(s);
    gate_leave(&shadow);
    gate_part(seat);
}

static void a_stop_ends_a_lane_that_waits_for_a_batch_before_a_gap(void **state)
{
    struct scene *s = *state;
    start(s);
    until_at_least(&s->gaps, 1);
    join(s);
}

static void a_pause_gives_up_the_batch_before_a_gap(void **state)
{
    struct scene *s = *state;
    start(s);
    until_at_least(&s->gaps, 1);
    atomic_store(&s->lane.paused, true);
    until_at_least(&s->closed, 1);
    join(s);
}

static void a_lane_does_not_take_its_place_back_from_a_namesake(void **state)
{
    struct scene *s = *state;
    start(s);
    until_at_least(&s->gaps, 1);
    atomic_store(&s->fenced, true);
    atomic_store(&s->lane.paused, true); /* what is in flight is given up */
    until_at_least(&s->closed, 1);
    atomic_store(&s->lane.paused, false);
    until_at_least(&s->closed, 2);
    clock_sleep_ms(500); /* other errors are tried again after a tenth of a second */
    assert_int_equal(atomic_load(&s->opened), 2);
    char *reason = lane_reason(&s->lane);
    assert_non_null(reason);
    assert_non_null(strstr(reason, "the same `instance`"));
    free(reason);
    join(s);
}

static _Atomic int64_t leap_ms;

static int64_t leaping_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (now.tv_sec * 1000 + leap_ms) * 1000 + now.tv_nsec / 1000;
}

/* Deletes may be missing, and nobody can be told. */
static void begin_absent(struct scene *s)
{
    s->config.worklog.driver = WORKLOG_KAFKA; /* with a retention of nothing */
    start(s);
    until_at_least(&s->asked, 2);
}

static void a_lane_that_cannot_tell_of_its_absence_says_so_and_keeps_its_place(void **state)
{
    struct scene *s = *state;
    const struct clock_ops leaping = {.mono_us = leaping_clock};
    clock_use(&leaping);
    begin_absent(s);
    char *reason = lane_reason(&s->lane);
    assert_non_null(reason);
    assert_non_null(strstr(reason, "no suitable servers"));
    free(reason);
    leap_ms = 6000;
    until_at_least(&s->kept, 1);
    join(s);
    assert_int_equal(s->taken, 0);
    leap_ms = 0;
    clock_use(NULL);
}

static void a_pause_gives_up_the_batch_of_which_that_is_to_be_told(void **state)
{
    struct scene *s = *state;
    begin_absent(s);
    atomic_store(&s->lane.paused, true);
    until_at_least(&s->closed, 1);
    assert_int_equal(s->taken, 0);
    join(s);
}

/* As after a state database was restored from a backup. */
static void a_record_above_the_checkpoint_is_not_applied_but_asked_about(void **state)
{
    struct scene *s = *state;
    s->record_gen = 3;
    start(s);
    until_at_least(&s->asked, 2); /* for a generation, of a registry that does not answer */
    assert_int_equal(atomic_load(&s->taken), 0);
    assert_int_equal(atomic_load(&s->lane.gen), 1);
    char *reason = lane_reason(&s->lane);
    assert_non_null(reason);
    assert_non_null(strstr(reason, "no suitable servers"));
    free(reason);
    atomic_store(&s->checkpoint_gen, 4);
    until_at_least(&s->taken, 1);
    assert_int_equal(atomic_load(&s->lane.gen), 4);
    join(s);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_would_wait_for_a_shadow_is_read_later),
        TEST(a_stop_ends_a_lane_that_waits_for_a_batch_before_a_gap),
        TEST(a_pause_gives_up_the_batch_before_a_gap),
        TEST(a_lane_does_not_take_its_place_back_from_a_namesake),
        TEST(a_lane_that_cannot_tell_of_its_absence_says_so_and_keeps_its_place),
        TEST(a_pause_gives_up_the_batch_of_which_that_is_to_be_told),
        TEST(a_record_above_the_checkpoint_is_not_applied_but_asked_about),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
