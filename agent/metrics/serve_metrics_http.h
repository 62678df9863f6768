/* SPDX-License-Identifier: Apache-2.0 */
/* The part of the metrics that tells how the HTTP server is asked. */
#pragma once

#include "agent/http/traffic.h"
#include "agent/metrics/metrics_text.h"

void metrics_write_http(const struct traffic *traffic, struct metrics_page *page);
