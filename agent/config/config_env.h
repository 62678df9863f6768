/* SPDX-License-Identifier: Apache-2.0 */
/* ${NAME} and ${NAME:-default} in values: hidden from the YAML scanner, then replaced.
 *
 * `$${` stands for a literal `${`. As in a shell, the default also replaces an empty value.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "agent/config/config_report.h"
#include "base/attr.h"
#include "base/buf.h"

/* Copies YAML text with the special characters of each ${...} replaced by stand-ins, because
 * `{` and `}` would end a value in [..] and {..}. False when the text itself holds such a
 * stand-in; *offset says where. */
bool config_env_hide(const char *text, size_t size, struct buf *out, size_t *offset) MUST_USE;
/* Turns the stand-ins back, in place. */
void config_env_show(char *text);

/* A place in the file, for the mistakes. */
struct config_env_at {
    struct config_report *report;
    unsigned line;
    const char *path;
};
/* False after a mistake. *replaced: something came from the environment. */
bool config_env_expand(const struct config_env_at *at, const char *text, struct buf *out,
                       bool *replaced) MUST_USE;
