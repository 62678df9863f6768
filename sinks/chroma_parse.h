/* SPDX-License-Identifier: Apache-2.0 */
/* Replies of Chroma's API v2. Pure functions; whatever the bytes, the result is a value or an error
 * (RETRY, DATA: a reply that makes no sense). Results are in the arena given. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "sinks/sink.h"

struct chroma_reply {
    int status;
    const char *body;
    size_t size;
    const char *const *secrets; /* never repeated in an error's text; NULL: none */
};

struct chroma_preflight {
    size_t max_batch_size;
    bool base64;
};

bool chroma_parse_preflight(const struct chroma_reply *reply, struct chroma_preflight *out,
                            struct err *err) MUST_USE;
bool chroma_parse_collection(const struct chroma_reply *reply, struct arena *arena,
                             struct sink_collection *out, struct err *err) MUST_USE;
bool chroma_parse_list(const struct chroma_reply *reply, struct arena *arena,
                       struct sink_collection **out, size_t *count, struct err *err) MUST_USE;
bool chroma_parse_count(const struct chroma_reply *reply, int64_t *out, struct err *err) MUST_USE;
/* Of a get; what was not included stays NULL. */
bool chroma_parse_records(const struct chroma_reply *reply, struct arena *arena,
                          struct sink_record **out, size_t *count, struct err *err) MUST_USE;
/* Of a query: out[count], one for each vector that was asked about. */
bool chroma_parse_matches(const struct chroma_reply *reply, struct arena *arena,
                          struct sink_matches *out, size_t count, struct err *err) MUST_USE;

/* Classifies an answer whose status says no, with the store's own words; returns false. */
bool chroma_parse_error(const struct chroma_reply *reply, struct err *err);
