/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "agent/api/query_pool.h"
#include "agent/family.h"
#include "agent/lane/lane.h"
#include "base/json.h"
#include "base/limits.h"

static bool read_embed(struct query_link *link, const struct version *version, struct err *err)
{
    const char *text = version->embed;
    link->embed_object = json_parse(text, strlen(text), err);
    return link->embed_object &&
           embed_config_read(link->embed_object, link->arena, &link->embed, err);
}

/* The file only says how to reach the embedder: it must be the one that built the version. */
static bool open_embedder(const struct config *all, const struct version *version,
                          struct query_link *link, struct err *err)
{
    const struct embed_config *embed = &link->embed;
    const struct config_embedder *config = config_embedder_of(all, version->embedder);
    if (!config)
        return err_set(err, ERR_FATAL, ERR_CONFIG, 0,
                       "version %s needs embedder '%s', which the configuration does not have",
                       version->label, version->embedder);
    const char *driver = embedder_driver_name(config->driver);
    const char *model = config->model ? config->model : driver;
    if (strcmp(driver, embed->driver) != 0 || strcmp(model, embed->model) != 0 ||
        (size_t)config->dims != embed->dims)
        return err_set(err, ERR_FATAL, ERR_CONFIG, 0,
                       "version %s was built by %s %s with %zu dims, but embedder '%s' is now %s "
                       "%s with %lld",
                       version->label, embed->driver, embed->model, embed->dims, config->name,
                       driver, model, (long long)config->dims);
    return family_check_requests(config, embed, version->label, err) &&
           lane_open_embedder(config, &link->embedder, err);
}

bool query_link_open(const struct config *config, const struct version *version,
                     struct query_link **out, struct err *err)
{
    struct query_link *link = calloc(1, sizeof *link);
    link->build_id = strdup(version->build_id);
    link->arena = arena_new(MIB);
    if (read_embed(link, version, err) && open_embedder(config, version, link, err)) {
        *out = link;
        return true;
    }
    query_link_close(link);
    return false;
}

bool query_link_connect(struct query_link *link, const struct config *config,
                        const struct limiters *limiters, const struct version *version,
                        struct err *err)
{
    const struct config_store *store = config_store_of(config, version->store);
    if (link->sink)
        return true;
    if (!store)
        return err_set(err, ERR_FATAL, ERR_CONFIG, 0,
                       "version %s is kept in store '%s', which the configuration does not have",
                       version->label, version->store);
    return lane_open_sink(store, limiters, &link->sink, err) && sink_connect(link->sink, err);
}

void query_link_close(struct query_link *link)
{
    if (!link)
        return;
    embedder_close(link->embedder);
    sink_close(link->sink);
    cJSON_Delete(link->embed_object);
    arena_free(link->arena);
    free(link->build_id);
    free(link);
}
