/* SPDX-License-Identifier: Apache-2.0 */
/* The mistakes found in one configuration file, gathered so that all are told at once.
 *
 * One thread. No message may hold the value of a secret, nor anything from the environment.
 */
#pragma once

#include <stddef.h>

#include "agent/config/config.h"
#include "base/arena.h"
#include "base/attr.h"

/* Beyond this many, mistakes are only counted. */
#define CONFIG_MAX_MISTAKES ((size_t)100)

struct config_remark {
    unsigned line;
    size_t order; /* of discovery: decides among mistakes on one line */
    const char *text;
};

struct config_report {
    const char *file;
    struct arena *arena;
    struct config_remark items[CONFIG_MAX_MISTAKES];
    size_t count; /* of all mistakes; only the first CONFIG_MAX_MISTAKES are kept */
};

/* Notes "file:line: path: message"; an empty `path` is left out, line 0 means the whole file. */
void config_mistake(struct config_report *report, unsigned line, const char *path,
                    const char *format, ...) PRINTF_LIKE(4, 5);

/* Gives the messages, in the order of lines. */
void config_report_give(struct config_report *report, struct config_mistakes *out);
