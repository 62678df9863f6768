/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#define REPLACEMENT 0xFFFDU
/* utf8proc sorts combining marks in quadratic time. No script stacks anywhere near this many on
 * one letter (UAX #15 calls 30 enough for everything); a longer run is normalised in pieces. */
#define MARKS_MAX 128

const char *text_unicode_version(void)
{
    return utf8proc_unicode_version();
}

/* What may follow a lead byte: how many bytes, and the range of the first of them (Unicode 15,
 * table 3-7; the others are 80..BF). */
struct sequence {
    size_t length; /* 0: not a lead byte */
    uint8_t low;
    uint8_t high;
};

static struct sequence sequence_of(uint8_t lead)
{
    if (lead >= 0xC2 && lead <= 0xDF)
        return (struct sequence){2, 0x80, 0xBF};
    if (lead >= 0xE0 && lead <= 0xEF)
        return (struct sequence){3, lead == 0xE0 ? 0xA0 : 0x80, lead == 0xED ? 0x9F : 0xBF};
    if (lead >= 0xF0 && lead <= 0xF4)
        return (struct sequence){4, lead == 0xF0 ? 0x90 : 0x80, lead == 0xF4 ? 0x8F : 0xBF};
    return (struct sequence){0, 0, 0};
}

/* As text_decode(), and says whether the sequence was valid. An invalid one is as long as its
 * longest valid beginning, as the Unicode standard recommends (3.9, "maximal subparts"). */
static size_t decode(const char *text, size_t size, uint32_t *code_point, bool *valid)
{
    assert(size > 0);
    uint8_t lead = (uint8_t)text[0];
    *valid = true;
    if (lead < 0x80) {
        *code_point = lead;
        return 1;
    }
    struct sequence sequence = sequence_of(lead);
    uint32_t value = sequence.length ? lead & (0x7FU >> sequence.length) : 0;
    size_t at = 1;
    for (; at < sequence.length && at < size; at++) {
        uint8_t byte = (uint8_t)text[at];
        if (byte < (at == 1 ? sequence.low : 0x80) || byte > (at == 1 ? sequence.high : 0xBF))
            break;
        value = value << 6 | (byte & 0x3FU);
    }
    *valid = sequence.length != 0 && at == sequence.length;
    *code_point = *valid ? value : REPLACEMENT;
    return at;
}

size_t text_decode(const char *text, size_t size, uint32_t *code_point)
{
    bool valid = false;
    if (size > 0 && (uint8_t)text[0] < 0x80) {
        *code_point = (uint8_t)text[0];
        return 1;
    }
    return decode(text, size, code_point, &valid);
}

/* Length of the ASCII at the beginning, or somewhat less. */
static size_t ascii_length(const char *text, size_t size)
{
    size_t at = 0;
    for (; size - at >= sizeof(uint64_t); at += sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, text + at, sizeof word);
        if (word & UINT64_C(0x8080808080808080))
            break;
    }
    return at;
}

/* Most of most texts: at least one byte where the first one is ASCII. */
static size_t ascii_run(const char *text, size_t size)
{
    size_t length = ascii_length(text, size);
    return length > 0 ? length : size > 0 && (uint8_t)text[0] < 0x80;
}

bool text_is_utf8(const char *text, size_t size)
{
    bool valid = true;
    for (size_t at = ascii_length(text, size); at < size && valid;) {
        uint32_t code_point = 0;
        at += decode(text + at, size - at, &code_point, &valid);
    }
    return valid;
}

static void append_code_point(struct buf *out, uint32_t code_point)
{
    utf8proc_uint8_t bytes[4];
    utf8proc_ssize_t length = utf8proc_encode_char((utf8proc_int32_t)code_point, bytes);
    buf_append(out, bytes, (size_t)length);
}

void text_append_valid(struct buf *out, const char *text, size_t size)
{
    size_t copied = 0;
    for (size_t at = 0; at < size;) {
        uint32_t code_point = 0;
        bool valid = true;
        size_t length = ascii_run(text + at, size - at);
        if (length == 0)
            length = decode(text + at, size - at, &code_point, &valid);
        if (!valid) {
            buf_append(out, text + copied, at - copied);
            append_code_point(out, REPLACEMENT);
            copied = at + length;
        }
        at += length;
    }
    if (copied < size)
        buf_append(out, text + copied, size - copied);
}

static bool is_ascii(const char *text, size_t size)
{
    for (size_t i = ascii_length(text, size); i < size; i++) {
        if ((uint8_t)text[i] >= 0x80)
            return false;
    }
    return true;
}

static void append_mapped(struct buf *out, const char *text, size_t size, enum text_form form)
{
    utf8proc_option_t options = UTF8PROC_STABLE | UTF8PROC_COMPOSE;
    if (form == TEXT_FORM_NFKC)
        options |= UTF8PROC_COMPAT;
    utf8proc_uint8_t *mapped = NULL;
    utf8proc_ssize_t length =
        utf8proc_map((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)size, &mapped, options);
    if (length == UTF8PROC_ERROR_NOMEM)
        abort();
    assert(length >= 0); /* the caller promised valid UTF-8 */
    buf_append(out, mapped, (size_t)length);
    free(mapped);
}

static bool is_mark(uint32_t code_point)
{
    return utf8proc_get_property((utf8proc_int32_t)code_point)->combining_class != 0;
}

/* Length of the part that is normalised at once: all of it, unless marks run for too long. */
static size_t piece_length(const char *text, size_t size)
{
    size_t marks = 0;
    size_t at = 0;
    while (at < size) {
        uint32_t code_point = 0;
        size_t length = text_decode(text + at, size - at, &code_point);
        marks = is_mark(code_point) ? marks + 1 : 0;
        if (marks > MARKS_MAX)
            return at;
        at += length;
    }
    return at;
}

void text_append_form(struct buf *out, const char *text, size_t size, enum text_form form)
{
    /* ASCII is its own normal form in all of them. */
    if (form == TEXT_FORM_NONE || is_ascii(text, size)) {
        buf_append(out, text, size);
        return;
    }
    while (size) {
        size_t length = piece_length(text, size);
        append_mapped(out, text, length, form);
        text += length;
        size -= length;
    }
}

static void append_lower_ascii(struct buf *out, const char *text, size_t size)
{
    char *lower = buf_extend(out, size);
    for (size_t i = 0; lower && i < size; i++)
        lower[i] = (char)(text[i] >= 'A' && text[i] <= 'Z' ? text[i] + ('a' - 'A') : text[i]);
}

void text_append_lower(struct buf *out, const char *text, size_t size)
{
    for (size_t at = 0, run; at < size;) {
        uint32_t code_point = 0;
        if ((run = ascii_run(text + at, size - at)) > 0) {
            append_lower_ascii(out, text + at, run);
            at += run;
            continue;
        }
        at += text_decode(text + at, size - at, &code_point);
        append_code_point(out, (uint32_t)utf8proc_tolower((utf8proc_int32_t)code_point));
    }
}

size_t text_grapheme(const char *text, size_t size)
{
    if (!size)
        return 0;
    uint32_t previous = 0;
    size_t at = text_decode(text, size, &previous);
    utf8proc_int32_t state = 0;
    while (at < size) {
        uint32_t next = 0;
        size_t length = text_decode(text + at, size - at, &next);
        if (utf8proc_grapheme_break_stateful((utf8proc_int32_t)previous, (utf8proc_int32_t)next,
                                             &state))
            break;
        previous = next;
        at += length;
    }
    return at;
}

size_t text_length(const char *text, size_t size)
{
    size_t count = 0;
    for (size_t at = 0, run; at < size;) {
        uint32_t code_point = 0;
        run = ascii_run(text + at, size - at);
        count += run > 0 ? run : 1;
        at += run > 0 ? run : text_decode(text + at, size - at, &code_point);
    }
    return count;
}

/* The property White_Space of PropList.txt, which has not changed since Unicode 6.3. */
bool text_is_space(uint32_t code_point)
{
    if ((code_point >= 0x09 && code_point <= 0x0D) ||
        (code_point >= 0x2000 && code_point <= 0x200A))
        return true;
    switch (code_point) {
    case 0x20:
    case 0x85:
    case 0xA0:
    case 0x1680:
    case 0x2028:
    case 0x2029:
    case 0x202F:
    case 0x205F:
    case 0x3000:
        return true;
    default:
        return false;
    }
}

static bool is_ascii_word(uint32_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

bool text_is_word(uint32_t code_point)
{
    if (code_point < 0x80)
        return is_ascii_word(code_point);
    switch (utf8proc_category((utf8proc_int32_t)code_point)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
    case UTF8PROC_CATEGORY_PC:
        return true;
    default:
        return false;
    }
}

/* Size of the longest of the secrets that the text begins with; 0: none. */
static size_t secret_size(const char *text, size_t size, const char *const *secrets)
{
    size_t longest = 0;
    for (size_t i = 0; secrets && secrets[i]; i++) {
        size_t length = strlen(secrets[i]);
        if (length > longest && size >= length && memcmp(text, secrets[i], length) == 0)
            longest = length;
    }
    return longest;
}

void text_tidy(const char *text, size_t size, const char *const *secrets, char *out,
               size_t out_size)
{
    static const char cut[] = "...";
    size_t used = 0;
    for (size_t at = 0; at < size;) {
        const char *from = text + at;
        uint32_t c = 0;
        size_t length = text_decode(from, size - at, &c);
        size_t copied = length;
        size_t masked = secret_size(from, size - at, secrets);
        if (masked > 0) {
            length = masked;
            from = "***";
            copied = 3;
        } else if (c < 0x20 || c == 0x7f || c == 0xfffd) {
            from = " ";
            copied = 1;
        }
        if (used + copied + sizeof(cut) > out_size) {
            memcpy(out + used, cut, sizeof(cut) - 1);
            used += sizeof(cut) - 1;
            break;
        }
        memcpy(out + used, from, copied);
        used += copied;
        at += length;
    }
    out[used] = '\0';
}
