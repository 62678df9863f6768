/* SPDX-License-Identifier: Apache-2.0 */
/* What `check --connect` tries, one outcome each. One thread. */
#pragma once

#include <cjson/cJSON.h>
#include <mongoc/mongoc.h>
#include <stdbool.h>

#include "agent/config.h"
#include "base/attr.h"

struct checks {
    cJSON *outcomes; /* [{"check", "ok", "detail"}] */
    bool failed;
    bool silent; /* nothing is printed as it comes */
};

/* Notes an outcome, and prints it. */
void check_note(struct checks *checks, bool ok, const char *what, const char *format, ...)
    PRINTF_LIKE(4, 5);

/* --- cmd_check_mongo.c --- */

/* The server, and each privilege by using it: nothing that anybody reads is changed. */
void check_mongo(struct checks *checks, const struct config *config);
