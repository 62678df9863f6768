/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/commands/command.h"

#include <stdio.h>
#include <string.h>

#include "agent/config/config_options.h"

/* A longer list says nothing more to people, and what follows is to have room as well. */
#define LIST_SIZE 240

/* What there is instead of what is not: the nearest of the names so far, NULL when none is near, and all. */
struct guess {
    const char *wanted;
    const char *name;
    size_t distance;
    char list[LIST_SIZE];
    bool full;
};

static struct guess guess_at(const char *wanted)
{
    return (struct guess){.wanted = wanted, .distance = SIZE_MAX};
}

static void consider(struct guess *guess, const char *name, const char *state)
{
    size_t distance = config_distance_of(guess->wanted, name);
    size_t used = strlen(guess->list);
    if (distance < guess->distance) {
        guess->name = name;
        guess->distance = distance;
    }
    if (guess->full)
        return;
    guess->full = used + strlen(name) + 24 >= LIST_SIZE;
    snprintf(guess->list + used, LIST_SIZE - used, "%s%s%s%s%s", used ? ", " : "",
             guess->full ? "..." : name, guess->full || !state ? "" : " (",
             guess->full || !state ? "" : state, guess->full || !state ? "" : ")");
}

/* "WHO has no WHAT 'NAME'; did you mean 'OTHER'? It has OTHER, ANOTHER" */
static void tell_unknown(const char *who, const char *what, const struct guess *guess,
                         struct err *err)
{
    bool near = guess->name != NULL;
    err_set(err, ERR_REJECT, ERR_CONFIG, 0, "%.100s has no %s '%.100s'%s%s%s%s", who, what,
            guess->wanted, near ? "; did you mean '" : "", near ? guess->name : "",
            near ? "'? It has " : ": it has ", *guess->list ? guess->list : "none");
}

const struct config_family *command_family(const struct config *config, const char *name,
                                           struct err *err)
{
    const struct config_family *family = config_family_of(config, name);
    struct guess guess = guess_at(name);
    for (size_t i = 0; i < config->family_count; i++)
        consider(&guess, config->families[i].name, NULL);
    if (!family)
        tell_unknown(config->file, "family", &guess, err);
    return family;
}

const struct config_embedder *command_embedder(const struct config *config, const char *name,
                                               struct err *err)
{
    const struct config_embedder *embedder = config_embedder_of(config, name);
    struct guess guess = guess_at(name);
    for (size_t i = 0; i < config->embedder_count; i++)
        consider(&guess, config->embedders[i].name, NULL);
    if (!embedder)
        tell_unknown(config->file, "embedder", &guess, err);
    return embedder;
}

const struct config_store *command_store(const struct config *config, const char *name,
                                         struct err *err)
{
    const struct config_store *store = config_store_of(config, name);
    struct guess guess = guess_at(name);
    for (size_t i = 0; i < config->store_count; i++)
        consider(&guess, config->stores[i].name, NULL);
    if (!store)
        tell_unknown(config->file, "store", &guess, err);
    return store;
}

const struct version *command_version(const struct registry *registry, const char *label,
                                      struct err *err)
{
    const struct version *version = registry_version(registry, label);
    struct guess guess = guess_at(label);
    char who[100];
    for (size_t i = 0; i < registry->version_count; i++) {
        const struct version *other = &registry->versions[i];
        if (other->state != VERSION_DROPPED)
            consider(&guess, other->label, version_state_name(other->state));
    }
    snprintf(who, sizeof who, "family %s", registry->family);
    if (!version)
        tell_unknown(who, "version", &guess, err);
    return version;
}

const struct version *command_live_version(const struct registry *registry, const char *label,
                                           struct err *err)
{
    const struct version *version = command_version(registry, label, err);
    if (!version || version_is_fed(version))
        return version;
    (void)err_set(err, ERR_REJECT, ERR_STATE, 0, "version %s is %s: it is no live version",
                  version->label,
                  version->external ? "adopted" : version_state_name(version->state));
    return NULL;
}

bool command_open_ledger(const struct command *command, const struct version *version,
                         struct ledger **out, struct err *err)
{
    struct ledger_options options = {.pool = command->pool,
                                     .database = command->config->mongodb.state_database,
                                     .name = command->config->name,
                                     .build_id = version->build_id,
                                     .owner = command->by};
    return ledger_open(&options, out, err);
}
