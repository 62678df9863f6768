/* SPDX-License-Identifier: Apache-2.0 */
/* A command that asks an agent for something: it writes a wish into the registry, which a running agent
 * carries out, and waits for the answer: a moment, or for as long as --wait says.
 *
 * One thread. What cannot be is refused before it is written down.
 */
#pragma once

#include "agent/cli/cmd.h"
#include "agent/commands/wish_command.h"

struct errand {
    const struct cli_args *args;
    struct config *config; /* owned */
    struct cmd_state state;
    struct command command;
    struct wish_command wish;
    bool follows;      /* create: --wait goes on until the version is ready, or served */
    const char *verb;  /* "cut over to" */
    const char *title; /* "version v2 of family docs" */
    const char *done;  /* the sentence about it once it is carried out */
    const char *is_so; /* the same where there was nothing to carry out */

    char way[2 * WISH_LABEL_SIZE + 16]; /* rollback: " from v2 to v1" */
    char by[160];
    bool out_of_time; /* while it was waited for */
    int64_t until_ms; /* monotonic; -1: no limit */
    int64_t alone_ms; /* monotonic, since when no agent leads; 0: one does */
};

/* Reads the configuration and connects. False after telling why, with the exit code in *code.
 * errand_end() in any case. */
bool errand_begin(struct errand *errand, const struct cli_args *args, int *code) MUST_USE;
void errand_end(struct errand *errand);

/* Writes the wish, unless it is refused or so already; waits; tells what came of it. An exit code. */
int errand_run(struct errand *errand);

/* --- errand_wait.c --- */

/* Until the wish is answered. */
bool errand_wait(struct errand *errand, struct err *err) MUST_USE;
/* Until the version is ready or served, showing how it goes. */
bool errand_follow(struct errand *errand, struct err *err) MUST_USE;
