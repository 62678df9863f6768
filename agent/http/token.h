/* SPDX-License-Identifier: Apache-2.0 */
/* The token of serve.token_file, which may change while the process runs. Any thread. */
#pragma once

#include <stdbool.h>

#include "base/attr.h"
#include "base/err.h"

struct token;

/* `path` is borrowed. *err (FATAL, CONFIG) when there is no such file or no token in it. */
bool token_open(const char *path, struct token **out, struct err *err) MUST_USE;
/* Reads the file again when it changed; the old token goes on where the new file holds none. */
void token_refresh(struct token *token);
char *token_copy(struct token *token); /* to be freed */
void token_free(struct token *token);  /* NULL is fine */
