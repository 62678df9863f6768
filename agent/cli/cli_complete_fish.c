/* SPDX-License-Identifier: Apache-2.0 */
/* The completion script for fish, from the tables. */
#include <string.h>

#include "agent/cli/cli_words.h"

/* Operands so far; __vectail_at COMMAND N: that command, and the N-th operand behind it is due. */
static const char functions[] =
    "        case '-*'\n"
    "        case '*'\n"
    "            echo $word\n"
    "        end\n"
    "    end\n"
    "end\n"
    "function __vectail_at\n"
    "    set -l operands (__vectail_operands)\n"
    "    test \"$operands[1]\" = $argv[1] -a (count $operands) = $argv[2]\n"
    "end\n"
    "function __vectail_in\n"
    "    set -l operands (__vectail_operands)\n"
    "    test \"$operands[1]\" = $argv[1]\n"
    "end\n"
    "function __vectail_begins\n"
    "    test (count (__vectail_operands)) = 0\n"
    "end\n"
    "function __vectail_ask\n"
    "    set -l words (commandline -opc)\n"
    "    set -l place\n"
    "    for i in (seq (count $words))\n"
    "        switch $words[$i]\n"
    "        case -c --config\n"
    "            set -l next (math $i + 1)\n"
    "            test $next -le (count $words); and set place -c $words[$next]\n"
    "        case '--config=*'\n"
    "            set place -c (string replace -- --config= '' $words[$i])\n"
    "        end\n"
    "    end\n"
    "    $words[1] __words $argv $place 2>/dev/null\n"
    "end\n"
    "complete -c vectail -f\n";

static void put_quoted(const char *text, struct buf *out)
{
    for (; *text; text++) {
        if (*text == '\'' || *text == '\\')
            buf_putc(out, '\\');
        buf_putc(out, *text);
    }
}

static void put_functions(struct buf *out)
{
    buf_puts(out, "# fish completion for vectail; made by `vectail completion fish`\n"
                  "function __vectail_operands\n"
                  "    set -l skip 0\n"
                  "    for word in (commandline -opc)[2..-1]\n"
                  "        if test $skip = 1\n"
                  "            set skip 0\n"
                  "            continue\n"
                  "        end\n"
                  "        switch $word\n"
                  "        case");
    for (const struct cli_flag *flag = cli_flags; flag->name; flag++) {
        if (!cli_flag_takes_next(flag))
            continue;
        buf_printf(out, " --%s", flag->name);
        if (flag->letter)
            buf_printf(out, " -%c", flag->letter);
    }
    buf_puts(out, "\n            set skip 1\n");
    buf_puts(out, functions);
}

/* " -a '...'", or nothing. `family` is where it stands among the operands, from 0. */
static void put_words(const struct cli_place *place, int family, struct buf *out)
{
    const char *kind = cli_words_kind(place->words);
    if (place->words == WORDS_CHOICES)
        buf_printf(out, " -a '%s'", place->choices);
    else if (place->words == WORDS_LABELS)
        buf_printf(out, " -a '(__vectail_ask labels (__vectail_operands)[%d])'", family + 2);
    else if (kind)
        buf_printf(out, " -a '(__vectail_ask %s)'", kind);
    else if (place->words == WORDS_COMMANDS) {
        buf_puts(out, " -a '");
        cli_put_commands(out);
        buf_putc(out, '\'');
    }
}

static void put_flag(const struct cli_flag *flag, const struct cli_command *command,
                     struct buf *out)
{
    struct cli_place place;
    int family = command ? cli_family_place(command) : -1;
    buf_puts(out, "complete -c vectail");
    if (command)
        buf_printf(out, " -n '__vectail_in %s'", command->name);
    buf_printf(out, " -l %s", flag->name);
    if (flag->letter)
        buf_printf(out, " -s %c", flag->letter);
    if (cli_flag_takes_next(flag)) {
        cli_flag_place(flag, &place);
        buf_puts(out, place.words == WORDS_FILES ? " -r -F" : " -x");
        put_words(&place, family, out);
    }
    buf_puts(out, " -d '");
    put_quoted(flag->sentence, out);
    buf_puts(out, "'\n");
}

static void put_command(const struct cli_command *command, struct buf *out)
{
    struct cli_place place;
    buf_printf(out, "complete -c vectail -n __vectail_begins -a %s -d '", command->name);
    put_quoted(command->sentence, out);
    buf_puts(out, "'\n");
    for (const struct cli_flag *flag = cli_flags; flag->name; flag++) {
        if (flag->sentence && !cli_flag_is_common(flag) && cli_flag_is_of(flag, command))
            put_flag(flag, command, out);
    }
    for (size_t i = 0; cli_operand(command, i, &place); i++) {
        if (place.words == WORDS_ANY)
            continue;
        buf_printf(out, "complete -c vectail -n '__vectail_at %s %zu'", command->name, i + 1);
        put_words(&place, cli_family_place(command), out);
        buf_putc(out, '\n');
    }
}

void cli_complete_fish(struct buf *out)
{
    put_functions(out);
    for (const struct cli_flag *flag = cli_flags; flag->name; flag++) {
        if (flag->sentence && cli_flag_is_common(flag))
            put_flag(flag, NULL, out);
    }
    for (const struct cli_command *command = cli_commands; command->name; command++) {
        if (cli_command_is_shown(command))
            put_command(command, out);
    }
}
