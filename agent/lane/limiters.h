/* SPDX-License-Identifier: Apache-2.0 */
/* What all lanes of a process share: a gate for each store and a provider for each embedder of the
 * configuration, and counts of what is asked of them. Any thread. */
#pragma once

#include "agent/config/config.h"
#include "agent/lane/gate.h"
#include "agent/lane/provider.h"
#include "sinks/sink_counts.h"
#include "state/docstore.h"

struct limiters;

/* `config` and `docs` are borrowed. */
struct limiters *limiters_new(const struct config *config, struct docstore *docs);
void limiters_free(struct limiters *limiters); /* NULL is fine */
/* All of them. */
struct provider *const *limiters_providers(const struct limiters *limiters, size_t *count);
/* Writes down how fast they were (agent/rates.h), if that was not done lately; `all`: whenever it was. */
void limiters_note_rates(struct limiters *limiters, bool all);
/* Of all requests that this process makes to a store, one for each of the configuration. */
struct sink_counts *limiters_counts(const struct limiters *limiters, const char *store);
/* NULL where the configuration has none of that name. */
struct gate *limiters_gate(const struct limiters *limiters, const char *store);
struct provider *limiters_provider(const struct limiters *limiters, const char *embedder);
