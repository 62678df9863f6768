/* SPDX-License-Identifier: Apache-2.0 */
/* The parser: flags may stand anywhere, `--` ends them, `--flag=value` and `-k5` are fine. */
#include "agent/cli/cli.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/cli/cli_words.h"
#include "agent/cli/cmd.h"
#include "agent/config/config.h"
#include "agent/config/config_options.h"
#include "agent/config/config_values.h"
#include "base/limits.h"
#include "base/log.h"

#define COUNT_MAX 1000
#define COUNT_DEFAULT 10

struct parser {
    int argc;
    char *const *argv;
    int at;
    struct cli_args *args;
    struct buf *message;
    bool words_only;
};

static bool refuse(struct parser *parser, const char *format, ...) PRINTF_LIKE(2, 3);

static bool refuse(struct parser *parser, const char *format, ...)
{
    char text[512];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    buf_puts(parser->message, text);
    return false;
}

/* The nearest of two words so far; NULL when none is near. */
struct guess {
    const char *text;
    const char *word;
    size_t distance;
};

static void consider(struct guess *guess, const char *word)
{
    size_t distance = config_distance_of(guess->text, word);
    if (distance < guess->distance) {
        guess->distance = distance;
        guess->word = word;
    }
}

static bool refuse_command(struct parser *parser, const char *name)
{
    struct guess guess = {.text = name, .distance = SIZE_MAX};
    for (const struct cli_command *command = cli_commands; command->name; command++) {
        if (cli_command_is_shown(command))
            consider(&guess, command->name);
    }
    if (guess.word)
        return refuse(parser, "there is no command '%s'; did you mean '%s'?", name, guess.word);
    return refuse(parser, "there is no command '%s'; `vectail help` lists them", name);
}

static bool refuse_flag(struct parser *parser, const char *name)
{
    struct guess guess = {.text = name, .distance = SIZE_MAX};
    for (const struct cli_flag *flag = cli_flags; flag->name; flag++) {
        if (flag->sentence && cli_flag_is_of(flag, parser->args->command))
            consider(&guess, flag->name);
    }
    if (guess.word)
        return refuse(parser, "there is no flag --%s; did you mean --%s?", name, guess.word);
    return refuse(parser, "there is no flag --%s", name);
}

static bool read_roles(struct parser *parser, const char *text, unsigned *roles)
{
    static const char choices[] = "capture|work|serve";
    *roles = 0;
    for (const char *at = text; *at;) {
        size_t length = strcspn(at, ",");
        char word[32];
        snprintf(word, sizeof word, "%.*s", (int)length, at);
        int role = length < sizeof word ? config_choice_find(choices, word) : -1;
        if (role < 0)
            return refuse(parser, "--roles: '%s' is not one of capture, work and serve", word);
        *roles |= 1U << role;
        at += length + (at[length] == ',');
    }
    return *roles != 0 || refuse(parser, "--roles needs at least one of capture, work and serve");
}

static bool read_count(struct parser *parser, const char *text, int64_t *count)
{
    char *end = NULL;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (errno || end == text || *end || number < 1 || number > COUNT_MAX)
        return refuse(parser, "-k must be 1..%d, is '%s'", COUNT_MAX, text);
    *count = number;
    return true;
}

static bool read_sample(struct parser *parser, const char *text, int64_t *sample)
{
    char *end = NULL;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (errno || end == text || *end || number < 1)
        return refuse(parser, "--sample must be a number of documents above 0, is '%s'", text);
    *sample = number;
    return true;
}

static bool read_wait(struct parser *parser, const char *text, int64_t *wait_ms)
{
    return (config_value_duration(text, wait_ms) && *wait_ms > 0) ||
           refuse(parser, "--wait must be a duration as 90s, 10m or 2h, is '%s'", text);
}

static bool set_value(struct parser *parser, const struct cli_flag *flag, const char *value)
{
    struct cli_args *args = parser->args;
    args->values[flag->id] = value;
    int choice = flag->choices ? config_choice_find(flag->choices, value) : 0;
    if (choice < 0) {
        CLEANUP(buf_fini) struct buf words = BUF_INIT(KIB);
        config_choices_write(flag->choices, &words);
        return refuse(parser, "--%s must be %s, is '%s'", flag->name, buf_str(&words), value);
    }
    switch (flag->id) {
    case FLAG_CONFIG:
        args->config_file = value;
        return *value || refuse(parser, "--config needs the name of a file");
    case FLAG_OUTPUT:
        args->json = choice == 0;
        return true;
    case FLAG_LOG_FORMAT:
        args->log_format = choice == 0 ? CLI_LOG_JSON : CLI_LOG_TEXT;
        return true;
    case FLAG_LOG_LEVEL:
        args->log_level = choice;
        return true;
    case FLAG_ROLES:
        return read_roles(parser, value, &args->roles);
    case FLAG_COUNT:
        return read_count(parser, value, &args->count);
    case FLAG_SAMPLE:
        return read_sample(parser, value, &args->sample);
    case FLAG_WAIT:
        return read_wait(parser, value, &args->wait_ms);
    default:
        return true;
    }
}

/* `value` is what stood in the same word; NULL: nothing did. */
static bool take_flag(struct parser *parser, const struct cli_flag *flag, const char *value)
{
    parser->args->given |= CLI_FLAG(flag->id);
    if (!flag->value)
        return !value || refuse(parser, "--%s takes no value", flag->name);
    if (!value && flag->value[0] == '[')
        return true;
    if (!value && parser->at < parser->argc)
        value = parser->argv[parser->at++];
    if (!value)
        return refuse(parser, "--%s needs a value: %s", flag->name, flag->value);
    return set_value(parser, flag, value);
}

static bool take_long(struct parser *parser, const char *text)
{
    char name[64];
    size_t length = strcspn(text, "=");
    if (length >= sizeof name)
        return refuse(parser, "there is no flag --%.60s...", text);
    snprintf(name, sizeof name, "%.*s", (int)length, text);
    for (const struct cli_flag *flag = cli_flags; flag->name; flag++) {
        if (strcmp(flag->name, name) == 0)
            return take_flag(parser, flag, text[length] ? text + length + 1 : NULL);
    }
    return refuse_flag(parser, name);
}

static const struct cli_flag *flag_of_letter(char letter)
{
    for (const struct cli_flag *flag = cli_flags; flag->name; flag++) {
        if (flag->letter == letter)
            return flag;
    }
    return NULL;
}

/* "-w", "-k5", "-wk5" */
static bool take_letters(struct parser *parser, const char *letters)
{
    for (; *letters; letters++) {
        const struct cli_flag *flag = flag_of_letter(*letters);
        if (!flag)
            return refuse(parser, "there is no flag -%c", *letters);
        if (flag->value)
            return take_flag(parser, flag, letters[1] ? letters + 1 : NULL);
        if (!take_flag(parser, flag, NULL))
            return false;
    }
    return true;
}

static bool take_word(struct parser *parser, const char *word)
{
    struct cli_args *args = parser->args;
    if (!args->command) {
        args->command = cli_command_find(word);
        return args->command || refuse_command(parser, word);
    }
    if (args->word_count == CLI_MAX_WORDS)
        return refuse(parser, "'%s' is one word too many", word);
    args->words[args->word_count++] = word;
    return true;
}

static bool take(struct parser *parser, const char *text)
{
    if (parser->words_only || text[0] != '-' || !text[1])
        return take_word(parser, text);
    if (strcmp(text, "--") == 0) {
        parser->words_only = true;
        return true;
    }
    return text[1] == '-' ? take_long(parser, text + 2) : take_letters(parser, text + 1);
}

/* What can only be judged once everything is read. */
static bool judge(struct parser *parser)
{
    const struct cli_args *args = parser->args;
    const struct cli_command *command = args->command;
    const uint64_t answers = CLI_FLAG(FLAG_HELP) | CLI_FLAG(FLAG_VERSION) |
                             CLI_FLAG(FLAG_HELP_CONFIG) | CLI_FLAG(FLAG_HELP_CONFIG_MARKDOWN);
    if (args->given & answers)
        return true;
    if (!command)
        return refuse(parser, "a command is needed; `vectail help` lists them");
    for (const struct cli_flag *flag = cli_flags; flag->name; flag++) {
        if (cli_has(args, flag->id) && !cli_flag_is_of(flag, command))
            return refuse(parser, "'%s' has no flag --%s", command->name, flag->name);
    }
    if (args->word_count < command->min_words)
        return refuse(parser, "more words are needed: vectail %s %s", command->name,
                      command->operands);
    if (args->word_count > command->max_words)
        return refuse(parser, "'%s' is one word too many: vectail %s %s",
                      args->words[command->max_words], command->name, command->operands);
    return true;
}

bool cli_parse(int argc, char *const *argv, struct cli_args *args, struct buf *message)
{
    const char *file = getenv("VECTAIL_CONFIG"); /* NOLINT(concurrency-mt-unsafe): no threads yet */
    *args = (struct cli_args){.config_file = file && *file ? file : "vectail.yaml",
                              .log_level = -1,
                              .count = COUNT_DEFAULT,
                              .wait_ms = -1};
    struct parser parser = {.argc = argc, .argv = argv, .at = 1, .args = args, .message = message};
    while (parser.at < argc) {
        if (!take(&parser, argv[parser.at++]))
            return false;
    }
    return judge(&parser);
}

static void set_log(const struct cli_args *args)
{
    bool is_run = args->command && args->command->run == cmd_run;
    bool as_text = args->log_format == CLI_LOG_TEXT ||
                   (args->log_format == CLI_LOG_AUTO && (!is_run || isatty(STDERR_FILENO)));
    enum log_level own = is_run ? LOG_LEVEL_INFO : LOG_LEVEL_WARN;
    log_set_format(as_text ? LOG_FORMAT_TEXT : LOG_FORMAT_JSON);
    log_set_level(args->log_level < 0 ? own : (enum log_level)args->log_level);
}

static int print_help(const struct cli_args *args)
{
    CLEANUP(buf_fini) struct buf text = BUF_INIT(MIB);
    if (cli_has(args, FLAG_HELP_CONFIG_MARKDOWN))
        config_help_markdown(&text);
    else if (cli_has(args, FLAG_HELP_CONFIG))
        config_help(&text);
    else if (args->command)
        cli_help_command(args->command, &text);
    else
        cli_help(&text);
    fputs(buf_str(&text), stdout);
    return CLI_DONE;
}

static int dispatch(const struct cli_args *args)
{
    if (args->given &
        (CLI_FLAG(FLAG_HELP) | CLI_FLAG(FLAG_HELP_CONFIG) | CLI_FLAG(FLAG_HELP_CONFIG_MARKDOWN)))
        return print_help(args);
    if (cli_has(args, FLAG_VERSION))
        return cmd_version(args);
    return args->command->run(args);
}

int cli_main(int argc, char *const *argv)
{
    struct cli_args args;
    CLEANUP(buf_fini) struct buf message = BUF_INIT(4 * KIB);
    if (argc < 2) {
        cli_help(&message);
        fputs(buf_str(&message), stderr);
        return CLI_USAGE;
    }
    if (!cli_parse(argc, argv, &args, &message)) {
        fprintf(stderr, "vectail: %s\n", buf_str(&message));
        return CLI_USAGE;
    }
    set_log(&args);
    int code = dispatch(&args);
    if ((fflush(stdout) != 0 || ferror(stdout)) && code == CLI_DONE) {
        if (errno != EPIPE)
            fprintf(stderr, "vectail: standard output could not be written\n");
        return CLI_FAILED;
    }
    return code;
}
