/* SPDX-License-Identifier: Apache-2.0 */
/* The hash embedder: signed feature hashing, for tests, demos and offline work. Texts that share
 * words or parts of words get near vectors; nothing is learned and nothing is fetched.
 *
 * The text is lower-cased (simple case mapping). A word is a run of word characters (letters,
 * marks, numbers, connectors). Features are byte strings:
 *     "w" word                    each word                                         weight 1
 *     "b" word " " word           each two words that follow each other             weight 1/2
 *     "c" three code points       of " " word " ", each three that follow another   weight 1/4
 *     "t" text                    the whole text, when nothing else gives a vector  weight 1
 * The hash of a feature is 64-bit FNV-1a, begun with the hash of the model's name (the plain
 * offset basis when it has none), finished by splitmix64's mixer. A feature that occurs n times
 * adds +-weight * sqrt(n): to component (hash >> 1) mod dims, negative when the lowest bit is set.
 * The sum, in the order of first occurrence and in doubles, is divided by its length. Only exactly
 * rounded operations are used, so the result is the same on every machine.
 */
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/text.h"
#include "embed/drivers.h"

/* Of the algorithm above: what embedder_digest() answers. */
#define HASH_DIGEST "hash-1"

/* Of one text, in bytes. */
#define HASH_MAX_SIZE (16 * MIB)

#define FNV_BASIS 0xcbf29ce484222325u
#define FNV_PRIME 0x100000001b3u

struct hash_feature {
    uint64_t hash;
    double weight;
    uint32_t count;
};

/* A word of the text, where it stands for the first time. */
struct hash_word {
    const char *text;
    size_t size;
    uint32_t feature; /* of the word itself: its count is the word's */
};

/* A place in a text. */
struct span {
    const char *text;
    size_t size;
    size_t at;
};

struct hash_embedder {
    struct embedder base;
    bool ascii_word[128];
    uint64_t seed;
    _Atomic bool interrupted;
    struct buf lower;
    struct buf padded;             /* one word between spaces */
    struct hash_feature *features; /* in the order of first occurrence */
    size_t feature_count;
    size_t feature_capacity;
    uint32_t *slots;         /* open addressing: position in `features` + 1, 0 while empty */
    size_t slot_count;       /* a power of 2, 0 at first */
    struct hash_word *words; /* each once */
    size_t word_count;
    size_t word_capacity;
    double *sums;
};

static uint64_t fnv(uint64_t hash, const void *data, size_t size)
{
    const unsigned char *bytes = data;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ bytes[i]) * FNV_PRIME;
    return hash;
}

static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static void *grown(void *memory, size_t count, size_t size)
{
    void *bigger = reallocarray(memory, count, size);
    if (!bigger)
        abort();
    return bigger;
}

static void hash_rehash(struct hash_embedder *self)
{
    self->slot_count = self->slot_count ? 2 * self->slot_count : 1024;
    self->slots = grown(self->slots, self->slot_count, sizeof *self->slots);
    memset(self->slots, 0, self->slot_count * sizeof *self->slots);
    for (size_t i = 0; i < self->feature_count; i++) {
        size_t slot = (size_t)self->features[i].hash & (self->slot_count - 1);
        while (self->slots[slot])
            slot = (slot + 1) & (self->slot_count - 1);
        self->slots[slot] = (uint32_t)i + 1;
    }
}

/* The position in `features` of what occurs `times` more. */
static uint32_t hash_add(struct hash_embedder *self, uint64_t fnv_hash, double weight,
                         uint32_t times)
{
    uint64_t hash = mix(fnv_hash);
    if (2 * (self->feature_count + 1) > self->slot_count)
        hash_rehash(self);
    size_t slot = (size_t)hash & (self->slot_count - 1);
    for (; self->slots[slot]; slot = (slot + 1) & (self->slot_count - 1)) {
        struct hash_feature *feature = &self->features[self->slots[slot] - 1];
        if (feature->hash == hash) {
            feature->count += times;
            return self->slots[slot] - 1;
        }
    }
    if (self->feature_count == self->feature_capacity) {
        self->feature_capacity = self->feature_capacity ? 2 * self->feature_capacity : 512;
        self->features = grown(self->features, self->feature_capacity, sizeof *self->features);
    }
    self->features[self->feature_count++] = (struct hash_feature){hash, weight, times};
    self->slots[slot] = (uint32_t)self->feature_count;
    return (uint32_t)self->feature_count - 1;
}

/* The 3-grams of " word ", each code point being one byte. */
static void hash_add_ascii_grams(struct hash_embedder *self, const char *word, size_t size,
                                 uint32_t times)
{
    uint64_t start = fnv(self->seed, "c", 1);
    char gram[3] = {0, ' ', word[0]};
    for (size_t i = 1; i <= size; i++) {
        gram[0] = gram[1];
        gram[1] = gram[2];
        gram[2] = i < size ? word[i] : ' ';
        hash_add(self, fnv(start, gram, sizeof gram), 0.25, times);
    }
}

static bool is_ascii(const char *text, size_t size)
{
    unsigned char all = 0;
    for (size_t i = 0; i < size; i++)
        all |= (unsigned char)text[i];
    return all < 0x80;
}

/* The 3-grams of " word ". */
static void hash_add_grams(struct hash_embedder *self, const char *word, size_t size,
                           uint32_t times)
{
    if (is_ascii(word, size)) {
        hash_add_ascii_grams(self, word, size, times);
        return;
    }
    struct buf *padded = &self->padded;
    buf_clear(padded);
    buf_putc(padded, ' ');
    buf_append(padded, word, size);
    buf_putc(padded, ' ');
    uint64_t start = fnv(self->seed, "c", 1);
    uint32_t c = 0;
    size_t first = 0;
    size_t second = 1;
    size_t third = 1 + text_decode(padded->data + 1, padded->size - 1, &c);
    while (third < padded->size) {
        size_t end = third + text_decode(padded->data + third, padded->size - third, &c);
        hash_add(self, fnv(start, padded->data + first, end - first), 0.25, times);
        first = second;
        second = third;
        third = end;
    }
}

/* Of a word: as itself, as the second of two, and as the first of the next two. */
struct word_hashes {
    uint64_t alone, second, first;
};

/* Whether the code point at `at` is one of a word; its length. */
static bool is_word_at(const struct hash_embedder *self, const struct span *span, size_t at,
                       size_t *length)
{
    unsigned char first = (unsigned char)span->text[at];
    *length = 1; /* a constant: what comes next need not wait for the table */
    if (first < 0x80)
        return self->ascii_word[first];
    uint32_t c = 0;
    *length = text_decode(span->text + at, span->size - at, &c);
    return text_is_word(c);
}

static void skip_to_word(const struct hash_embedder *self, struct span *span)
{
    size_t length;
    while (span->at < span->size && !is_word_at(self, span, span->at, &length))
        span->at += length;
}

/* The end of the word at span->at. Its hashes are made side by side: each waits for its own last
 * product, and they do not wait for each other. */
static size_t hash_word(const struct hash_embedder *self, const struct span *span,
                        struct word_hashes *out)
{
    struct word_hashes hashes = *out;
    size_t at = span->at;
    for (size_t length; at < span->size && is_word_at(self, span, at, &length); at += length)
        for (size_t i = 0; i < length; i++) {
            unsigned char byte = (unsigned char)span->text[at + i];
            hashes.alone = (hashes.alone ^ byte) * FNV_PRIME;
            hashes.second = (hashes.second ^ byte) * FNV_PRIME;
            hashes.first = (hashes.first ^ byte) * FNV_PRIME;
        }
    *out = hashes;
    return at;
}

static void hash_note_word(struct hash_embedder *self, const struct hash_word *word)
{
    if (self->word_count == self->word_capacity) {
        self->word_capacity = self->word_capacity ? 2 * self->word_capacity : 256;
        self->words = grown(self->words, self->word_capacity, sizeof *self->words);
    }
    self->words[self->word_count++] = *word;
}

/* The 3-grams of a word that stands in the text again are all there already: they are only counted, once
 * for all its repetitions. */
static void hash_add_repeated(struct hash_embedder *self)
{
    for (size_t i = 0; i < self->word_count; i++) {
        const struct hash_word *word = &self->words[i];
        uint32_t count = self->features[word->feature].count;
        if (count > 1)
            hash_add_grams(self, word->text, word->size, count - 1);
    }
}

static void hash_add_words(struct hash_embedder *self, const char *text, size_t size)
{
    uint64_t alone = fnv(self->seed, "w", 1), first = fnv(self->seed, "b", 1);
    uint64_t before = 0; /* hash of "b", the word before and " " */
    struct span span = {.text = text, .size = size};
    self->word_count = 0;
    for (skip_to_word(self, &span); span.at < size; skip_to_word(self, &span)) {
        struct word_hashes hashes = {alone, before, first};
        size_t end = hash_word(self, &span, &hashes);
        struct hash_word word = {.text = text + span.at, .size = end - span.at};
        size_t known = self->feature_count;
        word.feature = hash_add(self, hashes.alone, 1.0, 1);
        bool is_new = word.feature == known;
        if (before)
            hash_add(self, hashes.second, 0.5, 1);
        before = fnv(hashes.first, " ", 1);
        if (is_new) {
            hash_note_word(self, &word);
            hash_add_grams(self, word.text, word.size, 1);
        }
        span.at = end;
    }
    hash_add_repeated(self);
}

/* Adds the features' weights up; returns the length of the sum. */
static double hash_sum(struct hash_embedder *self)
{
    size_t dims = self->base.dims;
    bool by_mask = (dims & (dims - 1)) == 0; /* a remainder takes ten times as long */
    memset(self->sums, 0, dims * sizeof *self->sums);
    for (size_t i = 0; i < self->feature_count; i++) {
        const struct hash_feature *feature = &self->features[i];
        /* no branch: neither counts nor signs can be foretold */
        double weight = feature->weight * sqrt((double)feature->count);
        double sign = 1.0 - 2.0 * (double)(feature->hash & 1);
        uint64_t place = feature->hash >> 1;
        self->sums[by_mask ? place & (dims - 1) : place % dims] += sign * weight;
    }
    double norm = 0;
    for (size_t i = 0; i < dims; i++)
        norm += self->sums[i] * self->sums[i];
    return sqrt(norm);
}

static void hash_forget(struct hash_embedder *self)
{
    self->feature_count = 0;
    if (self->slots)
        memset(self->slots, 0, self->slot_count * sizeof *self->slots);
}

static void hash_vector(struct hash_embedder *self, const struct embed_text *text, float *vector)
{
    hash_forget(self);
    buf_clear(&self->lower);
    text_append_lower(&self->lower, text->text, text->size);
    hash_add_words(self, buf_str(&self->lower), self->lower.size);
    double norm = hash_sum(self);
    if (norm <= 0) { /* no word at all, or all cancelled each other */
        hash_forget(self);
        hash_add(self, fnv(fnv(self->seed, "t", 1), text->text, text->size), 1.0, 1);
        norm = hash_sum(self);
    }
    for (size_t i = 0; i < self->base.dims; i++)
        vector[i] = (float)(self->sums[i] / norm);
}

static bool hash_embed(struct embedder *embedder, const struct embed_text *texts, size_t count,
                       float *vectors, bool *done, struct err *err)
{
    struct hash_embedder *self = (struct hash_embedder *)embedder;
    struct embed_failure failure = {0};
    for (size_t at = 0; at < count; at += embedder_part(embedder, texts + at, count - at))
        embedder->stats.requests++;
    for (size_t i = 0; i < count; i++) {
        if (atomic_load(&self->interrupted))
            return err_set(err, ERR_CANCEL, ERR_EMBED, 0, "interrupted");
        if (texts[i].size > HASH_MAX_SIZE) {
            err_set(err, ERR_REJECT, ERR_EMBED, EMBED_TOO_LONG, "text %zu is longer than %zu bytes",
                    i, HASH_MAX_SIZE);
            embed_failure_add(&failure, err);
            continue;
        }
        hash_vector(self, &texts[i], vectors + i * embedder->dims);
        done[i] = true;
        embedder->stats.texts++;
        embedder->stats.characters += text_length(texts[i].text, texts[i].size);
    }
    return embed_failure_report(&failure, embedder, err);
}

static bool hash_digest(struct embedder *embedder, char *out, struct err *err)
{
    (void)embedder;
    (void)err;
    memcpy(out, HASH_DIGEST, sizeof HASH_DIGEST);
    return true;
}

static void hash_interrupt(struct embedder *embedder)
{
    atomic_store(&((struct hash_embedder *)embedder)->interrupted, true);
}

static void hash_close(struct embedder *embedder)
{
    struct hash_embedder *self = (struct hash_embedder *)embedder;
    buf_fini(&self->lower);
    buf_fini(&self->padded);
    free(self->features);
    free(self->slots);
    free(self->words);
    free(self->sums);
    free(self);
}

static bool hash_open(const struct embedder_options *options, struct embedder **out,
                      struct err *err)
{
    (void)err;
    struct hash_embedder *self = calloc(1, sizeof *self);
    if (!self)
        abort();
    self->base = (struct embedder){
        .ops = &hash_embedder,
        .dims = options->dims,
        .most = {options->max_batch ? options->max_batch : SIZE_MAX, EMBED_REQUEST_SIZE},
    };
    self->seed = FNV_BASIS;
    if (options->model)
        self->seed = fnv(self->seed, options->model, strlen(options->model));
    self->lower = BUF_INIT(4 * HASH_MAX_SIZE);
    self->padded = BUF_INIT(4 * HASH_MAX_SIZE + 2);
    for (uint32_t c = 0; c < ARRAY_LEN(self->ascii_word); c++)
        self->ascii_word[c] = text_is_word(c);
    self->sums = grown(NULL, options->dims, sizeof *self->sums);
    *out = &self->base;
    return true;
}

const struct embedder_ops hash_embedder = {
    .name = "hash",
    .open = hash_open,
    .embed = hash_embed,
    .digest = hash_digest,
    .interrupt = hash_interrupt,
    .close = hash_close,
};
