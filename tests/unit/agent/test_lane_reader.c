/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/lane_reader.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cdc/worklog_ops.h"
#include "support/test.h"

#define PATIENCE_MS 20000

/* A log of one record, behind which another partition stands. */
struct scene {
    struct worklog log;
    struct worklog_reader log_reader;
    _Atomic int opened;
    _Atomic int closed;
    _Atomic int gaps; /* told */
    _Atomic int stored;
    _Atomic bool fenced;
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
    return true;
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
    struct flight *flight;
    while ((flight = flight_take(s->lane.reader))) {
        while (!atomic_load(&flight->hurry))
            clock_sleep_ms(5);
        flight_end(s->lane.reader, flight, false);
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
    scene->config.instance = none;
    scene->config.work.batch_documents = 10;
    scene->config.worklog.driver = WORKLOG_MEMORY;
    scene->agent.config = &scene->config;
    scene->agent.log = &scene->log;
    scene->family.name = name;
    struct lane *lane = &scene->lane;
    lane->agent = &scene->agent;
    lane->family = &scene->family;
    lane->label = lane->topic = lane->group = name;
    lane->worker_count = 1;
    lane->reasons = calloc(2, sizeof *lane->reasons);
    pthread_mutex_init(&lane->lock, NULL);
    lane->reader = lane_reader_new(lane);
    pthread_create(&scene->reading, NULL, read_on, scene);
    pthread_create(&scene->working, NULL, wait_in_vain, scene);
    *state = scene;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *s = *state;
    lane_reader_free(s->lane.reader);
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

static void a_stop_ends_a_lane_that_waits_for_a_batch_before_a_gap(void **state)
{
    struct scene *s = *state;
    until_at_least(&s->gaps, 1);
    join(s);
}

static void a_pause_gives_up_the_batch_before_a_gap(void **state)
{
    struct scene *s = *state;
    until_at_least(&s->gaps, 1);
    atomic_store(&s->lane.paused, true);
    until_at_least(&s->closed, 1);
    join(s);
}

static void a_lane_does_not_take_its_place_back_from_a_namesake(void **state)
{
    struct scene *s = *state;
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_stop_ends_a_lane_that_waits_for_a_batch_before_a_gap),
        TEST(a_pause_gives_up_the_batch_before_a_gap),
        TEST(a_lane_does_not_take_its_place_back_from_a_namesake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
