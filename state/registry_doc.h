/* SPDX-License-Identifier: Apache-2.0 */
/* A family's registry entry as BSON. Private to state/. */
#pragma once

#include "state/registry.h"

/* Without `_id`; the counter's place is marked. ERR_REJECT, DATA: an embed config is not JSON. */
bool registry_encode(const struct registry *registry, bson_t *out, struct err *err) MUST_USE;
/* On failure *out is empty. */
bool registry_decode(const bson_t *doc, struct registry *out, struct err *err) MUST_USE;

bool version_state_parse(const char *name, enum version_state *out) MUST_USE;
