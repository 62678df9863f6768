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
#include "cdc/key.h"
#include "cdc/scan.h"

/* Marks that are under way at a time. */
#define MOST_ASKED ((size_t)REPAIRS_MOST)
/* A mark that stands for longer, though its lane has passed the record, is appended once more. */
#define ASK_AGAIN_MS 60000
/* Rows of one look at what is set aside, and the longest time between two rounds of looks. */
#define RETRY_ROWS 500
#define RETRY_ROUND_MS 60000
#define RETRY_REASON "retry"
#define ASK_SIZE (8 * MIB)

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
    size_t waiting; /* marks that were seen at the last look */
};

size_t repairs_waiting(const struct repairs *repairs)
{
    return repairs ? repairs->waiting : 0;
}

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

/* --- how large they are ----------------------------------------------------------------------- */

/* Marks that are to be appended, sorted by their keys. */
struct due {
    const struct ledger_marked *mark;
    bson_t *id;
    int64_t size; /* of the document; 0: unknown */
};

struct due_list {
    struct due *items;
    size_t count;
};

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct due *)a)->mark->key, ((const struct due *)b)->mark->key);
}

static void take_sizes(struct scan *scan, struct due_list *list)
{
    CLEANUP(buf_fini) struct buf key = BUF_INIT(LIMIT_KEY_SIZE);
    const bson_t *doc;
    struct err err;
    while (scan_next(scan, &doc, &err) && doc) {
        bson_iter_t id, size;
        if (!bson_iter_init_find(&id, doc, "_id") || !bson_iter_init_find(&size, doc, "size"))
            continue;
        buf_clear(&key);
        key_encode(&id, &key);
        struct ledger_marked mark = {.key = buf_str(&key)};
        struct due wanted = {.mark = &mark};
        struct due *found = bsearch(&wanted, list->items, list->count, sizeof wanted, by_key);
        if (found)
            found->size = bson_iter_as_int64(&size);
    }
}

/* A reader takes as many re-reads at a time as it has room for their documents. One whose size is unknown
 * counts as a large one, of which it takes a few: mostly they are small. What is gone has none. */
static void ask_sizes(struct steward *steward, struct due_list *list)
{
    const struct config_family *family = steward->family->config;
    CLEANUP(bson_destroyp)
    bson_t *projection =
        BCON_NEW("_id", BCON_INT32(1), "size", "{", "$bsonSize", BCON_UTF8("$$ROOT"), "}");
    struct scan_options options = {.pool = steward->agent->pool,
                                   .database = family->source.database,
                                   .collection = family->source.collection,
                                   .projection = projection};
    const bson_t **ids = calloc(list->count + 1, sizeof *ids);
    size_t count = 0, size = 0;
    for (size_t i = 0; i < list->count && size < ASK_SIZE; i++) {
        struct due *due = &list->items[i];
        due->id = key_decode(due->mark->key, strlen(due->mark->key));
        if (!due->id)
            continue;
        ids[count++] = due->id;
        size += due->id->len;
        due->size = 1;
    }
    struct scan *scan = NULL;
    struct err err;
    bool ok = count == 0 || scan_open_ids(&options, ids, count, &scan, &err);
    if (ok && scan)
        take_sizes(scan, list);
    scan_close(scan);
    for (size_t i = 0; i < list->count; i++) {
        bson_destroy(list->items[i].id);
        list->items[i].id = NULL;
        if (!ok)
            list->items[i].size = 0;
    }
    free(ids);
}

/* --- appending them --------------------------------------------------------------------------- */

/* In the row's own place in time: should the mark be gone by then, the re-read is no older than what is
 * applied. A row of an older generation, or none, takes the generation's. */
static bool append(struct repairs *repairs, const char *topic, const struct feed_view *view,
                   const struct due *due, enum worklog_append *outcome, struct err *err)
{
    const struct ledger_marked *mark = due->mark;
    bool is_current = mark->gen == view->gen && *mark->ver;
    struct record record = {.key = mark->key,
                            .key_size = strlen(mark->key),
                            .value = REREAD_VALUE,
                            .value_size = REREAD_VALUE_SIZE,
                            .op = ITEM_REREAD,
                            .gen = view->gen,
                            .ver = is_current ? mark->ver : view->t0,
                            .size = due->size};
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
    const char *topic;
    const struct ledger_marked *items;
    size_t count;
};

/* Keeps what is known of those that are under way; the others are due. */
static void sort_out(struct repairs *repairs, const struct feed_view *view,
                     const struct marks *marks, struct asked *now, struct due_list *list)
{
    size_t count = 0;
    for (size_t i = 0; i < marks->count; i++) {
        const struct ledger_marked *mark = &marks->items[i];
        struct sha256 key = sha256_of(mark->key, strlen(mark->key));
        const struct asked *asked = find_asked(repairs, &key, mark->mark_ms);
        if (asked && !is_overdue(asked, view))
            now[count++] = *asked;
        else
            list->items[list->count++] = (struct due){.mark = mark};
    }
    free(repairs->asked);
    repairs->asked = now;
    repairs->asked_count = count;
    qsort(list->items, list->count, sizeof *list->items, by_key);
}

/* Appends those that are not under way. What is no longer marked is forgotten. */
static bool append_marks(struct steward *steward, struct repairs *repairs,
                         const struct feed_view *view, const struct marks *marks, int64_t *appended,
                         struct err *err)
{
    struct due_list list = {.items = calloc(marks->count + 1, sizeof(struct due))};
    enum worklog_append outcome = APPEND_OK;
    bool ok = true;
    sort_out(repairs, view, marks, calloc(MOST_ASKED, sizeof *repairs->asked), &list);
    if (list.count > 0)
        ask_sizes(steward, &list);
    for (size_t i = 0; ok && i < list.count; i++) {
        const struct ledger_marked *mark = list.items[i].mark;
        size_t size = strlen(mark->key);
        ok = append(repairs, marks->topic, view, &list.items[i], &outcome, err);
        if (!ok || outcome != APPEND_OK)
            break;
        repairs->asked[repairs->asked_count++] =
            (struct asked){.key = sha256_of(mark->key, size),
                           .mark_ms = mark->mark_ms,
                           .at_ms = clock_mono_ms(),
                           .partition = record_partition(mark->key, size, view->partitions),
                           .end = -1};
        (*appended)++;
    }
    free(list.items);
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
    marks.topic = topic;
    bool ok = append_marks(steward, repairs, view, &marks, &appended, err);
    free(topic);
    repairs->waiting = marks.count;
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
