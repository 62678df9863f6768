/* SPDX-License-Identifier: Apache-2.0 */
/* remove: a family that the file does not have any more is forgotten. What is not ours to remove is told,
 * with the command that does it. */
#pragma once

#include "agent/commands/command.h"
#include "agent/steward/remove.h"

struct remains {
    char *topic; /* NULL: none, as with the work log memory */
    char *remove_topic;
    char *remove_alias; /* NULL: there is no alias document */
};

struct remove_command {
    const struct command *command;
    const char *family;
    bool drop_collections;

    /* what came of it; released by remove_command_fini() */
    struct removal removal;
    struct remains remains; /* empty where it is refused */
};

bool remove_command_run(struct remove_command *remove, struct err *err) MUST_USE;
/* {family, removed, reason, collections, ledgers, groups, topic, remove_topic, remove_alias} */
cJSON *remove_command_json(const struct remove_command *remove) MUST_USE;
void remove_command_fini(struct remove_command *remove);
