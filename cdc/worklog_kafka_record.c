/* SPDX-License-Identifier: Apache-2.0 */
#include "cdc/worklog_kafka_record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"

/* Of MongoDB's, with room for how it is kept here. */
#define LARGEST_DOCUMENT ((int64_t)(17 * MIB))

/* librdkafka puts a NUL behind a header's value; one inside it would cut it short. */
static bool kafka_header_text(const rd_kafka_headers_t *headers, const char *name, const char **out)
{
    const void *value = NULL;
    size_t size = 0;
    if (rd_kafka_header_get_last(headers, name, &value, &size) != RD_KAFKA_RESP_ERR_NO_ERROR ||
        !value || size == 0 || size > LIMIT_TOKEN_SIZE || strnlen(value, size) != size)
        return false;
    *out = value;
    return true;
}

static bool kafka_header_int(const rd_kafka_headers_t *headers, const char *name, int64_t *out)
{
    const char *text = NULL;
    if (!kafka_header_text(headers, name, &text))
        return false;
    char *end = NULL;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (errno || end == text || *end || number < 0)
        return false;
    *out = number;
    return true;
}

static bool kafka_record_refuse(struct err *err, const char *why)
{
    return err_set(err, ERR_REJECT, ERR_DATA, 0, "kafka record: %s", why);
}

bool kafka_record_decode(const rd_kafka_message_t *message, struct worklog_record *out,
                         struct err *err)
{
    struct record record = {
        .key = message->key,
        .key_size = message->key_len,
        .value = message->payload,
        .value_size = message->len,
    };
    if (!record.key || record.key_size == 0)
        return kafka_record_refuse(err, "no key");
    rd_kafka_headers_t *headers = NULL;
    if (rd_kafka_message_headers(message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return kafka_record_refuse(err, "no headers");
    const char *op = NULL;
    if (!kafka_header_int(headers, "gen", &record.gen))
        return kafka_record_refuse(err, "no readable header \"gen\"");
    if (!kafka_header_text(headers, "ver", &record.ver))
        return kafka_record_refuse(err, "no readable header \"ver\"");
    if (!kafka_header_text(headers, "op", &op) || !item_op_parse(op, &record.op))
        return kafka_record_refuse(err, "no readable header \"op\"");
    if (!kafka_header_int(headers, "time", &record.time_ms))
        record.time_ms = 0;
    if (!kafka_header_int(headers, "size", &record.size) || record.size > LARGEST_DOCUMENT)
        record.size = 0;
    if ((record.op == ITEM_DELETE) != (record.value == NULL))
        return kafka_record_refuse(err, "the value does not fit the header \"op\"");
    int64_t taken_ms = rd_kafka_message_timestamp(message, NULL);
    *out = (struct worklog_record){
        .record = record,
        .partition = message->partition,
        .offset = message->offset,
        .broker_ms = taken_ms > 0 ? taken_ms : 0,
    };
    return true;
}
