/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "agent/cli/cli_words.h"
#include "base/limits.h"

#define NAME_WIDTH 12
#define FLAG_WIDTH 24

void cli_flag_text(const struct cli_flag *flag, char *out, size_t size)
{
    if (!flag->value)
        snprintf(out, size, "%s", "");
    else if (flag->value[0] == '[')
        snprintf(out, size, "[=%s", flag->value + 1);
    else
        snprintf(out, size, " %s", flag->value);
}

static void put_flag(const struct cli_flag *flag, struct buf *out)
{
    char text[64], value[32];
    char letter[8] = "    ";
    if (flag->letter)
        snprintf(letter, sizeof letter, "-%c, ", flag->letter);
    cli_flag_text(flag, value, sizeof value);
    snprintf(text, sizeof text, "%s--%s%s", letter, flag->name, value);
    buf_printf(out, "  %-*s  %s\n", FLAG_WIDTH, text, flag->sentence);
}

static void put_flags(const struct cli_command *command, bool common, struct buf *out)
{
    for (const struct cli_flag *flag = cli_flags; flag->name; flag++) {
        if (flag->sentence && cli_flag_is_common(flag) == common && cli_flag_is_of(flag, command))
            put_flag(flag, out);
    }
}

static void put_commands(struct buf *out)
{
    for (const struct cli_command *command = cli_commands; command->name; command++) {
        if (cli_command_is_shown(command))
            buf_printf(out, "  %-*s %s\n", NAME_WIDTH, command->name, command->sentence);
    }
}

void cli_help(struct buf *out)
{
    buf_puts(out, "vectail keeps vector collections in step with MongoDB.\n\n"
                  "usage: vectail COMMAND [FAMILY [LABEL]] [flags]\n\ncommands:\n");
    put_commands(out);
    buf_puts(out, "\nflags of every command:\n");
    put_flags(NULL, true, out);
    buf_puts(out, "\nexit codes: 0 done, 1 failed, 2 wrong usage or configuration,\n"
                  "            3 refused by a safety gate or a difference found, 4 out of time\n");
}

void cli_help_command(const struct cli_command *command, struct buf *out)
{
    buf_printf(out, "vectail %s: %s\n\nusage: vectail %s%s%s [flags]\n", command->name,
               command->sentence, command->name, *command->operands ? " " : "", command->operands);
    if (command->more)
        buf_printf(out, "\n%s\n", command->more);
    if (command->flags) {
        buf_puts(out, "\nflags:\n");
        put_flags(command, false, out);
    }
    buf_puts(out, "\nflags of every command:\n");
    put_flags(command, true, out);
}
