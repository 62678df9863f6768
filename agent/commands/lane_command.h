/* SPDX-License-Identifier: Apache-2.0 */
/* pause and resume: written into the registry, which the lanes and the leader obey. */
#pragma once

#include "agent/commands/command.h"

/* One checkpoint of the family: its only one, or with the work log memory that of a version. */
struct lane_place {
    char *label; /* NULL: of the family */
    char *build_id;
    int64_t gen;
    bool wished;
};

struct lane_command {
    const struct command *command;
    const struct config_family *family;
    const char *label; /* NULL: all versions, and the family itself */

    /* what came of it; released by lane_command_fini() */
    bool pause;         /* which of the two it was */
    cJSON *versions;    /* labels that were changed */
    bool known;         /* there is a live version of that label, or none is named */
    struct err unknown; /* why not */
    bool read_anew;     /* a generation was asked for, because the family was stopped */
    struct lane_place *places;
    size_t count;
};

/* REJECT: there is no version of the label (CONFIG), or it is not live (STATE). */
bool lane_command_pause(struct lane_command *lane, struct err *err) MUST_USE;
/* REJECT, STATE: there is nothing to go on with either: no such version, or no source. */
bool lane_command_resume(struct lane_command *lane, struct err *err) MUST_USE;
/* Whether the generations that were asked for have begun. */
bool lane_command_has_begun(const struct lane_command *lane, bool *done, struct err *err) MUST_USE;
/* {family, paused} or {family, resumed, read_anew} */
cJSON *lane_command_json(const struct lane_command *lane) MUST_USE;
void lane_command_fini(struct lane_command *lane);
