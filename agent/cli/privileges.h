/* SPDX-License-Identifier: Apache-2.0 */
/* What MongoDB allows the user whom a client is logged in as, as the user itself may ask. */
#pragma once

#include <mongoc/mongoc.h>
#include <stdbool.h>

#include "base/err.h"

struct privileges;

/* From a reply to `connectionStatus` with showPrivileges. */
struct privileges *privileges_of(const bson_t *reply) MUST_USE;
bool privileges_load(mongoc_client_t *client, struct privileges **out, struct err *err) MUST_USE;
void privileges_free(struct privileges *privileges);
DEFINE_FREEP(struct privileges, privileges_free)

/* Borrowed; NULL: nobody is logged in, which is all right only where access control is off. */
const char *privileges_user(const struct privileges *privileges);
/* Collection "": the whole database, as the streams of databases need it. True without a user. */
bool privileges_allow(const struct privileges *privileges, const char *database,
                      const char *collection, const char *action);
