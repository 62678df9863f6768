/* SPDX-License-Identifier: Apache-2.0 */
/* A client that knows nothing of the work log's code: what others do to its topics. */
#pragma once

#include "support/test.h"

#include <librdkafka/rdkafka.h>

static inline rd_kafka_t *foreign_producer(const char *brokers)
{
    char reason[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    assert_int_equal(rd_kafka_conf_set(conf, "bootstrap.servers", brokers, reason, sizeof(reason)),
                     RD_KAFKA_CONF_OK);
    rd_kafka_t *client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, reason, sizeof(reason));
    assert_non_null(client);
    return client;
}
