/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/steward/gaps.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/capture/capture.h"
#include "agent/status/health.h"
#include "agent/steward/steward_state.h"
#include "base/clock.h"
#include "base/log.h"

/* A capture that was asked begins a generation before its next record, and writes it down. */
#define ASK_AGAIN_MS 15000
#define GAP_AGE_MS 500

bool gap_is_none(const struct worklog_position *position)
{
    return position->committed >= 0 && position->committed >= position->low &&
           position->committed <= position->high;
}

bool gap_is_mendable(const struct gap_view *view)
{
    /* begun in this generation, and now beyond the end: the log is another, and what it has lost of this
     * generation is in no ledger */
    bool lost = view->seeded_gen >= view->gen && view->position.committed > view->position.high;
    return !lost && view->gen > view->swept_gen && view->start >= 0 &&
           view->start >= view->position.low && view->start <= view->position.high;
}

void gap_describe(int partition, const struct worklog_position *position, char *out, size_t size)
{
    if (position->committed < 0)
        snprintf(out, size, "partition %d: no offset of the group is there any more", partition);
    else
        snprintf(out, size,
                 "partition %d: offset %" PRId64 " is gone, the work log holds %" PRId64
                 " to %" PRId64,
                 partition, position->committed, position->low, position->high);
}

/* The registry's strings are its own; here they are only lent to be copied. */
static char *lend(const char *text)
{
    return (char *)(uintptr_t)text;
}

static bool add_gap(struct registry *registry, void *context)
{
    return registry_add_wish(registry, context);
}

bool gap_wish_for(struct agent *agent, const struct gap_wish *wish, struct err *err)
{
    struct registry_wish added = {.kind = lend(WISH_GAP),
                                  .label = lend(wish->label),
                                  .gen = wish->gen,
                                  .by = agent->holder,
                                  .reason = lend(wish->reason)};
    struct registry_update update = {
        .name = agent->config->name, .family = wish->family, .change = add_gap, .context = &added};
    return registry_apply(agent->docs, &update, err);
}

/* --- the leader's part ------------------------------------------------------------------------ */

/* Once in a while for as long as the generation has not begun: a capture that has just come to lead
 * has not heard of it. */
static void ask_capture(struct steward *steward, struct lane *lane, int64_t gen, const char *reason)
{
    struct generation_asked *asked = lane ? &lane->asked : &steward->asked;
    struct capture *capture = lane ? lane->capture : steward->capture;
    bool waits =
        asked->gen == gen && asked->at_ms > 0 && clock_mono_ms() - asked->at_ms < ASK_AGAIN_MS;
    if (!capture || waits)
        return;
    asked->gen = gen;
    asked->at_ms = clock_mono_ms();
    capture_request_generation(capture, steward->family->name, gen, reason);
}

void gaps_mend_topic(struct steward *steward, const struct feed_view *view)
{
    struct err err;
    char away[HEALTH_REASON_SIZE];
    bool memory = steward->agent->config->worklog.driver == WORKLOG_MEMORY;
    if (memory || !steward_leads(steward))
        return;
    if (health_reason(steward->agent->health, "kafka", away))
        return; /* it would be waited for, also by a stop */
    struct worklog_topic *topic = calloc(1, sizeof *topic);
    bool ok = worklog_ensure(steward->agent->log, steward->family->topic, topic, &err);
    bool other = ok && topic->partitions != view->partitions;
    free(topic);
    if (!ok)
        log_debug("gap.topic.failed", LOG_ERR(&err));
    else if (other)
        ask_capture(steward, NULL, view->gen, "the topic has another number of partitions");
}

bool gaps_find(struct steward *steward, struct version *version, const struct feed_view *view,
               bool *gap, struct err *err)
{
    *gap = false;
    bool knows = view->known && view->has_positions && version->seeded && view->start_offsets;
    for (int p = 0; knows && p < view->partitions; p++) {
        struct gap_view at = {.gen = view->gen,
                              .swept_gen = version->swept_gen,
                              .seeded_gen = version->seeded_gen,
                              .start = view->start_offsets[p],
                              .position = view->positions[p]};
        if (gap_is_none(&at.position))
            continue;
        *gap = true;
        if (gap_is_mendable(&at))
            continue; /* the lane does that by itself */
        char reason[160];
        gap_describe(p, &at.position, reason, sizeof reason);
        struct registry_wish wish = {.kind = lend(WISH_GAP),
                                     .label = version->label,
                                     .gen = view->gen,
                                     .by = steward->agent->holder,
                                     .reason = reason};
        return !registry_add_wish(&steward->registry, &wish) || steward_save(steward, err);
    }
    return true;
}

static struct version *version_of_wish(struct steward *steward, const struct registry_wish *wish)
{
    struct version *version = registry_version(&steward->registry, wish->label);
    return version && version_is_fed(version) ? version : NULL;
}

static void note(struct steward *steward, const struct registry_wish *wish, const char *what)
{
    registry_note(&steward->registry, &(struct registry_event){.what = lend(what),
                                                               .label = wish->label,
                                                               .by = wish->by,
                                                               .reason = wish->reason});
}

bool gap_is_fresh(const struct registry *registry, const struct registry_wish *wish)
{
    int64_t age_ms = registry_now_ms(registry) - wish->at_ms;
    return age_ms >= 0 && age_ms < GAP_AGE_MS; /* from the future: of another MongoDB's clock */
}

/* What a wish for a generation comes to at this look. *over: it is to be removed. */
static bool carry_out(struct steward *steward, const struct registry_wish *wish, bool *over,
                      struct err *err)
{
    bool memory = steward->agent->config->worklog.driver == WORKLOG_MEMORY;
    bool resume = strcmp(wish->kind, WISH_RESUME) == 0;
    const struct version *version = version_of_wish(steward, wish);
    CLEANUP(feed_view_fini) struct feed_view view = {0};
    *over = !version && (memory || (wish->label && !resume));
    if (*over)
        return true;
    struct feed_place place =
        feed_place_of(steward->agent, steward->family, version ? version->build_id : NULL);
    if (!feed_view_load(&place, &view, err))
        return false;
    if (view.known && view.gen > wish->gen) {
        note(steward, wish, resume ? "resumed" : "gap");
        *over = true;
        return true;
    }
    /* a source that is gone has no documents: only a person says that it is to be read again */
    if (!view.known ||
        (!resume && (feed_is_stopped(&view) || gap_is_fresh(&steward->registry, wish))))
        return true;
    ask_capture(steward, memory ? steward_lane(steward, version->build_id) : NULL, wish->gen,
                wish->reason ? wish->reason : wish->kind);
    return true;
}

static bool is_swept(struct steward *steward, const struct registry_wish *wish)
{
    const struct version *version = version_of_wish(steward, wish);
    return !version || version->swept_gen >= wish->gen;
}

bool wishes_carry_out(struct steward *steward, struct err *err)
{
    bool dropped = false;
    for (size_t i = steward->registry.wish_count; i-- > 0;) {
        const struct registry_wish *wish = &steward->registry.wishes[i];
        bool over = false;
        if (strcmp(wish->kind, WISH_SWEEP) == 0)
            over = is_swept(steward, wish) &&
                   !registry_find_wish(&steward->registry, WISH_COMPARE, wish->label, wish->gen);
        else if (strcmp(wish->kind, WISH_COMPARE) == 0)
            over = !version_of_wish(steward, wish);
        else if (strcmp(wish->kind, WISH_GAP) == 0 || strcmp(wish->kind, WISH_RESUME) == 0) {
            if (!carry_out(steward, wish, &over, err))
                return false;
        }
        if (over)
            registry_drop_wish(&steward->registry, i);
        dropped = dropped || over;
    }
    return !dropped || steward_save(steward, err);
}
