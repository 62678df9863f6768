/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/plan/contents.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_SLOTS ((size_t)1 << 12)
/* Of a normal distribution: 19 times of 20. */
#define SIGMAS 1.96

struct slot {
    uint64_t hash; /* 0: free */
    uint32_t document;
    uint32_t characters : 30;
    uint32_t shared : 1; /* met in more than one document */
    uint32_t reusable : 1;
};

struct contents {
    struct slot *slots;
    size_t count; /* a power of two */
    size_t most;
    size_t used;
    unsigned zero_bits; /* that a hash begins with to be kept */
};

static struct slot *slots_new(size_t count)
{
    struct slot *slots = calloc(count, sizeof *slots);
    if (!slots)
        abort();
    return slots;
}

struct contents *contents_new(size_t most_slots)
{
    struct contents *contents = calloc(1, sizeof *contents);
    if (!contents)
        abort();
    assert(most_slots > 0 && (most_slots & (most_slots - 1)) == 0);
    contents->most = most_slots;
    contents->count = most_slots < FIRST_SLOTS ? most_slots : FIRST_SLOTS;
    contents->slots = slots_new(contents->count);
    return contents;
}

void contents_free(struct contents *contents)
{
    if (!contents)
        return;
    free(contents->slots);
    free(contents);
}

static uint64_t hash_of(const struct sha256 *fp)
{
    uint64_t hash = 0;
    for (size_t i = 0; i < sizeof hash; i++)
        hash = hash << 8 | fp->bytes[i];
    return hash ? hash : 1;
}

static bool is_kept(const struct contents *contents, uint64_t hash)
{
    return contents->zero_bits == 0 || hash >> (64 - contents->zero_bits) == 0;
}

/* The place goes by the last bits: the first are all zero in a sample. */
static struct slot *slot_of(struct slot *slots, size_t count, uint64_t hash)
{
    size_t i = hash & (count - 1);
    while (slots[i].hash != 0 && slots[i].hash != hash)
        i = (i + 1) & (count - 1);
    return &slots[i];
}

static void move_to(struct contents *contents, size_t count)
{
    struct slot *slots = slots_new(count);
    size_t used = 0;
    for (size_t i = 0; i < contents->count; i++) {
        const struct slot *slot = &contents->slots[i];
        if (slot->hash == 0 || !is_kept(contents, slot->hash))
            continue;
        *slot_of(slots, count, slot->hash) = *slot;
        used++;
    }
    free(contents->slots);
    contents->slots = slots;
    contents->count = count;
    contents->used = used;
}

static void make_room(struct contents *contents)
{
    if (contents->used < contents->count / 4 * 3)
        return;
    if (contents->count < contents->most) {
        move_to(contents, contents->count * 2);
        return;
    }
    contents->zero_bits++;
    move_to(contents, contents->count);
}

enum contents_answer contents_add(struct contents *contents, const struct contents_item *item)
{
    uint64_t hash = hash_of(&item->fp);
    make_room(contents);
    if (!is_kept(contents, hash))
        return CONTENT_LEFT_OUT;
    struct slot *slot = slot_of(contents->slots, contents->count, hash);
    if (slot->hash == hash) {
        slot->shared = slot->shared || slot->document != item->document;
        return CONTENT_KNOWN;
    }
    *slot = (struct slot){.hash = hash,
                          .document = item->document,
                          .characters = (uint32_t)item->characters & 0x3fffffff};
    contents->used++;
    return CONTENT_NEW;
}

void contents_set_reusable(struct contents *contents, const struct sha256 *fp)
{
    uint64_t hash = hash_of(fp);
    struct slot *slot = slot_of(contents->slots, contents->count, hash);
    if (slot->hash == hash)
        slot->reusable = true;
}

bool contents_are_whole(const struct contents *contents)
{
    return contents->zero_bits == 0;
}

void contents_sum(const struct contents *contents, double alone, struct contents_sum *out)
{
    double kept = ldexp(1, -(int)contents->zero_bits); /* the part of all that is kept */
    double squares = 0;
    *out = (struct contents_sum){0};
    for (size_t i = 0; i < contents->count; i++) {
        const struct slot *slot = &contents->slots[i];
        if (slot->hash == 0)
            continue;
        double weight = (slot->shared ? 1 : alone) / kept;
        double characters = (double)slot->characters * weight;
        out->contents += weight;
        if (slot->reusable) {
            out->reusable += weight;
            continue;
        }
        out->to_buy += weight;
        out->characters += characters;
        squares += characters * characters;
    }
    if (out->characters > 0)
        out->error = SIGMAS * sqrt(squares * (1 - kept)) / out->characters;
}
