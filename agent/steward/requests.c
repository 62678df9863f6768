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

/* The registry's strings are its own; here they are only lent to be copied. */
static char *lend(const char *text)
{
    return (char *)(uintptr_t)text;
}

void request_answer(struct registry *registry, const struct answer *answer)
{
    struct registry_event event = {.what = lend(answer->what),
                                   .label = lend(answer->label),
                                   .by = lend(answer->by),
                                   .reason = lend(answer->reason),
                                   .wish = lend(answer->wish),
                                   .refused = answer->refused};
    registry_note(registry, &event); /* copies: the wish may own what it says */
    for (size_t i = registry->wish_count; answer->wish && i-- > 0;) {
        if (registry->wishes[i].id && strcmp(registry->wishes[i].id, answer->wish) == 0)
            registry_drop_wish(registry, i);
    }
}

bool request_done(struct steward *steward, const struct registry_wish *wish, struct err *err)
{
    struct answer answer = {.what = wish->kind,
                            .label = wish->label,
                            .by = wish->by,
                            .reason = wish->reason,
                            .wish = wish->id};
    request_answer(&steward->registry, &answer);
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
    request_answer(&steward->registry, &answer);
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
    if (version_plan(steward, &plan, &refused))
        return true;
    if (refused.action == ERR_REJECT || refused.action == ERR_FATAL)
        return request_refuse(steward, wish, refused.text, err);
    *err = refused; /* a server that does not answer: tried again */
    return false;
}

/* Flipped under another epoch than it was verified under: it is verified once more first. */
static bool verify_again(struct steward *steward, struct version *version, struct err *err)
{
    if (version->state != VERSION_READY)
        return true; /* it is being verified */
    return version_enter(steward, version, VERSION_VERIFYING, err);
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
    char reason[400];
    verify_report_reason(&report, reason, sizeof reason);
    return request_refuse(steward, wish, reason, err);
}

static bool carry_out_cutover(struct steward *steward, const struct registry_wish *wish,
                              const struct request *request, struct err *err)
{
    struct version *version = registry_version(&steward->registry, wish->label);
    struct promotion promotion = {.to = version, .why = PROMOTE_CUTOVER, .wish = wish->id};
    bool passed = false;
    if (request->args.force)
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
    struct version *version = rollback_target(&steward->registry);
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
    char reason[400] = "";
    bool failed = state == VERIFICATION_FAILED;
    if (failed)
        verify_report_reason(&report, reason, sizeof reason);
    if (failed)
        return request_refuse(steward, wish, reason, err);
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

bool requests_carry_out(struct steward *steward, struct err *err)
{
    struct registry *registry = &steward->registry;
    struct alias alias;
    bool ok = true, any = false;
    for (size_t i = 0; i < registry->wish_count; i++)
        any = any || registry->wishes[i].id;
    if (!any || registry->step.kind)
        return true; /* one thing after the other */
    if (!steward_load_alias(steward, &alias, err))
        return false;
    int64_t rev = registry->rev;
    for (size_t i = 0; ok && i < registry->wish_count && registry->rev == rev; i++) {
        if (registry->wishes[i].id)
            ok = look_at(steward, &registry->wishes[i], &alias, err);
    }
    alias_fini(&alias);
    return ok;
}
