/* SPDX-License-Identifier: Apache-2.0 */
/* A refusal of MongoDB in words: at which server, who, lacks what.
 *
 * The server's own words quote the refused command, filter and documents included: those are not
 * for a log. Thread-safe.
 */
#pragma once

#include <mongoc/mongoc.h>

#include "base/buf.h"

/* Whom refusals from now on are about: the hosts and the user of the URI of the newest pool. */
void mongo_refusal_set_login(const mongoc_uri_t *uri);

/* "MongoDB at db-1:27017: user 'vectail' lacks find on shop.articles"; the driver's own message
 * where it is not about a privilege. */
void mongo_refusal_write(const char *message, struct buf *out);
/* Its beginning alone, "MongoDB at db-1:27017: ". */
void mongo_refusal_write_server(struct buf *out);
