/* SPDX-License-Identifier: Apache-2.0 */
/* What somebody else did to the alias: led it to another version of ours, or to what we do not know; and the
 * way back that it offers, once that is none any more. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/steward/steward_state.h"
#include "base/log.h"

static struct version *version_of_collection(struct registry *registry, const char *collection)
{
    for (size_t i = registry->version_count; collection && i-- > 0;) {
        struct version *version = &registry->versions[i];
        bool served = version->state == VERSION_READY || version->state == VERSION_PREVIOUS ||
                      version->state == VERSION_ACTIVE;
        if (served && strcmp(version->collection, collection) == 0)
            return version;
    }
    return NULL;
}

/* By hand, to a version of ours that is whole: that is who is served now. */
static bool adopt_flip(struct steward *steward, struct version *to, struct alias *alias,
                       struct err *err)
{
    struct version *old = registry_in_state(&steward->registry, VERSION_ACTIVE);
    int64_t epoch = alias->epoch;
    char reason[100];
    /* who changes the target alone leaves the embed config of another version: readers would embed
     * queries with the wrong model */
    const struct version *previous = old && !old->filling ? old : NULL;
    if (!alias_means(alias, to) && !to->external &&
        !promote_write_alias(steward, to, previous, alias, err))
        return false;
    snprintf(reason, sizeof reason, "the alias was changed by hand, in epoch %" PRId64, epoch);
    struct answer answer = {
        .what = "alias", .label = to->label, .by = "somebody else", .reason = reason};
    log_warn("alias.adopted", LOG_STR("family", steward->family->name),
             LOG_STR("version", to->label), LOG_INT("epoch", epoch));
    if (old)
        promote_replace(steward, old, false);
    to->state = VERSION_ACTIVE;
    to->state_ms = steward_now_ms(steward);
    to->keep_until_ms = 0;
    wish_give_answer(&steward->registry, &answer);
    return version_save(steward, err);
}

/* The way back that it offers is none any more: its window is over, or somebody dropped it. */
static bool offers_what_is_gone(const struct registry *registry, const struct alias *alias)
{
    bool gone = false;
    for (size_t i = 0; alias->previous_target && i < registry->version_count; i++) {
        const struct version *version = &registry->versions[i];
        if (!version->collection || strcmp(version->collection, alias->previous_target) != 0)
            continue;
        if (version->state < VERSION_RETIRED)
            return false;
        gone = true;
    }
    return gone;
}

bool alias_follow_epoch(struct steward *steward, int64_t from, int64_t to, struct err *err)
{
    struct registry *registry = &steward->registry;
    bool any = wishes_follow_epoch(registry, from, to);
    for (size_t i = 0; i < registry->version_count; i++) {
        struct version *version = &registry->versions[i];
        bool follows = version->state == VERSION_READY && version->verified_epoch == from;
        if (follows)
            version->verified_epoch = to;
        any = any || follows;
    }
    return !any || version_save(steward, err);
}

static bool withdraw_way_back(struct steward *steward, const struct version *active,
                              struct alias *alias, struct err *err)
{
    const struct version *previous = registry_way_back(&steward->registry, active);
    int64_t epoch = alias->epoch;
    if (!promote_write_alias(steward, active, previous, alias, err))
        return false;
    log_info("alias.previous.withdrawn", LOG_STR("family", steward->family->name),
             LOG_STR("previous", previous ? previous->label : ""), LOG_INT("epoch", alias->epoch));
    return alias_follow_epoch(steward, epoch, alias->epoch, err);
}

/* How the reason begins that is written down while somebody else has the alias. */
#define ALIAS_REASON "the alias leads to '"

bool alias_is_reason(const char *reason)
{
    return reason && strncmp(reason, ALIAS_REASON, sizeof ALIAS_REASON - 1) == 0;
}

bool alias_watch(struct steward *steward, struct err *err)
{
    struct version *active = registry_in_state(&steward->registry, VERSION_ACTIVE);
    char text[600];
    struct alias alias;
    if (!active || steward->registry.step.kind)
        return true;
    if (!steward_load_alias(steward, &alias, err))
        return false;
    struct version *other = version_of_collection(&steward->registry, alias.target);
    bool ok = true;
    snprintf(text, sizeof text,
             ALIAS_REASON "%.150s', which is not version %.80s: somebody changed it; "
                          "`vectail cutover %.80s %.80s --force --reason TEXT` leads it back",
             alias.target ? alias.target : "nothing", active->label, steward->family->name,
             active->label);
    if (other && other != active)
        ok = adopt_flip(steward, other, &alias, err);
    else if (!other)
        version_note_reason(steward, active, text);
    else if (alias_is_reason(active->reason))
        version_note_reason(steward, active, replace_reason(active));
    if (ok && !steward->overtaken && other == active &&
        offers_what_is_gone(&steward->registry, &alias) && alias_means(&alias, active))
        ok = withdraw_way_back(steward, active, &alias, err);
    alias_fini(&alias);
    return ok;
}
