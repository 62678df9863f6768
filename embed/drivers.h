/* SPDX-License-Identifier: Apache-2.0 */
/* The embedders of this build, for the registry, and what they share. */
#pragma once

#include "embed/embedder.h"

extern const struct embedder_ops hash_embedder;
extern const struct embedder_ops openai_embedder;
extern const struct embedder_ops ollama_embedder;

/* Of the texts of one request. TEI takes bodies of 2 MB and OpenAI 300 000 tokens, which this many
 * bytes never hold in any script. */
#define EMBED_REQUEST_SIZE ((size_t)512 * 1024)

/* The failures of one call become one: see embedder_embed(). */
struct embed_failure {
    bool any;
    bool general; /* one of them would meet other texts too: it is not a rejection */
    struct err worst;
    bool troubled;
    struct err trouble; /* the worst of those for which the server is to be left alone */
};
void embed_failure_add(struct embed_failure *failure, const struct err *err);
/* Writes the worst, if any, and the trouble into the embedder; returns true when there was none. */
bool embed_failure_report(const struct embed_failure *failure, struct embedder *embedder,
                          struct err *err) MUST_USE;
