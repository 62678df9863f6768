/* SPDX-License-Identifier: Apache-2.0 */
/* Who is served: one compare-and-set of the alias document, written down before and after.
 *
 * Begun: the registry's step says which version is to be served, and from which epoch of the alias.
 * Whoever leads carries it on: flips the alias if it is still in that epoch, and then writes the
 * versions' new states. A death in between leaves the step, and the alias says how far it came. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/steward/rename.h"
#include "agent/steward/steward_state.h"
#include "base/clock.h"
#include "base/crash.h"
#include "base/json.h"
#include "base/log.h"

/* What was begun so lately was looked at right before. */
#define FRESH_MS 10000

/* What a request has besides the text, where that decides vectors. */
static void add_request(cJSON *object, const cJSON *embed)
{
    const char *extra = NULL;
    if (cJSON_IsTrue(json_get(embed, "send_dimensions")))
        json_add_bool(object, "send_dimensions", true);
    cJSON *members =
        json_get_string(embed, "extra", &extra) ? json_parse(extra, strlen(extra), NULL) : NULL;
    if (members)
        json_add(object, "extra", members);
}

/* What readers need to embed a query as the version's documents were embedded. */
static char *alias_embed(const struct version *version, const cJSON *embed)
{
    CLEANUP(cJSON_Deletep) cJSON *object = json_object();
    const char *text = "";
    json_add_string(object, "driver", json_get_string(embed, "driver", &text) ? text : "");
    json_add_string(object, "fn", json_get_string(embed, "model", &text) ? text : "");
    json_add_int(object, "dims", version->dims);
    add_request(object, embed);
    json_add_string(object, "distance", json_get_string(embed, "distance", &text) ? text : "");
    json_add(object, "normalize", cJSON_Duplicate(json_get(embed, "normalize"), true));
    json_add_string(object, "query_prefix",
                    json_get_string(embed, "query_prefix", &text) ? text : "");
    json_add_string(object, "digest", json_get_string(embed, "digest", &text) ? text : "");
    json_add_string(object, "version", version->label);
    json_add_string(object, "config_fp", version->config_fp);
    return json_print(object);
}

static bool same(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

/* Whether the alias, which is not replaced yet, leads to it. When names were exchanged since it was
 * written, its target is what the new one is called. */
static bool leads_to(const struct registry *registry, const struct alias *alias,
                     const struct version *version)
{
    return version->state == VERSION_ACTIVE && (same(alias->target, version->collection) ||
                                                same(alias->target, registry->rename.live_name));
}

/* As the alias document holds it; what it says already of an adopted collection is kept. NULL, with err,
 * when what was written down cannot be read. */
static char *embed_for_readers(const struct registry *registry, const struct version *version,
                               const struct alias *alias, struct err *err)
{
    if (version->external && leads_to(registry, alias, version))
        return strdup(alias->embed ? alias->embed : "{}");
    if (version->external && alias->previous_embed &&
        (same(alias->previous_target, version->collection) ||
         same(alias->previous_target, version->own_name)))
        return strdup(alias->previous_embed);
    CLEANUP(cJSON_Deletep) cJSON *embed = json_parse(version->embed, strlen(version->embed), err);
    return embed ? alias_embed(version, embed) : NULL;
}

bool steward_load_alias(struct steward *steward, struct alias *out, struct err *err)
{
    return alias_load(steward->agent->docs, &steward->family->alias, out, err);
}

bool steward_swap_alias(struct steward *steward, struct alias *alias, struct err *err)
{
    enum doc_swap outcome;
    if (!steward_leads(steward))
        return err_set(err, ERR_RETRY, ERR_STATE, 0, "this process does not lead any more");
    return alias_swap(steward->agent->docs, &steward->family->alias, alias, &outcome, err) &&
           (outcome == DOC_WON ||
            err_set(err, ERR_RETRY, ERR_STATE, 0, "the alias was changed by another"));
}

static void set_step(struct steward *steward, const struct promotion *promotion,
                     const struct alias *alias)
{
    struct registry_step *step = &steward->registry.step;
    version_set_text(&step->kind, STEP_PROMOTING);
    version_set_text(&step->label, promotion->to->label);
    version_set_text(&step->owner, steward->agent->holder);
    version_set_text(&step->why, promotion->why);
    version_set_text(&step->wish, promotion->wish);
    version_set_text(&step->target, alias->target);
    step->since_ms = steward_now_ms(steward);
    step->epoch = alias->epoch;
    step->forced = promotion->forced;
    /* what is adopted keeps its name */
    step->by_rename = steward->family->config->cutover_by == CUTOVER_BY_RENAME &&
                      strcmp(promotion->why, PROMOTE_ADOPT) != 0;
}

bool promote_begin(struct steward *steward, const struct promotion *promotion, struct err *err)
{
    struct alias alias;
    if (!steward_load_alias(steward, &alias, err)) {
        steward->overtaken = true; /* nothing of what was begun with it is written down */
        return false;
    }
    set_step(steward, promotion, &alias);
    alias_fini(&alias);
    if (!version_save(steward, err))
        return false;
    crash_point("promote.written");
    return true;
}

/* Whoever asked is told, and nothing of it is left. */
static bool abandon(struct steward *steward, const char *reason, struct err *err)
{
    struct registry_step *step = &steward->registry.step;
    struct answer answer = {.what = step->why,
                            .label = step->label,
                            .by = steward->agent->holder,
                            .reason = reason,
                            .wish = step->wish,
                            .refused = true};
    log_warn("alias.flip.abandoned", LOG_STR("family", steward->family->name),
             LOG_STR("version", step->label), LOG_STR("reason", reason));
    struct version *to = registry_version(&steward->registry, step->label);
    if (to)
        version_set_text(&to->reason,
                         to->state == VERSION_CATCHING_UP ? reason : replace_reason(to));
    if (to && strcmp(step->why, PROMOTE_ADOPT) == 0)
        to->state = VERSION_DROPPED; /* it was never served; it may be adopted again */
    wish_give_answer(&steward->registry, &answer);
    registry_clear_step(&steward->registry);
    return version_save(steward, err);
}

static const char *wish_field(const struct registry *registry, const char *id, bool by)
{
    for (size_t i = 0; id && i < registry->wish_count; i++) {
        const struct registry_wish *wish = &registry->wishes[i];
        if (wish->id && strcmp(wish->id, id) == 0)
            return by ? wish->by : wish->reason;
    }
    return NULL;
}

void promote_replace(struct steward *steward, struct version *old, bool back)
{
    int64_t now_ms = steward_now_ms(steward);
    /* what was rolled back from stays in step, and is not taken again by itself */
    bool shadow_again = (back && !old->external) || old->filling;
    old->declined = old->declined || back;
    old->state = old->filling ? VERSION_BACKFILLING /* it never was whole: nothing to go back to */
                 : shadow_again ? VERSION_READY
                                : VERSION_PREVIOUS;
    old->filling = false;
    if (alias_is_reason(old->reason)) /* who leads readers elsewhere is not its matter any more */
        version_set_text(&old->reason, NULL);
    old->state_ms = now_ms;
    old->keep_until_ms = shadow_again ? 0 : now_ms + steward->family->config->rollback_window_ms;
}

static bool finish(struct steward *steward, struct version *to, struct err *err)
{
    struct registry *registry = &steward->registry;
    struct registry_step *step = &registry->step;
    struct version *old = registry_in_state(registry, VERSION_ACTIVE);
    int64_t now_ms = steward_now_ms(steward);
    const char *by = wish_field(registry, step->wish, true);
    struct answer answer = {.what = step->why,
                            .label = step->label,
                            .by = by ? by : steward->agent->holder,
                            .reason = wish_field(registry, step->wish, false),
                            .wish = step->wish};
    bool replaces = strcmp(step->why, PROMOTE_REPLACE) == 0;
    if (old && old != to && !replaces)
        promote_replace(steward, old, strcmp(step->why, PROMOTE_ROLLBACK) == 0);
    log_info("version.state", LOG_STR("family", steward->family->name),
             LOG_STR("version", to->label), LOG_STR("from", version_state_name(to->state)),
             LOG_STR("to", version_state_name(VERSION_ACTIVE)));
    to->state = VERSION_ACTIVE;
    to->state_ms = now_ms;
    to->keep_until_ms = 0;
    version_set_text(&to->reason, replace_reason(to));
    if (old && old != to && replaces)
        replace_note_done(steward, old, to);
    wish_give_answer(registry, &answer);
    registry_clear_step(registry);
    if (!version_save(steward, err))
        return false;
    crash_point("promote.finished");
    return true;
}

/* Where `rollback` would lead to once the step is over. */
static const struct version *next_previous(struct steward *steward, const struct version *to)
{
    struct version *active = registry_in_state(&steward->registry, VERSION_ACTIVE);
    const char *why = steward->registry.step.why;
    bool stays = strcmp(why, PROMOTE_ROLLBACK) != 0 && strcmp(why, PROMOTE_REPLACE) != 0;
    if (stays && active != to && !(active && active->filling))
        return active;
    return registry_way_back(&steward->registry, to);
}

bool promote_write_alias(struct steward *steward, const struct version *to,
                         const struct version *previous, struct alias *alias, struct err *err)
{
    int64_t epoch = alias->epoch;
    char *embed = embed_for_readers(&steward->registry, to, alias, err);
    char *previous_embed =
        embed && previous ? embed_for_readers(&steward->registry, previous, alias, err) : NULL;
    if (!embed || (previous && !previous_embed)) {
        free(embed);
        return false;
    }
    alias_fini(alias);
    *alias = (struct alias){.target = strdup(to->collection),
                            .embed = embed,
                            .epoch = epoch,
                            .previous_target = previous ? strdup(previous->collection) : NULL,
                            .previous_embed = previous_embed};
    return steward_swap_alias(steward, alias, err);
}

static bool flip(struct steward *steward, struct version *to, struct alias *alias, struct err *err)
{
    char *from = alias->target ? strdup(alias->target) : NULL;
    crash_point("promote.flipping");
    bool ok = promote_write_alias(steward, to, next_previous(steward, to), alias, err);
    if (ok) {
        log_info("alias.flipped", LOG_STR("family", steward->family->name),
                 LOG_STR("from", from ? from : ""), LOG_STR("to", alias->target),
                 LOG_STR("why", steward->registry.step.why), LOG_INT("epoch", alias->epoch));
        crash_point("promote.flipped");
    }
    free(from);
    return ok && finish(steward, to, err);
}

static bool by_rename(const struct steward *steward)
{
    return steward->registry.step.by_rename;
}

bool alias_means(const struct alias *alias, const struct version *version)
{
    const char *label = NULL, *fp = NULL;
    CLEANUP(cJSON_Deletep)
    cJSON *embed = alias->embed ? json_parse(alias->embed, strlen(alias->embed), NULL) : NULL;
    return embed && json_get_string(embed, "version", &label) &&
           json_get_string(embed, "config_fp", &fp) && same(label, version->label) &&
           same(fp, version->config_fp);
}

/* Given up: the alias is as it was, in the next epoch, by a leader that died right after. (With one name for
 * all versions its embed config tells.) */
static bool is_raised(const struct steward *steward, const struct alias *alias,
                      const struct version *to)
{
    const struct registry_step *step = &steward->registry.step;
    bool stays = !by_rename(steward) || (to && !to->external && !alias_means(alias, to));
    return step->refused && stays && same(alias->target, step->target) &&
           alias->epoch == step->epoch + 1;
}

/* The alias was replaced already, by a leader that died right after. */
static bool is_flipped(struct steward *steward, const struct alias *alias, const struct version *to)
{
    const struct version *active = registry_in_state(&steward->registry, VERSION_ACTIVE);
    if (!same(alias->target, to->collection))
        return false;
    if (alias->epoch <= steward->registry.step.epoch || is_raised(steward, alias, to))
        return false;
    return (to->external ? !active || !alias_means(alias, active) : alias_means(alias, to));
}

/* What was begun is carried on at once by the same process; later, or by another, it is looked at once
 * more: much may have become of the version meanwhile. */
static bool is_fresh(const struct steward *steward)
{
    const struct registry_step *step = &steward->registry.step;
    int64_t age_ms = steward_now_ms(steward) - step->since_ms;
    return strcmp(step->owner, steward->agent->holder) == 0 && age_ms >= 0 && age_ms < FRESH_MS;
}

/* It stays as it is, in another epoch: a leader that stood still right before it flipped does not do that
 * later. */
static bool raise_epoch(struct steward *steward, const struct version *to, struct alias *alias,
                        struct err *err)
{
    int64_t epoch = steward->registry.step.epoch;
    bool raised = is_raised(steward, alias, to);
    if (!raised && (is_fresh(steward) || !alias->target || alias->epoch != epoch))
        return true; /* nobody else is at it, or it is another one already */
    return (raised || steward_swap_alias(steward, alias, err)) &&
           alias_follow_epoch(steward, epoch, alias->epoch, err);
}

/* That it ends is written down first: from then on nobody carries it on. */
static bool give_up(struct steward *steward, struct version *to, struct alias *alias,
                    const char *reason, struct err *err)
{
    struct registry_step *step = &steward->registry.step;
    if (!step->refused) {
        version_set_text(&step->refused, reason);
        if (!version_save(steward, err))
            return false;
        crash_point("promote.refused");
    }
    if (!raise_epoch(steward, to, alias, err) ||
        (to && by_rename(steward) && !rename_undo(steward, to, err)))
        return false;
    return abandon(steward, step->refused, err);
}

/* It is ready no more, or the next look would begin the same once more. */
static bool give_up_unfit(struct steward *steward, struct version *to, struct alias *alias,
                          const char *reason, struct err *err)
{
    if (to->state == VERSION_READY && !to->external) {
        to->state = VERSION_CATCHING_UP;
        to->state_ms = steward_now_ms(steward);
        to->verified_epoch = -1;
        to->failures++;
    }
    return give_up(steward, to, alias, reason, err);
}

/* Readers are led to no collection that is not there. */
static bool is_in_store(struct steward *steward, const struct version *to, bool *found,
                        struct err *err)
{
    const struct config_store *store = config_store_of(steward->agent->config, to->store);
    CLEANUP(sink_closep) struct sink *sink = NULL;
    struct sink_collection there;
    *found = false;
    if (!store || !to->collection_id)
        return true;
    return steward_open_store(steward, store, &sink, err) &&
           sink_find_id(sink, to->collection_id, steward->arena, found, &there, err);
}

/* Whether it may still be served: `reason` is empty when it may, or when that is not known yet. */
static bool look_again(struct steward *steward, const struct version *to, bool *may,
                       char reason[static 400], struct err *err)
{
    const struct registry_step *step = &steward->registry.step;
    bool back = strcmp(step->why, PROMOTE_ROLLBACK) == 0;
    struct verify_report report;
    enum in_step in_step = IN_STEP_YES;
    char behind[300] = "";
    *may = step->forced || to->external || is_fresh(steward);
    if (*may)
        return true;
    if (back) {
        if (!version_is_in_step(steward, to, &in_step, behind, err))
            return false;
        *may = in_step == IN_STEP_YES;
        snprintf(reason, 400, "%s", in_step == IN_STEP_NO ? behind : "");
        return true;
    }
    if (to->state != VERSION_READY) {
        snprintf(reason, 400, "version %s is not ready any more", to->label);
        return true;
    }
    enum verification state = verification_step(steward, to, true, &report, err);
    *may = state == VERIFICATION_PASSED;
    if (state == VERIFICATION_FAILED)
        verify_report_reason(&report, reason, 400);
    return state != VERIFICATION_ERROR;
}

static bool exchange_and_flip(struct steward *steward, struct version *to, struct alias *alias,
                              struct err *err)
{
    bool done = true, may, found;
    char reason[400] = "";
    if (!look_again(steward, to, &may, reason, err) || !is_in_store(steward, to, &found, err))
        return false;
    if (!found)
        snprintf(reason, sizeof reason, "its collection is not in the store");
    if (reason[0])
        return give_up_unfit(steward, to, alias, reason, err);
    if (!may)
        return true; /* it is being looked at */
    if (by_rename(steward) && !rename_step(steward, to, &done, err))
        return false;
    if (!done)
        return give_up_unfit(steward, to, alias, "its collection is gone from the store", err);
    return flip(steward, to, alias, err);
}

static bool carry_on(struct steward *steward, struct alias *alias, struct err *err)
{
    const struct registry_step *step = &steward->registry.step;
    struct version *to = registry_version(&steward->registry, step->label);
    char reason[300];
    if (to && is_flipped(steward, alias, to))
        return finish(steward, to, err);
    if (step->refused)
        return give_up(steward, to, alias, step->refused, err);
    if (!to || (!version_is_fed(to) && !to->external))
        return give_up(steward, to, alias, "the version is not there any more", err);
    bool led_there = same(alias->target, step->target) || alias->target == step->target;
    if (alias->epoch == step->epoch && led_there)
        return exchange_and_flip(steward, to, alias, err);
    snprintf(reason, sizeof reason,
             "the alias was changed by another: it leads to '%.150s' in epoch %" PRId64
             ", and this was asked for in epoch %" PRId64,
             alias->target ? alias->target : "nothing", alias->epoch, step->epoch);
    return give_up(steward, to, alias, reason, err);
}

bool promote_step(struct steward *steward, struct err *err)
{
    const struct registry_step *step = &steward->registry.step;
    struct alias alias;
    if (!step->kind || strcmp(step->kind, STEP_PROMOTING) != 0)
        return true;
    if (!steward_load_alias(steward, &alias, err))
        return false;
    bool ok = carry_on(steward, &alias, err);
    /* the last write of all may be what failed: then nothing of the step is left in memory */
    struct version *to = ok ? NULL : registry_version(&steward->registry, step->label);
    if (to && !steward->overtaken && err->action == ERR_FATAL)
        version_note_reason(steward, to, err->text); /* until a person has looked: say what at */
    alias_fini(&alias);
    return ok;
}
