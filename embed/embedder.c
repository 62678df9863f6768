/* SPDX-License-Identifier: Apache-2.0 */
#include "embed/embedder.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/limits.h"
#include "embed/drivers.h"

const struct embedder_ops *const embedder_registry[] = {&hash_embedder, &openai_embedder,
                                                        &ollama_embedder, NULL};

bool embedder_open(const struct embedder_options *options, struct embedder **out, struct err *err)
{
    assert(options->name && options->driver);
    if (options->dims == 0 || options->dims > LIMIT_VECTOR_DIMS)
        return err_set(err, ERR_FATAL, ERR_CONFIG, 0, "embedder %s: dims must be 1..%d, is %zu",
                       options->name, LIMIT_VECTOR_DIMS, options->dims);
    for (size_t i = 0; embedder_registry[i]; i++) {
        if (strcmp(embedder_registry[i]->name, options->driver) != 0)
            continue;
        if (!embedder_registry[i]->open(options, out, err))
            return err_prefix(err, "embedder %s", options->name);
        return true;
    }
    return err_set(err, ERR_FATAL, ERR_CONFIG, 0, "embedder %s: there is no driver \"%s\"",
                   options->name, options->driver);
}

static bool check_vector(const float *vector, size_t dims, size_t index, struct err *err)
{
    double norm = 0;
    for (size_t i = 0; i < dims; i++)
        norm += (double)vector[i] * (double)vector[i];
    if (!isfinite(norm))
        return err_set(err, ERR_REJECT, ERR_EMBED, EMBED_BAD_VECTOR,
                       "the vector of text %zu is not finite", index);
    if (norm <= 0)
        return err_set(err, ERR_REJECT, ERR_EMBED, EMBED_BAD_VECTOR,
                       "the vector of text %zu has no length", index);
    return true;
}

bool embedder_embed(struct embedder *embedder, const struct embed_text *texts, size_t count,
                    float *vectors, struct err *err)
{
    if (count == 0)
        return true;
    if (!embedder->ops->embed(embedder, texts, count, vectors, err))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (!check_vector(vectors + i * embedder->dims, embedder->dims, i, err))
            return false;
    }
    return true;
}

bool embedder_digest(struct embedder *embedder, char out[static 128], struct err *err)
{
    out[0] = '\0';
    return embedder->ops->digest(embedder, out, err);
}

void embedder_interrupt(struct embedder *embedder)
{
    embedder->ops->interrupt(embedder);
}

void embedder_close(struct embedder *embedder)
{
    if (embedder)
        embedder->ops->close(embedder);
}
