/* SPDX-License-Identifier: Apache-2.0 */
/* A partition whose next offset is gone stands, is told of, and is sent on: over each work log. */
#include "conformance/kafka_server.h"
#include "conformance/worklog_fixture.h"

static struct kafka_server server;

static int memory_setup(void **state)
{
    struct worklog_options options = fixture_options("memory", NULL);
    *state = fixture_new(&options);
    return 0;
}

static int kafka_setup(void **state)
{
    struct worklog_options options = fixture_options("kafka", server.brokers);
    *state = fixture_new(&options);
    return 0;
}

static int teardown(void **state)
{
    fixture_free(*state);
    return 0;
}

static void a_group_without_start_offsets_is_a_gap(void **state)
{
    struct fixture *f = *state;
    append_text(f, 0, "k", "v");
    settle(f);
    char other[80];
    snprintf(other, sizeof(other), "%s.unseeded", f->group);
    assert_int_equal(position_of(f, other, 0).committed, -1);
    struct worklog_reader *reader = open_reader(f, other);
    struct worklog_batch batch;
    assert_int_equal(read_some(f, reader, 10, &batch), READ_GAP);
    assert_int_equal(batch.count, 0);
    assert_int_equal(read_some(f, reader, 10, &batch), READ_GAP);
    worklog_close_reader(reader);
}

static void an_offset_beyond_the_end_is_a_gap(void **state)
{
    struct fixture *f = *state;
    const int64_t offsets[PARTITIONS] = {0, 5000, 0, 0};
    OK(f, worklog_seed(f->log, f->topic, f->group, offsets, PARTITIONS, &f->err));
    append_text(f, 1, "k", "v");
    settle(f);
    struct worklog_reader *reader = open_reader(f, f->group);
    struct worklog_batch batch;
    assert_int_equal(read_some(f, reader, 10, &batch), READ_GAP);
    worklog_close_reader(reader);
}

static void a_partition_that_stands_goes_on_where_it_is_sent(void **state)
{
    struct fixture *f = *state;
    const int64_t offsets[PARTITIONS] = {0, 5000, 0, 0};
    OK(f, worklog_seed(f->log, f->topic, f->group, offsets, PARTITIONS, &f->err));
    for (int i = 0; i < 10; i++) {
        append_text(f, 0, "k", "v");
        append_text(f, 1, "k", "v");
    }
    settle(f);
    struct worklog_reader *reader = open_reader(f, f->group);
    struct worklog_batch batch;
    int64_t next = 0, deadline_ms = clock_mono_ms() + PATIENCE_MS;
    bool told = false;
    while ((next < 10 || !told) && clock_mono_ms() < deadline_ms) {
        enum worklog_read outcome = read_some(f, reader, 1, &batch);
        if (outcome == READ_GAP) {
            told = true;
            assert_int_equal(batch.gap.partition, 1);
            assert_int_equal(batch.gap.offset, 5000);
        } else {
            assert_int_equal(outcome, READ_RECORDS);
            assert_int_equal(batch.records[0].partition, 0);
            assert_int_equal(batch.records[0].offset, next++);
            store(f, reader, 0, next);
        }
    }
    assert_true(told);
    assert_int_equal(next, 10);
    OK(f, worklog_seek(reader, 1, 4, &f->err));
    assert_int_equal(position_of(f, f->group, 1).committed, 4);
    for (int64_t at = 4; at < 10; at++) {
        assert_int_equal(read_some(f, reader, 1, &batch), READ_RECORDS);
        assert_int_equal(batch.records[0].partition, 1);
        assert_int_equal(batch.records[0].offset, at);
        store(f, reader, 1, at + 1);
    }
    append_text(f, 0, "k", "v");
    settle(f);
    assert_int_equal(read_some(f, reader, 1, &batch), READ_RECORDS);
    assert_int_equal(batch.records[0].offset, 10);
    store(f, reader, 0, 11);
    OK(f, worklog_commit(reader, &f->err));
    assert_int_equal(position_of(f, f->group, 1).committed, 10);
    assert_int_equal(position_of(f, f->group, 0).committed, 11);
    worklog_close_reader(reader);
}

static void a_group_without_offsets_goes_on_where_it_is_sent(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 5; i++)
        append_text(f, 2, "k", "v");
    settle(f);
    char other[80];
    snprintf(other, sizeof(other), "%s.unseeded", f->group);
    struct worklog_reader *reader = open_reader(f, other);
    struct worklog_batch batch;
    bool sent[PARTITIONS] = {false};
    enum worklog_read outcome;
    while ((outcome = read_some(f, reader, 1, &batch)) == READ_GAP) {
        assert_int_equal(batch.gap.offset, -1);
        assert_false(sent[batch.gap.partition]);
        sent[batch.gap.partition] = true;
        OK(f, worklog_seek(reader, batch.gap.partition, batch.gap.partition == 2 ? 3 : 0, &f->err));
    }
    assert_int_equal(outcome, READ_RECORDS);
    assert_int_equal(batch.records[0].partition, 2);
    assert_int_equal(batch.records[0].offset, 3);
    read_all(f, reader, 1, NULL, NULL);
    store(f, reader, 2, 5);
    worklog_close_reader(reader);
    assert_int_equal(position_of(f, other, 2).committed, 5);
}

/* Offsets that are stored behind the place it is sent to must not come back by another way. */
static void a_partition_that_was_read_can_be_sent_back(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 10; i++)
        append_text(f, 3, "k", "v");
    settle(f);
    /* memory keeps only what some group still needs */
    char needy[80];
    snprintf(needy, sizeof(needy), "%s.needy", f->group);
    fixture_seed_zero(f, needy);
    struct worklog_reader *reader = open_reader(f, f->group);
    struct worklog_batch batch;
    read_all(f, reader, 10, NULL, NULL);
    store(f, reader, 3, 10);
    OK(f, worklog_seek(reader, 3, 6, &f->err));
    assert_int_equal(position_of(f, f->group, 3).committed, 6);
    assert_int_equal(read_some(f, reader, 1, &batch), READ_RECORDS);
    assert_int_equal(batch.records[0].offset, 6);
    store(f, reader, 3, 7);
    worklog_close_reader(reader);
    assert_int_equal(position_of(f, f->group, 3).committed, 7);
    reader = open_reader(f, f->group);
    assert_int_equal(read_some(f, reader, 1, &batch), READ_RECORDS);
    assert_int_equal(batch.records[0].offset, 7);
    worklog_close_reader(reader);
}

#define TEST(name)                                                                                 \
    {                                                                                              \
#name, name, NULL, NULL, NULL                                                              \
    }

static const struct CMUnitTest TESTS[] = {
    TEST(a_group_without_start_offsets_is_a_gap),
    TEST(an_offset_beyond_the_end_is_a_gap),
    TEST(a_partition_that_stands_goes_on_where_it_is_sent),
    TEST(a_group_without_offsets_goes_on_where_it_is_sent),
    TEST(a_partition_that_was_read_can_be_sent_back),
};

static int run(const char *driver, CMFixtureFunction setup)
{
    struct CMUnitTest tests[ARRAY_LEN(TESTS)];
    for (size_t i = 0; i < ARRAY_LEN(TESTS); i++) {
        tests[i] = TESTS[i];
        tests[i].setup_func = setup;
        tests[i].teardown_func = teardown;
    }
    return _cmocka_run_group_tests(driver, tests, ARRAY_LEN(TESTS), NULL, NULL);
}

int main(void)
{
    int failed = run("work log in memory", memory_setup);
    if (!KAFKA_RUNS_HERE)
        return failed;
    if (!kafka_server_open(&server))
        return 1;
    failed += run("work log in Kafka", kafka_setup);
    kafka_server_close(&server);
    return failed;
}
