/* SPDX-License-Identifier: Apache-2.0 */
/* What is marked for repair is appended to the work log to be read again; what was set aside is marked
 * once in a while. The mark in the ledger is all that lasts: only the write that heals the
 * document takes it away, so what is remembered here may be lost at any time. */
#include <stdlib.h>
#include <string.h>

#include "agent/steward/upkeep.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/sha256.h"

/* Marks that are under way at a time. */
#define MOST_ASKED ((size_t)1000)
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
    struct worklog_writer *writer;
    bool failed; /* a record was not delivered */
    int64_t gen; /* that the ends of the log belong to: the next one may have another log */
    struct asked *asked;
    size_t asked_count;
};

void repairs_free(struct repairs *repairs)
{
    if (!repairs)
        return;
    worklog_close_writer(repairs->writer);
    free(repairs->asked);
    free(repairs);
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
    if (repairs->failed || repairs->gen != view->gen) {
        worklog_close_writer(repairs->writer);
        repairs->writer = NULL;
        repairs->asked_count = 0;
        repairs->failed = false;
        repairs->gen = view->gen;
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

bool repairs_append(struct steward *steward, const struct version *version, struct upkeep *upkeep,
                    const struct feed_view *view, struct err *err)
{
    CLEANUP(arena_freep) struct arena *arena = arena_new(LIMIT_ARENA_SIZE);
    struct ledger_marked *items;
    struct marks marks = {0};
    int64_t appended = 0;
    if (!upkeep->repairs)
        upkeep->repairs = calloc(1, sizeof *upkeep->repairs);
    struct repairs *repairs = upkeep->repairs;
    take_reports(repairs, view);
    if (!ledger_repairs(upkeep->ledger, MOST_ASKED, arena, &items, &marks.count, err))
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

/* Old enough, not given up, and not marked yet: *done tells that the rest is younger. */
static size_t due_keys(const struct ledger_aged_page *page, int64_t every_ms, const char **keys,
                       bool *done)
{
    size_t count = 0;
    *done = false;
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

bool repairs_retry(struct steward *steward, const struct version *version, struct upkeep *upkeep,
                   struct err *err)
{
    int64_t every_ms = steward->family->config->quarantine_retry_every_ms;
    int64_t pause_ms = every_ms / 4 < RETRY_ROUND_MS ? every_ms / 4 : RETRY_ROUND_MS;
    struct ledger_aged_page page = {.state = LEDGER_QUARANTINED, .limit = RETRY_ROWS};
    if (!upkeep_round_begin(&upkeep->retry, pause_ms, &page))
        return true;
    CLEANUP(arena_freep) struct arena *arena = arena_new(LIMIT_ARENA_SIZE);
    page.arena = arena;
    if (!ledger_scan_aged(upkeep->ledger, &page, err))
        return false;
    bool done;
    const char **keys = arena_alloc_array(arena, page.count + 1, sizeof *keys);
    size_t count = due_keys(&page, every_ms, keys, &done);
    if (!ledger_mark(upkeep->ledger, keys, count, RETRY_REASON, err))
        return false;
    upkeep_round_end_page(&upkeep->retry, &page, done);
    if (count > 0)
        log_info("quarantine.retried", LOG_STR("family", steward->family->name),
                 LOG_STR("version", version->label), LOG_INT("documents", (int64_t)count));
    return true;
}
