/* SPDX-License-Identifier: Apache-2.0 */
/* Cutover for readers that can only open one fixed name: the collection that has the name gives it up
 * for its parking name, and the one that is to be served takes it.
 *
 * No store does both at once, so the journal in the registry (struct registry_rename) says what is to
 * become of the two, by the store's handles, before the first call; the names that the handles have in
 * the store then tell how far it has come. What does not fit the journal is left as it is, with a reason:
 * no collection is ever written to or dropped here. The thread of the registry only; blocks for as long as
 * the store and MongoDB do.
 */
#pragma once

#include "agent/steward/steward_state.h"
#include "sinks/sink.h"

struct rename {
    struct sink *sink; /* of the store of both */
    struct registry *registry;
    const char *family;
    const char *served_name; /* as the file says; NULL: it does not */
    int64_t epoch;  /* of the alias that is to be replaced: tells one cutover from another */
    int64_t now_ms; /* of a clock that all leaders share, when it was read */
    int64_t now_mono_ms;
    int64_t settle_ms; /* how long a request whose answer was lost may still be carried out */
    struct arena *arena;
    /* Writes the registry down; RETRY where another was faster. */
    bool (*save)(void *context, struct err *err);
    void *context;
};

/* The name that readers open: the file's, else the one that was exchanged last, else that of the
 * collection that was adopted, else the family's. Borrowed. */
const char *rename_served_name(const struct rename *rename);

/* Lets the version's collection have the served name, begun by this or an earlier process; safe to
 * repeat until it is true. *done false: its collection is gone meanwhile, and the one that had the name
 * has it again. True with *done: both names are as the registry says. */
bool rename_exchange(const struct rename *rename, struct version *version, bool *done,
                     struct err *err) MUST_USE;
/* Takes the exchange for this version and epoch back, however far it came; true when that is done, or there
 * was none. Only before the alias is replaced. */
bool rename_take_back(const struct rename *rename, const struct version *version, struct err *err)
    MUST_USE;

/* --- for the steward: with the version's own store, and only while this process leads --- */

/* To be called while "promoting" stands in the registry, before the alias is replaced, for cutover and
 * rollback alike. It saves the registry: version->collection is then the served name, and that of the
 * version that had it is its own. */
bool rename_step(struct steward *steward, struct version *version, bool *done, struct err *err)
    MUST_USE;
/* When the alias could not be replaced, and "promoting" is to be given up. */
bool rename_undo(struct steward *steward, struct version *version, struct err *err) MUST_USE;
