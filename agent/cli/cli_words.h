/* SPDX-License-Identifier: Apache-2.0 */
/* What may stand in a place of the command line, for the completion scripts. From the tables. */
#pragma once

#include "agent/cli/cli.h"

/* Which words a place takes. Those of the configuration and of the registry the scripts ask for, with
 * the command that is not shown: `vectail __words KIND [FAMILY]`. */
enum cli_words {
    WORDS_ANY, /* nothing is known of them */
    WORDS_CHOICES,
    WORDS_COMMANDS,
    WORDS_FILES,
    WORDS_FAMILIES,
    WORDS_LABELS, /* of the family that stands before */
    WORDS_EMBEDDERS,
    WORDS_STORES,
};

struct cli_place {
    enum cli_words words;
    char name[32];    /* "FAMILY" */
    char choices[64]; /* "list show": of WORDS_CHOICES */
};

/* Operand `index` (from 0) of a command; false when it has none there. */
bool cli_operand(const struct cli_command *command, size_t index, struct cli_place *out) MUST_USE;
/* Where the family stands among a command's operands, from 0; -1: it takes none. */
int cli_family_place(const struct cli_command *command);
/* What follows a flag; WORDS_ANY with an empty name when nothing does. */
void cli_flag_place(const struct cli_flag *flag, struct cli_place *out);
/* "families" and so on; NULL for words that are not asked for. */
const char *cli_words_kind(enum cli_words words);
/* The word behind the flag, as in `-o json`, and not only behind a `=`. */
bool cli_flag_takes_next(const struct cli_flag *flag);
bool cli_command_is_shown(const struct cli_command *command);

void cli_put_commands(struct buf *out); /* each with a blank before it */
void cli_put_flags(const struct cli_command *command, struct buf *out);

/* cli_complete_bash.c and so on */
void cli_complete_bash(struct buf *out);
void cli_complete_zsh(struct buf *out);
void cli_complete_fish(struct buf *out);
