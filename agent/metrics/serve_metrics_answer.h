/* SPDX-License-Identifier: Apache-2.0 */
/* GET /metrics. Any thread. */
#pragma once

#include "agent/api/serve_routes.h"

/* `status`: NULL where the state database cannot be read. */
void metrics_answer(const struct serve_request *request, const cJSON *status,
                    struct serve_reply *reply);
