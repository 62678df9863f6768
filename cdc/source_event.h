/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the events of a change stream as the server sends them; what source.c is made of. */
#pragma once

#include "cdc/source.h"

struct event_sources {
    char **collections;
    size_t count;
};

/* Appends the event of these fields to the batch, which has room for two: a rename of one source onto
 * another is two. The iterator stands before the first field. */
bool event_read(bson_iter_t *fields, const struct event_sources *sources,
                struct source_batch *batch, struct err *err) MUST_USE;
/* A token's part of an event: `ver` and the type bits; `ver` stays as it is when there is none. */
void event_read_token(const bson_iter_t *token, struct source_event *out);
