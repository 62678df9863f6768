/* SPDX-License-Identifier: Apache-2.0 */
/* One key's value: from its node in the file to its member in the configuration.
 *
 * Strings are not copied: node and configuration live in the same arena.
 */
#pragma once

#include "agent/config/config_options.h"
#include "agent/config/config_report.h"
#include "agent/config/config_yaml.h"

struct config_slot {
    struct config_report *report;
    const struct config_option *option;
    struct config_node *node;
    void *at; /* the member; of the type that the option's type stands for */
};

/* Whether the node gives a value: a null is none, except where null is one of the choices. */
bool config_slot_given(const struct config_option *option, const struct config_node *node);

/* Fills the member from the node, or notes a mistake and leaves it alone. */
void config_slot_fill(struct config_slot *slot);

/* Sets the member to null: NULL, -1, NaN, false, or no entries. */
void config_slot_clear(const struct config_option *option, void *at);

/* `, is "abc"`: the end of a message about a value. Says nothing of secrets and of what came from
 * the environment. */
const char *config_slot_said(const struct config_slot *slot);
/* The same about any node. */
const char *config_node_said(struct arena *arena, const struct config_node *node);

/* Both write the range of an option: "1..100", "1s..10m"; nothing when there is none. */
void config_range_write(const struct config_option *option, struct buf *out);
