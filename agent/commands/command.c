/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/commands/command.h"

#include <string.h>

#include "agent/config/config_options.h"

/* The nearest of the names so far; NULL when none is near. */
struct guess {
    const char *name;
    size_t distance;
};

static void consider(struct guess *guess, const char *wanted, const char *name)
{
    size_t distance = config_distance_of(wanted, name);
    if (distance < guess->distance)
        *guess = (struct guess){.name = name, .distance = distance};
}

static void tell_unknown(const struct config *config, const char *what, const char *name,
                         const struct guess *guess, struct err *err)
{
    err_set(err, ERR_REJECT, ERR_CONFIG, 0, "%s has no %s '%.100s'%s%s%s", config->file, what, name,
            guess->name ? "; did you mean '" : "", guess->name ? guess->name : "",
            guess->name ? "'?" : "");
}

const struct config_family *command_family(const struct config *config, const char *name,
                                           struct err *err)
{
    const struct config_family *family = config_family_of(config, name);
    struct guess guess = {.distance = SIZE_MAX};
    for (size_t i = 0; i < config->family_count; i++)
        consider(&guess, name, config->families[i].name);
    if (!family)
        tell_unknown(config, "family", name, &guess, err);
    return family;
}

const struct config_embedder *command_embedder(const struct config *config, const char *name,
                                               struct err *err)
{
    const struct config_embedder *embedder = config_embedder_of(config, name);
    struct guess guess = {.distance = SIZE_MAX};
    for (size_t i = 0; i < config->embedder_count; i++)
        consider(&guess, name, config->embedders[i].name);
    if (!embedder)
        tell_unknown(config, "embedder", name, &guess, err);
    return embedder;
}

const struct config_store *command_store(const struct config *config, const char *name,
                                         struct err *err)
{
    const struct config_store *store = config_store_of(config, name);
    struct guess guess = {.distance = SIZE_MAX};
    for (size_t i = 0; i < config->store_count; i++)
        consider(&guess, name, config->stores[i].name);
    if (!store)
        tell_unknown(config, "store", name, &guess, err);
    return store;
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
