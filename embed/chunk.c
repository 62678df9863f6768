/* SPDX-License-Identifier: Apache-2.0 */
#include "embed/chunk.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

/* The text is read once, as units: a grapheme with the white space behind it. A chunk is a run of
 * whole units, so no cut falls into a grapheme and none leaves white space at a chunk's start. */

enum boundary { AT_GRAPHEME, AT_WORD, AT_SENTENCE, AT_LINE, AT_PARAGRAPH };

struct unit {
    size_t offset;
    size_t chars; /* code points, the white space included */
    enum boundary before;
};

/* A sentence's end is remembered over the closing quotes and brackets behind it. */
enum sentence { SENTENCE_OPEN, SENTENCE_ENDED, SENTENCE_ENDED_WIDE };

struct reader {
    const char *text;
    size_t size;
    size_t at;
    enum sentence sentence;
    enum boundary before; /* of the next unit */
    size_t leading;       /* code points of white space at the text's start, for the first unit */
};

struct grapheme {
    size_t size;
    size_t chars;
    uint32_t first; /* code point */
    bool space;
};

static struct grapheme grapheme_at(const char *text, size_t size)
{
    unsigned char c = (unsigned char)text[0];
    if (c < 0x80 && c != '\r' && (size == 1 || (unsigned char)text[1] < 0x80))
        return (struct grapheme){1, 1, c, c == ' ' || (c >= '\t' && c <= '\r')};
    struct grapheme g = {.size = text_grapheme(text, size)};
    if (g.size == 0)
        g.size = 1;
    size_t length = text_decode(text, size, &g.first);
    g.chars = length == g.size ? 1 : text_length(text, g.size);
    g.space = text_is_space(g.first) && (g.chars == 1 || g.first == '\r');
    return g;
}

static bool is_wide_stop(uint32_t c)
{
    return c == 0x3002 || c == 0xff01 || c == 0xff1f || c == 0xff61;
}

static bool is_stop(uint32_t c)
{
    return c == '.' || c == '!' || c == '?' || c == 0x2026 || is_wide_stop(c);
}

static bool is_closer(uint32_t c)
{
    static const uint32_t closers[] = {')',    ']',    '}',    '"',    '\'',   0xbb,   0x2019,
                                       0x201d, 0x203a, 0x300b, 0x300d, 0x300f, 0x3011, 0xff09};
    for (size_t i = 0; i < ARRAY_LEN(closers); i++) {
        if (closers[i] == c)
            return true;
    }
    return false;
}

static enum sentence sentence_after(enum sentence now, uint32_t c)
{
    if (is_wide_stop(c))
        return SENTENCE_ENDED_WIDE;
    if (is_stop(c))
        return SENTENCE_ENDED;
    return now != SENTENCE_OPEN && is_closer(c) ? now : SENTENCE_OPEN;
}

static unsigned line_breaks(uint32_t c)
{
    if (c == 0x2029)
        return 2;
    return c == '\n' || c == '\r' || c == 0x85 || c == 0x2028 || c == '\v' || c == '\f';
}

/* Reads the white space at `at`; returns its code points. */
static size_t read_space(struct reader *reader)
{
    size_t chars = 0;
    unsigned breaks = 0;
    while (reader->at < reader->size) {
        struct grapheme g = grapheme_at(reader->text + reader->at, reader->size - reader->at);
        if (!g.space)
            break;
        chars += g.chars;
        if (breaks < 2)
            breaks += line_breaks(g.first);
        reader->at += g.size;
    }
    reader->before = AT_GRAPHEME;
    if (breaks > 0)
        reader->before = breaks > 1 ? AT_PARAGRAPH : AT_LINE;
    else if (chars > 0)
        reader->before = reader->sentence == SENTENCE_OPEN ? AT_WORD : AT_SENTENCE;
    if (chars > 0)
        reader->sentence = SENTENCE_OPEN;
    return chars;
}

static bool read_unit(struct reader *reader, struct unit *out)
{
    if (reader->at >= reader->size)
        return false;
    struct grapheme g = grapheme_at(reader->text + reader->at, reader->size - reader->at);
    out->offset = reader->leading > 0 ? 0 : reader->at;
    out->before = reader->before;
    if (out->before == AT_GRAPHEME && reader->sentence == SENTENCE_ENDED_WIDE &&
        !is_stop(g.first) && !is_closer(g.first))
        out->before = AT_SENTENCE;
    reader->sentence = sentence_after(reader->sentence, g.first);
    reader->at += g.size;
    out->chars = reader->leading + g.chars + read_space(reader);
    reader->leading = 0;
    return true;
}

/* The units from the chunk's start to as far as a chunk can reach, and one more. */
struct window {
    struct unit *units;
    size_t capacity;
    size_t count;
    size_t chars; /* of all units */
    bool ended;   /* the text ends with the last unit */
};

static void window_fill(struct window *window, struct reader *reader, size_t max_chars)
{
    while (!window->ended && window->chars <= max_chars) {
        struct unit unit;
        if (!read_unit(reader, &unit)) {
            window->ended = true;
            break;
        }
        assert(window->count < window->capacity);
        window->units[window->count++] = unit;
        window->chars += unit.chars;
    }
}

static void window_drop(struct window *window, size_t count)
{
    for (size_t i = 0; i < count; i++)
        window->chars -= window->units[i].chars;
    window->count -= count;
    memmove(window->units, window->units + count, window->count * sizeof *window->units);
}

/* Units of the next chunk, of which the first `old` are its overlap: up to the highest boundary in
 * the last three quarters of what fits behind the overlap (the whole of it when none is there), and
 * among equals the last. 0 when not one new unit fits. */
static size_t choose_cut(const struct window *window, size_t old,
                         const struct chunk_options *options)
{
    size_t old_chars = 0;
    for (size_t i = 0; i < old; i++)
        old_chars += window->units[i].chars;
    size_t enough = old_chars + (options->max_chars - old_chars) / 4;
    size_t chars = old_chars;
    size_t best = 0;
    enum boundary best_level = AT_GRAPHEME;
    bool best_enough = false;
    for (size_t i = old; i + 1 < window->count; i++) {
        chars += window->units[i].chars;
        if (chars > options->max_chars)
            break;
        enum boundary level = window->units[i + 1].before;
        if (options->strategy == CHUNKER_FIXED)
            level = AT_GRAPHEME;
        bool is_enough = chars >= enough;
        if (best == 0 || (is_enough && !best_enough) ||
            (is_enough == best_enough && level >= best_level)) {
            best = i + 1;
            best_level = level;
            best_enough = is_enough;
        }
    }
    return best;
}

/* The unit at which the chunk after `cut` starts: the earliest word of the last overlap_chars, else
 * the earliest grapheme, and `cut` when neither fits. Never the chunk's own start. */
static size_t overlap_start(const struct window *window, size_t cut,
                            const struct chunk_options *options)
{
    size_t allowed = options->overlap_chars;
    if (allowed > options->max_chars / 2)
        allowed = options->max_chars / 2;
    size_t word = cut;
    size_t at = cut;
    size_t chars = 0;
    while (at > 1 && chars + window->units[at - 1].chars <= allowed) {
        at--;
        chars += window->units[at].chars;
        if (window->units[at].before >= AT_WORD)
            word = at;
    }
    return word < cut && options->strategy == CHUNKER_RECURSIVE ? word : at;
}

/* Gathers spans; grows by doubling, in the arena. */
struct span_writer {
    struct arena *arena;
    struct chunk_list *list;
    size_t capacity;
};

static void span_add(struct span_writer *writer, size_t start, size_t end)
{
    struct chunk_list *list = writer->list;
    if (list->count == writer->capacity) {
        size_t capacity = writer->capacity ? 2 * writer->capacity : 16;
        struct chunk_span *spans = arena_alloc_array(writer->arena, capacity, sizeof *spans);
        if (list->count > 0)
            memcpy(spans, list->spans, list->count * sizeof *spans);
        list->spans = spans;
        writer->capacity = capacity;
    }
    list->spans[list->count++] = (struct chunk_span){start, end - start};
}

/* Units of the chunk at the window's start; *old becomes 0 when the overlap had to be given up. */
static size_t next_cut(struct window *window, size_t *old, struct reader *reader,
                       const struct chunk_options *options)
{
    window_fill(window, reader, options->max_chars);
    if (window->chars > options->max_chars && *old > 0 && choose_cut(window, *old, options) == 0) {
        window_drop(window, *old);
        *old = 0;
        window_fill(window, reader, options->max_chars);
    }
    if (window->chars <= options->max_chars)
        return window->count; /* all that is left */
    size_t cut = choose_cut(window, *old, options);
    return cut > 0 ? cut : 1; /* one unit may be longer than a chunk */
}

static void cut_text(const struct chunk_options *options, struct reader *reader,
                     struct span_writer *writer)
{
    struct window window = {.capacity = options->max_chars + 2};
    if (window.capacity > reader->size + 2)
        window.capacity = reader->size + 2;
    window.units = calloc(window.capacity, sizeof *window.units); /* not to last as long as spans */
    if (!window.units)
        abort();
    size_t old = 0;
    for (;;) {
        size_t cut = next_cut(&window, &old, reader, options);
        size_t start = window.units[0].offset;
        if (window.ended && cut == window.count) {
            span_add(writer, start, reader->size);
            free(window.units);
            return;
        }
        if (cut == window.count) { /* whether the text ends right here is not known yet */
            window_fill(&window, reader, window.chars);
            if (window.ended)
                continue;
        }
        span_add(writer, start, window.units[cut].offset);
        size_t from = overlap_start(&window, cut, options);
        old = cut - from;
        window_drop(&window, from);
    }
}

/* No code point is longer than 4 bytes. */
static bool fits(const struct chunk_options *options, const char *text, size_t size)
{
    return size <= options->max_chars ||
           (size / 4 <= options->max_chars && text_length(text, size) <= options->max_chars);
}

void chunk_text(const struct chunk_options *options, const char *text, size_t size,
                struct arena *arena, struct chunk_list *out)
{
    assert(options->max_chars > 0 && options->overlap_chars < options->max_chars);
    *out = (struct chunk_list){0};
    struct reader reader = {.text = text, .size = size};
    reader.leading = read_space(&reader);
    if (reader.at >= size)
        return;
    struct span_writer writer = {.arena = arena, .list = out};
    if (options->strategy == CHUNKER_NONE || fits(options, text, size))
        span_add(&writer, 0, size);
    else
        cut_text(options, &reader, &writer);
}

/* A place to cut at. */
struct place {
    size_t offset; /* 0: none */
    bool central;
    enum boundary level;
    size_t distance; /* from the middle, in bytes */
};

/* Near the ends, where only a huge grapheme leaves no other choice, all boundaries are alike. */
static bool is_better(const struct place *a, const struct place *b)
{
    if (b->offset == 0)
        return true;
    if (a->central != b->central)
        return a->central;
    if (a->central && a->level != b->level)
        return a->level > b->level;
    return a->distance < b->distance;
}

size_t chunk_halve(const char *text, size_t size)
{
    struct reader reader = {.text = text, .size = size};
    reader.leading = read_space(&reader);
    struct place best = {0};
    size_t middle = size / 2;
    for (struct unit unit; read_unit(&reader, &unit);) {
        size_t distance = unit.offset > middle ? unit.offset - middle : middle - unit.offset;
        const struct place place = {unit.offset, distance <= size / 4, unit.before, distance};
        if (unit.offset > 0 && is_better(&place, &best))
            best = place;
    }
    return best.offset;
}
