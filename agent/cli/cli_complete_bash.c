/* SPDX-License-Identifier: Apache-2.0 */
/* The completion script for bash, from the tables. */
#include "agent/cli/cli_words.h"

static const char head[] =
    "# bash completion for vectail; made by `vectail completion bash`\n"
    "_vectail_ask()\n"
    "{\n"
    "    \"${COMP_WORDS[0]}\" __words \"$@\" ${config:+-c \"${config/#\\~/$HOME}\"} 2>/dev/null\n"
    "}\n"
    "_vectail()\n"
    "{\n"
    "    local word=\"${COMP_WORDS[COMP_CWORD]}\" previous=\"${COMP_WORDS[COMP_CWORD-1]}\"\n"
    "    local config=\"\" family=\"\" words=\"\" flags=\"\" i\n"
    "    local -a operands=()\n"
    "    if [ \"$word\" = = ]; then\n"
    "        word=\"\"\n"
    "    elif [ \"$previous\" = = ] && ((COMP_CWORD > 1)); then\n"
    "        previous=\"${COMP_WORDS[COMP_CWORD-2]}\"\n"
    "    fi\n"
    "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
    "        [ \"${COMP_WORDS[i+1]}\" = = ] && ((i + 2 < COMP_CWORD)) && set -- 2 || set -- 1\n"
    "        case \"${COMP_WORDS[i]}\" in\n"
    "        -c | --config) ((i += $1)); config=\"${COMP_WORDS[i]}\" ;;\n";

/* Flags whose value is a word of its own: it is no operand. */
static void put_skipped(struct buf *out)
{
    const char *before = "        ";
    for (const struct cli_flag *flag = cli_flags; flag->name; flag++) {
        if (!cli_flag_takes_next(flag) || flag->id == FLAG_CONFIG)
            continue;
        buf_printf(out, "%s--%s", before, flag->name);
        before = " | ";
        if (flag->letter)
            buf_printf(out, " | -%c", flag->letter);
    }
    buf_puts(out, ") ((i += $1)) ;;\n"
                  "        -* | =) ;;\n"
                  "        *) operands+=(\"${COMP_WORDS[i]}\") ;;\n"
                  "        esac\n"
                  "    done\n");
}

static void put_family(struct buf *out)
{
    buf_puts(out, "    case \"${operands[0]}\" in\n");
    for (const struct cli_command *command = cli_commands; command->name; command++) {
        int place = cli_family_place(command);
        if (cli_command_is_shown(command) && place > 0)
            buf_printf(out, "    %s) family=\"${operands[%d]}\" ;;\n", command->name, place + 1);
    }
    buf_puts(out, "    *) family=\"${operands[1]}\" ;;\n    esac\n");
}

static void put_words(const struct cli_place *place, struct buf *out)
{
    const char *kind = cli_words_kind(place->words);
    if (place->words == WORDS_CHOICES)
        buf_printf(out, "words=\"%s\"", place->choices);
    else if (place->words == WORDS_LABELS)
        buf_puts(out, "words=\"$(_vectail_ask labels \"$family\")\"");
    else if (kind)
        buf_printf(out, "words=\"$(_vectail_ask %s)\"", kind);
    else if (place->words == WORDS_COMMANDS) {
        buf_puts(out, "words=\"");
        cli_put_commands(out);
        buf_putc(out, '"');
    } else {
        buf_puts(out, "words=\"\"");
    }
}

static void put_flag_values(struct buf *out)
{
    buf_puts(out, "    case \"$previous\" in\n");
    for (const struct cli_flag *flag = cli_flags; flag->name; flag++) {
        struct cli_place place;
        if (!cli_flag_takes_next(flag) || !flag->sentence)
            continue;
        cli_flag_place(flag, &place);
        buf_printf(out, "    --%s", flag->name);
        if (flag->letter)
            buf_printf(out, " | -%c", flag->letter);
        buf_puts(out, ") ");
        if (place.words == WORDS_FILES) {
            buf_puts(out, "COMPREPLY=($(compgen -f -- \"$word\"))");
        } else {
            put_words(&place, out);
            buf_puts(out, "; COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))");
        }
        buf_puts(out, "; return ;;\n");
    }
    buf_puts(out, "    esac\n");
}

static void put_command(const struct cli_command *command, struct buf *out)
{
    struct cli_place place;
    buf_printf(out, "    %s)\n        case ${#operands[@]} in\n", command->name);
    for (size_t i = 0; cli_operand(command, i, &place); i++) {
        if (place.words == WORDS_ANY)
            continue;
        buf_printf(out, "        %zu) ", i + 1);
        put_words(&place, out);
        buf_puts(out, " ;;\n");
    }
    buf_puts(out, "        esac\n        flags=\"");
    cli_put_flags(command, out);
    buf_puts(out, "\" ;;\n");
}

void cli_complete_bash(struct buf *out)
{
    buf_puts(out, head);
    put_skipped(out);
    put_family(out);
    put_flag_values(out);
    buf_puts(out, "    case \"${operands[0]}\" in\n");
    for (const struct cli_command *command = cli_commands; command->name; command++) {
        if (cli_command_is_shown(command))
            put_command(command, out);
    }
    buf_puts(out, "    *) words=\"");
    cli_put_commands(out);
    buf_puts(out, "\"; flags=\"");
    cli_put_flags(NULL, out);
    buf_puts(out, "\" ;;\n    esac\n"
                  "    case \"$words:$word\" in :* | *:-*) words+=\"$flags\" ;; esac\n"
                  "    COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n}\n"
                  "complete -F _vectail vectail\n");
}
