/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/capture/snapshot_reader.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mongo.h"

/* What makes a packet full, besides its rows. */
#define PACKET_SIZE (256 * KIB)
/* Packets of one reader that wait to be taken, and what they and those of all readers may hold. */
#define WAITING_PACKETS 3
#define WAITING_SIZE (1 * MIB)
#define TEAM_SIZE (8 * MIB)
#define END_WAIT_MS 2000
/* What a reader reads at least, however late it is: what the server sends with the first answer would
 * be thrown away otherwise, and read again and again. */
#define LEAST_ROWS 1000
#define LEAST_SIZE (4 * MIB)

struct reader {
    struct reader_team *team;
    struct reader_options options;
    char *database;
    char *collection;
    bson_t *after;
    bson_t *upto;
    bson_t *projection;
    int64_t rows; /* read so far */
    int64_t bytes;
    size_t waiting; /* packets; under the team's lock */
    bool over;      /* its last packet was handed over */
};

struct reader_team {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct reader **readers;
    size_t reader_count;
    struct packet *first;
    struct packet **tail;
    size_t size;    /* of the packets that wait */
    size_t threads; /* that still run */
    bool stop;
    bool left; /* by its owner: who is last frees it */
};

void packet_free(struct packet *packet)
{
    if (!packet)
        return;
    free(packet->rows);
    free(packet->data);
    bson_destroy(packet->cursor);
    free(packet);
}

static void reader_free(struct reader *reader)
{
    free(reader->database);
    free(reader->collection);
    bson_destroy(reader->after);
    bson_destroy(reader->upto);
    bson_destroy(reader->projection);
    free(reader);
}

struct reader_team *reader_team_new(void)
{
    struct reader_team *team = calloc(1, sizeof *team);
    pthread_mutex_init(&team->lock, NULL);
    clock_cond_init(&team->changed);
    team->tail = &team->first;
    return team;
}

static void team_free(struct reader_team *team)
{
    while (team->first) {
        struct packet *packet = team->first;
        team->first = packet->next;
        packet_free(packet);
    }
    for (size_t i = 0; i < team->reader_count; i++)
        reader_free(team->readers[i]);
    free(team->readers);
    pthread_cond_destroy(&team->changed);
    pthread_mutex_destroy(&team->lock);
    free(team);
}

static bool is_stopped(struct reader_team *team)
{
    pthread_mutex_lock(&team->lock);
    bool stop = team->stop;
    pthread_mutex_unlock(&team->lock);
    return stop;
}

/* One packet of each reader always has room, unless it is large: of those only one at a time. */
static bool has_room(const struct reader *reader, const struct packet *packet)
{
    const struct reader_team *team = reader->team;
    if (reader->waiting == 0 && packet->size <= WAITING_SIZE)
        return true;
    return reader->waiting < WAITING_PACKETS &&
           (team->size == 0 || team->size + packet->size <= TEAM_SIZE);
}

/* False when the team has stopped: the packet is gone. */
static bool hand_over(struct reader *reader, struct packet *packet)
{
    struct reader_team *team = reader->team;
    pthread_mutex_lock(&team->lock);
    while (!team->stop && !has_room(reader, packet))
        pthread_cond_wait(&team->changed, &team->lock);
    bool taken = !team->stop;
    if (taken) {
        *team->tail = packet;
        team->tail = &packet->next;
        reader->waiting++;
        team->size += packet->size;
        pthread_cond_broadcast(&team->changed);
    }
    pthread_mutex_unlock(&team->lock);
    if (!taken)
        packet_free(packet);
    return taken;
}

static struct packet *packet_new(const struct reader *reader)
{
    struct packet *packet = calloc(1, sizeof *packet);
    packet->feed = reader->options.feed;
    packet->range = reader->options.range;
    packet->rows = calloc(reader->options.packet_rows, sizeof *packet->rows);
    return packet;
}

static void append_row(struct packet *packet, const struct encoding *encoding, struct buf *data)
{
    struct record record = {0};
    encoding_put(encoding, &record);
    buf_append(data, record.key, record.key_size);
    if (record.value)
        buf_append(data, record.value, record.value_size);
    packet->rows[packet->row_count++] = (struct packet_row){
        .op = record.op, .key_size = record.key_size, .value_size = record.value_size};
}

static bool take_row(const struct reader *reader, const bson_t *doc, struct encoding *encoding,
                     struct packet *packet, struct buf *data)
{
    const struct family *family = reader->options.family;
    bson_iter_t id;
    packet->read_rows++;
    packet->read_bytes += doc->len;
    if (!bson_iter_init_find(&id, doc, "_id") || !shape_matches(family->shape, doc))
        return true;
    struct encoding_input input = {.family = family,
                                   .op = ITEM_UPSERT,
                                   .id = &id,
                                   .doc = doc,
                                   .ver_size = reader->options.ver_size,
                                   .max_size = reader->options.max_size};
    if (!encoding_make(encoding, &input, &packet->err))
        return false;
    if (encoding->key_too_large)
        log_error("capture.key.too_large", LOG_STR("family", family->name),
                  LOG_INT("limit", (int64_t)LIMIT_KEY_SIZE));
    append_row(packet, encoding, data);
    return true;
}

static void set_cursor(struct packet *packet, const bson_t *doc)
{
    bson_iter_t id;
    if (!bson_iter_init_find(&id, doc, "_id"))
        return;
    if (!packet->cursor)
        packet->cursor = bson_new();
    bson_reinit(packet->cursor);
    bson_append_iter(packet->cursor, "_id", 3, &id);
}

static bool is_full(const struct reader *reader, const struct packet *packet,
                    const struct buf *data)
{
    return packet->read_rows >= (int64_t)reader->options.packet_rows || data->size >= PACKET_SIZE ||
           packet->read_bytes >= (int64_t)PACKET_SIZE * 4;
}

/* Fills one packet. The cursor is the last row's: rows are read in order. */
static void fill(struct reader *reader, struct scan *scan, struct encoding *encoding,
                 struct packet *packet)
{
    struct buf data = BUF_INIT(LIMIT_ITEM_SIZE + LIMIT_KEY_SIZE + PACKET_SIZE);
    while (!is_full(reader, packet, &data)) {
        const bson_t *doc;
        packet->failed = !scan_next(scan, &doc, &packet->err);
        if (packet->failed || is_stopped(reader->team))
            break;
        packet->ended = doc == NULL;
        if (!doc)
            break;
        packet->failed = !take_row(reader, doc, encoding, packet, &data);
        if (packet->failed)
            break;
        set_cursor(packet, doc);
    }
    reader->rows += packet->read_rows;
    reader->bytes += packet->read_bytes;
    packet->size = data.size;
    packet->data = buf_take(&data, &packet->size);
}

static bool is_over(const struct reader *reader)
{
    bool enough = reader->rows >= LEAST_ROWS || reader->bytes >= (int64_t)LEAST_SIZE;
    return enough && clock_mono_ms() >= reader->options.until_ms;
}

static void read_range(struct reader *reader, struct encoding *encoding)
{
    CLEANUP(scan_closep) struct scan *scan = NULL;
    bool over = false;
    while (!over) {
        struct packet *packet = packet_new(reader);
        packet->failed = !scan && !scan_open(&reader->options.scan, &scan, &packet->err);
        if (!packet->failed)
            fill(reader, scan, encoding, packet);
        over = packet->failed || packet->ended || is_over(reader);
        if (!hand_over(reader, packet))
            return;
    }
}

static void *run(void *argument)
{
    struct reader *reader = argument;
    struct reader_team *team = reader->team;
    struct encoding encoding;
    log_set_thread("snapshot");
    encoding_init(&encoding);
    read_range(reader, &encoding);
    encoding_fini(&encoding);
    pthread_mutex_lock(&team->lock);
    reader->over = true;
    bool last = --team->threads == 0 && team->left;
    pthread_cond_broadcast(&team->changed);
    pthread_mutex_unlock(&team->lock);
    if (last)
        team_free(team);
    return NULL;
}

void reader_team_add(struct reader_team *team, const struct reader_options *options)
{
    struct reader *reader = calloc(1, sizeof *reader);
    reader->team = team;
    reader->options = *options;
    struct scan_options *scan = &reader->options.scan;
    scan->database = reader->database = strdup(options->scan.database);
    scan->collection = reader->collection = strdup(options->scan.collection);
    if (options->scan.after)
        scan->after = reader->after = bson_copy(options->scan.after);
    if (options->scan.projection)
        scan->projection = reader->projection = bson_copy(options->scan.projection);
    if (options->scan.upto)
        scan->upto = reader->upto = bson_copy(options->scan.upto);
    pthread_t thread;
    pthread_mutex_lock(&team->lock);
    team->readers = realloc(team->readers, (team->reader_count + 1) * sizeof(struct reader *));
    team->readers[team->reader_count++] = reader;
    team->threads++;
    pthread_mutex_unlock(&team->lock);
    if (pthread_create(&thread, NULL, run, reader) != 0)
        abort();
    pthread_detach(thread);
}

size_t reader_team_active(struct reader_team *team, size_t feed)
{
    size_t active = 0;
    pthread_mutex_lock(&team->lock);
    for (size_t i = 0; i < team->reader_count; i++) {
        const struct reader *reader = team->readers[i];
        active += reader->options.feed == feed && (!reader->over || reader->waiting > 0);
    }
    pthread_mutex_unlock(&team->lock);
    return active;
}

static struct packet *unlink_open(struct reader_team *team,
                                  bool (*is_open)(size_t feed, void *context), void *context)
{
    struct packet **at = &team->first;
    while (*at && !is_open((*at)->feed, context))
        at = &(*at)->next;
    struct packet *packet = *at;
    if (!packet)
        return NULL;
    *at = packet->next;
    if (!*at)
        team->tail = at;
    packet->next = NULL;
    for (size_t i = 0; i < team->reader_count; i++) {
        struct reader *reader = team->readers[i];
        if (reader->options.feed != packet->feed || reader->options.range != packet->range)
            continue;
        reader->waiting--;
    }
    team->size -= packet->size;
    pthread_cond_broadcast(&team->changed);
    return packet;
}

struct packet *reader_team_take(struct reader_team *team, int64_t wait_ms,
                                bool (*is_open)(size_t feed, void *context), void *context)
{
    struct timespec until = clock_deadline(wait_ms);
    pthread_mutex_lock(&team->lock);
    struct packet *packet = unlink_open(team, is_open, context);
    while (!packet && (team->threads > 0 || team->first) &&
           pthread_cond_timedwait(&team->changed, &team->lock, &until) == 0)
        packet = unlink_open(team, is_open, context);
    pthread_mutex_unlock(&team->lock);
    return packet;
}

void reader_team_end(struct reader_team *team)
{
    struct timespec until = clock_deadline(END_WAIT_MS);
    pthread_mutex_lock(&team->lock);
    team->stop = true;
    pthread_cond_broadcast(&team->changed);
    while (team->threads > 0 &&
           pthread_cond_timedwait(&team->changed, &team->lock, &until) != ETIMEDOUT)
        ;
    team->left = team->threads > 0;
    bool left = team->left;
    pthread_mutex_unlock(&team->lock);
    if (!left)
        team_free(team);
}
