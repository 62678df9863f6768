/* SPDX-License-Identifier: Apache-2.0 */
/* Fresh vectors for a sample, bought with the manners that lanes have: but what a lane waits for for hours,
 * a verification leaves to its next attempt. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/verify/sample.h"
#include "base/text.h"

struct purchase {
    struct sample *sample;
    struct sample_chunk **chunks;
    struct embed_text *texts;
    float *vectors;
    bool *done;
    size_t count;
};

static void on_standing(void *context, const char *reason)
{
    struct verify *verify = context;
    if (!reason)
        return;
    snprintf(verify->standing, sizeof verify->standing, "%s", reason);
    atomic_store(&verify->leave, true);
}

static bool is_code(const struct err *err, enum embed_refusal code)
{
    return err->domain == ERR_EMBED && err->code == (int64_t)code;
}

static bool enter(struct verify *verify, const struct provider_request *request,
                  struct provider_grant *grant, struct err *err)
{
    struct provider_ask ask = {.rank = RANK_SHADOW,
                               .requests = request,
                               .count = 1,
                               .stop = &verify->leave,
                               .standing = on_standing,
                               .context = verify};
    verify->standing[0] = '\0';
    if (provider_enter(verify->provider, &ask, grant, err))
        return true;
    if (err->action == ERR_CANCEL && verify->standing[0])
        return err_set(err, ERR_RETRY, ERR_STATE, 0, "embedder %s: %.400s",
                       verify->embedder_config->name, verify->standing);
    return false;
}

static void leave(struct verify *verify, struct provider_grant *grant, const struct err *failed)
{
    const struct err *trouble = embedder_trouble(verify->embedder);
    provider_leave(verify->provider, grant, failed && trouble ? trouble : failed);
}

/* One request of the first texts from `at`; *part: how many went. */
static bool send_part(struct purchase *purchase, size_t at, size_t most, size_t *part,
                      struct err *err)
{
    struct verify *verify = purchase->sample->verify;
    struct provider_limits limits = provider_limits(verify->provider);
    embedder_limit(verify->embedder, limits.texts == SIZE_MAX ? 0 : limits.texts,
                   limits.bytes == SIZE_MAX ? 0 : limits.bytes);
    *part = embedder_part(verify->embedder, purchase->texts + at, most);
    struct provider_request request = {.texts = *part};
    struct provider_grant grant = {0};
    for (size_t i = at; i < at + *part; i++) {
        request.bytes += purchase->texts[i].size;
        request.characters +=
            (int64_t)text_length(purchase->texts[i].text, purchase->texts[i].size);
    }
    if (!enter(verify, &request, &grant, err))
        return false;
    bool ok = embedder_embed(verify->embedder, purchase->texts + at, *part,
                             purchase->vectors + at * verify->embed.dims, purchase->done + at, err);
    if (!ok) {
        bool none = true;
        for (size_t i = at; i < at + *part; i++)
            none = none && !purchase->done[i];
        grant.failed = 1;
        grant.failed_characters = none ? request.characters : 0;
    }
    leave(verify, &grant, ok ? NULL : err);
    return ok || err_prefix(err, "embedder %s", verify->embedder_config->name);
}

/* It was refused with others: which of them is found one by one. One alone that is refused is left out: it
 * is in the store, so that it was taken once. */
static bool send_one_by_one(struct purchase *purchase, size_t at, size_t count, struct err *err)
{
    for (size_t i = at; i < at + count; i++) {
        size_t part;
        if (!purchase->done[i] && !send_part(purchase, i, 1, &part, err) &&
            err->action != ERR_REJECT && !is_code(err, EMBED_TOO_MANY))
            return false;
    }
    return true;
}

static bool learn(struct purchase *purchase, size_t at, size_t part)
{
    size_t bytes = 0;
    for (size_t i = at; i < at + part; i++)
        bytes += purchase->texts[i].size;
    return provider_learn(purchase->sample->verify->provider, part, bytes);
}

static bool buy(struct purchase *purchase, struct err *err)
{
    for (size_t part, at = 0; at < purchase->count;) {
        if (!verify_go_on(purchase->sample->verify, err))
            return false;
        if (send_part(purchase, at, purchase->count - at, &part, err)) {
            at += part;
            continue;
        }
        if (is_code(err, EMBED_TOO_MANY) && part > 1 && learn(purchase, at, part))
            continue;
        if (err->action != ERR_REJECT)
            return false;
        if (!send_one_by_one(purchase, at, part, err))
            return false;
        at += part;
    }
    return true;
}

static void *zeroed(size_t count, size_t size)
{
    void *memory = calloc(count + 1, size);
    if (!memory)
        abort();
    return memory;
}

bool sample_embed(struct sample *sample, struct err *err)
{
    size_t dims = sample->verify->embed.dims;
    struct purchase purchase = {.sample = sample,
                                .chunks = zeroed(sample->count, sizeof(struct sample_chunk *)),
                                .texts = zeroed(sample->count, sizeof *purchase.texts),
                                .done = zeroed(sample->count, sizeof *purchase.done)};
    for (size_t i = 0; i < sample->count; i++) {
        struct sample_chunk *chunk = &sample->chunks[i];
        if (chunk->state != SAMPLE_SOUND || !chunk->text)
            continue;
        purchase.texts[purchase.count] =
            (struct embed_text){.text = chunk->text, .size = chunk->text_size};
        purchase.chunks[purchase.count++] = chunk;
    }
    purchase.vectors =
        arena_alloc_array(sample->arena, purchase.count * dims + 1, sizeof *purchase.vectors);
    bool ok = buy(&purchase, err);
    for (size_t i = 0; i < purchase.count; i++)
        purchase.chunks[i]->fresh = purchase.done[i] ? purchase.vectors + i * dims : NULL;
    free(purchase.chunks);
    free(purchase.texts);
    free(purchase.done);
    return ok;
}
