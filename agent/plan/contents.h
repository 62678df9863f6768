/* SPDX-License-Identifier: Apache-2.0 */
/* The distinct contents of a source, in bounded memory: all of them up to a number, beyond it those
 * whose fingerprint begins with so many zero bits, which are a fair sample of all. Belongs to one thread.
 *
 * 64 bits of a fingerprint stand for it: of three million contents two are taken for one with a
 * chance of one in four million.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/sha256.h"

/* 64 MiB, and three million contents are counted exactly. Beyond it 1.5 to 3 million are kept: their
 * number is right to a sixth of a per cent, 19 times of 20. */
#define CONTENTS_MOST_SLOTS ((size_t)1 << 22)

struct contents;

/* `most_slots` is a power of two; three quarters of it are filled. */
struct contents *contents_new(size_t most_slots);
void contents_free(struct contents *contents);
DEFINE_FREEP(struct contents, contents_free)

enum contents_answer {
    CONTENT_NEW,
    CONTENT_KNOWN,
    CONTENT_LEFT_OUT, /* not of the sample: whether it is new is not known */
};

struct contents_item {
    struct sha256 fp;
    size_t characters; /* that are sent for it */
    uint32_t document; /* its number: a content of one document alone is told from a shared one */
};
enum contents_answer contents_add(struct contents *contents, const struct contents_item *item);
/* Its vector need not be bought. One that was not added, or has left the sample, is ignored. */
void contents_set_reusable(struct contents *contents, const struct sha256 *fp);
/* All that were added are kept. */
bool contents_are_whole(const struct contents *contents);

struct contents_sum {
    double contents;
    double reusable;   /* of them */
    double to_buy;     /* the others */
    double characters; /* of the others */
    double
        error; /* of `characters`, from the sample of contents: +- so much of it, 19 times of 20 */
};
/* `alone`: how many contents each one stands for that was met in one document only; 1 when all documents
 * were added. */
void contents_sum(const struct contents *contents, double alone, struct contents_sum *out);
