/* SPDX-License-Identifier: Apache-2.0 */
/* An embedder whose vectors can be computed by anybody, and which counts what it sells. */
#include <stdlib.h>
#include <string.h>

#include "embed/embedder.h"
#include "sim/sim.h"

#define MOST_TEXTS 6 /* of one request; more is refused as too many, at times */

struct simulated {
    struct embedder base;
    int number;
    bool interrupted;
};

bool __wrap_embedder_open(const struct embedder_options *options, struct embedder **out,
                          struct err *err);

void embed_vector(const char *text, size_t size, float *out)
{
    uint64_t hash = 14695981039346656037u; /* FNV-1a */
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ (uint8_t)text[i]) * 1099511628211u;
    for (size_t d = 0; d < SIM_DIMS; d++) {
        hash = (hash ^ d) * 1099511628211u;
        out[d] = (float)(hash >> 40) / 1e6f + 1;
    }
}

/* Texts are ended by a NUL in nobody's contract. */
static bool holds_poison(const struct embed_text *text)
{
    char *copy = strndup(text->text, text->size);
    bool poison = text_is_poison(copy);
    free(copy);
    return poison;
}

static bool refuse(const struct embed_text *texts, size_t count, struct err *err)
{
    if (sim_fault(world.faults.embed))
        return err_set(err, ERR_RETRY, ERR_HTTP, 503, "the provider is busy");
    if (count > MOST_TEXTS && world.faults.embed > 0)
        return err_set(err, ERR_RETRY, ERR_EMBED, EMBED_TOO_MANY, "too many texts");
    for (size_t i = 0; i < count; i++) {
        if (holds_poison(&texts[i]))
            return err_set(err, ERR_REJECT, ERR_EMBED, EMBED_REFUSED, "a text is refused");
    }
    return true;
}

static bool carry_out(const struct simulated *self, const struct embed_text *texts, size_t count,
                      float *vectors, bool *done, struct err *err)
{
    if (!refuse(texts, count, err))
        return false;
    for (size_t i = 0; i < count; i++) {
        embed_vector(texts[i].text, texts[i].size, vectors + i * SIM_DIMS);
        oracle_note_bought(self->number, texts[i].text, texts[i].size);
        done[i] = true;
    }
    return true;
}

/* Several requests, of which each may fail by itself; a refusal decides. */
static bool simulated_embed(struct embedder *embedder, const struct embed_text *texts, size_t count,
                            float *vectors, bool *done, struct err *err)
{
    struct simulated *self = (struct simulated *)embedder;
    if (!sim_enter("embed", err))
        return false;
    if (sim_fault(world.faults.slow))
        sched_sleep_until_us(sched_now_us() + sched_between(0, 12000000));
    if (self->interrupted)
        return err_set(err, ERR_CANCEL, ERR_CURL, 0, "interrupted");
    bool ok = true;
    for (size_t at = 0, part; at < count; at += part) {
        struct err failed;
        part = embedder_part(embedder, texts + at, count - at);
        if (carry_out(self, texts + at, part, vectors + at * SIM_DIMS, done + at, &failed))
            continue;
        if (ok || failed.action == ERR_REJECT)
            *err = failed;
        ok = false;
    }
    return sim_leave(err) && ok;
}

static bool simulated_digest(struct embedder *embedder, char *out, struct err *err)
{
    (void)embedder, (void)err;
    *out = '\0';
    return true;
}

static void simulated_interrupt(struct embedder *embedder)
{
    ((struct simulated *)embedder)->interrupted = true;
}

static void simulated_close(struct embedder *embedder)
{
    free(embedder);
}

static const struct embedder_ops simulated_ops = {.name = "simulated",
                                                  .embed = simulated_embed,
                                                  .digest = simulated_digest,
                                                  .interrupt = simulated_interrupt,
                                                  .close = simulated_close};

bool __wrap_embedder_open(const struct embedder_options *options, struct embedder **out,
                          struct err *err)
{
    if (!sim_enter("embedder open", err))
        return false;
    struct simulated *self = calloc(1, sizeof *self);
    self->base.ops = &simulated_ops;
    self->base.dims = options->dims;
    self->base.most = self->base.limits =
        (struct embed_limits){.texts = 2 * MOST_TEXTS, .bytes = 1000};
    self->number = options->name[1] - '1';
    *out = &self->base;
    return true;
}
