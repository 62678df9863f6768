/* SPDX-License-Identifier: Apache-2.0 */
/* What the work log in memory does beyond what every work log does. */
#include "conformance/worklog_fixture.h"

#include <pthread.h>

#include "base/limits.h"

static int setup(void **state)
{
    struct worklog_options options = fixture_options("memory", NULL);
    options.memory_max_size = 64 * KIB;
    *state = fixture_new(&options);
    return 0;
}

static int teardown(void **state)
{
    fixture_free(*state);
    return 0;
}

static enum worklog_append try_append(struct fixture *f, size_t size, uint64_t ticket)
{
    char *value = calloc(1, size + 1);
    assert_non_null(value);
    memset(value, 'x', size);
    struct record record = record_of("k", value);
    enum worklog_append outcome;
    OK(f, worklog_append(f->writer, f->topic, 0, &record, ticket, &outcome, &f->err));
    free(value);
    return outcome;
}

static size_t fill(struct fixture *f)
{
    size_t count = 0;
    while (try_append(f, 1000, count) == APPEND_OK)
        count++;
    return count;
}

static void a_full_log_refuses_and_then_takes(void **state)
{
    struct fixture *f = *state;
    size_t count = fill(f);
    assert_in_range(count, 20, 64);
    assert_int_equal(try_append(f, 1000, 100), APPEND_FULL);
    struct worklog_reader *reader = open_reader(f, f->group);
    read_all(f, reader, count, NULL, NULL);
    assert_int_equal(try_append(f, 1000, 100), APPEND_FULL);
    store(f, reader, 0, 1);
    assert_int_equal(try_append(f, 1000, 100), APPEND_OK);
    assert_int_equal(try_append(f, 1000, 101), APPEND_FULL);
    worklog_close_reader(reader);
}

static void a_record_larger_than_the_log_is_taken_when_it_is_empty(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(try_append(f, 10, 1), APPEND_OK);
    assert_int_equal(try_append(f, 1 * MIB, 2), APPEND_FULL);
    struct worklog_reader *reader = open_reader(f, f->group);
    read_all(f, reader, 1, NULL, NULL);
    store(f, reader, 0, 1);
    assert_int_equal(try_append(f, 1 * MIB, 2), APPEND_OK);
    assert_int_equal(try_append(f, 10, 3), APPEND_FULL);
    read_all(f, reader, 1, NULL, NULL);
    store(f, reader, 0, 2);
    assert_int_equal(try_append(f, 10, 3), APPEND_OK);
    worklog_close_reader(reader);
}

static void a_record_is_delivered_when_an_offset_behind_it_is_stored(void **state)
{
    struct fixture *f = *state;
    for (uint64_t ticket = 0; ticket < 4; ticket++)
        assert_int_equal(try_append(f, 10, ticket), APPEND_OK);
    struct worklog_reader *reader = open_reader(f, f->group);
    read_all(f, reader, 4, NULL, NULL);
    OK(f, worklog_poll(f->writer, 0, &f->err));
    assert_int_equal(worklog_pending(f->writer), 4);
    assert_false(worklog_flush(f->writer, 10, &f->err));
    assert_int_equal(f->err.action, ERR_RETRY);
    store(f, reader, 0, 3);
    assert_int_equal(f->reports[0], 0); /* on the writer's thread, when it polls */
    OK(f, worklog_poll(f->writer, PATIENCE_MS, &f->err));
    assert_int_equal(f->reports[0] + f->reports[1] + f->reports[2], 3);
    assert_int_equal(f->reports[3], 0);
    assert_int_equal(worklog_pending(f->writer), 1);
    worklog_close_reader(reader);
}

static void the_slowest_group_decides_what_is_delivered(void **state)
{
    struct fixture *f = *state;
    fixture_seed_zero(f, "slow");
    assert_int_equal(try_append(f, 10, 0), APPEND_OK);
    struct worklog_reader *fast = open_reader(f, f->group);
    struct worklog_reader *slow = open_reader(f, "slow");
    read_all(f, fast, 1, NULL, NULL);
    store(f, fast, 0, 1);
    OK(f, worklog_poll(f->writer, 0, &f->err));
    assert_int_equal(f->reports[0], 0);
    read_all(f, slow, 1, NULL, NULL);
    store(f, slow, 0, 1);
    OK(f, worklog_poll(f->writer, PATIENCE_MS, &f->err));
    assert_int_equal(f->reports[0], 1);
    worklog_close_reader(fast);
    worklog_close_reader(slow);
}

static void a_batch_stays_readable_after_its_offsets_are_stored(void **state)
{
    struct fixture *f = *state;
    append_text(f, 0, "key", "value");
    struct worklog_reader *reader = open_reader(f, f->group);
    struct worklog_batch batch;
    assert_int_equal(read_some(f, reader, 1, &batch), READ_RECORDS);
    store(f, reader, 0, 1);
    OK(f, worklog_poll(f->writer, PATIENCE_MS, &f->err));
    OK(f, worklog_remove(f->log, f->topic, &f->err));
    assert_memory_equal(batch.records[0].record.key, "key", 3);
    assert_memory_equal(batch.records[0].record.value, "value", 5);
    assert_string_equal(batch.records[0].record.ver, "8264");
    worklog_close_reader(reader);
}

static void a_writer_that_closes_leaves_its_records(void **state)
{
    struct fixture *f = *state;
    struct worklog_writer_options options = {.delivered = fixture_delivered, .context = f};
    struct worklog_reader *reader = open_reader(f, f->group);
    append_text(f, 0, "k", "before");
    worklog_close_writer(f->writer);
    OK(f, worklog_open_writer(f->log, &options, &f->writer, &f->err));
    append_text(f, 0, "k", "after");
    read_all(f, reader, 2, NULL, NULL);
    store(f, reader, 0, 2);
    OK(f, worklog_flush(f->writer, PATIENCE_MS, &f->err));
    assert_int_equal(f->reports[0], 1); /* only its own */
    worklog_close_reader(reader);
}

static void a_purge_spares_what_a_reader_has_had(void **state)
{
    struct fixture *f = *state;
    struct worklog_batch batch;
    for (uint64_t ticket = 0; ticket < 3; ticket++)
        assert_int_equal(try_append(f, 10, ticket), APPEND_OK);
    struct worklog_reader *reader = open_reader(f, f->group);
    assert_int_equal(read_some(f, reader, 1, &batch), READ_RECORDS);
    worklog_purge(f->writer);
    OK(f, worklog_poll(f->writer, PATIENCE_MS, &f->err));
    assert_int_equal(f->reports[0], 0);
    assert_int_equal(f->failures[1] + f->failures[2], 2);
    assert_int_equal(f->action, ERR_CANCEL);
    assert_int_equal(try_append(f, 10, 3), APPEND_OK);
    assert_int_equal(read_some(f, reader, 10, &batch), READ_RECORDS);
    assert_int_equal(batch.count, 1);
    assert_int_equal(batch.records[0].offset, 3); /* behind a hole */
    store(f, reader, 0, 4);
    OK(f, worklog_flush(f->writer, PATIENCE_MS, &f->err));
    assert_int_equal(f->reports[0] + f->reports[3], 2);
    assert_int_equal(f->failures[0] + f->failures[3], 0);
    worklog_close_reader(reader);
}

static void offsets_never_go_back(void **state)
{
    struct fixture *f = *state;
    append_text(f, 0, "k", "v");
    OK(f, worklog_remove(f->log, f->topic, &f->err));
    struct worklog_topic *topic = malloc(sizeof(*topic));
    assert_non_null(topic);
    OK(f, worklog_ensure(f->log, f->topic, topic, &f->err));
    assert_int_equal(topic->low[0], 1);
    assert_int_equal(topic->high[0], 1);
    free(topic);
    OK(f, worklog_poll(f->writer, PATIENCE_MS, &f->err));
    assert_int_equal(f->failures[0], 1); /* a removed record is reported too */
}

static void a_topic_that_is_missing_is_an_error(void **state)
{
    struct fixture *f = *state;
    struct record record = record_of("k", "v");
    struct worklog_position positions[PARTITIONS];
    enum worklog_append outcome;
    const struct worklog_reader_options options = {.topic = "none", .group = "g"};
    struct worklog_reader *reader;
    assert_false(worklog_append(f->writer, "none", 0, &record, 0, &outcome, &f->err));
    assert_int_equal(f->err.action, ERR_RETRY);
    assert_false(worklog_append(f->writer, f->topic, 99, &record, 0, &outcome, &f->err));
    assert_false(worklog_positions(f->log, "none", "g", positions, PARTITIONS, &f->err));
    assert_false(worklog_open_reader(f->log, &options, &reader, &f->err));
    assert_null(reader);
}

static void a_reader_of_a_removed_topic_is_told(void **state)
{
    struct fixture *f = *state;
    struct worklog_reader *reader = open_reader(f, f->group);
    struct worklog_batch batch;
    enum worklog_read outcome;
    OK(f, worklog_read(reader, 1, 1, 0, &batch, &outcome, &f->err));
    assert_int_equal(outcome, READ_IDLE);
    OK(f, worklog_remove(f->log, f->topic, &f->err));
    assert_false(worklog_read(reader, 1, 1, 0, &batch, &outcome, &f->err));
    assert_int_equal(f->err.action, ERR_RETRY);
    worklog_close_reader(reader);
}

/* Three readers that come and go while one writer writes: nothing is lost, and what is applied of a
 * partition never goes back by more than was not stored. */
#define STORM_RECORDS 4000

struct storm {
    struct fixture *f;
    pthread_mutex_t mutex;
    unsigned char seen[STORM_RECORDS];
    _Atomic int left;
};

static void storm_see(struct storm *storm, const struct worklog_record *record)
{
    long number = strtol(record->record.key, NULL, 10);
    pthread_mutex_lock(&storm->mutex);
    if (!storm->seen[number]) {
        storm->seen[number] = 1;
        storm->left--;
    }
    pthread_mutex_unlock(&storm->mutex);
}

static bool storm_read(struct storm *storm, struct worklog_reader *reader)
{
    struct worklog_batch batch;
    enum worklog_read outcome;
    struct err err;
    if (!worklog_read(reader, 20, 1 << 20, 20, &batch, &outcome, &err) || outcome == READ_GAP)
        return false;
    for (size_t i = 0; i < batch.count; i++) {
        const struct worklog_record *record = &batch.records[i];
        storm_see(storm, record);
        if (i % 2 && !worklog_store(reader, record->partition, record->offset + 1, &err))
            return false;
    }
    return true;
}

static void *storm_reader(void *context)
{
    struct storm *storm = context;
    bool ok = true;
    while (storm->left > 0 && ok) {
        const struct worklog_reader_options options = {.topic = storm->f->topic,
                                                       .group = storm->f->group};
        struct worklog_reader *reader = NULL;
        struct err err;
        ok = worklog_open_reader(storm->f->log, &options, &reader, &err);
        for (int i = 0; i < 30 && ok && storm->left > 0; i++)
            ok = storm_read(storm, reader);
        worklog_close_reader(reader);
    }
    return ok ? context : NULL;
}

static void readers_that_come_and_go_lose_nothing(void **state)
{
    struct fixture *f = *state;
    struct storm storm = {.f = f, .left = STORM_RECORDS};
    pthread_mutex_init(&storm.mutex, NULL);
    pthread_t threads[3];
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, storm_reader, &storm), 0);
    for (int i = 0; i < STORM_RECORDS; i++) {
        char key[16];
        snprintf(key, sizeof(key), "%d", i);
        struct record record = record_of(key, "value");
        append(f, i % PARTITIONS, &record, (uint64_t)i);
        if (i % 100 == 0)
            OK(f, worklog_poll(f->writer, 0, &f->err));
    }
    for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
        void *ok = NULL;
        pthread_join(threads[i], &ok);
        assert_non_null(ok);
    }
    assert_int_equal(storm.left, 0);
    pthread_mutex_destroy(&storm.mutex);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_full_log_refuses_and_then_takes),
        TEST(a_record_larger_than_the_log_is_taken_when_it_is_empty),
        TEST(a_record_is_delivered_when_an_offset_behind_it_is_stored),
        TEST(the_slowest_group_decides_what_is_delivered),
        TEST(a_batch_stays_readable_after_its_offsets_are_stored),
        TEST(a_writer_that_closes_leaves_its_records),
        TEST(a_purge_spares_what_a_reader_has_had),
        TEST(offsets_never_go_back),
        TEST(a_topic_that_is_missing_is_an_error),
        TEST(a_reader_of_a_removed_topic_is_told),
        TEST(readers_that_come_and_go_lose_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
