/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/status/status.h"

#include <stdlib.h>
#include <string.h>

#include "agent/capture/capture.h"
#include "agent/commands/command.h"
#include "agent/stats.h"
#include "agent/status/status_steps.h"
#include "agent/steward/sweep.h"
#include "base/clock.h"
#include "base/json.h"
#include "cdc/item.h"
#include "cdc/scan.h"
#include "state/alias.h"
#include "state/checkpoint.h"
#include "state/registry.h"

/* One family while its entry is made. */
struct view {
    const struct status_request *request;
    const struct config_family *config; /* NULL: not in the file any more */
    const struct registry *registry;    /* NULL: nothing is stored yet */
    const char *name;
    const char *database; /* of the source */
    const char *collection;
    int64_t now_ms;
    bool agent_running;
};

static void add_known(cJSON *object, const char *name, int64_t number)
{
    if (number < 0)
        json_add_null(object, name);
    else
        json_add_int(object, name, number);
}

/* With the work log memory each version has a capture of its own: the active one speaks for the
 * family, else, or where that was adopted, the newest that is fed. */
static const char *speaking_build(const struct view *view)
{
    const char *build_id = NULL;
    for (size_t i = 0; view->registry && i < view->registry->version_count; i++) {
        const struct version *version = &view->registry->versions[i];
        if (version->state == VERSION_ACTIVE && !version->external)
            return version->build_id;
        if (version_is_fed(version))
            build_id = version->build_id;
    }
    return build_id;
}

struct progress {
    struct checkpoint checkpoint;
    struct lease_info lease;
    struct capture_stats stats;
    struct source_counts counts;
    bool found;
};

static void progress_fini(struct progress *progress)
{
    checkpoint_fini(&progress->checkpoint);
    lease_info_fini(&progress->lease);
}

static bool load_progress(const struct view *view, struct progress *out, struct err *err)
{
    const struct config *config = view->request->config;
    bool memory = config->worklog.driver == WORKLOG_MEMORY;
    const char *build_id = memory ? speaking_build(view) : NULL;
    *out = (struct progress){.stats = CAPTURE_STATS_UNKNOWN};
    if (!stats_load_source(view->request->docs, config->name, view->name, &out->counts, err))
        return false;
    if (!view->database || (memory && !build_id))
        return true;
    char *id = capture_id(config, view->database, build_id);
    bool ok =
        checkpoint_load(view->request->docs, id, &out->found, &out->checkpoint, &out->lease, err);
    ok = ok && stats_load_capture(view->request->docs, id, &out->stats, err);
    free(id);
    return ok;
}

static int64_t estimate(const struct view *view, const struct checkpoint_family *state)
{
    int64_t count = -1;
    struct scan_options options = {
        .pool = view->request->pool, .database = view->database, .collection = view->collection};
    if (options.pool && view->database && scan_estimate(&options, &count, NULL))
        return count;
    return state ? state->total_rows : -1;
}

static cJSON *snapshot_entry(const struct checkpoint_family *state)
{
    cJSON *entry = json_object();
    int64_t rows = 0;
    bool begun = state && state->gen > 0;
    for (size_t i = 0; begun && i < state->range_count; i++)
        rows += state->ranges[i].rows;
    bool done = begun && state->end_offsets;
    json_add_string(entry, "state", done ? "done" : begun ? "running" : "waiting");
    json_add_int(entry, "done", rows);
    /* an estimate that the rows have outrun, or documents that came and went */
    int64_t total = begun ? state->total_rows : -1;
    total = done || (total >= 0 && total < rows) ? rows : total;
    add_known(entry, "total", total);
    int64_t rate = begun && !done ? state->rows_per_second : 0;
    add_known(entry, "documents_per_second", done ? -1 : rate);
    add_known(entry, "eta_s", done ? 0 : total >= 0 && rate > 0 ? (total - rows) / rate : -1);
    return entry;
}

/* What captures have counted. */
static cJSON *counts_entry(const struct source_counts *counts)
{
    cJSON *entry = json_object(), *events = json_object(), *items = json_object();
    for (int op = 0; op < SOURCE_OP_COUNT; op++)
        json_add_int(events, source_op_names[op], counts->events[op]);
    for (int op = 0; op < SOURCE_ITEM_OPS; op++)
        json_add_int(items, item_op_name((enum item_op)op), counts->items[op]);
    json_add(entry, "events", events);
    json_add_int(entry, "snapshot_documents", counts->documents);
    json_add(entry, "items", items);
    return entry;
}

static cJSON *source_entry(const struct view *view, const struct progress *progress,
                           const struct checkpoint_family *state)
{
    cJSON *entry = json_object();
    const struct lease_info *lease = &progress->lease;
    bool leads = progress->found && lease->valid;
    int64_t age_ms = view->now_ms - lease->saved_ms;
    json_add_string(entry, "database", view->database);
    json_add_string(entry, "collection", view->collection);
    add_known(entry, "documents", estimate(view, state));
    add_known(entry, "lag_ms", leads ? progress->stats.lag_ms : -1);
    add_known(entry, "token_age_ms",
              !progress->found || lease->saved_ms == 0 ? -1
              : age_ms < 0                             ? 0
                                                       : age_ms);
    add_known(entry, "oplog_window_s", leads ? progress->stats.oplog_window_s : -1);
    add_known(entry, "headroom_s", leads ? progress->stats.headroom_s : -1);
    json_add_string(entry, "leader", leads ? lease->holder : NULL);
    add_known(entry, "term", progress->found ? lease->term : -1);
    json_add(entry, "snapshot", snapshot_entry(state));
    json_add(entry, "counts", counts_entry(&progress->counts));
    return entry;
}

static void add_stats(cJSON *entry, const struct version_stats *stats, bool fresh)
{
    json_add_int(entry, "documents", stats->documents);
    json_add_int(entry, "chunks", stats->chunks);
    json_add_int(entry, "quarantined", stats->quarantined);
    json_add_int(entry, "skipped", stats->skipped);
    json_add_int(entry, "pending", stats->pending);
    json_add_int(entry, "repairs", stats->repairs);
    add_known(entry, "lag_items", fresh ? stats->lag_items : -1);
    add_known(entry, "lag_ms", fresh ? stats->lag_ms : -1);
    json_add_double(entry, "progress", stats->progress);
    if (fresh && stats->rate >= 0)
        json_add_double(entry, "documents_per_second", stats->rate);
    else
        json_add_null(entry, "documents_per_second");
    add_known(entry, "eta_s", fresh ? stats->eta_s : -1);
    json_add_int(entry, "embedded", stats->embedded);
    json_add_int(entry, "reused", stats->reused);
    json_add_int(entry, "skipped_unchanged", stats->unchanged);
    json_add_int(entry, "applied", stats->applied);
    json_add_int(entry, "stale", stats->stale);
    json_add_int(entry, "set_aside", stats->set_aside);
    json_add_int(entry, "erased", stats->erased);
    json_add_int(entry, "characters", stats->characters);
}

/* Of a version that vectail does not write: it has no figures of its own. */
static void add_no_stats(cJSON *entry)
{
    static const char *const names[] = {
        "documents", "chunks",    "quarantined", "skipped",           "pending",
        "repairs",   "lag_items", "lag_ms",      "progress",          "documents_per_second",
        "eta_s",     "embedded",  "reused",      "skipped_unchanged", "applied",
        "stale",     "set_aside", "erased",      "characters"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        json_add_null(entry, names[i]);
}

static enum sweep_state sweep_state_of(const struct version *version,
                                       const struct version_stats *stats, bool fresh)
{
    bool swept = stats->generation == 0 || version->swept_gen >= stats->generation;
    bool compares =
        fresh && (stats->sweep_state == SWEEP_RUNNING || stats->sweep_state == SWEEP_WAITING);
    /* what is not a sweep is a comparison with the source */
    if (swept && version->stopped_gen > 0 && version->stopped_gen == stats->generation)
        return SWEEP_STOPPED;
    if (swept && compares)
        return (enum sweep_state)stats->sweep_state;
    if (swept)
        return stats->sweep_state == SWEEP_DONE ? SWEEP_DONE : SWEEP_NONE;
    if (version->stopped_gen == stats->generation)
        return SWEEP_STOPPED;
    return fresh && stats->sweep_state == SWEEP_RUNNING ? SWEEP_RUNNING : SWEEP_WAITING;
}

static cJSON *sweep_entry(const struct version *version, const struct version_stats *stats,
                          bool fresh)
{
    cJSON *entry = json_object();
    json_add_string(entry, "state", sweep_state_name(sweep_state_of(version, stats, fresh)));
    json_add_int(entry, "candidates", stats->sweep_candidates);
    json_add_int(entry, "documents", stats->sweep_documents);
    return entry;
}

/* Of the last one that an agent made by itself. */
static cJSON *audit_entry(const struct version_stats *stats)
{
    cJSON *entry = json_object();
    status_add_time(entry, "at", stats->audited_ms);
    if (stats->audited_ms == 0)
        return entry;
    json_add_bool(entry, "ok",
                  stats->audit_missing + stats->audit_stale + stats->audit_left_over == 0);
    json_add_int(entry, "documents", stats->audit_documents);
    json_add_int(entry, "missing", stats->audit_missing);
    json_add_int(entry, "stale", stats->audit_stale);
    json_add_int(entry, "left_over", stats->audit_left_over);
    json_add_int(entry, "unsettled", stats->audit_unsettled);
    json_add_int(entry, "repaired", stats->audit_repaired);
    return entry;
}

static bool version_entry(struct view *view, const struct version *version, cJSON **out,
                          struct err *err)
{
    struct version_stats stats;
    bool found = false;
    if (!stats_load(view->request->docs, view->request->config->name, version->build_id, &found,
                    &stats, err))
        return false;
    bool fresh = stats.at_ms > 0 && view->now_ms - stats.at_ms < STATS_FRESH_MS;
    view->agent_running = view->agent_running || fresh;
    cJSON *entry = json_object();
    json_add_string(entry, "label", version->label);
    json_add_int(entry, "build", version->build);
    json_add_string(entry, "build_id", version->build_id);
    json_add_string(entry, "state", version_state_name(version->state));
    json_add_string(entry, "collection", version->collection);
    json_add_string(entry, "store", version->store);
    json_add_string(entry, "embedder", version->embedder);
    json_add_int(entry, "dims", version->dims);
    json_add_string(entry, "config_fp", version->config_fp);
    if (version->external)
        add_no_stats(entry);
    else
        add_stats(entry, &stats, fresh);
    json_add_int(entry, "generation", stats.generation);
    json_add_int(entry, "swept_generation", version->swept_gen);
    json_add_string(entry, "doing", fresh ? stats.doing : NULL);
    json_add(entry, "sweep", sweep_entry(version, &stats, fresh));
    json_add(entry, "audit", audit_entry(&stats));
    json_add_bool(entry, "paused", version->paused);
    status_add_times(entry, version);
    json_add_string(entry, "reason", stats.reason ? stats.reason : version->reason);
    stats_fini(&stats);
    *out = entry;
    return true;
}

static bool versions_entry(struct view *view, cJSON **out, struct err *err)
{
    cJSON *versions = json_array();
    bool ok = true;
    for (size_t i = 0; ok && view->registry && i < view->registry->version_count; i++) {
        cJSON *entry = NULL;
        ok = version_entry(view, &view->registry->versions[i], &entry, err);
        if (ok)
            json_append(versions, entry);
    }
    if (ok)
        *out = versions;
    else
        cJSON_Delete(versions);
    return ok;
}

static bool alias_entry(const struct view *view, cJSON **out, struct err *err)
{
    struct alias alias = {0};
    if (view->config) {
        struct alias_ref ref = {.database = view->config->alias.database,
                                .collection = view->config->alias.collection,
                                .family = view->name};
        if (!alias_load(view->request->docs, &ref, &alias, err))
            return false;
    }
    *out = json_object();
    json_add_int(*out, "epoch", alias.epoch);
    json_add_string(*out, "target", alias.target);
    alias_fini(&alias);
    return true;
}

/* Why the family does not get on, or soon will not. */
static const char *reason_of(const struct view *view, const struct progress *progress,
                             const struct checkpoint_family *state)
{
    if (state && state->reason)
        return state->reason;
    if (view->agent_running && progress->stats.headroom_low)
        return "the stream is so far behind that its place may fall out of the oplog";
    return NULL;
}

static bool add_family(struct view *view, const struct progress *progress, cJSON *families,
                       struct err *err)
{
    CLEANUP(cJSON_Deletep) cJSON *alias = NULL;
    CLEANUP(cJSON_Deletep) cJSON *versions = NULL;
    const struct checkpoint_family *state = NULL;
    for (size_t i = 0; i < progress->checkpoint.family_count; i++) {
        if (strcmp(progress->checkpoint.families[i].family, view->name) == 0)
            state = &progress->checkpoint.families[i];
    }
    view->agent_running = progress->found && progress->lease.valid;
    if (!alias_entry(view, &alias, err) || !versions_entry(view, &versions, err))
        return false;
    cJSON *entry = json_object();
    json_add_string(entry, "family", view->name);
    json_add_string(entry, "state", family_state_name(state ? state->state : FAMILY_STARTING));
    json_add_string(entry, "reason", reason_of(view, progress, state));
    json_add_int(entry, "generation", state ? state->gen : 0);
    json_add_bool(entry, "agent_running", view->agent_running);
    json_add_bool(entry, "configured", view->config != NULL);
    json_add(entry, "source", source_entry(view, progress, state));
    json_add(entry, "alias", TAKE(alias));
    status_add_steps(entry, view->registry);
    json_add(entry, "versions", TAKE(versions));
    json_append(families, entry);
    return true;
}

static bool build_family(const struct status_request *request, const char *name,
                         const struct registry *registry, cJSON *families, struct err *err)
{
    struct view view = {.request = request,
                        .config = config_family_of(request->config, name),
                        .registry = registry,
                        .name = name,
                        .now_ms = clock_wall_ms()};
    struct progress progress = {0};
    if (view.config) {
        view.database = view.config->source.database;
        view.collection = view.config->source.collection;
    } else if (registry) {
        view.database = registry->source_database;
        view.collection = registry->source_collection;
    }
    bool ok = load_progress(&view, &progress, err) && add_family(&view, &progress, families, err);
    progress_fini(&progress);
    return ok || err_prefix(err, "family %s", name);
}

struct stored {
    struct registry *items;
    size_t count;
};

static void stored_fini(struct stored *stored)
{
    for (size_t i = 0; i < stored->count; i++)
        registry_fini(&stored->items[i]);
    free(stored->items);
}

static bool is_asked(const struct status_request *request, const char *name)
{
    return !request->family || strcmp(request->family, name) == 0;
}

/* Those of the file in its order, then those that are only served any more. */
static bool build_families(const struct status_request *request, const struct stored *stored,
                           cJSON *families, struct err *err)
{
    const struct config *config = request->config;
    for (size_t i = 0; i < config->family_count; i++) {
        const char *name = config->families[i].name;
        const struct registry *registry = NULL;
        for (size_t k = 0; k < stored->count; k++) {
            if (strcmp(stored->items[k].family, name) == 0)
                registry = &stored->items[k];
        }
        if (is_asked(request, name) && !build_family(request, name, registry, families, err))
            return false;
    }
    for (size_t k = 0; k < stored->count; k++) {
        const char *name = stored->items[k].family;
        if (is_asked(request, name) && !config_family_of(config, name) &&
            !build_family(request, name, &stored->items[k], families, err))
            return false;
    }
    /* neither the file nor the registry has it */
    return !request->family || cJSON_GetArraySize(families) > 0 ||
           command_family(config, request->family, err);
}

static bool any_agent(const cJSON *families)
{
    const cJSON *family;
    cJSON_ArrayForEach(family, families)
    {
        if (cJSON_IsTrue(json_get(family, "agent_running")))
            return true;
    }
    return false;
}

static void add_health(cJSON *status, struct health *health)
{
    cJSON *entry = health_json(health);
    json_add(status, "ready", cJSON_DetachItemFromObjectCaseSensitive(entry, "ready"));
    json_add(status, "reasons", cJSON_DetachItemFromObjectCaseSensitive(entry, "reasons"));
    json_add(status, "servers", health_servers_json(health));
    cJSON_Delete(entry);
}

bool status_json(const struct status_request *request, cJSON **out, struct err *err)
{
    CLEANUP(stored_fini) struct stored stored = {0};
    CLEANUP(cJSON_Deletep) cJSON *families = json_array();
    if (!registry_list(request->docs, request->config->name, &stored.items, &stored.count, err) ||
        !build_families(request, &stored, families, err))
        return false;
    cJSON *status = json_object();
    json_add_string(status, "name", request->config->name);
    json_add_string(status, "version", VECTAIL_VERSION);
    json_add_bool(status, "agent_running", request->health || any_agent(families));
    if (request->health)
        add_health(status, request->health);
    else if (request->servers)
        json_add(status, "servers", cJSON_Duplicate(request->servers, true));
    json_add(status, "families", TAKE(families));
    *out = status;
    return true;
}

const cJSON *status_family(const cJSON *status, const char *family)
{
    const cJSON *entry, *found = NULL;
    cJSON_ArrayForEach(entry, json_get(status, "families"))
    {
        const char *name = "";
        if (json_get_string(entry, "family", &name) && strcmp(name, family) == 0)
            found = entry;
    }
    return found;
}

const cJSON *status_version(const cJSON *family, const char *label)
{
    const cJSON *entry, *found = NULL;
    cJSON_ArrayForEach(entry, json_get(family, "versions"))
    {
        const char *name = "";
        if (json_get_string(entry, "label", &name) && strcmp(name, label) == 0)
            found = entry; /* builds stand in the order of their making */
    }
    return found;
}
