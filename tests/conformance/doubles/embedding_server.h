/* SPDX-License-Identifier: Apache-2.0 */
/* An embedding server inside a test. It speaks OpenAI's form (POST /v1/embeddings) and Ollama's
 * (POST /api/embed, GET /api/tags), and its vectors are those of the hash embedder.
 *
 * Texts that begin with "!" make it misbehave: see embedding_faults.c.
 */
#pragma once

#include <stddef.h>

#include "support/httpd.h"

struct embedding_server;

struct embedding_server *embedding_server_start(size_t dims);
void embedding_server_stop(struct embedding_server *server);
DEFINE_FREEP(struct embedding_server, embedding_server_stop)

/* Where the driver's `url` must point. */
const char *embedding_server_url(const struct embedding_server *server, const char *driver);
