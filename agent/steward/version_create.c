/* SPDX-License-Identifier: Apache-2.0 */
/* A version comes into being: what it is to be is written down, then its collection is made. */
#include <stdlib.h>
#include <string.h>

#include "agent/steward/steward_state.h"
#include "base/crash.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/log.h"
#include "cdc/scan.h"

static const char *model_of(const struct config_embedder *embedder)
{
    return embedder->model ? embedder->model : embedder_driver_name(embedder->driver);
}

/* Asks the embedder who it is and that it answers with the configured dimensions. */
static bool probe(const struct config_embedder *config, char digest[static 128], struct err *err)
{
    CLEANUP(embedder_closep) struct embedder *embedder = NULL;
    struct embed_text text = {.text = "vectail", .size = 7};
    float *vector = calloc((size_t)config->dims, sizeof *vector);
    bool ok = lane_open_embedder(config, &embedder, err) &&
              embedder_digest(embedder, digest, err) &&
              embedder_embed(embedder, &text, 1, vector, NULL, err);
    free(vector);
    return ok || err_prefix(err, "embedder %s", config->name);
}

static void fill_version(struct steward *steward, const struct version_wish *wish,
                         struct version *version, const cJSON *embed)
{
    const struct config_family *family = steward->family->config;
    const struct config_embedder *embedder =
        config_embedder_of(steward->agent->config, wish->embedder);
    char name[LIMIT_COLLECTION_NAME + 1], fp[SHA256_TEXT_SIZE];
    family_collection_name(family, version, model_of(embedder), name);
    config_fp(embed, fp);
    char *text = json_print(embed);
    version->state = VERSION_PLANNED;
    version->dims = embedder->dims;
    version->no_reuse = wish->no_reuse;
    version_set_text(&version->collection, name);
    version_set_text(&version->store, wish->store);
    version_set_text(&version->embedder, wish->embedder);
    version_set_text(&version->embed, text);
    version_set_text(&version->config_fp, fp);
    version_set_text(&version->from, wish->from);
    free(text);
}

static bool check_plan(struct steward *steward, const struct version_wish *wish, struct err *err)
{
    const struct config *config = steward->agent->config;
    const struct config_embedder *embedder =
        wish->embedder ? config_embedder_of(config, wish->embedder) : NULL;
    if (!embedder)
        return err_set(err, ERR_REJECT, ERR_CONFIG, 0,
                       "embedder '%s' is not in the configuration of the agent that leads",
                       wish->embedder ? wish->embedder : "");
    if (!config_store_of(config, wish->store))
        return err_set(err, ERR_REJECT, ERR_CONFIG, 0,
                       "store '%s' is not in the configuration of the agent that leads",
                       wish->store);
    if (embedder->driver == EMBEDDER_HASH && !steward->family->config->allow_test_embedder)
        return err_set(err, ERR_REJECT, ERR_CONFIG, 0,
                       "embedder '%s' is a test embedder, whose vectors mean nothing: family %s "
                       "does not allow it (allow_test_embedder)",
                       wish->embedder, steward->family->name);
    return true;
}

void version_note_places(struct steward *steward)
{
    const struct config_family *family = steward->family->config;
    struct registry *registry = &steward->registry;
    version_set_text(&registry->source_database, family->source.database);
    version_set_text(&registry->source_collection, family->source.collection);
    version_set_text(&registry->alias_database, family->alias.database);
    version_set_text(&registry->alias_collection, family->alias.collection);
}

bool version_plan(struct steward *steward, const struct version_wish *wish, struct err *err)
{
    const struct config_family *family = steward->family->config;
    char digest[128] = "";
    if (!check_plan(steward, wish, err) || !version_check_from(steward, wish->from, err) ||
        !probe(config_embedder_of(steward->agent->config, wish->embedder), digest, err))
        return false;
    CLEANUP(cJSON_Deletep)
    cJSON *embed = family_embed_json(
        family, config_embedder_of(steward->agent->config, wish->embedder), digest);
    struct version *version = registry_add_version(&steward->registry, wish->label);
    fill_version(steward, wish, version, embed);
    version_note_places(steward);
    struct answer answer = {
        .what = "planned", .label = version->label, .by = wish->by, .wish = wish->wish};
    log_info("version.planned", LOG_STR("family", family->name), LOG_STR("version", version->label),
             LOG_STR("collection", version->collection), LOG_STR("config_fp", version->config_fp));
    wish_give_answer(&steward->registry, &answer);
    if (!version_save(steward, err))
        return false;
    crash_point("create.planned");
    return true;
}

/* A label that stands for another embed config than the file's is refused: what was built under it
 * is not touched. */
bool version_check_wish(struct steward *steward, const struct version *version, struct err *err)
{
    const struct config_family *family = steward->family->config;
    const struct config_embedder *embedder =
        config_embedder_of(steward->agent->config, family->version.embedder);
    CLEANUP(cJSON_Deletep) cJSON *stored = json_parse(version->embed, strlen(version->embed), err);
    if (!stored)
        return false;
    const char *digest = "";
    char fp[SHA256_TEXT_SIZE];
    (void)!json_get_string(stored, "digest", &digest);
    CLEANUP(cJSON_Deletep) cJSON *embed = family_embed_json(family, embedder, digest);
    config_fp(embed, fp);
    if (strcmp(fp, version->config_fp) == 0)
        return true;
    return err_set(
        err, ERR_FATAL, ERR_CONFIG, 0,
        "version %s was built under config_fp %s, the file now says %s: a changed model, "
        "chunking or text needs a new label; the version goes on as it was built",
        version->label, version->config_fp, fp);
}

/* Only for the store to be laid out well: a version is created without it too. */
static int64_t documents_expected(struct steward *steward)
{
    const struct config_family *family = steward->family->config;
    struct scan_options source = {.pool = steward->agent->pool,
                                  .database = family->source.database,
                                  .collection = family->source.collection};
    int64_t count = 0;
    return scan_estimate(&source, &count, NULL) ? count : 0;
}

bool version_create(struct steward *steward, struct version *version, struct err *err)
{
    const struct config_store *store = config_store_of(steward->agent->config, version->store);
    if (!store)
        return err_set(err, ERR_FATAL, ERR_CONFIG, 0, "store '%s' is not in the configuration",
                       version->store);
    if (version->state == VERSION_PLANNED &&
        !version_enter(steward, version, VERSION_CREATING, err))
        return false;
    crash_point("create.creating");
    CLEANUP(cJSON_Deletep) cJSON *embed = json_parse(version->embed, strlen(version->embed), err);
    if (!embed)
        return false;
    const char *driver = "", *model = "", *distance = "";
    (void)!json_get_string(embed, "driver", &driver);
    (void)!json_get_string(embed, "model", &model);
    (void)!json_get_string(embed, "distance", &distance);
    const struct field metadata[] = {
        {"family", value_string(steward->family->name)},
        {"version", value_string(version->label)},
        {"driver", value_string(driver)},
        {"model", value_string(model)},
        {"dims", value_int(version->dims)},
        {"distance", value_string(distance)},
        {"config_fp", value_string(version->config_fp)},
        {"input_format", value_string(EMBED_INPUT_FORMAT)},
        {"created_by", value_string("vectail")},
        {"name", value_string(steward->agent->config->name)},
        {"build_id", value_string(version->build_id)},
        {"state_id", value_string(steward->agent->state_id)},
    };
    struct sink_spec spec = {.name = version->collection,
                             .dims = (size_t)version->dims,
                             .distance = distance,
                             .metadata = metadata,
                             .metadata_count = ARRAY_LEN(metadata),
                             .expected = documents_expected(steward)};
    CLEANUP(sink_closep) struct sink *sink = NULL;
    struct sink_collection made;
    if (!steward_open_store(steward, store, &sink, err) ||
        !sink_ensure(sink, &spec, steward->arena, &made, err))
        return err_prefix(err, "version %s", version->label);
    crash_point("create.created");
    version_set_text(&version->collection_id, made.id);
    return version_enter(steward, version, VERSION_BACKFILLING, err);
}
