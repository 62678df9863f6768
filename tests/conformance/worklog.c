/* SPDX-License-Identifier: Apache-2.0 */
/* What every work log does, over each of them: a real Kafka, and this process' memory. */
#include "conformance/worklog_kafka_fixture.h"

#include <pthread.h>

#include "base/limits.h"

static void a_record_is_read_as_it_was_appended(void **state)
{
    struct fixture *f = *state;
    struct record record = record_of("{\"$oid\":\"64\"}", "{\"doc\": {}}");
    record.gen = 7;
    record.ver = "8264AF";
    record.time_ms = 1700000000123;
    append(f, 2, &record, 1);
    record.op = ITEM_REREAD;
    record.value = "{}";
    record.value_size = 2;
    record.time_ms = 0;
    append(f, 2, &record, 2);
    settle(f);

    struct worklog_reader *reader = open_reader(f, f->group);
    struct worklog_batch batch;
    assert_int_equal(read_some(f, reader, 1, &batch), READ_RECORDS);
    assert_int_equal(batch.count, 1);
    const struct worklog_record *first = &batch.records[0];
    assert_int_equal(first->partition, 2);
    assert_int_equal(first->offset, 0);
    assert_true(first->broker_ms > 1600000000000);
    assert_int_equal(first->record.op, ITEM_UPSERT);
    assert_int_equal(first->record.gen, 7);
    assert_string_equal(first->record.ver, "8264AF");
    assert_int_equal(first->record.time_ms, 1700000000123);
    assert_int_equal(first->record.key_size, record.key_size);
    assert_memory_equal(first->record.key, record.key, record.key_size);
    assert_int_equal(first->record.value_size, 11);
    assert_memory_equal(first->record.value, "{\"doc\": {}}", 11);

    assert_int_equal(read_some(f, reader, 1, &batch), READ_RECORDS);
    assert_int_equal(batch.records[0].record.op, ITEM_REREAD);
    assert_int_equal(batch.records[0].record.time_ms, 0);
    assert_memory_equal(batch.records[0].record.value, "{}", 2);
    worklog_close_reader(reader);
}

static void a_tombstone_is_read_back_as_no_value(void **state)
{
    struct fixture *f = *state;
    append_text(f, 0, "k", NULL);
    settle(f);
    struct worklog_reader *reader = open_reader(f, f->group);
    struct worklog_batch batch;
    assert_int_equal(read_some(f, reader, 10, &batch), READ_RECORDS);
    assert_int_equal(batch.count, 1);
    assert_int_equal(batch.records[0].record.op, ITEM_DELETE);
    assert_null(batch.records[0].record.value);
    assert_int_equal(batch.records[0].record.value_size, 0);
    worklog_close_reader(reader);
}

struct order {
    int next[8];
    int64_t offset[PARTITIONS];
};

static void see_in_order(void *context, const struct worklog_record *record)
{
    struct order *order = context;
    int key = record->record.key[0] - 'a';
    char text[16];
    snprintf(text, sizeof(text), "%d", order->next[key]++);
    assert_int_equal(record->record.value_size, strlen(text));
    assert_memory_equal(record->record.value, text, strlen(text));
    assert_true(record->offset >= order->offset[record->partition]);
    order->offset[record->partition] = record->offset + 1;
}

static void records_of_one_key_keep_their_order(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 2000; i++) {
        char key[2] = {(char)('a' + i % 8), '\0'};
        char value[16];
        snprintf(value, sizeof(value), "%d", i / 8);
        append_text(f, record_partition(key, 1, PARTITIONS), key, value);
    }
    struct worklog_reader *reader = open_reader(f, f->group);
    struct order order = {{0}, {0}};
    read_all(f, reader, 2000, see_in_order, &order);
    worklog_close_reader(reader);
}

static void an_offset_is_committed_only_when_stored(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 10; i++)
        append_text(f, 1, "k", "v");
    settle(f);
    struct worklog_reader *reader = open_reader(f, f->group);
    read_all(f, reader, 10, NULL, NULL);
    OK(f, worklog_commit(reader, &f->err));
    assert_int_equal(position_of(f, f->group, 1).committed, 0);
    store(f, reader, 1, 4);
    OK(f, worklog_commit(reader, &f->err));
    assert_int_equal(position_of(f, f->group, 1).committed, 4);
    assert_int_equal(position_of(f, f->group, 1).high, 10);
    assert_int_equal(position_of(f, f->group, 0).committed, 0);
    assert_int_equal(position_of(f, f->group, 0).high, 0);
    worklog_close_reader(reader);
}

static void see_offset(void *context, const struct worklog_record *record)
{
    int64_t *expected = context;
    assert_int_equal(record->offset, *expected);
    ++*expected;
}

static void a_reader_that_was_away_starts_where_it_committed(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 10; i++)
        append_text(f, 3, "k", "v");
    settle(f);
    struct worklog_reader *reader = open_reader(f, f->group);
    int64_t expected = 0;
    read_all(f, reader, 10, see_offset, &expected);
    store(f, reader, 3, 6);
    worklog_close_reader(reader);
    reader = open_reader(f, f->group);
    expected = 6;
    read_all(f, reader, 4, see_offset, &expected);
    worklog_close_reader(reader);
}

static void a_batch_that_is_held_loses_nothing_of_what_follows(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 20; i++)
        append_text(f, 1, "k", "v");
    settle(f);
    struct worklog_reader *reader = open_reader(f, f->group);
    struct worklog_batch batch = {0};
    enum worklog_read outcome = READ_IDLE;
    int64_t deadline = clock_mono_ms() + PATIENCE_MS;
    while (outcome != READ_RECORDS && clock_mono_ms() < deadline)
        OK(f, worklog_read(reader, 3, 1 << 20, 200, &batch, &outcome, &f->err));
    assert_int_equal(outcome, READ_RECORDS);
    int64_t expected = batch.records[0].offset + (int64_t)batch.count;
    for (int i = 0; i < 50; i++)
        OK(f, worklog_keep(reader, &f->err));
    assert_false(worklog_is_lost(reader));
    assert_int_equal(batch.records[0].offset, 0); /* the batch stays readable */
    store(f, reader, 1, expected);
    read_all(f, reader, (size_t)(20 - expected), see_offset, &expected);
    assert_int_equal(expected, 20);
    worklog_close_reader(reader);
}

static void a_lower_offset_is_not_stored(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 10; i++)
        append_text(f, 0, "k", "v");
    struct worklog_reader *reader = open_reader(f, f->group);
    read_all(f, reader, 10, NULL, NULL);
    store(f, reader, 0, 8);
    assert_false(worklog_store(reader, 0, 3, &f->err));
    assert_int_equal(f->err.action, ERR_REJECT);
    store(f, reader, 0, 8);
    OK(f, worklog_commit(reader, &f->err));
    assert_int_equal(position_of(f, f->group, 0).committed, 8);
    worklog_close_reader(reader);
}

static void two_groups_read_for_themselves(void **state)
{
    struct fixture *f = *state;
    char other[80];
    snprintf(other, sizeof(other), "%s.other", f->group);
    fixture_seed_zero(f, other);
    for (int i = 0; i < 10; i++)
        append_text(f, 0, "k", "v");
    struct worklog_reader *first = open_reader(f, f->group);
    struct worklog_reader *second = open_reader(f, other);
    read_all(f, first, 10, NULL, NULL);
    store(f, first, 0, 10);
    OK(f, worklog_commit(first, &f->err));
    int64_t expected = 0;
    read_all(f, second, 10, see_offset, &expected);
    assert_int_equal(position_of(f, f->group, 0).committed, 10);
    assert_int_equal(position_of(f, other, 0).committed, 0);
    worklog_close_reader(first);
    worklog_close_reader(second);
}

static void a_batch_has_no_more_records_and_bytes_than_asked_for(void **state)
{
    struct fixture *f = *state;
    char value[1001];
    memset(value, 'x', 1000);
    value[1000] = '\0';
    for (int i = 0; i < 20; i++)
        append_text(f, 0, "k", value);
    settle(f);
    struct worklog_reader *reader = open_reader(f, f->group);
    struct worklog_batch batch;
    assert_int_equal(read_some(f, reader, 3, &batch), READ_RECORDS);
    assert_in_range(batch.count, 1, 3);
    enum worklog_read outcome;
    OK(f, worklog_read(reader, 1000, 4500, PATIENCE_MS, &batch, &outcome, &f->err));
    assert_int_equal(outcome, READ_RECORDS);
    assert_in_range(batch.count, 1, 5);
    OK(f, worklog_read(reader, 1000, 10, PATIENCE_MS, &batch, &outcome, &f->err));
    assert_int_equal(outcome, READ_RECORDS);
    assert_int_equal(batch.count, 1);
    worklog_close_reader(reader);
}

static void a_group_with_readers_is_not_seeded(void **state)
{
    struct fixture *f = *state;
    append_text(f, 0, "k", "v");
    struct worklog_reader *reader = open_reader(f, f->group);
    read_all(f, reader, 1, NULL, NULL);
    const int64_t offsets[PARTITIONS] = {0};
    assert_false(worklog_seed(f->log, f->topic, f->group, offsets, PARTITIONS, &f->err));
    assert_int_equal(f->err.action, ERR_RETRY);
    worklog_close_reader(reader);
}

static void a_record_that_is_too_large_is_refused_without_harm(void **state)
{
    struct fixture *f = *state;
    struct record record = record_of("k", "small");
    append(f, 0, &record, 1);
    size_t size = LIMIT_ITEM_SIZE + 1;
    char *value = malloc(size);
    assert_non_null(value);
    memset(value, 'x', size);
    struct record large = record;
    large.value = value;
    large.value_size = size;
    enum worklog_append outcome;
    OK(f, worklog_append(f->writer, f->topic, 0, &large, 2, &outcome, &f->err));
    assert_int_equal(outcome, APPEND_TOO_LARGE);
    free(value);
    append(f, 0, &record, 3);
    settle(f);
    struct worklog_reader *reader = open_reader(f, f->group);
    read_all(f, reader, 2, NULL, NULL);
    store(f, reader, 0, 2);
    OK(f, worklog_flush(f->writer, PATIENCE_MS, &f->err));
    assert_int_equal(worklog_pending(f->writer), 0);
    assert_int_equal(f->reports[1], 1);
    assert_int_equal(f->reports[2], 0);
    assert_int_equal(f->reports[3], 1);
    assert_int_equal(f->failures[1] + f->failures[3], 0);
    worklog_close_reader(reader);
}

static void the_largest_document_passes(void **state)
{
    struct fixture *f = *state;
    size_t size = 16 * MIB + 512 * KIB;
    char *value = malloc(size);
    assert_non_null(value);
    uint64_t random = 88172645463325252U; /* so that it cannot be compressed */
    for (size_t i = 0; i < size; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        value[i] = (char)(random >> 32);
    }
    struct record record = record_of("k", "");
    record.value = value;
    record.value_size = size;
    append(f, 0, &record, 1);
    settle(f);
    struct worklog_reader *reader = open_reader(f, f->group);
    struct worklog_batch batch;
    assert_int_equal(read_some(f, reader, 10, &batch), READ_RECORDS);
    assert_int_equal(batch.records[0].record.value_size, size);
    assert_memory_equal(batch.records[0].record.value, value, size);
    worklog_close_reader(reader);
    free(value);
}

static void every_record_is_reported_once_also_when_purged(void **state)
{
    struct fixture *f = *state;
    struct record record = record_of("k", "v");
    for (uint64_t ticket = 0; ticket < 500; ticket++)
        append(f, (int)(ticket % PARTITIONS), &record, ticket);
    assert_true(worklog_pending(f->writer) > 0);
    worklog_purge(f->writer);
    OK(f, worklog_flush(f->writer, PATIENCE_MS, &f->err));
    assert_int_equal(worklog_pending(f->writer), 0);
    for (uint64_t ticket = 0; ticket < 500; ticket++)
        assert_int_equal(f->reports[ticket], 1);
    if (f->failures[499])
        assert_int_equal(f->action, ERR_CANCEL);
}

/* A reader on a thread of its own, which stores what it reads until it is told to stop. */
struct member {
    struct fixture *f;
    struct worklog_reader *reader;
    pthread_t thread;
    _Atomic bool stop;
    _Atomic int64_t offset[PARTITIONS]; /* next; 0: had nothing of it */
    _Atomic int lost;
    _Atomic bool failed;
};

static void *member_run(void *context)
{
    struct member *m = context;
    struct err err;
    while (!m->stop && !m->failed) {
        struct worklog_batch batch;
        enum worklog_read outcome;
        if (!worklog_read(m->reader, 100, 1 << 20, 100, &batch, &outcome, &err))
            m->failed = true;
        if (outcome == READ_LOST)
            m->lost++;
        for (size_t i = 0; i < batch.count && !m->failed; i++) {
            const struct worklog_record *record = &batch.records[i];
            if (!worklog_store(m->reader, record->partition, record->offset + 1, &err))
                m->failed = true;
            m->offset[record->partition] = record->offset + 1;
        }
    }
    return NULL;
}

static struct member *member_start(struct fixture *f)
{
    struct member *m = calloc(1, sizeof(*m));
    assert_non_null(m);
    m->f = f;
    m->reader = open_reader(f, f->group);
    assert_int_equal(pthread_create(&m->thread, NULL, member_run, m), 0);
    return m;
}

static void member_stop(struct member *m)
{
    m->stop = true;
    pthread_join(m->thread, NULL);
    assert_false(m->failed);
    worklog_close_reader(m->reader);
    free(m);
}

static int member_share(const struct member *m)
{
    int share = 0;
    for (int p = 0; p < PARTITIONS; p++)
        share += m->offset[p] > 0;
    return share;
}

/* Appends a round to every partition until each member has had the share it should have. */
static void until_shared(struct fixture *f, struct member **members, const int *shares, int count)
{
    int64_t deadline_ms = clock_mono_ms() + PATIENCE_MS;
    for (;;) {
        bool shared = true;
        for (int i = 0; i < count; i++) {
            shared = shared && member_share(members[i]) == shares[i];
            for (int p = 0; p < PARTITIONS; p++)
                members[i]->offset[p] = 0;
        }
        if (shared)
            return;
        assert_true(clock_mono_ms() < deadline_ms);
        for (int p = 0; p < PARTITIONS; p++)
            append_text(f, p, "k", "v");
        OK(f, worklog_flush(f->writer, PATIENCE_MS, &f->err));
        OK(f, worklog_poll(f->writer, 50, &f->err));
    }
}

static void two_readers_share_the_partitions_and_a_third_takes_over(void **state)
{
    struct fixture *f = *state;
    const int halves[] = {2, 2};
    struct member *members[] = {member_start(f), member_start(f)};
    until_shared(f, members, halves, 2);
    member_stop(members[0]);
    members[0] = member_start(f);
    until_shared(f, members, halves, 2);
    member_stop(members[0]);
    const int all[] = {4};
    until_shared(f, members + 1, all, 1);
    member_stop(members[1]);
    for (int p = 0; p < PARTITIONS; p++)
        assert_int_equal(position_of(f, f->group, p).committed, position_of(f, f->group, p).high);
}

static void a_reader_that_loses_a_partition_is_told_and_it_comes_again_elsewhere(void **state)
{
    struct fixture *f = *state;
    for (int p = 0; p < PARTITIONS; p++)
        append_text(f, p, "k", "v");
    settle(f);
    struct worklog_reader *first = open_reader(f, f->group);
    read_all(f, first, PARTITIONS, NULL, NULL);
    store(f, first, 0, 1);
    struct member *second = member_start(f);
    struct worklog_batch batch;
    assert_int_equal(read_some(f, first, 10, &batch), READ_LOST);
    assert_int_equal(batch.count, 0);
    assert_false(worklog_store(first, 3, 1, &f->err));
    /* Its own half comes again too, but for what was stored: the other has the rest. */
    int mine = 0;
    int64_t deadline_ms = clock_mono_ms() + PATIENCE_MS;
    while (mine + member_share(second) < PARTITIONS - 1 && clock_mono_ms() < deadline_ms) {
        enum worklog_read outcome;
        OK(f, worklog_read(first, 10, 1000, 20, &batch, &outcome, &f->err));
        for (size_t i = 0; i < batch.count; i++)
            assert_int_not_equal(batch.records[i].partition, 0);
        mine += (int)batch.count;
    }
    assert_int_equal(mine + member_share(second), PARTITIONS - 1);
    assert_int_equal(position_of(f, f->group, 0).committed, 1);
    worklog_close_reader(first);
    member_stop(second);
}

static void a_waiting_reader_wakes_when_a_record_arrives(void **state)
{
    struct fixture *f = *state;
    struct member *m = member_start(f);
    const int all[] = {4};
    until_shared(f, &m, all, 1);
    int64_t start_ms = clock_mono_ms();
    append_text(f, 0, "k", "v");
    while (m->offset[0] == 0 && clock_mono_ms() < start_ms + PATIENCE_MS)
        OK(f, worklog_poll(f->writer, 1, &f->err));
    assert_true(clock_mono_ms() - start_ms < 5000);
    member_stop(m);
}

static void a_removed_topic_is_empty_when_made_again(void **state)
{
    struct fixture *f = *state;
    append_text(f, 0, "k", "v");
    settle(f);
    OK(f, worklog_remove(f->log, f->topic, &f->err));
    OK(f, worklog_remove(f->log, f->topic, &f->err));
    struct worklog_topic *topic = malloc(sizeof(*topic));
    assert_non_null(topic);
    OK(f, worklog_ensure(f->log, f->topic, topic, &f->err));
    for (int p = 0; p < PARTITIONS; p++)
        assert_int_equal(topic->low[p], topic->high[p]);
    free(topic);
    int64_t deadline_ms = clock_mono_ms() + PATIENCE_MS;
    while (position_of(f, f->group, 0).committed != -1) /* a broker forgets the group's later */
        assert_true(clock_mono_ms() < deadline_ms);
}

static void a_check_of_permissions_leaves_nothing_behind(void **state)
{
    struct fixture *f = *state;
    struct worklog_permissions *permissions = calloc(1, sizeof *permissions);
    struct worklog_topic *topic = calloc(1, sizeof *topic);
    char group[sizeof f->group + 8];
    snprintf(group, sizeof group, "%s.check", f->group);
    OK(f, worklog_check(f->log, f->topic, group, permissions, &f->err));
    assert_true(permissions->topic_found);
    for (size_t i = 0; i < permissions->count; i++)
        assert_true(permissions->items[i].granted);
    OK(f, worklog_ensure(f->log, f->topic, topic, &f->err));
    for (int p = 0; p < PARTITIONS; p++)
        assert_int_equal(topic->high[p], 0);
    free(topic);
    free(permissions);
}

#define TEST(name)                                                                                 \
    {                                                                                              \
#name, name, NULL, NULL, NULL                                                              \
    }

static const struct CMUnitTest TESTS[] = {
    TEST(a_record_is_read_as_it_was_appended),
    TEST(a_tombstone_is_read_back_as_no_value),
    TEST(records_of_one_key_keep_their_order),
    TEST(an_offset_is_committed_only_when_stored),
    TEST(a_reader_that_was_away_starts_where_it_committed),
    TEST(a_batch_that_is_held_loses_nothing_of_what_follows),
    TEST(a_lower_offset_is_not_stored),
    TEST(two_groups_read_for_themselves),
    TEST(a_batch_has_no_more_records_and_bytes_than_asked_for),
    TEST(a_group_with_readers_is_not_seeded),
    TEST(a_record_that_is_too_large_is_refused_without_harm),
    TEST(the_largest_document_passes),
    TEST(every_record_is_reported_once_also_when_purged),
    TEST(two_readers_share_the_partitions_and_a_third_takes_over),
    TEST(a_reader_that_loses_a_partition_is_told_and_it_comes_again_elsewhere),
    TEST(a_waiting_reader_wakes_when_a_record_arrives),
    TEST(a_removed_topic_is_empty_when_made_again),
    TEST(a_check_of_permissions_leaves_nothing_behind),
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
