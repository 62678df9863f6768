/* SPDX-License-Identifier: Apache-2.0 */
/* The partition of a key, as Kafka's Java client computes it: a foreign producer or consumer of the
 * topic finds the same place. Source: org.apache.kafka.common.utils.Utils#murmur2. */
#include <assert.h>
#include <stdint.h>

#include "cdc/worklog.h"

static const uint32_t SEED = 0x9747b28c;
static const uint32_t MIX = 0x5bd1e995;

static uint32_t mix_last_bytes(uint32_t hash, const uint8_t *tail, size_t size)
{
    if (size == 0)
        return hash;
    if (size == 3)
        hash ^= (uint32_t)tail[2] << 16;
    if (size >= 2)
        hash ^= (uint32_t)tail[1] << 8;
    hash ^= tail[0];
    return hash * MIX;
}

static uint32_t murmur2(const uint8_t *data, size_t size)
{
    uint32_t hash = SEED ^ (uint32_t)size;
    size_t at = 0;
    for (; size - at >= 4; at += 4) {
        uint32_t word = (uint32_t)data[at] | (uint32_t)data[at + 1] << 8 |
                        (uint32_t)data[at + 2] << 16 | (uint32_t)data[at + 3] << 24;
        word *= MIX;
        word ^= word >> 24;
        word *= MIX;
        hash = (hash * MIX) ^ word;
    }
    hash = mix_last_bytes(hash, data + at, size - at);
    hash ^= hash >> 13;
    hash *= MIX;
    return hash ^ (hash >> 15);
}

int record_partition(const void *key, size_t size, int partitions)
{
    assert(partitions > 0);
    return (int)((murmur2(key, size) & 0x7fffffffU) % (uint32_t)partitions);
}
