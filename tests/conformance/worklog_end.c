/* SPDX-License-Identifier: Apache-2.0 */
/* A log whose last offsets hold nothing that is delivered, against a real broker: a group passes over them
 * all the same, else it would seem to lag for ever. */
#include "conformance/worklog_kafka_fixture.h"

static rd_kafka_t *transactional_producer(const char *id)
{
    rd_kafka_t *client = foreign_client(id);
    rd_kafka_error_t *error = rd_kafka_init_transactions(client, PATIENCE_MS);
    assert_null(error);
    return client;
}

/* Its marker takes the offset behind the record, and is delivered to nobody. */
static void append_marker(struct fixture *f, int partition, int64_t end)
{
    char key[] = "k";
    rd_kafka_t *client = transactional_producer(f->topic);
    assert_null(rd_kafka_begin_transaction(client));
    rd_kafka_resp_err_t code =
        rd_kafka_producev(client, RD_KAFKA_V_TOPIC(f->topic), RD_KAFKA_V_PARTITION(partition),
                          RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_KEY(key, 1),
                          RD_KAFKA_V_HEADER("gen", "1", -1), RD_KAFKA_V_HEADER("ver", "82", -1),
                          RD_KAFKA_V_HEADER("op", "delete", -1), RD_KAFKA_V_END);
    assert_int_equal(code, RD_KAFKA_RESP_ERR_NO_ERROR);
    assert_null(rd_kafka_commit_transaction(client, PATIENCE_MS));
    rd_kafka_destroy(client);
    /* the broker writes it a moment after it has agreed to */
    int64_t deadline_ms = clock_mono_ms() + PATIENCE_MS;
    while (position_of(f, f->group, partition).high < end && clock_mono_ms() < deadline_ms)
        clock_sleep_ms(20);
    assert_int_equal(position_of(f, f->group, partition).high, end);
}

static void wait_until_committed(struct fixture *f, struct worklog_reader *reader, int64_t offset)
{
    int64_t deadline_ms = clock_mono_ms() + PATIENCE_MS;
    while (position_of(f, f->group, 0).committed < offset && clock_mono_ms() < deadline_ms) {
        struct worklog_batch batch;
        enum worklog_read outcome;
        OK(f, worklog_read(reader, 10, 1000, 20, &batch, &outcome, &f->err));
        assert_int_equal(outcome, READ_IDLE);
        OK(f, worklog_commit(reader, &f->err));
    }
    assert_int_equal(position_of(f, f->group, 0).committed, offset);
}

static void the_end_of_the_log_is_passed_where_no_record_stands(void **state)
{
    struct fixture *f = *state;
    append_marker(f, 0, 2);
    struct worklog_reader *reader = open_reader(f, f->group);
    struct worklog_batch batch;
    assert_int_equal(read_some(f, reader, 10, &batch), READ_RECORDS);
    assert_int_equal(batch.count, 1);
    store(f, reader, 0, 1);
    wait_until_committed(f, reader, 2);
    append_text(f, 0, "k", "v"); /* what comes behind it is read */
    settle(f);
    assert_int_equal(read_some(f, reader, 10, &batch), READ_RECORDS);
    assert_int_equal(batch.records[0].offset, 2);
    store(f, reader, 0, 3);
    worklog_close_reader(reader);
    assert_int_equal(position_of(f, f->group, 0).committed, 3);
}

static void the_end_is_passed_by_a_reader_that_begins_behind_the_last_record(void **state)
{
    struct fixture *f = *state;
    const int64_t offsets[PARTITIONS] = {1, 0, 0, 0};
    append_marker(f, 0, 2);
    OK(f, worklog_seed(f->log, f->topic, f->group, offsets, PARTITIONS, &f->err));
    struct worklog_reader *reader = open_reader(f, f->group);
    wait_until_committed(f, reader, 2);
    worklog_close_reader(reader);
}

static void the_end_is_not_passed_before_what_was_delivered_is_applied(void **state)
{
    struct fixture *f = *state;
    append_text(f, 0, "k", "v");
    settle(f);
    append_marker(f, 0, 3);
    struct worklog_reader *reader = open_reader(f, f->group);
    read_all(f, reader, 2, NULL, NULL);
    struct worklog_batch batch;
    enum worklog_read outcome;
    for (int i = 0; i < 5; i++) { /* it sees the end */
        OK(f, worklog_read(reader, 10, 1000, 100, &batch, &outcome, &f->err));
        assert_int_equal(outcome, READ_IDLE);
    }
    store(f, reader, 0, 1);
    OK(f, worklog_commit(reader, &f->err));
    assert_int_equal(position_of(f, f->group, 0).committed, 1);
    store(f, reader, 0, 2);
    wait_until_committed(f, reader, 3);
    worklog_close_reader(reader);
}

#define TEST(name)                                                                                 \
    {                                                                                              \
#name, name, kafka_setup, teardown, NULL                                                   \
    }

static int run(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_end_of_the_log_is_passed_where_no_record_stands),
        TEST(the_end_is_passed_by_a_reader_that_begins_behind_the_last_record),
        TEST(the_end_is_not_passed_before_what_was_delivered_is_applied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
    return run_on_kafka(run);
}
