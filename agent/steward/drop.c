/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a version: retired when its window is over or a person says so, and its collection deleted
 * once no process can be writing to it any more, and only if it is provably ours. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/capture/leader.h"
#include "agent/steward/collect.h"
#include "agent/steward/steward_state.h"
#include "base/clock.h"
#include "base/crash.h"
#include "base/log.h"

/* How long a store may be away until a drop is given up. */
#define GIVE_UP_MS 30000
/* Lanes of all processes have seen that it is retired, and stopped, or lost their leases. */
#define QUIET_MS (LEASE_TTL_MS + LANE_GRACE_MS)

static bool leads_to(const struct alias *alias, const struct version *version)
{
    return alias->target && strcmp(alias->target, version->collection) == 0;
}

/* Somebody has led readers back to it: it is what is served, and will be told so. */
static bool is_named(struct steward *steward, const struct version *version, bool *named,
                     struct err *err)
{
    struct alias alias;
    if (!steward_load_alias(steward, &alias, err))
        return false;
    *named = leads_to(&alias, version);
    alias_fini(&alias);
    return true;
}

bool versions_retire(struct steward *steward, struct version *version, struct err *err)
{
    const struct registry_step *step = &steward->registry.step;
    if (step->kind && strcmp(step->label, version->label) == 0)
        return true; /* it is being gone back to */
    bool over = version->state == VERSION_PREVIOUS && version->keep_until_ms > 0 &&
                steward_now_ms(steward) >= version->keep_until_ms;
    bool named = false;
    if (over && !is_named(steward, version, &named, err))
        return false;
    if (!over || named)
        return true;
    struct answer answer = {.what = "retired",
                            .label = version->label,
                            .by = steward->agent->holder,
                            .reason = "its rollback window is over"};
    wish_give_answer(&steward->registry, &answer);
    return version_enter(steward, version, VERSION_RETIRED, err);
}

static void forget(const struct steward *steward, struct version *version)
{
    version->state = VERSION_DROPPED;
    version->state_ms = steward_now_ms(steward);
    version_set_text(&version->reason, NULL);
}

bool drop_begin(struct steward *steward, const struct registry_wish *wish, struct err *err)
{
    struct version *version = registry_version(&steward->registry, wish->label);
    struct registry_step *step = &steward->registry.step;
    if (version->state < VERSION_RETIRED) {
        wish_begin(&steward->registry, wish->id);
        return version_enter(steward, version, VERSION_RETIRED, err);
    }
    if (steward_now_ms(steward) - version->state_ms < QUIET_MS)
        return true;
    version_set_text(&step->kind, STEP_DROPPING);
    version_set_text(&step->label, version->label);
    version_set_text(&step->owner, steward->agent->holder);
    version_set_text(&step->wish, wish->id);
    step->since_ms = steward_now_ms(steward);
    if (!version_save(steward, err))
        return false;
    crash_point("drop.written");
    return true;
}

static bool drop_collection(struct steward *steward, const struct version *version, struct err *err)
{
    const struct agent *agent = steward->agent;
    struct collect_options options = {.config = agent->config,
                                      .docs = agent->docs,
                                      .state_id = agent->state_id,
                                      .limiters = agent->limiters,
                                      .may_send = steward_still_leads,
                                      .context = steward};
    struct collect_entry entry = {.collection = version->collection,
                                  .store = version->store,
                                  .build_id = version->build_id,
                                  .never_made = !version->collection_id};
    return collect_erase(&options, &entry, err);
}

/* The alias must not lead to it, and is not to name it as the way back. *named: it leads to it. */
static bool leave_alias(struct steward *steward, const struct version *version, bool *named,
                        struct err *err)
{
    struct alias alias;
    if (!steward_load_alias(steward, &alias, err))
        return false;
    *named = leads_to(&alias, version);
    bool ok = true;
    if (!*named && alias.previous_target &&
        strcmp(alias.previous_target, version->collection) == 0) {
        bson_free(alias.previous_target);
        alias.previous_target = NULL;
        int64_t epoch = alias.epoch;
        ok = steward_swap_alias(steward, &alias, err) &&
             alias_follow_epoch(steward, epoch, alias.epoch, err);
    }
    alias_fini(&alias);
    return ok;
}

static bool end(struct steward *steward, struct version *version, const char *refused,
                struct err *err)
{
    struct registry_step *step = &steward->registry.step;
    struct answer answer = {.what = "drop",
                            .label = step->label,
                            .by = step->owner,
                            .reason = refused,
                            .wish = step->wish,
                            .refused = refused != NULL};
    log_info("version.dropped", LOG_STR("family", steward->family->name),
             LOG_STR("version", step->label), LOG_STR("refused", refused ? refused : ""));
    if (version && !refused)
        forget(steward, version);
    else if (version)
        version_set_text(&version->reason, refused);
    wish_give_answer(&steward->registry, &answer);
    registry_clear_step(&steward->registry);
    if (!version_save(steward, err))
        return false;
    crash_point("drop.finished");
    return true;
}

/* Whom readers are led to is decided before what is cleared away. */
static bool readers_wait(const struct steward *steward)
{
    for (size_t i = 0; i < steward->registry.wish_count; i++) {
        const char *kind = steward->registry.wishes[i].kind;
        if (strcmp(kind, WISH_ROLLBACK) == 0 || strcmp(kind, WISH_CUTOVER) == 0)
            return true;
    }
    return false;
}

/* Kafka keeps it for days after its last member has left. One that may not be removed, or not now and for
 * long, holds nothing up: nobody ever joins it again. */
static bool forget_group(struct steward *steward, const struct version *version, struct err *err)
{
    const struct agent *agent = steward->agent;
    struct err refused;
    if (agent->config->worklog.driver == WORKLOG_MEMORY)
        return true;
    char *group = lane_group(agent->config, steward->family->name, version);
    bool gone = worklog_forget_group(agent->log, group, &refused);
    bool late = steward_now_ms(steward) - steward->registry.step.since_ms > GIVE_UP_MS;
    bool given_up = !gone && (refused.action != ERR_RETRY || late || readers_wait(steward));
    if (given_up)
        log_warn("group.kept", LOG_STR("family", steward->family->name), LOG_STR("group", group),
                 LOG_ERR(&refused));
    free(group);
    if (!gone && !given_up)
        *err = refused;
    return gone || given_up;
}

static bool drop_state(struct steward *steward, const struct version *version, struct err *err)
{
    const struct agent *agent = steward->agent;
    struct collect_build build = {agent->config, agent->pool, agent->docs, version->build_id,
                                  steward->registry.source_database};
    return collect_forget(&build, err) && forget_group(steward, version, err);
}

bool drop_step(struct steward *steward, struct err *err)
{
    const struct registry_step *step = &steward->registry.step;
    bool named = false;
    struct err refused;
    if (!step->kind || strcmp(step->kind, STEP_DROPPING) != 0)
        return true;
    struct version *version = registry_version(&steward->registry, step->label);
    if (!version || version->state == VERSION_DROPPED)
        return end(steward, NULL, NULL, err);
    /* one that never had a collection may have its name from another, which is served */
    if (version->collection_id && !leave_alias(steward, version, &named, err))
        return false;
    if (named)
        return end(steward, version, "the alias leads to it", err);
    crash_point("drop.unnamed");
    if (!drop_collection(steward, version, &refused)) {
        bool late = steward_now_ms(steward) - step->since_ms > GIVE_UP_MS || readers_wait(steward);
        /* or what was not sent is another's to decide */
        bool leads = refused.action != ERR_CANCEL && steward_leads(steward);
        if (leads &&
            (refused.action == ERR_FATAL || late)) /* a store that is away holds nothing else up */
            return end(steward, version, refused.text, err);
        *err = refused;
        return false;
    }
    crash_point("drop.deleted");
    if (!drop_state(steward, version, err))
        return false;
    crash_point("drop.forgotten");
    return end(steward, version, NULL, err);
}
