/* SPDX-License-Identifier: Apache-2.0 */
/* Every maximum that is not a configuration key, in one place. Sizes in bytes. */
#pragma once

#define KIB ((size_t)1024)
#define MIB (1024 * KIB)

/* A MongoDB document is at most 16 MiB; canonical extended JSON of it can be several times that.
 * An item that grows beyond this travels as a re-read item. */
#define LIMIT_ITEM_SIZE (32 * MIB)
/* A document with a larger key is not carried. */
#define LIMIT_KEY_SIZE (64 * KIB)
/* A resume token is as long as twice its _id plus about 100 characters. */
#define LIMIT_TOKEN_SIZE (2 * LIMIT_KEY_SIZE + 4 * KIB)
/* Of what one family's in-flight ring may hold. */
#define LIMIT_RING_ENTRIES ((size_t)100000)
/* Threads that read a snapshot at the same time, over all families of a source database, and the
 * ranges that one collection is cut into. */
#define LIMIT_SNAPSHOT_READERS ((size_t)16)
#define LIMIT_SNAPSHOT_RANGES ((size_t)64)
#define LIMIT_HTTP_REPLY_SIZE (256 * MIB)
#define LIMIT_HTTP_BODY_SIZE (64 * MIB)
#define LIMIT_JSON_DEPTH 200
#define LIMIT_CONFIG_FILE_SIZE (4 * MIB)
#define LIMIT_LOG_LINE_SIZE (16 * KIB)
/* Of the documents one worker holds at a time, as received. */
#define LIMIT_BATCH_SIZE (16 * MIB)
/* Of the documents one lane holds at a time, as received. */
#define LIMIT_FLIGHT_SIZE (32 * MIB)
/* Chunks that a worker buys and writes at a time: one request to the store, so that it ends well
 * within an intent's time. A document of more is carried out piece by piece. */
#define LIMIT_ROUND_CHUNKS ((size_t)1000)
/* Of one batch's arena. */
#define LIMIT_ARENA_SIZE (512 * MIB)
/* Chunks of one document: 15 MB of text in chunks of 200 characters. */
#define LIMIT_CHUNKS_PER_DOCUMENT ((size_t)100000)
#define LIMIT_VECTOR_DIMS 65536
/* Of vectors that a worker keeps for another attempt. */
#define LIMIT_HELD_VECTORS (64 * MIB)
/* Of the vectors bought lately that all versions of a process share. */
#define LIMIT_VECTOR_CACHE (16 * MIB)
/* Name of a vector collection; kept short enough for the stores with the strictest rule
 * (PostgreSQL cuts identifiers at 63 bytes without an error). */
#define LIMIT_COLLECTION_NAME 63
