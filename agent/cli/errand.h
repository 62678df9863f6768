/* SPDX-License-Identifier: Apache-2.0 */
/* A command that asks an agent for something: it writes a wish into the registry, which a running agent
 * carries out, and waits for the answer: a moment, or for as long as --wait says.
 *
 * One thread. What cannot be is refused before it is written down.
 */
#pragma once

#include "agent/cli/cmd.h"
#include "agent/steward/wish.h"

enum errand_state { ERRAND_PENDING, ERRAND_DONE, ERRAND_REFUSED, ERRAND_FAILED };

struct errand {
    const struct cli_args *args;
    struct config *config; /* owned */
    const struct config_family *family;
    const char *name; /* of the family */
    struct cmd_state state;
    const char *kind;
    const char *label; /* NULL: of the family */
    struct wish_args ask;
    bool follows;      /* create: --wait goes on until the version is ready, or served */
    const char *verb;  /* "cut over to" */
    const char *title; /* "version v2 of family docs" */
    const char *done;  /* the sentence about it once it is carried out */

    char by[160];
    char id[17]; /* of the wish; "" while there is none */
    enum errand_state outcome;
    char reason[512];   /* of the outcome; "": none */
    char stands[16];    /* the state of the version, where one is named; "": unknown */
    bool out_of_time;   /* while it was waited for */
    bool leaderless;    /* as of the last look */
    int64_t until_ms;   /* monotonic; -1: no limit */
    int64_t alone_ms;   /* monotonic, since when no agent leads; 0: one does */
    int64_t checked_ms; /* monotonic, of the last look for one */
};

/* Reads the configuration and connects. False after telling why, with the exit code in *code.
 * errand_end() in any case. */
bool errand_begin(struct errand *errand, const struct cli_args *args, int *code) MUST_USE;
void errand_end(struct errand *errand);

/* Writes the wish, unless it is refused; waits; tells what came of it. An exit code. */
int errand_run(struct errand *errand);
/* The same where the wish is fulfilled already: only follows. */
int errand_go_on(struct errand *errand);
/* Only tells. */
int errand_tell(const struct errand *errand);
int errand_refuse(struct errand *errand, const char *format, ...) PRINTF_LIKE(2, 3);

/* --- errand_wait.c --- */

/* Until the wish is answered. */
bool errand_wait(struct errand *errand, struct err *err) MUST_USE;
/* Until the version is ready or served, showing how it goes. */
bool errand_follow(struct errand *errand, struct err *err) MUST_USE;
