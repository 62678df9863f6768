/* SPDX-License-Identifier: Apache-2.0 */
/* What a command and the HTTP call of the same name have in common lies in this folder: one
 * implementation behind both, which neither prints nor answers. A command turns what comes of it into
 * words and an exit code, agent/api into a status and a body. Any thread.
 */
#pragma once

#include <cjson/cJSON.h>
#include <mongoc/mongoc.h>
#include <stdbool.h>
#include <stdint.h>

#include "agent/config/config.h"
#include "base/err.h"
#include "base/json.h"
#include "state/docstore.h"
#include "state/ledger.h"
#include "state/registry.h"

struct limiters;

/* All borrowed. */
struct command {
    const struct config *config;
    mongoc_client_pool_t *pool;
    struct docstore *docs;
    const char *by;                  /* who asks, for the registry */
    const struct limiters *limiters; /* that count requests to stores; NULL: nobody does */
};

/* NULL and *err (REJECT, CONFIG) that names the nearest one and lists all. */
const struct config_family *command_family(const struct config *config, const char *name,
                                           struct err *err) MUST_USE;
const struct config_embedder *command_embedder(const struct config *config, const char *name,
                                               struct err *err) MUST_USE;
const struct config_store *command_store(const struct config *config, const char *name,
                                         struct err *err) MUST_USE;

/* Newest build of a label; NULL and *err (REJECT, CONFIG) that lists those that there are. */
const struct version *command_version(const struct registry *registry, const char *label,
                                      struct err *err) MUST_USE;
/* One that is fed; a REJECT, STATE says what another is. */
const struct version *command_live_version(const struct registry *registry, const char *label,
                                           struct err *err) MUST_USE;

/* The registry's strings are its own; what is lent is only copied. */
static inline char *command_lend(const char *text)
{
    return (char *)(uintptr_t)text;
}

/* The ledger of a version. */
bool command_open_ledger(const struct command *command, const struct version *version,
                         struct ledger **out, struct err *err) MUST_USE;
