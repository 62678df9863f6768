/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/cli/cli.h"

#include <stdlib.h>
#include <string.h>

#include "agent/cli/cli_words.h"
#include "agent/cli/cmd.h"
#include "agent/config/config.h"
#include "base/limits.h"
#include "base/log.h"
#include "support/test.h"

struct outcome {
    struct cli_args args;
    struct buf message;
    bool ok;
};

/* NOLINTBEGIN(bugprone-macro-parentheses) */
#define PARSE(...)                                                                                 \
    parse((char *const[]){(char[]){"vectail"}, __VA_ARGS__, NULL},                                 \
          sizeof((char *const[]){(char[]){"vectail"}, __VA_ARGS__}) / sizeof(char *))
#define W(text) ((char[]){text})
/* NOLINTEND(bugprone-macro-parentheses) */

static struct outcome parse(char *const *argv, size_t argc)
{
    struct outcome outcome = {.message = BUF_INIT(4 * KIB)};
    outcome.ok = cli_parse((int)argc, argv, &outcome.args, &outcome.message);
    return outcome;
}

static void expect_message(struct outcome outcome, const char *part)
{
    assert_false(outcome.ok);
    if (!strstr(buf_str(&outcome.message), part))
        print_error("'%s' is not in '%s'\n", part, buf_str(&outcome.message));
    assert_non_null(strstr(buf_str(&outcome.message), part));
    buf_fini(&outcome.message);
}

static void flags_stand_before_behind_and_between_words(void **state)
{
    (void)state;
    struct outcome outcome =
        PARSE(W("-o"), W("json"), W("query"), W("docs"), W("-k5"), W("a text"), W("--label=v2"),
              W("--config"), W("x.yaml"), W("--log-level=debug"));
    assert_true(outcome.ok);
    assert_string_equal(outcome.args.command->name, "query");
    assert_int_equal(outcome.args.word_count, 2);
    assert_string_equal(outcome.args.words[1], "a text");
    assert_true(outcome.args.json);
    assert_int_equal(outcome.args.count, 5);
    assert_string_equal(cli_value(&outcome.args, FLAG_LABEL), "v2");
    assert_string_equal(outcome.args.config_file, "x.yaml");
    assert_int_equal(outcome.args.log_level, LOG_LEVEL_DEBUG);
}

static void two_dashes_end_the_flags(void **state)
{
    (void)state;
    struct outcome outcome = PARSE(W("query"), W("docs"), W("--"), W("--label"));
    assert_true(outcome.ok);
    assert_string_equal(outcome.args.words[1], "--label");
    assert_null(cli_value(&outcome.args, FLAG_LABEL));
}

/* NOLINTBEGIN(concurrency-mt-unsafe): one thread */
static void the_file_comes_from_the_environment_unless_given(void **state)
{
    (void)state;
    setenv("VECTAIL_CONFIG", "/etc/v.yaml", 1);
    assert_string_equal(PARSE(W("status")).args.config_file, "/etc/v.yaml");
    assert_string_equal(PARSE(W("status"), W("-cb.yaml")).args.config_file, "b.yaml");
    unsetenv("VECTAIL_CONFIG");
    assert_string_equal(PARSE(W("status")).args.config_file, "vectail.yaml");
}
/* NOLINTEND(concurrency-mt-unsafe) */

static void roles_are_read_as_in_the_file(void **state)
{
    (void)state;
    struct outcome outcome = PARSE(W("run"), W("--roles"), W("work,serve"), W("--once"));
    assert_true(outcome.ok);
    assert_int_equal(outcome.args.roles, ROLE_WORK | ROLE_SERVE);
    assert_true(cli_has(&outcome.args, FLAG_ONCE));
    expect_message(PARSE(W("run"), W("--roles=worker")), "'worker' is not one of");
    expect_message(PARSE(W("run"), W("--roles=")), "at least one");
}

static void an_unknown_command_or_flag_names_the_nearest(void **state)
{
    (void)state;
    expect_message(PARSE(W("statsu")), "did you mean 'status'?");
    expect_message(PARSE(W("frobnicate")), "`vectail help`");
    expect_message(PARSE(W("__word")), "`vectail help`"); /* not for people */
    expect_message(PARSE(W("status"), W("--wathc")), "did you mean --watch?");
    expect_message(PARSE(W("status"), W("-z")), "no flag -z");
}

static void a_flag_of_another_command_is_refused(void **state)
{
    (void)state;
    expect_message(PARSE(W("status"), W("--once")), "'status' has no flag --once");
    expect_message(PARSE(W("run"), W("-w")), "'run' has no flag --watch");
}

static void values_are_checked(void **state)
{
    (void)state;
    expect_message(PARSE(W("status"), W("-o"), W("yaml")), "--output must be json or text");
    expect_message(PARSE(W("status"), W("-o")), "--output needs a value");
    expect_message(PARSE(W("query"), W("a"), W("b"), W("-k"), W("0")), "1..1000");
    expect_message(PARSE(W("plan"), W("a"), W("--sample=0")), "above 0, is '0'");
    expect_message(PARSE(W("plan"), W("a"), W("--sample=5k")), "above 0, is '5k'");
    expect_message(PARSE(W("query"), W("a"), W("b"), W("-k"), W("5x")), "1..1000");
    expect_message(PARSE(W("run"), W("--once=yes")), "takes no value");
}

static void a_time_to_wait_stands_behind_its_equals_sign_only(void **state)
{
    (void)state;
    struct outcome outcome = PARSE(W("resume"), W("--wait"), W("docs"));
    assert_true(outcome.ok);
    assert_true(cli_has(&outcome.args, FLAG_WAIT));
    assert_int_equal(outcome.args.wait_ms, -1);
    assert_string_equal(outcome.args.words[0], "docs");
    outcome = PARSE(W("resume"), W("docs"), W("--wait=2m"));
    assert_true(outcome.ok);
    assert_int_equal(outcome.args.wait_ms, 120000);
    expect_message(PARSE(W("resume"), W("docs"), W("--wait=long")), "a duration as 90s");
    expect_message(PARSE(W("resume"), W("docs"), W("--wait=0")), "a duration as 90s");
    outcome = PARSE(W("resume"), W("docs"));
    assert_false(cli_has(&outcome.args, FLAG_WAIT));
}

static void the_number_of_words_is_checked(void **state)
{
    (void)state;
    expect_message(PARSE(W("query"), W("docs")), "query FAMILY TEXT");
    expect_message(PARSE(W("run"), W("docs")), "one word too many");
    expect_message(PARSE(W("query"), W("a"), W("b"), W("c"), W("d")), "one word too many");
    expect_message(PARSE(W("-o"), W("json")), "a command is needed");
}

static void help_wins_over_missing_words(void **state)
{
    (void)state;
    struct outcome outcome = PARSE(W("query"), W("-h"));
    assert_true(outcome.ok);
    assert_true(cli_has(&outcome.args, FLAG_HELP));
    outcome = PARSE(W("--help-config"));
    assert_true(outcome.ok && cli_has(&outcome.args, FLAG_HELP_CONFIG));
}

static void help_names_every_command_and_every_shown_flag(void **state)
{
    (void)state;
    CLEANUP(buf_fini) struct buf all = BUF_INIT(64 * KIB);
    cli_help(&all);
    for (const struct cli_command *command = cli_commands; command->name; command++)
        assert_true(cli_command_is_shown(command) ==
                    (strstr(buf_str(&all), command->name) != NULL));
    for (const struct cli_flag *flag = cli_flags; flag->name; flag++)
        for (const struct cli_command *command = cli_commands; command->name; command++) {
            CLEANUP(buf_fini) struct buf one = BUF_INIT(64 * KIB);
            char text[80];
            cli_help_command(command, &one);
            char value[32];
            cli_flag_text(flag, value, sizeof value);
            snprintf(text, sizeof text, "--%s%s ", flag->name, value);
            bool shown = strstr(buf_str(&one), text) != NULL;
            assert_true(shown == (flag->sentence && cli_flag_is_of(flag, command)));
        }
}

static void expect_place(const char *command, size_t index, enum cli_words words,
                         const char *choices)
{
    struct cli_place place;
    assert_true(cli_operand(cli_command_find(command), index, &place));
    assert_int_equal(place.words, words);
    assert_string_equal(place.choices, choices);
}

static void each_place_of_a_command_knows_its_words(void **state)
{
    (void)state;
    struct cli_place place;
    expect_place("create", 0, WORDS_FAMILIES, "");
    expect_place("create", 1, WORDS_LABELS, "");
    assert_false(cli_operand(cli_command_find("create"), 2, &place)); /* --embed NAME follows */
    expect_place("status", 0, WORDS_FAMILIES, "");
    expect_place("pause", 1, WORDS_LABELS, "");
    expect_place("quarantine", 0, WORDS_CHOICES, "list show retry skip");
    expect_place("quarantine", 1, WORDS_FAMILIES, "");
    expect_place("query", 1, WORDS_ANY, "");
    expect_place("help", 0, WORDS_COMMANDS, "");
    assert_false(cli_operand(cli_command_find("version"), 0, &place));
    assert_int_equal(cli_family_place(cli_command_find("quarantine")), 1);
    assert_int_equal(cli_family_place(cli_command_find("create")), 0);
    assert_int_equal(cli_family_place(cli_command_find("check")), -1);
}

static void completion_knows_every_command_that_is_built(void **state)
{
    (void)state;
    static const char *const shells[] = {"bash", "zsh", "fish"};
    for (size_t i = 0; i < ARRAY_LEN(shells); i++) {
        CLEANUP(buf_fini) struct buf script = BUF_INIT(256 * KIB);
        assert_true(cli_completion(shells[i], &script));
        assert_false(script.overflow);
        for (const struct cli_command *command = cli_commands; command->name; command++)
            assert_true(!command->run || strstr(buf_str(&script), command->name));
        assert_non_null(strstr(buf_str(&script), "__words"));
        assert_null(strstr(buf_str(&script), "help-config-markdown"));
    }
    CLEANUP(buf_fini) struct buf none = BUF_INIT(KIB);
    assert_false(cli_completion("tcsh", &none));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flags_stand_before_behind_and_between_words),
        cmocka_unit_test(two_dashes_end_the_flags),
        cmocka_unit_test(the_file_comes_from_the_environment_unless_given),
        cmocka_unit_test(roles_are_read_as_in_the_file),
        cmocka_unit_test(an_unknown_command_or_flag_names_the_nearest),
        cmocka_unit_test(a_flag_of_another_command_is_refused),
        cmocka_unit_test(values_are_checked),
        cmocka_unit_test(a_time_to_wait_stands_behind_its_equals_sign_only),
        cmocka_unit_test(the_number_of_words_is_checked),
        cmocka_unit_test(help_wins_over_missing_words),
        cmocka_unit_test(help_names_every_command_and_every_shown_flag),
        cmocka_unit_test(each_place_of_a_command_knows_its_words),
        cmocka_unit_test(completion_knows_every_command_that_is_built),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
