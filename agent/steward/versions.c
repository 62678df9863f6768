/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a version, up to active: each step is written down before it is taken, and is safe to
 * take again. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/steward/steward_state.h"
#include "base/clock.h"
#include "base/crash.h"
#include "base/limits.h"
#include "base/log.h"

/* Until a version that failed its gates is verified again, doubled with each failure. */
#define FAILED_PAUSE_MS 2000
/* A version that is ready, or fills as what is served, may be behind for so long. */
#define BEHIND_MS 15000
/* For so long it is waited for that a version's lag is known. */
#define UNKNOWN_MS 30000
/* So often what a census finds is mended until it passes: what comes again and again has a cause. */
#define MENDS_MOST 3
/* Who asks for what the file says. */

void version_set_text(char **slot, const char *text)
{
    free(*slot);
    *slot = text ? strdup(text) : NULL;
}

bool version_save(struct steward *steward, struct err *err)
{
    enum doc_swap outcome;
    bool ok = registry_save(steward->agent->docs, &steward->registry, &outcome, err);
    steward->overtaken = steward->overtaken || !ok || outcome != DOC_WON;
    if (!ok)
        return false;
    return outcome == DOC_WON ||
           err_set(err, ERR_RETRY, ERR_STATE, 0, "the registry of family %s was changed by another",
                   steward->family->name);
}

void version_note_reason(struct steward *steward, struct version *version, const char *reason)
{
    struct err err;
    if (version->reason && reason && strcmp(version->reason, reason) == 0)
        return;
    version_set_text(&version->reason, reason);
    if (!version_save(steward, &err))
        log_debug("version.reason.failed", LOG_ERR(&err));
}

bool version_enter(struct steward *steward, struct version *version, enum version_state state,
                   struct err *err)
{
    log_info("version.state", LOG_STR("family", steward->family->name),
             LOG_STR("version", version->label),
             LOG_STR("from", version_state_name(version->state)),
             LOG_STR("to", version_state_name(state)));
    version->state = state;
    version->state_ms = steward_now_ms(steward);
    version_set_text(&version->reason, NULL);
    return version_save(steward, err);
}

/* A family's first version has nobody to replace. */
static bool is_first(struct steward *steward)
{
    return !registry_in_state(&steward->registry, VERSION_ACTIVE);
}

/* A leader that has just begun does not know yet: with the work log memory, until its lane runs. */
static bool is_to_be_told_soon(struct steward *steward, const struct version *version,
                               const struct feed_view *view)
{
    struct steward_note *note = steward_note_of(steward, version->build_id);
    int64_t now_ms = clock_mono_ms();
    if (view->lag_items >= 0)
        note->unknown_since_ms = 0;
    else if (note->unknown_since_ms == 0)
        note->unknown_since_ms = now_ms;
    return view->lag_items < 0 && now_ms - note->unknown_since_ms < UNKNOWN_MS;
}

bool version_is_in_step(struct steward *steward, const struct version *version,
                        enum in_step *in_step, char reason[static 300], struct err *err)
{
    CLEANUP(feed_view_fini) struct feed_view view = {0};
    int64_t most = steward->family->config->verify.max_lag_items;
    *in_step = IN_STEP_NO;
    if (!steward_view(steward, version, &view, err))
        return false;
    bool waits = is_to_be_told_soon(steward, version, &view);
    if (version->paused)
        snprintf(reason, 300, "version %s is paused: `vectail resume %s %s`", version->label,
                 steward->family->name, version->label);
    else if (!version->seeded || version->swept_gen < view.gen)
        snprintf(reason, 300, "version %s is not whole: it is being read anew after a gap",
                 version->label);
    else if (waits)
        *in_step = IN_STEP_UNKNOWN;
    else if (view.lag_items < 0)
        snprintf(reason, 300,
                 "how far version %s is behind is not known: `vectail status %s` says what its "
                 "lane waits for",
                 version->label, steward->family->name);
    else if (view.lag_items > most)
        snprintf(reason, 300,
                 "version %s is not in step: %lld items are not applied yet, "
                 "verify.max_lag_items allows %lld",
                 version->label, (long long)view.lag_items, (long long)most);
    else
        *in_step = IN_STEP_YES;
    return true;
}

bool version_is_behind_for_long(struct steward *steward, const struct version *version,
                                enum in_step in_step)
{
    struct steward_note *note = steward_note_of(steward, version->build_id);
    int64_t now_ms = clock_mono_ms();
    if (in_step != IN_STEP_NO)
        note->behind_since_ms = 0;
    else if (note->behind_since_ms == 0)
        note->behind_since_ms = now_ms;
    return in_step == IN_STEP_NO && now_ms - note->behind_since_ms > BEHIND_MS;
}

void version_note_proof(struct version *version, const struct verify_report *report)
{
    for (size_t i = 0; i < report->gate_count; i++) {
        const struct gate_result *gate = &report->gates[i];
        bool of_vectors = gate->name == GATE_COSINE || gate->name == GATE_VECTORS;
        if (of_vectors && !gate->ok)
            version->proven = false;
        else if (gate->name == GATE_COSINE && report->ok && !isnan(gate->value))
            version->proven = true; /* some were compared */
    }
}

bool version_fall_back(struct steward *steward, struct version *version, const char *reason,
                       struct err *err)
{
    version->state = VERSION_CATCHING_UP;
    version->state_ms = steward_now_ms(steward);
    version->verified_epoch = -1;
    version_set_text(&version->reason, reason);
    steward_note_of(steward, version->build_id)->asked_auto = false; /* once it is ready again */
    return version_save(steward, err);
}

/* Since when it keeps up stands in the registry: whoever leads next goes on counting from there. */
static bool note_steady(struct steward *steward, struct version *version, enum in_step in_step,
                        struct err *err)
{
    if (in_step == IN_STEP_UNKNOWN || (in_step == IN_STEP_YES) == (version->steady_ms > 0))
        return true;
    version->steady_ms = in_step == IN_STEP_YES ? steward_now_ms(steward) : 0;
    return version_save(steward, err);
}

/* How long it has to have kept up with what is served: the gate `lag` asks for that. */
static int64_t lag_for(struct steward *steward)
{
    return is_first(steward) ? 0 : steward->family->config->verify.lag_for_ms;
}

static bool is_steady(const struct steward *steward, const struct version *version, int64_t for_ms)
{
    return steward_now_ms(steward) - version->steady_ms >= for_ms;
}

/* After a failed one longer and longer: each reads the whole version. */
static int64_t verify_pause_ms(struct steward *steward, const struct version *version)
{
    int64_t lag_for_ms = lag_for(steward);
    int64_t shift = version->failures < 8 ? version->failures : 8;
    int64_t pause_ms = version->failures > 0 ? (int64_t)FAILED_PAUSE_MS << shift : 0;
    return lag_for_ms > pause_ms ? lag_for_ms : pause_ms;
}

static bool catch_up(struct steward *steward, struct version *version, struct err *err)
{
    enum in_step in_step;
    char reason[300] = "";
    if (!version_is_in_step(steward, version, &in_step, reason, err) ||
        !note_steady(steward, version, in_step, err))
        return false;
    int64_t here_ms = steward_now_ms(steward) - version->state_ms;
    int64_t pause_ms = verify_pause_ms(steward, version);
    if (in_step != IN_STEP_YES || !is_steady(steward, version, pause_ms) ||
        (version->failures > 0 && here_ms < pause_ms))
        return true;
    return version_enter(steward, version, VERSION_VERIFYING, err);
}

static bool is_forced(const struct registry_wish *wish)
{
    struct wish_args args;
    struct err err;
    bool forced = false;
    if (wish_args_decode(wish, &args, &err)) {
        forced = args.force;
        wish_args_fini(&args);
    }
    return forced;
}

/* Whoever asked to verify it gets the answer in the same write; who cuts over whatever the gates say
 * does not wait for them. */
static void answer_verify(struct steward *steward, const struct version *version,
                          const struct verify_report *report, const char *reason)
{
    struct answer answer = {.what = report->ok ? "verified" : "verify",
                            .label = version->label,
                            .by = steward->agent->holder,
                            .reason = report->ok ? NULL : reason,
                            .refused = !report->ok};
    bool asked = false;
    for (size_t i = steward->registry.wish_count; i-- > 0;) {
        const struct registry_wish *wish = &steward->registry.wishes[i];
        bool waits = strcmp(wish->kind, WISH_VERIFY) == 0 ||
                     (!report->ok && strcmp(wish->kind, WISH_CUTOVER) == 0 && !is_forced(wish));
        if (!wish->id || !waits || !wish->label || strcmp(wish->label, version->label) != 0)
            continue;
        asked = true;
        answer.wish = wish->id;
        wish_give_answer(&steward->registry, &answer);
    }
    if (!asked && (report->ok || version->failures == 1))
        wish_give_answer(&steward->registry, &answer);
}

bool version_may_be_mended(const struct version *version)
{
    return (version->state == VERSION_VERIFYING || version->filling) && version->mends < MENDS_MOST;
}

/* Gates that fail because documents or records are missing, and pass when they are there again. */
static bool can_be_mended(const struct verify_report *report)
{
    bool can = report->mended > 0;
    for (size_t i = 0; i < report->gate_count; i++) {
        const struct gate_result *gate = &report->gates[i];
        bool by_census = gate->name == GATE_DOCUMENTS || gate->name == GATE_CHUNKS ||
                         gate->name == GATE_VECTORS || gate->name == GATE_RECALL ||
                         gate->name == GATE_SIZE;
        can = can && (gate->ok || by_census);
    }
    return can;
}

/* What the census found is marked: it fills again until that is mended, and is verified again. */
static bool mend(struct steward *steward, struct version *version,
                 const struct verify_report *report, struct err *err)
{
    char why[400], reason[500];
    verify_report_reason(report, why, sizeof why);
    version->mends++;
    snprintf(reason, sizeof reason, "it is being mended, for the %s time of %d: %s",
             version->mends == 1   ? "first"
             : version->mends == 2 ? "second"
                                   : "last",
             MENDS_MOST, why);
    log_warn("version.mended", LOG_STR("family", steward->family->name),
             LOG_STR("version", version->label), LOG_INT("differences", report->mended),
             LOG_INT("time", version->mends), LOG_STR("reason", why));
    steward_note_of(steward, version->build_id)->mended_ms = clock_mono_ms();
    version->state = VERSION_BACKFILLING;
    version->state_ms = steward_now_ms(steward);
    version->verified_epoch = -1;
    version_set_text(&version->reason, reason);
    return version_save(steward, err);
}

/* By a count that was made since. */
static bool is_mended(struct steward *steward, const struct version *version)
{
    const struct steward_note *note = steward_note_of(steward, version->build_id);
    return version->mends == 0 ||
           (note->counted.began_ms > note->mended_ms && note->counts.repairs == 0);
}

static bool verify(struct steward *steward, struct version *version, struct err *err)
{
    struct verify_report report;
    char reason[400] = "";
    enum verification state = verification_step(steward, version, false, &report, err);
    if (state == VERIFICATION_RUNNING || state == VERIFICATION_ERROR)
        return state == VERIFICATION_RUNNING;
    verify_report_reason(&report, reason, sizeof reason);
    bool mends = !report.ok && can_be_mended(&report);
    version->failures = report.ok ? 0 : mends ? version->failures : version->failures + 1;
    version_note_proof(version, &report);
    if (report.ok) {
        version->mends = 0;
        version->verified_ms = steward_now_ms(steward);
        version->verified_epoch = report.epoch;
    }
    crash_point("verify.made");
    answer_verify(steward, version, &report, reason);
    if (report.ok)
        return version_enter(steward, version, VERSION_READY, err);
    if (mends)
        return mend(steward, version, &report, err);
    return version_fall_back(steward, version, reason, err);
}

/* In this epoch: what was asked for in an older one is refused. */
static bool is_asked_auto(const struct registry *registry, const struct version *version,
                          int64_t epoch)
{
    bool asked = false;
    for (size_t i = 0; i < registry->wish_count && !asked; i++) {
        const struct registry_wish *wish = &registry->wishes[i];
        struct wish_args args;
        struct err err;
        if (strcmp(wish->kind, WISH_CUTOVER) != 0 || !wish->label || !wish->by ||
            strcmp(wish->label, version->label) != 0 || strcmp(wish->by, BY_CONFIGURATION) != 0 ||
            !wish_args_decode(wish, &args, &err))
            continue;
        asked = args.has_epoch && args.epoch == epoch && args.build_id &&
                strcmp(args.build_id, version->build_id) == 0;
        wish_args_fini(&args);
    }
    return asked;
}

/* *asked: it stands there. False only where it could not be written down. */
static bool add_auto(struct steward *steward, const struct version *version,
                     const struct alias *alias, bool *asked, struct err *err)
{
    char id[17], kind[] = WISH_CUTOVER, by[] = BY_CONFIGURATION;
    *asked = is_asked_auto(&steward->registry, version, alias->epoch);
    if (*asked)
        return true;
    random_hex(id, 8);
    char *args = wish_args_encode(kind, &(struct wish_args){.build_id = version->build_id,
                                                            .has_epoch = true,
                                                            .epoch = alias->epoch});
    struct registry_wish wish = {
        .kind = kind, .label = version->label, .by = by, .id = id, .args = args};
    bool added = registry_add_wish(&steward->registry, &wish); /* or there is no room */
    free(args);
    *asked = added && version_save(steward, err);
    return *asked || !added;
}

/* The version that the file asks for is cut over to by itself where the file says so: asked for as a
 * person would, and once in each epoch of the alias for each time that it became ready. */
bool version_ask_for_cutover(struct steward *steward, const struct version *version,
                             const struct alias *alias, struct err *err)
{
    const struct config_family *family = steward->family->config;
    struct steward_note *note = steward_note_of(steward, version->build_id);
    bool wanted = family->cutover == CUTOVER_AUTO && family->version.label && !version->declined &&
                  strcmp(version->label, family->version.label) == 0;
    if (!wanted || (note->asked_auto && note->asked_epoch == alias->epoch))
        return true;
    bool asked;
    if (!add_auto(steward, version, alias, &asked, err))
        return false;
    if (asked) {
        note->asked_auto = true;
        note->asked_epoch = alias->epoch;
    }
    return true;
}

static bool activate(struct steward *steward, struct version *version, const struct alias *alias,
                     struct err *err)
{
    struct promotion promotion = {.to = version, .why = PROMOTE_FIRST};
    if (alias->target && strcmp(alias->target, version->collection) != 0)
        return err_set(
            err, ERR_FATAL, ERR_STATE, 0,
            "the alias of %s already leads to '%s', which is not ours: it is left alone; "
            "`vectail adopt %s --target %s --embed NAME` takes it as what is served now, "
            "`vectail cutover %s %s --force --reason TEXT` leads readers away from it",
            steward->family->name, alias->target, steward->family->name, alias->target,
            steward->family->name, version->label);
    return promote_begin(steward, &promotion, err);
}

static bool stay_ready(struct steward *steward, struct version *version, struct err *err)
{
    enum in_step in_step;
    bool ok = true;
    char reason[300] = "";
    struct alias alias;
    if (version->external)
        return true;
    if (!version_is_in_step(steward, version, &in_step, reason, err) ||
        !note_steady(steward, version, in_step, err))
        return false;
    if (version_is_behind_for_long(steward, version, in_step))
        return version_fall_back(steward, version, reason, err);
    if (steward->registry.step.kind || in_step != IN_STEP_YES ||
        !is_steady(steward, version, lag_for(steward)))
        return true;
    if (!steward_load_alias(steward, &alias, err))
        return false;
    ok = is_first(steward) ? activate(steward, version, &alias, err)
                           : version_ask_for_cutover(steward, version, &alias, err);
    alias_fini(&alias);
    return ok;
}

static bool make(struct steward *steward, struct version *version, struct err *err)
{
    bool may;
    if (!replace_may_begin(steward, version, &may, err))
        return false;
    if (replace_waits(steward, version))
        replace_note_wait(steward, version);
    return !may || version_create(steward, version, err);
}

static bool fill(struct steward *steward, struct version *version, struct err *err)
{
    CLEANUP(feed_view_fini) struct feed_view view = {0};
    if (replace_is_due(steward, version))
        return true; /* it is served before it is filled */
    return steward_view(steward, version, &view, err) &&
           (!feed_is_filled(steward, &view) || !is_mended(steward, version) ||
            version_enter(steward, version, VERSION_CATCHING_UP, err));
}

static bool advance(struct steward *steward, struct version *version, struct err *err)
{
    bool fed = version_is_fed(version);
    if (fed && version->seeded && !version_leave_generation(steward, version, err))
        return false;
    if (fed && !version->seeded)
        return version_seed(steward, version, err);
    switch (version->state) {
    case VERSION_PLANNED:
    case VERSION_CREATING:
        return make(steward, version, err);
    case VERSION_BACKFILLING:
        return fill(steward, version, err);
    case VERSION_CATCHING_UP:
        return catch_up(steward, version, err);
    case VERSION_VERIFYING:
        return verify(steward, version, err);
    case VERSION_READY:
        return stay_ready(steward, version, err);
    case VERSION_ACTIVE:
        return !version->filling || replace_fill(steward, version, err);
    case VERSION_PREVIOUS:
        return versions_retire(steward, version, err);
    default:
        return true;
    }
}

/* What the file asks for is a wish only if the registry never held its label: an old file cannot bring
 * back what is gone. */
static bool plan_wanted(struct steward *steward, struct err *err)
{
    const struct config_family *family = steward->family->config;
    struct version_wish wish = {.label = family->version.label,
                                .embedder = family->version.embedder,
                                .store = family->store,
                                .from = "start",
                                .by = BY_CONFIGURATION};
    if (!wish.label)
        return true; /* only what persons ask for */
    if (!registry_held(&steward->registry, wish.label))
        return version_plan(steward, &wish, err) || err_prefix(err, "version %s", wish.label);
    const struct version *wanted = registry_version(&steward->registry, wish.label);
    return !wanted || wanted->state >= VERSION_RETIRED || wanted->external ||
           version_check_wish(steward, wanted, err);
}

static bool is_of_step(const struct steward *steward, const struct version *version)
{
    const struct registry_step *step = &steward->registry.step;
    return step->kind && strcmp(step->label, version->label) == 0;
}

/* It gets on: what kept it from that is over. What a sweep waits for, who has the alias, or why it cannot be
 * flipped, may not be. */
static bool is_reason_over(const struct steward *steward, const struct version *version)
{
    if (!version->reason || sweep_is_reason(version->reason) || alias_is_reason(version->reason) ||
        is_of_step(steward, version))
        return false;
    bool whole = version->state == VERSION_READY || version->state == VERSION_PREVIOUS ||
                 version->state == VERSION_ACTIVE;
    return (whole && !version->filling) ||
           (version->state == VERSION_BACKFILLING && version->mends == 0);
}

/* One that does not get on keeps none of the others from it; the first error is told. */
static bool advance_all(struct steward *steward, struct err *err)
{
    bool ok = true;
    for (size_t i = 0; i < steward->registry.version_count && !steward->overtaken; i++) {
        struct version *version = &steward->registry.versions[i];
        struct err refused;
        if (advance(steward, version, &refused)) {
            if (is_reason_over(steward, version))
                version_note_reason(steward, version, NULL);
            continue;
        }
        /* a step says why it stands, as does who has the alias; what was not sent, this process no longer
         * leading, says nothing */
        if (!steward->overtaken && refused.action != ERR_CANCEL && !is_of_step(steward, version) &&
            !alias_is_reason(version->reason))
            version_note_reason(steward, version, refused.text);
        if (ok)
            *err = refused;
        ok = false;
    }
    return ok;
}

bool versions_advance(struct steward *steward, struct err *err)
{
    bool (*const steps[])(struct steward *, struct err *) = {
        plan_wanted, promote_step, drop_step, advance_all, requests_carry_out, alias_watch};
    bool ok = true;
    for (size_t i = 0; i < ARRAY_LEN(steps) && !steward->overtaken; i++) {
        struct err refused;
        if (steps[i](steward, &refused))
            continue;
        if (ok)
            *err = refused;
        ok = false;
    }
    return ok;
}
