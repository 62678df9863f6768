/* SPDX-License-Identifier: Apache-2.0 */
/* The checks that concern more than one key, and the defaults that depend on other keys. */
#pragma once

#include "agent/config/config.h"
#include "agent/config/config_report.h"
#include "agent/config/config_yaml.h"

void config_check(struct config_report *report, struct config_node *root, struct config *config);
