/* SPDX-License-Identifier: Apache-2.0 */
/* The half that all embedders behind HTTP share: requests of a bounded size, several at a time.
 *
 * What differs between servers is a `struct remote_dialect`. A remote embedder's digest() is its
 * own; the other slots are those below.
 */
#pragma once

#include <cjson/cJSON.h>

#include "base/secrets.h"
#include "embed/embedder.h"
#include "embed/reply.h"

struct remote;

struct remote_dialect {
    const struct embedder_ops *ops;
    const char *path; /* behind the configured URL */
    size_t max_batch; /* texts per request, unless configured */
    int64_t timeout_ms;
    void (*add_members)(const struct remote *remote, cJSON *body); /* all but "input" */
    bool (*read)(const struct embed_reply *reply, float *vectors, struct err *err) MUST_USE;
};

struct remote {
    struct embedder base;
    const struct remote_dialect *dialect;
    char *base_url; /* without a slash at its end */
    char *url;      /* of the embedding route */
    char *model;
    struct secrets secrets;
    char *authorization; /* header; NULL: none */
    const char *headers[4];
    char *members; /* ",\"model\":...}": the request's body behind its texts */
    bool send_dimensions;
    size_t max_in_flight;
    int64_t timeout_ms;
};

bool remote_open(const struct embedder_options *options, const struct remote_dialect *dialect,
                 struct embedder **out, struct err *err) MUST_USE;
bool remote_embed(struct embedder *embedder, const struct embed_text *texts, size_t count,
                  float *vectors, bool *done, struct err *err) MUST_USE;
void remote_interrupt(struct embedder *embedder);
void remote_close(struct embedder *embedder);
