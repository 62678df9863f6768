/* SPDX-License-Identifier: Apache-2.0 */
/* What `check --connect` tries, one outcome each. One thread. */
#pragma once

#include <cjson/cJSON.h>
#include <mongoc/mongoc.h>
#include <stdbool.h>

#include "agent/config/config.h"
#include "base/attr.h"

struct checks {
    cJSON *outcomes; /* [{"check", "ok", "detail"}], and "note" where it is only worth knowing */
    bool failed;
    bool silent; /* nothing is printed as it comes */
};

/* Notes an outcome, and prints it. */
void check_note(struct checks *checks, bool ok, const char *what, const char *format, ...)
    PRINTF_LIKE(4, 5);

/* The same for what is no mistake but worth knowing. */
void check_remark(struct checks *checks, const char *what, const char *format, ...)
    PRINTF_LIKE(3, 4);

/* --- cmd_check_mongo.c --- */

/* The server, and each privilege: by asking for them and by using them. Nothing that anybody reads
 * is changed. */
void check_mongo(struct checks *checks, const struct config *config);

/* --- cmd_check_worklog.c --- */

/* The brokers, and each permission by using it; nothing is left in a topic. */
void check_worklog(struct checks *checks, const struct config *config);

/* --- cmd_check_embed.c --- */

/* The embedder by embedding: its dimensions, its digest, and whether it cuts what is too long. */
void check_embedder(struct checks *checks, const struct config *config,
                    const struct config_embedder *embedder);

/* --- cmd_check_sample.c --- */

/* The text fields of some of the family's documents: whether what they hold is text. */
void check_sample(struct checks *checks, const struct config *config,
                  const struct config_family *family, mongoc_client_t *client);
