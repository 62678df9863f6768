/* SPDX-License-Identifier: Apache-2.0 */
/* Walks the tree of a configuration file along the table of keys and fills a struct config. */
#pragma once

#include "agent/config/config.h"
#include "agent/config/config_options.h"
#include "agent/config/config_report.h"
#include "agent/config/config_yaml.h"

/* Of a file that a `..._file` key names. */
#define CONFIG_MAX_SECRET ((size_t)(64 * 1024))

/* Fills *config from the tree; what is missing gets its default. Everything that is wrong with
 * single keys is noted; config_check() does the rest. */
void config_read(struct config_report *report, struct config_node *root, struct config *config);

/* How the entries of a scope lie in memory: &config->stores and &config->store_count. */
struct config_entries {
    char *items; /* an array of structs whose first member is `char *name` */
    size_t count;
    size_t size; /* of one struct */
};
struct config_entries config_entries_of(const struct config *config, enum config_scope scope);
