/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/steward/remove.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/capture/capture.h"
#include "agent/lane/lane.h"
#include "agent/stats.h"
#include "agent/steward/collect.h"
#include "base/clock.h"
#include "base/crash.h"
#include "state/checkpoint.h"

static void refuse(struct removal *out, const char *format, ...) PRINTF_LIKE(2, 3);

static void refuse(struct removal *out, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(out->reason, sizeof out->reason, format, list);
    va_end(list);
    out->refused = true;
}

static void refuse_unknown(const struct removal_options *options, struct removal *out)
{
    refuse(out, "nothing is written down of a family '%s'", options->family);
    out->unknown = true;
}

/* --- whether somebody feeds it ------------------------------------------------------------------- */

static bool look_at_figures(const struct removal_options *options, const struct version *version,
                            struct removal *out, struct err *err)
{
    struct version_stats stats;
    bool found;
    if (!stats_load(options->docs, options->config->name, version->build_id, &found, &stats, err))
        return false;
    int64_t age_ms = clock_wall_ms() - stats.at_ms;
    if (found && stats.at_ms > 0 && age_ms < STATS_FRESH_MS)
        refuse(out,
               "an agent feeds version %s of it, as of %" PRId64
               " s ago: take family %s out of that agent's file and start it again, or stop it and "
               "wait for %d s",
               version->label, age_ms > 0 ? age_ms / 1000 : 0, options->family,
               STATS_FRESH_MS / 1000);
    stats_fini(&stats);
    return true;
}

/* A leader that does not have it in its file says so in the checkpoint, once its stream is open. */
static bool is_being_read(const struct checkpoint *checkpoint, const char *family)
{
    for (size_t i = 0; i < checkpoint->family_count; i++) {
        const struct checkpoint_family *state = &checkpoint->families[i];
        if (strcmp(state->family, family) == 0)
            return state->state == FAMILY_STARTING || state->state == FAMILY_SNAPSHOT ||
                   state->state == FAMILY_STREAMING;
    }
    return false;
}

/* `build_id`: with the work log memory; NULL: of all that read that database. */
static bool look_at_lease(const struct removal_options *options, const char *build_id,
                          struct removal *out, struct err *err)
{
    struct checkpoint checkpoint = {0};
    struct lease_info lease = {0};
    bool found = false;
    char *id = capture_id(options->config, out->registry.source_database, build_id);
    bool ok = checkpoint_load(options->docs, id, &found, &checkpoint, &lease, err);
    if (ok && found && lease.valid && is_being_read(&checkpoint, options->family))
        refuse(out,
               "agent '%s' reads its source: take family %s out of that agent's file and start it "
               "again, or stop it",
               lease.holder ? lease.holder : "", options->family);
    checkpoint_fini(&checkpoint);
    lease_info_fini(&lease);
    free(id);
    return ok;
}

static bool look_for_agents(const struct removal_options *options, struct removal *out,
                            struct err *err)
{
    const struct registry *registry = &out->registry;
    bool knows = registry->source_database != NULL;
    if (knows && !look_at_lease(options, NULL, out, err))
        return false;
    for (size_t i = 0; i < registry->version_count && !out->refused; i++) {
        const struct version *version = &registry->versions[i];
        if (!version_is_fed(version))
            continue;
        if (!look_at_figures(options, version, out, err) ||
            (!out->refused && knows && !look_at_lease(options, version->build_id, out, err)))
            return false;
    }
    return true;
}

/* --- its collections ----------------------------------------------------------------------------- */

static bool same(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

static bool load_alias(const struct removal_options *options, struct removal *out, struct err *err)
{
    if (collect_alias_ref(options->config, &out->registry, &out->alias_at))
        out->alias_read = alias_load(options->docs, &out->alias_at, &out->alias, err);
    return out->alias_read || !out->alias_at.database || !options->drop_collections;
}

/* Where it stays, `why` says so. */
static void judge(const struct removal_options *options, const struct removal *removal,
                  struct removed_collection *entry)
{
    const char *name = entry->version->collection;
    const char *why = "";
    if (entry->version->external)
        why = "it was adopted, and is not ours";
    else if (!options->drop_collections)
        why = "--drop-collections was not given";
    else if (!removal->alias_at.database)
        why = "where its alias is, is not known";
    else if (same(removal->alias.target, name) || same(removal->alias.previous_target, name))
        why = "the alias document names it";
    snprintf(entry->why, sizeof entry->why, "%s", why);
}

static void list_collections(const struct removal_options *options, struct removal *out)
{
    out->collections = calloc(out->registry.version_count + 1, sizeof *out->collections);
    for (size_t i = 0; i < out->registry.version_count; i++) {
        const struct version *version = &out->registry.versions[i];
        if (version->state == VERSION_DROPPED || !version->collection || !version->store)
            continue;
        struct removed_collection *entry = &out->collections[out->count++];
        entry->version = version;
        judge(options, out, entry);
        if (!entry->why[0] && !config_store_of(options->config, version->store))
            refuse(out,
                   "collection '%s' is in store '%s', which is not in %s: put it there, or leave "
                   "--drop-collections out",
                   version->collection, version->store, options->config->file);
    }
}

static bool drop_collections(const struct removal_options *options, struct removal *out,
                             struct err *err)
{
    struct collect_options collect = {.config = options->config,
                                      .docs = options->docs,
                                      .state_id = options->state_id,
                                      .limiters = options->limiters};
    for (size_t i = 0; i < out->count; i++) {
        struct removed_collection *entry = &out->collections[i];
        struct err kept;
        struct collect_entry what = {.collection = entry->version->collection,
                                     .store = entry->version->store,
                                     .build_id = entry->version->build_id};
        if (entry->why[0])
            continue;
        entry->dropped = collect_erase(&collect, &what, &kept);
        if (entry->dropped)
            continue;
        if (kept.action != ERR_FATAL) {
            *err = kept;
            return false;
        }
        snprintf(entry->why, sizeof entry->why, "%s", kept.text);
    }
    crash_point("remove.dropped");
    return true;
}

/* --- what is written down of it ------------------------------------------------------------------ */

static bool forget_builds(const struct removal_options *options, struct removal *out,
                          struct err *err)
{
    for (size_t i = 0; i < out->registry.version_count; i++) {
        const struct version *version = &out->registry.versions[i];
        struct collect_build build = {options->config, options->pool, options->docs,
                                      version->build_id, out->registry.source_database};
        if (!collect_forget(&build, err))
            return false;
        out->ledgers += version->state != VERSION_DROPPED && !version->external;
    }
    crash_point("remove.forgotten");
    return true;
}

/* Without an answer from Kafka the others are not asked for either: each would be waited for. */
static void forget_groups(const struct removal_options *options, struct removal *out)
{
    struct err kept = {.action = options->log ? ERR_FATAL : ERR_RETRY};
    if (!options->log && !options->log_why)
        return;
    snprintf(out->groups_why, sizeof out->groups_why, "%s",
             options->log_why ? options->log_why : "");
    out->groups = calloc(out->registry.version_count + 1, sizeof *out->groups);
    for (size_t i = 0; i < out->registry.version_count; i++) {
        const struct version *version = &out->registry.versions[i];
        if (version->external || version->state == VERSION_DROPPED)
            continue;
        struct removed_group *group = &out->groups[out->group_count++];
        group->name = lane_group(options->config, options->family, version);
        if (kept.action == ERR_RETRY)
            continue;
        group->removed = worklog_forget_group(options->log, group->name, &kept);
        if (!group->removed)
            snprintf(out->groups_why, sizeof out->groups_why, "%s", kept.text);
    }
}

/* An agent that has it in its file after all has begun again meanwhile: its registry is not taken away. */
static bool forget_registry(const struct removal_options *options, struct removal *out,
                            struct err *err)
{
    char id[512];
    struct registry now;
    snprintf(id, sizeof id, "%s/%s", options->config->name, options->family);
    struct doc_ref ref = {.collection = "families", .id = id, .counter = "rev"};
    if (!registry_load(options->docs, options->config->name, options->family, &now, err))
        return false;
    bool changed = now.rev != out->registry.rev;
    registry_fini(&now);
    if (changed)
        return err_set(err, ERR_RETRY, ERR_STATE, 0,
                       "family %s was changed by another while it was being removed: stop what has "
                       "it in its file, and say it again",
                       options->family);
    return stats_remove_source(options->docs, options->config->name, options->family, err) &&
           docstore_remove(options->docs, &ref, err);
}

bool removal_run(const struct removal_options *options, struct removal *out, struct err *err)
{
    *out = (struct removal){0};
    if (!registry_load(options->docs, options->config->name, options->family, &out->registry, err))
        return false;
    if (config_family_of(options->config, options->family))
        refuse(out, "family %s is in %s: take it out there, and have every agent read that first",
               options->family, options->config->file);
    else if (out->registry.rev == 0)
        refuse_unknown(options, out);
    if (out->refused)
        return true;
    if (!look_for_agents(options, out, err) || (!out->refused && !load_alias(options, out, err)))
        return false;
    if (!out->refused)
        list_collections(options, out);
    if (out->refused)
        return true;
    if (!drop_collections(options, out, err) || !forget_builds(options, out, err))
        return false;
    forget_groups(options, out);
    return forget_registry(options, out, err);
}

void removal_fini(struct removal *removal)
{
    registry_fini(&removal->registry);
    alias_fini(&removal->alias);
    free(removal->collections);
    for (size_t i = 0; i < removal->group_count; i++)
        free(removal->groups[i].name);
    free(removal->groups);
    *removal = (struct removal){0};
}
