/* SPDX-License-Identifier: Apache-2.0 */
/* What `status -o json`, /v1/status and the metrics say, from what is written down in MongoDB. */
#pragma once

#include <cjson/cJSON.h>
#include <mongoc/mongoc.h>
#include <stdbool.h>

#include "agent/config/config.h"
#include "agent/status/health.h"
#include "base/err.h"
#include "state/docstore.h"

struct status_request {
    const struct config *config;
    struct docstore *docs;
    mongoc_client_pool_t *pool; /* for the number of documents in the source; NULL: as of the last
                                   snapshot */
    const char *family;         /* NULL: all */
    struct health *health;      /* of this process; NULL: it is not an agent */
    const cJSON *servers;       /* where it is none: as it finds them; NULL: it has not looked */
};

/* Blocks for the driver's timeouts. A family that neither the file nor the registry has: REJECT,
 * CONFIG. */
bool status_json(const struct status_request *request, cJSON **out, struct err *err) MUST_USE;

/* The entry of a family or of a version's newest build in that JSON, or NULL. Borrowed. */
const cJSON *status_family(const cJSON *status, const char *family);
const cJSON *status_version(const cJSON *family, const char *label);
