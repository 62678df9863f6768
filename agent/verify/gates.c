/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/verify/gates.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/lane/lane.h"
#include "agent/verify/gates_state.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/limits.h"
#include "state/alias.h"

#define PAUSE_MS 1000
#define STEP_MS 50

const char *gate_name_text(enum gate_name name)
{
    static const char *const names[GATE_COUNT] = {
        "embedder", "collection", "snapshot", "lag",         "documents", "chunks",
        "vectors",  "cosine",     "recall",   "quarantined", "size",
    };
    return names[name];
}

void gate_put(struct verify *verify, enum gate_name name, struct gate_figures figures,
              const char *format, ...)
{
    struct gate_result *result = &verify->report->gates[name];
    va_list arguments;
    *result = (struct gate_result){
        .name = name, .ok = figures.ok, .value = figures.value, .threshold = figures.threshold};
    va_start(arguments, format);
    vsnprintf(result->detail, sizeof result->detail, format, arguments);
    va_end(arguments);
}

void gate_put_unseen(struct verify *verify, enum gate_name name, enum gate_name because)
{
    gate_put(verify, name, (struct gate_figures){false, NAN, NAN}, "not looked at: see gate %s",
             gate_name_text(because));
}

void verify_hold_cancel(struct verify_hold *hold)
{
    pthread_mutex_lock(&hold->lock);
    hold->cancelled = true;
    if (hold->leave)
        atomic_store(hold->leave, true);
    if (hold->sink)
        sink_interrupt(hold->sink);
    if (hold->other)
        sink_interrupt(hold->other);
    if (hold->embedder)
        embedder_interrupt(hold->embedder);
    pthread_mutex_unlock(&hold->lock);
}

static bool is_cancelled(struct verify_hold *hold)
{
    if (!hold)
        return false;
    pthread_mutex_lock(&hold->lock);
    bool cancelled = hold->cancelled;
    pthread_mutex_unlock(&hold->lock);
    return cancelled;
}

bool verify_go_on(struct verify *verify, struct err *err)
{
    return !is_cancelled(verify->options->hold) ||
           err_set(err, ERR_CANCEL, ERR_STATE, 0, "the verification was stopped");
}

bool verify_pause(struct verify *verify, struct err *err)
{
    for (int64_t end = clock_mono_ms() + PAUSE_MS; clock_mono_ms() < end;) {
        if (!verify_go_on(verify, err))
            return false;
        clock_sleep_ms(STEP_MS);
    }
    return true;
}

void verify_tell(const struct verify *verify, const char *doing, int64_t done, int64_t total)
{
    struct verify_progress progress = {.doing = doing, .done = done, .total = total};
    if (verify->options->progress)
        verify->options->progress(verify->options->context, &progress);
}

/* --- what is needed ----------------------------------------------------------------------------- */

static const struct version *version_of(const struct registry *registry, const char *build_id)
{
    for (size_t i = 0; i < registry->version_count; i++) {
        if (strcmp(registry->versions[i].build_id, build_id) == 0)
            return &registry->versions[i];
    }
    return NULL;
}

static bool check_version(const struct version *version, struct err *err)
{
    if (version->external)
        return err_set(err, ERR_REJECT, ERR_STATE, 0,
                       "version %s was adopted: vectail has not filled it, and has nothing to "
                       "compare it with",
                       version->label);
    if (!version->collection_id)
        return err_set(err, ERR_REJECT, ERR_STATE, 0, "version %s is %s: it has no collection yet",
                       version->label, version_state_name(version->state));
    return version_is_fed(version) ||
           err_set(err, ERR_REJECT, ERR_STATE, 0, "version %s is %s: it is not kept in step",
                   version->label, version_state_name(version->state));
}

static bool load_version(struct verify *verify, struct err *err)
{
    const struct verify_options *options = verify->options;
    verify->config = config_family_of(options->config, options->family);
    if (!verify->config)
        return err_set(err, ERR_REJECT, ERR_CONFIG, 0, "the configuration has no family '%s'",
                       options->family);
    if (!registry_load(options->docs, options->config->name, options->family, &verify->registry,
                       err))
        return false;
    verify->version = version_of(&verify->registry, options->build_id);
    if (!verify->version)
        return err_set(err, ERR_REJECT, ERR_STATE, 0, "family %s has no build %s", options->family,
                       options->build_id);
    if (!check_version(verify->version, err))
        return false;
    const char *text = verify->version->embed;
    verify->embed_object = json_parse(text, strlen(text), err);
    return verify->embed_object &&
           family_check_makers(verify->embed_object, verify->version->label, err) &&
           embed_config_read(verify->embed_object, verify->arena, &verify->embed, err) &&
           family_new(options->config, verify->config, &verify->registry, &verify->family, err);
}

static bool read_epoch(struct verify *verify, struct err *err)
{
    struct alias alias;
    if (!alias_load(verify->options->docs, &verify->family->alias, &alias, err))
        return false;
    verify->report->epoch = alias.epoch;
    alias_fini(&alias);
    return true;
}

/* What another thread may cut short from here on. */
static bool hold(struct verify *verify, struct err *err)
{
    struct verify_hold *held = verify->options->hold;
    if (!held)
        return true;
    pthread_mutex_lock(&held->lock);
    held->sink = verify->sink;
    held->leave = &verify->leave;
    pthread_mutex_unlock(&held->lock);
    return verify_go_on(verify, err);
}

void verify_hold_other(const struct verify *verify, struct sink *sink)
{
    struct verify_hold *held = verify->options->hold;
    if (!held)
        return;
    pthread_mutex_lock(&held->lock);
    held->other = sink;
    if (held->cancelled && sink)
        sink_interrupt(sink);
    pthread_mutex_unlock(&held->lock);
}

static void let_go(struct verify *verify)
{
    struct verify_hold *held = verify->options->hold;
    if (!held)
        return;
    pthread_mutex_lock(&held->lock);
    held->sink = NULL;
    held->embedder = NULL;
    held->leave = NULL;
    pthread_mutex_unlock(&held->lock);
}

static bool open_places(struct verify *verify, struct err *err)
{
    const struct config *config = verify->options->config;
    const struct config_store *store = config_store_of(config, verify->version->store);
    struct ledger_options options = {.pool = verify->options->pool,
                                     .database = config->mongodb.state_database,
                                     .name = config->name,
                                     .build_id = verify->version->build_id,
                                     .owner = "verify"};
    if (!store)
        return err_set(err, ERR_FATAL, ERR_CONFIG, 0,
                       "version %s is kept in store '%s', which the configuration does not have",
                       verify->version->label, verify->version->store);
    return lane_open_sink(store, verify->options->limiters, &verify->sink, err) &&
           hold(verify, err) && sink_connect(verify->sink, err) &&
           ledger_open(&options, &verify->ledger, err);
}

static void verify_fini(struct verify *verify)
{
    let_go(verify);
    embedder_close(verify->embedder);
    provider_free(verify->own_provider);
    ledger_close(verify->ledger);
    sink_close(verify->sink);
    family_free(verify->family);
    cJSON_Delete(verify->embed_object);
    registry_fini(&verify->registry);
    arena_free(verify->arena);
}

/* --- the run ------------------------------------------------------------------------------------ */

/* The census comes last: it takes longest, and what else cannot be asked is known before. */
static bool run_gates(struct verify *verify, struct err *err)
{
    static bool (*const gates[])(struct verify * verify, struct err * err) = {
        gate_embedder,    gate_collection, gate_snapshot, gate_lag,
        gate_quarantined, gate_size,       gates_sample,  gates_census,
    };
    for (size_t i = 0; i < ARRAY_LEN(gates); i++) {
        if (!verify_go_on(verify, err) || !gates[i](verify, err))
            return false;
    }
    return true;
}

static void begin_report(struct verify *verify, int64_t started_ms)
{
    struct verify_report *report = verify->report;
    const struct version *version = verify->version;
    snprintf(report->family, sizeof report->family, "%s", verify->config->name);
    snprintf(report->label, sizeof report->label, "%s", version->label);
    snprintf(report->build_id, sizeof report->build_id, "%s", version->build_id);
    report->cheap = verify->options->cheap;
    if (verify->options->seed)
        snprintf(report->seed, sizeof report->seed, "%s", verify->options->seed);
    else
        sample_seed(version->build_id, started_ms, report->seed);
}

static void end_report(struct verify_report *report, int64_t started_ms)
{
    report->gate_count = GATE_COUNT;
    report->ok = true;
    for (size_t i = 0; i < GATE_COUNT; i++)
        report->ok = report->ok && report->gates[i].ok;
    report->at_ms = clock_wall_ms();
    report->took_ms = report->at_ms - started_ms;
}

bool verify_run(const struct verify_options *options, struct verify_report *out, struct err *err)
{
    struct verify verify = {.options = options, .report = out, .arena = arena_new(64 * MIB)};
    int64_t started_ms = clock_wall_ms();
    memset(out, 0, sizeof *out);
    bool ok = load_version(&verify, err) && read_epoch(&verify, err);
    if (ok) {
        begin_report(&verify, started_ms);
        ok = open_places(&verify, err) && ledger_count(verify.ledger, &verify.counts, err) &&
             run_gates(&verify, err);
    }
    if (ok)
        end_report(out, started_ms);
    else if (is_cancelled(options->hold))
        err->action = ERR_CANCEL;
    verify_fini(&verify);
    return ok;
}

void verify_report_reason(const struct verify_report *report, char *out, size_t size)
{
    const struct gate_result *failed = NULL;
    for (size_t i = 0; !failed && i < report->gate_count; i++) {
        if (!report->gates[i].ok)
            failed = &report->gates[i];
    }
    snprintf(out, size, "%s%s%s", failed ? gate_name_text(failed->name) : "", failed ? ": " : "",
             failed ? failed->detail : "");
}
