/* SPDX-License-Identifier: Apache-2.0 */
/* Conditions as Chroma's API takes them. */
#pragma once

#include <cjson/cJSON.h>

#include "base/attr.h"

/* Of one that where_check() let pass; NULL: all records pass it. */
cJSON *chroma_where(const cJSON *where) MUST_USE;
