/* SPDX-License-Identifier: Apache-2.0 */
#include "embed/normalize.h"

#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "support/test.h"
#include "unit/embed/random_text.h"

static const struct normalize_options usual = {.form = TEXT_FORM_NFC, .trim = true};

static void assert_normal(const struct normalize_options *options, const char *text,
                          const char *expected)
{
    CLEANUP(buf_fini) struct buf out = BUF_INIT(MIB);
    normalize_text(options, text, strlen(text), &out);
    assert_string_equal(buf_str(&out), expected);
}

static void replaces_invalid_utf8(void **state)
{
    (void)state;
    assert_normal(&usual,
                  "a\xff"
                  "b\xc3",
                  "a\xef\xbf\xbd"
                  "b\xef\xbf\xbd");
}

static void makes_line_feeds_of_all_line_ends(void **state)
{
    (void)state;
    assert_normal(&usual,
                  "a\r\nb\rc\xc2\x85"
                  "d\xe2\x80\xa8"
                  "e\x0b"
                  "f\x0cg",
                  "a\nb\nc\nd\ne\nf\ng");
    assert_normal(&usual,
                  "a\xe2\x80\xa9"
                  "b\r\r\nc",
                  "a\n\nb\n\nc");
}

static void drops_control_characters(void **state)
{
    (void)state;
    assert_normal(&usual,
                  "a\x01\x1b\x7f\xc2\x80\xc2\x9f"
                  "b\tc",
                  "ab\tc");
    CLEANUP(buf_fini) struct buf out = BUF_INIT(100);
    normalize_text(&usual, "a\0b", 3, &out);
    assert_string_equal(buf_str(&out), "ab");
}

static void composes(void **state)
{
    (void)state;
    const struct normalize_options nfkc = {.form = TEXT_FORM_NFKC};
    const struct normalize_options none = {.form = TEXT_FORM_NONE};
    assert_normal(&usual, "e\xcc\x81 \xef\xac\x81", "é \xef\xac\x81");
    assert_normal(&nfkc, "e\xcc\x81 \xef\xac\x81", "é fi");
    assert_normal(&none, "e\xcc\x81", "e\xcc\x81");
}

static void trims_all_kinds_of_white_space(void **state)
{
    (void)state;
    const struct normalize_options keep = {.form = TEXT_FORM_NFC};
    assert_normal(&usual, " \n\t\xc2\xa0\xe3\x80\x80 a b \xe2\x80\x83\n", "a b");
    assert_normal(&usual, " \n ", "");
    assert_normal(&usual, "", "");
    assert_normal(&keep, " a ", " a ");
}

static void lowers_case(void **state)
{
    (void)state;
    const struct normalize_options lower = {.form = TEXT_FORM_NFC, .trim = true, .lowercase = true};
    assert_normal(&lower, "ÄÖ Straße Ω", "äö straße ω");
}

static void takes_stop_words_out(void **state)
{
    (void)state;
    static const char *const words[] = {"the", "don't", "é"};
    const struct normalize_options stop = {
        .form = TEXT_FORM_NFC, .trim = true, .stopwords = words, .stopword_count = 3};
    assert_normal(&stop, "The cat and the dog", "cat and dog");
    assert_normal(&stop, "I DON'T know the don", "I know don");
    assert_normal(&stop, "other thee the_x the-y É", "other thee the_x -y");
    assert_normal(&stop, "over\nthe end (the)", "over\nend ()");
    assert_normal(&stop, "the the the", "");
}

static void appends_and_tells_of_an_overflow(void **state)
{
    (void)state;
    CLEANUP(buf_fini) struct buf out = BUF_INIT(8);
    buf_puts(&out, "x: ");
    normalize_text(&usual, "abc", 3, &out);
    assert_string_equal(buf_str(&out), "x: abc");
    assert_false(out.overflow);
    normalize_text(&usual, "abcdefghij", 10, &out);
    assert_true(out.overflow);
}

static void assert_idempotent(const struct normalize_options *options, const struct buf *text)
{
    CLEANUP(buf_fini) struct buf once = BUF_INIT(MIB);
    CLEANUP(buf_fini) struct buf twice = BUF_INIT(MIB);
    normalize_text(options, buf_str(text), text->size, &once);
    normalize_text(options, buf_str(&once), once.size, &twice);
    assert_int_equal(once.size, twice.size);
    assert_string_equal(buf_str(&once), buf_str(&twice));
    assert_true(text_is_utf8(buf_str(&once), once.size));
}

static void is_idempotent(void **state)
{
    (void)state;
    static const char *const words[] = {"x", "don't", "a"};
    for (uint64_t seed = 0; seed < 4000; seed++) {
        struct random_text random = {seed};
        const struct normalize_options options = {
            .form = (enum text_form)random_below(&random, 3),
            .trim = random_below(&random, 2),
            .lowercase = random_below(&random, 2),
            .stopwords = words,
            .stopword_count = random_below(&random, 2) * 3,
        };
        CLEANUP(buf_fini) struct buf text = BUF_INIT(MIB);
        random_fill(&random, random_below(&random, 300), &text);
        for (size_t i = 0; i < random_below(&random, 3) && text.size > 0; i++)
            text.data[random_below(&random, text.size)] = (char)random_next(&random);
        assert_idempotent(&options, &text);
    }
}

static void append_code_point(struct buf *out, uint32_t c)
{
    if (c < 0x80) {
        buf_putc(out, (char)c);
    } else if (c < 0x800) {
        buf_putc(out, (char)(0xc0 | c >> 6));
        buf_putc(out, (char)(0x80 | (c & 0x3f)));
    } else if (c < 0x10000) {
        buf_putc(out, (char)(0xe0 | c >> 12));
        buf_putc(out, (char)(0x80 | (c >> 6 & 0x3f)));
        buf_putc(out, (char)(0x80 | (c & 0x3f)));
    } else {
        buf_putc(out, (char)(0xf0 | c >> 18));
        buf_putc(out, (char)(0x80 | (c >> 12 & 0x3f)));
        buf_putc(out, (char)(0x80 | (c >> 6 & 0x3f)));
        buf_putc(out, (char)(0x80 | (c & 0x3f)));
    }
}

/* Alone, and before and behind marks that compose with it. */
static void is_idempotent_for_every_code_point(void **state)
{
    (void)state;
    const struct normalize_options forms[] = {
        {.form = TEXT_FORM_NFC, .trim = true, .lowercase = true},
        {.form = TEXT_FORM_NFKC, .trim = true, .lowercase = true},
    };
    for (uint32_t first = 0; first < 0x110000; first += 64) {
        CLEANUP(buf_fini) struct buf text = BUF_INIT(MIB);
        for (uint32_t c = first; c < first + 64; c++) {
            append_code_point(&text, c);
            buf_puts(&text, "\xcc\x87 e");
            append_code_point(&text, c);
            buf_puts(&text, "\xcc\x81 ");
        }
        for (size_t i = 0; i < ARRAY_LEN(forms); i++)
            assert_idempotent(&forms[i], &text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replaces_invalid_utf8),
        cmocka_unit_test(makes_line_feeds_of_all_line_ends),
        cmocka_unit_test(drops_control_characters),
        cmocka_unit_test(composes),
        cmocka_unit_test(trims_all_kinds_of_white_space),
        cmocka_unit_test(lowers_case),
        cmocka_unit_test(takes_stop_words_out),
        cmocka_unit_test(appends_and_tells_of_an_overflow),
        cmocka_unit_test(is_idempotent),
        cmocka_unit_test(is_idempotent_for_every_code_point),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
