/* SPDX-License-Identifier: Apache-2.0 */
/* A collection that somebody else made becomes what the family serves: never written, never collected,
 * there to cut over from and to go back to. */
#include <string.h>

#include "agent/steward/collect.h"
#include "agent/steward/steward_state.h"
#include "base/crash.h"
#include "base/json.h"
#include "base/log.h"

struct adoption {
    const char *target;
    const struct config_embedder *embedder;
    const struct config_store *store;
    struct sink_collection collection;
};

/* Of another deployment it may be written at any time. One of this name and of another state was made before
 * the state was lost: nobody writes it any more. */
static bool may_be_written(const struct steward *steward, const struct sink_collection *collection)
{
    const struct agent *agent = steward->agent;
    return strcmp(collect_says(collection, "created_by"), "vectail") == 0 &&
           (strcmp(collect_says(collection, "name"), agent->config->name) != 0 ||
            strcmp(collect_says(collection, "state_id"), agent->state_id) == 0);
}

/* REJECT with the reason where it cannot be adopted. */
static bool find_target(struct steward *steward, struct adoption *adoption, struct err *err)
{
    CLEANUP(sink_closep) struct sink *sink = NULL;
    bool found;
    if (!steward_open_store(steward, adoption->store, &sink, err) ||
        !sink_find(sink, adoption->target, steward->arena, &found, &adoption->collection, err))
        return false;
    if (!found)
        return err_set(err, ERR_REJECT, ERR_STATE, 0, "store %s has no collection '%s'",
                       adoption->store->name, adoption->target);
    if (may_be_written(steward, &adoption->collection))
        return err_set(err, ERR_REJECT, ERR_STATE, 0,
                       "collection '%s' was made by vectail, for deployment %s: it is not taken as "
                       "one that others made; a version of this family is led to with `vectail "
                       "cutover`",
                       adoption->target, collect_says(&adoption->collection, "name"));
    size_t dims = adoption->collection.dims;
    if (dims > 0 && dims != (size_t)adoption->embedder->dims)
        return err_set(err, ERR_REJECT, ERR_CONFIG, 0,
                       "collection '%s' holds vectors of %zu dimensions, embedder '%s' makes %d: "
                       "readers would get errors",
                       adoption->target, dims, adoption->embedder->name,
                       (int)adoption->embedder->dims);
    return true;
}

static struct version *add(struct steward *steward, const struct adoption *adoption)
{
    char fp[SHA256_TEXT_SIZE];
    CLEANUP(cJSON_Deletep)
    cJSON *embed = family_embed_json(steward->family->config, adoption->embedder, "");
    config_fp(embed, fp);
    struct version *version = registry_add_version(&steward->registry, ADOPTED_LABEL);
    version_note_places(steward);
    version->external = true;
    version->state = VERSION_READY;
    version->dims = adoption->embedder->dims;
    version_set_text(&version->collection, adoption->collection.name);
    version_set_text(&version->collection_id, adoption->collection.id);
    version_set_text(&version->store, adoption->store->name);
    version_set_text(&version->embedder, adoption->embedder->name);
    version_set_text(&version->config_fp, fp);
    version->embed = json_print(embed);
    return version;
}

/* What kept the others from being served is that the alias led to it. */
static void clear_reasons(struct registry *registry, const struct version *adopted)
{
    for (size_t i = 0; i < registry->version_count; i++) {
        struct version *version = &registry->versions[i];
        if (version != adopted && version->state == VERSION_READY)
            version_set_text(&version->reason, NULL);
    }
}

bool adopt_carry_out(struct steward *steward, const struct registry_wish *wish,
                     const struct request *request, struct err *err)
{
    const struct config *config = steward->agent->config;
    const struct wish_args *args = &request->args;
    struct adoption adoption = {
        .target = args->target,
        .embedder = config_embedder_of(config, args->embedder),
        .store =
            config_store_of(config, args->store ? args->store : steward->family->config->store)};
    struct err refused;
    if (!adoption.embedder || !adoption.store)
        return request_refuse(
            steward, wish, "the agent that leads has no such embedder or store in its file", err);
    if (!find_target(steward, &adoption, &refused)) {
        if (refused.action == ERR_REJECT || refused.action == ERR_FATAL)
            return request_refuse(steward, wish, refused.text, err);
        *err = refused;
        return false;
    }
    struct version *version = add(steward, &adoption);
    log_info("family.adopted", LOG_STR("family", steward->family->name),
             LOG_STR("collection", version->collection));
    if (!request->alias->target) { /* the alias is written as with any flip */
        struct promotion promotion = {.to = version, .why = PROMOTE_ADOPT, .wish = wish->id};
        return promote_begin(steward, &promotion, err);
    }
    version->state = VERSION_ACTIVE;
    clear_reasons(&steward->registry, version);
    if (!request_done(steward, wish, err))
        return false;
    crash_point("adopt.written");
    return true;
}
