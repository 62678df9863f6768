/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the configuration again while running (SIGHUP). */
#pragma once

#include "agent/config/config.h"

/* Reads the file that `running` came from. What may change while running is put into effect (the log
 * level); every other key whose value has changed is named in the log as needing a restart. A file
 * with mistakes changes nothing. */
void config_reload(const struct config *running);
