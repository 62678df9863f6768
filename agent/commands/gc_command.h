/* SPDX-License-Identifier: Apache-2.0 */
/* gc: what nobody needs any more is removed, or only shown. Versions by wishes that an agent carries out,
 * collections that no registry knows at once. */
#pragma once

#include "agent/commands/command.h"
#include "agent/steward/collect.h"

struct gc_command {
    const struct command *command;
    bool dry_run;

    /* what came of it; released by gc_command_fini() */
    struct collect_list list;
    int asked;  /* versions, of an agent */
    int erased; /* orphans */
};

bool gc_command_run(struct gc_command *gc, struct err *err) MUST_USE;
/* {dry_run, asked, erased, collections} */
cJSON *gc_command_json(const struct gc_command *gc) MUST_USE;
void gc_command_fini(struct gc_command *gc);
