/* SPDX-License-Identifier: Apache-2.0 */
/* The part of the metrics about audits that an agent makes by itself, from the JSON of `status`. */
#pragma once

#include <cjson/cJSON.h>

#include "agent/metrics/metrics_text.h"

void metrics_write_audits(const cJSON *status, struct metrics_page *page);
