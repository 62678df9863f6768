/* SPDX-License-Identifier: Apache-2.0 */
/* What only the work log in Kafka can show, against a real broker. */
#include "conformance/worklog_kafka_fixture.h"

#include "cdc/worklog_kafka_reader.h"

static void foreign_append(rd_kafka_t *client, const char *topic, const char *gen)
{
    char key[] = "k";
    char value[] = "v";
    rd_kafka_resp_err_t code = rd_kafka_producev(
        client, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(0),
        RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_KEY(key, 1),
        RD_KAFKA_V_VALUE(value, 1), RD_KAFKA_V_HEADER("gen", gen, -1),
        RD_KAFKA_V_HEADER("ver", "82", -1), RD_KAFKA_V_HEADER("op", "upsert", -1), RD_KAFKA_V_END);
    assert_int_equal(code, RD_KAFKA_RESP_ERR_NO_ERROR);
    assert_int_equal(rd_kafka_flush(client, PATIENCE_MS), RD_KAFKA_RESP_ERR_NO_ERROR);
}

/* Brokers delete records on demand only where the policy has "delete" in it. */
static void allow_deletion(rd_kafka_t *client, const char *topic)
{
    rd_kafka_ConfigResource_t *resource =
        rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic);
    rd_kafka_ConfigResource_set_config(resource, "cleanup.policy", "compact,delete");
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
    rd_kafka_AlterConfigs(client, &resource, 1, NULL, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, PATIENCE_MS);
    assert_non_null(event);
    assert_int_equal(rd_kafka_event_error(event), RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
    rd_kafka_ConfigResource_destroy(resource);
}

static rd_kafka_resp_err_t try_delete(rd_kafka_t *client, rd_kafka_DeleteRecords_t *request)
{
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
    rd_kafka_DeleteRecords(client, &request, 1, NULL, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, PATIENCE_MS);
    assert_non_null(event);
    rd_kafka_resp_err_t code = rd_kafka_event_error(event);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        code = rd_kafka_DeleteRecords_result_offsets(rd_kafka_event_DeleteRecords_result(event))
                   ->elems[0]
                   .err;
    rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
    return code;
}

static void delete_records(const char *topic, int partition, int64_t before)
{
    rd_kafka_t *client = foreign_client(NULL);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, topic, partition)->offset = before;
    rd_kafka_DeleteRecords_t *request = rd_kafka_DeleteRecords_new(list);
    allow_deletion(client, topic);
    int64_t deadline_ms = clock_mono_ms() + PATIENCE_MS;
    rd_kafka_resp_err_t code;
    do /* until the broker has heard of the policy */
        code = try_delete(client, request);
    while (code == RD_KAFKA_RESP_ERR_POLICY_VIOLATION && clock_mono_ms() < deadline_ms);
    assert_int_equal(code, RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_DeleteRecords_destroy(request);
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_destroy(client);
}

static void an_offset_that_is_gone_is_a_gap(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 20; i++)
        append_text(f, 0, "k", "v");
    settle(f);
    delete_records(f->topic, 0, 10);
    assert_int_equal(position_of(f, f->group, 0).low, 10);
    struct worklog_reader *reader = open_reader(f, f->group);
    struct worklog_batch batch;
    assert_int_equal(read_some(f, reader, 10, &batch), READ_GAP);
    OK(f, worklog_commit(reader, &f->err));
    worklog_close_reader(reader);
    assert_int_equal(position_of(f, f->group, 0).committed, 0);
}

/* Records collected before the gap was seen must not be lost with it. */
static void a_gap_in_one_partition_takes_nothing_from_the_others(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 20; i++) {
        append_text(f, 0, "k", "v");
        append_text(f, 1, "k", "v");
    }
    settle(f);
    delete_records(f->topic, 0, 10);
    struct worklog_reader *reader = open_reader(f, f->group);
    int64_t next = 0;
    bool gap = false;
    int64_t deadline_ms = clock_mono_ms() + PATIENCE_MS;
    while ((next < 20 || !gap) && clock_mono_ms() < deadline_ms) {
        struct worklog_batch batch;
        enum worklog_read outcome = read_some(f, reader, 7, &batch);
        gap = gap || outcome == READ_GAP;
        for (size_t i = 0; i < batch.count; i++) {
            assert_int_equal(batch.records[i].partition, 1);
            assert_int_equal(batch.records[i].offset, next++);
        }
    }
    assert_int_equal(next, 20);
    assert_true(gap);
    worklog_close_reader(reader);
}

static void a_record_of_another_kind_is_passed_over(void **state)
{
    struct fixture *f = *state;
    rd_kafka_t *foreign = foreign_client(NULL);
    foreign_append(foreign, f->topic, "not a number");
    append_text(f, 0, "k", "v");
    settle(f);
    foreign_append(foreign, f->topic, "-1");
    foreign_append(foreign, f->topic, "");
    rd_kafka_destroy(foreign);
    struct worklog_reader *reader = open_reader(f, f->group);
    struct worklog_batch batch;
    assert_int_equal(read_some(f, reader, 10, &batch), READ_RECORDS);
    assert_int_equal(batch.count, 1);
    assert_int_equal(batch.records[0].offset, 1);
    store(f, reader, 0, 2);
    /* Those behind the last good record are passed over as soon as they are seen. */
    int64_t deadline_ms = clock_mono_ms() + PATIENCE_MS;
    while (position_of(f, f->group, 0).committed < 4 && clock_mono_ms() < deadline_ms) {
        enum worklog_read outcome;
        OK(f, worklog_read(reader, 10, 1000, 20, &batch, &outcome, &f->err));
        OK(f, worklog_commit(reader, &f->err));
    }
    assert_int_equal(position_of(f, f->group, 0).committed, 4);
    worklog_close_reader(reader);
}

static void unreadable_records_do_not_pass_over_what_is_not_applied(void **state)
{
    struct fixture *f = *state;
    rd_kafka_t *foreign = foreign_client(NULL);
    append_text(f, 0, "k", "v");
    append_text(f, 0, "k", "v");
    settle(f);
    foreign_append(foreign, f->topic, "x");
    rd_kafka_destroy(foreign);
    struct worklog_reader *reader = open_reader(f, f->group);
    read_all(f, reader, 2, NULL, NULL);
    struct worklog_batch batch;
    enum worklog_read outcome;
    OK(f, worklog_read(reader, 10, 1000, 200, &batch, &outcome, &f->err));
    store(f, reader, 0, 1);
    OK(f, worklog_commit(reader, &f->err));
    assert_int_equal(position_of(f, f->group, 0).committed, 1);
    store(f, reader, 0, 2);
    OK(f, worklog_commit(reader, &f->err));
    assert_in_range(position_of(f, f->group, 0).committed, 2, 3);
    worklog_close_reader(reader);
}

static void a_full_queue_refuses_and_then_takes(void **state)
{
    (void)state;
    const struct worklog_property properties[] = {{"queue.buffering.max.messages", "10"},
                                                  {"linger.ms", "0"}};
    struct worklog_options options = fixture_options("kafka", server.brokers);
    options.properties = properties;
    options.property_count = ARRAY_LEN(properties);
    struct fixture *f = fixture_new(&options);
    struct record record = record_of("k", "v");
    enum worklog_append outcome = APPEND_OK;
    int taken = 0;
    for (; outcome == APPEND_OK && taken <= 20; taken++) /* reports are not served meanwhile */
        OK(f, worklog_append(f->writer, f->topic, 0, &record, 0, &outcome, &f->err));
    assert_int_equal(outcome, APPEND_FULL);
    assert_int_equal(worklog_pending(f->writer), 10);
    append(f, 0, &record, 0);
    OK(f, worklog_flush(f->writer, PATIENCE_MS, &f->err));
    assert_int_equal(f->reports[0], 11);
    assert_int_equal(f->failures[0], 0);
    fixture_free(f);
}

static void a_record_that_the_broker_refuses_is_reported_with_its_reason(void **state)
{
    struct fixture *f = *state;
    size_t size = 18500000; /* the producer takes it, the topic does not */
    char *value = malloc(size);
    assert_non_null(value);
    uint64_t random = 88172645463325252U;
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
    free(value);
    record = record_of("k", "v");
    append(f, 0, &record, 2);
    OK(f, worklog_flush(f->writer, PATIENCE_MS, &f->err));
    assert_int_equal(f->failures[1], 1);
    assert_int_equal(f->action, ERR_REJECT);
    assert_int_equal(f->reports[2], 1);
    assert_int_equal(f->failures[2], 0);
}

static void a_partition_that_is_not_there_is_an_error_and_nothing_else(void **state)
{
    struct fixture *f = *state;
    struct record record = record_of("k", "v");
    record.time_ms = 1;
    append(f, 0, &record, 1); /* the topic is known from here on */
    OK(f, worklog_flush(f->writer, PATIENCE_MS, &f->err));
    for (int i = 0; i < 1000; i++) {
        enum worklog_append outcome;
        assert_false(worklog_append(f->writer, f->topic, 99, &record, 0, &outcome, &f->err));
        assert_int_equal(f->err.action, ERR_RETRY);
    }
    append(f, 0, &record, 2);
    OK(f, worklog_flush(f->writer, PATIENCE_MS, &f->err));
    assert_int_equal(f->failures[2], 0);
}

static bool opens_with(const char *name, const char *value, struct err *err)
{
    const struct worklog_property property = {name, value};
    struct worklog_options options = fixture_options("kafka", server.brokers);
    options.properties = &property;
    options.property_count = 1;
    struct worklog *log;
    bool opened = worklog_open(&options, &log, err);
    worklog_close(log);
    return opened;
}

static void properties_are_checked_at_once(void **state)
{
    (void)state;
    struct err err;
    assert_true(opens_with("linger.ms", "1", &err));
    assert_false(opens_with("no.such.property", "1", &err));
    assert_int_equal(err.action, ERR_FATAL);
    assert_int_equal(err.domain, ERR_CONFIG);
    assert_non_null(strstr(err.text, "no.such.property"));
    assert_false(opens_with("auto.offset.reset", "earliest", &err));
    assert_int_equal(err.action, ERR_FATAL);
    assert_false(opens_with("linger.ms", "soon", &err));
}

static void a_broker_that_cannot_be_reached_is_an_error_in_time(void **state)
{
    (void)state;
    struct worklog_options options = fixture_options("kafka", "127.0.0.1:1");
    struct worklog_topic *topic = malloc(sizeof(*topic));
    struct worklog *log;
    struct err err;
    assert_non_null(topic);
    int64_t start_ms = clock_mono_ms();
    assert_true(worklog_open(&options, &log, &err));
    assert_false(worklog_ensure(log, "t", topic, &err));
    assert_int_equal(err.action, ERR_RETRY);
    assert_non_null(strstr(err.text, "127.0.0.1:1"));
    worklog_close(log);
    assert_true(clock_mono_ms() - start_ms < PATIENCE_MS);
    free(topic);
}

static struct worklog_reader *open_static(struct fixture *f, const char *instance)
{
    const struct worklog_reader_options options = {
        .topic = f->topic, .group = f->group, .instance = instance};
    struct worklog_reader *reader = NULL;
    OK(f, worklog_open_reader(f->log, &options, &reader, &f->err));
    return reader;
}

static void a_namesake_makes_the_older_reader_fatal(void **state)
{
    struct fixture *f = *state;
    append_text(f, 0, "k", "v");
    settle(f);
    struct worklog_reader *older = open_static(f, "one");
    read_all(f, older, 1, NULL, NULL);
    struct worklog_reader *newer = open_static(f, "one");
    read_all(f, newer, 1, NULL, NULL);
    bool fine = true;
    int64_t deadline_ms = clock_mono_ms() + PATIENCE_MS;
    while (fine && clock_mono_ms() < deadline_ms) {
        struct worklog_batch batch;
        enum worklog_read outcome;
        fine = worklog_read(older, 10, 1000, 100, &batch, &outcome, &f->err);
    }
    assert_false(fine);
    assert_int_equal(f->err.action, ERR_FATAL);
    assert_int_equal(f->err.code, RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID);
    assert_true(worklog_is_lost(older));
    assert_false(worklog_store(older, 0, 1, &f->err));
    assert_int_equal(f->err.action, ERR_FATAL);
    worklog_close_reader(older);
    worklog_close_reader(newer);
}

static void a_static_reader_comes_back_to_its_own_partitions_at_once(void **state)
{
    struct fixture *f = *state;
    append_text(f, 0, "k", "v");
    settle(f);
    struct worklog_reader *reader = open_static(f, "one");
    read_all(f, reader, 1, NULL, NULL);
    int64_t shortest_ms = PATIENCE_MS;
    for (int i = 0; i < 3 && shortest_ms >= 5000; i++) { /* on a busy machine one may be slow */
        worklog_close_reader(reader);                    /* without leaving the group */
        int64_t start_ms = clock_mono_ms();
        reader = open_static(f, "one");
        read_all(f, reader, 1, NULL, NULL);
        shortest_ms = clock_mono_ms() - start_ms;
    }
    assert_true(shortest_ms < 5000); /* half a session: nobody waited for its end */
    worklog_close_reader(reader);
}

static _Atomic int64_t leap_ms;

static int64_t leaping_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (now.tv_sec * 1000 + leap_ms) * 1000 + now.tv_nsec / 1000;
}

/* What the holder of a batch found when it was told. */
struct revoked {
    struct worklog_reader *reader;
    int times;
    int lost;
};

static void on_revoke(void *context, bool lost)
{
    struct revoked *told = context;
    told->times++;
    told->lost += lost || worklog_is_lost(told->reader);
}

/* As a process finds itself that was stopped for longer than its session. */
static void a_reader_that_heard_nothing_for_a_session_is_lost_and_reads_again(void **state)
{
    struct fixture *f = *state;
    const struct clock_ops leaping = {.mono_us = leaping_clock};
    clock_use(&leaping);
    for (int i = 0; i < 3; i++)
        append_text(f, 0, "k", "v");
    settle(f);
    struct revoked told = {0};
    const struct worklog_reader_options options = {
        .topic = f->topic, .group = f->group, .revoking = on_revoke, .context = &told};
    struct worklog_reader *reader = NULL;
    OK(f, worklog_open_reader(f->log, &options, &reader, &f->err));
    told.reader = reader;
    read_all(f, reader, 3, NULL, NULL);
    store(f, reader, 0, 1);
    assert_false(worklog_is_lost(reader));
    leap_ms = 11000;
    assert_true(worklog_is_lost(reader));
    struct worklog_batch batch;
    assert_int_equal(read_some(f, reader, 10, &batch), READ_LOST);
    assert_int_equal(told.times, 1);
    assert_int_equal(told.lost, 1); /* also when the next session had begun */
    assert_int_equal(read_some(f, reader, 1, &batch), READ_RECORDS);
    assert_int_equal(batch.records[0].offset, 1);
    assert_false(worklog_is_lost(reader));
    worklog_close_reader(reader);
    leap_ms = 0;
    clock_use(NULL);
}

static int assigned_to(const struct worklog_reader *reader)
{
    rd_kafka_topic_partition_list_t *list = NULL;
    rd_kafka_t *client = ((const struct kafka_reader *)reader)->client;
    assert_int_equal(rd_kafka_assignment(client, &list), RD_KAFKA_RESP_ERR_NO_ERROR);
    int count = list->cnt;
    rd_kafka_topic_partition_list_destroy(list);
    return count;
}

static void a_reader_that_is_busy_for_long_is_given_its_new_partitions(void **state)
{
    struct fixture *f = *state;
    for (int p = 0; p < PARTITIONS; p++)
        append_text(f, p, "k", "v");
    settle(f);
    struct worklog_reader *busy = open_reader(f, f->group);
    read_all(f, busy, PARTITIONS, NULL, NULL);
    struct worklog_reader *newer = open_reader(f, f->group);
    struct worklog_batch batch;
    enum worklog_read outcome;
    int64_t deadline_ms = clock_mono_ms() + PATIENCE_MS;
    while (assigned_to(newer) == 0 || assigned_to(busy) != PARTITIONS / 2) {
        assert_true(clock_mono_ms() < deadline_ms);
        OK(f, worklog_keep(busy, &f->err));
        OK(f, worklog_read(newer, 10, 1000, 50, &batch, &outcome, &f->err));
    }
    for (int i = 0; i < 10; i++) { /* nothing is fetched for it meanwhile */
        OK(f, worklog_keep(busy, &f->err));
        clock_sleep_ms(50);
    }
    assert_int_equal(assigned_to(busy), PARTITIONS / 2);
    assert_true(worklog_is_lost(busy));
    assert_int_equal(read_some(f, busy, 10, &batch), READ_LOST);
    assert_false(worklog_is_lost(busy));
    read_all(f, busy, PARTITIONS / 2, NULL, NULL); /* those of its share come again */
    worklog_close_reader(newer);
    worklog_close_reader(busy);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, kafka_setup, teardown)

static int run(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_offset_that_is_gone_is_a_gap),
        TEST(a_gap_in_one_partition_takes_nothing_from_the_others),
        TEST(a_record_of_another_kind_is_passed_over),
        TEST(unreadable_records_do_not_pass_over_what_is_not_applied),
        cmocka_unit_test(a_full_queue_refuses_and_then_takes),
        TEST(a_record_that_the_broker_refuses_is_reported_with_its_reason),
        TEST(a_partition_that_is_not_there_is_an_error_and_nothing_else),
        cmocka_unit_test(properties_are_checked_at_once),
        cmocka_unit_test(a_broker_that_cannot_be_reached_is_an_error_in_time),
        TEST(a_namesake_makes_the_older_reader_fatal),
        TEST(a_static_reader_comes_back_to_its_own_partitions_at_once),
        TEST(a_reader_that_heard_nothing_for_a_session_is_lost_and_reads_again),
        TEST(a_reader_that_is_busy_for_long_is_given_its_new_partitions),
    };
    return cmocka_run_group_tests_name("work log in Kafka only", tests, NULL, NULL);
}

int main(void)
{
    return run_on_kafka(run);
}
