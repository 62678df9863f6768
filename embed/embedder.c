/* SPDX-License-Identifier: Apache-2.0 */
#include "embed/embedder.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
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
        (*out)->limits = (*out)->most;
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

static size_t at_most(size_t limit, size_t most)
{
    return limit == 0 || limit > most ? most : limit;
}

void embedder_limit(struct embedder *embedder, size_t max_texts, size_t max_bytes)
{
    embedder->limits.texts = at_most(max_texts, embedder->most.texts);
    embedder->limits.bytes = at_most(max_bytes, embedder->most.bytes);
}

size_t embedder_part(const struct embedder *embedder, const struct embed_text *texts, size_t count)
{
    size_t part = 0;
    for (size_t bytes = 0; part < count && part < embedder->limits.texts; part++) {
        if (part > 0 && texts[part].size > embedder->limits.bytes - bytes)
            break;
        if (texts[part].size >= embedder->limits.bytes)
            return part + 1;
        bytes += texts[part].size;
    }
    return part;
}

static unsigned severity(const struct err *err)
{
    switch (err->action) {
    case ERR_FATAL:
        return 4;
    case ERR_CANCEL:
        return 3;
    case ERR_REJECT:
        return 2;
    case ERR_RETRY:
        break;
    }
    return 1;
}

/* The longest delay that any answer asked for is kept, whatever is worse. */
static void keep_worst(struct err *worst, bool is_first, const struct err *err)
{
    uint32_t delay = is_first ? 0 : worst->retry_after_ms;
    if (is_first || severity(err) > severity(worst) ||
        (severity(err) == severity(worst) && err->retry_after_ms > delay))
        *worst = *err;
    if (worst->retry_after_ms < delay)
        worst->retry_after_ms = delay;
    if (worst->retry_after_ms < err->retry_after_ms)
        worst->retry_after_ms = err->retry_after_ms;
}

static bool is_trouble(const struct err *err)
{
    if (err->domain == ERR_EMBED && err->code == EMBED_TOO_MANY)
        return false;
    return err->action == ERR_RETRY || err->action == ERR_FATAL;
}

void embed_failure_add(struct embed_failure *failure, const struct err *err)
{
    keep_worst(&failure->worst, !failure->any, err);
    failure->any = true;
    failure->general = failure->general || err->action != ERR_REJECT;
    if (!is_trouble(err))
        return;
    keep_worst(&failure->trouble, !failure->troubled, err);
    failure->troubled = true;
}

bool embed_failure_report(const struct embed_failure *failure, struct embedder *embedder,
                          struct err *err)
{
    if (failure->troubled) {
        embedder->troubled = true;
        embedder->trouble = failure->trouble;
    }
    if (failure->any && err)
        *err = failure->worst;
    return !failure->any;
}

/* A server that gives one text a vector of NaN has served the others all the same. */
static void check_vectors(const struct embedder *embedder, size_t count, const float *vectors,
                          bool *done, struct embed_failure *failure)
{
    for (size_t i = 0; i < count; i++) {
        struct err err;
        if (!done[i] || check_vector(vectors + i * embedder->dims, embedder->dims, i, &err))
            continue;
        done[i] = false;
        embed_failure_add(failure, &err);
    }
}

bool embedder_embed(struct embedder *embedder, const struct embed_text *texts, size_t count,
                    float *vectors, bool *done, struct err *err)
{
    embedder->troubled = false;
    if (count == 0)
        return true;
    struct err one;
    struct embed_failure failure = {0};
    bool *own = calloc(count, sizeof *own);
    if (!own)
        abort();
    if (!embedder->ops->embed(embedder, texts, count, vectors, own, &one))
        embed_failure_add(&failure, &one);
    check_vectors(embedder, count, vectors, own, &failure);
    if (done)
        memcpy(done, own, count * sizeof *own);
    free(own);
    return embed_failure_report(&failure, embedder, err);
}

const struct err *embedder_trouble(const struct embedder *embedder)
{
    return embedder->troubled ? &embedder->trouble : NULL;
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
