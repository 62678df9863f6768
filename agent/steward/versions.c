/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a version, up to active: each step is written down before it is taken, and is safe to
 * take again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/capture/capture.h"
#include "agent/steward/steward_state.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/log.h"
#include "cdc/scan.h"

static void set_text(char **slot, const char *text)
{
    free(*slot);
    *slot = text ? strdup(text) : NULL;
}

/* Writes the registry down. False when it was changed by another meanwhile: look again later. */
static bool save(struct steward *steward, struct err *err)
{
    enum doc_swap outcome;
    if (!registry_save(steward->agent->docs, &steward->registry, &outcome, err))
        return false;
    return outcome == DOC_WON ||
           err_set(err, ERR_RETRY, ERR_STATE, 0, "the registry of family %s was changed by another",
                   steward->family->name);
}

/* Why a version does not get on stands with it, for `status`; the next state clears it. */
static void note_reason(struct steward *steward, struct version *version, const char *reason)
{
    struct err err;
    if (version->reason && reason && strcmp(version->reason, reason) == 0)
        return;
    set_text(&version->reason, reason);
    if (!save(steward, &err))
        log_debug("version.reason.failed", LOG_ERR(&err));
}

static bool enter(struct steward *steward, struct version *version, enum version_state state,
                  struct err *err)
{
    log_info("version.state", LOG_STR("family", steward->family->name),
             LOG_STR("version", version->label),
             LOG_STR("from", version_state_name(version->state)),
             LOG_STR("to", version_state_name(state)));
    version->state = state;
    version->state_ms = clock_wall_ms();
    set_text(&version->reason, NULL);
    return save(steward, err);
}

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

static void fill_version(struct steward *steward, struct version *version, cJSON *embed)
{
    const struct config_family *family = steward->family->config;
    const struct config_embedder *embedder =
        config_embedder_of(steward->agent->config, family->version.embedder);
    char name[LIMIT_COLLECTION_NAME + 1], fp[SHA256_TEXT_SIZE];
    family_collection_name(family, version, model_of(embedder), name);
    config_fp(embed, fp);
    char *text = json_print(embed);
    version->state = VERSION_PLANNED;
    version->created_ms = version->state_ms = clock_wall_ms();
    version->dims = embedder->dims;
    version->verified_epoch = -1;
    set_text(&version->collection, name);
    set_text(&version->store, family->store);
    set_text(&version->embedder, family->version.embedder);
    set_text(&version->embed, text);
    set_text(&version->config_fp, fp);
    set_text(&version->from, "start");
    free(text);
}

static bool plan(struct steward *steward, struct err *err)
{
    const struct config_family *family = steward->family->config;
    const struct config_embedder *embedder =
        config_embedder_of(steward->agent->config, family->version.embedder);
    char digest[128] = "";
    if (!probe(embedder, digest, err))
        return false;
    CLEANUP(cJSON_Deletep) cJSON *embed = family_embed_json(family, embedder, digest);
    struct version *version = registry_add_version(&steward->registry, family->version.label);
    fill_version(steward, version, embed);
    set_text(&steward->registry.source_database, family->source.database);
    set_text(&steward->registry.source_collection, family->source.collection);
    struct registry_event event = {.at_ms = clock_wall_ms(),
                                   .what = strdup("planned"),
                                   .label = strdup(version->label),
                                   .by = strdup("configuration")};
    registry_note(&steward->registry, &event);
    free(event.what);
    free(event.label);
    free(event.by);
    log_info("version.planned", LOG_STR("family", family->name), LOG_STR("version", version->label),
             LOG_STR("collection", version->collection), LOG_STR("config_fp", version->config_fp));
    return save(steward, err);
}

/* A label that stands for another embed config than the file's is refused: what was built under it
 * is not touched. */
static bool check_wish(struct steward *steward, const struct version *version, struct err *err)
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

static bool create(struct steward *steward, struct version *version, struct err *err)
{
    const struct config_store *store = config_store_of(steward->agent->config, version->store);
    if (!store)
        return err_set(err, ERR_FATAL, ERR_CONFIG, 0, "store '%s' is not in the configuration",
                       version->store);
    if (version->state == VERSION_PLANNED && !enter(steward, version, VERSION_CREATING, err))
        return false;
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
                             .metadata_count = ARRAY_LEN(metadata)};
    CLEANUP(sink_closep) struct sink *sink = NULL;
    struct sink_collection made;
    if (!lane_open_sink(store, &sink, err) || !sink_connect(sink, err) ||
        !sink_ensure(sink, &spec, steward->arena, &made, err))
        return err_prefix(err, "version %s", version->label);
    set_text(&version->collection_id, made.id);
    return enter(steward, version, VERSION_BACKFILLING, err);
}

/* With a new generation the group begins anew at its first record, once its members have left: what
 * lies before is dropped anyway, and whatever became of topic and offsets, no record of it is missed. */
static bool leave_generation(struct steward *steward, struct version *version, struct err *err)
{
    CLEANUP(feed_view_fini) struct feed_view view = {0};
    if (steward->agent->config->worklog.driver == WORKLOG_MEMORY)
        return true;
    struct feed_place place = feed_place_of(steward->agent, steward->family, version->build_id);
    if (!feed_view_load(&place, &view, err))
        return false;
    if (!view.known || view.gen <= version->seeded_gen)
        return true;
    version->seeded = false;
    return save(steward, err);
}

/* Where the lane's group begins to read: at the generation's first record. */
static bool seed(struct steward *steward, struct version *version, struct err *err)
{
    CLEANUP(feed_view_fini) struct feed_view view = {0};
    if (steward->agent->config->worklog.driver == WORKLOG_MEMORY) {
        version->seeded = true; /* the lane's own log begins with the process */
        return save(steward, err);
    }
    if (!steward_view(steward, version, &view, err))
        return false;
    if (!view.known || view.gen == 0)
        return true; /* the capture has not begun yet */
    struct err refused;
    char *group = lane_group(steward->agent->config, steward->family->name, version);
    bool ok = worklog_seed(steward->agent->log, steward->family->topic, group, view.start_offsets,
                           view.partitions, &refused);
    free(group);
    if (!ok && refused.action == ERR_RETRY && version->seeded_gen > 0) {
        log_debug("version.seed.waiting", LOG_ERR(&refused)); /* mostly for members to leave */
        return true;
    }
    if (!ok) {
        *err = refused;
        return false;
    }
    if (version->seeded_gen == 0)
        version->swept_gen = view.gen; /* it has nothing of an older one */
    version->seeded = true;
    version->seeded_gen = view.gen;
    return save(steward, err);
}

/* Documents of the source that belong to the family, by our own evaluator. */
static bool count_source(struct steward *steward, int64_t *out, struct err *err)
{
    const struct shape *shape = steward->family->shape;
    struct scan_options options = {.pool = steward->agent->pool,
                                   .database = steward->family->config->source.database,
                                   .collection = steward->family->config->source.collection,
                                   .projection = shape_projection(shape)};
    if (!shape_filter(shape))
        return scan_count(&options, out, err);
    CLEANUP(scan_closep) struct scan *scan = NULL;
    const bson_t *doc;
    if (!scan_open(&options, &scan, err))
        return false;
    for (*out = 0;;) {
        if (!scan_next(scan, &doc, err))
            return false;
        if (!doc)
            return true;
        *out += shape_matches(shape, doc);
    }
}

static bool count_store(struct steward *steward, const struct version *version, int64_t *out,
                        struct err *err)
{
    const struct config_store *store = config_store_of(steward->agent->config, version->store);
    CLEANUP(sink_closep) struct sink *sink = NULL;
    return lane_open_sink(store, &sink, err) && sink_connect(sink, err) &&
           sink_count(sink, version->collection_id, out, err);
}

/* Source, ledger and store hold the same numbers, but for what was in flight while they were
 * counted. *agree false: not yet; the reason is on the version. */
static bool counts_agree(struct steward *steward, struct version *version, bool *agree,
                         struct err *err)
{
    struct ledger_counts before, after;
    int64_t source, records;
    CLEANUP(feed_view_fini) struct feed_view view = {0};
    *agree = false;
    if (!steward_count(steward, version, &before, err) || !count_source(steward, &source, err) ||
        !count_store(steward, version, &records, err) ||
        !steward_count(steward, version, &after, err) ||
        !steward_view(steward, version, &view, err))
        return false;
    int64_t held = after.documents + after.quarantined + after.skipped;
    bool still = before.documents == after.documents && before.chunks == after.chunks &&
                 view.lag_items == 0 && after.intents == 0;
    int64_t flight = still ? 0 : view.lag_items + llabs(after.documents - before.documents) + 64;
    int64_t per_document = after.documents > 0 ? after.chunks / after.documents + 4 : 4;
    *agree =
        llabs(source - held) <= flight && llabs(records - after.chunks) <= flight * per_document;
    if (!*agree) {
        char reason[160];
        snprintf(reason, sizeof reason,
                 "the source has %lld documents, the ledger %lld; the ledger has %lld chunks, the "
                 "store %lld",
                 (long long)source, (long long)held, (long long)after.chunks, (long long)records);
        note_reason(steward, version, reason);
        log_info("version.counts.differ", LOG_STR("family", steward->family->name),
                 LOG_STR("version", version->label), LOG_INT("source", source),
                 LOG_INT("ledger", held), LOG_INT("chunks", after.chunks),
                 LOG_INT("records", records));
    }
    return true;
}

/* What readers need to embed a query as the version's documents were embedded. */
static char *alias_embed(const struct version *version, const cJSON *embed)
{
    CLEANUP(cJSON_Deletep) cJSON *object = json_object();
    const char *text = "";
    json_add_string(object, "driver", json_get_string(embed, "driver", &text) ? text : "");
    json_add_string(object, "fn", json_get_string(embed, "model", &text) ? text : "");
    json_add_int(object, "dims", version->dims);
    json_add_string(object, "distance", json_get_string(embed, "distance", &text) ? text : "");
    json_add(object, "normalize", cJSON_Duplicate(json_get(embed, "normalize"), true));
    json_add_string(object, "query_prefix",
                    json_get_string(embed, "query_prefix", &text) ? text : "");
    json_add_string(object, "digest", json_get_string(embed, "digest", &text) ? text : "");
    json_add_string(object, "version", version->label);
    json_add_string(object, "config_fp", version->config_fp);
    return json_print(object);
}

static bool write_alias(struct steward *steward, const struct version *version, struct err *err)
{
    struct alias alias;
    enum doc_swap outcome = DOC_WON;
    const struct alias_ref *ref = &steward->family->alias;
    if (!alias_load(steward->agent->docs, ref, &alias, err))
        return false;
    bool ok = true;
    if (alias.target && strcmp(alias.target, version->collection) != 0) {
        ok = err_set(err, ERR_FATAL, ERR_STATE, 0,
                     "the alias of %s already leads to '%s', which is not ours: it is left alone",
                     steward->family->name, alias.target);
    } else if (!alias.target) {
        CLEANUP(cJSON_Deletep)
        cJSON *embed = json_parse(version->embed, strlen(version->embed), err);
        ok = embed != NULL;
        if (ok) {
            alias.target = strdup(version->collection);
            alias.embed = alias_embed(version, embed);
            ok = alias_swap(steward->agent->docs, ref, &alias, &outcome, err);
        }
    }
    alias_fini(&alias);
    if (ok && outcome != DOC_WON)
        ok = err_set(err, ERR_RETRY, ERR_STATE, 0, "the alias was changed by another");
    return ok;
}

static void set_step(struct steward *steward, const char *kind, const char *label)
{
    struct registry_step *step = &steward->registry.step;
    set_text(&step->kind, kind);
    set_text(&step->label, label);
    set_text(&step->owner, kind ? steward->agent->holder : NULL);
    step->since_ms = kind ? clock_wall_ms() : 0;
}

/* The family's first version has nobody to replace: verified, it is served. */
static bool activate(struct steward *steward, struct version *version, struct err *err)
{
    set_step(steward, "promoting", version->label);
    if (!save(steward, err) || !write_alias(steward, version, err))
        return false;
    set_step(steward, NULL, NULL);
    return enter(steward, version, VERSION_ACTIVE, err);
}

static bool is_first(const struct steward *steward, const struct version *version)
{
    for (size_t i = 0; i < steward->registry.version_count; i++) {
        const struct version *other = &steward->registry.versions[i];
        if (other != version &&
            (other->state == VERSION_ACTIVE || other->state == VERSION_PREVIOUS ||
             other->state == VERSION_RETIRED))
            return false;
    }
    return true;
}

/* Documents that were set aside are missing from the index: how many may be is said in the file. */
static bool quarantine_allows(struct steward *steward, struct version *version, bool *allowed,
                              struct err *err)
{
    struct ledger_counts counts;
    int64_t most = steward->family->config->verify.max_quarantined;
    if (!steward_count(steward, version, &counts, err))
        return false;
    *allowed = counts.quarantined <= most;
    if (!*allowed) {
        char reason[200];
        snprintf(reason, sizeof reason,
                 "%lld documents are quarantined, verify.max_quarantined allows %lld: correct them "
                 "in the source, or allow them",
                 (long long)counts.quarantined, (long long)most);
        note_reason(steward, version, reason);
    }
    return true;
}

static bool verify(struct steward *steward, struct version *version, struct err *err)
{
    bool agree, allowed;
    CLEANUP(feed_view_fini) struct feed_view view = {0};
    if (!steward_view(steward, version, &view, err))
        return false;
    if (version->swept_gen < view.gen)
        return true; /* a new generation has begun meanwhile */
    if (!counts_agree(steward, version, &agree, err) ||
        !quarantine_allows(steward, version, &allowed, err))
        return false;
    if (!agree || !allowed)
        return true;
    version->verified_epoch = 0;
    return enter(steward, version, VERSION_READY, err);
}

static bool follow(struct steward *steward, struct version *version, struct err *err)
{
    CLEANUP(feed_view_fini) struct feed_view view = {0};
    if (!steward_view(steward, version, &view, err))
        return false;
    if (version->state == VERSION_BACKFILLING)
        return !feed_is_filled(steward, &view) || enter(steward, version, VERSION_CATCHING_UP, err);
    if (version->swept_gen < view.gen)
        return true; /* what was missed is erased before it is counted */
    bool small =
        view.lag_items >= 0 && view.lag_items <= steward->family->config->verify.max_lag_items;
    if (!small)
        return true;
    if (is_first(steward, version))
        return enter(steward, version, VERSION_VERIFYING, err);
    if (!version->reason) {
        set_text(&version->reason, "filled and in step; cutting over is not built yet");
        return save(steward, err);
    }
    return true;
}

static bool advance(struct steward *steward, struct version *version, struct err *err)
{
    bool fed = version_is_fed(version->state);
    if (fed && version->seeded && !leave_generation(steward, version, err))
        return false;
    if (fed && !version->seeded)
        return seed(steward, version, err);
    switch (version->state) {
    case VERSION_PLANNED:
    case VERSION_CREATING:
        return create(steward, version, err);
    case VERSION_BACKFILLING:
    case VERSION_CATCHING_UP:
        return follow(steward, version, err);
    case VERSION_VERIFYING:
        return verify(steward, version, err);
    case VERSION_READY:
        return !is_first(steward, version) || activate(steward, version, err);
    default:
        return true;
    }
}

bool versions_advance(struct steward *steward, struct err *err)
{
    const char *label = steward->family->config->version.label;
    if (!registry_held(&steward->registry, label))
        return plan(steward, err);
    struct version *wanted = registry_version(&steward->registry, label);
    struct err refused;
    bool ok = !wanted || check_wish(steward, wanted, &refused);
    for (size_t i = 0; i < steward->registry.version_count; i++) {
        struct version *version = &steward->registry.versions[i];
        if (!advance(steward, version, err)) {
            note_reason(steward, version, err->text);
            return false;
        }
        if (version->state == VERSION_BACKFILLING && version->reason)
            note_reason(steward, version, NULL);
    }
    if (!ok)
        *err = refused;
    return ok;
}
