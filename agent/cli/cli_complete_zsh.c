/* SPDX-License-Identifier: Apache-2.0 */
/* The completion script for zsh, from the tables. */
#include <string.h>

#include "agent/cli/cli_words.h"

static const char head[] = "#compdef vectail\n"
                           "# zsh completion for vectail; made by `vectail completion zsh`\n"
                           "_vectail_ask()\n"
                           "{\n"
                           "    local -a found place\n"
                           "    local -i i\n"
                           "    for ((i = 2; i < $#whole; i++)); do\n"
                           "        case $whole[i] in\n"
                           "        -c | --config) place=(-c ${~whole[i+1]}) ;;\n"
                           "        --config=*) place=(-c ${~whole[i]#--config=}) ;;\n"
                           "        esac\n"
                           "    done\n"
                           "    found=(${(f)\"$(vectail __words \"$@\" $place 2>/dev/null)\"})\n"
                           "    compadd -a found\n"
                           "}\n"
                           "_vectail()\n"
                           "{\n"
                           "    local -a commands whole\n"
                           "    whole=(\"$words[@]\")\n"
                           "    commands=(\n";

/* Inside '...': a quote ends it. Inside _arguments, brackets and colons mean something. */
static void put_quoted(const char *text, const char *escaped, struct buf *out)
{
    for (; *text; text++) {
        if (*text == '\'')
            buf_puts(out, "'\\''");
        else if (strchr(escaped, *text))
            buf_printf(out, "\\%c", *text);
        else
            buf_putc(out, *text);
    }
}

/* ":FAMILY:{_vectail_ask families}"; `family` is where it stands among the operands, from 0. */
static void put_place(const struct cli_place *place, int family, struct buf *out)
{
    const char *kind = cli_words_kind(place->words);
    buf_putc(out, ':');
    put_quoted(place->name, "[]:", out);
    buf_putc(out, ':');
    if (place->words == WORDS_CHOICES)
        buf_printf(out, "(%s)", place->choices);
    else if (place->words == WORDS_FILES)
        buf_puts(out, "_files");
    else if (place->words == WORDS_LABELS)
        buf_printf(out, "{_vectail_ask labels \"$line[%d]\"}", family + 1);
    else if (kind)
        buf_printf(out, "{_vectail_ask %s}", kind);
    else if (place->words == WORDS_COMMANDS) {
        buf_putc(out, '(');
        cli_put_commands(out);
        buf_putc(out, ')');
    }
}

static void put_flag(const struct cli_flag *flag, int family, struct buf *out)
{
    struct cli_place place;
    bool optional = flag->value && !cli_flag_takes_next(flag);
    buf_puts(out, " \\\n            ");
    if (flag->letter)
        buf_printf(out, "'(-%c --%s)'{-%c,--%s}'[", flag->letter, flag->name, flag->letter,
                   flag->name);
    else
        buf_printf(out, "'--%s%s[", flag->name, optional ? "=-" : "");
    put_quoted(flag->sentence, "[]:", out);
    buf_putc(out, ']');
    if (optional)
        buf_putc(out, ':'); /* it may be left out */
    if (flag->value) {
        cli_flag_place(flag, &place);
        put_place(&place, family, out);
    }
    buf_putc(out, '\'');
}

static void put_arguments(const struct cli_command *command, struct buf *out)
{
    struct cli_place place;
    int family = command ? cli_family_place(command) : -1;
    buf_puts(out, "_arguments");
    for (const struct cli_flag *flag = cli_flags; flag->name; flag++) {
        if (flag->sentence && cli_flag_is_of(flag, command))
            put_flag(flag, family, out);
    }
    for (size_t i = 0; command && cli_operand(command, i, &place); i++) {
        buf_printf(out, " \\\n            '%zu", i + 1);
        put_place(&place, family, out);
        buf_putc(out, '\'');
    }
}

void cli_complete_zsh(struct buf *out)
{
    buf_puts(out, head);
    for (const struct cli_command *command = cli_commands; command->name; command++) {
        if (!cli_command_is_shown(command))
            continue;
        buf_printf(out, "        '%s:", command->name);
        put_quoted(command->sentence, ":", out);
        buf_puts(out, "'\n");
    }
    buf_puts(out, "    )\n    local context state line\n    typeset -A opt_args\n    ");
    put_arguments(NULL, out);
    buf_puts(out, " \\\n            '(-)1:command:->command' '(-)*::word:->words'\n"
                  "    case $state in\n    command) _describe command commands ;;\n"
                  "    words)\n        case $line[1] in\n");
    for (const struct cli_command *command = cli_commands; command->name; command++) {
        if (!cli_command_is_shown(command))
            continue;
        buf_printf(out, "        %s) ", command->name);
        put_arguments(command, out);
        buf_puts(out, " ;;\n");
    }
    buf_puts(out, "        esac ;;\n    esac\n}\n"
                  "if [ \"$funcstack[1]\" = _vectail ]; then\n    _vectail \"$@\"\n"
                  "else\n    compdef _vectail vectail\nfi\n");
}
