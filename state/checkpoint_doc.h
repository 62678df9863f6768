/* SPDX-License-Identifier: Apache-2.0 */
/* A checkpoint as BSON. Private to state/. */
#pragma once

#include "state/checkpoint.h"

/* To be destroyed by the caller. */
bson_t *checkpoint_encode(const struct checkpoint *checkpoint);
/* NULL decodes as an empty checkpoint. On failure *out is empty. */
bool checkpoint_decode(const bson_t *doc, const char *what, struct checkpoint *out, struct err *err)
    MUST_USE;
