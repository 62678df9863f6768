/* SPDX-License-Identifier: Apache-2.0 */
/* The call GET /v1/families/{f}/alias: the alias document, at once or when it is a newer one. */
#pragma once

#include "agent/api/serve_routes.h"
#include "state/docstore.h"

#define SERVE_WAIT_DEFAULT_MS 30000
#define SERVE_WAIT_MAX_MS 60000

/* Parks the call (reply->later) when it has the argument `epoch`. */
void serve_alias(const struct serve_request *request, const char *family,
                 struct serve_reply *reply);
/* The document as relaxed extended JSON, NULL when there is none, and its epoch. free() it. Blocks for
 * the driver's time-outs. */
bool serve_alias_load(struct docstore *docs, const struct config_family *family, char **json,
                      int64_t *epoch, struct err *err) MUST_USE;
/* 200 with it, or 404 for NULL. */
void serve_alias_reply(struct serve_reply *reply, const char *family, const char *json);
