/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/steward/sweep.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/steward/steward_state.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"

/* Rows of the ledger in one page. */
#define PAGE_ROWS 1000
/* One step: the family's other business is looked at in between. */
#define STEP_MS 500
#define POLL_MS 100
/* How often a sweep that waits for a person is counted anew. */
#define COUNT_AGAIN_MS 30000

struct sweep {
    struct sweep *next;
    char build_id[64];
    int64_t gen;
    enum sweep_state state;
    struct ledger_behind counts;
    int64_t counted_ms; /* monotonic; 0: not counted yet */
    struct worklog_writer *writer;
    char *after; /* the last key that was appended */
    bool listed; /* all are appended */
    bool failed; /* one was not delivered */
    int64_t appended;
};

const char *sweep_state_name(enum sweep_state state)
{
    static const char *const names[] = {"none", "waiting", "running", "stopped", "done"};
    return (size_t)state < ARRAY_LEN(names) ? names[state] : names[0];
}

int64_t sweep_limit(const struct ledger_behind *counts, double max_ratio)
{
    /* 0.2 of 50 is 10, whatever the nearest binary fraction says */
    return (int64_t)((double)counts->documents * max_ratio + 1e-6);
}

void sweep_explain(const struct ledger_behind *counts, double max_ratio, const char *family,
                   struct buf *out)
{
    buf_printf(out,
               SWEEP_REASON "%" PRId64 " of %" PRId64 " documents that the source no longer has, "
                            "more than sweep.max_ratio %g: look, then `vectail sweep %s --confirm`",
               counts->behind, counts->documents, max_ratio, family);
}

bool sweep_is_told(const struct version *version, const char *reason)
{
    return version->reason &&
           (strcmp(version->reason, reason) == 0 || alias_is_reason(version->reason));
}

bool sweep_is_reason(const char *reason)
{
    return reason && strncmp(reason, SWEEP_REASON, strlen(SWEEP_REASON)) == 0;
}

/* --- one version's sweep ---------------------------------------------------------------------- */

static struct sweep *find(const struct steward *steward, const char *build_id)
{
    struct sweep *sweep = steward->sweeps;
    while (sweep && strcmp(sweep->build_id, build_id) != 0)
        sweep = sweep->next;
    return sweep;
}

enum sweep_state sweep_look(const struct steward *steward, const char *build_id,
                            struct ledger_behind *counts)
{
    const struct sweep *sweep = find(steward, build_id);
    *counts = sweep ? sweep->counts : (struct ledger_behind){0};
    return sweep ? sweep->state : SWEEP_NONE;
}

static struct sweep *make(struct steward *steward, const char *build_id)
{
    struct sweep *sweep = calloc(1, sizeof *sweep);
    snprintf(sweep->build_id, sizeof sweep->build_id, "%s", build_id);
    sweep->next = steward->sweeps;
    steward->sweeps = sweep;
    return sweep;
}

/* From the beginning: what was appended before is appended once more, which does no harm. */
static void begin_again(struct sweep *sweep, int64_t gen)
{
    worklog_close_writer(sweep->writer);
    sweep->writer = NULL;
    free(sweep->after);
    sweep->after = NULL;
    sweep->listed = sweep->failed = false;
    sweep->appended = 0;
    sweep->counted_ms = 0;
    sweep->counts = (struct ledger_behind){0};
    sweep->gen = gen;
    sweep->state = SWEEP_WAITING;
}

void sweeps_free(struct steward *steward)
{
    while (steward->sweeps) {
        struct sweep *sweep = steward->sweeps;
        steward->sweeps = sweep->next;
        begin_again(sweep, 0);
        free(sweep);
    }
}

static bool count(struct steward *steward, const struct version *version, struct sweep *sweep,
                  struct err *err)
{
    CLEANUP(ledger_closep) struct ledger *ledger = NULL;
    bool again =
        sweep->state == SWEEP_STOPPED && clock_mono_ms() - sweep->counted_ms > COUNT_AGAIN_MS;
    if (sweep->counted_ms > 0 && !again)
        return true;
    if (!steward_open_ledger(steward, version, &ledger, err) ||
        !ledger_count_behind(ledger, sweep->gen, &sweep->counts, err))
        return false;
    sweep->counted_ms = clock_mono_ms();
    return true;
}

/* --- stopped ---------------------------------------------------------------------------------- */

static bool stop(struct steward *steward, struct version *version, struct sweep *sweep,
                 struct err *err)
{
    CLEANUP(buf_fini) struct buf reason = BUF_INIT(KIB);
    double ratio = steward->family->config->sweep_max_ratio;
    sweep->state = SWEEP_STOPPED;
    sweep_explain(&sweep->counts, ratio, steward->family->name, &reason);
    if (version->stopped_gen == sweep->gen && sweep_is_told(version, buf_str(&reason)))
        return true;
    bool first = version->stopped_gen != sweep->gen;
    version->stopped_gen = sweep->gen;
    free(version->reason);
    version->reason = strdup(buf_str(&reason));
    if (!steward_save(steward, err))
        return false;
    if (first && !steward->overtaken)
        log_warn("sweep.stopped", LOG_STR("family", steward->family->name),
                 LOG_STR("version", version->label), LOG_INT("gen", sweep->gen),
                 LOG_INT("candidates", sweep->counts.behind),
                 LOG_INT("documents", sweep->counts.documents), LOG_STR("reason", version->reason));
    return true;
}

/* --- running ---------------------------------------------------------------------------------- */

static void delivered(void *context, uint64_t ticket, const struct err *failed)
{
    struct sweep *sweep = context;
    (void)ticket;
    sweep->failed = sweep->failed || failed;
}

static bool open_writer(struct steward *steward, struct sweep *sweep, struct err *err)
{
    struct worklog_writer_options options = {.delivered = delivered, .context = sweep};
    return sweep->writer || worklog_open_writer(steward->agent->log, &options, &sweep->writer, err);
}

/* Appends a re-read at the generation's own place in time: whatever the stream has brought of the
 * key since is newer, and makes it stale. *full: there is no room just now. */
static bool append(struct sweep *sweep, const char *topic, const struct feed_view *view,
                   const char *key, bool *full, struct err *err)
{
    struct record record = {.key = key,
                            .key_size = strlen(key),
                            .value = REREAD_VALUE,
                            .value_size = REREAD_VALUE_SIZE,
                            .op = ITEM_REREAD,
                            .gen = view->gen,
                            .ver = view->t0};
    int partition = record_partition(key, record.key_size, view->partitions);
    enum worklog_append outcome;
    if (!worklog_append(sweep->writer, topic, partition, &record, 0, &outcome, err))
        return false;
    *full = outcome == APPEND_FULL;
    if (outcome == APPEND_TOO_LARGE)
        return err_set(err, ERR_RETRY, ERR_STATE, 0, "a re-read was not taken by the work log");
    if (*full)
        return worklog_poll(sweep->writer, POLL_MS, err);
    free(sweep->after);
    sweep->after = strdup(key);
    sweep->appended++;
    return true;
}

static bool append_page(struct sweep *sweep, struct ledger *ledger, const char *topic,
                        const struct feed_view *view, struct err *err)
{
    CLEANUP(arena_freep) struct arena *arena = arena_new(LIMIT_ARENA_SIZE);
    struct ledger_behind_page page = {.gen = view->gen,
                                      .after = sweep->after ? sweep->after : "",
                                      .limit = PAGE_ROWS,
                                      .arena = arena};
    page.after = arena_strdup(arena, page.after);
    if (!ledger_scan_behind(ledger, &page, err))
        return false;
    sweep->listed = page.last == NULL;
    bool full = false;
    for (size_t i = 0; i < page.count && !full; i++) {
        if (!append(sweep, topic, view, page.keys[i], &full, err))
            return false;
    }
    if (!full && page.last) {
        free(sweep->after);
        sweep->after = strdup(page.last);
    }
    return worklog_poll(sweep->writer, 0, err);
}

static bool append_some(struct steward *steward, const struct version *version, struct sweep *sweep,
                        const struct feed_view *view, struct err *err)
{
    CLEANUP(ledger_closep) struct ledger *ledger = NULL;
    int64_t until_ms = clock_mono_ms() + STEP_MS;
    char *topic = lane_topic(steward->agent->config, steward->family, version);
    bool ok =
        open_writer(steward, sweep, err) && steward_open_ledger(steward, version, &ledger, err);
    while (ok && !sweep->listed && clock_mono_ms() < until_ms && !agent_stopping(steward->agent))
        ok = append_page(sweep, ledger, topic, view, err);
    while (ok && sweep->listed && worklog_pending(sweep->writer) > 0 &&
           clock_mono_ms() < until_ms && !agent_stopping(steward->agent))
        ok = worklog_poll(sweep->writer, POLL_MS, err);
    free(topic);
    if (ok && sweep->failed)
        ok = err_set(err, ERR_RETRY, ERR_STATE, 0, "a re-read was not delivered");
    return ok || err_prefix(err, "sweep of version %s", version->label);
}

static void drop_confirmations(struct registry *registry, const struct version *version)
{
    for (size_t i = registry->wish_count; i-- > 0;) {
        const struct registry_wish *wish = &registry->wishes[i];
        if (strcmp(wish->kind, WISH_SWEEP) == 0 && wish->label &&
            strcmp(wish->label, version->label) == 0 && wish->gen <= version->swept_gen)
            registry_drop_wish(registry, i);
    }
}

/* All are in the log: from now on they are as safe there as any item. */
static bool finish(struct steward *steward, struct version *version, struct sweep *sweep,
                   struct err *err)
{
    char what[32] = "swept", reason[64];
    if (sweep->state != SWEEP_DONE)
        log_info("sweep.done", LOG_STR("family", steward->family->name),
                 LOG_STR("version", version->label), LOG_INT("gen", sweep->gen),
                 LOG_INT("rows", sweep->appended));
    sweep->state = SWEEP_DONE;
    worklog_close_writer(sweep->writer);
    sweep->writer = NULL;
    version->swept_gen = sweep->gen;
    version->stopped_gen = 0;
    if (sweep_is_reason(version->reason))
        version_set_text(&version->reason, NULL);
    const struct registry_wish *wish =
        registry_find_wish(&steward->registry, WISH_SWEEP, version->label, sweep->gen);
    snprintf(reason, sizeof reason, "generation %" PRId64 ": %" PRId64 " documents read again",
             sweep->gen, sweep->appended);
    struct registry_event event = {.what = what,
                                   .label = version->label,
                                   .by = wish ? wish->by : steward->agent->holder,
                                   .reason = reason};
    registry_note(&steward->registry, &event);
    drop_confirmations(&steward->registry, version);
    return steward_save(steward, err);
}

static bool run(struct steward *steward, struct version *version, struct sweep *sweep,
                const struct feed_view *view, struct err *err)
{
    sweep->state = SWEEP_RUNNING;
    if (sweep->counts.behind == 0)
        sweep->listed = true;
    else if (!append_some(steward, version, sweep, view, err))
        return false;
    bool landed = sweep->listed && (!sweep->writer || worklog_pending(sweep->writer) == 0);
    return !landed || finish(steward, version, sweep, err);
}

bool sweep_is_fenced(const struct version *version, int64_t gen, bool memory)
{
    return version->seeded && (memory || version->seeded_gen >= gen);
}

/* The lane has what the generation's snapshot appended. */
static bool is_due(const struct steward *steward, const struct version *version,
                   const struct feed_view *view)
{
    bool memory = steward->agent->config->worklog.driver == WORKLOG_MEMORY;
    return view->state == FAMILY_STREAMING && sweep_is_fenced(version, view->gen, memory) &&
           version->state > VERSION_BACKFILLING && feed_is_filled(steward, view) && view->t0;
}

bool sweep_step(struct steward *steward, struct version *version, const struct feed_view *view,
                bool *busy, struct err *err)
{
    struct sweep *sweep = find(steward, version->build_id);
    *busy = false;
    if (!sweep)
        sweep = make(steward, version->build_id);
    if (!view->known || version->swept_gen >= view->gen) {
        if (sweep->state != SWEEP_DONE)
            sweep->state = SWEEP_NONE;
        return true;
    }
    if (sweep->gen != view->gen)
        begin_again(sweep, view->gen);
    if (sweep->state == SWEEP_DONE)
        return finish(steward, version, sweep, err); /* it could not be written down */
    if (!is_due(steward, version, view)) {
        begin_again(sweep, view->gen);
        return true;
    }
    if (!count(steward, version, sweep, err))
        return false;
    int64_t limit = sweep_limit(&sweep->counts, steward->family->config->sweep_max_ratio);
    bool confirmed =
        registry_find_wish(&steward->registry, WISH_SWEEP, version->label, view->gen) != NULL;
    if (sweep->counts.behind > limit && !confirmed)
        return stop(steward, version, sweep, err);
    bool ok = run(steward, version, sweep, view, err);
    if (!ok)
        begin_again(sweep, view->gen);
    *busy = ok && sweep->state == SWEEP_RUNNING;
    return ok;
}
