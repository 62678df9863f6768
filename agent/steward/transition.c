/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/steward/transition.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "agent/steward/wish.h"
#include "cdc/worklog.h"

struct look {
    const struct registry *registry;
    const struct registry_wish *wish;
    const struct alias *alias;
    const struct wish_args *args;
    const struct version *version; /* newest build of the label; NULL: there is none */
    char *reason;
    size_t size;
};

static bool refuse(const struct look *look, const char *format, ...) PRINTF_LIKE(2, 3);

static bool refuse(const struct look *look, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(look->reason, look->size, format, list);
    va_end(list);
    return false;
}

static bool same(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

bool transition_is_named(const struct version *version, const struct alias *alias)
{
    return same(version->collection, alias->target);
}

bool transition_is_left(const struct registry *registry, const struct version *version)
{
    return version->state == VERSION_ACTIVE && same(registry->step.kind, STEP_PROMOTING) &&
           !same(registry->step.label, version->label);
}

static bool step_is(const struct look *look, const char *kind, const char *label)
{
    return same(look->registry->step.kind, kind) && same(look->registry->step.label, label);
}

static bool find_version(const struct look *look)
{
    const char *family = look->registry->family;
    if (!look->wish->label)
        return refuse(look, "no version is named");
    if (!look->version)
        return refuse(look, "family %s has no version '%s'", family, look->wish->label);
    /* the wish may have stood for long: the label was dropped and built anew meanwhile */
    return !look->args->build_id || same(look->args->build_id, look->version->build_id) ||
           refuse(look,
                  "version %s is another build than when that was asked for: look at `vectail "
                  "status %s` "
                  "and ask again",
                  look->version->label, family);
}

/* Readers are led where the registry thinks they are, or a person has to say what is right. */
static bool alias_is_ours(const struct look *look)
{
    const struct alias *alias = look->alias;
    const struct version *active = registry_in_state(look->registry, VERSION_ACTIVE);
    if (!alias || (!active && !alias->target))
        return true;
    if (!active)
        return refuse(look,
                      "the alias leads to '%s', which no version of this family is: take it over "
                      "with `vectail adopt`, or remove the alias document",
                      alias->target);
    if (!alias->target)
        return refuse(look, "version %s is served, but the alias document is gone: put it back",
                      active->label);
    return same(alias->target, active->collection) ||
           refuse(look,
                  "the alias leads to '%s', and not to '%s' of the active version %s: it was "
                  "changed by another, put it right first",
                  alias->target, active->collection, active->label);
}

static bool check_create(const struct look *look)
{
    const struct version *version = look->version;
    if (!look->wish->label || !*look->wish->label)
        return refuse(look, "no version is named");
    if (!look->args->embedder)
        return refuse(look, "no embedder is named");
    if (!version || version->state == VERSION_DROPPED)
        return true;
    if (version->state == VERSION_FAILED || version->state == VERSION_RETIRED)
        return refuse(look, "version %s is there and %s: drop it first, or take another label",
                      version->label, version_state_name(version->state));
    return refuse(look, "version %s is there already, and %s: another one needs another label",
                  version->label, version_state_name(version->state));
}

static bool check_verify(const struct look *look)
{
    const struct version *version = look->version;
    if (!find_version(look))
        return false;
    if (version->external)
        return refuse(look, "version %s was adopted: nothing is known of what is in it",
                      version->label);
    return version_is_fed(version) || refuse(look, "version %s is %s: there is nothing to verify",
                                             version->label, version_state_name(version->state));
}

static bool can_be_served(const struct look *look)
{
    const struct version *version = look->version;
    switch (version->state) {
    case VERSION_ACTIVE:
        if (look->args->force && look->alias && !same(look->alias->target, version->collection))
            return true; /* the alias is led back to it */
        if (transition_is_left(look->registry, version))
            return refuse(look,
                          "version %s is served only until readers are led to %s, which is under "
                          "way: ask again when that is over",
                          version->label, look->registry->step.label);
        return refuse(look, "version %s is served already", version->label);
    case VERSION_PREVIOUS:
        if (look->args->force)
            return true;
        return refuse(look, "version %s was served before this one: `vectail rollback %s`",
                      version->label, look->registry->family);
    case VERSION_PLANNED:
    case VERSION_CREATING:
        return refuse(look, "version %s is %s: it has no collection yet%s%s", version->label,
                      version_state_name(version->state), version->reason ? "; " : "",
                      version->reason ? version->reason : "");
    case VERSION_RETIRED:
    case VERSION_DROPPED:
    case VERSION_FAILED:
        return refuse(look, "version %s is %s: it is not kept in step any more", version->label,
                      version_state_name(version->state));
    default:
        break;
    }
    /* one that was ready is verified again when the alias has moved: that is waited for */
    if (version->state == VERSION_READY || look->args->force ||
        (version->state == VERSION_VERIFYING && version->verified_ms > 0))
        return true;
    return refuse(look, "version %s is %s, not ready%s%s", version->label,
                  version_state_name(version->state), version->reason ? ": " : "",
                  version->reason ? version->reason : "");
}

/* Somebody else was faster: this was asked of what is not so any more. */
static bool is_of_this_epoch(const struct look *look)
{
    const struct wish_args *args = look->args;
    if (!look->alias || !args->has_epoch || args->epoch == look->alias->epoch)
        return true;
    return refuse(look,
                  "the alias was flipped since that was asked for: it leads to '%s' in epoch %lld, "
                  "not %lld; look at `vectail status %s` and ask again",
                  look->alias->target ? look->alias->target : "nothing",
                  (long long)look->alias->epoch, (long long)args->epoch, look->registry->family);
}

/* What is not built yet, in the place of what is served. */
static bool can_take_the_place(const struct look *look)
{
    const struct version *version = look->version;
    const struct version *active = registry_in_state(look->registry, VERSION_ACTIVE);
    if (version->state == VERSION_FAILED)
        return refuse(look, "version %s is failed%s%s", version->label, version->reason ? ": " : "",
                      version->reason ? version->reason : "");
    if (version->external || version->state > VERSION_BACKFILLING)
        return refuse(look,
                      "version %s is %s: it has a collection beside what is served, and nothing "
                      "has to be emptied for it",
                      version->label, version_state_name(version->state));
    if (!active)
        return refuse(look, "nothing is served yet: version %s will be, as soon as it is verified",
                      version->label);
    return !active->external ||
           refuse(look, "what is served was adopted: its collection '%s' is not ours to empty",
                  active->collection);
}

static bool check_cutover(const struct look *look)
{
    bool empties = look->args->empty_live;
    if (!find_version(look))
        return false;
    if (step_is(look, STEP_DROPPING, look->version->label))
        return refuse(look, "version %s is being dropped", look->version->label);
    if ((look->args->force || empties) && !look->wish->reason)
        return refuse(look, "to force it, a reason has to be given");
    if (empties)
        return is_of_this_epoch(look) && can_take_the_place(look) && alias_is_ours(look);
    return is_of_this_epoch(look) && can_be_served(look) &&
           (look->args->force || alias_is_ours(look));
}

static bool check_rollback(const struct look *look)
{
    const struct version *previous = registry_way_back(look->registry, NULL);
    if (!previous)
        return refuse(look, "family %s has no previous version to go back to",
                      look->registry->family);
    return step_is(look, STEP_PROMOTING, previous->label) ||
           (is_of_this_epoch(look) && alias_is_ours(look));
}

static bool check_drop(const struct look *look)
{
    const struct version *version = look->version;
    if (!find_version(look))
        return false;
    if (version->state == VERSION_DROPPED)
        return refuse(look, "version %s is dropped already", version->label);
    if (version->external)
        return refuse(look, "version %s was adopted: its collection '%s' is not ours to remove",
                      version->label, version->collection);
    if (version->state == VERSION_ACTIVE)
        return refuse(look,
                      "version %s is what is served: `vectail cutover %s LABEL` or `vectail "
                      "rollback %s` leads readers to another first",
                      version->label, look->registry->family, look->registry->family);
    if (version->state == VERSION_PREVIOUS)
        return refuse(look,
                      "version %s is kept to go back to until families.%s.rollback_window is over",
                      version->label, look->registry->family);
    if (step_is(look, STEP_PROMOTING, version->label))
        return refuse(look, "version %s is being cut over to", version->label);
    if (version->collection_id && look->alias && transition_is_named(version, look->alias))
        return refuse(look, "the alias names the collection '%s' of version %s",
                      version->collection, version->label);
    return true;
}

static bool check_adopt(const struct look *look)
{
    const char *target = look->args->target;
    const struct version *active = registry_in_state(look->registry, VERSION_ACTIVE);
    if (!target || !*target)
        return refuse(look, "no collection is named");
    if (!look->args->embedder)
        return refuse(look, "no embedder is named");
    if (active)
        return refuse(look, "family %s has a served version already: %s", look->registry->family,
                      active->label);
    for (size_t i = 0; i < look->registry->version_count; i++) {
        const struct version *version = &look->registry->versions[i];
        if (same(version->collection, target) && version->state != VERSION_DROPPED)
            return refuse(look, "'%s' is the collection of version %s", target, version->label);
    }
    if (look->alias && look->alias->target && !same(look->alias->target, target))
        return refuse(look, "the alias leads to '%s', not to '%s'", look->alias->target, target);
    return true;
}

static bool check_partitions(const struct look *look)
{
    int64_t count = look->args->count;
    return (count >= 1 && count <= WORKLOG_MAX_PARTITIONS) ||
           refuse(look, "a topic has 1 to %d partitions, not %lld", WORKLOG_MAX_PARTITIONS,
                  (long long)count);
}

static const struct {
    const char *kind;
    bool (*check)(const struct look *look);
} checks[] = {
    {WISH_CREATE, check_create},         {WISH_VERIFY, check_verify}, {WISH_CUTOVER, check_cutover},
    {WISH_ROLLBACK, check_rollback},     {WISH_DROP, check_drop},     {WISH_ADOPT, check_adopt},
    {WISH_PARTITIONS, check_partitions},
};

bool transition_check(const struct registry *registry, const struct registry_wish *wish,
                      const struct alias *alias, char *reason, size_t size)
{
    struct err err;
    struct wish_args args;
    struct look look = {registry, wish, alias, &args, NULL, reason, size};
    bool allowed = true;
    look.version = registry_version(registry, wish->label);
    reason[0] = '\0';
    if (registry->step.kind && same(registry->step.wish, wish->id))
        return true; /* begun: it is carried on */
    if (!wish_args_decode(wish, &args, &err))
        return refuse(&look, "%s", err.text);
    for (size_t i = 0; i < ARRAY_LEN(checks); i++) {
        if (strcmp(wish->kind, checks[i].kind) == 0)
            allowed = checks[i].check(&look);
    }
    wish_args_fini(&args);
    return allowed;
}
