/* SPDX-License-Identifier: Apache-2.0 */
/* agent/api/openapi.json, which the build puts into the program. */
#pragma once

extern const char api_openapi_text[];
