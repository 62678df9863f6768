/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/steward/collect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/capture/capture.h"
#include "agent/lane/lane.h"
#include "agent/stats.h"
#include "agent/verify/audit.h"
#include "agent/verify/report.h"
#include "base/limits.h"
#include "state/ledger.h"

struct look {
    const struct collect_options *options;
    struct registry *registries;
    size_t registry_count;
    struct alias *aliases; /* of the families of the file, then of the registries' others */
    size_t alias_count;
    struct collect_list *out;
};

const char *collect_says(const struct sink_collection *collection, const char *name)
{
    for (size_t i = 0; i < collection->metadata_count; i++) {
        const struct field *field = &collection->metadata[i];
        if (strcmp(field->name, name) == 0 && field->value.type == VALUE_STRING)
            return field->value.as.string;
    }
    return "";
}

bool collect_is_ours(const struct sink_collection *collection, const char *name,
                     const char *state_id, const char *build_id)
{
    return strcmp(collect_says(collection, "created_by"), "vectail") == 0 &&
           strcmp(collect_says(collection, "name"), name) == 0 &&
           strcmp(collect_says(collection, "state_id"), state_id) == 0 &&
           strcmp(collect_says(collection, "build_id"), build_id) == 0;
}

static char *copy(const char *text)
{
    return text ? strdup(text) : NULL;
}

static struct collect_entry *add(struct collect_list *list, const struct collect_entry *entry)
{
    list->entries = realloc(list->entries, (list->count + 1) * sizeof *list->entries);
    struct collect_entry *added = &list->entries[list->count++];
    *added = (struct collect_entry){.family = copy(entry->family),
                                    .label = copy(entry->label),
                                    .collection = copy(entry->collection),
                                    .store = copy(entry->store),
                                    .build_id = copy(entry->build_id),
                                    .orphan = entry->orphan};
    return added;
}

/* --- aliases ------------------------------------------------------------------------------------ */

#define ALIAS_COLLECTION "collection_aliases" /* the file's own default */

bool collect_alias_ref(const struct config *config, const struct registry *registry,
                       struct alias_ref *out)
{
    const struct config_family *family = config_family_of(config, registry->family);
    bool noted = registry->alias_database && registry->alias_collection;
    *out = (struct alias_ref){.family = registry->family};
    if (family) {
        out->database = family->alias.database;
        out->collection = family->alias.collection;
    } else if (noted) {
        out->database = registry->alias_database;
        out->collection = registry->alias_collection;
    } else if (registry->source_database) {
        out->database = registry->source_database;
        out->collection = ALIAS_COLLECTION;
    }
    return out->database != NULL;
}

static bool load_alias(struct look *look, const struct alias_ref *ref, struct err *err)
{
    look->aliases = realloc(look->aliases, (look->alias_count + 1) * sizeof *look->aliases);
    return alias_load(look->options->docs, ref, &look->aliases[look->alias_count], err) &&
           ++look->alias_count;
}

static bool load_aliases(struct look *look, struct err *err)
{
    const struct config *config = look->options->config;
    for (size_t i = 0; i < config->family_count; i++) {
        const struct config_family *family = &config->families[i];
        struct alias_ref ref = {family->alias.database, family->alias.collection, family->name};
        if (!load_alias(look, &ref, err))
            return false;
    }
    for (size_t i = 0; i < look->registry_count; i++) {
        const struct registry *registry = &look->registries[i];
        struct alias_ref ref;
        if (!config_family_of(config, registry->family) &&
            collect_alias_ref(config, registry, &ref) && !load_alias(look, &ref, err))
            return false;
    }
    return true;
}

/* Whether the alias of that family was looked at. */
static bool knows_alias(const struct look *look, const char *family)
{
    struct alias_ref ref;
    if (config_family_of(look->options->config, family))
        return true;
    for (size_t i = 0; i < look->registry_count; i++) {
        if (strcmp(look->registries[i].family, family) == 0)
            return collect_alias_ref(look->options->config, &look->registries[i], &ref);
    }
    return false;
}

/* --- versions ---------------------------------------------------------------------------------- */

/* No agent carries out a wish for a family that its file does not have. */
static void judge(const struct version *version, bool is_led, struct collect_entry *entry)
{
    const char *state = version_state_name(version->state);
    entry->drop = version->state == VERSION_RETIRED && !version->external && is_led;
    if (version->external)
        snprintf(entry->reason, sizeof entry->reason, "was adopted: it is not ours");
    else if (entry->drop)
        snprintf(entry->reason, sizeof entry->reason, "retired: nothing leads back to it");
    else if (!is_led)
        snprintf(entry->reason, sizeof entry->reason,
                 "is %s; its family is not in the file: `vectail remove %s`", state, entry->family);
    else if (version->state == VERSION_FAILED)
        snprintf(entry->reason, sizeof entry->reason, "failed: `vectail drop %s %s` removes it",
                 entry->family, version->label);
    else
        snprintf(entry->reason, sizeof entry->reason, "is %s", state);
}

static void add_versions(struct look *look)
{
    for (size_t r = 0; r < look->registry_count; r++) {
        struct registry *registry = &look->registries[r];
        bool is_led = config_family_of(look->options->config, registry->family) != NULL;
        for (size_t i = 0; i < registry->version_count; i++) {
            const struct version *version = &registry->versions[i];
            if (version->state == VERSION_DROPPED)
                continue;
            struct collect_entry *entry =
                add(look->out, &(struct collect_entry){.family = registry->family,
                                                       .label = version->label,
                                                       .collection = version->collection,
                                                       .store = version->store,
                                                       .build_id = version->build_id});
            judge(version, is_led, entry);
        }
    }
}

/* --- collections that no registry knows ---------------------------------------------------------- */

static bool is_known(const struct look *look, const char *build_id)
{
    for (size_t r = 0; r < look->registry_count; r++) {
        const struct registry *registry = &look->registries[r];
        for (size_t i = 0; i < registry->version_count; i++) {
            if (registry->versions[i].state != VERSION_DROPPED &&
                strcmp(registry->versions[i].build_id, build_id) == 0)
                return true;
        }
    }
    return false;
}

static bool is_named(const struct look *look, const char *collection)
{
    for (size_t i = 0; i < look->alias_count; i++) {
        const struct alias *alias = &look->aliases[i];
        if ((alias->target && strcmp(alias->target, collection) == 0) ||
            (alias->previous_target && strcmp(alias->previous_target, collection) == 0))
            return true;
    }
    return false;
}

static void judge_orphan(const struct look *look, const struct sink_collection *collection,
                         struct collect_entry *entry)
{
    const struct collect_options *options = look->options;
    const char *why = "made by this deployment, and in no registry";
    if (strcmp(collect_says(collection, "state_id"), options->state_id) != 0)
        why = "made with another state database: this one cannot tell who needs it";
    else if (is_named(look, collection->name))
        why = "an alias names it";
    else if (!knows_alias(look, entry->family))
        why = "its family is neither in the file nor in the registry: where its alias is, is not "
              "known";
    else
        entry->drop = true;
    snprintf(entry->reason, sizeof entry->reason, "%s", why);
}

static void add_orphans(struct look *look, const struct config_store *store,
                        const struct sink_collection *collections, size_t count)
{
    const char *name = look->options->config->name;
    for (size_t i = 0; i < count; i++) {
        const struct sink_collection *collection = &collections[i];
        if (strcmp(collect_says(collection, "created_by"), "vectail") != 0 ||
            strcmp(collect_says(collection, "name"), name) != 0 ||
            is_known(look, collect_says(collection, "build_id")))
            continue;
        struct collect_entry orphan = {
            .family = (char *)(uintptr_t)collect_says(collection, "family"),
            .label = (char *)(uintptr_t)collect_says(collection, "version"),
            .collection = (char *)(uintptr_t)collection->name,
            .store = store->name,
            .build_id = (char *)(uintptr_t)collect_says(collection, "build_id"),
            .orphan = true};
        judge_orphan(look, collection, add(look->out, &orphan));
    }
}

/* --- one look ------------------------------------------------------------------------------------ */

struct listing {
    struct sink_collection *collections;
    size_t count;
};

static bool list_store(const struct look *look, const struct config_store *store,
                       struct arena *arena, struct listing *listing, struct err *err)
{
    CLEANUP(sink_closep) struct sink *sink = NULL;
    return (lane_open_sink(store, look->options->limiters, &sink, err) && sink_connect(sink, err) &&
            sink_list(sink, arena, &listing->collections, &listing->count, err)) ||
           err_prefix(err, "store %s", store->name);
}

/* The stores first: what is made meanwhile was written down before, and is then known. */
static bool look_at_all(struct look *look, struct arena *arena, struct err *err)
{
    const struct config *config = look->options->config;
    struct listing *listings = arena_alloc_array(arena, config->store_count + 1, sizeof *listings);
    for (size_t i = 0; i < config->store_count; i++) {
        if (!list_store(look, &config->stores[i], arena, &listings[i], err))
            return false;
    }
    if (!registry_list(look->options->docs, config->name, &look->registries, &look->registry_count,
                       err) ||
        !load_aliases(look, err))
        return false;
    add_versions(look);
    for (size_t i = 0; i < config->store_count; i++)
        add_orphans(look, &config->stores[i], listings[i].collections, listings[i].count);
    return true;
}

bool collect_look(const struct collect_options *options, struct collect_list *out, struct err *err)
{
    CLEANUP(arena_freep) struct arena *arena = arena_new(64 * MIB);
    struct look look = {.options = options, .out = out};
    *out = (struct collect_list){0};
    bool ok = look_at_all(&look, arena, err);
    for (size_t i = 0; i < look.registry_count; i++)
        registry_fini(&look.registries[i]);
    free(look.registries);
    for (size_t i = 0; i < look.alias_count; i++)
        alias_fini(&look.aliases[i]);
    free(look.aliases);
    if (!ok)
        collect_fini(out);
    return ok;
}

void collect_fini(struct collect_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        struct collect_entry *entry = &list->entries[i];
        free(entry->family);
        free(entry->label);
        free(entry->collection);
        free(entry->store);
        free(entry->build_id);
    }
    free(list->entries);
    *list = (struct collect_list){0};
}

bool collect_erase(const struct collect_options *options, const struct collect_entry *entry,
                   struct err *err)
{
    CLEANUP(arena_freep) struct arena *arena = arena_new(MIB);
    CLEANUP(sink_closep) struct sink *sink = NULL;
    const struct config_store *store = config_store_of(options->config, entry->store);
    struct sink_collection there;
    bool found;
    if (!store)
        return err_set(err, ERR_FATAL, ERR_CONFIG, 0, "store '%s' is not in the file",
                       entry->store);
    if (!lane_open_sink(store, options->limiters, &sink, err))
        return false;
    if (options->may_send)
        sink_set_guard(sink, options->may_send, options->context);
    if (!sink_connect(sink, err) || !sink_find(sink, entry->collection, arena, &found, &there, err))
        return false;
    if (!found)
        return true;
    if (!collect_is_ours(&there, options->config->name, options->state_id, entry->build_id))
        return entry->never_made ||
               err_set(err, ERR_FATAL, ERR_STATE, 0,
                       "collection '%s' does not say that it is build %s of deployment %s: it is "
                       "left alone",
                       entry->collection, entry->build_id, options->config->name);
    return sink_drop(sink, entry->collection, err);
}

/* With the work log memory each build has a place in the stream of its own, and figures of that. */
static bool forget_place(const struct collect_build *build, struct err *err)
{
    if (!build->source_database)
        return true;
    char *id = capture_id(build->config, build->source_database, build->build_id);
    struct doc_ref place = {.collection = "captures", .id = id, .counter = "rev"};
    struct doc_ref figures = {.collection = "stats", .id = id, .counter = "rev"};
    bool ok =
        docstore_remove(build->docs, &place, err) && docstore_remove(build->docs, &figures, err);
    free(id);
    return ok;
}

bool collect_forget(const struct collect_build *build, struct err *err)
{
    const char *name = build->config->name;
    struct ledger_options options = {.pool = build->pool,
                                     .database = build->config->mongodb.state_database,
                                     .name = name,
                                     .build_id = build->build_id,
                                     .owner = "collect"};
    CLEANUP(ledger_closep) struct ledger *ledger = NULL;
    return ledger_open(&options, &ledger, err) && ledger_drop(ledger, err) &&
           verify_report_remove(build->docs, name, build->build_id, err) &&
           audit_forget(build->docs, name, build->build_id, err) &&
           stats_remove(build->docs, name, build->build_id, err) && forget_place(build, err);
}
