/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/lane/limiters.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "agent/family.h"
#include "agent/rates.h"
#include "base/clock.h"
#include "base/log.h"
#include "sinks/sink.h"

#define NOTE_MS 10000

struct limiters {
    const struct config *config;
    struct docstore *docs;
    _Atomic int64_t noted_ms; /* monotonic: when the rates were written down */
    struct gate **gates;      /* as the configuration's stores */
    struct sink_counts *counts;
    struct provider **providers; /* as its embedders */
};

struct limiters *limiters_new(const struct config *config, struct docstore *docs)
{
    struct limiters *limiters = calloc(1, sizeof *limiters);
    limiters->config = config;
    limiters->docs = docs;
    limiters->gates = calloc(config->store_count + 1, sizeof(struct gate *));
    limiters->counts = calloc(config->store_count + 1, sizeof *limiters->counts);
    limiters->providers = calloc(config->embedder_count + 1, sizeof(struct provider *));
    for (size_t i = 0; i < config->store_count; i++)
        limiters->gates[i] = gate_new(sink_writers(store_driver_name(config->stores[i].driver)));
    for (size_t i = 0; i < config->embedder_count; i++)
        limiters->providers[i] = provider_new(&config->embedders[i], docs, config->name);
    return limiters;
}

void limiters_free(struct limiters *limiters)
{
    if (!limiters)
        return;
    for (size_t i = 0; i < limiters->config->store_count; i++)
        gate_free(limiters->gates[i]);
    for (size_t i = 0; i < limiters->config->embedder_count; i++)
        provider_free(limiters->providers[i]);
    free(limiters->gates);
    free(limiters->counts);
    free(limiters->providers);
    free(limiters);
}

struct provider *const *limiters_providers(const struct limiters *limiters, size_t *count)
{
    *count = limiters->config->embedder_count;
    return limiters->providers;
}

void limiters_note_rates(struct limiters *limiters, bool all)
{
    int64_t now_ms = clock_mono_ms(), noted_ms = atomic_load(&limiters->noted_ms);
    if ((!all && now_ms - noted_ms < NOTE_MS) ||
        !atomic_compare_exchange_strong(&limiters->noted_ms, &noted_ms, now_ms))
        return;
    for (size_t i = 0; i < limiters->config->embedder_count; i++) {
        struct embed_rate measured;
        struct err err;
        const char *embedder = limiters->config->embedders[i].name;
        provider_take_rate(limiters->providers[i], &measured);
        /* what cannot be written is no loss: it is measured all the time */
        if (measured.texts > 0 &&
            !rates_add(limiters->docs, limiters->config->name, embedder, &measured, &err))
            log_debug("embedder.rate.lost", LOG_STR("embedder", embedder), LOG_ERR(&err));
    }
}

struct sink_counts *limiters_counts(const struct limiters *limiters, const char *store)
{
    for (size_t i = 0; i < limiters->config->store_count; i++) {
        if (strcmp(limiters->config->stores[i].name, store) == 0)
            return &limiters->counts[i];
    }
    return NULL;
}

struct gate *limiters_gate(const struct limiters *limiters, const char *store)
{
    for (size_t i = 0; i < limiters->config->store_count; i++) {
        if (strcmp(limiters->config->stores[i].name, store) == 0)
            return limiters->gates[i];
    }
    return NULL;
}

struct provider *limiters_provider(const struct limiters *limiters, const char *embedder)
{
    for (size_t i = 0; i < limiters->config->embedder_count; i++) {
        if (strcmp(limiters->config->embedders[i].name, embedder) == 0)
            return limiters->providers[i];
    }
    return NULL;
}
