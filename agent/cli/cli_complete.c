/* SPDX-License-Identifier: Apache-2.0 */
/* Completion scripts, made from the tables of commands and flags. */
#include <string.h>

#include "agent/cli/cli.h"

/* Operands with a bar are choices: "bash|zsh|fish". */
static const char *operand_choices(const struct cli_command *command)
{
    size_t length = strcspn(command->operands, " ");
    return memchr(command->operands, '|', length) ? command->operands : NULL;
}

static void put_choices(const char *choices, struct buf *out)
{
    for (; *choices && *choices != ' '; choices++)
        buf_putc(out, *choices == '|' ? ' ' : *choices);
}

static void put_flag_words(const struct cli_command *command, struct buf *out)
{
    for (const struct cli_flag *flag = cli_flags; flag->name; flag++) {
        if (flag->sentence && cli_flag_is_of(flag, command))
            buf_printf(out, " --%s", flag->name);
    }
}

static void put_command_words(struct buf *out)
{
    for (const struct cli_command *command = cli_commands; command->name; command++) {
        if (command->run)
            buf_printf(out, " %s", command->name);
    }
}

static void bash_flag_values(struct buf *out)
{
    buf_puts(out, "    case \"$previous\" in\n");
    for (const struct cli_flag *flag = cli_flags; flag->name; flag++) {
        if (!flag->value || !flag->sentence)
            continue;
        buf_printf(out, "    --%s", flag->name);
        if (flag->letter)
            buf_printf(out, " | -%c", flag->letter);
        buf_puts(out, ") COMPREPLY=(");
        if (flag->id == FLAG_CONFIG)
            buf_puts(out, "$(compgen -f -- \"$word\")");
        if (flag->choices) {
            buf_puts(out, "$(compgen -W \"");
            put_choices(flag->choices, out);
            buf_puts(out, "\" -- \"$word\")");
        }
        buf_puts(out, "); return ;;\n");
    }
    buf_puts(out, "    esac\n");
}

static void complete_bash(struct buf *out)
{
    buf_puts(out, "# bash completion for vectail; made by `vectail completion bash`\n"
                  "_vectail()\n{\n"
                  "    local word=\"${COMP_WORDS[COMP_CWORD]}\" previous=\"${COMP_WORDS[COMP_CWORD-"
                  "1]}\" command=\"\" i words\n"
                  "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
                  "        case \"${COMP_WORDS[i]}\" in -*) ;; *) command=\"${COMP_WORDS[i]}\"; "
                  "break ;; esac\n"
                  "    done\n");
    bash_flag_values(out);
    buf_puts(out, "    case \"$command\" in\n");
    for (const struct cli_command *command = cli_commands; command->name; command++) {
        if (!command->run)
            continue;
        buf_printf(out, "    %s) words=\"", command->name);
        if (operand_choices(command)) {
            put_choices(operand_choices(command), out);
        } else if (strcmp(command->name, "help") == 0) {
            put_command_words(out);
        }
        put_flag_words(command, out);
        buf_puts(out, "\" ;;\n");
    }
    buf_puts(out, "    *) words=\"");
    put_command_words(out);
    put_flag_words(NULL, out);
    buf_puts(out, "\" ;;\n    esac\n"
                  "    COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n}\n"
                  "complete -F _vectail vectail\n");
}

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

static void zsh_flag(const struct cli_flag *flag, struct buf *out)
{
    buf_puts(out, " \\\n            ");
    if (flag->letter)
        buf_printf(out, "'(-%c --%s)'{-%c,--%s}'[", flag->letter, flag->name, flag->letter,
                   flag->name);
    else
        buf_printf(out, "'--%s[", flag->name);
    put_quoted(flag->sentence, "[]:", out);
    buf_putc(out, ']');
    if (flag->value)
        buf_printf(out, ":%s:", flag->value);
    if (flag->choices) {
        buf_putc(out, '(');
        put_choices(flag->choices, out);
        buf_putc(out, ')');
    } else if (flag->id == FLAG_CONFIG) {
        buf_puts(out, "_files");
    }
    buf_putc(out, '\'');
}

static void zsh_arguments(const struct cli_command *command, struct buf *out)
{
    buf_puts(out, "_arguments");
    for (const struct cli_flag *flag = cli_flags; flag->name; flag++) {
        if (flag->sentence && cli_flag_is_of(flag, command))
            zsh_flag(flag, out);
    }
    if (command && operand_choices(command)) {
        buf_puts(out, " \\\n            '1:word:(");
        put_choices(operand_choices(command), out);
        buf_puts(out, ")'");
    } else if (command && strcmp(command->name, "help") == 0) {
        buf_puts(out, " \\\n            '1:command:(");
        put_command_words(out);
        buf_puts(out, ")'");
    }
}

static void complete_zsh(struct buf *out)
{
    buf_puts(out, "#compdef vectail\n# zsh completion for vectail; made by `vectail completion "
                  "zsh`\n_vectail()\n{\n    local -a commands\n    commands=(\n");
    for (const struct cli_command *command = cli_commands; command->name; command++) {
        if (!command->run)
            continue;
        buf_printf(out, "        '%s:", command->name);
        put_quoted(command->sentence, ":", out);
        buf_puts(out, "'\n");
    }
    buf_puts(out, "    )\n    local context state line\n    typeset -A opt_args\n    ");
    zsh_arguments(NULL, out);
    buf_puts(out, " \\\n            '1:command:->command' '*::word:->words'\n"
                  "    case $state in\n    command) _describe command commands ;;\n"
                  "    words)\n        case $line[1] in\n");
    for (const struct cli_command *command = cli_commands; command->name; command++) {
        if (!command->run)
            continue;
        buf_printf(out, "        %s) ", command->name);
        zsh_arguments(command, out);
        buf_puts(out, " ;;\n");
    }
    buf_puts(out, "        esac ;;\n    esac\n}\n"
                  "if [ \"$funcstack[1]\" = _vectail ]; then\n    _vectail \"$@\"\n"
                  "else\n    compdef _vectail vectail\nfi\n");
}

static void fish_flag(const struct cli_flag *flag, const struct cli_command *command,
                      struct buf *out)
{
    buf_puts(out, "complete -c vectail");
    if (command)
        buf_printf(out, " -n '__fish_seen_subcommand_from %s'", command->name);
    buf_printf(out, " -l %s", flag->name);
    if (flag->letter)
        buf_printf(out, " -s %c", flag->letter);
    if (flag->value)
        buf_puts(out, flag->id == FLAG_CONFIG ? " -r -F" : " -x");
    if (flag->choices) {
        buf_puts(out, " -a '");
        put_choices(flag->choices, out);
        buf_putc(out, '\'');
    }
    buf_puts(out, " -d '");
    put_quoted(flag->sentence, "\\", out);
    buf_puts(out, "'\n");
}

static void complete_fish(struct buf *out)
{
    buf_puts(out, "# fish completion for vectail; made by `vectail completion fish`\n"
                  "complete -c vectail -f\n");
    for (const struct cli_flag *flag = cli_flags; flag->name; flag++) {
        if (flag->sentence && cli_flag_is_common(flag))
            fish_flag(flag, NULL, out);
    }
    for (const struct cli_command *command = cli_commands; command->name; command++) {
        if (!command->run)
            continue;
        buf_printf(out, "complete -c vectail -n __fish_use_subcommand -a %s -d '", command->name);
        put_quoted(command->sentence, "\\", out);
        buf_puts(out, "'\n");
        for (const struct cli_flag *flag = cli_flags; flag->name; flag++) {
            if (flag->sentence && !cli_flag_is_common(flag) && cli_flag_is_of(flag, command))
                fish_flag(flag, command, out);
        }
        if (operand_choices(command)) {
            buf_printf(out, "complete -c vectail -n '__fish_seen_subcommand_from %s' -a '",
                       command->name);
            put_choices(operand_choices(command), out);
            buf_puts(out, "'\n");
        }
    }
}

bool cli_completion(const char *shell, struct buf *out)
{
    if (strcmp(shell, "bash") == 0)
        complete_bash(out);
    else if (strcmp(shell, "zsh") == 0)
        complete_zsh(out);
    else if (strcmp(shell, "fish") == 0)
        complete_fish(out);
    else
        return false;
    return true;
}
