/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/lane/lane.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/capture/capture.h"
#include "agent/lane/lane_reader.h"
#include "agent/lane/worker.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/log.h"

char *lane_group(const struct config *config, const char *family, const struct version *version)
{
    char *group = NULL;
    if (asprintf(&group, "%s.%s.%s.%s", config->name, family, version->label, version->build_id) <
        0)
        return NULL;
    return group;
}

char *lane_topic(const struct config *config, const struct family *family,
                 const struct version *version)
{
    if (config->worklog.driver == WORKLOG_KAFKA)
        return strdup(family->topic);
    char *topic = NULL;
    return asprintf(&topic, "%s.%s", family->topic, version->build_id) < 0 ? NULL : topic;
}

bool lane_open_sink(const struct config_store *store, const struct limiters *limiters,
                    struct sink **out, struct err *err)
{
    const char **headers = calloc(store->headers.count + 1, sizeof *headers);
    char **owned = calloc(store->headers.count + 1, sizeof *owned);
    for (size_t i = 0; i < store->headers.count; i++) {
        if (asprintf(&owned[i], "%s: %s", store->headers.items[i].name,
                     store->headers.items[i].value) < 0)
            owned[i] = NULL;
        headers[i] = owned[i];
    }
    struct sink_options options = {.name = store->name,
                                   .driver = store_driver_name(store->driver),
                                   .url = store->url,
                                   .tenant = store->tenant,
                                   .database = store->database,
                                   .documents = store->documents,
                                   .token = store->token,
                                   .headers = headers,
                                   .ca_file = store->ca_file,
                                   .timeout_ms = store->timeout_ms};
    bool ok = sink_open(&options, out, err);
    if (ok && limiters)
        sink_set_counts(*out, limiters_counts(limiters, store->name));
    for (size_t i = 0; i < store->headers.count; i++)
        free(owned[i]);
    free(owned);
    free(headers);
    return ok;
}

static bool open_embedder(const struct config_embedder *embedder, bool verifies,
                          struct embedder **out, struct err *err)
{
    struct embedder_options options = {
        .verifies = verifies,
        .name = embedder->name,
        .driver = embedder_driver_name(embedder->driver),
        .url = embedder->url,
        .model = embedder->model,
        .api_key = embedder->api_key,
        .dims = (size_t)embedder->dims,
        .max_batch = embedder->max_batch > 0 ? (size_t)embedder->max_batch : 0,
        .timeout_ms = embedder->timeout_ms,
        .send_dimensions = embedder->send_dimensions,
        .extra = embedder->extra,
        .ca_file = embedder->ca_file,
        .max_in_flight =
            embedder->limits.max_in_flight > 0 ? (size_t)embedder->limits.max_in_flight : 1,
    };
    return embedder_open(&options, out, err);
}

bool lane_open_embedder(const struct config_embedder *embedder, struct embedder **out,
                        struct err *err)
{
    return open_embedder(embedder, false, out, err);
}

bool lane_open_verifier(const struct config_embedder *embedder, struct embedder **out,
                        struct err *err)
{
    return open_embedder(embedder, true, out, err);
}

void lane_adopt_generation(struct lane *lane, int64_t gen)
{
    int64_t current = atomic_load(&lane->gen);
    while (gen > current) {
        if (atomic_compare_exchange_weak(&lane->gen, &current, gen))
            log_info("lane.generation", LOG_STR("family", lane->family->name),
                     LOG_STR("version", lane->label), LOG_INT("gen", gen));
    }
}

static const char *first_reason(const struct lane *lane)
{
    for (size_t i = 0; i <= lane->worker_count; i++) {
        if (lane->reasons[i])
            return lane->reasons[i];
    }
    return NULL;
}

void lane_set_reason(struct lane *lane, size_t place, const char *reason)
{
    pthread_mutex_lock(&lane->lock);
    char *was = lane->reasons[place];
    bool stood = first_reason(lane) != NULL;
    bool changed = (reason == NULL) != (was == NULL) || (reason && strcmp(reason, was) != 0);
    if (changed) {
        free(was);
        lane->reasons[place] = reason ? strdup(reason) : NULL;
    }
    bool stands = first_reason(lane) != NULL;
    pthread_mutex_unlock(&lane->lock);
    if (changed && reason)
        log_warn("lane.standing", LOG_STR("family", lane->family->name),
                 LOG_STR("version", lane->label), LOG_STR("reason", reason));
    else if (stood && !stands)
        log_info("lane.going_on", LOG_STR("family", lane->family->name),
                 LOG_STR("version", lane->label));
}

char *lane_reason(struct lane *lane)
{
    pthread_mutex_lock(&lane->lock);
    const char *first = first_reason(lane);
    char *reason = first ? strdup(first) : NULL;
    pthread_mutex_unlock(&lane->lock);
    return reason;
}

/* The registry's embed config is what counts; the file's embedder only says how to reach it. */
static bool read_embed(struct lane *lane, const struct version *version, struct err *err)
{
    lane->arena = arena_new(16 * MIB);
    lane->embed_object = json_parse(version->embed, strlen(version->embed), err);
    if (!lane->embed_object ||
        !embed_config_read(lane->embed_object, lane->arena, &lane->embed, err))
        return false;
    if (!family_check_makers(lane->embed_object, version->label, err))
        return false;
    const struct config_embedder *embedder = lane->embedder;
    const char *model = embedder->model ? embedder->model : embedder_driver_name(embedder->driver);
    if (strcmp(embedder_driver_name(embedder->driver), lane->embed.driver) != 0 ||
        strcmp(model, lane->embed.model) != 0 || (size_t)embedder->dims != lane->embed.dims)
        return err_set(err, ERR_FATAL, ERR_CONFIG, 0,
                       "version %s was built by %s %s with %zu dims, but embedder '%s' is now %s "
                       "%s with %lld: give the new model an embedder and a label of its own",
                       version->label, lane->embed.driver, lane->embed.model, lane->embed.dims,
                       embedder->name, embedder_driver_name(embedder->driver), model,
                       (long long)embedder->dims);
    return family_check_requests(embedder, &lane->embed, version->label, err);
}

static bool find_parts(struct lane *lane, const struct version *version, struct err *err)
{
    const struct config *config = lane->agent->config;
    lane->store = config_store_of(config, version->store);
    lane->embedder = config_embedder_of(config, version->embedder);
    if (!lane->store)
        return err_set(err, ERR_FATAL, ERR_CONFIG, 0,
                       "version %s is kept in store '%s', which the configuration does not have",
                       version->label, version->store);
    if (!lane->embedder)
        return err_set(err, ERR_FATAL, ERR_CONFIG, 0,
                       "version %s needs embedder '%s', which the configuration does not have",
                       version->label, version->embedder);
    return true;
}

/* The lane's own log lives as long as the process: its group begins where the log does. */
static bool open_own_log(struct lane *lane, struct err *err)
{
    struct worklog_topic *topic = calloc(1, sizeof *topic);
    struct worklog_position *positions = calloc(WORKLOG_MAX_PARTITIONS, sizeof *positions);
    struct worklog *log = lane->agent->log;
    bool ok = worklog_ensure(log, lane->topic, topic, err) &&
              worklog_positions(log, lane->topic, lane->group, positions, topic->partitions, err);
    if (ok && positions[0].committed < 0)
        ok = worklog_seed(log, lane->topic, lane->group, topic->low, topic->partitions, err);
    free(positions);
    free(topic);
    return ok;
}

static void start_capture(struct lane *lane)
{
    const char *database = lane->family->config->source.database;
    char *id = capture_id(lane->agent->config, database, lane->build_id);
    struct capture_feed feed = {.family = lane->family, .topic = lane->topic};
    struct capture_options options = {
        .agent = lane->agent, .id = id, .database = database, .feeds = &feed, .feed_count = 1};
    lane->capture = capture_start(&options);
    free(id);
}

void lane_free(struct lane *lane)
{
    if (!lane)
        return;
    arena_free(lane->arena);
    cJSON_Delete(lane->embed_object);
    pthread_mutex_destroy(&lane->lock);
    for (size_t i = 0; lane->reasons && i <= lane->worker_count; i++)
        free(lane->reasons[i]);
    free(lane->reasons);
    lane_reader_free(lane->reader);
    gate_part(lane->seat);
    lane_forget_versions(lane);
    free(lane->label);
    free(lane->build_id);
    free(lane->collection_id);
    free(lane->config_fp);
    free(lane->topic);
    free(lane->group);
    free(lane->workers);
    free(lane);
}

static void *run_reader(void *argument)
{
    struct lane *lane = argument;
    char name[96];
    snprintf(name, sizeof name, "%s/%s", lane->family->name, lane->label);
    log_set_thread(name);
    lane_reader_run(lane->reader);
    return NULL;
}

static void start_threads(struct lane *lane)
{
    lane->reader = lane_reader_new(lane);
    pthread_create(&lane->reading, NULL, run_reader, lane);
    lane->workers = calloc(lane->worker_count, sizeof *lane->workers);
    for (size_t i = 0; i < lane->worker_count; i++)
        lane->workers[i] = worker_new(lane, i);
    for (size_t i = 0; i < lane->worker_count; i++)
        worker_start(lane->workers[i]);
}

bool lane_start(const struct lane_options *options, struct lane **out, struct err *err)
{
    const struct config *config = options->agent->config;
    const struct version *version = options->version;
    CLEANUP(lane_freep) struct lane *lane = calloc(1, sizeof *lane);
    pthread_mutex_init(&lane->lock, NULL);
    lane->agent = options->agent;
    lane->family = options->family;
    lane->source = &lane_source_mongo;
    lane->label = strdup(version->label);
    lane->created_ms = version->created_ms;
    lane->build_id = strdup(version->build_id);
    lane->collection_id = strdup(version->collection_id);
    lane->config_fp = strdup(version->config_fp);
    lane->topic = lane_topic(config, options->family, version);
    lane->group = lane_group(config, options->family->name, version);
    lane->worker_count = (size_t)config->work.threads;
    lane->reasons = calloc(lane->worker_count + 1, sizeof *lane->reasons);
    atomic_init(&lane->gen, options->gen);
    atomic_init(&lane->paused, version->paused);
    if (!find_parts(lane, version, err) || !read_embed(lane, version, err))
        return false;
    lane->gate = limiters_gate(lane->agent->limiters, lane->store->name);
    lane->seat = gate_join(lane->gate, lane->family);
    lane->provider = limiters_provider(lane->agent->limiters, lane->embedder->name);
    lane_set_origin(lane, version);
    lane->timing = timings_of(lane->agent->timings, lane->family->name, lane->label);
    atomic_init(&lane->donor_revision, 1);
    lane_see_versions(lane, options->registry);
    if (config->worklog.driver == WORKLOG_MEMORY) {
        if (!open_own_log(lane, err))
            return false;
        start_capture(lane);
    }
    start_threads(lane);
    log_info("lane.started", LOG_STR("family", lane->family->name), LOG_STR("version", lane->label),
             LOG_STR("group", lane->group), LOG_INT("workers", (int64_t)lane->worker_count));
    *out = TAKE(lane);
    return true;
}

void lane_request_stop(struct lane *lane)
{
    atomic_store(&lane->stop, true);
    if (lane->capture)
        capture_request_stop(lane->capture);
}

void lane_join(struct lane *lane, int64_t until_ms)
{
    for (size_t i = 0; i < lane->worker_count; i++) {
        int64_t left_ms = until_ms - clock_mono_ms();
        worker_join(lane->workers[i], left_ms > 0 ? left_ms : 0);
    }
    pthread_join(lane->reading, NULL);
    for (size_t i = 0; i < lane->worker_count; i++)
        worker_free(lane->workers[i]);
    if (lane->capture) {
        capture_abandon(lane->capture); /* its readers are gone */
        capture_join(lane->capture);
    }
    log_info("lane.stopped", LOG_STR("family", lane->family->name),
             LOG_STR("version", lane->label));
}
