/* SPDX-License-Identifier: Apache-2.0 */
#include "base/sha256.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct sha256_stream {
    EVP_MD_CTX *context;
};

/* Fetched once: EVP_sha256() would look the implementation up again for every digest. */
static pthread_once_t fetched = PTHREAD_ONCE_INIT;
static EVP_MD *algorithm;

static void fetch(void)
{
    algorithm = EVP_MD_fetch(NULL, "SHA256", NULL);
    if (!algorithm)
        abort();
}

struct sha256_stream *sha256_stream_new(void)
{
    if (pthread_once(&fetched, fetch) != 0)
        abort();
    struct sha256_stream *stream = calloc(1, sizeof *stream);
    if (!stream)
        abort();
    stream->context = EVP_MD_CTX_new();
    if (!stream->context || EVP_DigestInit_ex(stream->context, algorithm, NULL) != 1)
        abort();
    return stream;
}

void sha256_stream_update(struct sha256_stream *stream, const void *data, size_t size)
{
    if (size && EVP_DigestUpdate(stream->context, data, size) != 1)
        abort();
}

struct sha256 sha256_stream_finish(struct sha256_stream *stream)
{
    struct sha256 digest;
    if (EVP_DigestFinal_ex(stream->context, digest.bytes, NULL) != 1)
        abort();
    EVP_MD_CTX_free(stream->context);
    free(stream);
    return digest;
}

struct sha256 sha256_of(const void *data, size_t size)
{
    struct sha256_stream *stream = sha256_stream_new();
    sha256_stream_update(stream, data, size);
    return sha256_stream_finish(stream);
}

void sha256_format(const struct sha256 *digest, char out[static SHA256_TEXT_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    static const char prefix[] = "sha256:";
    memcpy(out, prefix, sizeof prefix);
    char *at = out + sizeof prefix - 1;
    for (size_t i = 0; i < SHA256_SIZE; i++) {
        *at++ = digits[digest->bytes[i] >> 4];
        *at++ = digits[digest->bytes[i] & 0xf];
    }
    *at = '\0';
}
