/* SPDX-License-Identifier: Apache-2.0 */
/* What suites of the work log share that run on a real Kafka: the server, a fixture of each driver, and
 * clients that know nothing of the work log's code. */
#pragma once

#include "conformance/worklog_fixture.h"

#include <librdkafka/rdkafka.h>

#include "conformance/kafka_server.h"

static struct kafka_server server;

static inline int memory_setup(void **state)
{
    struct worklog_options options = fixture_options("memory", NULL);
    *state = fixture_new(&options);
    return 0;
}

static inline int kafka_setup(void **state)
{
    struct worklog_options options = fixture_options("kafka", server.brokers);
    *state = fixture_new(&options);
    return 0;
}

static inline int teardown(void **state)
{
    fixture_free(*state);
    return 0;
}

/* The number of failures of `run`; 0 where Kafka does not run. */
static inline int run_on_kafka(int (*run)(void))
{
    if (!KAFKA_RUNS_HERE)
        return 0;
    if (!kafka_server_open(&server))
        return 1;
    int failed = run();
    kafka_server_close(&server);
    return failed;
}

/* `transactional_id`: NULL for none. */
static inline rd_kafka_t *foreign_client(const char *transactional_id)
{
    char reason[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    assert_int_equal(
        rd_kafka_conf_set(conf, "bootstrap.servers", server.brokers, reason, sizeof(reason)),
        RD_KAFKA_CONF_OK);
    if (transactional_id)
        assert_int_equal(
            rd_kafka_conf_set(conf, "transactional.id", transactional_id, reason, sizeof(reason)),
            RD_KAFKA_CONF_OK);
    rd_kafka_t *client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, reason, sizeof(reason));
    assert_non_null(client);
    return client;
}
