/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "support/test.h"

#define REPLACED "\xef\xbf\xbd"

static void tells_utf_8_from_other_bytes(void **state)
{
    (void)state;
    static const char *const valid[] = {"",
                                        "a",
                                        "\x7f",
                                        "\xc2\x80",
                                        "\xdf\xbf",
                                        "\xe0\xa0\x80",
                                        "\xed\x9f\xbf",
                                        "\xee\x80\x80",
                                        "\xef\xbf\xbf",
                                        "\xf0\x90\x80\x80",
                                        "\xf4\x8f\xbf\xbf"};
    for (size_t i = 0; i < ARRAY_LEN(valid); i++)
        assert_true(text_is_utf8(valid[i], strlen(valid[i])));
    static const char *const invalid[] = {"\x80",
                                          "\xbf",
                                          "\xc0\x80",
                                          "\xc1\xbf",
                                          "\xc2",
                                          "\xc2\x20",
                                          "\xe0\x9f\xbf",
                                          "\xed\xa0\x80",
                                          "\xe2\x82",
                                          "\xf0\x8f\xbf\xbf",
                                          "\xf4\x90\x80\x80",
                                          "\xf5\x80\x80\x80",
                                          "\xff",
                                          "a\xfe",
                                          "\xf0\x9f\x98"};
    for (size_t i = 0; i < ARRAY_LEN(invalid); i++)
        assert_false(text_is_utf8(invalid[i], strlen(invalid[i])));
    assert_true(text_is_utf8("a\0b", 3));
    assert_false(text_is_utf8("\xe2\x82\xac", 2));
}

static void expect_valid(const char *text, const char *expected)
{
    CLEANUP(buf_fini) struct buf out = BUF_INIT(1000);
    text_append_valid(&out, text, strlen(text));
    assert_string_equal(buf_str(&out), expected);
    assert_true(text_is_utf8(out.data, out.size));
}

static void replaces_each_maximal_invalid_part_once(void **state)
{
    (void)state;
    expect_valid("plain", "plain");
    expect_valid("a\xff"
                 "b",
                 "a" REPLACED "b");
    /* The Unicode standard, table 3-8. */
    expect_valid("\xc0\xaf\xe0\x80\xbf\xf0\x81\x82\x41",
                 REPLACED REPLACED REPLACED REPLACED REPLACED REPLACED REPLACED REPLACED "A");
    /* Tables 3-10 and 3-11. */
    expect_valid("\xed\xa0\x80\xed\xbf\xbf\xed\xaf\x41",
                 REPLACED REPLACED REPLACED REPLACED REPLACED REPLACED REPLACED REPLACED "A");
    expect_valid("\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41", REPLACED REPLACED REPLACED REPLACED "A");
    expect_valid("\xe2\x82", REPLACED);
}

static void decodes_one_code_point(void **state)
{
    (void)state;
    uint32_t code_point = 0;
    assert_int_equal(text_decode("\xf0\x9f\x98\x80x", 5, &code_point), 4);
    assert_int_equal(code_point, 0x1F600);
    assert_int_equal(text_decode("\xf0\x9f\x98\x80x", 3, &code_point), 3);
    assert_int_equal(code_point, 0xFFFD);
    assert_int_equal(text_decode("\xff", 1, &code_point), 1);
    assert_int_equal(code_point, 0xFFFD);
    assert_int_equal(text_decode("\0", 1, &code_point), 1);
    assert_int_equal(code_point, 0);
}

static void expect_form(const char *text, enum text_form form, const char *expected)
{
    CLEANUP(buf_fini) struct buf out = BUF_INIT(1000);
    text_append_form(&out, text, strlen(text), form);
    assert_string_equal(buf_str(&out), expected);
}

static void composes_to_nfc(void **state)
{
    (void)state;
    expect_form("plain", TEXT_FORM_NFC, "plain");
    expect_form("", TEXT_FORM_NFC, "");
    expect_form("e\xcc\x81", TEXT_FORM_NFC, "\xc3\xa9");
    /* Marks of different classes in the wrong order: dot below sorts before dot above. */
    expect_form("s\xcc\x87\xcc\xa3", TEXT_FORM_NFC, "\xe1\xb9\xa9");
    /* ANGSTROM SIGN and KELVIN SIGN are singletons. */
    expect_form("\xe2\x84\xab\xe2\x84\xaa", TEXT_FORM_NFC, "\xc3\x85K");
    /* A composition exclusion stays decomposed: U+0958. */
    expect_form("\xe0\xa5\x98", TEXT_FORM_NFC, "\xe0\xa4\x95\xe0\xa4\xbc");
    /* Starter + starter: Bengali vowel sign O. */
    expect_form("\xe0\xa6\x95\xe0\xa7\x87\xe0\xa6\xbe", TEXT_FORM_NFC, "\xe0\xa6\x95\xe0\xa7\x8b");
    expect_form("\xef\xac\x81", TEXT_FORM_NFC, "\xef\xac\x81");
}

static void composes_hangul(void **state)
{
    (void)state;
    expect_form("\xe1\x84\x92\xe1\x85\xa1\xe1\x86\xab", TEXT_FORM_NFC, "\xed\x95\x9c");
    expect_form("\xed\x95\x98\xe1\x86\xab", TEXT_FORM_NFC, "\xed\x95\x9c");
}

static void folds_compatibility_characters_in_nfkc_only(void **state)
{
    (void)state;
    expect_form("\xef\xac\x81\xef\xbc\xa1\xc2\xb2\xe2\x91\xa0", TEXT_FORM_NFKC, "fiA21");
    expect_form("e\xcc\x81", TEXT_FORM_NFKC, "\xc3\xa9");
    expect_form("e\xcc\x81", TEXT_FORM_NONE, "e\xcc\x81");
}

static void normalises_text_with_nul_bytes(void **state)
{
    (void)state;
    CLEANUP(buf_fini) struct buf out = BUF_INIT(1000);
    text_append_form(&out, "e\xcc\x81\0e\xcc\x81", 7, TEXT_FORM_NFC);
    assert_int_equal(out.size, 5);
    assert_memory_equal(out.data, "\xc3\xa9\0\xc3\xa9", 5);
}

/* Sorting marks takes quadratic time; a hostile document must not stop a worker for hours. */
static void normalises_endless_marks_in_bounded_time(void **state)
{
    (void)state;
    CLEANUP(buf_fini) struct buf text = BUF_INIT(8 * MIB);
    buf_putc(&text, 'a');
    for (int i = 0; i < 500000; i++)
        buf_puts(&text, i < 250000 ? "\xcc\x81" : "\xcc\xa3");
    CLEANUP(buf_fini) struct buf out = BUF_INIT(8 * MIB);
    text_append_form(&out, text.data, text.size, TEXT_FORM_NFC);
    assert_false(out.overflow);
    assert_memory_equal(out.data, "\xc3\xa1", 2);
    assert_int_equal(text_length(out.data, out.size), 500000);
}

static void sorts_as_many_marks_as_any_script_stacks(void **state)
{
    (void)state;
    CLEANUP(buf_fini) struct buf text = BUF_INIT(1000);
    CLEANUP(buf_fini) struct buf expected = BUF_INIT(1000);
    buf_putc(&text, 'q');
    buf_putc(&expected, 'q');
    for (int i = 0; i < 60; i++) {
        buf_puts(&text, i % 2 ? "\xcc\xa3" : "\xcc\x81");
        buf_puts(&expected, i < 30 ? "\xcc\xa3" : "\xcc\x81");
    }
    expect_form(buf_str(&text), TEXT_FORM_NFC, buf_str(&expected));
}

static void lowers_each_code_point(void **state)
{
    (void)state;
    CLEANUP(buf_fini) struct buf out = BUF_INIT(1000);
    /* ÀÉ Σ İ Ⱥ Ꙁ ẞ 日 */
    const char *text = "ABCxyz1 \xc3\x80\xc3\x89 \xce\xa3 \xe1\xba\x9e \xe6\x97\xa5";
    text_append_lower(&out, text, strlen(text));
    assert_string_equal(buf_str(&out), "abcxyz1 \xc3\xa0\xc3\xa9 \xcf\x83 \xc3\x9f \xe6\x97\xa5");
}

static void expect_graphemes(const char *text, size_t expected)
{
    size_t size = strlen(text);
    size_t count = 0;
    while (size) {
        size_t length = text_grapheme(text, size);
        assert_in_range(length, 1, size);
        text += length;
        size -= length;
        count++;
    }
    assert_int_equal(count, expected);
}

static void keeps_graphemes_together(void **state)
{
    (void)state;
    assert_int_equal(text_grapheme("", 0), 0);
    expect_graphemes("abc", 3);
    expect_graphemes("a\r\nb", 3);
    expect_graphemes("a\n\rb", 4);
    expect_graphemes("e\xcc\x81x", 2);                           /* e + acute */
    expect_graphemes("\xcc\x81x", 2);                            /* a mark without a letter */
    expect_graphemes("\xe0\xa4\xa8\xe0\xa4\xbf", 1);             /* Devanagari ni: spacing mark */
    expect_graphemes("\xed\x95\x9c\xea\xb8\x80", 2);             /* Hangul syllables */
    expect_graphemes("\xe1\x84\x92\xe1\x85\xa1\xe1\x86\xab", 1); /* Hangul L V T */
}

static void keeps_emoji_together(void **state)
{
    (void)state;
    /* family: man ZWJ woman ZWJ girl */
    expect_graphemes("\xf0\x9f\x91\xa8\xe2\x80\x8d\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x91\xa7", 1);
    /* thumbs up + skin tone, twice */
    expect_graphemes("\xf0\x9f\x91\x8d\xf0\x9f\x8f\xbd\xf0\x9f\x91\x8d\xf0\x9f\x8f\xbd", 2);
    /* flags: D E, F R, and a lone regional indicator */
    expect_graphemes("\xf0\x9f\x87\xa9\xf0\x9f\x87\xaa\xf0\x9f\x87\xab\xf0\x9f\x87\xb7"
                     "\xf0\x9f\x87\xa9",
                     3);
    /* red heart + variation selector; keycap 1 */
    expect_graphemes("\xe2\x9d\xa4\xef\xb8\x8f"
                     "1\xef\xb8\x8f\xe2\x83\xa3",
                     2);
}

static void steps_over_invalid_bytes(void **state)
{
    (void)state;
    expect_graphemes("\xff\xfe"
                     "a\xe2\x82",
                     4);
    assert_int_equal(text_length("\xff\xfe"
                                 "a\xe2\x82",
                                 5),
                     4);
}

static void counts_code_points(void **state)
{
    (void)state;
    assert_int_equal(text_length("", 0), 0);
    assert_int_equal(text_length("e\xcc\x81\xf0\x9f\x98\x80", 7), 3);
}

static void knows_white_space(void **state)
{
    (void)state;
    static const uint32_t spaces[] = {9,      10,     11,     12,     13,     0x20,
                                      0x85,   0xA0,   0x1680, 0x2000, 0x200A, 0x2028,
                                      0x2029, 0x202F, 0x205F, 0x3000};
    for (size_t i = 0; i < ARRAY_LEN(spaces); i++)
        assert_true(text_is_space(spaces[i]));
    static const uint32_t others[] = {0, 8, 14, 'a', 0x200B, 0x180E, 0xFEFF, 0x110000, UINT32_MAX};
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        assert_false(text_is_space(others[i]));
}

static void knows_word_characters(void **state)
{
    (void)state;
    static const uint32_t words[] = {'a',   'Z',    '0',  '_',    0xE9,   0x301,
                                     0x903, 0x65E5, 0xB2, 0x2160, 0x203F, 0x10400};
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        assert_true(text_is_word(words[i]));
    static const uint32_t others[] = {0, ' ', '-', '.', '$', 0x2014, 0x1F600, 0xE000, 0x110000};
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        assert_false(text_is_word(others[i]));
}

static void names_the_unicode_version(void **state)
{
    (void)state;
    unsigned major = (unsigned)strtoul(text_unicode_version(), NULL, 10);
    assert_in_range(major, 15, 99);
}

/* Runs of ASCII are taken by words of the machine: wherever another letter stands among them. */
static void runs_of_ascii_end_where_they_end(void **state)
{
    (void)state;
    for (int before = 0; before < 20; before++) {
        char text[128], lowered[128], mended[128];
        snprintf(text, sizeof text, "%.*s\xC3\x89%s", before, "ABCDEFGHIJ[@`{KLMNOPQ",
                 "Zz9_ Yy8-Xx7");
        snprintf(lowered, sizeof lowered, "%.*s\xC3\xA9%s", before, "abcdefghij[@`{klmnopq",
                 "zz9_ yy8-xx7");
        CLEANUP(buf_fini) struct buf out = BUF_INIT(1000);
        text_append_lower(&out, text, strlen(text));
        assert_string_equal(buf_str(&out), lowered);
        assert_int_equal(text_length(text, strlen(text)), strlen(text) - 1);
        text[before + 1] = 'Q'; /* the lead byte stands alone */
        snprintf(mended, sizeof mended, "%.*s\xEF\xBF\xBDQ%s", before, "ABCDEFGHIJ[@`{KLMNOPQ",
                 "Zz9_ Yy8-Xx7");
        buf_clear(&out);
        text_append_valid(&out, text, strlen(text));
        assert_string_equal(buf_str(&out), mended);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_utf_8_from_other_bytes),
        cmocka_unit_test(replaces_each_maximal_invalid_part_once),
        cmocka_unit_test(decodes_one_code_point),
        cmocka_unit_test(composes_to_nfc),
        cmocka_unit_test(composes_hangul),
        cmocka_unit_test(folds_compatibility_characters_in_nfkc_only),
        cmocka_unit_test(normalises_text_with_nul_bytes),
        cmocka_unit_test(normalises_endless_marks_in_bounded_time),
        cmocka_unit_test(sorts_as_many_marks_as_any_script_stacks),
        cmocka_unit_test(lowers_each_code_point),
        cmocka_unit_test(keeps_graphemes_together),
        cmocka_unit_test(keeps_emoji_together),
        cmocka_unit_test(steps_over_invalid_bytes),
        cmocka_unit_test(counts_code_points),
        cmocka_unit_test(knows_white_space),
        cmocka_unit_test(knows_word_characters),
        cmocka_unit_test(runs_of_ascii_end_where_they_end),
        cmocka_unit_test(names_the_unicode_version),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
