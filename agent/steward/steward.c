/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/steward/steward.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/capture/capture.h"
#include "agent/capture/guard.h"
#include "agent/steward/steward_state.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"

#define LOOK_MS 1000
/* While a version is being brought forward the next step is not kept waiting. */
#define STEP_MS 10
/* While documents that it misses are being read again. */
#define MERGE_MS 200
/* While its lane waits for its place in the work log. */
#define SEEDING_MS 50
#define FAILED_MS 300
/* So long it is waited for such a place as if it came at once. */
#define SEEDS_SOON_MS 60000
/* Until the end of a verification is seen. */
#define VERIFYING_MS 100

bool steward_save(struct steward *steward, struct err *err)
{
    enum doc_swap outcome;
    if (!registry_save(steward->agent->docs, &steward->registry, &outcome, err))
        return false;
    steward->overtaken = steward->overtaken || outcome != DOC_WON;
    return true;
}

bool steward_leads(const struct steward *steward)
{
    if (steward->guard)
        return guard_is_leader(steward->guard);
    return steward->capture && capture_is_leader(steward->capture);
}

bool steward_still_leads(void *context)
{
    return steward_leads(context);
}

bool steward_open_store(struct steward *steward, const struct config_store *store,
                        struct sink **out, struct err *err)
{
    if (!lane_open_sink(store, steward->agent->limiters, out, err))
        return false;
    sink_set_guard(*out, steward_still_leads, steward);
    return sink_connect(*out, err);
}

struct lane *steward_lane(struct steward *steward, const char *build_id)
{
    for (size_t i = 0; i < steward->lane_count; i++) {
        if (strcmp(steward->lanes[i]->build_id, build_id) == 0)
            return steward->lanes[i];
    }
    return NULL;
}

bool steward_open_ledger(struct steward *steward, const struct version *version,
                         struct ledger **out, struct err *err)
{
    struct ledger_options options = {.pool = steward->agent->pool,
                                     .database = steward->agent->config->mongodb.state_database,
                                     .name = steward->agent->config->name,
                                     .build_id = version->build_id,
                                     .owner = steward->agent->holder};
    return ledger_open(&options, out, err);
}

static int64_t take(_Atomic int64_t *counter, int64_t *noted)
{
    int64_t now = atomic_load(counter), delta = now - *noted;
    *noted = now;
    return delta;
}

/* False when the state database did not take it: it is noted again with the next look. */
static bool note_sums(struct steward *steward, struct lane *lane)
{
    struct lane_stats *stats = &lane->stats;
    struct version_stats *noted = &lane->noted;
    struct version_stats before = *noted;
    struct version_stats delta = {.embedded = take(&stats->embedded, &noted->embedded),
                                  .reused = take(&stats->reused, &noted->reused),
                                  .unchanged = take(&stats->unchanged, &noted->unchanged),
                                  .applied = take(&stats->applied, &noted->applied),
                                  .stale = take(&stats->stale, &noted->stale),
                                  .set_aside = take(&stats->quarantined, &noted->set_aside),
                                  .erased = take(&stats->erased, &noted->erased),
                                  .characters = take(&stats->characters, &noted->characters)};
    int64_t applied_ms = atomic_load(&stats->applied_ms);
    if (applied_ms != noted->applied_ms)
        delta.applied_ms = noted->applied_ms = applied_ms;
    struct err err;
    bool ok =
        stats_add(steward->agent->docs, steward->agent->config->name, lane->build_id, &delta, &err);
    if (!ok)
        *noted = before;
    return ok;
}

/* Everything the source held when this process started is applied. */
static bool is_in_step(const struct steward *steward, const struct version *version,
                       const struct feed_view *view)
{
    /* with the work log memory a token is durable only once what lies before it is applied; another
     * process' log cannot be looked into */
    bool memory = steward->agent->config->worklog.driver == WORKLOG_MEMORY;
    bool applied = view->lag_items == 0 || (memory && view->lag_items < 0);
    return version->state > VERSION_BACKFILLING && view->snapshot_done && applied &&
           version->swept_gen >= view->gen && steward->started_ms > 0 &&
           !registry_find_wish(&steward->registry, WISH_COMPARE, version->label, view->gen) &&
           view->token_ms > steward->started_ms + 1000;
}

/* What only the process that leads does about a version that is fed. */
static bool lead_version(struct steward *steward, struct version *version, struct feed_view *view,
                         bool *busy, struct err *err)
{
    bool gap, sweeps = false;
    if (!gaps_find(steward, version, view, &gap, err))
        return false;
    if (!gap && !steward->overtaken && !sweep_step(steward, version, view, &sweeps, err))
        return false;
    *busy = *busy || sweeps;
    if (!gap && !steward->overtaken && !upkeep_step(steward, version, view, err))
        return false;
    if (!steward_refresh_counts(steward, version, view, err))
        return false;
    steward_note_gauges(steward, version, view);
    return true;
}

/* The file names a version. */
static bool is_asked_for(const struct steward *steward)
{
    return steward->family->config->version.label != NULL;
}

static bool has_no_repairs(struct steward *steward, const struct version *version)
{
    const struct steward_note *note = steward_note_of(steward, version->build_id);
    return note->counted_ms > 0 && note->counts.repairs == 0;
}

static bool look_at_versions(struct steward *steward, bool leads, bool *busy, struct err *err)
{
    /* a family's first version becomes active by itself; one that is not made yet is not in step */
    bool in_step = registry_in_state(&steward->registry, VERSION_ACTIVE) != NULL ||
                   (steward->registry.version_count == 0 && !is_asked_for(steward));
    steward->asks = steward->merges = false;
    for (size_t i = 0; i < steward->registry.version_count && !steward->overtaken; i++) {
        struct version *version = &steward->registry.versions[i];
        CLEANUP(feed_view_fini) struct feed_view view = {0};
        in_step =
            in_step && (version->state >= VERSION_BACKFILLING || replace_waits(steward, version));
        if (!version_is_fed(version))
            continue;
        if (!steward_view(steward, version, &view, err))
            return false;
        steward->merges = steward->merges || (leads && view.unmerged && !version->paused);
        if (leads && !lead_version(steward, version, &view, busy, err))
            return false;
        in_step = in_step && is_in_step(steward, version, &view) &&
                  (!leads || version->paused || has_no_repairs(steward, version));
        steward->asks = steward->asks || (view.gen > 0 && version->stopped_gen == view.gen);
    }
    atomic_store(&steward->in_step, in_step && !steward->overtaken);
    return true;
}

static bool is_wanted(const struct steward *steward, const struct version *version)
{
    bool leads = steward->agent->config->worklog.driver != WORKLOG_MEMORY || steward_leads(steward);
    return leads && version_is_fed(version) && version->seeded && version->collection_id;
}

static const struct version *version_of(const struct steward *steward, const struct lane *lane)
{
    for (size_t i = 0; i < steward->registry.version_count; i++) {
        if (strcmp(steward->registry.versions[i].build_id, lane->build_id) == 0)
            return &steward->registry.versions[i];
    }
    return NULL;
}

/* False when the state database could not be told. */
static bool stop_lane(struct steward *steward, size_t index, int64_t until_ms)
{
    struct lane *lane = steward->lanes[index];
    lane_request_stop(lane);
    lane_join(lane, until_ms);
    bool told = note_sums(steward, lane);
    steward_say(steward, lane->build_id, NULL);
    lane_free(lane);
    steward->lanes[index] = steward->lanes[--steward->lane_count];
    return told;
}

static bool start_lane(struct steward *steward, const struct version *version, struct err *err)
{
    CLEANUP(feed_view_fini) struct feed_view view = {0};
    bool memory =
        steward->agent->config->worklog.driver == WORKLOG_MEMORY; /* it reads for itself */
    if (!steward_view(steward, version, &view, err) ||
        (!memory && !feed_is_of(&view, steward->family, err)))
        return false;
    struct lane_options options = {.agent = steward->agent,
                                   .family = steward->family,
                                   .version = version,
                                   .registry = &steward->registry,
                                   .gen = view.gen};
    struct lane *lane;
    if (!lane_start(&options, &lane, err))
        return false;
    steward->lanes = realloc(steward->lanes, (steward->lane_count + 1) * sizeof *steward->lanes);
    steward->lanes[steward->lane_count++] = lane;
    return true;
}

/* Starts those that are missing. One that cannot be started keeps none of the others from it; the
 * first error is told, and before it none that the process is ready in spite of. */
static bool start_lanes(struct steward *steward, struct err *err)
{
    bool ok = true;
    for (size_t i = 0; i < steward->registry.version_count && !agent_stopping(steward->agent);
         i++) {
        const struct version *version = &steward->registry.versions[i];
        struct err refused;
        if (!is_wanted(steward, version) || steward_lane(steward, version->build_id) ||
            start_lane(steward, version, &refused))
            continue;
        steward_say(steward, version->build_id, refused.text);
        if (ok || feed_is_of_another(err))
            *err = refused;
        ok = false;
    }
    return ok;
}

/* What keeps a lane from being started was said when that was tried. */
static void say_reasons(struct steward *steward)
{
    for (size_t i = 0; i < steward->registry.version_count; i++) {
        const struct version *version = &steward->registry.versions[i];
        struct lane *lane = steward_lane(steward, version->build_id);
        char *reason = lane ? lane_reason(lane) : NULL;
        if (lane || !is_wanted(steward, version))
            steward_say(steward, version->build_id, reason);
        free(reason);
    }
}

static bool reconcile_lanes(struct steward *steward, struct err *err)
{
    for (size_t i = steward->lane_count; i-- > 0;) {
        const struct version *version = version_of(steward, steward->lanes[i]);
        if (!version || !is_wanted(steward, version))
            (void)stop_lane(steward, i, clock_mono_ms() + LANE_GRACE_MS);
        else if (atomic_exchange(&steward->lanes[i]->paused, version->paused) != version->paused)
            log_info("lane.paused", LOG_STR("family", steward->family->name),
                     LOG_STR("version", version->label), LOG_BOOL("paused", version->paused));
    }
    for (size_t i = 0; i < steward->lane_count; i++)
        lane_see_versions(steward->lanes[i], &steward->registry);
    return start_lanes(steward, err);
}

/* What it knows and is at may be long past when this process leads again. */
static void leave_lead(struct steward *steward)
{
    verification_forget(steward);
    audits_leave(steward);
    sweeps_free(steward);
    upkeeps_free(steward);
    for (size_t i = 0; i < steward->note_count; i++) {
        struct steward_note *note = &steward->notes[i];
        steward_count_again(note);
        note->behind_since_ms = note->unknown_since_ms = 0;
        note->lagging_since_ms = note->audited_ms = 0;
        note->knows_noted = false;
    }
}

/* One look. *moved: there is more to do at once. */
static bool look(struct steward *steward, bool *moved, struct err *err)
{
    const struct config *config = steward->agent->config;
    arena_reset(steward->arena);
    steward->overtaken = false;
    registry_fini(&steward->registry);
    if (!registry_load(steward->agent->docs, config->name, steward->family->name,
                       &steward->registry, err)) {
        verification_settle(steward); /* a report gets no older than a look */
        return false;
    }
    if (steward->started_ms == 0) /* "as of the start" goes by MongoDB's clock, as the tokens do */
        steward->started_ms = steward->registry.clock_ms;
    int64_t rev = steward->registry.rev;
    bool leads = steward_leads(steward);
    struct err refused;
    bool advanced = !leads || versions_advance(steward, &refused);
    verification_settle(steward);
    /* what cannot be brought forward does not keep what is there from being fed, nor a lane that cannot
     * be started the others from being looked at */
    if (!leads)
        leave_lead(steward);
    if ((config->roles & ROLE_WORK) && !steward->overtaken && !reconcile_lanes(steward, err)) {
        if (advanced || !feed_is_of_another(err))
            refused = *err;
        advanced = false;
    }
    for (size_t i = 0; i < steward->lane_count; i++)
        (void)note_sums(steward, steward->lanes[i]);
    limiters_note_rates(steward->agent->limiters, false);
    say_reasons(steward);
    bool busy = false;
    if ((leads || steward->agent->once) && !look_at_versions(steward, leads, &busy, err))
        return false;
    if (leads && !steward->overtaken &&
        (!wishes_carry_out(steward, err) || !audits_step(steward, err)))
        return false;
    if (leads && !steward->overtaken)
        embeddings_step(steward);
    *moved = busy || steward->overtaken || steward->registry.rev != rev;
    if (!advanced)
        *err = refused;
    return advanced;
}

/* Of one that has a collection the lane starts once it has a place in the capture's generation. */
static bool seeds(const struct steward *steward)
{
    bool any = false;
    for (size_t i = 0; steward_leads(steward) && i < steward->registry.version_count; i++) {
        const struct version *version = &steward->registry.versions[i];
        any = any || (version_is_fed(version) && version->collection_id && !version->seeded);
    }
    return any;
}

/* A capture may be away for hours. */
static bool seeds_soon(struct steward *steward)
{
    int64_t now_ms = clock_mono_ms();
    if (!seeds(steward)) {
        steward->seeds_since_ms = 0;
        return false;
    }
    if (steward->seeds_since_ms == 0)
        steward->seeds_since_ms = now_ms;
    return now_ms - steward->seeds_since_ms < SEEDS_SOON_MS;
}

/* Until the next look: soon while there is something to bring forward, also after the first failures,
 * which are mostly servers that have just started. */
static int64_t pause_after(struct steward *steward, bool ok, bool moved, int *failures)
{
    bool seeding = seeds_soon(steward);
    *failures = ok ? 0 : *failures + 1;
    if (!ok)
        return *failures < 5 ? FAILED_MS : LOOK_MS;
    bool begins = steward->registry.version_count == 0 && is_asked_for(steward);
    if (moved || begins)
        return STEP_MS;
    if (verification_is_running(steward))
        return VERIFYING_MS;
    if (seeding)
        return SEEDING_MS;
    return steward->merges ? MERGE_MS : LOOK_MS;
}

/* While the file of this process is not the leader's it does all that it may. Were it unready for that, a
 * restart of one process after the other would keep the leader for ever, which waits for this one. */
static void tell_health(struct steward *steward, const char *component, const struct err *err)
{
    if (err && feed_is_of_another(err))
        health_note(steward->agent->health, component, err->text);
    else
        health_set(steward->agent->health, component, err ? err->text : NULL);
}

static void *run(void *argument)
{
    struct steward *steward = argument;
    char component[128];
    snprintf(component, sizeof component, "family %s", steward->family->name);
    log_set_thread(component);
    int failures = 0;
    while (!agent_stopping(steward->agent)) {
        struct err err;
        bool moved = false;
        bool ok = look(steward, &moved, &err);
        atomic_store(&steward->refused, steward->asks || (!ok && err.action == ERR_FATAL));
        tell_health(steward, component, ok ? NULL : &err);
        agent_sleep(steward->agent, pause_after(steward, ok, moved, &failures));
    }
    audits_leave(steward);
    for (size_t i = 0; i < steward->lane_count; i++)
        lane_request_stop(steward->lanes[i]);
    int64_t until_ms = clock_mono_ms() + LANE_GRACE_MS; /* for all of them together */
    bool told = steward->lane_count > 0;
    while (steward->lane_count > 0)
        told = stop_lane(steward, steward->lane_count - 1, until_ms) && told;
    if (told) /* a server that is away would be waited for once more, and a stop has its deadline */
        limiters_note_rates(steward->agent->limiters, true);
    steward_forget_notes(steward);
    return NULL;
}

struct steward *steward_start(const struct steward_options *options)
{
    struct steward *steward = calloc(1, sizeof *steward);
    steward->agent = options->agent;
    steward->family = options->family;
    steward->capture = options->capture;
    steward->guard = options->guard;
    steward->arena = arena_new(64 * MIB);
    pthread_create(&steward->thread, NULL, run, steward);
    return steward;
}

bool steward_is_refused(const struct steward *steward)
{
    return atomic_load(&steward->refused);
}

bool steward_in_step(const struct steward *steward)
{
    return atomic_load(&steward->in_step);
}

void steward_join(struct steward *steward)
{
    pthread_join(steward->thread, NULL);
    sweeps_free(steward);
    upkeeps_free(steward);
    verification_forget(steward);
    audits_join(steward);
    registry_fini(&steward->registry);
    arena_free(steward->arena);
    free(steward->lanes);
    free(steward);
}
