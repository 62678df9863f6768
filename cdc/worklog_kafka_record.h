/* SPDX-License-Identifier: Apache-2.0 */
/* A message of Kafka as a record of the work log. */
#pragma once

#include "cdc/worklog_kafka.h"

/* *out borrows from the message. REJECT, DATA when it is no record of ours. */
bool kafka_record_decode(const rd_kafka_message_t *message, struct worklog_record *out,
                         struct err *err) MUST_USE;
