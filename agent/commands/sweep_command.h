/* SPDX-License-Identifier: Apache-2.0 */
/* sweep: what a gap has left over, from ledger and checkpoint; and the word of a person. */
#pragma once

#include "agent/commands/command.h"

struct sweep_command {
    const struct command *command;
    const struct config_family *family;
    bool confirm; /* what is stopped may go on */

    /* what came of it; released by sweep_command_fini() */
    struct registry registry;
    cJSON *versions;
    int stopped;   /* without a confirmation */
    int confirmed; /* by this call */
};

bool sweep_command_run(struct sweep_command *sweep, struct err *err) MUST_USE;
/* {family, confirmed, versions} */
cJSON *sweep_command_json(const struct sweep_command *sweep) MUST_USE;
void sweep_command_fini(struct sweep_command *sweep);
