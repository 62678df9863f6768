/* SPDX-License-Identifier: Apache-2.0 */
/* The offsets of a reader: what is stored, committed, and set back. */
#include <inttypes.h>

#include "cdc/worklog_kafka_reader.h"

/* Shorter than a session: a broker that does not answer must not hold a rebalance for longer. */
#define COMMIT_TIMEOUT_MS 5000

/* Commits a list of offsets, or NULL: what is stored; and waits for the answer no longer than
 * COMMIT_TIMEOUT_MS. */
rd_kafka_resp_err_t kafka_commit_now(rd_kafka_t *client,
                                     const rd_kafka_topic_partition_list_t *list)
{
    CLEANUP(rd_kafka_queue_destroyp) rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
    rd_kafka_resp_err_t code = rd_kafka_commit_queue(client, list, queue, NULL, NULL);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return code;
    CLEANUP(rd_kafka_event_destroyp)
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, COMMIT_TIMEOUT_MS);
    return event ? rd_kafka_event_error(event) : RD_KAFKA_RESP_ERR__TIMED_OUT;
}

static bool kafka_store_offset(const struct kafka_reader *reader, int partition, int64_t next,
                               struct err *err)
{
    CLEANUP(rd_kafka_topic_partition_list_destroyp)
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, reader->topic, partition)->offset = next;
    rd_kafka_resp_err_t code = rd_kafka_offsets_store(reader->client, list);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        code = list->elems[0].err;
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return kafka_err(err, code, "kafka store");
    return true;
}

bool kafka_store_skipped(struct kafka_reader *reader, int partition, struct err *err)
{
    struct kafka_progress *progress = &reader->progress[partition];
    if (progress->skipped <= progress->stored || progress->stored < progress->delivered)
        return true;
    if (!kafka_store_offset(reader, partition, progress->skipped, err))
        return false;
    progress->stored = progress->skipped;
    return true;
}

bool kafka_store(struct worklog_reader *base, int partition, int64_t next_offset, struct err *err)
{
    struct kafka_reader *reader = (struct kafka_reader *)base;
    struct kafka_progress *progress = &reader->progress[partition];
    /* librdkafka goes on taking offsets for a while after it was fenced. */
    if (!kafka_is_usable(reader->client, err))
        return false;
    if (next_offset < progress->stored && next_offset < progress->delivered)
        return err_set(err, ERR_REJECT, ERR_STATE, 0,
                       "kafka store: offset %" PRId64 " of partition %d is below %" PRId64,
                       next_offset, partition, progress->stored);
    if (next_offset > progress->stored) {
        if (!kafka_store_offset(reader, partition, next_offset, err))
            return false;
        progress->stored = next_offset;
    }
    return kafka_store_skipped(reader, partition, err);
}

/* Reads begin anew from what is committed, for all that is assigned; from `offset` for one. */
static bool kafka_assign_anew(struct kafka_reader *reader, int partition, int64_t offset,
                              struct err *err)
{
    CLEANUP(rd_kafka_topic_partition_list_destroyp)
    rd_kafka_topic_partition_list_t *list = NULL;
    rd_kafka_resp_err_t code = rd_kafka_assignment(reader->client, &list);
    for (int i = 0; code == RD_KAFKA_RESP_ERR_NO_ERROR && i < list->cnt; i++) {
        struct kafka_progress *progress = &reader->progress[list->elems[i].partition];
        bool sent = list->elems[i].partition == partition;
        *progress = (struct kafka_progress){.sent = sent || progress->sent,
                                            .sent_to = sent ? offset : progress->sent_to};
        list->elems[i].offset = sent ? offset : RD_KAFKA_OFFSET_INVALID;
    }
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        code = rd_kafka_assign(reader->client, list);
    return code == RD_KAFKA_RESP_ERR_NO_ERROR || kafka_err(err, code, "kafka seek");
}

/* rd_kafka_seek_partitions() refuses a partition that stands after an error. An assignment that is
 * replaced commits what is stored last, so that is set back too; and only a list makes a group go
 * back. */
bool kafka_seek(struct worklog_reader *base, int partition, int64_t offset, struct err *err)
{
    struct kafka_reader *reader = (struct kafka_reader *)base;
    if (kafka_is_lost(base))
        return err_set(err, ERR_RETRY, ERR_KAFKA, 0, "kafka seek: partition %d is another's",
                       partition);
    if (!kafka_commit(base, err) || !kafka_store_offset(reader, partition, offset, err))
        return false;
    CLEANUP(rd_kafka_topic_partition_list_destroyp)
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, reader->topic, partition)->offset = offset;
    rd_kafka_resp_err_t code = kafka_commit_now(reader->client, list);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return kafka_err(err, code, "kafka seek");
    return kafka_assign_anew(reader, partition, offset, err);
}

bool kafka_commit(struct worklog_reader *base, struct err *err)
{
    struct kafka_reader *reader = (struct kafka_reader *)base;
    rd_kafka_resp_err_t code = kafka_commit_now(reader->client, NULL);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR || code == RD_KAFKA_RESP_ERR__NO_OFFSET)
        return true; /* maybe there was nothing to commit */
    return kafka_is_usable(reader->client, err) && kafka_err(err, code, "kafka commit");
}
