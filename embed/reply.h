/* SPDX-License-Identifier: Apache-2.0 */
/* What embedding servers answer, read without a network: pure functions over the reply's bytes. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct embed_reply {
    int status;
    const char *body;
    size_t size;
    size_t count; /* texts asked for */
    size_t dims;
    bool dims_asked;            /* by the request */
    const char *const *secrets; /* never repeated in an error's text; NULL: none */
};

/* Vectors of {"data": [{"index", "embedding"}]}; an embedding is base64 of little-endian floats or
 * an array of numbers. RETRY EMBED_BAD_REPLY, FATAL EMBED_WRONG_DIMS. What a server writes where it
 * has no number (null, NaN) is read as NaN. */
bool embed_reply_openai(const struct embed_reply *reply, float *vectors, struct err *err) MUST_USE;
/* Vectors of {"embeddings": [[...], ...]}, in the order of the texts. */
bool embed_reply_ollama(const struct embed_reply *reply, float *vectors, struct err *err) MUST_USE;

/* Classifies an answer whose status is not 200; returns false. */
bool embed_reply_error(const struct embed_reply *reply, struct err *err);
/* The server says that its model died over the request. That is REJECT EMBED_TOO_LONG; but whoever
 * was served at the same moment is told the same. */
bool embed_reply_is_crash(const struct embed_reply *reply);

/* The digest of `model` in Ollama's list of models; FATAL EMBED_MODEL_MISSING. `out` holds 128
 * bytes. */
bool embed_reply_digest(const struct embed_reply *reply, const char *model, char *out,
                        struct err *err) MUST_USE;
