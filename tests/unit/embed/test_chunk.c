/* SPDX-License-Identifier: Apache-2.0 */
#include "embed/chunk.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/text.h"
#include "embed/fingerprint.h"
#include "support/test.h"
#include "unit/embed/random_text.h"

static const struct chunk_options usual = {CHUNKER_RECURSIVE, 1200, 120};

/* The chunks as texts, joined by "|". */
static void cut(const struct chunk_options *options, const char *text, struct buf *out)
{
    CLEANUP(arena_freep) struct arena *arena = arena_new(LIMIT_ARENA_SIZE);
    struct chunk_list list;
    chunk_text(options, text, strlen(text), arena, &list);
    for (size_t i = 0; i < list.count; i++) {
        if (i > 0)
            buf_putc(out, '|');
        buf_append(out, text + list.spans[i].start, list.spans[i].size);
    }
}

static void assert_cut(size_t max_chars, size_t overlap_chars, const char *text,
                       const char *expected)
{
    const struct chunk_options options = {CHUNKER_RECURSIVE, max_chars, overlap_chars};
    CLEANUP(buf_fini) struct buf chunks = BUF_INIT(MIB);
    cut(&options, text, &chunks);
    assert_string_equal(buf_str(&chunks), expected);
}

static void gives_no_chunk_for_empty_text_and_white_space(void **state)
{
    (void)state;
    assert_cut(10, 2, "", "");
    assert_cut(10, 2, " \n\t\xc2\xa0 ", "");
    const struct chunk_options none = {CHUNKER_NONE, 10, 0};
    CLEANUP(buf_fini) struct buf chunks = BUF_INIT(100);
    cut(&none, "  \n ", &chunks);
    assert_int_equal(chunks.size, 0);
}

static void keeps_a_short_text_whole(void **state)
{
    (void)state;
    assert_cut(10, 2, "0123456789", "0123456789");
    assert_cut(10, 2, " a b\n\nc ", " a b\n\nc ");
}

static void cuts_at_paragraphs_first(void **state)
{
    (void)state;
    assert_cut(24, 0, "One two. Three\nfour.\n\nFive. Six seven",
               "One two. Three\nfour.\n\n|Five. Six seven");
}

static void then_at_lines_sentences_and_words(void **state)
{
    (void)state;
    assert_cut(20, 0, "One two. Three\nfour five six", "One two. Three\n|four five six");
    assert_cut(20, 0, "One two. Three four five six", "One two. |Three four five six");
    assert_cut(12, 0, "alpha beta gamma delta", "alpha beta |gamma delta");
    assert_cut(5, 0, "abcdefghijkl", "abcde|fghij|kl");
}

static void a_low_boundary_far_on_beats_a_high_one_right_at_the_start(void **state)
{
    (void)state;
    assert_cut(40, 0, "Title\n\nA first sentence. Then a second one follows.",
               "Title\n\nA first sentence. |Then a second one follows.");
}

static void ends_sentences_of_chinese_without_a_space(void **state)
{
    (void)state;
    assert_cut(10, 0, "今日は晴れ。明日は雨でしょう。", "今日は晴れ。|明日は雨でしょう。");
    assert_cut(8, 0, "「行く。」と言った人がいた", "「行く。」|と言った人がいた");
}

static void closing_quotes_stay_with_their_sentence(void **state)
{
    (void)state;
    assert_cut(26, 0, "He said: \"Go now.\" And she went away",
               "He said: \"Go now.\" |And she went away");
}

static void overlaps_by_whole_words(void **state)
{
    (void)state;
    assert_cut(16, 8, "alpha beta gamma delta epsilon",
               "alpha beta |beta gamma |gamma delta |delta epsilon");
}

static void overlaps_by_graphemes_inside_a_long_word(void **state)
{
    (void)state;
    assert_cut(6, 2, "abcdefghijkl", "abcdef|efghij|ijkl");
}

static void never_cuts_a_family_emoji(void **state)
{
    (void)state;
    assert_cut(3, 0, "👩‍👩‍👧‍👦👩‍👩‍👧‍👦a",
               "👩‍👩‍👧‍👦|👩‍👩‍👧‍👦|a");
    assert_cut(2, 1,
               "e\xcc\x81"
               "e\xcc\x81"
               "e\xcc\x81",
               "e\xcc\x81|e\xcc\x81|e\xcc\x81");
}

static void leaves_white_space_at_the_end_of_the_chunk_before(void **state)
{
    (void)state;
    assert_cut(4, 0, "a          def", "a          |def");
    assert_cut(2, 0, "      a      b    ", "      a      |b    ");
}

static void fixed_cuts_count_only(void **state)
{
    (void)state;
    const struct chunk_options fixed = {CHUNKER_FIXED, 8, 3};
    CLEANUP(buf_fini) struct buf chunks = BUF_INIT(1000);
    cut(&fixed, "One.\n\nTwo three", &chunks);
    assert_string_equal(buf_str(&chunks), "One.\n\nTw|Two thre|hree");
}

static void none_gives_the_whole_text(void **state)
{
    (void)state;
    const struct chunk_options none = {CHUNKER_NONE, 2, 0};
    CLEANUP(buf_fini) struct buf chunks = BUF_INIT(1000);
    cut(&none, "abc\n\ndef ", &chunks);
    assert_string_equal(buf_str(&chunks), "abc\n\ndef ");
}

/* ---- properties over random texts ---- */

struct sample {
    struct arena *arena;
    struct buf text;
    struct chunk_options options;
    struct chunk_list list;
};

static void sample_make(struct sample *sample, uint64_t seed)
{
    struct random_text random = {seed};
    sample->arena = arena_new(LIMIT_ARENA_SIZE);
    sample->text = BUF_INIT(MIB);
    random_fill(&random, random_below(&random, 4000), &sample->text);
    size_t max_chars = 1 + random_below(&random, random_below(&random, 2) ? 20 : 600);
    enum chunk_strategy strategy = random_below(&random, 4) ? CHUNKER_RECURSIVE : CHUNKER_FIXED;
    sample->options = (struct chunk_options){strategy, max_chars, random_below(&random, max_chars)};
    chunk_text(&sample->options, buf_str(&sample->text), sample->text.size, sample->arena,
               &sample->list);
}

static void sample_fini(struct sample *sample)
{
    arena_free(sample->arena);
    buf_fini(&sample->text);
}

static bool only_space(const char *text, size_t size)
{
    for (size_t at = 0; at < size;) {
        uint32_t c = 0;
        at += text_decode(text + at, size - at, &c);
        if (!text_is_space(c))
            return false;
    }
    return true;
}

#define SAMPLES 3000

static void covers_every_text_without_a_gap(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < SAMPLES; seed++) {
        struct sample s;
        sample_make(&s, seed);
        if (only_space(buf_str(&s.text), s.text.size)) {
            assert_int_equal(s.list.count, 0);
            sample_fini(&s);
            continue;
        }
        size_t end = 0;
        CLEANUP(buf_fini) struct buf joined = BUF_INIT(MIB);
        for (size_t i = 0; i < s.list.count; i++) {
            struct chunk_span span = s.list.spans[i];
            assert_true(span.size > 0 && span.start <= end);
            assert_true(i == 0 || span.start > s.list.spans[i - 1].start);
            assert_true(span.start + span.size > end);
            buf_append(&joined, s.text.data + end, span.start + span.size - end);
            end = span.start + span.size;
        }
        assert_int_equal(s.list.spans[0].start, 0);
        assert_int_equal(end, s.text.size);
        assert_memory_equal(joined.data, s.text.data, s.text.size);
        sample_fini(&s);
    }
}

/* Marks where graphemes begin; to be freed. */
static bool *grapheme_starts(const struct buf *text)
{
    bool *starts = calloc(text->size + 1, sizeof *starts);
    assert_non_null(starts);
    for (size_t at = 0; at < text->size; at += text_grapheme(text->data + at, text->size - at))
        starts[at] = true;
    starts[text->size] = true;
    return starts;
}

static void never_cuts_inside_a_grapheme(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < SAMPLES; seed++) {
        struct sample s;
        sample_make(&s, seed);
        bool *starts = grapheme_starts(&s.text);
        for (size_t i = 0; i < s.list.count; i++) {
            assert_true(starts[s.list.spans[i].start]);
            assert_true(starts[s.list.spans[i].start + s.list.spans[i].size]);
        }
        free(starts);
        sample_fini(&s);
    }
}

/* Size of the first grapheme and the white space around it. */
static size_t unit_size(const char *text, size_t size)
{
    size_t at = 0;
    uint32_t c = 0;
    while (at < size && (text_decode(text + at, size - at, &c), text_is_space(c)) &&
           text_length(text + at, text_grapheme(text + at, size - at)) == 1 + (c == '\r'))
        at += text_grapheme(text + at, size - at);
    at += at < size ? text_grapheme(text + at, size - at) : 0;
    while (at < size && only_space(text + at, text_grapheme(text + at, size - at)))
        at += text_grapheme(text + at, size - at);
    return at;
}

static void keeps_to_the_limits(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < SAMPLES; seed++) {
        struct sample s;
        sample_make(&s, seed);
        size_t end = 0;
        for (size_t i = 0; i < s.list.count; i++) {
            struct chunk_span span = s.list.spans[i];
            const char *text = s.text.data + span.start;
            assert_false(only_space(text, span.size));
            if (text_length(text, span.size) > s.options.max_chars)
                assert_true(unit_size(text, span.size) >= span.size);
            size_t overlap = i > 0 ? text_length(text, end - span.start) : 0;
            assert_true(overlap <= s.options.overlap_chars);
            end = span.start + span.size;
        }
        sample_fini(&s);
    }
}

static void gives_the_same_spans_every_time(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 300; seed++) {
        struct sample a;
        struct sample b;
        sample_make(&a, seed);
        sample_make(&b, seed);
        assert_int_equal(a.list.count, b.list.count);
        if (a.list.count > 0)
            assert_memory_equal(a.list.spans, b.list.spans, a.list.count * sizeof *a.list.spans);
        sample_fini(&a);
        sample_fini(&b);
    }
}

static size_t new_fingerprints(const struct buf *text, const struct chunk_list *before,
                               const struct chunk_list *after)
{
    size_t fresh = 0;
    for (size_t i = 0; i < after->count; i++) {
        struct sha256 fp = content_fp(text->data + after->spans[i].start, after->spans[i].size);
        bool known = false;
        for (size_t j = 0; j < before->count && !known; j++) {
            struct sha256 old =
                content_fp(text->data + before->spans[j].start, before->spans[j].size);
            known = memcmp(&fp, &old, sizeof fp) == 0;
        }
        fresh += !known;
    }
    return fresh;
}

static void an_appended_paragraph_changes_at_most_two_chunks(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 100; seed++) {
        struct random_text random = {seed};
        CLEANUP(arena_freep) struct arena *arena = arena_new(LIMIT_ARENA_SIZE);
        CLEANUP(buf_fini) struct buf text = BUF_INIT(MIB);
        random_prose(&random, 20000, &text);
        struct chunk_list before;
        struct chunk_list after;
        chunk_text(&usual, text.data, text.size, arena, &before);
        assert_true(before.count >= 15);
        random_prose(&random, text.size + 300, &text);
        chunk_text(&usual, text.data, text.size, arena, &after);
        assert_true(new_fingerprints(&text, &before, &after) <= 2);
    }
}

static void a_change_in_the_middle_stays_near(void **state)
{
    (void)state;
    size_t fresh = 0;
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct random_text random = {seed};
        CLEANUP(arena_freep) struct arena *arena = arena_new(LIMIT_ARENA_SIZE);
        CLEANUP(buf_fini) struct buf text = BUF_INIT(MIB);
        CLEANUP(buf_fini) struct buf edited = BUF_INIT(MIB);
        random_prose(&random, 40000, &text);
        size_t middle = text.size / 2;
        buf_append(&edited, text.data, middle);
        buf_puts(&edited, "inserted ");
        buf_append(&edited, text.data + middle, text.size - middle);
        struct chunk_list before;
        struct chunk_list after;
        chunk_text(&usual, text.data, text.size, arena, &before);
        chunk_text(&usual, edited.data, edited.size, arena, &after);
        for (size_t i = 0; i < after.count; i++) {
            const char *chunk = edited.data + after.spans[i].start;
            fresh += memmem(text.data, text.size, chunk, after.spans[i].size) == NULL ||
                     after.spans[i].start == 0;
        }
    }
    assert_true(fresh <= 50 * 4);
}

static void fills_chunks_of_prose(void **state)
{
    (void)state;
    struct random_text random = {7};
    CLEANUP(arena_freep) struct arena *arena = arena_new(LIMIT_ARENA_SIZE);
    CLEANUP(buf_fini) struct buf text = BUF_INIT(4 * MIB);
    random_prose(&random, MIB, &text);
    struct chunk_list list;
    chunk_text(&usual, text.data, text.size, arena, &list);
    assert_true(list.count < text.size / 600); /* at least half full on average */
    for (size_t i = 0; i + 1 < list.count; i++) {
        size_t end = list.spans[i].start + list.spans[i].size;
        assert_memory_equal(text.data + end - 2, "\n\n",
                            2); /* here every chunk finds a paragraph */
    }
}

/* The time is not asserted tightly: this guards against quadratic behaviour. */
static void assert_linear(const char *piece, const struct chunk_options *options)
{
    CLEANUP(arena_freep) struct arena *arena = arena_new(LIMIT_ARENA_SIZE);
    CLEANUP(buf_fini) struct buf text = BUF_INIT(2 * MIB);
    while (text.size + strlen(piece) < MIB)
        buf_puts(&text, piece);
    int64_t start = clock_mono_ms();
    struct chunk_list list;
    chunk_text(options, text.data, text.size, arena, &list);
    int64_t took = clock_mono_ms() - start;
    if (took > 10000)
        fail_msg("1 MiB of \"%.20s\" took %lld ms", piece, (long long)took);
}

static void takes_linear_time_whatever_the_text(void **state)
{
    (void)state;
    const struct chunk_options tight = {CHUNKER_RECURSIVE, 1000, 999};
    const struct chunk_options large = {CHUNKER_RECURSIVE, 100000, 50000};
    static const char *const pieces[] = {"a",        "a ", " ",        "\n",
                                         "\xcc\x81", "漢", "👍🏽", "a.\n\nbbbbbbb "};
    for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
        assert_linear(pieces[i], &usual);
        assert_linear(pieces[i], &tight);
        assert_linear(pieces[i], &large);
    }
}

/* --- halves --- */

static void assert_halves(const char *text, const char *second)
{
    size_t at = chunk_halve(text, strlen(text));
    if (!at || strcmp(text + at, second) != 0)
        fail_msg("'%s' is cut at %zu: '%s'", text, at, text + at);
}

static void halves_at_the_best_boundary_of_the_middle(void **state)
{
    (void)state;
    assert_halves("aaaa bbb. cc dd\nee\n\nff gg. hhhhhhh", "ff gg. hhhhhhh");
    assert_halves("aaaa bbbb cccc. dd\nee ff gg hhh iii", "ee ff gg hhh iii");
    assert_halves("aaaa bbbb ccc. dd ee ff gg hh", "dd ee ff gg hh");
    assert_halves("aaaa bbbb cccc dddd eeee", "cccc dddd eeee");
    assert_halves("abcdefgh", "efgh");
    /* a paragraph at the very start or end would leave a half as long as the whole */
    assert_halves("a\n\nbbbbbbbbb ccccccccc", "ccccccccc");
    assert_halves("bbbbbbbbb ccccccccc\n\na", "ccccccccc\n\na");
    /* of equals the one nearest the middle */
    assert_halves("aaa bb cc dd ee fff", "dd ee fff");
}

static void halves_code_chinese_and_emoji_between_graphemes(void **state)
{
    (void)state;
    assert_halves("int f(void)\n{\n    return 1;\n}\nint g(void)\n{\n    return 2;\n}\n",
                  "int g(void)\n{\n    return 2;\n}\n");
    assert_halves("0123456789abcdef0123456789abcdef", "0123456789abcdef");
    assert_halves("今日は晴れ。明日は雨だ。", "明日は雨だ。");
    assert_halves("漢字漢字", "漢字");
    assert_halves("👩‍👩‍👧‍👦👩‍👩‍👧‍👦",
                  "👩‍👩‍👧‍👦");
    assert_halves("🇩🇪🇫🇷🇩🇪🇫🇷", "🇩🇪🇫🇷");
    assert_halves("ee\xcc\x81", "e\xcc\x81");
    /* the only cut there is, though far from the middle */
    assert_halves("a👩‍👩‍👧‍👦", "👩‍👩‍👧‍👦");
    assert_halves("👩‍👩‍👧‍👦a", "a");
}

static void does_not_halve_a_grapheme_or_white_space(void **state)
{
    (void)state;
    static const char *const whole[] = {
        "",     "a",        "  a", "a \n ", "  ", "漢", "👍🏽", " 👩‍👩‍👧‍👦 ",
        "\r\n", "e\xcc\x81"};
    for (size_t i = 0; i < ARRAY_LEN(whole); i++)
        assert_int_equal(chunk_halve(whole[i], strlen(whole[i])), 0);
}

static bool is_blank(const char *text, size_t size)
{
    for (size_t at = 0; at < size;) {
        uint32_t c = 0;
        at += text_decode(text + at, size - at, &c);
        if (!text_is_space(c))
            return false;
    }
    return true;
}

/* Cuts down to what cannot be cut: all cuts are where graphemes of the whole text begin. */
static void halve_down(const char *text, size_t size, const bool *starts, size_t depth)
{
    size_t at = chunk_halve(text, size);
    if (at == 0)
        return;
    assert_true(at < size && starts[at] && depth < 2000);
    assert_false(is_blank(text, at));
    assert_false(is_blank(text + at, size - at));
    halve_down(text, at, starts, depth + 1);
    halve_down(text + at, size - at, starts + at, depth + 1);
}

static void halves_of_halves_end_at_single_graphemes(void **state)
{
    (void)state;
    struct random_text random = {.state = 77};
    for (int round = 0; round < 200; round++) {
        CLEANUP(buf_fini) struct buf text = BUF_INIT(MIB);
        random_fill(&random, 1 + random_below(&random, 600), &text);
        bool *starts = calloc(text.size + 1, sizeof *starts);
        for (size_t at = 0; at < text.size; at += text_grapheme(text.data + at, text.size - at))
            starts[at] = true;
        halve_down(text.data, text.size, starts, 0);
        free(starts);
    }
}

/* A quarter, plus what one unit is long, at worst. */
static void halves_are_never_small(void **state)
{
    (void)state;
    struct random_text random = {.state = 78};
    for (int round = 0; round < 200; round++) {
        CLEANUP(buf_fini) struct buf text = BUF_INIT(MIB);
        random_prose(&random, 200 + random_below(&random, 3000), &text);
        size_t at = chunk_halve(text.data, text.size);
        assert_true(at >= text.size / 4 && at <= text.size - text.size / 4 + 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_no_chunk_for_empty_text_and_white_space),
        cmocka_unit_test(keeps_a_short_text_whole),
        cmocka_unit_test(cuts_at_paragraphs_first),
        cmocka_unit_test(then_at_lines_sentences_and_words),
        cmocka_unit_test(a_low_boundary_far_on_beats_a_high_one_right_at_the_start),
        cmocka_unit_test(ends_sentences_of_chinese_without_a_space),
        cmocka_unit_test(closing_quotes_stay_with_their_sentence),
        cmocka_unit_test(overlaps_by_whole_words),
        cmocka_unit_test(overlaps_by_graphemes_inside_a_long_word),
        cmocka_unit_test(never_cuts_a_family_emoji),
        cmocka_unit_test(leaves_white_space_at_the_end_of_the_chunk_before),
        cmocka_unit_test(fixed_cuts_count_only),
        cmocka_unit_test(none_gives_the_whole_text),
        cmocka_unit_test(covers_every_text_without_a_gap),
        cmocka_unit_test(never_cuts_inside_a_grapheme),
        cmocka_unit_test(keeps_to_the_limits),
        cmocka_unit_test(gives_the_same_spans_every_time),
        cmocka_unit_test(an_appended_paragraph_changes_at_most_two_chunks),
        cmocka_unit_test(a_change_in_the_middle_stays_near),
        cmocka_unit_test(fills_chunks_of_prose),
        cmocka_unit_test(takes_linear_time_whatever_the_text),
        cmocka_unit_test(halves_at_the_best_boundary_of_the_middle),
        cmocka_unit_test(halves_code_chinese_and_emoji_between_graphemes),
        cmocka_unit_test(does_not_halve_a_grapheme_or_white_space),
        cmocka_unit_test(halves_of_halves_end_at_single_graphemes),
        cmocka_unit_test(halves_are_never_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
