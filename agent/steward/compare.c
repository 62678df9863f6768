/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/steward/compare.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/steward/upkeep.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "cdc/scan_ask.h"

/* Rows of the ledger, and so keys of one question to the source. */
#define PAGE_ROWS 1000
/* A step every two seconds: a quarter of the time, so that the source and the ledger hardly notice. */
#define STEP_MS 500
/* Until it is counted anew while a person is asked: a twentieth of the time, at most. */
#define COUNT_AGAIN_MS 30000
#define COUNT_SHARE 20
#define REASON "compare"

/* The place is in memory: a leader that comes anew begins from the first row, which does no harm. */
enum compare_state {
    COMPARE_WAITING,  /* for the lane to catch up */
    COMPARE_COUNTING, /* what is gone */
    COMPARE_STOPPED,  /* it is too much: a person is asked */
    COMPARE_MARKING,
    COMPARE_DONE, /* to be written down */
};

struct compare {
    int64_t gen; /* of the wish; 0: there is none */
    enum compare_state state;
    int64_t target[WORKLOG_MAX_PARTITIONS]; /* the log's end when the wish was found */
    bool has_target;
    char *after;                 /* the last row that was looked at */
    struct ledger_behind counts; /* rows of documents, and those that are gone from the source */
    struct ledger_behind seen;   /* of this pass so far */
    int64_t began_ms;            /* monotonic: the pass */
    int64_t counted_ms;
};

static void begin_pass(struct compare *compare, enum compare_state state)
{
    free(compare->after);
    compare->after = NULL;
    compare->seen = (struct ledger_behind){0};
    compare->began_ms = clock_mono_ms();
    compare->state = state;
}

static void begin(struct compare *compare, int64_t gen)
{
    begin_pass(compare, COMPARE_WAITING);
    compare->gen = gen;
    compare->has_target = false;
    compare->counts = (struct ledger_behind){0};
}

void compare_free(struct compare *compare)
{
    if (compare)
        free(compare->after);
    free(compare);
}

bool compare_look(const struct steward *steward, const char *build_id, enum sweep_state *state,
                  struct ledger_behind *counts)
{
    static const enum sweep_state states[] = {
        [COMPARE_WAITING] = SWEEP_WAITING, [COMPARE_COUNTING] = SWEEP_WAITING,
        [COMPARE_STOPPED] = SWEEP_STOPPED, [COMPARE_MARKING] = SWEEP_RUNNING,
        [COMPARE_DONE] = SWEEP_DONE,
    };
    const struct upkeep *upkeep = steward->upkeeps;
    while (upkeep && strcmp(upkeep->build_id, build_id) != 0)
        upkeep = upkeep->next;
    if (!upkeep || !upkeep->compare || upkeep->compare->gen == 0)
        return false;
    *state = states[upkeep->compare->state];
    *counts = upkeep->compare->counts;
    return true;
}

/* --- what is gone ----------------------------------------------------------------------------- */

static void note_there(void *context, size_t index, const bson_t *doc)
{
    bool *there = context;
    (void)doc;
    there[index] = true;
}

/* A key that cannot be looked up stays what it is. */
static void note_unknown(void *context, size_t index)
{
    bool *there = context;
    there[index] = true;
}

/* Which of the keys, sorted, the source has. */
static bool ask_source(struct steward *steward, const char *const *keys, size_t count, bool *there,
                       struct err *err)
{
    const struct config_family *family = steward->family->config;
    struct scan_options options = {.pool = steward->agent->pool,
                                   .database = family->source.database,
                                   .collection = family->source.collection,
                                   .projection = shape_projection(steward->family->shape)};
    struct scan_question question = {.options = &options,
                                     .shape = steward->family->shape,
                                     .keys = keys,
                                     .count = count,
                                     .found = note_there,
                                     .unknown = note_unknown,
                                     .context = there};
    memset(there, 0, count * sizeof *there);
    return scan_ask(&question, err);
}

/* The rows of the ledger from `after` on. *end: there are none any more. */
static bool look_at_page(struct steward *steward, struct upkeep *upkeep, bool *end, struct err *err)
{
    struct compare *compare = upkeep->compare;
    CLEANUP(arena_freep) struct arena *arena = arena_new(LIMIT_ARENA_SIZE);
    struct ledger_behind_page rows = {.gen = INT64_MAX, /* of every generation */
                                      .after = compare->after ? compare->after : "",
                                      .limit = PAGE_ROWS,
                                      .arena = arena};
    if (!ledger_scan_behind(upkeep->ledger, &rows, err))
        return false;
    *end = rows.last == NULL;
    if (*end)
        return true;
    bool *there = arena_alloc_array(arena, rows.count + 1, sizeof *there);
    if (!ask_source(steward, rows.keys, rows.count, there, err))
        return false;
    const char **gone = arena_alloc_array(arena, rows.count + 1, sizeof *gone);
    size_t count = 0;
    for (size_t i = 0; i < rows.count; i++) {
        if (!there[i])
            gone[count++] = rows.keys[i];
    }
    if (compare->state == COMPARE_MARKING && !ledger_mark(upkeep->ledger, gone, count, REASON, err))
        return false;
    compare->seen.documents += (int64_t)rows.count;
    compare->seen.behind += (int64_t)count;
    free(compare->after);
    compare->after = strdup(rows.last);
    return true;
}

static bool look_at_some(struct steward *steward, struct upkeep *upkeep, bool *end, struct err *err)
{
    int64_t until_ms = clock_mono_ms() + STEP_MS;
    *end = false;
    while (!*end && clock_mono_ms() < until_ms && !agent_stopping(steward->agent)) {
        if (!look_at_page(steward, upkeep, end, err))
            return false;
    }
    return true;
}

/* --- the steps -------------------------------------------------------------------------------- */

/* What was in the log when the wish was found is applied: until then the ledger has documents that are only
 * not deleted yet. */
static bool has_caught_up(struct compare *compare, const struct feed_view *view)
{
    for (int p = 0; !compare->has_target && p < view->partitions; p++)
        compare->target[p] = view->positions[p].high;
    compare->has_target = true;
    for (int p = 0; p < view->partitions; p++) {
        if (view->positions[p].committed < compare->target[p])
            return false;
    }
    return true;
}

static bool is_confirmed(const struct steward *steward, const struct version *version, int64_t gen)
{
    return registry_find_wish(&steward->registry, WISH_SWEEP, version->label, gen) != NULL;
}

static bool stop(struct steward *steward, struct version *version, struct compare *compare,
                 struct err *err)
{
    CLEANUP(buf_fini) struct buf reason = BUF_INIT(KIB);
    double ratio = steward->family->config->sweep_max_ratio;
    bool first = version->stopped_gen != compare->gen;
    compare->state = COMPARE_STOPPED;
    sweep_explain(&compare->counts, ratio, steward->family->name, &reason);
    if (!first && sweep_is_told(version, buf_str(&reason)))
        return true;
    version->stopped_gen = compare->gen;
    free(version->reason);
    version->reason = strdup(buf_str(&reason));
    if (!steward_save(steward, err))
        return false;
    if (first && !steward->overtaken)
        log_warn("compare.stopped", LOG_STR("family", steward->family->name),
                 LOG_STR("version", version->label), LOG_INT("gen", compare->gen),
                 LOG_INT("candidates", compare->counts.behind),
                 LOG_INT("documents", compare->counts.documents),
                 LOG_STR("reason", version->reason));
    return true;
}

static void drop_wishes(struct registry *registry, const struct version *version, int64_t gen)
{
    for (size_t i = registry->wish_count; i-- > 0;) {
        const struct registry_wish *wish = &registry->wishes[i];
        bool is_of_it =
            strcmp(wish->kind, WISH_COMPARE) == 0 || strcmp(wish->kind, WISH_SWEEP) == 0;
        if (is_of_it && wish->label && strcmp(wish->label, version->label) == 0 && wish->gen <= gen)
            registry_drop_wish(registry, i);
    }
}

/* The marks are in the ledger: from now on they are as safe there as any. */
static bool finish(struct steward *steward, struct version *version, struct compare *compare,
                   struct err *err)
{
    char what[] = "compared", reason[120];
    if (compare->state != COMPARE_DONE)
        log_info("compare.done", LOG_STR("family", steward->family->name),
                 LOG_STR("version", version->label), LOG_INT("gen", compare->gen),
                 LOG_INT("documents", compare->counts.documents),
                 LOG_INT("gone", compare->counts.behind));
    compare->state = COMPARE_DONE;
    /* the marks are counted before anything is called in step */
    steward_count_again(steward_note_of(steward, version->build_id));
    snprintf(reason, sizeof reason,
             "generation %" PRId64 ": %" PRId64 " of %" PRId64
             " documents are gone from the source",
             compare->gen, compare->counts.behind, compare->counts.documents);
    struct registry_event event = {
        .what = what, .label = version->label, .by = steward->agent->holder, .reason = reason};
    registry_note(&steward->registry, &event);
    drop_wishes(&steward->registry, version, compare->gen);
    version->stopped_gen = 0;
    if (sweep_is_reason(version->reason))
        version_set_text(&version->reason, NULL);
    return steward_save(steward, err);
}

static bool end_pass(struct steward *steward, struct version *version, struct compare *compare,
                     struct err *err)
{
    int64_t limit = sweep_limit(&compare->seen, steward->family->config->sweep_max_ratio);
    compare->counts = compare->seen;
    compare->counted_ms = clock_mono_ms();
    if (compare->state == COMPARE_MARKING || compare->seen.behind == 0)
        return finish(steward, version, compare, err);
    if (compare->seen.behind > limit && !is_confirmed(steward, version, compare->gen))
        return stop(steward, version, compare, err);
    begin_pass(compare, COMPARE_MARKING);
    return true;
}

static bool is_to_be_counted_again(const struct compare *compare)
{
    int64_t pause_ms = (compare->counted_ms - compare->began_ms) * COUNT_SHARE;
    return clock_mono_ms() - compare->counted_ms >
           (pause_ms > COUNT_AGAIN_MS ? pause_ms : COUNT_AGAIN_MS);
}

static bool go_on(struct steward *steward, struct version *version, struct upkeep *upkeep,
                  const struct feed_view *view, struct err *err)
{
    struct compare *compare = upkeep->compare;
    bool end;
    if (compare->state == COMPARE_DONE)
        return finish(steward, version, compare, err); /* it could not be written down */
    if (compare->state == COMPARE_WAITING) {
        if (!has_caught_up(compare, view))
            return true;
        begin_pass(compare, COMPARE_COUNTING);
    }
    if (compare->state == COMPARE_STOPPED) {
        if (is_confirmed(steward, version, compare->gen))
            begin_pass(compare, COMPARE_MARKING);
        else if (is_to_be_counted_again(compare))
            begin_pass(compare, COMPARE_COUNTING);
        else
            return true;
    }
    return look_at_some(steward, upkeep, &end, err) &&
           (!end || end_pass(steward, version, compare, err));
}

static const struct registry_wish *wish_of(const struct registry *registry,
                                           const struct version *version)
{
    for (size_t i = 0; i < registry->wish_count; i++) {
        const struct registry_wish *wish = &registry->wishes[i];
        if (strcmp(wish->kind, WISH_COMPARE) == 0 && wish->label &&
            strcmp(wish->label, version->label) == 0)
            return wish;
    }
    return NULL;
}

/* Where the whole collection is gone, its documents are not deletes. */
static bool source_exists(struct steward *steward, bool *exists, struct err *err)
{
    const struct config_family *family = steward->family->config;
    struct scan_options options = {.pool = steward->agent->pool,
                                   .database = family->source.database,
                                   .collection = family->source.collection};
    return scan_exists(&options, exists, err);
}

bool compare_step(struct steward *steward, struct version *version, struct upkeep *upkeep,
                  const struct feed_view *view, struct err *err)
{
    const struct registry_wish *wish = wish_of(&steward->registry, version);
    bool exists;
    if (!wish) {
        compare_free(upkeep->compare);
        upkeep->compare = NULL;
        return true;
    }
    /* a sweep comes first; it makes whole what an older generation has missed */
    if (version->swept_gen < view->gen || steward->overtaken)
        return true;
    if (wish->gen < view->gen) {
        drop_wishes(&steward->registry, version, view->gen - 1);
        return steward_save(steward, err);
    }
    if (!upkeep->compare)
        upkeep->compare = calloc(1, sizeof *upkeep->compare);
    if (upkeep->compare->gen != wish->gen)
        begin(upkeep->compare, wish->gen);
    if (!source_exists(steward, &exists, err))
        return false;
    return !exists || go_on(steward, version, upkeep, view, err);
}
