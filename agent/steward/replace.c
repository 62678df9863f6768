/* SPDX-License-Identifier: Apache-2.0 */
/* strategy: delete-upfront. A version is not built beside what is served but takes its place while it is
 * empty, and what was served is deleted: readers meet an index that fills, and there is no way back. For
 * comparison, and for stores that have no room for both. Only a person's cutover with a reason does that.
 *
 * No two models ever share a collection. The version stays `planned` until the wish stands; then its own
 * collection is made, the flip is that of any cutover (promote.c, and rename.c where readers open a fixed
 * name), and in the write that ends it the old version is retired and a wish to drop it is added, which is
 * carried out when no process can be writing to it any more (drop.c). So each step is one of a cutover or of a
 * drop, written down before it is taken. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/steward/steward_state.h"
#include "agent/steward/transition.h"
#include "base/clock.h"
#include "base/log.h"

/* Until what is served is verified again after its gates failed, doubled with each failure. */
#define FAILED_PAUSE_MS 2000

static const struct registry_wish *find_wish(const struct registry *registry, const char *label)
{
    for (size_t i = 0; i < registry->wish_count; i++) {
        const struct registry_wish *wish = &registry->wishes[i];
        struct wish_args args;
        struct err err;
        if (!wish->id || !wish->label || strcmp(wish->kind, WISH_CUTOVER) != 0 ||
            strcmp(wish->label, label) != 0 || !wish_args_decode(wish, &args, &err))
            continue;
        bool asked = args.empty_live;
        wish_args_fini(&args);
        if (asked)
            return wish;
    }
    return NULL;
}

static bool is_to_replace(const struct steward *steward, const struct version *version)
{
    return steward->family->config->strategy == STRATEGY_DELETE_UPFRONT &&
           version->state <= VERSION_BACKFILLING &&
           registry_in_state(&steward->registry, VERSION_ACTIVE);
}

bool replace_waits(const struct steward *steward, const struct version *version)
{
    return is_to_replace(steward, version) && version->state < VERSION_BACKFILLING &&
           !find_wish(&steward->registry, version->label);
}

bool replace_is_due(const struct steward *steward, const struct version *version)
{
    return is_to_replace(steward, version) && find_wish(&steward->registry, version->label);
}

/* A wish that will be refused in this very look must not have begun what it asks for. */
bool replace_may_begin(struct steward *steward, const struct version *version, bool *may,
                       struct err *err)
{
    const struct registry_wish *wish = find_wish(&steward->registry, version->label);
    struct alias alias;
    char reason[400];
    *may = !is_to_replace(steward, version);
    if (*may || !wish || steward->registry.step.kind)
        return true;
    if (!steward_load_alias(steward, &alias, err))
        return false;
    *may = transition_check(&steward->registry, wish, &alias, reason, sizeof reason);
    alias_fini(&alias);
    return true;
}

void replace_note_wait(struct steward *steward, struct version *version)
{
    char reason[400];
    snprintf(reason, sizeof reason,
             "strategy: delete-upfront: it waits for `vectail cutover %.80s %.80s "
             "--yes-empty-the-live-collection --reason TEXT`, which serves it while it is empty "
             "and deletes "
             "what is served now",
             steward->family->name, version->label);
    version_note_reason(steward, version, reason);
}

bool replace_carry_out(struct steward *steward, const struct registry_wish *wish, struct err *err)
{
    struct version *version = registry_version(&steward->registry, wish->label);
    struct promotion promotion = {
        .to = version, .why = PROMOTE_REPLACE, .wish = wish->id, .forced = true};
    if (steward->family->config->strategy != STRATEGY_DELETE_UPFRONT)
        return request_refuse(
            steward, wish, "the agent that leads has strategy: shadow for this family in its file",
            err);
    if (version->state != VERSION_BACKFILLING || !version->seeded)
        return true; /* its collection is being made, or where it begins is not there yet */
    return promote_begin(steward, &promotion, err);
}

static const struct registry_wish *wish_of_step(const struct registry *registry)
{
    for (size_t i = 0; registry->step.wish && i < registry->wish_count; i++) {
        const struct registry_wish *wish = &registry->wishes[i];
        if (wish->id && strcmp(wish->id, registry->step.wish) == 0)
            return wish;
    }
    return NULL;
}

const char *replace_reason(const struct version *version)
{
    return version->filling ? "it took the place of what was served while it was empty, and is "
                              "being filled: answers are not complete"
                            : NULL;
}

void replace_note_done(struct steward *steward, struct version *old, struct version *to)
{
    const struct registry_wish *asked = wish_of_step(&steward->registry);
    int64_t now_ms = steward_now_ms(steward);
    char id[17], kind[] = WISH_DROP;
    random_hex(id, 8);
    char *args = wish_args_encode(kind, &(struct wish_args){.build_id = old->build_id});
    log_warn("version.emptied", LOG_STR("family", steward->family->name),
             LOG_STR("version", old->label), LOG_STR("for", to->label),
             LOG_STR("by", asked && asked->by ? asked->by : ""),
             LOG_STR("reason", asked && asked->reason ? asked->reason : ""));
    old->state = VERSION_RETIRED;
    old->state_ms = now_ms;
    old->filling = false;
    version_set_text(&old->reason, "another version took its place (strategy: delete-upfront)");
    to->filling = true;
    version_set_text(&to->reason, replace_reason(to));
    struct registry_wish drop = {.kind = kind,
                                 .label = old->label,
                                 .id = id,
                                 .args = args,
                                 .by = asked ? asked->by : steward->agent->holder,
                                 .reason = asked ? asked->reason : NULL};
    /* where there is no room for it, `vectail gc` removes what is retired */
    (void)registry_add_wish(&steward->registry, &drop);
    free(args);
}

static bool end_fill(struct steward *steward, struct version *version,
                     const struct verify_report *report, struct err *err)
{
    struct answer answer = {
        .what = "filled", .label = version->label, .by = steward->agent->holder};
    version->filling = false;
    version->failures = version->mends = 0;
    version->verified_ms = steward_now_ms(steward);
    version->verified_epoch = report->epoch;
    version_set_text(&version->reason, NULL);
    wish_give_answer(&steward->registry, &answer);
    log_info("version.filled", LOG_STR("family", steward->family->name),
             LOG_STR("version", version->label));
    return version_save(steward, err);
}

static bool note_failed(struct steward *steward, struct version *version,
                        const struct verify_report *report, struct err *err)
{
    char reason[400];
    int64_t shift = version->failures < 8 ? version->failures : 8;
    verify_report_reason(report, reason, sizeof reason);
    steward_note_of(steward, version->build_id)->verify_after_ms =
        clock_mono_ms() + (FAILED_PAUSE_MS << shift);
    version->failures++;
    version->mends += report->mended > 0; /* what is marked is mended while it is waited */
    version_set_text(&version->reason, reason);
    return version_save(steward, err);
}

bool replace_fill(struct steward *steward, struct version *version, struct err *err)
{
    CLEANUP(feed_view_fini) struct feed_view view = {0};
    struct verify_report report;
    enum in_step in_step;
    char behind[300];
    if (steward->registry.step.kind)
        return true; /* another may be about to take its place */
    if (!steward_view(steward, version, &view, err) ||
        !version_is_in_step(steward, version, &in_step, behind, err))
        return false;
    /* what was verified before it fell behind says nothing any more, and keeps others from being verified */
    if (version_is_behind_for_long(steward, version, in_step))
        verification_leave(steward, version);
    if (!feed_is_filled(steward, &view) || in_step != IN_STEP_YES ||
        clock_mono_ms() < steward_note_of(steward, version->build_id)->verify_after_ms)
        return true;
    enum verification state = verification_step(steward, version, false, &report, err);
    if (state == VERIFICATION_RUNNING || state == VERIFICATION_ERROR)
        return state == VERIFICATION_RUNNING;
    version_note_proof(version, &report);
    return state == VERIFICATION_PASSED ? end_fill(steward, version, &report, err)
                                        : note_failed(steward, version, &report, err);
}
