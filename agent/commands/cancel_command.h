/* SPDX-License-Identifier: Apache-2.0 */
/* cancel: a wish of a person that nobody has begun is taken back. Whoever waits for it is told.
 *
 * By compare-and-set, as the leader begins: whichever of the two comes later looks again, and the leader
 * finds the wish gone, or this finds it begun.
 */
#pragma once

#include "agent/commands/command.h"

enum cancel_outcome { CANCEL_DONE, CANCEL_REFUSED, CANCEL_UNKNOWN };

struct cancel_command {
    const struct command *command;
    const struct config_family *family;
    const char *id; /* of the wish */

    /* what came of it */
    enum cancel_outcome outcome;
    char reason[400]; /* unless it is done */
};

bool cancel_command_run(struct cancel_command *cancel, struct err *err) MUST_USE;
