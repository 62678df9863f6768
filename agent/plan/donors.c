/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/plan/donors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/family.h"
#include "agent/lane/lane.h"
#include "base/json.h"
#include "base/limits.h"

/* Some version may give, whatever its model's digest: only then the model has to be asked for its own. */
static bool any_has_embedder(const struct registry *registry, const char *embedder)
{
    bool any = false;
    for (size_t i = 0; i < registry->version_count; i++) {
        const struct version *version = &registry->versions[i];
        any = any || (version->collection_id && strcmp(version->embedder, embedder) == 0);
    }
    return any;
}

static bool origin_of(const struct plan_options *options, struct sha256 *out, struct err *err)
{
    char digest[128];
    CLEANUP(embedder_closep) struct embedder *embedder = NULL;
    CLEANUP(arena_freep) struct arena *arena = arena_new(MIB);
    struct embed_config embed;
    if (!lane_open_embedder(options->embedder, &embedder, err) ||
        !embedder_digest(embedder, digest, err))
        return false;
    CLEANUP(cJSON_Deletep)
    cJSON *object = family_embed_json(options->family, options->embedder, digest);
    if (!embed_config_read(object, arena, &embed, err))
        return false;
    *out = vectors_origin(&embed, options->embedder->name);
    return true;
}

static bool open_ledgers(const struct plan_options *options, const struct registry *registry,
                         const struct sha256 *origin, struct donors *out, struct err *err)
{
    for (size_t i = 0; i < registry->version_count; i++) {
        const struct version *version = &registry->versions[i];
        bool content_ids;
        if (!config_store_of(options->config, version->store) ||
            !lane_may_copy_from(version, options->embedder->name, origin, &content_ids))
            continue;
        struct ledger_options ledger = {.pool = options->pool,
                                        .database = options->config->mongodb.state_database,
                                        .name = options->config->name,
                                        .build_id = version->build_id,
                                        .owner = "plan"};
        if (!ledger_open(&ledger, &out->ledgers[out->count], err))
            return false;
        out->count++;
    }
    return true;
}

bool donors_open(const struct plan_options *options, struct donors *out, struct err *err)
{
    struct registry registry;
    struct sha256 origin;
    *out = (struct donors){0};
    if (options->no_reuse)
        return true;
    if (!registry_load(options->docs, options->config->name, options->family->name, &registry, err))
        return false;
    bool ok = true;
    out->ledgers = calloc(registry.version_count + 1, sizeof(struct ledger *));
    if (!out->ledgers)
        abort();
    if (any_has_embedder(&registry, options->embedder->name)) {
        /* what a version costs can be said without its model: only more than it may be in the end */
        struct err unreached;
        if (!origin_of(options, &origin, &unreached))
            snprintf(out->unknown, sizeof out->unknown, "%s", unreached.text);
        else
            ok = open_ledgers(options, &registry, &origin, out, err);
    }
    registry_fini(&registry);
    return ok;
}

void donors_close(struct donors *donors)
{
    for (size_t i = 0; i < donors->count; i++)
        ledger_close(donors->ledgers[i]);
    free(donors->ledgers);
    *donors = (struct donors){0};
}

static bool ask(struct ledger *ledger, const struct sha256 *fps, size_t count, bool *found,
                struct err *err)
{
    CLEANUP(arena_freep) struct arena *arena = arena_new(LIMIT_ARENA_SIZE);
    struct sha256 *asked = arena_alloc_array(arena, count + 1, sizeof *asked);
    size_t *places = arena_alloc_array(arena, count + 1, sizeof *places);
    struct ledger_donor *answers = arena_alloc_array(arena, count + 1, sizeof *answers);
    size_t open = 0;
    for (size_t i = 0; i < count; i++) {
        if (found[i])
            continue;
        places[open] = i;
        asked[open++] = fps[i];
    }
    if (open == 0)
        return true;
    if (!ledger_find_contents(ledger, asked, open, arena, answers, err))
        return false;
    for (size_t i = 0; i < open; i++)
        found[places[i]] = answers[i].found;
    return true;
}

bool donors_find(struct donors *donors, const struct sha256 *fps, size_t count, bool *found,
                 struct err *err)
{
    memset(found, 0, count * sizeof *found);
    for (size_t i = 0; i < donors->count; i++) {
        if (!ask(donors->ledgers[i], fps, count, found, err))
            return false;
    }
    return true;
}
