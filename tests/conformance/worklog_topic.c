/* SPDX-License-Identifier: Apache-2.0 */
/* Topics in Kafka: made, made by others, grown and removed, against a real broker. */
#include "conformance/worklog_kafka_fixture.h"

static void a_missing_topic_is_asked_for_with_the_exact_command(void **state)
{
    (void)state;
    struct worklog_options options = fixture_options("kafka", server.brokers);
    struct worklog_topic *topic = malloc(sizeof(*topic));
    struct worklog *log;
    struct err err;
    assert_non_null(topic);
    options.create_topics = false;
    assert_true(worklog_open(&options, &log, &err));
    for (int i = 0; i < 2; i++) { /* asking does not make it */
        assert_false(worklog_ensure(log, "test.not.there", topic, &err));
        assert_int_equal(err.action, ERR_RETRY);
        assert_non_null(strstr(err.text, "kafka-topics.sh --create --bootstrap-server"));
        assert_non_null(strstr(err.text, "--topic test.not.there --partitions 4"
                                         " --replication-factor 1 --config cleanup.policy=compact"
                                         " --config delete.retention.ms=86400000"
                                         " --config min.compaction.lag.ms=0 "));
    }
    worklog_close(log);
    free(topic);
}

static rd_kafka_queue_t *ask_foreign_topic(rd_kafka_t *client, const char *name, const char *policy)
{
    char reason[256];
    rd_kafka_NewTopic_t *topic = rd_kafka_NewTopic_new(name, 3, 1, reason, sizeof(reason));
    rd_kafka_NewTopic_set_config(topic, "cleanup.policy", policy);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
    rd_kafka_CreateTopics(client, &topic, 1, NULL, queue);
    rd_kafka_NewTopic_destroy(topic);
    return queue;
}

static void await_foreign_topic(rd_kafka_queue_t *queue)
{
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, PATIENCE_MS);
    assert_non_null(event);
    rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
}

static void create_foreign_topic(const char *name, const char *policy)
{
    rd_kafka_t *client = foreign_client(NULL);
    await_foreign_topic(ask_foreign_topic(client, name, policy));
    rd_kafka_destroy(client);
}

static void a_topic_that_was_made_beforehand_is_checked(void **state)
{
    struct fixture *f = *state;
    struct worklog_topic *topic = malloc(sizeof(*topic));
    char name[80];
    assert_non_null(topic);
    snprintf(name, sizeof(name), "%s.deleting", f->topic);
    create_foreign_topic(name, "delete");
    assert_false(worklog_ensure(f->log, name, topic, &f->err));
    assert_int_equal(f->err.action, ERR_FATAL);
    assert_non_null(strstr(f->err.text, "cleanup.policy=delete"));
    OK(f, worklog_remove(f->log, name, &f->err));

    snprintf(name, sizeof(name), "%s.compacted", f->topic);
    create_foreign_topic(name, "compact");
    OK(f, worklog_ensure(f->log, name, topic, &f->err));
    assert_int_equal(topic->partitions, 3);
    OK(f, worklog_remove(f->log, name, &f->err));
    free(topic);
}

/* Whoever of the two made it: what is said of it first is what is said later. */
static void a_topic_that_another_makes_meanwhile_is_checked(void **state)
{
    enum { ROUNDS = 20 };
    struct fixture *f = *state;
    struct worklog_topic *topic = malloc(sizeof(*topic));
    rd_kafka_t *client = foreign_client(NULL);
    assert_non_null(topic);
    for (int i = 0; i < ROUNDS; i++) {
        char name[80];
        snprintf(name, sizeof(name), "%s.%d", f->topic, i);
        rd_kafka_queue_t *asked = ask_foreign_topic(client, name, "delete");
        bool first = worklog_ensure(f->log, name, topic, &f->err);
        await_foreign_topic(asked);
        bool later = worklog_ensure(f->log, name, topic, &f->err);
        assert_int_equal(first, later);
        OK(f, worklog_remove(f->log, name, &f->err));
    }
    rd_kafka_destroy(client);
    free(topic);
}

static void partitions_of_a_topic_made_beforehand_are_asked_for_with_the_exact_command(void **state)
{
    struct fixture *f = *state;
    struct worklog_options options = fixture_options("kafka", server.brokers);
    struct worklog *log;
    options.create_topics = false;
    OK(f, worklog_open(&options, &log, &f->err));
    OK(f, worklog_grow(log, f->topic, PARTITIONS, &f->err));
    assert_false(worklog_grow(log, f->topic, PARTITIONS + 1, &f->err));
    assert_int_equal(f->err.action, ERR_REJECT);
    assert_non_null(strstr(f->err.text, "kafka-topics.sh --alter"));
    assert_non_null(strstr(f->err.text, f->topic));
    assert_non_null(strstr(f->err.text, "--partitions 5"));
    worklog_close(log);
}

/* Headers that were freed twice: seen as an abort a while later, and at once by valgrind. */
static void a_topic_that_was_removed_is_an_error_to_its_reader(void **state)
{
    struct fixture *f = *state;
    const struct worklog_reader_options options = {.topic = "test.not.there", .group = f->group};
    struct worklog_reader *reader = NULL;
    struct worklog_batch batch;
    enum worklog_read outcome;
    OK(f, worklog_open_reader(f->log, &options, &reader, &f->err));
    bool fine = true;
    int64_t deadline_ms = clock_mono_ms() + PATIENCE_MS;
    while (fine && clock_mono_ms() < deadline_ms)
        fine = worklog_read(reader, 10, 1000, 100, &batch, &outcome, &f->err);
    assert_false(fine);
    assert_int_equal(f->err.action, ERR_RETRY);
    worklog_close_reader(reader);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, kafka_setup, teardown)

static int run(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_missing_topic_is_asked_for_with_the_exact_command),
        TEST(a_topic_that_was_made_beforehand_is_checked),
        TEST(a_topic_that_another_makes_meanwhile_is_checked),
        TEST(partitions_of_a_topic_made_beforehand_are_asked_for_with_the_exact_command),
        TEST(a_topic_that_was_removed_is_an_error_to_its_reader),
    };
    return cmocka_run_group_tests_name("topics in Kafka", tests, NULL, NULL);
}

int main(void)
{
    return run_on_kafka(run);
}
