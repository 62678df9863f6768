/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "agent/cli/cmd.h"
#include "base/limits.h"
#include "support/test.h"

static const struct cmd_screen plain = {0};

static void columns_are_as_wide_as_their_widest_cell(void **state)
{
    (void)state;
    CLEANUP(cmd_table_freep) struct cmd_table *table = cmd_table_new(3);
    CLEANUP(buf_fini) struct buf out = BUF_INIT(KIB);
    cmd_table_put(table, "NAME", TONE_HEAD);
    cmd_table_put_right(table, "N", TONE_HEAD);
    cmd_table_put(table, "WHY", TONE_HEAD);
    cmd_table_put(table, "höchst", TONE_PLAIN);
    cmd_table_put_right(table, "1000", TONE_PLAIN);
    cmd_table_put(table, "", TONE_PLAIN);
    cmd_table_write(table, &plain, &out);
    assert_string_equal(buf_str(&out), "NAME       N  WHY\nhöchst  1000\n");
}

static void a_line_is_cut_at_the_edge_of_the_terminal(void **state)
{
    (void)state;
    CLEANUP(cmd_table_freep) struct cmd_table *table = cmd_table_new(2);
    CLEANUP(buf_fini) struct buf out = BUF_INIT(KIB);
    struct cmd_screen narrow = {.width = 8};
    cmd_table_put(table, "abc", TONE_PLAIN);
    cmd_table_put(table, "äöüdefgh", TONE_PLAIN);
    cmd_table_write(table, &narrow, &out);
    assert_string_equal(buf_str(&out), "abc  äöü\n");
}

static void what_a_document_says_cannot_steer_the_terminal(void **state)
{
    (void)state;
    CLEANUP(cmd_table_freep) struct cmd_table *table = cmd_table_new(1);
    CLEANUP(buf_fini) struct buf out = BUF_INIT(KIB);
    cmd_table_put(table,
                  "a\033[31mb\nc\xc2\x9b"
                  "d\xff",
                  TONE_PLAIN);
    cmd_table_write(table, &plain, &out);
    assert_string_equal(buf_str(&out), "a [31mb c d\xef\xbf\xbd\n");
}

static void colours_are_only_for_screens_that_want_them(void **state)
{
    (void)state;
    CLEANUP(cmd_table_freep) struct cmd_table *table = cmd_table_new(1);
    CLEANUP(buf_fini) struct buf out = BUF_INIT(KIB);
    struct cmd_screen colour = {.colour = true};
    cmd_table_put(table, "bad", TONE_BAD);
    cmd_table_write(table, &plain, &out);
    cmd_table_write(table, &colour, &out);
    assert_string_equal(buf_str(&out), "bad\n\033[31mbad\033[0m\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_are_as_wide_as_their_widest_cell),
        cmocka_unit_test(a_line_is_cut_at_the_edge_of_the_terminal),
        cmocka_unit_test(what_a_document_says_cannot_steer_the_terminal),
        cmocka_unit_test(colours_are_only_for_screens_that_want_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
