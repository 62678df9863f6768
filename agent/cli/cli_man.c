/* SPDX-License-Identifier: Apache-2.0 */
/* The manual page, from the tables of commands and flags: docs/man/vectail.1. man(7) macros. */
#include <string.h>

#include "agent/cli/cli_words.h"

#define DATE "2026-11-26"
#define LINE_WIDTH 60

static const char head[] =
    ".\\\" SPDX-License-Identifier: Apache-2.0\n"
    ".\\\" Made by the target `docs` from agent/cli/cli_table.c: change it there.\n"
    ".TH VECTAIL 1 " DATE " vectail \"User Commands\"\n"
    ".SH NAME\n"
    "vectail \\- keeps vector collections in step with MongoDB\n"
    ".SH SYNOPSIS\n"
    ".B vectail\n"
    ".I COMMAND\n"
    ".RI [ FAMILY\n"
    ".RI [ LABEL ]]\n"
    ".RI [ flags ]\n"
    ".SH DESCRIPTION\n"
    "vectail follows the change streams of MongoDB collections, embeds their\n"
    "documents, and writes the vectors into versions of a collection in a vector\n"
    "store.\n"
    "A\n"
    ".I family\n"
    "is one source collection and what is built from it; a\n"
    ".I version\n"
    "of it, named by its\n"
    ".IR label ,\n"
    "is one collection in the store.\n"
    "Readers are led to the active version by an alias document.\n"
    ".PP\n"
    "Commands other than\n"
    ".B run\n"
    "need no running agent to answer: they read what is written down in MongoDB,\n"
    "and write there what an agent is asked for, which carries it out within\n"
    "seconds.\n"
    "Flags may stand anywhere;\n"
    ".B \\-\\-\n"
    "ends them.\n";

static const char tail[] =
    ".SH ENVIRONMENT\n"
    ".TP\n"
    ".B VECTAIL_CONFIG\n"
    "The configuration, where\n"
    ".B \\-c\n"
    "does not name it.\n"
    ".TP\n"
    ".B NO_COLOR\n"
    "Tables on a terminal have no colours when it is set.\n"
    ".PP\n"
    "The configuration may name others, as ${NAME} or ${NAME:\\-default}.\n"
    ".SH FILES\n"
    ".TP\n"
    ".I vectail.yaml\n"
    "The configuration, where nothing else is said.\n"
    ".B vectail \\-\\-help\\-config\n"
    "explains every key.\n"
    ".SH EXIT STATUS\n"
    ".TP\n"
    ".B 0\n"
    "Done.\n"
    ".TP\n"
    ".B 1\n"
    "Failed.\n"
    ".TP\n"
    ".B 2\n"
    "Wrong usage or configuration.\n"
    ".TP\n"
    ".B 3\n"
    "Refused by a safety gate, a check found a difference, or a newer release has\n"
    "written the state.\n"
    ".TP\n"
    ".B 4\n"
    ".B \\-\\-wait\n"
    "ran out of time.\n"
    ".SH EXAMPLES\n"
    "A new model, without a pause for readers:\n"
    ".PP\n"
    ".nf\n"
    ".RS\n"
    "vectail plan articles \\-\\-embed small\n"
    "vectail create articles v2 \\-\\-embed small \\-\\-wait\n"
    "vectail verify articles v2\n"
    "vectail cutover articles v2 \\-\\-wait\n"
    "vectail rollback articles \\-\\-wait\n"
    ".RE\n"
    ".fi\n";

static size_t column(const struct buf *out)
{
    size_t at = out->size;
    while (at > 0 && out->data[at - 1] != '\n')
        at--;
    return out->size - at;
}

static void put_letter(char letter, struct buf *out)
{
    switch (letter) {
    case '\\':
        buf_puts(out, "\\e");
        break;
    case '-':
        buf_puts(out, "\\-");
        break;
    case '~':
        buf_puts(out, "\\(ti");
        break;
    case '^':
        buf_puts(out, "\\(ha");
        break;
    default:
        buf_putc(out, letter);
    }
}

/* Running text: `x` becomes bold, lines stay short, and nothing is taken for a request. */
static void put_text(const char *text, size_t size, struct buf *out)
{
    bool bold = false;
    if (size > 0 && (text[0] == '.' || text[0] == '\''))
        buf_puts(out, "\\&");
    for (size_t i = 0; i < size; i++) {
        bool breaks = text[i] == ' ' && column(out) > LINE_WIDTH && i + 1 < size &&
                      !strchr(".' ", text[i + 1]);
        if (text[i] == '`') {
            bold = !bold;
            buf_puts(out, bold ? "\\fB" : "\\fR");
        } else {
            put_letter(breaks ? '\n' : text[i], out);
        }
    }
    if (bold)
        buf_puts(out, "\\fR");
}

static void put_string(const char *text, struct buf *out)
{
    put_text(text, strlen(text), out);
}

/* The first letter as a capital, unless it is a word of the command line, and a full stop. */
static void put_sentence(const char *text, struct buf *out)
{
    char first[2] = {text[0], '\0'};
    size_t word = strcspn(text, " ");
    if (word > 0 && text[word - 1] != ':' && first[0] >= 'a' && first[0] <= 'z')
        first[0] = (char)(first[0] - 'a' + 'A');
    put_string(first, out);
    put_string(text + 1, out);
    size_t size = strlen(text);
    buf_puts(out, size > 0 && text[size - 1] == '.' ? "\n" : ".\n");
}

/* Filled; a line that begins as "list:" stands on its own. */
static void put_paragraph(const char *text, struct buf *out)
{
    while (*text) {
        size_t length = strcspn(text, "\n"), blanks = strspn(text, " ");
        size_t word = strcspn(text, " \n");
        if (blanks == 0 && word > 1 && text[word - 1] == ':')
            buf_puts(out, ".br\n");
        put_text(text + blanks, length - blanks, out);
        buf_putc(out, '\n');
        text += length + (text[length] == '\n');
    }
}

static void put_flag(const struct cli_flag *flag, struct buf *out)
{
    char value[32];
    cli_flag_text(flag, value, sizeof value);
    buf_puts(out, ".TP\n");
    if (flag->letter)
        buf_printf(out, "\\fB\\-%c\\fR, ", flag->letter);
    buf_puts(out, "\\fB");
    put_string("--", out);
    put_string(flag->name, out);
    buf_puts(out, "\\fR");
    if (*value) {
        buf_puts(out, "\\fI");
        put_string(value, out);
        buf_puts(out, "\\fR");
    }
    buf_putc(out, '\n');
    put_sentence(flag->sentence, out);
}

static void put_command(const struct cli_command *command, struct buf *out)
{
    buf_printf(out, ".SS vectail %s", command->name);
    if (*command->operands)
        buf_putc(out, ' ');
    put_string(command->operands, out);
    buf_putc(out, '\n');
    put_sentence(command->sentence, out);
    if (command->more)
        put_paragraph(command->more, out);
    for (const struct cli_flag *flag = cli_flags; flag->name; flag++) {
        if (flag->sentence && !cli_flag_is_common(flag) && cli_flag_is_of(flag, command))
            put_flag(flag, out);
    }
}

void cli_man(struct buf *out)
{
    buf_puts(out, head);
    buf_puts(out, ".SH COMMANDS\n");
    for (const struct cli_command *command = cli_commands; command->name; command++) {
        if (cli_command_is_shown(command))
            put_command(command, out);
    }
    buf_puts(out, ".SH OPTIONS\nThese are taken by every command.\n");
    for (const struct cli_flag *flag = cli_flags; flag->name; flag++) {
        if (flag->sentence && cli_flag_is_common(flag))
            put_flag(flag, out);
    }
    buf_puts(out, tail);
}
