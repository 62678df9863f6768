/* SPDX-License-Identifier: Apache-2.0 */
/* What the gates share while they are looked at. Private to gates*.c. */
#pragma once

#include "agent/family.h"
#include "agent/verify/gates.h"
#include "base/arena.h"
#include "state/ledger.h"
#include "state/registry.h"

struct verify {
    const struct verify_options *options;
    struct verify_report *report;
    const struct config_family *config;
    struct family *family;
    struct registry registry;
    const struct version *version; /* in the registry */
    cJSON *embed_object;           /* what `embed` borrows from, besides the arena */
    struct embed_config embed;
    struct arena *arena; /* of the whole run: little is kept in it */
    struct sink *sink;
    struct ledger *ledger;
    struct ledger_counts counts; /* at the beginning */
    const struct config_embedder *embedder_config;
    struct embedder *embedder; /* NULL: gate `embedder` found none that can be asked */
    struct provider *provider;
    struct provider *own_provider; /* to be freed */
    _Atomic bool leave;            /* whatever is waited for: the run is to end */
    char standing[512];            /* why the provider stands; "": it does not */
    bool has_store;                /* the collection answers under its id */
    int64_t lag_items;             /* as last noted; -1: not known */
};

/* Adds a result. `value` and `threshold`: NAN where there is none. */
struct gate_figures {
    bool ok;
    double value;
    double threshold;
};
void gate_put(struct verify *verify, enum gate_name name, struct gate_figures figures,
              const char *format, ...) PRINTF_LIKE(4, 5);
/* It could not be asked, because of what another gate says. */
void gate_put_unseen(struct verify *verify, enum gate_name name, enum gate_name because);
/* ERR_CANCEL when it is to end. */
bool verify_go_on(struct verify *verify, struct err *err) MUST_USE;
/* A store's connection beside its own, while there is one; NULL: not any more. */
void verify_hold_other(const struct verify *verify, struct sink *sink);
/* Waits a moment before something is looked at again. */
bool verify_pause(struct verify *verify, struct err *err) MUST_USE;
void verify_tell(const struct verify *verify, const char *doing, int64_t done, int64_t total);

/* --- gates_place.c --- */

bool gate_embedder(struct verify *verify, struct err *err) MUST_USE;
bool gate_collection(struct verify *verify, struct err *err) MUST_USE;
bool gate_snapshot(struct verify *verify, struct err *err) MUST_USE;
bool gate_lag(struct verify *verify, struct err *err) MUST_USE;
bool gate_quarantined(struct verify *verify, struct err *err) MUST_USE;
bool gate_size(struct verify *verify, struct err *err) MUST_USE;

/* --- gates_census.c --- */

/* Both of `documents` and `chunks`. */
bool gates_census(struct verify *verify, struct err *err) MUST_USE;

/* --- gates_ids.c --- */

bool gates_compare_ids(struct verify *verify, struct err *err) MUST_USE;

/* --- gates_sample.c --- */

/* All of `vectors`, `cosine` and `recall`. */
bool gates_sample(struct verify *verify, struct err *err) MUST_USE;
