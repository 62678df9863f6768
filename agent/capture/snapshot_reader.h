/* SPDX-License-Identifier: Apache-2.0 */
/* Readers of a snapshot: threads that read ranges of collections and make their rows ready for the
 * work log, in packets.
 *
 * A team belongs to one thread, which takes the packets; each of its readers has a thread of its own,
 * and at most a few packets waiting. A reader whose server does not answer is left behind: the team
 * stays until its last reader is gone, and touches nothing of its owner's any more.
 */
#pragma once

#include "agent/capture/encoding.h"
#include "cdc/scan.h"

struct packet_row {
    enum item_op op;
    size_t key_size; /* the key, then the value, follow those of the row before */
    size_t value_size;
};

struct packet {
    size_t feed;
    size_t range;
    struct packet_row *rows; /* those that belong to the family */
    size_t row_count;
    char *data;
    size_t size;
    int64_t read_rows;  /* all that were read */
    int64_t read_bytes; /* as the server sent them */
    bson_t *cursor;     /* {"_id": of the last row read}; NULL: none was */
    bool ended;         /* the range was read to its end */
    bool failed;        /* by `err`; nothing follows */
    struct err err;
    struct packet *next;
};
void packet_free(struct packet *packet);

struct reader_options {
    struct scan_options scan; /* what it points to is copied, but for the pool */
    const struct family *family;
    size_t feed;
    size_t range;
    size_t ver_size;  /* of the rows' ver */
    int64_t max_size; /* of a record */
    int64_t
        until_ms; /* monotonic: it stops by itself then, with the first thousand rows at least */
    size_t packet_rows; /* at most so many in a packet */
};

struct reader_team;

struct reader_team *reader_team_new(void);
void reader_team_add(struct reader_team *team, const struct reader_options *options);
/* Readers of this feed whose last packet was not taken yet. */
size_t reader_team_active(struct reader_team *team, size_t feed);
/* The next packet of a feed for which is_open(feed, context) is true, waiting at most wait_ms; NULL:
 * there is none now. The caller frees it. */
struct packet *reader_team_take(struct reader_team *team, int64_t wait_ms,
                                bool (*is_open)(size_t feed, void *context), void *context);
/* Tells the readers to stop, throws their packets away, and waits for their threads for a short
 * while; frees. */
void reader_team_end(struct reader_team *team);
