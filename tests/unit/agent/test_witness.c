/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/capture/capture_witness.h"

#include <string.h>

#include "support/test.h"

static void what_is_noted_reads_back(void **state)
{
    (void)state;
    char words[WORKLOG_NOTE_SIZE];
    struct witness witness = {.state_id = "5be9cf4a", .rev = INT64_MAX, .gen = 3}, read;
    witness_format(&witness, words);
    assert_string_equal(words, "5be9cf4a 9223372036854775807 3");
    assert_true(witness_parse(words, &read));
    assert_string_equal(read.state_id, witness.state_id);
    assert_int_equal(read.rev, witness.rev);
    assert_int_equal(read.gen, witness.gen);
}

/* Whoever else commits under that group has said nothing of the state. */
static void other_words_say_nothing(void **state)
{
    (void)state;
    static const char *const others[] = {
        "",         "5be9",       "5be9 ", "5be9 1",    "5be9 x 1",
        "5be9 1 x", "5be9 1 2 3", " 1 2",  "5be9 -1 2", "5be9 1 99999999999999999999"};
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        struct witness read;
        if (witness_parse(others[i], &read))
            fail_msg("'%s' is taken for a note", others[i]);
    }
}

static void a_state_is_behind_when_less_stands_in_it_or_when_it_is_another(void **state)
{
    (void)state;
    struct witness noted = {.state_id = "a", .rev = 100, .gen = 2};
    struct witness now = noted;
    assert_false(witness_is_ahead(&noted, &now));
    now.rev = 101;
    assert_false(witness_is_ahead(&noted, &now));
    now.gen = 3;
    assert_false(witness_is_ahead(&noted, &now));
    now = (struct witness){.state_id = "a", .rev = 99, .gen = 2}; /* restored */
    assert_true(witness_is_ahead(&noted, &now));
    now = (struct witness){.state_id = "a", .rev = 101, .gen = 1}; /* and written to since */
    assert_true(witness_is_ahead(&noted, &now));
    now = (struct witness){.state_id = "b", .rev = 1, .gen = 0}; /* lost */
    assert_true(witness_is_ahead(&noted, &now));
    now = (struct witness){.state_id = "b", .rev = 200, .gen = 5}; /* of another deployment */
    assert_true(witness_is_ahead(&noted, &now));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_noted_reads_back),
        cmocka_unit_test(other_words_say_nothing),
        cmocka_unit_test(a_state_is_behind_when_less_stands_in_it_or_when_it_is_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
