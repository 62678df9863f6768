/* SPDX-License-Identifier: Apache-2.0 */
/* Where reading begins, over each work log: a partition whose next offset is gone stands, is told of, and
 * is sent on; a time leads to an offset; re-reads weigh what they are known to bring. */
#include "conformance/worklog_kafka_fixture.h"

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

static void a_time_leads_to_the_first_record_that_is_not_older(void **state)
{
    struct fixture *f = *state;
    int64_t offsets[PARTITIONS];
    append_text(f, 0, "old", "v");
    settle(f);
    clock_sleep_ms(20); /* the broker's clock is this one, but its milliseconds are shared */
    int64_t between_ms = clock_wall_ms();
    clock_sleep_ms(20);
    append_text(f, 0, "new", "v");
    append_text(f, 1, "new", "v");
    settle(f);
    OK(f, worklog_offsets_at(f->log, f->topic, between_ms, offsets, PARTITIONS, &f->err));
    assert_int_equal(offsets[0], 1);
    assert_int_equal(offsets[1], 0);
    assert_int_equal(offsets[2], 0); /* an empty one */
    OK(f, worklog_offsets_at(f->log, f->topic, 0, offsets, PARTITIONS, &f->err));
    assert_int_equal(offsets[0], 0);
    int64_t later_ms = clock_wall_ms() + 60000;
    OK(f, worklog_offsets_at(f->log, f->topic, later_ms, offsets, PARTITIONS, &f->err));
    assert_int_equal(offsets[0], 2); /* none is so young: its end */
    assert_int_equal(offsets[1], 1);
}

static void what_is_noted_beside_a_topic_is_found_where_the_log_lasts(void **state)
{
    struct fixture *f = *state;
    char group[80], words[WORKLOG_NOTE_SIZE];
    bool lasts = strcmp(f->driver, "kafka") == 0;
    snprintf(group, sizeof(group), "%s.state", f->group);
    OK(f, worklog_noted(f->log, f->topic, group, words, &f->err));
    assert_string_equal(words, "");
    OK(f, worklog_note(f->log, f->topic, group, "first 17", &f->err));
    OK(f, worklog_note(f->log, f->topic, group, "second 9", &f->err));
    OK(f, worklog_noted(f->log, f->topic, group, words, &f->err));
    assert_string_equal(words, lasts ? "second 9" : "");
}

static void a_group_that_is_forgotten_has_committed_nothing(void **state)
{
    struct fixture *f = *state;
    struct worklog_position positions[PARTITIONS];
    bool lasts = strcmp(f->driver, "kafka") == 0;
    int64_t offsets[PARTITIONS] = {0};
    OK(f, worklog_seed(f->log, f->topic, f->group, offsets, PARTITIONS, &f->err));
    OK(f, worklog_forget_group(f->log, f->group, &f->err));
    OK(f, worklog_positions(f->log, f->topic, f->group, positions, PARTITIONS, &f->err));
    for (int p = 0; lasts && p < PARTITIONS; p++)
        assert_true(positions[p].committed < 0);
    OK(f, worklog_forget_group(f->log, f->group, &f->err)); /* there is none any more */
    if (!lasts)
        return;
    OK(f, worklog_seed(f->log, f->topic, f->group, offsets, PARTITIONS, &f->err));
    append_text(f, 0, "k", "v");
    settle(f);
    struct worklog_reader *reader = open_reader(f, f->group);
    struct worklog_batch batch;
    while (read_some(f, reader, 1, &batch) != READ_RECORDS)
        ;
    assert_false(worklog_forget_group(f->log, f->group, &f->err)); /* it has a member */
    worklog_close_reader(reader);
}

/* Else a batch of them could be of a few only, as if each document were large. */
static void a_document_that_was_looked_at_weighs_what_it_has(void **state)
{
    struct fixture *f = *state;
    struct record record = record_of("k", "{}");
    record.op = ITEM_REREAD;
    for (int i = 0; i < 100; i++) {
        record.size = 1000;
        append(f, 0, &record, 0);
    }
    settle(f);
    struct worklog_reader *reader = open_reader(f, f->group);
    struct worklog_batch batch;
    size_t count = 0, weight = 0;
    while (count < 100) {
        assert_int_equal(read_some(f, reader, 1000, &batch), READ_RECORDS);
        for (size_t i = 0; i < batch.count; i++) {
            assert_int_equal(batch.records[i].record.size, 1000);
            weight += record_weight(&batch.records[i].record);
        }
        count += batch.count;
    }
    assert_in_range(weight, 100 * 1000, 100 * 1010);
    record.size = 0;
    assert_true(record_weight(&record) > 1000000);
    worklog_close_reader(reader);
}

static void a_topic_is_given_more_partitions_and_keeps_what_it_has(void **state)
{
    enum { MORE = PARTITIONS + 2 };
    struct fixture *f = *state;
    const int64_t zero[MORE] = {0};
    struct worklog_position positions[MORE];
    struct worklog_topic *topic = malloc(sizeof(*topic));
    bool found = false;
    append_text(f, 1, "k", "v");
    settle(f);
    OK(f, worklog_grow(f->log, f->topic, MORE, &f->err));
    OK(f, worklog_look(f->log, f->topic, &found, topic, &f->err));
    assert_true(found);
    assert_int_equal(topic->partitions, MORE);
    assert_int_equal(topic->high[1], 1);
    assert_int_equal(topic->high[MORE - 1], 0);
    OK(f, worklog_positions(f->log, f->topic, f->group, positions, MORE, &f->err));
    assert_int_equal(positions[1].committed, 0);
    assert_int_equal(positions[MORE - 1].committed, -1);
    OK(f, worklog_grow(f->log, f->topic, PARTITIONS, &f->err)); /* it never gets fewer */
    OK(f, worklog_look(f->log, f->topic, &found, topic, &f->err));
    assert_int_equal(topic->partitions, MORE);
    free(topic);

    append_text(f, MORE - 1, "k", "v"); /* by a writer that has known fewer */
    settle(f);
    OK(f, worklog_seed(f->log, f->topic, f->group, zero, MORE, &f->err));
    struct worklog_reader *reader = open_reader(f, f->group);
    read_all(f, reader, 2, NULL, NULL);
    worklog_close_reader(reader);
    assert_false(worklog_grow(f->log, "test.nowhere", MORE, &f->err));
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
    TEST(a_time_leads_to_the_first_record_that_is_not_older),
    TEST(a_topic_is_given_more_partitions_and_keeps_what_it_has),
    TEST(what_is_noted_beside_a_topic_is_found_where_the_log_lasts),
    TEST(a_group_that_is_forgotten_has_committed_nothing),
    TEST(a_document_that_was_looked_at_weighs_what_it_has),
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

static int run_kafka(void)
{
    return run("work log in Kafka", kafka_setup);
}

int main(void)
{
    return run("work log in memory", memory_setup) + run_on_kafka(run_kafka);
}
