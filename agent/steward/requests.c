/* SPDX-License-Identifier: Apache-2.0 */
/* What persons ask for, carried out by the process that leads. A wish stays until it is done or
 * refused; the answer is written in the same write that removes it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/steward/steward_state.h"
#include "agent/steward/transition.h"
#include "base/clock.h"
#include "base/log.h"

/* Until an embedder that did not answer is asked again. */
#define CREATE_PAUSE_MS 10000

bool request_done(struct steward *steward, const struct registry_wish *wish, struct err *err)
{
    struct answer answer = {.what = wish->kind,
                            .label = wish->label,
                            .by = wish->by,
                            .reason = wish->reason,
                            .wish = wish->id};
    wish_give_answer(&steward->registry, &answer);
    return version_save(steward, err);
}

bool request_refuse(struct steward *steward, const struct registry_wish *wish, const char *reason,
                    struct err *err)
{
    struct answer answer = {.what = wish->kind,
                            .label = wish->label,
                            .by = wish->by,
                            .reason = reason,
                            .wish = wish->id,
                            .refused = true};
    log_info("request.refused", LOG_STR("family", steward->family->name),
             LOG_STR("what", wish->kind), LOG_STR("version", wish->label ? wish->label : ""),
             LOG_STR("by", wish->by ? wish->by : ""), LOG_STR("reason", reason));
    wish_give_answer(&steward->registry, &answer);
    return version_save(steward, err);
}

static bool carry_out_create(struct steward *steward, const struct registry_wish *wish,
                             const struct wish_args *args, struct err *err)
{
    struct err refused;
    struct version_wish plan = {.label = wish->label,
                                .embedder = args->embedder,
                                .store = args->store ? args->store : steward->family->config->store,
                                .from = args->from ? args->from : "start",
                                .no_reuse = args->no_reuse,
                                .by = wish->by,
                                .wish = wish->id};
    if (clock_mono_ms() < steward->create_after_ms)
        return true;
    if (version_plan(steward, &plan, &refused))
        return true;
    if (!steward->overtaken &&
        refused.action == ERR_RETRY) /* each try takes as long as the embedder's time-out */
        steward->create_after_ms = clock_mono_ms() + CREATE_PAUSE_MS;
    if (!steward->overtaken && (refused.action == ERR_REJECT || refused.action == ERR_FATAL))
        return request_refuse(steward, wish, refused.text, err);
    *err = refused; /* a server that does not answer, or the plan was not written: tried again */
    return false;
}

/* Flipped under another epoch than it was verified under: it is verified once more first. */
static bool verify_again(struct steward *steward, struct version *version, struct err *err)
{
    if (version->state != VERSION_READY)
        return true; /* it is being verified */
    return version_enter(steward, version, VERSION_VERIFYING, err);
}

/* A gate failed: whoever asked is told, and it is not ready any more. */
static bool fall_back(struct steward *steward, const struct registry_wish *wish,
                      struct version *version, const struct verify_report *report, struct err *err)
{
    char reason[400];
    verify_report_reason(report, reason, sizeof reason);
    version_note_proof(version, report);
    struct answer answer = {.what = wish->kind,
                            .label = wish->label,
                            .by = wish->by,
                            .reason = reason,
                            .wish = wish->id,
                            .refused = true};
    wish_give_answer(&steward->registry, &answer);
    if (version->state != VERSION_READY)
        return version_save(steward, err);
    version->failures++;
    return version_fall_back(steward, version, reason, err);
}

/* The cheap gates, once more. *passed true: go on. */
static bool check_cheaply(struct steward *steward, const struct registry_wish *wish,
                          struct version *version, bool *passed, struct err *err)
{
    struct verify_report report;
    enum verification state = verification_step(steward, version, true, &report, err);
    *passed = state == VERIFICATION_PASSED;
    if (state == VERIFICATION_ERROR)
        return false;
    if (state != VERIFICATION_FAILED)
        return true;
    return fall_back(steward, wish, version, &report, err);
}

static bool carry_out_cutover(struct steward *steward, const struct registry_wish *wish,
                              const struct request *request, struct err *err)
{
    struct version *version = registry_version(&steward->registry, wish->label);
    struct promotion promotion = {
        .to = version, .why = PROMOTE_CUTOVER, .wish = wish->id, .forced = request->args.force};
    bool passed = false;
    if (request->args.empty_live)
        return replace_carry_out(steward, wish, err);
    if (version->state == VERSION_PREVIOUS) /* forced: it lags, or its provider is gone */
        promotion.why = PROMOTE_ROLLBACK;
    if (request->args.force || version->external)
        return promote_begin(steward, &promotion, err);
    if (version->state != VERSION_READY || version->verified_epoch != request->alias->epoch)
        return verify_again(steward, version, err);
    if (!check_cheaply(steward, wish, version, &passed, err))
        return false;
    return !passed || promote_begin(steward, &promotion, err);
}

static bool carry_out_rollback(struct steward *steward, const struct registry_wish *wish,
                               struct err *err)
{
    struct version *version = registry_way_back(&steward->registry, NULL);
    struct promotion promotion = {.to = version, .why = PROMOTE_ROLLBACK, .wish = wish->id};
    char reason[300];
    enum in_step in_step = IN_STEP_YES;
    if (!version->external && !version_is_in_step(steward, version, &in_step, reason, err))
        return false;
    if (in_step == IN_STEP_UNKNOWN)
        return true; /* the wish stands until it is */
    if (in_step == IN_STEP_NO)
        return request_refuse(steward, wish, reason, err);
    return promote_begin(steward, &promotion, err);
}

static bool carry_out_verify(struct steward *steward, const struct registry_wish *wish,
                             struct err *err)
{
    struct version *version = registry_version(&steward->registry, wish->label);
    struct verify_report report;
    if (version->state == VERSION_VERIFYING)
        return true; /* is at it; the answer comes when it is ready or not */
    if (version->state ==
        VERSION_CATCHING_UP) /* now, not when it has been steady for long enough */
        return version_enter(steward, version, VERSION_VERIFYING, err);
    enum verification state = verification_step(steward, version, false, &report, err);
    if (state == VERIFICATION_ERROR || state == VERIFICATION_RUNNING)
        return state == VERIFICATION_RUNNING;
    if (state == VERIFICATION_FAILED)
        return fall_back(steward, wish, version, &report, err);
    version_note_proof(version, &report);
    return request_done(steward, wish, err);
}

static bool carry_out(struct steward *steward, const struct registry_wish *wish,
                      const struct request *request, struct err *err)
{
    if (strcmp(wish->kind, WISH_CREATE) == 0)
        return carry_out_create(steward, wish, &request->args, err);
    if (strcmp(wish->kind, WISH_CUTOVER) == 0)
        return carry_out_cutover(steward, wish, request, err);
    if (strcmp(wish->kind, WISH_ROLLBACK) == 0)
        return carry_out_rollback(steward, wish, err);
    if (strcmp(wish->kind, WISH_VERIFY) == 0)
        return carry_out_verify(steward, wish, err);
    if (strcmp(wish->kind, WISH_DROP) == 0)
        return drop_begin(steward, wish, err);
    if (strcmp(wish->kind, WISH_ADOPT) == 0)
        return adopt_carry_out(steward, wish, request, err);
    if (strcmp(wish->kind, WISH_PARTITIONS) == 0)
        return partitions_carry_out(steward, wish, request->args.count, err);
    return true; /* of a newer build */
}

static bool look_at(struct steward *steward, const struct registry_wish *wish,
                    const struct alias *alias, struct err *err)
{
    char reason[400];
    struct err bad;
    struct request request = {.alias = alias};
    if (!transition_check(&steward->registry, wish, alias, reason, sizeof reason))
        return request_refuse(steward, wish, reason, err);
    if (!wish_args_decode(wish, &request.args, &bad))
        return request_refuse(steward, wish, bad.text, err);
    bool ok = carry_out(steward, wish, &request, err);
    wish_args_fini(&request.args);
    return ok;
}

/* Rollbacks, or all others; the first error is told. */
static bool look_at_those(struct steward *steward, bool rollbacks, const struct alias *alias,
                          struct err *err)
{
    struct registry *registry = &steward->registry;
    int64_t rev = registry->rev;
    bool ok = true;
    for (size_t i = 0; i < registry->wish_count; i++) {
        const struct registry_wish *wish = &registry->wishes[i];
        struct err refused;
        if (steward->overtaken || registry->rev != rev || registry->step.kind)
            return ok;
        if (!wish->id || (strcmp(wish->kind, WISH_ROLLBACK) == 0) != rollbacks ||
            look_at(steward, wish, alias, &refused))
            continue;
        if (ok)
            *err = refused;
        ok = false;
    }
    return ok;
}

bool requests_carry_out(struct steward *steward, struct err *err)
{
    struct registry *registry = &steward->registry;
    struct alias alias;
    bool any = false;
    for (size_t i = 0; i < registry->wish_count; i++)
        any = any || registry->wishes[i].id;
    if (!any || registry->step.kind)
        return true; /* one thing after the other */
    if (!steward_load_alias(steward, &alias, err))
        return false;
    /* what cannot be carried out now keeps nothing else from it, least of all the way back */
    bool ok = look_at_those(steward, true, &alias, err);
    ok = look_at_those(steward, false, &alias, ok ? err : &(struct err){0}) && ok;
    alias_fini(&alias);
    return ok;
}
