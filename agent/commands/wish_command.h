/* SPDX-License-Identifier: Apache-2.0 */
/* Asking an agent for something: a wish is written into the registry, which the process that leads carries
 * out, and looked for again until it is answered. What cannot be is refused before it is written down.
 *
 * A wish that stands already and asks for the same is not written twice: asking again is safe.
 */
#pragma once

#include "agent/commands/command.h"
#include "agent/steward/wish.h"

#define WISH_LABEL_SIZE 128

enum wish_outcome { WISH_PENDING, WISH_DONE, WISH_REFUSED, WISH_FAILED };
const char *wish_outcome_name(enum wish_outcome outcome);

struct wish_command {
    const struct command *command;
    const struct config_family *family;
    const char *kind;
    const char *label; /* NULL: of the family */
    const char *why;   /* NULL: none is given */
    struct wish_args ask;

    /* what came of it */
    char id[17]; /* of the wish; "" while there is none */
    enum wish_outcome outcome;
    bool was_so;                /* done without a wish: it is so already */
    char reason[512];           /* of the outcome; "": none */
    char from[WISH_LABEL_SIZE]; /* rollback: what is served as it is asked for; "": unknown */
    char to[WISH_LABEL_SIZE];   /* rollback: what it leads to; "": unknown */
    char warning[400];          /* rollback: what one should know of that; "": nothing */
    char stands[16];            /* the state of the version, where one is named; "": unknown */
    bool leaderless;            /* nobody leads as of the last look */
    int64_t checked_ms;         /* monotonic, of the last look for one */
};

/* What the configuration says to it: names of embedder and store, `from`, a label that can be one.
 * REJECT, CONFIG: it can never be asked for. */
bool wish_command_check(struct wish_command *wish, struct err *err) MUST_USE;
/* Looks whether it is so already (create, cutover, partitions), else writes the wish unless it is refused. */
bool wish_command_submit(struct wish_command *wish, struct err *err) MUST_USE;
/* Looks for somebody who leads (once a second at most) and for the answer. `registry` may be NULL; else
 * it is as loaded, for registry_fini(). */
bool wish_command_look(struct wish_command *wish, struct registry *registry, struct err *err)
    MUST_USE;
bool wish_command_find_leader(struct wish_command *wish, struct err *err) MUST_USE;
/* {family, label?, wish, state, reason, version_state?}; of a rollback also {from, to, warning} */
cJSON *wish_command_json(const struct wish_command *wish) MUST_USE;

/* A wish that was written down earlier, by its id. *found false: nobody knows it (any more). */
struct wish_look {
    const struct command *command;
    const struct config_family *family;
    const char *id;
};
bool wish_look_json(const struct wish_look *look, bool *found, cJSON **out, struct err *err)
    MUST_USE;
