/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/commands/sweep_command.h"

#include <stdlib.h>
#include <string.h>

#include "agent/stats.h"
#include "agent/steward/feed.h"
#include "agent/steward/sweep.h"
#include "base/arena.h"
#include "base/limits.h"

#define EXAMPLES 5
#define PAGE_ROWS 1000

static bool add_examples(struct ledger *ledger, int64_t gen, cJSON *entry, struct err *err)
{
    CLEANUP(arena_freep) struct arena *arena = arena_new(LIMIT_ARENA_SIZE);
    CLEANUP(cJSON_Deletep) cJSON *examples = json_array();
    struct ledger_behind_page page = {.gen = gen, .limit = PAGE_ROWS, .arena = arena, .last = ""};
    for (int found = 0; found < EXAMPLES && page.last;) {
        char *after = strdup(page.last);
        arena_reset(arena);
        page.after = after;
        bool ok = ledger_scan_behind(ledger, &page, err);
        free(after);
        if (!ok)
            return false;
        for (size_t i = 0; i < page.count && found < EXAMPLES; i++, found++)
            json_append(examples, cJSON_CreateString(page.keys[i]));
    }
    json_add(entry, "examples", TAKE(examples));
    return true;
}

static bool add_counts(const struct sweep_command *sweep, const struct version *version,
                       int64_t gen, cJSON *entry, struct err *err)
{
    CLEANUP(ledger_closep) struct ledger *ledger = NULL;
    struct ledger_behind counts;
    if (!command_open_ledger(sweep->command, version, &ledger, err) ||
        !ledger_count_behind(ledger, gen, &counts, err))
        return false;
    double ratio = counts.documents > 0 ? (double)counts.behind / (double)counts.documents : 0;
    json_add_int(entry, "candidates", counts.behind);
    json_add_int(entry, "documents", counts.documents);
    json_add_double(entry, "ratio", ratio);
    json_add_double(entry, "max_ratio", sweep->family->sweep_max_ratio);
    json_add_int(entry, "limit", sweep_limit(&counts, sweep->family->sweep_max_ratio));
    return add_examples(ledger, gen, entry, err);
}

/* Deletes may have been missed without a gap: the ledger is compared with the source. */
static bool is_comparison(const struct sweep_command *sweep, const struct version *version,
                          const struct feed_view *view)
{
    return version->swept_gen >= view->gen &&
           registry_find_wish(&sweep->registry, WISH_COMPARE, version->label, view->gen);
}

/* What the leader has counted: it takes a question to the source for every document. */
static bool add_counted(const struct sweep_command *sweep, const struct version *version,
                        cJSON *entry, struct err *err)
{
    struct version_stats stats;
    bool found;
    if (!stats_load(sweep->command->docs, sweep->command->config->name, version->build_id, &found,
                    &stats, err))
        return false;
    struct ledger_behind counts = {.documents = stats.sweep_documents,
                                   .behind = stats.sweep_candidates};
    stats_fini(&stats);
    json_add_int(entry, "candidates", counts.behind);
    json_add_int(entry, "documents", counts.documents);
    json_add_double(entry, "max_ratio", sweep->family->sweep_max_ratio);
    json_add_int(entry, "limit", sweep_limit(&counts, sweep->family->sweep_max_ratio));
    return true;
}

static const char *state_of(const struct sweep_command *sweep, const struct version *version,
                            const struct feed_view *view)
{
    if (!view->known || (version->swept_gen >= view->gen && !is_comparison(sweep, version, view)))
        return "none";
    if (registry_find_wish(&sweep->registry, WISH_SWEEP, version->label, view->gen))
        return "confirmed";
    return sweep_state_name(version->stopped_gen == view->gen ? SWEEP_STOPPED : SWEEP_WAITING);
}

static bool add_confirmation(struct registry *registry, void *context)
{
    return registry_add_wish(registry, context);
}

static bool confirm(struct sweep_command *sweep, const struct version *version, int64_t gen,
                    struct err *err)
{
    struct registry_wish wish = {.kind = command_lend(WISH_SWEEP),
                                 .label = version->label,
                                 .gen = gen,
                                 .by = command_lend(sweep->command->by)};
    struct registry_update update = {.name = sweep->command->config->name,
                                     .family = sweep->family->name,
                                     .change = add_confirmation,
                                     .context = &wish};
    return registry_apply(sweep->command->docs, &update, err);
}

static bool look_at(struct sweep_command *sweep, const struct version *version, struct err *err)
{
    CLEANUP(feed_view_fini) struct feed_view view = {0};
    CLEANUP(cJSON_Deletep) cJSON *entry = json_object();
    struct feed_place place = {sweep->command->config, sweep->command->docs, sweep->family,
                               version->build_id};
    if (!feed_view_load(&place, &view, err))
        return false;
    const char *state = state_of(sweep, version, &view);
    bool stopped = strcmp(state, "stopped") == 0;
    if (stopped && sweep->confirm && !confirm(sweep, version, view.gen, err))
        return false;
    sweep->confirmed += stopped && sweep->confirm;
    sweep->stopped += stopped && !sweep->confirm;
    json_add_string(entry, "label", version->label);
    json_add_string(entry, "state", stopped && sweep->confirm ? "confirmed" : state);
    json_add_int(entry, "generation", view.gen);
    json_add_int(entry, "swept_generation", version->swept_gen);
    json_add_bool(entry, "snapshot_done", view.snapshot_done);
    bool compares = is_comparison(sweep, version, &view);
    json_add_bool(entry, "comparison", compares);
    if (compares ? !add_counted(sweep, version, entry, err)
                 : strcmp(state, "none") != 0 && !add_counts(sweep, version, view.gen, entry, err))
        return false;
    json_append(sweep->versions, TAKE(entry));
    return true;
}

bool sweep_command_run(struct sweep_command *sweep, struct err *err)
{
    sweep->versions = json_array();
    bool ok = registry_load(sweep->command->docs, sweep->command->config->name, sweep->family->name,
                            &sweep->registry, err);
    for (size_t i = 0; ok && i < sweep->registry.version_count; i++) {
        const struct version *version = &sweep->registry.versions[i];
        ok = !version_is_fed(version) || look_at(sweep, version, err);
    }
    return ok;
}

cJSON *sweep_command_json(const struct sweep_command *sweep)
{
    cJSON *reply = json_object();
    json_add_string(reply, "family", sweep->family->name);
    json_add_int(reply, "confirmed", sweep->confirmed);
    json_add(reply, "versions", cJSON_Duplicate(sweep->versions, true));
    return reply;
}

void sweep_command_fini(struct sweep_command *sweep)
{
    registry_fini(&sweep->registry);
    cJSON_Delete(sweep->versions);
}
