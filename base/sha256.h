/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 (FIPS 180-4) and base64 (RFC 4648), over OpenSSL. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/buf.h"

#define SHA256_SIZE 32
/* "sha256:" and 64 hex digits and the NUL */
#define SHA256_TEXT_SIZE 72

struct sha256 {
    uint8_t bytes[SHA256_SIZE];
};

struct sha256 sha256_of(const void *data, size_t size);
/* "sha256:<64 lower-case hex digits>" */
void sha256_format(const struct sha256 *digest, char out[static SHA256_TEXT_SIZE]);

/* Incremental: new, update..., finish (which frees). */
struct sha256_stream;
struct sha256_stream *sha256_stream_new(void);
void sha256_stream_update(struct sha256_stream *stream, const void *data, size_t size);
struct sha256 sha256_stream_finish(struct sha256_stream *stream);

/* Standard base64 with padding, appended to `out`. */
void base64_encode(struct buf *out, const void *data, size_t size);
/* Decodes `text` into `out`; false when it is not standard base64. */
bool base64_decode(struct buf *out, const char *text, size_t length) MUST_USE;

static inline bool sha256_equal(const struct sha256 *a, const struct sha256 *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}
