/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/plan/plan.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/family.h"
#include "agent/lane/lane.h"
#include "agent/plan/pass.h"
#include "agent/plan/reading.h"
#include "agent/rates.h"
#include "base/json.h"
#include "base/limits.h"

#define PROGRESS_ROWS 200
#define SIGMAS 1.96
#define DAY_S 86400.0

/* What the plan is made with. */
struct making {
    const struct plan_options *options;
    struct family *family;
    struct embedder *embedder;
    cJSON *embed_object;
    struct arena *arena;
    struct embed_config embed;
    struct donors donors;
    struct pass pass;
    int64_t total; /* documents in the source, nearly */
};

static bool take_row(void *context, const bson_t *doc, struct err *err)
{
    struct making *making = context;
    const struct plan_options *options = making->options;
    if (options->progress && making->pass.read % PROGRESS_ROWS == 0 &&
        !options->progress(options->context, making->pass.read,
                           options->sample > 0 ? options->sample : making->total))
        return err_set(err, ERR_CANCEL, ERR_STATE, 0, "interrupted");
    return pass_take(&making->pass, doc, err);
}

/* No request may be larger than a day's spend. */
static void limit_requests(const struct plan_options *options, struct embedder *embedder)
{
    int64_t per_day = options->embedder->limits.characters_per_day;
    embedder_limit(embedder, 0, per_day > 0 ? (size_t)per_day : 0);
}

static bool prepare(struct making *making, struct err *err)
{
    const struct plan_options *options = making->options;
    making->arena = arena_new(MIB);
    if (!family_new(options->config, options->family, NULL, &making->family, err) ||
        !lane_open_embedder(options->embedder, &making->embedder, err))
        return false;
    limit_requests(options, making->embedder);
    making->embed_object = family_embed_json(options->family, options->embedder, "");
    if (!embed_config_read(making->embed_object, making->arena, &making->embed, err) ||
        !donors_open(options, &making->donors, err))
        return false;
    struct pass_options pass = {.shape = making->family->shape,
                                .embed = &making->embed,
                                .embedder = making->embedder,
                                .donors = &making->donors,
                                .batch_documents = (size_t)options->config->work.batch_documents,
                                .most_slots = CONTENTS_MOST_SLOTS};
    pass_init(&making->pass, &pass);
    return true;
}

static void making_fini(struct making *making)
{
    if (making->pass.contents)
        pass_fini(&making->pass);
    donors_close(&making->donors);
    cJSON_Delete(making->embed_object);
    embedder_close(making->embedder);
    family_free(making->family);
    arena_free(making->arena);
}

/* Reads the source, or some of it: *sampled says of how many documents. */
static bool read_source(struct making *making, int64_t *sampled, struct err *err)
{
    const struct plan_options *options = making->options;
    struct reading reading = {.pool = options->pool,
                              .family = options->family,
                              .shape = making->family->shape,
                              .row = take_row,
                              .context = making};
    if (!reading_estimate(&reading, &making->total, err))
        return false;
    /* the server would read most of it to take as many by chance */
    bool all = options->sample <= 0 || options->sample >= making->total / 2;
    if (all ? !reading_all(&reading, err) : !reading_sample(&reading, options->sample, err))
        return false;
    *sampled = all ? 0 : making->pass.read;
    return pass_end(&making->pass, !all, err);
}

/* --- figures ------------------------------------------------------------------------------------ */

static int64_t whole(double number)
{
    return (int64_t)llround(number);
}

/* What the sample of documents may be wrong by, from how much they differ. */
static double spread_error(const struct pass *pass, int64_t total)
{
    double n = (double)pass->read;
    if (n < 2 || pass->mean <= 0)
        return pass->mean > 0 ? 1 : 0;
    double left = fmax(1 - n / (double)total, 0); /* none when all were read */
    return SIGMAS * sqrt(pass->squares / (n - 1) / n * left) / pass->mean;
}

/* A verification buys the vectors of some chunks once more. */
static void add_verification(const struct making *making, struct plan *out)
{
    const struct pass *pass = &making->pass;
    int64_t sample = making->options->family->verify.sample;
    double per_chunk =
        pass->chunks > 0 ? pass->mean * (double)pass->read / (double)pass->chunks : 0;
    size_t most = making->embedder->limits.texts;
    out->to_verify = sample < out->chunks ? sample : out->chunks;
    out->characters += whole((double)out->to_verify * per_chunk);
    out->requests += whole(ceil((double)out->to_verify / (double)most));
}

static void count(const struct making *making, struct plan *out)
{
    const struct pass *pass = &making->pass;
    bool sampled = out->sampled > 0;
    double scale = sampled ? (double)making->total / (double)pass->read : 1;
    struct contents_sum sum;
    contents_sum(pass->contents, scale, &sum);
    out->read = pass->read;
    out->documents = whole((double)pass->documents * scale);
    out->set_aside = whole((double)pass->set_aside * scale);
    out->empty = whole((double)pass->empty * scale);
    out->chunks = whole((double)pass->chunks * scale);
    out->contents = whole(sum.contents);
    out->reusable = whole(sum.reusable);
    out->to_embed = whole(sum.to_buy);
    out->characters = whole(sum.characters);
    out->error = sampled ? hypot(spread_error(pass, making->total), sum.error) : sum.error;
    bool counted = !sampled && contents_are_whole(pass->contents);
    double texts_per_request = pass->requests > 0 ? (double)pass->packed / pass->requests : 1;
    out->requests = counted ? whole(pass->requests) : whole(ceil(sum.to_buy / texts_per_request));
    add_verification(making, out);
}

static int64_t tokens_of(int64_t characters)
{
    return (characters + PLAN_CHARACTERS_PER_TOKEN - 1) / PLAN_CHARACTERS_PER_TOKEN;
}

static double at_rate(int64_t amount, int64_t per_period, double period_s)
{
    return per_period > 0 ? (double)amount / (double)per_period * period_s : 0;
}

static double limit_seconds(const struct config_limits *limits, const struct plan *plan)
{
    double seconds = at_rate(plan->requests, limits->requests_per_minute, 60);
    seconds = fmax(seconds, at_rate(plan->tokens, limits->tokens_per_minute, 60));
    return fmax(seconds, at_rate(plan->characters, limits->characters_per_day, DAY_S));
}

static bool reckon(const struct plan_options *options, struct plan *out, struct err *err)
{
    const struct config_embedder *embedder = options->embedder;
    struct embed_rate rate;
    if (!rates_load(options->docs, options->config->name, embedder->name, &rate, err))
        return false;
    out->tokens = tokens_of(out->characters);
    out->price = (double)out->tokens / 1e6 * embedder->price_per_million_tokens;
    out->limit_seconds = limit_seconds(&embedder->limits, out);
    out->seconds = NAN;
    if (rate.characters > 0)
        out->seconds =
            fmax((double)out->characters / (double)rate.characters * (double)rate.busy_us / 1e6,
                 out->limit_seconds);
    else if (out->requests == 0)
        out->seconds = 0;
    return true;
}

bool plan_make(const struct plan_options *options, struct plan *out, struct err *err)
{
    struct making making = {.options = options};
    *out = (struct plan){0};
    bool ok = prepare(&making, err) && read_source(&making, &out->sampled, err);
    if (ok) {
        count(&making, out);
        snprintf(out->reuse_unknown, sizeof out->reuse_unknown, "%s", making.donors.unknown);
        ok = reckon(options, out, err);
    }
    making_fini(&making);
    return ok;
}

cJSON *plan_json(const struct plan_options *options, const struct plan *plan)
{
    cJSON *json = json_object();
    json_add_string(json, "family", options->family->name);
    json_add_string(json, "embedder", options->embedder->name);
    json_add_int(json, "documents", plan->documents);
    json_add_int(json, "chunks", plan->chunks);
    json_add_int(json, "characters", plan->characters);
    json_add_int(json, "tokens_estimated", plan->tokens);
    if (plan->reuse_unknown[0])
        json_add_null(json, "reusable_chunks");
    else
        json_add_int(json, "reusable_chunks", plan->reusable);
    json_add_int(json, "chunks_to_embed", plan->to_embed);
    json_add_int(json, "requests", plan->requests);
    json_add_double(json, "seconds_estimated", plan->seconds); /* NaN: null */
    json_add_double(json, "price_estimated", plan->price);
    json_add_int(json, "contents", plan->contents);
    json_add_int(json, "chunks_to_verify", plan->to_verify);
    json_add_int(json, "documents_set_aside", plan->set_aside);
    json_add_int(json, "documents_without_text", plan->empty);
    json_add_double(json, "seconds_by_limits", plan->limit_seconds);
    json_add_int(json, "documents_read", plan->read);
    json_add_bool(json, "sampled", plan->sampled > 0);
    json_add_double(json, "error", plan->error);
    json_add_string(json, "reuse_unknown", plan->reuse_unknown[0] ? plan->reuse_unknown : NULL);
    return json;
}
