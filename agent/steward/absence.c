/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/lane/lane.h"
#include "agent/steward/compare.h"
#include "agent/steward/feed.h"
#include "base/clock.h"
#include "base/log.h"
#include "state/registry.h"

#define MOST_MARGIN_MS 86400000
/* How long what was read of the state holds, and a wish that was written is not written again. */
#define KNOWN_MS 5000
#define NOTED_MS 60000
#define RETRY_MS 200

/* What this process knows of one build. Lives as long as the process: a lane that is stopped and started
 * goes on where it was. */
struct absence {
    struct absence *next;
    pthread_mutex_t lock;
    char build_id[64];
    int64_t expected[WORKLOG_MAX_PARTITIONS]; /* next offset; -1: unknown */
    int64_t
        last_ms[WORKLOG_MAX_PARTITIONS]; /* when the last record was appended; 0: none was read */
    int64_t since_ms; /* made, or in step with the whole log, whichever was later */
    int64_t clock_ms; /* MongoDB's clock, by which that is dated, as it was read */
    int64_t wall_ms;  /* the machine's own then */
    int64_t known_ms; /* monotonic: when all that was read; 0: never */
    int64_t noted_ms; /* monotonic; 0: never */
};

static pthread_mutex_t all_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct absence *all;

static struct absence *absence_of(const char *build_id)
{
    pthread_mutex_lock(&all_mutex);
    struct absence *absence = all;
    while (absence && strcmp(absence->build_id, build_id) != 0)
        absence = absence->next;
    if (!absence) {
        absence = calloc(1, sizeof *absence);
        snprintf(absence->build_id, sizeof absence->build_id, "%s", build_id);
        pthread_mutex_init(&absence->lock, NULL);
        for (int p = 0; p < WORKLOG_MAX_PARTITIONS; p++)
            absence->expected[p] = -1;
        absence->next = all;
        all = absence;
    }
    pthread_mutex_unlock(&all_mutex);
    return absence;
}

int64_t absence_limit_ms(int64_t retention_ms)
{
    int64_t margin_ms = retention_ms / 10;
    return retention_ms - (margin_ms < MOST_MARGIN_MS ? margin_ms : MOST_MARGIN_MS);
}

/* Only what was appended since can have been forgotten unread, and only if it is old enough. Then an old
 * record tells, for a delete behind it is as old; and so does a hole in front of it, in which there may
 * have been deletes. */
bool absence_is_possible(const struct absence_view *view)
{
    if (view->now_ms - view->since_ms <= view->limit_ms)
        return false;
    if (view->broker_ms > 0 && view->now_ms - view->broker_ms > view->limit_ms)
        return true;
    return view->expected < 0 || view->offset > view->expected;
}

/* --- what is written down --------------------------------------------------------------------- */

static bool load_since(const struct lane *lane, struct absence *absence, struct err *err)
{
    const struct agent *agent = lane->agent;
    struct version_stats stats;
    struct registry registry;
    bool found;
    if (!stats_load(agent->docs, agent->config->name, lane->build_id, &found, &stats, err))
        return false;
    absence->since_ms = stats.in_step_ms;
    stats_fini(&stats);
    if (!registry_load(agent->docs, agent->config->name, lane->family->name, &registry, err))
        return false;
    absence->clock_ms = registry_now_ms(&registry);
    absence->wall_ms = clock_wall_ms();
    for (size_t i = 0; i < registry.version_count; i++) {
        const struct version *version = &registry.versions[i];
        if (strcmp(version->build_id, lane->build_id) == 0 &&
            version->created_ms > absence->since_ms)
            absence->since_ms = version->created_ms;
    }
    registry_fini(&registry);
    absence->known_ms = clock_mono_ms();
    return true;
}

/* What came last may have been given up, and come again: where the group stands counts, if that lies
 * before it. Without an answer it is unknown. */
static int64_t expected_of(const struct lane *lane, const struct absence *absence, int partition)
{
    struct feed_view *view = calloc(1, sizeof *view);
    struct feed_place place = feed_place_of(lane->agent, lane->family, lane->build_id);
    struct err err;
    int64_t expected = absence->expected[partition];
    bool ok = feed_view_load(&place, view, &err) && view->partitions > partition &&
              worklog_positions(lane->agent->log, lane->topic, lane->group, view->positions,
                                view->partitions, &err);
    int64_t committed = ok ? view->positions[partition].committed : -1;
    feed_view_fini(view);
    free(view);
    return expected < 0 || committed < expected ? committed : expected;
}

static bool add_wish(struct registry *registry, void *context)
{
    return registry_add_wish(registry, context);
}

static bool write_wish(struct lane *lane, int64_t gen, const char *reason, struct err *err)
{
    struct agent *agent = lane->agent;
    char kind[] = WISH_COMPARE;
    char *why = strdup(reason);
    struct registry_wish wish = {
        .kind = kind, .label = lane->label, .gen = gen, .by = agent->holder, .reason = why};
    struct registry_update update = {.name = agent->config->name,
                                     .family = lane->family->name,
                                     .change = add_wish,
                                     .context = &wish};
    bool ok = registry_apply(agent->docs, &update, err);
    free(why);
    if (ok && update.changed)
        log_warn("lane.absent", LOG_STR("family", lane->family->name),
                 LOG_STR("version", lane->label), LOG_INT("gen", gen), LOG_STR("reason", reason));
    return ok;
}

/* --- judging a batch -------------------------------------------------------------------------- */

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* MongoDB's clock: how far the machine's own is off does not count. That of a machine that slept went on
 * meanwhile, where the monotonic one stood; and it may have been set back. */
static int64_t now_of(const struct absence *absence)
{
    return absence->clock_ms +
           later(clock_wall_ms() - absence->wall_ms, clock_mono_ms() - absence->known_ms);
}

static bool is_known(const struct absence *absence, int64_t limit_ms)
{
    int64_t holds_ms = limit_ms / 4 < KNOWN_MS ? limit_ms / 4 : KNOWN_MS;
    return absence->known_ms > 0 && now_of(absence) - absence->clock_ms <= holds_ms;
}

static bool look(const struct lane *lane, struct absence *absence,
                 const struct worklog_record *record, bool *possible, struct err *err)
{
    int p = record->partition;
    int64_t limit_ms = absence_limit_ms(lane->agent->config->worklog.retention_ms);
    *possible = false;
    if (absence->known_ms > 0 &&
        now_of(absence) - later(absence->since_ms, absence->last_ms[p]) <= limit_ms)
        return true; /* mostly: nothing is asked */
    if (!is_known(absence, limit_ms) && !load_since(lane, absence, err))
        return false;
    struct absence_view view = {.now_ms = now_of(absence),
                                .limit_ms = limit_ms,
                                .since_ms = later(absence->since_ms, absence->last_ms[p]),
                                .expected = absence->expected[p],
                                .offset = record->offset,
                                .broker_ms = record->broker_ms};
    if (absence_is_possible(&view))
        view.expected = expected_of(lane, absence, p);
    *possible = absence_is_possible(&view);
    return true;
}

static bool judge(struct lane *lane, struct absence *absence, const struct worklog_record *record,
                  struct err *err)
{
    bool possible;
    char reason[200], at[32];
    if (!look(lane, absence, record, &possible, err))
        return false;
    bool is_noted = absence->noted_ms > 0 && clock_mono_ms() - absence->noted_ms < NOTED_MS;
    if (!possible || is_noted)
        return true;
    clock_format(record->broker_ms, at);
    snprintf(reason, sizeof reason,
             "partition %d: offset %" PRId64 " of %s is read only now: deletes may be forgotten",
             record->partition, record->offset, at);
    if (!write_wish(lane, atomic_load(&lane->gen), reason, err))
        return false;
    absence->noted_ms = clock_mono_ms();
    return true;
}

/* Nothing of the batch may be committed before its wish is written, so it is tried until it is. */
static bool judge_until_done(struct lane *lane, struct absence *absence,
                             const struct worklog_record *record, const struct absence_wait *wait)
{
    struct err err;
    while (!judge(lane, absence, record, &err)) {
        log_debug("lane.absent.failed", LOG_ERR(&err));
        if (!wait->waiting(wait->context, &err))
            return false;
        clock_sleep_ms(RETRY_MS);
    }
    return true;
}

bool absence_note(struct lane *lane, const struct worklog_batch *batch,
                  const struct absence_wait *wait)
{
    bool seen[WORKLOG_MAX_PARTITIONS] = {false};
    bool ok = true;
    /* there the log begins anew with each process, at a token whose loss is a gap */
    if (lane->agent->config->worklog.driver == WORKLOG_MEMORY)
        return true;
    struct absence *absence = absence_of(lane->build_id);
    pthread_mutex_lock(&absence->lock);
    for (size_t i = 0; i < batch->count; i++) {
        const struct worklog_record *record = &batch->records[i];
        int p = record->partition;
        if (p < 0 || p >= WORKLOG_MAX_PARTITIONS)
            continue;
        if (!seen[p] && !judge_until_done(lane, absence, record, wait)) {
            ok = false;
            break;
        }
        seen[p] = true;
        absence->expected[p] = record->offset + 1;
        absence->last_ms[p] = later(record->broker_ms, absence->last_ms[p]);
    }
    pthread_mutex_unlock(&absence->lock);
    return ok;
}
