/* SPDX-License-Identifier: Apache-2.0 */
#include "embed/normalize.h"

#include <string.h>

/* A step reads `from` and appends to `to`. */
typedef void normalize_step(const struct normalize_options *options, const struct buf *from,
                            struct buf *to);

/* Line ends of all kinds become LF; a paragraph separator is an empty line. */
static void clean_code_point(uint32_t c, const char *bytes, size_t length, struct buf *to)
{
    switch (c) {
    case '\n':
    case '\t':
        buf_putc(to, (char)c);
        return;
    case '\v':
    case '\f':
    case '\r':
    case 0x85:
    case 0x2028:
        buf_putc(to, '\n');
        return;
    case 0x2029:
        buf_puts(to, "\n\n");
        return;
    default:
        if (c < 0x20 || (c >= 0x7f && c < 0xa0))
            return;
        buf_append(to, bytes, length);
    }
}

static void normalize_clean(const struct normalize_options *options, const struct buf *from,
                            struct buf *to)
{
    (void)options;
    for (size_t at = 0; at < from->size;) {
        size_t plain = at;
        while (plain < from->size && from->data[plain] >= 0x20 && from->data[plain] < 0x7f)
            plain++;
        if (plain > at) {
            buf_append(to, from->data + at, plain - at);
            at = plain;
            continue;
        }
        uint32_t c = 0;
        size_t length = text_decode(from->data + at, from->size - at, &c);
        if (c == '\r' && at + 1 < from->size && from->data[at + 1] == '\n')
            length = 2;
        clean_code_point(c, from->data + at, length, to);
        at += length;
    }
}

static void normalize_form(const struct normalize_options *options, const struct buf *from,
                           struct buf *to)
{
    text_append_form(to, buf_str(from), from->size, options->form);
}

static void normalize_lower(const struct normalize_options *options, const struct buf *from,
                            struct buf *to)
{
    (void)options;
    text_append_lower(to, buf_str(from), from->size);
}

/* Bytes of the word that begins at `text`: word characters, with single apostrophes between them
 * ("don't"); 0 when none begins here. */
static size_t word_size(const char *text, size_t size)
{
    size_t end = 0;
    for (size_t at = 0; at < size;) {
        uint32_t c = 0;
        size_t length = text_decode(text + at, size - at, &c);
        bool apostrophe = (c == '\'' || c == 0x2019) && end == at && at > 0;
        if (!apostrophe && !text_is_word(c))
            break;
        at += length;
        if (!apostrophe)
            end = at;
    }
    return end;
}

static bool is_stopword(const struct normalize_options *options, const char *word, size_t size)
{
    CLEANUP(buf_fini) struct buf lower = BUF_INIT(4 * size + 16);
    text_append_lower(&lower, word, size);
    for (size_t i = 0; i < options->stopword_count; i++) {
        const char *stop = options->stopwords[i];
        if (strlen(stop) == lower.size && memcmp(stop, buf_str(&lower), lower.size) == 0)
            return true;
    }
    return false;
}

/* With a removed word goes the space behind it, unless that would join its neighbours. */
static size_t skip_removed(const struct buf *from, size_t at, const struct buf *to)
{
    char before = to->size > 0 ? to->data[to->size - 1] : '\n';
    if (before != ' ' && before != '\t' && before != '\n')
        return at;
    while (at < from->size && (from->data[at] == ' ' || from->data[at] == '\t'))
        at++;
    return at;
}

static void normalize_stopwords(const struct normalize_options *options, const struct buf *from,
                                struct buf *to)
{
    for (size_t at = 0; at < from->size;) {
        size_t word = word_size(from->data + at, from->size - at);
        if (word > 0 && is_stopword(options, from->data + at, word)) {
            at = skip_removed(from, at + word, to);
            continue;
        }
        uint32_t c = 0;
        if (word == 0)
            word = text_decode(from->data + at, from->size - at, &c);
        buf_append(to, from->data + at, word);
        at += word;
    }
}

/* Offset of the first code point that is not white space. */
static size_t leading_space(const char *text, size_t size)
{
    size_t at = 0;
    while (at < size) {
        uint32_t c = 0;
        size_t length = text_decode(text + at, size - at, &c);
        if (!text_is_space(c))
            break;
        at += length;
    }
    return at;
}

/* Size without the white space at the end. */
static size_t without_trailing_space(const char *text, size_t size)
{
    while (size > 0) {
        size_t at = size - 1;
        while (at > 0 && ((unsigned char)text[at] & 0xc0) == 0x80)
            at--;
        uint32_t c = 0;
        text_decode(text + at, size - at, &c);
        if (!text_is_space(c))
            break;
        size = at;
    }
    return size;
}

static void run_step(normalize_step *step, const struct normalize_options *options, struct buf *now)
{
    CLEANUP(buf_fini) struct buf next = BUF_INIT(now->max_size);
    step(options, now, &next);
    next.overflow |= now->overflow;
    struct buf old = *now;
    *now = next;
    next = old;
}

void normalize_text(const struct normalize_options *options, const char *text, size_t size,
                    struct buf *out)
{
    CLEANUP(buf_fini) struct buf now = BUF_INIT(out->max_size);
    text_append_valid(&now, text, size);
    run_step(normalize_clean, options, &now);
    if (options->form != TEXT_FORM_NONE)
        run_step(normalize_form, options, &now);
    if (options->lowercase) {
        run_step(normalize_lower, options, &now);
        if (options->form != TEXT_FORM_NONE) /* a lower case letter may compose with its marks */
            run_step(normalize_form, options, &now);
    }
    if (options->stopword_count > 0)
        run_step(normalize_stopwords, options, &now);
    size_t start = 0;
    size_t end = now.size;
    if (options->trim) {
        start = leading_space(buf_str(&now), end);
        end = without_trailing_space(buf_str(&now) + start, end - start) + start;
    }
    buf_append(out, buf_str(&now) + start, end - start);
    if (now.overflow)
        out->overflow = true;
}
