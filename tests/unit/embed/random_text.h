/* SPDX-License-Identifier: Apache-2.0 */
/* Seeded random Unicode texts for property tests: the same seed gives the same text everywhere. */
#pragma once

#include <stdint.h>
#include <string.h>

#include "base/attr.h"
#include "base/buf.h"

struct random_text {
    uint64_t state;
};

static inline uint64_t random_next(struct random_text *random)
{
    random->state += 0x9e3779b97f4a7c15u; /* splitmix64 */
    uint64_t x = random->state;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static inline size_t random_below(struct random_text *random, size_t limit)
{
    return (size_t)(random_next(random) % limit);
}

static inline void random_word(struct random_text *random, struct buf *out)
{
    size_t length = 1 + random_below(random, 12);
    for (size_t i = 0; i < length; i++)
        buf_putc(out, (char)('a' + random_below(random, 26)));
}

/* Pieces that are hard to cut or to normalise. */
static inline const char *random_piece(struct random_text *random)
{
    static const char *const pieces[] = {
        "👩‍👩‍👧‍👦",
        "🇩🇪🇫🇷",
        "👍🏽",
        "e\xcc\x81",
        "a\xcc\x88\xcc\xa3\xcc\x84",
        "\r\n",
        "\r\n\r\n",
        "\n\n",
        "\n",
        " \n \n ",
        "  ",
        "\t",
        "\xc2\xa0",
        "\xe2\x80\xa8",
        "\xe2\x80\xa9",
        "。",
        "！",
        "？」",
        "漢字かな交じり文",
        "한국어",
        "각",
        "नमस्ते",
        "ﬁ",
        "İ",
        "ẞ",
        "Ⅷ",
        "Å",
        "ﷺ",
        "\xe2\x80\x8d",
        "\xef\xb8\x8f",
        ". ",
        "! ",
        "?\" ",
        "... ",
        "e.g. ",
        "\x01",
        "\x7f",
        "\xc2\x85",
        "x",
        "don't ",
        "- ",
        "(a) ",
        "1.5 ",
        "ΣΑΣ ",
        "𐐀",
    };
    return pieces[random_below(random, ARRAY_LEN(pieces))];
}

/* About `size` bytes of words, white space, marks, emoji, CJK; valid UTF-8. */
static inline void random_fill(struct random_text *random, size_t size, struct buf *out)
{
    size_t wild = 1 + random_below(random, 9); /* of 10: how often a hard piece comes */
    while (out->size < size) {
        if (random_below(random, 10) < wild) {
            buf_puts(out, random_piece(random));
            continue;
        }
        random_word(random, out);
        if (random_below(random, 4) > 0)
            buf_putc(out, ' ');
    }
}

/* Paragraphs of sentences, as people write them. */
static inline void random_prose(struct random_text *random, size_t size, struct buf *out)
{
    while (out->size < size) {
        size_t sentences = 1 + random_below(random, 6);
        for (size_t i = 0; i < sentences; i++) {
            size_t words = 3 + random_below(random, 15);
            for (size_t j = 0; j < words; j++) {
                if (j > 0)
                    buf_putc(out, ' ');
                random_word(random, out);
            }
            buf_puts(out, ". ");
        }
        buf_puts(out, "\n\n");
    }
}
