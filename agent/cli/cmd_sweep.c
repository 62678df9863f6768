/* SPDX-License-Identifier: Apache-2.0 */
/* sweep: what a gap has left over, from ledger and checkpoint; and the word of a person. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/cli/cmd.h"
#include "agent/stats.h"
#include "agent/steward/feed.h"
#include "agent/steward/sweep.h"
#include "base/arena.h"
#include "base/json.h"
#include "base/limits.h"
#include "state/registry.h"

#define EXAMPLES 5
#define PAGE_ROWS 1000

struct look {
    const struct config *config;
    const struct config_family *family;
    struct cmd_state *state;
    struct registry registry;
    cJSON *versions;
    int stopped;   /* without a confirmation */
    int confirmed; /* by this call */
    bool confirm;
    char by[160];
};

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

static bool add_counts(const struct look *look, const struct version *version, int64_t gen,
                       cJSON *entry, struct err *err)
{
    struct ledger_options options = {.pool = look->state->pool,
                                     .database = look->config->mongodb.state_database,
                                     .name = look->config->name,
                                     .build_id = version->build_id,
                                     .owner = look->by};
    CLEANUP(ledger_closep) struct ledger *ledger = NULL;
    struct ledger_behind counts;
    if (!ledger_open(&options, &ledger, err) || !ledger_count_behind(ledger, gen, &counts, err))
        return false;
    double ratio = counts.documents > 0 ? (double)counts.behind / (double)counts.documents : 0;
    json_add_int(entry, "candidates", counts.behind);
    json_add_int(entry, "documents", counts.documents);
    json_add_double(entry, "ratio", ratio);
    json_add_double(entry, "max_ratio", look->family->sweep_max_ratio);
    json_add_int(entry, "limit", sweep_limit(&counts, look->family->sweep_max_ratio));
    return add_examples(ledger, gen, entry, err);
}

/* Deletes may have been missed without a gap: the ledger is compared with the source. */
static bool is_comparison(const struct look *look, const struct version *version,
                          const struct feed_view *view)
{
    return version->swept_gen >= view->gen &&
           registry_find_wish(&look->registry, WISH_COMPARE, version->label, view->gen);
}

/* What the leader has counted: it takes a question to the source for every document. */
static bool add_counted(const struct look *look, const struct version *version, cJSON *entry,
                        struct err *err)
{
    struct version_stats stats;
    bool found;
    if (!stats_load(look->state->docs, look->config->name, version->build_id, &found, &stats, err))
        return false;
    struct ledger_behind counts = {.documents = stats.sweep_documents,
                                   .behind = stats.sweep_candidates};
    stats_fini(&stats);
    json_add_int(entry, "candidates", counts.behind);
    json_add_int(entry, "documents", counts.documents);
    json_add_double(entry, "max_ratio", look->family->sweep_max_ratio);
    json_add_int(entry, "limit", sweep_limit(&counts, look->family->sweep_max_ratio));
    return true;
}

static const char *state_of(const struct look *look, const struct version *version,
                            const struct feed_view *view)
{
    if (!view->known || (version->swept_gen >= view->gen && !is_comparison(look, version, view)))
        return "none";
    if (registry_find_wish(&look->registry, WISH_SWEEP, version->label, view->gen))
        return "confirmed";
    return sweep_state_name(version->stopped_gen == view->gen ? SWEEP_STOPPED : SWEEP_WAITING);
}

static bool add_confirmation(struct registry *registry, void *context)
{
    return registry_add_wish(registry, context);
}

static bool confirm(struct look *look, const struct version *version, int64_t gen, struct err *err)
{
    char kind[] = WISH_SWEEP;
    struct registry_wish wish = {.kind = kind, .label = version->label, .gen = gen, .by = look->by};
    struct registry_update update = {.name = look->config->name,
                                     .family = look->family->name,
                                     .change = add_confirmation,
                                     .context = &wish};
    return registry_apply(look->state->docs, &update, err);
}

static bool look_at(struct look *look, const struct version *version, struct err *err)
{
    CLEANUP(feed_view_fini) struct feed_view view = {0};
    CLEANUP(cJSON_Deletep) cJSON *entry = json_object();
    struct feed_place place = {look->config, look->state->docs, look->family, version->build_id};
    if (!feed_view_load(&place, &view, err))
        return false;
    const char *state = state_of(look, version, &view);
    bool stopped = strcmp(state, "stopped") == 0;
    if (stopped && look->confirm && !confirm(look, version, view.gen, err))
        return false;
    look->confirmed += stopped && look->confirm;
    look->stopped += stopped && !look->confirm;
    json_add_string(entry, "label", version->label);
    json_add_string(entry, "state", stopped && look->confirm ? "confirmed" : state);
    json_add_int(entry, "generation", view.gen);
    json_add_int(entry, "swept_generation", version->swept_gen);
    json_add_bool(entry, "snapshot_done", view.snapshot_done);
    bool compares = is_comparison(look, version, &view);
    json_add_bool(entry, "comparison", compares);
    if (compares ? !add_counted(look, version, entry, err)
                 : strcmp(state, "none") != 0 && !add_counts(look, version, view.gen, entry, err))
        return false;
    json_append(look->versions, TAKE(entry));
    return true;
}

static int64_t int_of(const cJSON *entry, const char *name)
{
    int64_t number = 0;
    (void)!json_get_int(entry, name, &number);
    return number;
}

static void print_version(const cJSON *entry)
{
    const char *label = "", *state = "";
    (void)!json_get_string(entry, "label", &label);
    (void)!json_get_string(entry, "state", &state);
    printf("version %s: ", label);
    if (strcmp(state, "none") == 0) {
        printf("nothing to sweep, it is whole in generation %" PRId64 "\n",
               int_of(entry, "swept_generation"));
        return;
    }
    if (cJSON_IsTrue(json_get(entry, "comparison"))) {
        printf(
            "%s; it was away for longer than worklog.retention, and is compared with the source: "
            "%" PRId64 " of %" PRId64 " documents are gone, %" PRId64 " may go without asking\n",
            state, int_of(entry, "candidates"), int_of(entry, "documents"), int_of(entry, "limit"));
        return;
    }
    printf("%s; generation %" PRId64 " has not brought %" PRId64 " of %" PRId64
           " documents, %" PRId64 " may go without asking\n",
           state, int_of(entry, "generation"), int_of(entry, "candidates"),
           int_of(entry, "documents"), int_of(entry, "limit"));
    if (strcmp(state, "waiting") == 0)
        printf(
            "  the source is still being read or applied: the number falls until that is done\n");
    const cJSON *key;
    cJSON_ArrayForEach(key, json_get(entry, "examples")) printf("  %s\n", key->valuestring);
}

static void print_look(const struct look *look, bool as_json)
{
    if (as_json) {
        CLEANUP(cJSON_Deletep) cJSON *reply = json_object();
        json_add_string(reply, "family", look->family->name);
        json_add_int(reply, "confirmed", look->confirmed);
        json_add(reply, "versions", cJSON_Duplicate(look->versions, true));
        cmd_print_json(reply);
        return;
    }
    const cJSON *entry;
    cJSON_ArrayForEach(entry, look->versions) print_version(entry);
    if (cJSON_GetArraySize(look->versions) == 0)
        printf("family %s has no version that is fed\n", look->family->name);
    if (look->stopped > 0)
        printf("Each of them is read once more before anything is erased. To let it go on:\n"
               "vectail sweep %s --confirm\n",
               look->family->name);
    else if (look->confirm && look->confirmed == 0)
        printf("there is nothing to confirm\n");
}

static int run_sweep(struct look *look, bool as_json)
{
    struct err err;
    bool ok = registry_load(look->state->docs, look->config->name, look->family->name,
                            &look->registry, &err);
    for (size_t i = 0; ok && i < look->registry.version_count; i++) {
        const struct version *version = &look->registry.versions[i];
        ok = !version_is_fed(version) || look_at(look, version, &err);
    }
    registry_fini(&look->registry);
    if (!ok)
        return cmd_fail(&err);
    print_look(look, as_json);
    return look->stopped > 0 ? CLI_REFUSED : CLI_DONE;
}

int cmd_sweep(const struct cli_args *args)
{
    struct err err;
    struct cmd_state state;
    CLEANUP(config_freep) struct config *config = cmd_load_config(args);
    struct look look = {.config = config, .state = &state, .confirm = cli_has(args, FLAG_CONFIRM)};
    look.family = config ? cmd_family(config, args->words[0]) : NULL;
    if (!look.family)
        return CLI_USAGE;
    cmd_who(look.by, sizeof look.by);
    if (!cmd_open_state(config, &state, &err))
        return cmd_fail(&err);
    look.versions = json_array();
    int code = run_sweep(&look, args->json);
    cJSON_Delete(look.versions);
    cmd_close_state(&state);
    return code;
}
