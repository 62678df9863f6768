/* SPDX-License-Identifier: Apache-2.0 */
/* What must not be seen in a printed configuration. */
#pragma once

#include <stdbool.h>

#include "base/buf.h"

#define CONFIG_MASK "***"

/* Whether something of this name holds a secret, as far as names tell: sasl.password. */
bool config_mask_wanted(const char *name);

/* Writes an address without user:password@ and without the values of secret parameters. */
void config_mask_url(const char *url, struct buf *out);
