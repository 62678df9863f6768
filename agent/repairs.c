/* SPDX-License-Identifier: Apache-2.0 */
/* What is marked for repair is appended to the work log to be read again; what was set aside is marked
 * once in a while. The mark in the ledger is all that lasts: only the write that heals the
 * document takes it away, so what is remembered here may be lost at any time. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/steward_state.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/sha256.h"

/* Marks that are under way at a time. */
#define MOST_ASKED ((size_t)1000)
#define LOOK_MS 2000
/* A mark that stands for longer, though its lane has passed the record, is appended once more. */
#define ASK_AGAIN_MS 60000
/* Rows of one look at what is set aside, and the longest time between two rounds of looks. */
#define RETRY_ROWS 500
#define RETRY_ROUND_MS 60000
#define RETRY_REASON "retry"

struct asked {
    struct sha256 key; /* of it: a key may have 64 KiB */
    int64_t mark_ms;
    int64_t at_ms; /* monotonic */
    int partition;
    int64_t end; /* the log's, once the record was in it; -1: not known yet */
};

struct repairs {
    struct repairs *next;
    char build_id[64];
    struct ledger *ledger;
    struct worklog_writer *writer;
    bool failed; /* a record was not delivered */
    struct asked *asked;
    size_t asked_count;
    int64_t looked_ms; /* monotonic */
    /* a round of retries */
    int64_t round_ms; /* monotonic; when it began */
    bool in_round;
    int64_t after_ms;
    char *after_key;
};

static struct repairs *repairs_of(struct steward *steward, const char *build_id)
{
    struct repairs *repairs = steward->repairs;
    while (repairs && strcmp(repairs->build_id, build_id) != 0)
        repairs = repairs->next;
    if (repairs)
        return repairs;
    repairs = calloc(1, sizeof *repairs);
    snprintf(repairs->build_id, sizeof repairs->build_id, "%s", build_id);
    repairs->asked = calloc(MOST_ASKED, sizeof *repairs->asked);
    repairs->next = steward->repairs;
    steward->repairs = repairs;
    return repairs;
}

void repairs_free(struct steward *steward)
{
    while (steward->repairs) {
        struct repairs *repairs = steward->repairs;
        steward->repairs = repairs->next;
        worklog_close_writer(repairs->writer);
        ledger_close(repairs->ledger);
        free(repairs->asked);
        free(repairs->after_key);
        free(repairs);
    }
}

/* --- appending what is marked ----------------------------------------------------------------- */

static void delivered(void *context, uint64_t ticket, const struct err *failed)
{
    struct repairs *repairs = context;
    (void)ticket;
    repairs->failed = repairs->failed || failed;
}

/* What became of the last ones. After a failure nothing is known to be in the log. */
static void take_reports(struct repairs *repairs, const struct feed_view *view)
{
    struct err err;
    if (repairs->writer && !worklog_poll(repairs->writer, 0, &err)) {
        log_debug("repair.append.failed", LOG_ERR(&err));
        repairs->failed = true;
    }
    if (repairs->failed) {
        worklog_close_writer(repairs->writer);
        repairs->writer = NULL;
        repairs->asked_count = 0;
        repairs->failed = false;
    }
    for (size_t i = 0; i < repairs->asked_count; i++) {
        struct asked *asked = &repairs->asked[i];
        if (asked->end < 0 && asked->partition < view->partitions)
            asked->end = view->positions[asked->partition].high;
    }
}

static const struct asked *find_asked(const struct repairs *repairs, const struct sha256 *key,
                                      int64_t mark_ms)
{
    for (size_t i = 0; i < repairs->asked_count; i++) {
        const struct asked *asked = &repairs->asked[i];
        if (asked->mark_ms == mark_ms && memcmp(&asked->key, key, sizeof *key) == 0)
            return asked;
    }
    return NULL;
}

/* The lane has passed it, and there is time enough for a batch to come to its end. */
static bool is_overdue(const struct asked *asked, const struct feed_view *view)
{
    return clock_mono_ms() - asked->at_ms > ASK_AGAIN_MS && asked->end >= 0 &&
           asked->partition < view->partitions &&
           view->positions[asked->partition].committed >= asked->end;
}

/* In the row's own place in time: should the mark be gone by then, the re-read is no older than what is
 * applied. A row of an older generation, or none, takes the generation's. */
static bool append(struct repairs *repairs, const char *topic, const struct feed_view *view,
                   const struct ledger_marked *mark, enum worklog_append *outcome, struct err *err)
{
    bool is_current = mark->gen == view->gen && *mark->ver;
    struct record record = {.key = mark->key,
                            .key_size = strlen(mark->key),
                            .value = REREAD_VALUE,
                            .value_size = REREAD_VALUE_SIZE,
                            .op = ITEM_REREAD,
                            .gen = view->gen,
                            .ver = is_current ? mark->ver : view->t0};
    int partition = record_partition(mark->key, record.key_size, view->partitions);
    if (!worklog_append(repairs->writer, topic, partition, &record, 0, outcome, err))
        return false;
    return *outcome != APPEND_TOO_LARGE ||
           err_set(err, ERR_RETRY, ERR_STATE, 0, "a re-read was not taken by the work log");
}

static bool open_writer(struct steward *steward, struct repairs *repairs, struct err *err)
{
    struct worklog_writer_options options = {.delivered = delivered, .context = repairs};
    return repairs->writer ||
           worklog_open_writer(steward->agent->log, &options, &repairs->writer, err);
}

struct marks {
    const struct ledger_marked *items;
    size_t count;
};

/* Appends those that are not under way. What is no longer marked is forgotten. */
static bool append_marks(struct repairs *repairs, const char *topic, const struct feed_view *view,
                         const struct marks *marks, int64_t *appended, struct err *err)
{
    struct asked *now = calloc(MOST_ASKED, sizeof *now);
    enum worklog_append outcome = APPEND_OK;
    size_t count = 0;
    bool ok = true;
    for (size_t i = 0; ok && outcome == APPEND_OK && i < marks->count; i++) {
        const struct ledger_marked *mark = &marks->items[i];
        size_t size = strlen(mark->key);
        struct sha256 key = sha256_of(mark->key, size);
        const struct asked *asked = find_asked(repairs, &key, mark->mark_ms);
        if (asked && !is_overdue(asked, view)) {
            now[count++] = *asked;
            continue;
        }
        ok = append(repairs, topic, view, mark, &outcome, err);
        if (!ok || outcome != APPEND_OK)
            break;
        now[count++] =
            (struct asked){.key = key,
                           .mark_ms = mark->mark_ms,
                           .at_ms = clock_mono_ms(),
                           .partition = record_partition(mark->key, size, view->partitions),
                           .end = -1};
        (*appended)++;
    }
    free(repairs->asked);
    repairs->asked = now;
    repairs->asked_count = count;
    return ok;
}

static bool ask_for_marked(struct steward *steward, const struct version *version,
                           struct repairs *repairs, const struct feed_view *view, struct err *err)
{
    CLEANUP(arena_freep) struct arena *arena = arena_new(LIMIT_ARENA_SIZE);
    struct ledger_marked *items;
    struct marks marks = {0};
    int64_t appended = 0;
    take_reports(repairs, view);
    if (!ledger_repairs(repairs->ledger, MOST_ASKED, arena, &items, &marks.count, err))
        return false;
    marks.items = items;
    if (marks.count > 0 && !open_writer(steward, repairs, err))
        return false;
    char *topic = lane_topic(steward->agent->config, steward->family, version);
    bool ok = append_marks(repairs, topic, view, &marks, &appended, err);
    free(topic);
    if (appended > 0)
        log_info("repair.appended", LOG_STR("family", steward->family->name),
                 LOG_STR("version", version->label), LOG_INT("rows", appended));
    struct err failed;
    if (repairs->writer && !worklog_poll(repairs->writer, 0, &failed))
        repairs->failed = true;
    return ok;
}

/* --- what is set aside ------------------------------------------------------------------------ */

static void end_round(struct repairs *repairs)
{
    repairs->in_round = false;
    repairs->after_ms = 0;
    free(repairs->after_key);
    repairs->after_key = NULL;
}

/* Old enough, not given up, and not marked yet: *done tells that the rest is younger. */
static size_t due_keys(const struct ledger_aged_page *page, int64_t every_ms, const char **keys,
                       bool *done)
{
    size_t count = 0;
    *done = page->count < page->limit;
    for (size_t i = 0; i < page->count; i++) {
        const struct ledger_row *row = &page->rows[i];
        if (page->now_ms - row->at_ms < every_ms) {
            *done = true;
            break;
        }
        if (!row->skipped && !row->repair)
            keys[count++] = row->key;
    }
    return count;
}

/* One page of a round. */
static bool retry_some(struct steward *steward, const struct version *version,
                       struct repairs *repairs, struct err *err)
{
    int64_t every_ms = steward->family->config->quarantine_retry_every_ms;
    int64_t pause_ms = every_ms / 4 < RETRY_ROUND_MS ? every_ms / 4 : RETRY_ROUND_MS;
    if (!repairs->in_round) {
        if (repairs->round_ms > 0 && clock_mono_ms() - repairs->round_ms < pause_ms)
            return true;
        repairs->in_round = true;
        repairs->round_ms = clock_mono_ms();
    }
    CLEANUP(arena_freep) struct arena *arena = arena_new(LIMIT_ARENA_SIZE);
    struct ledger_aged_page page = {.state = LEDGER_QUARANTINED,
                                    .after_ms = repairs->after_ms,
                                    .after_key = repairs->after_key ? repairs->after_key : "",
                                    .limit = RETRY_ROWS,
                                    .arena = arena};
    if (!ledger_scan_aged(repairs->ledger, &page, err))
        return false;
    bool done;
    const char **keys = arena_alloc_array(arena, page.count + 1, sizeof *keys);
    size_t count = due_keys(&page, every_ms, keys, &done);
    if (!ledger_mark(repairs->ledger, keys, count, RETRY_REASON, err))
        return false;
    if (count > 0)
        log_info("quarantine.retried", LOG_STR("family", steward->family->name),
                 LOG_STR("version", version->label), LOG_INT("documents", (int64_t)count));
    if (done) {
        end_round(repairs);
    } else {
        repairs->after_ms = page.rows[page.count - 1].at_ms;
        free(repairs->after_key);
        repairs->after_key = strdup(page.rows[page.count - 1].key);
    }
    return true;
}

/* A paused lane reads nothing; of a source that is gone nothing can be read. */
static bool can_be_read(const struct version *version, const struct feed_view *view)
{
    return view->known && view->t0 && view->has_positions && !version->paused &&
           (view->state == FAMILY_STREAMING || view->state == FAMILY_SNAPSHOT);
}

bool repairs_step(struct steward *steward, const struct version *version,
                  const struct feed_view *view, struct err *err)
{
    struct repairs *repairs = repairs_of(steward, version->build_id);
    int64_t now_ms = clock_mono_ms();
    if (!can_be_read(version, view) ||
        (repairs->looked_ms > 0 && now_ms - repairs->looked_ms < LOOK_MS))
        return true;
    repairs->looked_ms = now_ms;
    if (!repairs->ledger && !steward_open_ledger(steward, version, &repairs->ledger, err))
        return false;
    return (retry_some(steward, version, repairs, err) &&
            ask_for_marked(steward, version, repairs, view, err)) ||
           err_prefix(err, "repairs of version %s", version->label);
}
