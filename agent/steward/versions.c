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

void version_set_text(char **slot, const char *text)
{
    free(*slot);
    *slot = text ? strdup(text) : NULL;
}

bool version_save(struct steward *steward, struct err *err)
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
    version_set_text(&version->reason, reason);
    if (!version_save(steward, &err))
        log_debug("version.reason.failed", LOG_ERR(&err));
}

bool version_enter(struct steward *steward, struct version *version, enum version_state state,
                   struct err *err)
{
    log_info("version.state", LOG_STR("family", steward->family->name),
             LOG_STR("version", version->label),
             LOG_STR("from", version_state_name(version->state)),
             LOG_STR("to", version_state_name(state)));
    version->state = state;
    version->state_ms = clock_wall_ms();
    version_set_text(&version->reason, NULL);
    return version_save(steward, err);
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
    version_set_text(&step->kind, kind);
    version_set_text(&step->label, label);
    version_set_text(&step->owner, kind ? steward->agent->holder : NULL);
    step->since_ms = kind ? clock_wall_ms() : 0;
}

/* The family's first version has nobody to replace: verified, it is served. */
static bool activate(struct steward *steward, struct version *version, struct err *err)
{
    set_step(steward, "promoting", version->label);
    if (!version_save(steward, err) || !write_alias(steward, version, err))
        return false;
    set_step(steward, NULL, NULL);
    return version_enter(steward, version, VERSION_ACTIVE, err);
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
    return version_enter(steward, version, VERSION_READY, err);
}

static bool follow(struct steward *steward, struct version *version, struct err *err)
{
    CLEANUP(feed_view_fini) struct feed_view view = {0};
    if (!steward_view(steward, version, &view, err))
        return false;
    if (version->state == VERSION_BACKFILLING)
        return !feed_is_filled(steward, &view) ||
               version_enter(steward, version, VERSION_CATCHING_UP, err);
    if (version->swept_gen < view.gen)
        return true; /* what was missed is erased before it is counted */
    bool small =
        view.lag_items >= 0 && view.lag_items <= steward->family->config->verify.max_lag_items;
    if (!small)
        return true;
    if (is_first(steward, version))
        return version_enter(steward, version, VERSION_VERIFYING, err);
    if (!version->reason) {
        version_set_text(&version->reason, "filled and in step; cutting over is not built yet");
        return version_save(steward, err);
    }
    return true;
}

static bool advance(struct steward *steward, struct version *version, struct err *err)
{
    bool fed = version_is_fed(version->state);
    if (fed && version->seeded && !version_leave_generation(steward, version, err))
        return false;
    if (fed && !version->seeded)
        return version_seed(steward, version, err);
    switch (version->state) {
    case VERSION_PLANNED:
    case VERSION_CREATING:
        return version_create(steward, version, err);
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
        return version_plan(steward, err);
    struct version *wanted = registry_version(&steward->registry, label);
    struct err refused;
    bool ok = !wanted || version_check_wish(steward, wanted, &refused);
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
