/* SPDX-License-Identifier: Apache-2.0 */
/* content_fp of a chunk and config_fp of an embed config. */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/sha256.h"
#include "embed/chunk.h"
#include "embed/normalize.h"

/* content_fp: SHA-256 of the chunk's bytes (the normalised text, without any prefix). */
struct sha256 content_fp(const char *chunk, size_t size);

/* Identifies how a chunk becomes an embedding's input: part of config_fp and of each collection's
 * metadata. Raised when that changes. */
#define EMBED_INPUT_FORMAT "vectail-text-1"

/* Everything that decides a vector or its id. Strings are borrowed. */
struct embed_config {
    const char *driver;
    const char *model;
    const char *digest; /* "" where the driver knows none */
    size_t dims;
    bool send_dimensions; /* the server is asked to shorten its vectors */
    const char *extra;    /* canonical JSON of what each request has besides; NULL: nothing */
    const char *distance; /* "cosine", "l2", "ip" */
    struct normalize_options normalize;
    const char *document_prefix;
    const char *query_prefix;
    struct chunk_options chunk;
    const char *id_scheme; /* "position", "content" */
    const char *const *text_fields;
    size_t text_field_count;
};

/* The embed config as a JSON object (what the registry keeps), and back. The result of
 * embed_config_read() borrows from `object` and allocates arrays in `arena`. */
cJSON *embed_config_json(const struct embed_config *config) MUST_USE;
bool embed_config_read(const cJSON *object, struct arena *arena, struct embed_config *out,
                       struct err *err) MUST_USE;

/* "sha256:..." of the canonical JSON (RFC 8785) of the object, which holds the chunker's and the
 * Unicode tables' versions too. */
void config_fp(const cJSON *object, char out[static SHA256_TEXT_SIZE]);

/* Fingerprint of the embedding part of an embed config: what decides the vector of given bytes of a
 * chunk, and nothing else (not how texts are cut, nor what the vectors are kept for). */
struct sha256 embedding_fp(const struct embed_config *config);
