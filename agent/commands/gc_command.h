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

struct gc_ask {
    const struct collect_entry *entry; /* a version */
    const char *by;
    enum { GC_ASKED, GC_CHANGED, GC_NO_ROOM } outcome; /* asked: also by another before */
};
/* Adds the wish to drop the build of the entry, if it is retired still. True: the registry was changed. */
bool gc_command_ask(struct registry *registry, struct gc_ask *ask);

bool gc_command_run(struct gc_command *gc, struct err *err) MUST_USE;
/* {dry_run, asked, erased, collections} */
cJSON *gc_command_json(const struct gc_command *gc) MUST_USE;
void gc_command_fini(struct gc_command *gc);
