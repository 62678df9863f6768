/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/stats.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

/* Reasons of processes that are gone are kept for so long. */
#define REASON_OLD_MS 3600000

struct number {
    const char *name;
    size_t offset;
};

#define NUMBER(field)                                                                              \
    {                                                                                              \
#field, offsetof(struct version_stats, field)                                              \
    }

static const struct number sums[] = {
    NUMBER(embedded), NUMBER(reused), NUMBER(unchanged),  NUMBER(applied),
    NUMBER(stale),    NUMBER(erased), NUMBER(characters), NUMBER(set_aside),
};

static const struct number gauges[] = {
    NUMBER(documents),  NUMBER(chunks),      NUMBER(quarantined),      NUMBER(pending),
    NUMBER(repairs),    NUMBER(lag_items),   NUMBER(lag_ms),           NUMBER(eta_s),
    NUMBER(generation), NUMBER(sweep_state), NUMBER(sweep_candidates), NUMBER(sweep_documents),
    NUMBER(skipped),
};

static const struct number audits[] = {
    NUMBER(audited_ms),      NUMBER(audit_documents), NUMBER(audit_missing),  NUMBER(audit_stale),
    NUMBER(audit_left_over), NUMBER(audit_unsettled), NUMBER(audit_repaired),
};

static const struct number in_step = NUMBER(in_step_ms);
static const struct number applied = NUMBER(applied_ms);

static int64_t *number_of(struct version_stats *stats, const struct number *number)
{
    return (int64_t *)(void *)((char *)stats + number->offset);
}

static int64_t number_in(const struct version_stats *stats, const struct number *number)
{
    int64_t value;
    memcpy(&value, (const char *)stats + number->offset, sizeof value);
    return value;
}

static struct doc_ref ref_of(const char *name, const char *build_id, char *id, size_t size)
{
    snprintf(id, size, "%s/%s", name, build_id);
    return (struct doc_ref){.collection = "stats", .id = id, .counter = "rev"};
}

static void read_numbers(const bson_t *doc, const struct number *numbers, size_t count,
                         struct version_stats *out)
{
    for (size_t i = 0; i < count; i++) {
        bson_iter_t iter;
        if (bson_iter_init_find(&iter, doc, numbers[i].name))
            *number_of(out, &numbers[i]) = bson_iter_as_int64(&iter);
    }
}

/* --- reasons ---------------------------------------------------------------------------------- */

static void prefix_of(const char *name, const char *build_id, char *prefix, size_t size)
{
    snprintf(prefix, size, "%s/%s/", name, build_id);
}

static int64_t said_ms(const bson_t *doc)
{
    bson_iter_t iter;
    bool dated = bson_iter_init_find(&iter, doc, "at") && BSON_ITER_HOLDS_DATE_TIME(&iter);
    return dated ? bson_iter_date_time(&iter) : 0;
}

/* The first that some process says, by their names. */
static bool load_reason(struct docstore *docs, const char *name, const char *build_id,
                        char **reason, struct err *err)
{
    char prefix[256];
    bson_t **said;
    size_t count;
    prefix_of(name, build_id, prefix, sizeof prefix);
    if (!docstore_list(docs, "stats", prefix, &said, &count, err))
        return false;
    for (size_t i = 0; i < count && !*reason; i++) {
        bson_iter_t iter;
        if (clock_wall_ms() - said_ms(said[i]) < STATS_REASON_FRESH_MS &&
            bson_iter_init_find(&iter, said[i], "reason") && BSON_ITER_HOLDS_UTF8(&iter))
            *reason = strdup(bson_iter_utf8(&iter, NULL));
    }
    docstore_list_free(said, count);
    return true;
}

/* Documents whose `_id` begins like that, and that were written before. */
static bool forget(struct docstore *docs, const char *prefix, int64_t before_ms, struct err *err)
{
    bson_t **said;
    size_t count;
    bool ok = true;
    if (!docstore_list(docs, "stats", prefix, &said, &count, err))
        return false;
    for (size_t i = 0; ok && i < count; i++) {
        bson_iter_t iter;
        if (said_ms(said[i]) >= before_ms || !bson_iter_init_find(&iter, said[i], "_id") ||
            !BSON_ITER_HOLDS_UTF8(&iter))
            continue;
        struct doc_ref ref = {
            .collection = "stats", .id = bson_iter_utf8(&iter, NULL), .counter = "rev"};
        ok = docstore_remove(docs, &ref, err);
    }
    docstore_list_free(said, count);
    return ok;
}

/* wide: whose, of what, and what */
bool stats_say(struct docstore *docs, const char *name, const char *build_id, const char *holder,
               const char *reason, struct err *err)
{
    char prefix[256], id[512];
    prefix_of(name, build_id, prefix, sizeof prefix);
    snprintf(id, sizeof id, "%s%s", prefix, holder);
    struct doc_ref ref = {.collection = "stats", .id = id, .counter = "rev"};
    if (!reason)
        return docstore_remove(docs, &ref, err);
    bson_t set = BSON_INITIALIZER;
    bson_append_utf8(&set, "reason", -1, reason, -1);
    bson_append_date_time(&set, "at", -1, clock_wall_ms());
    bool ok = docstore_note(docs, &ref, &set, NULL, err);
    bson_destroy(&set);
    return ok && forget(docs, prefix, clock_wall_ms() - REASON_OLD_MS, err);
}

/* --- figures ---------------------------------------------------------------------------------- */

bool stats_load(struct docstore *docs, const char *name, const char *build_id, bool *found,
                struct version_stats *out, struct err *err)
{
    char id[256];
    struct doc_ref ref = ref_of(name, build_id, id, sizeof id);
    bson_t *doc = NULL;
    bson_iter_t iter;
    *out = (struct version_stats){.lag_items = -1, .lag_ms = -1, .eta_s = -1, .rate = -1};
    if (!load_reason(docs, name, build_id, &out->reason, err))
        return false;
    if (!docstore_load(docs, &ref, &doc, NULL, err)) {
        stats_fini(out);
        return false;
    }
    *found = doc != NULL;
    if (!doc)
        return true;
    read_numbers(doc, sums, ARRAY_LEN(sums), out);
    read_numbers(doc, gauges, ARRAY_LEN(gauges), out);
    read_numbers(doc, audits, ARRAY_LEN(audits), out);
    read_numbers(doc, &in_step, 1, out);
    read_numbers(doc, &applied, 1, out);
    if (bson_iter_init_find(&iter, doc, "progress"))
        out->progress = bson_iter_as_double(&iter);
    if (bson_iter_init_find(&iter, doc, "doing") && BSON_ITER_HOLDS_UTF8(&iter))
        out->doing = strdup(bson_iter_utf8(&iter, NULL));
    if (bson_iter_init_find(&iter, doc, "rate"))
        out->rate = bson_iter_as_double(&iter);
    if (bson_iter_init_find(&iter, doc, "at") && BSON_ITER_HOLDS_DATE_TIME(&iter))
        out->at_ms = bson_iter_date_time(&iter);
    bson_destroy(doc);
    return true;
}

bool stats_add(struct docstore *docs, const char *name, const char *build_id,
               const struct version_stats *delta, struct err *err)
{
    char id[256];
    struct doc_ref ref = ref_of(name, build_id, id, sizeof id);
    bson_t add = BSON_INITIALIZER;
    for (size_t i = 0; i < ARRAY_LEN(sums); i++) {
        if (number_in(delta, &sums[i]) != 0)
            bson_append_int64(&add, sums[i].name, -1, number_in(delta, &sums[i]));
    }
    bson_t set = BSON_INITIALIZER;
    if (delta->applied_ms > 0)
        bson_append_int64(&set, applied.name, -1, delta->applied_ms);
    bool noted = bson_empty(&add) && bson_empty(&set);
    bool ok = noted || docstore_note(docs, &ref, bson_empty(&set) ? NULL : &set,
                                     bson_empty(&add) ? NULL : &add, err);
    bson_destroy(&add);
    bson_destroy(&set);
    return ok;
}

static void append_numbers(bson_t *set, const struct number *numbers, size_t count,
                           const struct version_stats *now)
{
    for (size_t i = 0; i < count; i++)
        bson_append_int64(set, numbers[i].name, -1, number_in(now, &numbers[i]));
}

/* Destroys `set`. */
static bool note(struct docstore *docs, const char *name, const char *build_id, bson_t *set,
                 struct err *err)
{
    char id[256];
    struct doc_ref ref = ref_of(name, build_id, id, sizeof id);
    bool ok = docstore_note(docs, &ref, set, NULL, err);
    bson_destroy(set);
    return ok;
}

bool stats_set(struct docstore *docs, const char *name, const char *build_id,
               const struct version_stats *now, struct err *err)
{
    bson_t set = BSON_INITIALIZER;
    append_numbers(&set, gauges, ARRAY_LEN(gauges), now);
    if (now->in_step_ms > 0) /* else what stands there stays */
        bson_append_int64(&set, "in_step_ms", -1, now->in_step_ms);
    bson_append_double(&set, "progress", -1, now->progress);
    if (now->doing)
        bson_append_utf8(&set, "doing", -1, now->doing, -1);
    else
        bson_append_null(&set, "doing", -1);
    bson_append_double(&set, "rate", -1, now->rate);
    bson_append_date_time(&set, "at", -1, clock_wall_ms());
    return note(docs, name, build_id, &set, err);
}

bool stats_set_audit(struct docstore *docs, const char *name, const char *build_id,
                     const struct version_stats *now, struct err *err)
{
    bson_t set = BSON_INITIALIZER;
    append_numbers(&set, audits, ARRAY_LEN(audits), now);
    return note(docs, name, build_id, &set, err);
}

bool stats_set_capture(struct docstore *docs, const char *capture_id,
                       const struct capture_stats *stats, struct err *err)
{
    struct doc_ref ref = {.collection = "stats", .id = capture_id, .counter = "rev"};
    bson_t set = BSON_INITIALIZER;
    bson_append_int64(&set, "lag_ms", -1, stats->lag_ms);
    bson_append_int64(&set, "oplog_window_s", -1, stats->oplog_window_s);
    bson_append_int64(&set, "headroom_s", -1, stats->headroom_s);
    bson_append_bool(&set, "headroom_low", -1, stats->headroom_low);
    bson_append_date_time(&set, "at", -1, clock_wall_ms());
    bool ok = docstore_note(docs, &ref, &set, NULL, err);
    bson_destroy(&set);
    return ok;
}

static int64_t int_in(const bson_t *doc, const char *name)
{
    bson_iter_t iter;
    return bson_iter_init_find(&iter, doc, name) ? bson_iter_as_int64(&iter) : -1;
}

bool stats_load_capture(struct docstore *docs, const char *capture_id, struct capture_stats *out,
                        struct err *err)
{
    struct doc_ref ref = {.collection = "stats", .id = capture_id, .counter = "rev"};
    bson_t *doc = NULL;
    bson_iter_t iter;
    *out = CAPTURE_STATS_UNKNOWN;
    if (!docstore_load(docs, &ref, &doc, NULL, err))
        return false;
    if (doc && bson_iter_init_find(&iter, doc, "at") && BSON_ITER_HOLDS_DATE_TIME(&iter) &&
        clock_wall_ms() - bson_iter_date_time(&iter) < STATS_FRESH_MS)
        *out = (struct capture_stats){.lag_ms = int_in(doc, "lag_ms"),
                                      .oplog_window_s = int_in(doc, "oplog_window_s"),
                                      .headroom_s = int_in(doc, "headroom_s"),
                                      .headroom_low = int_in(doc, "headroom_low") == 1};
    bson_destroy(doc);
    return true;
}

void stats_fini(struct version_stats *stats)
{
    free(stats->doing);
    free(stats->reason);
    stats->doing = stats->reason = NULL;
}

bool stats_remove(struct docstore *docs, const char *name, const char *build_id, struct err *err)
{
    char prefix[256];
    snprintf(prefix, sizeof prefix, "%s/%s", name, build_id);
    return forget(docs, prefix, INT64_MAX, err);
}
