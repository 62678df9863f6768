/* SPDX-License-Identifier: Apache-2.0 */
/* A slice of the snapshot: ranges are read side by side, by threads; what they have read is appended
 * here, and no event meanwhile. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "agent/capture/capture_state.h"
#include "agent/capture/snapshot_reader.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"

#define TAKE_MS 20
#define PACKET_ROWS 500
/* How long a slice may be over before a reader that does not come back is left behind. */
#define OVERDUE_MS 30000
/* Of a speed limit: how much may be made up for, in seconds, and how fine packets are. */
#define CREDIT_S 1.0
#define PACKETS_PER_S 20
#define RATE_EVERY_MS 2000

static bool is_being_read(const struct checkpoint_family *state)
{
    return state && state->state == FAMILY_SNAPSHOT && !state->end_offsets;
}

static bool is_due(struct capture *capture, const struct feed *feed)
{
    struct checkpoint_family *state = capture_state(capture, feed);
    if (!is_being_read(state))
        return false;
    for (size_t i = 0; i < state->range_count; i++) {
        if (!state->ranges[i].done)
            return true;
    }
    return false;
}

/* Also while one is only to be finished. */
bool capture_snapshot_due(struct capture *capture)
{
    for (size_t i = 0; i < capture->feed_count; i++) {
        if (is_being_read(capture_state(capture, &capture->feeds[i])))
            return true;
    }
    return false;
}

/* --- Speed limits --- */

static double limit_of(int64_t limit, double unit)
{
    return limit > 0 ? (double)limit * unit : 0;
}

static void refill(struct feed *feed)
{
    const struct config_family *config = feed->family->config;
    double rows = limit_of(config->snapshot.max_documents_per_second, 1);
    double bytes = limit_of(config->snapshot.max_mib_per_second, (double)MIB);
    int64_t now_ms = clock_mono_ms();
    double passed_s = (double)(now_ms - feed->credit_ms) / 1000;
    feed->credit_ms = now_ms;
    feed->row_credit += rows * passed_s;
    feed->byte_credit += bytes * passed_s;
    if (feed->row_credit > rows * CREDIT_S)
        feed->row_credit = rows * CREDIT_S;
    if (feed->byte_credit > bytes * CREDIT_S)
        feed->byte_credit = bytes * CREDIT_S;
}

/* What goes beyond the credit is paid back before the next. */
static bool has_credit(size_t index, void *context)
{
    struct capture *capture = context;
    struct feed *feed = &capture->feeds[index];
    const struct config_family *config = feed->family->config;
    refill(feed);
    return (config->snapshot.max_documents_per_second <= 0 || feed->row_credit > 0) &&
           (config->snapshot.max_mib_per_second <= 0 || feed->byte_credit > 0);
}

/* Of a slow snapshot packets are small, or it would go by fits and starts. */
static size_t packet_rows(const struct feed *feed)
{
    int64_t limit = feed->family->config->snapshot.max_documents_per_second;
    if (limit <= 0 || limit / PACKETS_PER_S >= PACKET_ROWS)
        return PACKET_ROWS;
    return limit < PACKETS_PER_S ? 1 : (size_t)(limit / PACKETS_PER_S);
}

static void note_rate(struct capture *capture, struct feed *feed, int64_t rows)
{
    int64_t now_ms = clock_mono_ms();
    feed->rate_rows += rows;
    if (feed->rate_ms == 0)
        feed->rate_ms = now_ms;
    if (now_ms - feed->rate_ms < RATE_EVERY_MS)
        return;
    capture_state(capture, feed)->rows_per_second =
        feed->rate_rows * 1000 / (now_ms - feed->rate_ms);
    feed->rate_ms = now_ms;
    feed->rate_rows = 0;
}

/* --- Reading --- */

/* A row must show all that was published: at an event's time, what it has done. A high-water mark says
 * that what lies before it was published; an opening one lies one ordinal ahead of an idle cluster. */
static struct cluster_time published_time(const struct capture *capture)
{
    struct cluster_time time;
    if (!token_time(capture->position, &time))
        return (struct cluster_time){1, 0};
    return token_is_mark(capture->position) ? cluster_time_before(time) : time;
}

static void start_reader(struct capture *capture, struct slice *slice, size_t index, size_t range)
{
    struct feed *feed = &capture->feeds[index];
    const struct checkpoint_family *state = capture_state(capture, feed);
    const struct snapshot_range *part = &state->ranges[range];
    struct reader_options options = {
        .scan = {.pool = capture->agent->pool,
                 .database = capture->database,
                 .collection = feed->family->config->source.collection,
                 .projection = shape_projection(feed->family->shape),
                 .after = part->cursor ? part->cursor : part->min,
                 .upto = part->max,
                 .clustered = feed->clustered,
                 .since = published_time(capture)},
        .family = feed->family,
        .feed = index,
        .range = range,
        .ver_size = strlen(state->t0),
        .max_size = feed->max_size,
        .until_ms = slice->until_ms,
        .packet_rows = packet_rows(feed),
    };
    feed->taken[range] = true;
    slice->readers++;
    reader_team_add(slice->team, &options);
}

/* Starts readers for ranges that nobody has begun in this slice. */
static void start_readers(struct capture *capture, struct slice *slice, size_t index)
{
    struct feed *feed = &capture->feeds[index];
    const struct checkpoint_family *state = capture_state(capture, feed);
    if (!is_due(capture, feed) || clock_mono_ms() >= slice->until_ms || !has_credit(index, capture))
        return;
    size_t active = reader_team_active(slice->team, index);
    size_t most = (size_t)feed->family->config->snapshot.parallelism;
    for (size_t i = 0; i < state->range_count && active < most; i++) {
        if (state->ranges[i].done || feed->taken[i] || slice->readers >= LIMIT_SNAPSHOT_READERS)
            continue;
        start_reader(capture, slice, index, i);
        active++;
    }
}

static size_t count_active(struct capture *capture, struct slice *slice)
{
    size_t active = 0;
    for (size_t i = 0; i < capture->feed_count; i++)
        active += reader_team_active(slice->team, i);
    slice->readers = active;
    return active;
}

static bool append_rows(struct capture *capture, const struct packet *packet, struct err *err)
{
    struct feed *feed = &capture->feeds[packet->feed];
    const struct checkpoint_family *state = capture_state(capture, feed);
    const char *at = packet->data;
    for (size_t i = 0; i < packet->row_count; i++) {
        const struct packet_row *row = &packet->rows[i];
        struct record record = {.key = at,
                                .key_size = row->key_size,
                                .value = row->op == ITEM_DELETE ? NULL : at + row->key_size,
                                .value_size = row->value_size,
                                .op = row->op,
                                .gen = state->gen,
                                .ver = state->t0};
        if (!capture_append(capture, feed, &record, err))
            return false;
        at += row->key_size + row->value_size;
    }
    return true;
}

static void mark(struct capture *capture, const struct packet *packet, enum mark_kind kind)
{
    const struct feed *feed = &capture->feeds[packet->feed];
    bool carries = kind == MARK_CURSOR || !packet->cursor;
    ring_mark(capture->ring,
              &(struct mark){.kind = kind,
                             .feed = packet->feed,
                             .range = packet->range,
                             .gen = capture_state(capture, feed)->gen,
                             .rows = carries ? packet->read_rows : 0,
                             .cursor = kind == MARK_CURSOR ? bson_copy(packet->cursor) : NULL});
}

static bool take_packet(struct capture *capture, const struct packet *packet, struct err *err)
{
    struct feed *feed = &capture->feeds[packet->feed];
    feed->row_credit -= (double)packet->read_rows;
    feed->byte_credit -= (double)packet->read_bytes;
    feed->counts.documents += packet->read_rows;
    note_rate(capture, feed, packet->read_rows);
    if (!append_rows(capture, packet, err))
        return false;
    if (packet->cursor)
        mark(capture, packet, MARK_CURSOR);
    if (packet->ended)
        mark(capture, packet, MARK_END);
    if (packet->failed)
        *err = packet->err;
    return !packet->failed;
}

static bool run_slice(struct capture *capture, struct slice *slice, struct err *err)
{
    while (!capture_stopping(capture)) {
        for (size_t i = 0; i < capture->feed_count; i++)
            start_readers(capture, slice, i);
        struct packet *packet = reader_team_take(slice->team, TAKE_MS, has_credit, capture);
        bool ok = !packet || take_packet(capture, packet, err);
        bool taken = packet != NULL;
        packet_free(packet);
        if (!ok || !capture_tick(capture, 0, err))
            return false;
        size_t active = count_active(capture, slice);
        bool throttled = capture_is_throttled(capture);
        int64_t now_ms = clock_mono_ms();
        if (taken || throttled || now_ms < slice->until_ms)
            slice->taken_ms = now_ms;
        /* what waits for its credit when the slice is over is read again in the next */
        if ((active == 0 && !throttled) || (now_ms >= slice->until_ms && !taken && throttled))
            return true;
        if (active == 0)
            clock_sleep_ms(TAKE_MS); /* for the credit of the next packet */
        if (now_ms - slice->taken_ms >= OVERDUE_MS)
            return err_set(err, ERR_RETRY, ERR_STATE, 0,
                           "snapshot: the server has not answered for %" PRId64 " s",
                           (now_ms - slice->taken_ms) / 1000);
    }
    return true;
}

bool capture_is_throttled(struct capture *capture)
{
    for (size_t i = 0; i < capture->feed_count; i++) {
        if (is_due(capture, &capture->feeds[i]) && !has_credit(i, capture))
            return true;
    }
    return false;
}

bool capture_slice(struct capture *capture, int64_t slice_ms, struct err *err)
{
    struct slice slice = {.team = reader_team_new(), .until_ms = clock_mono_ms() + slice_ms};
    for (size_t i = 0; i < capture->feed_count; i++)
        memset(capture->feeds[i].taken, 0, sizeof capture->feeds[i].taken);
    bool ok = run_slice(capture, &slice, err);
    reader_team_end(slice.team);
    /* the next slice begins at the durable cursors: what is in flight must land first */
    while (ok && !capture_stopping(capture) && ring_records(capture->ring) > 0)
        ok = capture_flush(capture, FLUSH_SLICE_MS, err);
    return ok && capture_flush(capture, FLUSH_SLICE_MS, err);
}

/* --- The end --- */

static bool is_read(const struct checkpoint_family *state)
{
    for (size_t i = 0; i < state->range_count; i++) {
        if (!state->ranges[i].done)
            return false;
    }
    return state->range_count > 0;
}

static bool finish(struct capture *capture, const struct feed *feed, struct err *err)
{
    struct checkpoint_family *state = capture_state(capture, feed);
    struct worklog_topic *topic = calloc(1, sizeof *topic);
    bool ok = worklog_ensure(capture->agent->log, feed->topic, topic, err);
    int64_t rows = 0;
    if (ok && topic->partitions != state->partitions)
        ok = err_set(err, ERR_RETRY, ERR_STATE, 0, "topic %s has another number of partitions now",
                     feed->topic);
    if (ok) {
        size_t size = (size_t)state->partitions * sizeof *state->end_offsets;
        state->end_offsets = calloc((size_t)state->partitions, sizeof *state->end_offsets);
        memcpy(state->end_offsets, topic->high, size);
        if (state->high_offsets)
            memcpy(state->high_offsets, topic->high, size);
        state->state = FAMILY_STREAMING;
        state->gaps = 0;
        for (size_t i = 0; i < state->range_count; i++)
            rows += state->ranges[i].rows;
        log_info("capture.snapshot.done", LOG_STR("family", feed->family->name),
                 LOG_INT("gen", state->gen), LOG_INT("documents", rows));
    }
    free(topic);
    return ok;
}

/* The collection may have been dropped or replaced while it was read, and look as if it had ended: the
 * stream has to come past the time at which all was read. */
static bool is_over(struct capture *capture, struct feed *feed, bool *over, struct err *err)
{
    const struct checkpoint_family *state = capture_state(capture, feed);
    struct cluster_time at;
    *over = false;
    if (!is_being_read(state) || !is_read(state)) {
        feed->read_time = (struct cluster_time){0};
        return true;
    }
    if (feed->read_time.seconds == 0 &&
        !source_cluster_time(capture->source, &feed->read_time, err))
        return false;
    *over = token_time(capture->position, &at) && cluster_time_compare(at, feed->read_time) >= 0;
    return true;
}

bool capture_finish_snapshots(struct capture *capture, struct err *err)
{
    bool finished = false;
    for (size_t i = 0; i < capture->feed_count; i++) {
        bool over;
        if (!is_over(capture, &capture->feeds[i], &over, err))
            return false;
        if (!over)
            continue;
        if (!finish(capture, &capture->feeds[i], err))
            return false;
        finished = true;
    }
    return !finished || capture_save(capture, err);
}
