/* SPDX-License-Identifier: Apache-2.0 */
/* The filter of a source: checked against the documented subset, and turned into JSON text. */
#pragma once

#include <stdbool.h>

#include "agent/config/config_report.h"
#include "agent/config/config_yaml.h"
#include "base/attr.h"
#include "base/buf.h"

/* The filter as JSON, owned by the report's arena; NULL after a mistake. */
const char *config_filter_text(struct config_report *report, struct config_node *node) MUST_USE;

/* Writes any node as JSON: scalars keep the types of YAML's core schema, quoted ones are strings.
 * False after a mistake: infinite numbers have no JSON. */
bool config_node_json(struct config_report *report, struct config_node *node, struct buf *out)
    MUST_USE;
