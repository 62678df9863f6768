/* SPDX-License-Identifier: Apache-2.0 */
/* A configured family as the threads see it: its shape, its topic, its alias. Immutable. */
#pragma once

#include <stddef.h>

#include "agent/config/config.h"
#include "cdc/document.h"
#include "embed/fingerprint.h"
#include "state/alias.h"
#include "state/registry.h"

struct family {
    const struct config_family *config; /* borrowed */
    const char *name;
    char *topic; /* <topic_prefix>.<name>.<family> */
    struct shape *shape;
    struct alias_ref alias;
};

/* `live` is the registry's record (may be empty): its versions' text fields stay projected for as
 * long as they are fed. */
bool family_new(const struct config *config, const struct config_family *family,
                const struct registry *live, struct family **out, struct err *err) MUST_USE;
void family_free(struct family *family);
DEFINE_FREEP(struct family, family_free)

/* The embed config that the file asks for now, as JSON, with the model's digest. */
cJSON *family_embed_json(const struct config_family *family, const struct config_embedder *embedder,
                         const char *digest) MUST_USE;

/* Whether the embedder's requests ask for what they asked for when a version of this embed config was built:
 * ERR_FATAL when `extra` or `send_dimensions` has changed. */
bool family_check_requests(const struct config_embedder *embedder, const struct embed_config *embed,
                           const char *label, struct err *err) MUST_USE;

/* Whether this build cuts texts as the one that made the version: another chunker, or other Unicode tables,
 * would cut and fingerprint the same text differently. `embed` is the registry's. FATAL when not. */
bool family_check_makers(const cJSON *embed, const char *label, struct err *err) MUST_USE;

/* <family>__<label>__<model>; a second build of a label has "__b2" behind it. Cut, with a hash at the
 * end, where it would be too long, or could be another's name too. `out` holds LIMIT_COLLECTION_NAME + 1. */
void family_collection_name(const struct config_family *family, const struct version *version,
                            const char *model, char *out);

const char *distance_name(enum config_distance distance);
const char *store_driver_name(enum store_driver driver);
const char *embedder_driver_name(enum embedder_driver driver);
