/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a reply of an embedding server. The first two choose what was asked. */
#include <string.h>

#include "embed/embedder.h"
#include "embed/reply.h"
#include "fuzz/fuzz.h"

#define COUNT_MAX 4
#define DIMS_MAX 4

/* Vectors in memory of exactly the size promised. */
static void check_vectors(const struct embed_reply *reply, bool openai)
{
    float *vectors = calloc(reply->count * reply->dims, sizeof *vectors);
    FUZZ_MUST(vectors);
    struct err err = {0};
    bool ok = openai ? embed_reply_openai(reply, vectors, &err)
                     : embed_reply_ollama(reply, vectors, &err);
    FUZZ_MUST(ok || err.domain == ERR_EMBED || err.domain == ERR_HTTP); /* an error inside a 200 */
    FUZZ_MUST(ok || err.code != 0);
    free(vectors);
}

static void check_error(struct embed_reply *reply, uint8_t choice)
{
    static const int statuses[] = {302, 400, 401, 402, 404, 408, 413, 422, 429, 500, 503};
    struct err err = {0};
    reply->status = statuses[choice % (sizeof statuses / sizeof *statuses)];
    reply->secrets = (const char *const[]){"e\"", NULL};
    FUZZ_MUST(!embed_reply_error(reply, &err));
    FUZZ_MUST(!embed_reply_is_crash(reply) || reply->status == 500);
    FUZZ_MUST(!strstr(err.text, "e\"") && strlen(err.text) < sizeof err.text - 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    struct embed_reply reply = {.status = 200,
                                .body = (const char *)data + 2,
                                .size = size - 2,
                                .count = 1 + data[1] % COUNT_MAX,
                                .dims = 1 + data[1] / COUNT_MAX % DIMS_MAX};
    char digest[128];
    struct err err = {0};
    switch (data[0] % 4) {
    case 0:
    case 1:
        check_vectors(&reply, data[0] % 4 == 0);
        break;
    case 2:
        if (embed_reply_digest(&reply, "m", digest, &err))
            FUZZ_MUST(strlen(digest) < sizeof digest);
        break;
    default:
        check_error(&reply, data[0] / 4);
        break;
    }
    return 0;
}
