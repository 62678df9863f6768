/* SPDX-License-Identifier: Apache-2.0 */
/* The alias document: the one thing readers follow from a family to its active version.
 *
 *   {_id: family, target, embed: {driver, fn, dims, distance, normalize, query_prefix, digest,
 *    version, config_fp}, epoch, previous: {target, embed} | null, updated_at}
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "state/docstore.h"

struct alias {
    char *target;          /* NULL: there is no alias document */
    char *embed;           /* JSON object as above */
    int64_t epoch;         /* a document without one counts as 0 */
    char *previous_target; /* NULL: none */
    char *previous_embed;
    int64_t updated_ms;
};

struct alias_ref {
    const char *database;
    const char *collection;
    const char *family;
};

/* alias->target is NULL when there is none. */
bool alias_load(struct docstore *store, const struct alias_ref *ref, struct alias *out,
                struct err *err) MUST_USE;
/* Writes target, embed and previous together if the stored epoch is still alias->epoch, and raises
 * the epoch by one (also in *alias). */
bool alias_swap(struct docstore *store, const struct alias_ref *ref, struct alias *alias,
                enum doc_swap *outcome, struct err *err) MUST_USE;
/* The document as relaxed extended JSON for people; NULL in *json when there is none. free() it. */
bool alias_json(struct docstore *store, const struct alias_ref *ref, char **json, struct err *err)
    MUST_USE;
void alias_fini(struct alias *alias);
