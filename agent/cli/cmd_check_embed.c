/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/cli/cmd_check.h"
#include "agent/lane/lane.h"
#include "base/limits.h"

/* Of the text that tries the model's limit: what is longer is not likely to be asked for. */
#define LONG_CHARS_MAX ((int64_t)20000)
/* Two texts with other words at their ends are never as near as that. */
#define SAME_COSINE 0.9999999

struct trial {
    struct checks *checks;
    const struct config_embedder *config;
    struct embedder *embedder;
    char what[512];
};

static double cosine(const float *a, const float *b, size_t dims)
{
    double dot = 0, x = 0, y = 0;
    for (size_t i = 0; i < dims; i++) {
        dot += (double)a[i] * (double)b[i];
        x += (double)a[i] * (double)a[i];
        y += (double)b[i] * (double)b[i];
    }
    return dot / sqrt(x * y);
}

/* The longest chunk that a family gives to the embedder; 0: none does. */
static int64_t longest_chunk(const struct config *config, const struct config_embedder *embedder)
{
    int64_t longest = 0;
    for (size_t i = 0; i < config->family_count; i++) {
        const struct config_family *family = &config->families[i];
        int64_t chars =
            family->chunk.strategy == CHUNK_NONE ? LONG_CHARS_MAX : family->chunk.max_chars;
        /* without a version in the file any embedder may be asked for */
        const char *wanted = family->version.embedder;
        if ((!wanted || strcmp(wanted, embedder->name) == 0) && chars > longest)
            longest = chars;
    }
    return longest < LONG_CHARS_MAX ? longest : LONG_CHARS_MAX;
}

/* Chinese, which has the most tokens to a character, with a tail of other words. */
static void write_long(struct buf *out, int64_t chars, const char *word)
{
    static const char *const signs[] = {"水", "火", "山", "木", "天", "地", "人", "日"};
    int64_t tail = chars / 5;
    for (int64_t i = 0; i < chars - tail; i++)
        buf_puts(out, signs[i * i % 7 + i % 2]);
    for (int64_t i = 0; i < tail; i += (int64_t)strlen(word))
        buf_puts(out, word);
}

static void note_refusal(const struct trial *trial, int64_t chars, const struct err *err)
{
    bool too_long = err->domain == ERR_EMBED && err->code == EMBED_TOO_LONG;
    if (too_long)
        check_note(trial->checks, true, trial->what,
                   "a chunk of %lld Chinese characters is refused, not cut; on_too_long says %s",
                   (long long)chars,
                   trial->config->on_too_long == TOO_LONG_SPLIT
                       ? "split: it is embedded in parts"
                       : "quarantine: its document is set aside");
    else
        check_note(trial->checks, false, trial->what, "a chunk of %lld characters: %s",
                   (long long)chars, err->text);
}

/* A server that cuts gives two texts that differ only at their ends the same vector. */
static void check_cutting(struct trial *trial, int64_t chars)
{
    size_t dims = (size_t)trial->config->dims;
    struct err err;
    CLEANUP(buf_fini) struct buf one = BUF_INIT(MIB);
    CLEANUP(buf_fini) struct buf two = BUF_INIT(MIB);
    write_long(&one, chars, "duck ");
    write_long(&two, chars, "bank ");
    const struct embed_text texts[] = {{buf_str(&one), one.size}, {buf_str(&two), two.size}};
    float *vectors = calloc(2 * dims, sizeof *vectors);
    if (!vectors)
        abort();
    if (!embedder_embed(trial->embedder, texts, 2, vectors, NULL, &err))
        note_refusal(trial, chars, &err);
    else if (cosine(vectors, vectors + dims, dims) < SAME_COSINE)
        check_note(trial->checks, true, trial->what,
                   "a chunk of %lld Chinese characters is embedded whole", (long long)chars);
    else
        check_remark(trial->checks, trial->what,
                     "a chunk of %lld Chinese characters is cut without a word, and its end cannot "
                     "be found: let the server refuse it (the driver ollama does; TEI: "
                     "--auto-truncate false; Voyage: extra {\"truncation\": false}), or make "
                     "chunk.max_chars smaller",
                     (long long)chars);
    free(vectors);
}

/* True when it answers with vectors of the right length. */
static bool check_answer(struct trial *trial)
{
    struct err err;
    char digest[128] = "";
    const struct config_embedder *config = trial->config;
    const struct embed_text text = {.text = "vectail", .size = 7};
    float *vector = calloc((size_t)config->dims, sizeof *vector);
    if (!vector)
        abort();
    bool ok = lane_open_embedder(config, &trial->embedder, &err) &&
              embedder_embed(trial->embedder, &text, 1, vector, NULL, &err) &&
              embedder_digest(trial->embedder, digest, &err);
    free(vector);
    if (ok)
        check_note(trial->checks, true, trial->what, "%s gives %lld dimensions, as configured%s%s",
                   trial->embedder->ops->name, (long long)config->dims, *digest ? "; digest " : "",
                   digest);
    else
        check_note(trial->checks, false, trial->what, "%s", err.text);
    return ok;
}

void check_embedder(struct checks *checks, const struct config *config,
                    const struct config_embedder *embedder)
{
    struct trial trial = {.checks = checks, .config = embedder};
    int64_t chars = longest_chunk(config, embedder);
    snprintf(trial.what, sizeof trial.what, "embedder %s", embedder->name);
    if (check_answer(&trial) && chars > 0 && embedder->driver != EMBEDDER_HASH)
        check_cutting(&trial, chars);
    embedder_close(trial.embedder);
}
