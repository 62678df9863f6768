/* SPDX-License-Identifier: Apache-2.0 */
/* The commands, and what they share: reading the configuration, reaching the state, tables.
 *
 * A command prints to standard output, its mistakes to standard error, and returns an exit code
 * (enum cli_exit). One thread.
 */
#pragma once

#include <cjson/cJSON.h>
#include <mongoc/mongoc.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "agent/cli/cli.h"
#include "agent/commands/command.h"
#include "agent/config/config.h"
#include "base/err.h"
#include "state/docstore.h"

int cmd_run(const struct cli_args *args);
int cmd_check(const struct cli_args *args);
int cmd_status(const struct cli_args *args);
int cmd_query(const struct cli_args *args);
int cmd_alias(const struct cli_args *args);
int cmd_plan(const struct cli_args *args);
int cmd_pause(const struct cli_args *args);
int cmd_resume(const struct cli_args *args);
int cmd_sweep(const struct cli_args *args);
int cmd_audit(const struct cli_args *args);
int cmd_verify(const struct cli_args *args);
int cmd_quarantine(const struct cli_args *args);
int cmd_create(const struct cli_args *args);
int cmd_cutover(const struct cli_args *args);
int cmd_rollback(const struct cli_args *args);
int cmd_cancel(const struct cli_args *args);
int cmd_drop(const struct cli_args *args);
int cmd_gc(const struct cli_args *args);
int cmd_adopt(const struct cli_args *args);
int cmd_remove(const struct cli_args *args);
int cmd_partitions(const struct cli_args *args);
int cmd_config(const struct cli_args *args);
int cmd_completion(const struct cli_args *args);
int cmd_words(const struct cli_args *args);
int cmd_version(const struct cli_args *args);
int cmd_help(const struct cli_args *args);

/* --- cmd.c --- */

/* NULL after telling every mistake. */
struct config *cmd_load_config(const struct cli_args *args) MUST_USE;

struct cmd_state {
    mongoc_client_pool_t *pool;
    struct docstore *docs;
};

/* Somebody waits for the answer. */
#define CMD_ANSWER_MS 5000

/* A server that does not answer within CMD_ANSWER_MS, unless the URI itself says how long, is an error, and
 * so is a state that a newer release has written. */
bool cmd_open_state(const struct config *config, struct cmd_state *state, struct err *err) MUST_USE;
/* Connects at first use, for at most so long, and has not looked at what is there. */
bool cmd_open_state_within(const struct config *config, int answer_ms, struct cmd_state *state,
                           struct err *err) MUST_USE;
void cmd_close_state(struct cmd_state *state);

/* What it shares with the HTTP call of the same name takes this; all borrowed. */
struct command cmd_command(const struct config *config, const struct cmd_state *state,
                           const char *by);

/* A family, embedder or store of the file, or NULL after naming the nearest one. */
const struct config_family *cmd_family(const struct config *config, const char *name) MUST_USE;
const struct config_embedder *cmd_embedder(const struct config *config, const char *name) MUST_USE;
const struct config_store *cmd_store(const struct config *config, const char *name) MUST_USE;

/* Who is at the command line, for the registry. */
void cmd_who(char *out, size_t size);

/* Prints "vectail: <text>" on standard error, and returns what HTTP says with another number: CLI_USAGE
 * for a mistake in the configuration and for a name that there is not, CLI_REFUSED for what cannot be as
 * things stand, else CLI_FAILED. */
int cmd_fail(const struct err *err);
/* One JSON value and a line end on standard output. */
void cmd_print_json(const cJSON *value);

/* --- cmd_table.c --- */

enum cmd_tone { TONE_PLAIN, TONE_GOOD, TONE_WARN, TONE_BAD, TONE_HEAD };

/* Columns that are as wide as what stands in them; the last one is cut at the edge of a terminal. */
struct cmd_table;
struct cmd_table *cmd_table_new(size_t columns);
void cmd_table_free(struct cmd_table *table);
DEFINE_FREEP(struct cmd_table, cmd_table_free)
/* Fills the table row by row, from left to right. Control characters become spaces. */
void cmd_table_put(struct cmd_table *table, const char *text, enum cmd_tone tone);
/* For figures: to the right. */
void cmd_table_put_right(struct cmd_table *table, const char *text, enum cmd_tone tone);

struct cmd_screen {
    bool colour;
    size_t width; /* 0: no limit */
};
/* What standard output is: colour only on a terminal, and not with NO_COLOR. */
struct cmd_screen cmd_screen_of(void);
struct cmd_screen cmd_screen_on(FILE *out);
/* "850ms", "12.5s", "3m20s", "4h05m", "12d"; "-" below 0. `size` of 32 will do. */
void cmd_format_span(int64_t ms, char *out, size_t size);
void cmd_table_write(const struct cmd_table *table, const struct cmd_screen *screen,
                     struct buf *out);
