/* SPDX-License-Identifier: Apache-2.0 */
/* The socket that the HTTP interface listens on. */
#pragma once

#include <stdbool.h>

#include "base/err.h"

/* "host:port", "[::1]:port"; port 0: the system chooses. *err names serve.listen and the address. */
bool listen_open(const char *address, int *out, struct err *err) MUST_USE;
int listen_port(int socket);
