/* SPDX-License-Identifier: Apache-2.0 */
/* The command line: one table of commands and one of flags make the parser, the help and the
 * completion scripts.
 *
 * Tables are constant. Parsed arguments borrow from argv.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"

enum cli_exit {
    CLI_DONE = 0,
    CLI_FAILED = 1,
    CLI_USAGE = 2,   /* wrong usage or configuration */
    CLI_REFUSED = 3, /* by a safety gate, or a check found a difference */
    CLI_TIMEOUT = 4, /* --wait ran out of time */
};

enum cli_log_format { CLI_LOG_AUTO, CLI_LOG_JSON, CLI_LOG_TEXT };

enum cli_flag_id {
    FLAG_CONFIG,
    FLAG_OUTPUT,
    FLAG_LOG_FORMAT,
    FLAG_LOG_LEVEL,
    FLAG_HELP,
    FLAG_VERSION,
    FLAG_HELP_CONFIG,
    FLAG_HELP_CONFIG_MARKDOWN,
    FLAG_ROLES,
    FLAG_ONCE,
    FLAG_CONNECT,
    FLAG_WATCH,
    FLAG_COUNT,
    FLAG_LABEL,
    FLAG_WHERE,
    FLAG_CONFIRM,
    FLAG_WAIT,
    FLAG_KEY,
    FLAG_EMBED,
    FLAG_STORE,
    FLAG_FROM,
    FLAG_NO_REUSE,
    FLAG_FORCE,
    FLAG_REASON,
    FLAG_DRY_RUN,
    FLAG_TARGET,
    FLAG_DROP_COLLECTIONS,
    FLAG_SAMPLE,
    FLAG_REPAIR,
    FLAG_RATE,
    FLAG_RESUME,
    FLAG_SEED,
    FLAG_EMPTY_LIVE,
    FLAG_TOTAL,
};

struct cli_flag {
    enum cli_flag_id id;
    const char *name;
    char letter;          /* 0: none */
    const char *value;    /* what follows it, "FILE"; "[FILE]": behind a `=` only; NULL: nothing */
    const char *choices;  /* "json|text"; NULL: anything */
    const char *sentence; /* NULL: not shown */
};

#define CLI_MAX_WORDS 3

struct cli_args {
    const struct cli_command *command; /* NULL: none was given */
    const char *words[CLI_MAX_WORDS];  /* behind the command; NULL where there is none */
    size_t word_count;
    const char *config_file;
    bool json;
    enum cli_log_format log_format;
    int log_level;   /* of enum log_level; -1: the command's own */
    unsigned roles;  /* of enum config_role; 0: as configured */
    int64_t count;   /* of FLAG_COUNT */
    int64_t wait_ms; /* of FLAG_WAIT; -1: no time is said */
    int64_t sample;  /* of FLAG_SAMPLE; 0: it was not given */
    uint64_t given;  /* CLI_FLAG() of all that were */
    const char *values[FLAG_TOTAL];
};

#define CLI_FLAG(id) (UINT64_C(1) << (id))

static inline bool cli_has(const struct cli_args *args, enum cli_flag_id id)
{
    return (args->given & CLI_FLAG(id)) != 0;
}

/* What followed the flag; NULL when it was not given, or takes nothing. */
static inline const char *cli_value(const struct cli_args *args, enum cli_flag_id id)
{
    return args->values[id];
}

struct cli_command {
    const char *name;
    const char *operands; /* "FAMILY [LABEL]" */
    size_t min_words;
    size_t max_words;
    uint64_t flags;                          /* CLI_FLAG() of those that are its own */
    int (*run)(const struct cli_args *args); /* an exit code */
    const char *sentence;                    /* NULL: not shown */
    const char *more;                        /* NULL: nothing */
};

/* cli_table.c: both end with an entry without a name. */
extern const struct cli_command cli_commands[];
extern const struct cli_flag cli_flags[];
const struct cli_command *cli_command_find(const char *name);
/* Taken by every command. */
bool cli_flag_is_common(const struct cli_flag *flag);
bool cli_flag_is_of(const struct cli_flag *flag, const struct cli_command *command);

/* False: *message says what is wrong, in one line without a line end. */
bool cli_parse(int argc, char *const *argv, struct cli_args *args, struct buf *message) MUST_USE;

/* Parses, sets up the log and runs the command. An exit code. */
int cli_main(int argc, char *const *argv);

/* cli_help.c */
void cli_help(struct buf *out);
/* What stands behind its name: "", " FILE", "[=DURATION]". */
void cli_flag_text(const struct cli_flag *flag, char *out, size_t size);
void cli_help_command(const struct cli_command *command, struct buf *out);

/* cli_man.c: the manual page. */
void cli_man(struct buf *out);

/* cmd_words.c: a script for "bash", "zsh" or "fish"; false when there is none for `shell`. */
bool cli_completion(const char *shell, struct buf *out) MUST_USE;
