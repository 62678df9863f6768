/* SPDX-License-Identifier: Apache-2.0 */
/* Gates that are answered without looking at documents: what a version was built with, where it is kept and
 * how far it has come. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/lane/lane.h"
#include "agent/stats.h"
#include "agent/steward/feed.h"
#include "agent/verify/gates_state.h"
#include "base/clock.h"
#include "base/limits.h"

#define PASSED ((struct gate_figures){true, NAN, NAN})
#define FAILED ((struct gate_figures){false, NAN, NAN})

/* --- embedder ----------------------------------------------------------------------------------- */

static bool is_same_model(const struct verify *verify, const struct config_embedder *config)
{
    const char *driver = embedder_driver_name(config->driver);
    return strcmp(driver, verify->embed.driver) == 0 &&
           strcmp(config->model ? config->model : driver, verify->embed.model) == 0 &&
           (size_t)config->dims == verify->embed.dims;
}

/* The file's embedder of that name, if it still asks for what the version was built with. */
static bool find_embedder(struct verify *verify)
{
    struct err err;
    const struct version *version = verify->version;
    const struct config_embedder *config =
        config_embedder_of(verify->options->config, version->embedder);
    if (!config) {
        gate_put(verify, GATE_EMBEDDER, FAILED,
                 "the configuration has no embedder '%s' any more: readers could not embed a query "
                 "for this version. Put it back, or build a version with another",
                 version->embedder);
        return false;
    }
    if (!is_same_model(verify, config)) {
        gate_put(verify, GATE_EMBEDDER, FAILED,
                 "it was built by %s %s with %zu dims, but embedder '%s' is %s %s with %" PRId64
                 " now: give the new model an embedder and a label of its own",
                 verify->embed.driver, verify->embed.model, verify->embed.dims, config->name,
                 embedder_driver_name(config->driver), config->model ? config->model : "",
                 config->dims);
        return false;
    }
    if (!family_check_requests(config, &verify->embed, version->label, &err)) {
        gate_put(verify, GATE_EMBEDDER, FAILED, "%s", err.text);
        return false;
    }
    verify->embedder_config = config;
    return true;
}

static bool open_embedder(struct verify *verify, struct err *err)
{
    struct verify_hold *hold = verify->options->hold;
    if (!lane_open_verifier(verify->embedder_config, &verify->embedder, err))
        return false;
    if (hold) {
        pthread_mutex_lock(&hold->lock);
        hold->embedder = verify->embedder;
        pthread_mutex_unlock(&hold->lock);
    }
    verify->provider = verify->options->provider;
    if (!verify->provider) {
        verify->own_provider = provider_new(verify->embedder_config, verify->options->docs,
                                            verify->options->config->name);
        verify->provider = verify->own_provider;
    }
    return verify_go_on(verify, err);
}

bool gate_embedder(struct verify *verify, struct err *err)
{
    char digest[128] = "";
    const struct embed_config *embed = &verify->embed;
    if (!find_embedder(verify))
        return true;
    if (!open_embedder(verify, err) || !embedder_digest(verify->embedder, digest, err))
        return err_prefix(err, "embedder %s", verify->version->embedder);
    if (embed->digest[0] && strcmp(digest, embed->digest) != 0) {
        gate_put(verify, GATE_EMBEDDER, FAILED,
                 "the model behind '%s' is another now: its digest is %.40s, the version was built "
                 "with %.40s. Put the model back, or build a version with the new one",
                 verify->embedder_config->name, digest, embed->digest);
        return true;
    }
    bool test = verify->embedder_config->driver == EMBEDDER_HASH;
    if (test && !verify->config->allow_test_embedder)
        gate_put(verify, GATE_EMBEDDER, FAILED,
                 "it was built by the test embedder (driver hash), whose vectors mean nothing to "
                 "readers: build a version with a real one, or set allow_test_embedder for a test");
    else
        gate_put(verify, GATE_EMBEDDER, PASSED, "%s %s, %zu dims%s", embed->driver, embed->model,
                 embed->dims, test ? " (a test embedder, which the family allows)" : "");
    return true;
}

/* --- collection --------------------------------------------------------------------------------- */

static const struct value *metadata_of(const struct sink_collection *held, const char *name)
{
    for (size_t i = 0; i < held->metadata_count; i++) {
        if (strcmp(held->metadata[i].name, name) == 0)
            return &held->metadata[i].value;
    }
    return NULL;
}

/* What it is, against what was asked for; the first difference is told. */
static bool check_metadata(struct verify *verify, const struct sink_collection *held)
{
    const struct version *version = verify->version;
    const struct {
        const char *name;
        const char *wanted;
    } texts[] = {
        {"name", verify->options->config->name},
        {"build_id", version->build_id},
        {"state_id", verify->options->state_id},
        {"family", verify->config->name},
        {"version", version->label},
        {"config_fp", version->config_fp},
        {"input_format", EMBED_INPUT_FORMAT},
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        const struct value *value = metadata_of(held, texts[i].name);
        const char *is = value && value->type == VALUE_STRING ? value->as.string : "nothing";
        if (strcmp(is, texts[i].wanted) == 0)
            continue;
        gate_put(
            verify, GATE_COLLECTION, FAILED,
            "%s in the metadata of %s is %.200s, expected %.200s: it was made by another. Find "
            "out who writes to this store, drop the version and build it again",
            texts[i].name, version->collection, is, texts[i].wanted);
        return false;
    }
    return true;
}

static bool check_form(struct verify *verify, const struct sink_collection *held)
{
    const struct embed_config *embed = &verify->embed;
    const char *name = verify->version->collection;
    bool dims = held->dims == 0 || held->dims == embed->dims;
    bool distance = strcmp(held->distance, embed->distance) == 0;
    if (!dims)
        gate_put(verify, GATE_COLLECTION, FAILED,
                 "%s holds vectors of %zu dims, expected %zu: drop the version and build it again",
                 name, held->dims, embed->dims);
    else if (!distance)
        gate_put(verify, GATE_COLLECTION, FAILED,
                 "%s measures by %s, expected %s: drop the version and build it again", name,
                 held->distance, embed->distance);
    return dims && distance;
}

/* Records are reached by the store's handle, whatever became of the name. */
static bool probe_store(struct verify *verify, struct err *err)
{
    int64_t count;
    verify->has_store = sink_count(verify->sink, verify->version->collection_id, &count, err);
    return verify->has_store || (err->action != ERR_RETRY && err->action != ERR_CANCEL);
}

static bool same(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

/* An exchange of names that was cut short may have given it its other name already: what is right is for
 * the journal to say, and is looked at before it goes on. */
static bool is_being_renamed(const struct verify *verify)
{
    const struct registry_rename *journal = &verify->registry.rename;
    const char *id = verify->version->collection_id;
    return (same(journal->step, RENAME_RENAMING) || same(journal->step, RENAME_UNDOING)) &&
           (same(journal->shadow_id, id) || same(journal->live_id, id));
}

static bool find_held(struct verify *verify, bool *found, struct sink_collection *held,
                      struct err *err)
{
    const struct version *version = verify->version;
    return is_being_renamed(verify)
               ? sink_find_id(verify->sink, version->collection_id, verify->arena, found, held, err)
               : sink_find(verify->sink, version->collection, verify->arena, found, held, err);
}

bool gate_collection(struct verify *verify, struct err *err)
{
    bool found;
    struct sink_collection held;
    const struct version *version = verify->version;
    if (!probe_store(verify, err) || !find_held(verify, &found, &held, err))
        return err_prefix(err, "collection %s", version->collection);
    if (!found)
        gate_put(verify, GATE_COLLECTION, FAILED,
                 "the store has no collection %s%s: drop the version and build it again",
                 version->collection,
                 verify->has_store ? " (there is one under its id: it was renamed)" : "");
    else if (strcmp(held.id, version->collection_id) != 0)
        gate_put(verify, GATE_COLLECTION, FAILED,
                 "%s is another collection: its id is %s, the one that was filled had %s. Readers "
                 "would find it under the name. Remove it, drop the version and build it again",
                 version->collection, held.id, version->collection_id);
    else if (check_metadata(verify, &held) && check_form(verify, &held))
        gate_put(verify, GATE_COLLECTION, PASSED, "%s, %zu dims, %s", version->collection,
                 verify->embed.dims, held.distance);
    return true;
}

/* --- snapshot ----------------------------------------------------------------------------------- */

static bool read_positions(struct verify *verify, struct feed_view *view, struct err *err)
{
    const struct config *config = verify->options->config;
    char *topic = lane_topic(config, verify->family, verify->version);
    char *group = lane_group(config, verify->config->name, verify->version);
    bool ok = worklog_positions(verify->options->log, topic, group, view->positions,
                                view->partitions, err);
    free(topic);
    free(group);
    view->has_positions = ok;
    return ok;
}

/* Partitions that are not past the end of the generation's snapshot; the first of them is named. */
static int count_behind(const struct feed_view *view, char *first, size_t size)
{
    int behind = 0;
    for (int p = 0; p < view->partitions; p++) {
        int64_t at = view->positions[p].committed;
        if (at >= view->end_offsets[p])
            continue;
        if (behind++ == 0)
            snprintf(first, size, "partition %d is at %" PRId64 " of %" PRId64, p, at,
                     view->end_offsets[p]);
    }
    return behind;
}

static bool is_known(struct verify *verify, const struct feed_view *view)
{
    struct gate_figures failed = {false, view->partitions, 0};
    if (!view->known)
        gate_put(verify, GATE_SNAPSHOT, FAILED,
                 "the source has not been read yet: is an agent with the role capture running?");
    else if (feed_is_stopped(view))
        gate_put(verify, GATE_SNAPSHOT, failed,
                 "the family is not fed any more (state %s): vectail status %s says why",
                 family_state_name(view->state), verify->config->name);
    else if (!view->snapshot_done)
        gate_put(verify, GATE_SNAPSHOT, failed,
                 "generation %" PRId64 " of the source is still being read", view->gen);
    return view->known && !feed_is_stopped(view) && view->snapshot_done;
}

static void judge_snapshot(struct verify *verify, const struct feed_view *view)
{
    char first[128] = "";
    int behind = verify->options->log ? count_behind(view, first, sizeof first) : 0;
    struct gate_figures figures = {behind == 0, behind, 0};
    if (behind > 0) {
        gate_put(verify, GATE_SNAPSHOT, figures,
                 "%d of %d partitions have not applied the snapshot of generation %" PRId64
                 ": %s. Wait; or see what its lane waits for: vectail status %s",
                 behind, view->partitions, view->gen, first, verify->config->name);
    } else if (verify->version->swept_gen < view->gen) {
        figures.ok = false;
        gate_put(verify, GATE_SNAPSHOT, figures,
                 "what generation %" PRId64
                 " has not brought is not erased yet: wait; or, if the sweep asks, see vectail "
                 "sweep %s",
                 view->gen, verify->config->name);
    } else {
        gate_put(verify, GATE_SNAPSHOT, figures, "generation %" PRId64 " is applied and swept",
                 view->gen);
    }
}

bool gate_snapshot(struct verify *verify, struct err *err)
{
    CLEANUP(feed_view_fini) struct feed_view view = {0};
    struct feed_place place = {verify->options->config, verify->options->docs, verify->config,
                               verify->version->build_id};
    if (!feed_view_load(&place, &view, err))
        return false;
    if (!is_known(verify, &view))
        return true;
    if (verify->options->log && !read_positions(verify, &view, err))
        return false;
    judge_snapshot(verify, &view);
    return true;
}

/* --- lag ---------------------------------------------------------------------------------------- */

static bool is_first(const struct verify *verify)
{
    bool alone = true;
    for (size_t i = 0; i < verify->registry.version_count; i++) {
        const struct version *other = &verify->registry.versions[i];
        bool served = other->state == VERSION_ACTIVE || other->state == VERSION_PREVIOUS ||
                      other->state == VERSION_RETIRED;
        alone = alone && (other == verify->version || !served);
    }
    return alone;
}

/* For how long it has been small enough. */
static void judge_lag(struct verify *verify, const struct version_stats *stats)
{
    int64_t most = verify->config->verify.max_lag_items;
    int64_t wanted_ms = is_first(verify) ? 0 : verify->config->verify.lag_for_ms;
    int64_t steady_ms = verify->version->steady_ms;
    int64_t for_ms = steady_ms > 0 ? registry_now_ms(&verify->registry) - steady_ms : 0;
    struct gate_figures figures = {stats->lag_items <= most, (double)stats->lag_items,
                                   (double)most};
    if (!figures.ok) {
        gate_put(verify, GATE_LAG, figures,
                 "%" PRId64 " items wait, verify.max_lag_items is %" PRId64
                 ": wait until it has caught up; if it does not, see vectail status %s",
                 stats->lag_items, most, verify->config->name);
    } else if (for_ms < wanted_ms) {
        figures.ok = false;
        gate_put(verify, GATE_LAG, figures,
                 "%" PRId64 " items wait, but that it is no more than %" PRId64
                 " has lasted %" PRId64 " s, verify.lag_for is %" PRId64 " s: wait",
                 stats->lag_items, most, for_ms / 1000, wanted_ms / 1000);
    } else {
        gate_put(verify, GATE_LAG, figures, "%" PRId64 " items wait", stats->lag_items);
    }
}

bool gate_lag(struct verify *verify, struct err *err)
{
    bool found;
    struct version_stats stats;
    const char *name = verify->options->config->name;
    struct gate_figures failed = {false, NAN, (double)verify->config->verify.max_lag_items};
    verify->lag_items = -1;
    if (!stats_load(verify->options->docs, name, verify->version->build_id, &found, &stats, err))
        return false;
    if (!found || clock_wall_ms() - stats.at_ms >= STATS_FRESH_MS)
        gate_put(verify, GATE_LAG, failed,
                 "nobody has noted its lag in the last %d s: is an agent running that leads family "
                 "%s?",
                 STATS_FRESH_MS / 1000, verify->config->name);
    else if (stats.lag_items < 0)
        gate_put(verify, GATE_LAG, failed, "its lag is not known: %.400s",
                 stats.reason ? stats.reason : "its lane is not running");
    else
        judge_lag(verify, &stats);
    if (found)
        verify->lag_items = stats.lag_items;
    stats_fini(&stats);
    return true;
}

/* --- quarantined -------------------------------------------------------------------------------- */

bool gate_quarantined(struct verify *verify, struct err *err)
{
    int64_t most = verify->config->verify.max_quarantined;
    int64_t held = verify->counts.quarantined;
    struct gate_figures figures = {held <= most, (double)held, (double)most};
    (void)err;
    if (figures.ok)
        gate_put(verify, GATE_QUARANTINED, figures,
                 "documents that are set aside: %" PRId64 "; that are done without: %" PRId64, held,
                 verify->counts.skipped);
    else
        gate_put(verify, GATE_QUARANTINED, figures,
                 "documents that are missing because they were set aside: %" PRId64
                 "; see vectail quarantine list %s; correct them in the source, skip them, or "
                 "raise verify.max_quarantined",
                 held, verify->config->name);
    return true;
}

/* --- size --------------------------------------------------------------------------------------- */

struct sizes {
    int64_t texts; /* documents that have a chunk; -1: not known */
    int64_t chunks;
};

/* Of one that vectail has not filled only the store can tell. *known false: there is nothing of it. */
static bool external_sizes(struct verify *verify, const struct version *version, bool *known,
                           struct sizes *out, struct err *err)
{
    const struct config_store *store = config_store_of(verify->options->config, version->store);
    CLEANUP(sink_closep) struct sink *sink = NULL;
    struct sink_collection held;
    *out = (struct sizes){.texts = -1};
    *known = false;
    if (!store)
        return true;
    if (!lane_open_sink(store, verify->options->limiters, &sink, err))
        return false;
    verify_hold_other(verify, sink);
    bool ok = sink_connect(sink, err) &&
              sink_find(sink, version->collection, verify->arena, known, &held, err) &&
              (!*known || sink_count(sink, held.id, &out->chunks, err));
    verify_hold_other(verify, NULL);
    return ok;
}

static bool own_sizes(struct verify *verify, const struct version *version, struct sizes *out,
                      struct err *err)
{
    struct ledger_options options = {.pool = verify->options->pool,
                                     .database = verify->options->config->mongodb.state_database,
                                     .name = verify->options->config->name,
                                     .build_id = version->build_id,
                                     .owner = "verify"};
    CLEANUP(ledger_closep) struct ledger *ledger = NULL;
    struct ledger_counts counts;
    if (!ledger_open(&options, &ledger, err) || !ledger_count(ledger, &counts, err))
        return false;
    *out = (struct sizes){.texts = counts.texts, .chunks = counts.chunks};
    return true;
}

static double ratio_of(int64_t part, int64_t whole)
{
    return whole > 0 ? (double)part / (double)whole : INFINITY;
}

static void judge_size(struct verify *verify, const struct version *served, struct sizes sizes)
{
    double least = verify->config->verify.min_size_ratio;
    double chunks = ratio_of(verify->counts.chunks, sizes.chunks);
    double texts = sizes.texts < 0 ? 0 : ratio_of(verify->counts.texts, sizes.texts);
    double ratio = chunks > texts ? chunks : texts;
    struct gate_figures figures = {ratio >= least, isfinite(ratio) ? ratio : NAN, least};
    if (sizes.chunks == 0)
        gate_put(verify, GATE_SIZE, figures, "%s, which is served, is empty", served->label);
    else if (figures.ok)
        gate_put(verify, GATE_SIZE, figures,
                 "%" PRId64 " chunks, %s, which is served, has %" PRId64, verify->counts.chunks,
                 served->label, sizes.chunks);
    else
        gate_put(verify, GATE_SIZE, figures,
                 "%" PRId64 " documents with text and %" PRId64
                 " chunks are much less than %s has, "
                 "which is served (%" PRId64
                 " chunks): readers would miss something. Compare the text fields, the filters and "
                 "the source; lower verify.min_size_ratio where that is meant",
                 verify->counts.texts, verify->counts.chunks, served->label, sizes.chunks);
}

bool gate_size(struct verify *verify, struct err *err)
{
    struct sizes sizes;
    bool known = true;
    const struct version *served = registry_in_state(&verify->registry, VERSION_ACTIVE);
    struct gate_figures alone = {true, NAN, verify->config->verify.min_size_ratio};
    if (!served || served == verify->version) {
        gate_put(verify, GATE_SIZE, alone, "no other version is served: nothing to compare with");
        return true;
    }
    bool ok = served->external ? external_sizes(verify, served, &known, &sizes, err)
                               : own_sizes(verify, served, &sizes, err);
    if (!ok)
        return err_prefix(err, "size of %s", served->label);
    if (known)
        judge_size(verify, served, sizes);
    else
        gate_put(verify, GATE_SIZE, alone, "%s, which is served, is not to be found in its store",
                 served->label);
    return true;
}
